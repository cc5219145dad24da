//! Networks that nobody may come from.

use crate::harness::served::echo;
use std::time::{Duration, SystemTime};
use switchboard::prelude::*;
use switchboard::testing::{self, Peer, Running};
use switchboard::{Ban, CloseReason, IpNetwork, Proxies, Tcp, TooManyBans, Transport as _, Udp};

fn start() -> Running {
    let proxied = Tcp::new("127.0.0.1:7001").behind(Proxies::new(["127.0.0.1".parse().unwrap()]));
    let server = Server::new().tcp("127.0.0.1:7000", echo).listen(proxied, echo);
    testing::start(server.datagrams(Udp::new("127.0.0.1:7002"), |datagram, reply| reply.write(datagram.payload)))
}

fn network(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

/// Comes by the proxy, for `client`.
fn come(app: &Running) -> Peer {
    app.connect("tcp://127.0.0.1:7001")
}

async fn is_served(peer: &mut Peer, client: &str) -> bool {
    peer.send(format!("PROXY TCP4 {client} 127.0.0.1 1 1\r\nhi\n")).await;
    peer.chunk().await.is_ok_and(|heard| heard == b"hi\n")
}

#[tokio::test(start_paused = true)]
async fn a_ban_resets_who_is_there_and_refuses_who_comes_by_whom_a_proxy_names() {
    let app = start();
    let (mut one, mut other) = (come(&app), come(&app));
    assert!(is_served(&mut one, "192.0.2.1").await && is_served(&mut other, "198.51.100.1").await);
    assert_eq!(app.handle().ban(Ban::of(network("192.0.2.0/24")).because("a flood")), Ok(1));
    assert!(one.rest().await.is_err(), "it is reset");
    other.send("still\n").await;
    assert_eq!(other.line().await, "still\n");
    assert!(!is_served(&mut come(&app), "192.0.2.77").await);
    assert!(is_served(&mut come(&app), "192.0.3.1").await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(app.handle().metrics().closed(CloseReason::Banned), 2);
    assert_eq!(app.handle().ban_of("192.0.2.9".parse().unwrap()).map(|ban| ban.reason), Some("a flood".to_owned()));
    assert!(app.handle().unban(&network("192.0.2.0/24")).is_some() && app.handle().bans().is_empty());
    assert!(is_served(&mut come(&app), "192.0.2.77").await);
}

#[tokio::test(start_paused = true)]
async fn a_ban_that_is_over_holds_nobody() {
    let app = start();
    let over = SystemTime::now() - Duration::from_secs(1);
    let later = SystemTime::now() + Duration::from_hours(1);
    assert_eq!(app.handle().ban(Ban::of(network("0.0.0.0/0")).until(over)), Ok(0));
    let mut peer = app.connect("tcp://127.0.0.1:7000");
    peer.send("hi\n").await;
    assert_eq!(peer.line().await, "hi\n");
    assert!(app.handle().bans().is_empty());
    // One of a narrower network holds beside it.
    assert_eq!(app.handle().ban(Ban::of(network("127.0.0.0/8")).until(later)), Ok(1));
    assert!(peer.rest().await.is_err());
    assert!(app.connect("tcp://127.0.0.1:7000").rest().await.is_ok_and(|rest| rest.is_empty()));
    assert_eq!((app.handle().bans().len(), app.handle().ban_count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn there_are_ten_thousand_at_most_and_those_that_are_over_make_place() {
    let app = start();
    let over = SystemTime::now() - Duration::from_secs(1);
    let address = |number: u32| IpNetwork::from(std::net::IpAddr::from(std::net::Ipv4Addr::from_bits(number)));
    for number in 0..10_000 {
        let ban = Ban::of(address(number));
        assert!(app.handle().ban(if number == 7 { ban.until(over) } else { ban }).is_ok());
    }
    assert_eq!(app.handle().ban(Ban::of(address(10_000))), Ok(0), "in place of the one that is over");
    assert_eq!(app.handle().ban(Ban::of(address(10_001))), Err(TooManyBans { limit: 10_000 }));
    assert_eq!(app.handle().ban(Ban::of(address(3))), Ok(0), "in place of itself");
    assert_eq!((app.handle().bans().len(), app.handle().ban_count()), (10_000, 10_000));
}

#[tokio::test(start_paused = true)]
async fn datagrams_from_a_banned_network_are_dropped() {
    let app = start();
    let (mut one, mut other) = (app.udp("udp://127.0.0.1:7002"), app.udp("udp://127.0.0.1:7002"));
    one.send("1");
    assert_eq!(one.recv().await, "1");
    let ban = |peer: &testing::DatagramPeer| Ban::of(peer.address().ip().into());
    assert_eq!(app.handle().ban(ban(&one)), Ok(0));
    one.send("2");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(app.handle().metrics().datagrams_refused.get(), 1);
    assert!(app.handle().unban(&one.address().ip().into()).is_some());
    one.send("3");
    assert_eq!(one.recv().await, "3");
    other.send("4");
    assert_eq!(other.recv().await, "4");
}
