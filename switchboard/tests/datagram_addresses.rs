//! Whose datagram it is, and which address its answer leaves from: several listeners on one worker, addresses of both
//! families, and sockets that are bound to all addresses of a host.

use crate::harness::alone::in_a_network_of_its_own;
use crate::harness::mote::{Mote, door};
use crate::harness::patience::patiently;
use crate::harness::served::{Served, address, with_1_and_4_workers};
use std::net::SocketAddr;
use switchboard::prelude::*;
use switchboard::{BoxError, DatagramLimits, Datagrams, Rate, RepliesPerSource, Udp};
use tokio::net::UdpSocket;

fn echo(datagram: Datagram<'_>, reply: &mut DatagramReply<'_>) {
    reply.write(datagram.source.to_string());
}

async fn shout(mut conn: Connection<Datagrams>) -> Result {
    while let Some(frame) = conn.recv().await? {
        conn.send(frame.to_ascii_uppercase()).await?;
    }
    Ok(())
}

/// Somebody who hears of `target` alone.
async fn mote(target: SocketAddr) -> Mote {
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await.unwrap();
    socket.connect(target).await.unwrap();
    Mote(socket)
}

with_1_and_4_workers! {
    listeners_of_both_families_answer_whoever_asked => both_families;
    an_answer_leaves_from_the_address_that_was_asked => asked_address;
    one_source_at_two_of_our_addresses_is_two_peers => two_peers;
}

/// They share the memory that is received into.
async fn both_families(workers: usize) {
    let addresses = ["127.0.0.1:0", "[::1]:0", "[::]:0", "0.0.0.0:0"];
    let replies = RepliesPerSource::AtMost(Rate::new(1_000_000, 1_000_000));
    let udp = |address| Udp::new(address).limits(DatagramLimits { replies, ..DatagramLimits::default() });
    let server = Server::new().workers(workers);
    let server = addresses.iter().fold(server, |server, address| server.datagrams(udp(address), echo));
    let served = Served::start(server).await;
    let port = |listener: usize| address(&served.urls[listener]).port();
    let [v4, v6, any_v6, any_v4] = [0, 1, 2, 3].map(port);
    let targets = [
        format!("127.0.0.1:{v4}"),
        format!("[::1]:{v6}"),
        format!("127.0.0.1:{any_v6}"),
        format!("[::1]:{any_v6}"),
        format!("127.0.0.1:{any_v4}"),
    ];
    let mut motes = Vec::new();
    for target in targets.iter().cycle().take(50) {
        motes.push(mote(target.parse().unwrap()).await);
    }
    for round in 0..20 {
        for mote in &motes {
            mote.say("who am I?").await;
        }
        for mote in &motes {
            let (own, told) = (mote.0.local_addr().unwrap(), mote.next().await.parse::<SocketAddr>().unwrap());
            assert_eq!((told.ip().to_canonical(), told.port()), (own.ip(), own.port()), "in round {round}");
        }
    }
    assert_eq!(served.handle.metrics().datagrams_lost.get(), 0);
    assert_eq!(served.stop().await.aborted, 0);
}

async fn asked_address(workers: usize) {
    for any in ["0.0.0.0:0", "[::]:0"] {
        let server = Server::new().workers(workers).udp(any, echo).udp_peers(Udp::new(any), door, shout);
        let served = Served::start(server).await;
        for number in 1..=20 {
            let to = |listener: usize| ([127, 0, 0, number], address(&served.urls[listener]).port()).into();
            let asker = mote(to(0)).await;
            asker.ask("hi").await;
            let (stranger, peer) = (mote(to(1)).await, mote(to(1)).await);
            assert_eq!(stranger.ask("hi").await, "hi");
            assert_eq!(peer.ask("open").await, "OPEN");
            assert_eq!(peer.ask("and").await, "AND");
        }
        assert_eq!(served.handle.connections().len(), 20);
        assert_eq!(served.stop().await.aborted, 0);
    }
}

/// As two hosts behind one address translator may be. Each gets its own, in its order, whatever leaves together.
async fn two_peers(workers: usize) {
    let count = async |mut conn: Connection<Datagrams>| -> Result {
        while let Some(frame) = conn.recv().await? {
            for number in 0..40 {
                conn.send([&frame[..], format!(" {number}").as_bytes()].concat()).await?;
            }
        }
        Ok::<(), BoxError>(())
    };
    let served = Served::start(Server::new().workers(workers).udp_peers(Udp::new("0.0.0.0:0"), door, count)).await;
    let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    let port = served.address().port();
    let targets: [SocketAddr; 3] = [2, 3, 4].map(|number| ([127, 0, 0, number], port).into());
    let mut next = [0; 3];
    for target in targets {
        socket.send_to(b"open", target).await.unwrap();
    }
    while next != [40; 3] {
        let mut buffer = [0; 64];
        let (count, from) = patiently(socket.recv_from(&mut buffer)).await.unwrap();
        let place = targets.iter().position(|target| *target == from).expect("one that was asked");
        assert_eq!(str::from_utf8(&buffer[..count]).unwrap(), format!("open {}", next[place]));
        next[place] += 1;
    }
    assert_eq!(served.handle.connections().len(), 3);
    assert_eq!(served.stop().await.aborted, 0);
}

/// Of IPv6 with its scopes: a link-local address is one only together with its interface.
#[test]
fn any_of_a_hosts_addresses_is_answered_from() {
    let set_up = "ip link set lo up && \
        ip addr add 192.0.2.1/24 dev lo && ip addr add 192.0.2.2/24 dev lo && \
        ip addr add 2001:db8::1/64 dev lo nodad && ip addr add 2001:db8::2/64 dev lo nodad && \
        ip addr add fe80::1/64 dev lo nodad && ip addr add fe80::2/64 dev lo nodad";
    in_a_network_of_its_own(any_of_a_hosts_addresses_is_answered_from, set_up, async {
        let interface = nix::net::if_::if_nametoindex("lo").unwrap();
        for any in ["0.0.0.0:0", "[::]:0"] {
            let served = Served::start(Server::new().workers(1).udp_peers(Udp::new(any), door, shout)).await;
            let port = served.address().port();
            let mut targets = vec![format!("192.0.2.1:{port}"), format!("192.0.2.2:{port}")];
            if served.address().is_ipv6() {
                let hosts = ["2001:db8::1", "2001:db8::2", "::1"].map(String::from);
                let linked = ["fe80::1", "fe80::2"].map(|host| format!("{host}%{interface}"));
                targets.extend(hosts.iter().chain(&linked).map(|host| format!("[{host}]:{port}")));
            }
            let mut motes = Vec::new();
            for target in &targets {
                let mote = mote(target.parse().unwrap()).await;
                assert_eq!(mote.ask("hi").await, "hi", "a stranger at {target}");
                assert_eq!(mote.ask("open").await, "OPEN", "a peer at {target}");
                motes.push(mote);
            }
            for (mote, target) in motes.iter().zip(&targets) {
                assert_eq!(mote.ask("still").await, "STILL", "at {target}");
            }
            assert_eq!(served.handle.metrics().datagrams_lost.get(), 0);
            assert_eq!(served.stop().await.aborted, 0);
        }
    });
}
