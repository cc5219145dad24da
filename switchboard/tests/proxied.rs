//! Connections that come by proxies, which say whose they are: by the PROXY protocol, and over HTTP.

use std::time::Duration;
use switchboard::http::{Request, Response, types};
use switchboard::prelude::*;
use switchboard::testing::{self, Peer, Running};
use switchboard::{CloseReason, IpNetwork, Proxies, Tcp, Transport as _};
use tokio::time::{Instant, advance};

const V1: &str = "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n";

fn here() -> Proxies {
    Proxies::new(["127.0.0.0/8".parse().unwrap()])
}

fn elsewhere() -> Proxies {
    Proxies::new(["10.0.0.0/8".parse().unwrap()])
}

/// Of version 2, from 192.0.2.1:4711, with the padding that some send.
fn v2(command: u8) -> Vec<u8> {
    let addresses = [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x67, 1, 0xbb];
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, 0x11, 0, 16], &addresses, b"\x04\0\x01x"].concat()
}

/// Says who it takes whom for, and repeats what it hears.
async fn tell(mut conn: Connection<Lines>) -> Result {
    let via = conn.info().via.map_or("nobody".to_owned(), |via| via.ip().to_string());
    conn.send(format!("{} by {via}", conn.peer())).await?;
    while let Some(line) = conn.recv().await? {
        conn.send(line).await?;
    }
    Ok(())
}

fn start(proxies: Proxies, limits: Limits) -> Running {
    let tcp = Tcp::new("127.0.0.1:7000").behind(proxies);
    testing::start(Server::new().limits(limits).listen(tcp, tell))
}

fn refused(app: &Running, reason: CloseReason) -> u64 {
    let metrics = app.handle().metrics();
    assert_eq!(metrics.refused.get(), metrics.closed(reason));
    metrics.closed(reason)
}

/// Whether nothing was said to it, however it was closed.
async fn heard_nothing(peer: &mut Peer) -> bool {
    peer.rest().await.is_ok_and(|rest| rest.is_empty())
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_whose_its_proxy_says_and_what_follows_is_the_clients() {
    let app = start(here(), Limits::default());
    for header in [V1.as_bytes(), &v2(0x21)] {
        let mut peer = app.connect("tcp");
        peer.send([header, b"hi\n"].concat()).await;
        assert_eq!(peer.line().await, "192.0.2.1:4711 by 127.0.0.1\n");
        assert_eq!(peer.line().await, "hi\n");
        let mut slow = app.connect("tcp");
        for byte in header {
            slow.send([*byte]).await;
            advance(Duration::from_millis(10)).await;
        }
        assert_eq!(slow.line().await, "192.0.2.1:4711 by 127.0.0.1\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_proxys_own_connection_is_its_own() {
    let app = start(here(), Limits::default());
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20)] {
        let mut peer = app.connect("tcp");
        peer.send(header).await;
        let told = peer.line().await;
        assert!(told.starts_with("127.0.0.1:") && told.ends_with(" by nobody\n"), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_begin_with_a_header_is_refused_and_told_nothing() {
    let app = start(here(), Limits::default());
    let long = format!("{:<106}\r\n", "PROXY UNKNOWN");
    let huge = [&v2(0x21)[..14], &[0xff; 100]].concat();
    let odd = [
        "hi\n",
        "GET / HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\0\0",
        "PROXY TCP4 999.1.1.1 1.1.1.1 1 1\r\n",
        "PROXY TCP4 ::1 1.1.1.1 1 1\r\n",
        &long,
    ];
    for (count, bytes) in odd.iter().map(|text| text.as_bytes()).chain([&huge[..]]).enumerate() {
        let mut peer = app.connect("tcp");
        peer.send(bytes).await;
        assert!(heard_nothing(&mut peer).await, "{}", bytes.escape_ascii());
        assert_eq!(refused(&app, CloseReason::BadProxyHeader), count as u64 + 1);
    }
    let mut cut_short = app.connect("tcp");
    cut_short.send("PROXY TCP4").await;
    cut_short.finish();
    assert!(heard_nothing(&mut cut_short).await);
    // Who only looks whether somebody is there is nothing to tell of.
    let mut probe = app.connect("tcp");
    probe.finish();
    assert!(heard_nothing(&mut probe).await);
    assert_eq!(refused(&app, CloseReason::BadProxyHeader), odd.len() as u64 + 2);
}

#[tokio::test(start_paused = true)]
async fn who_comes_from_elsewhere_is_refused_or_is_direct_and_believed_nothing() {
    let app = start(elsewhere(), Limits::default());
    for bytes in [V1, "hi\n"] {
        let mut peer = app.connect("tcp");
        assert!(heard_nothing(&mut peer).await, "{bytes}");
    }
    assert_eq!(refused(&app, CloseReason::BadProxyHeader), 2);
    let app = start(elsewhere().and_others(), Limits::default());
    let mut peer = app.connect("tcp");
    peer.send(V1).await;
    let told = peer.line().await;
    assert!(told.starts_with("127.0.0.1:") && told.ends_with(" by nobody\n"), "{told}");
    assert_eq!(peer.line().await, V1, "a line like any other");
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_gone_after_five_seconds() {
    let app = start(here(), Limits::default());
    let began = Instant::now();
    let mut silent: Vec<_> = (0..10).map(|_| app.connect("tcp")).collect();
    silent[0].send("PROXY TCP4 192.0.2.1").await;
    for peer in &mut silent {
        assert!(heard_nothing(peer).await);
    }
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(refused(&app, CloseReason::BadProxyHeader), 10);
    assert_eq!(app.handle().connections().len(), 0, "they were never listed");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_as_old_as_it_was_accepted_and_lists_say_by_whom_it_came() {
    let app = start(here(), Limits::default());
    let mut peer = app.connect("tcp");
    tokio::time::sleep(Duration::from_secs(4)).await;
    peer.send(V1).await;
    peer.line().await;
    let info = &app.handle().connections().list(None, 9)[0];
    assert_eq!((info.age.as_secs(), info.via.unwrap().ip().to_string().as_str()), (4, "127.0.0.1"));
    peer.finish();
    peer.closed().await;
    let ended = &app.handle().connections().closed(9)[0];
    assert_eq!((ended.peer.to_string().as_str(), ended.via), ("192.0.2.1:4711", info.via));
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_gives_way_to_who_comes_later() {
    let app = start(here(), Limits { handshakes: 4, ..Limits::default() });
    let mut silent: Vec<_> = (0..100).map(|_| app.connect("tcp")).collect();
    let began = Instant::now();
    let mut peer = app.connect("tcp");
    peer.send(V1).await;
    assert_eq!(peer.line().await, "192.0.2.1:4711 by 127.0.0.1\n");
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    assert!(heard_nothing(&mut silent[0]).await);
    assert!(refused(&app, CloseReason::TooManyHandshakes) >= 96);
}

#[tokio::test(start_paused = true)]
async fn limits_count_the_client_and_no_connection_of_the_proxys_own() {
    let app = start(here(), Limits { connections_per_address: Some(1), ..Limits::default() });
    let open = async |header: &str| {
        let mut peer = app.connect("tcp");
        peer.send(header).await;
        let is_open = peer.chunk().await.is_ok_and(|told| !told.is_empty());
        (peer, is_open)
    };
    let (first, is_open) = open(V1).await;
    assert!(is_open);
    assert!(!open(V1).await.1, "the same client");
    assert_eq!(refused(&app, CloseReason::TooManyFromAddress), 1);
    let (_other, is_open) = open("PROXY TCP6 2001:db8::1 ::1 1 1\r\n").await;
    assert!(is_open);
    let own = [open("PROXY UNKNOWN\r\n").await, open("PROXY UNKNOWN\r\n").await];
    assert!(own.iter().all(|(_, is_open)| *is_open));
    drop(first);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(open(V1).await.1, "its place is free");
}

#[tokio::test(start_paused = true)]
async fn those_who_have_said_nothing_count_among_all() {
    let app = start(here(), Limits { connections: 2, ..Limits::default() });
    let (_first, _second, mut third) = (app.connect("tcp"), app.connect("tcp"), app.connect("tcp"));
    third.send(V1).await;
    assert!(heard_nothing(&mut third).await);
    assert_eq!(refused(&app, CloseReason::TooManyConnections), 1);
    // Those are over after a while.
    advance(Duration::from_secs(6)).await;
    let mut later = app.connect("tcp");
    later.send(V1).await;
    assert_eq!(later.line().await, "192.0.2.1:4711 by 127.0.0.1\n");
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_who_has_said_nothing() {
    let app = start(here(), Limits::default());
    let mut silent = app.connect("tcp");
    silent.send("PROXY").await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let drained = app.drain().await;
    assert_eq!((drained.finished, drained.aborted, drained.elapsed.as_secs()), (0, 0, 0));
    assert!(heard_nothing(&mut silent).await);
}

/// Whose a request is, as a header says that anybody can send; and streams and WebSockets of whom it says.
async fn answer(mut request: Request) -> Response {
    let client = request.headers().get("x-real-ip").and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(client) = client {
        request.forwarded_for(client);
    }
    match request.uri().path() {
        "/ws" => request.upgrade(&[], async |mut conn| {
            let info = conn.info();
            conn.send(format!("{} by {}", info.peer, info.via.unwrap().ip())).await?;
            while conn.recv().await?.is_some() {}
            Ok::<_, switchboard::ConnectionError>(())
        }),
        "/stream" => Response::stream(types::Response::new(()), async |mut conn: Connection<Lines>| {
            conn.send(conn.peer().to_string()).await?;
            conn.draining().await;
            Ok::<_, switchboard::ConnectionError>(())
        }),
        _ => types::Response::new(request.peer().to_string()).into(),
    }
}

fn request(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\n{more}\r\n")
}

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn start_http(limits: Limits) -> Running {
    let tcp = Tcp::new("127.0.0.1:7004").forwarded_from(["127.0.0.1".parse::<IpNetwork>().unwrap()]);
    testing::start(Server::new().limits(limits).listen_http(tcp, answer))
}

async fn status(app: &Running, path: &str, more: &str) -> (Peer, String) {
    let mut peer = app.connect("http");
    peer.send(request(path, more)).await;
    let status = peer.line().await;
    (peer, status.split(' ').nth(1).unwrap_or_default().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_request_is_whose_it_was_forwarded_for_and_the_next_is_another() {
    let app = start_http(Limits::default());
    let mut peer = app.connect("http");
    for (header, found) in
        [("x-real-ip: 192.0.2.1\r\n", "192.0.2.1:0"), ("x-real-ip: 2001:db8::1\r\n", "[2001:db8::1]:0")]
    {
        peer.send(request("/", header)).await;
        while peer.line().await != "\r\n" {}
        assert_eq!(peer.bytes(found.len()).await, found.as_bytes());
    }
    peer.send(request("/", "connection: close\r\n")).await;
    assert!(String::from_utf8(peer.rest().await.unwrap()).unwrap().contains("\r\n127.0.0.1:"));
}

#[tokio::test(start_paused = true)]
async fn a_websocket_or_a_stream_counts_as_its_clients_once_it_is_one() {
    let app = start_http(Limits { connections_per_address: Some(1), ..Limits::default() });
    let one = format!("x-real-ip: 192.0.2.1\r\n{UPGRADE}");
    let (mut socket, is_open) = status(&app, "/ws", &one).await;
    assert_eq!(is_open, "101");
    while socket.line().await != "\r\n" {}
    assert_eq!(&socket.bytes(26).await[2..], b"192.0.2.1:0 by 127.0.0.1");
    let listed = app.handle().connections().list(None, 10);
    assert_eq!(listed[0].peer.ip().map(|address| address.ip().to_string()), Some("192.0.2.1".to_owned()));
    // Requests are not limited so, and neither are the proxy's connections.
    let (_kept, ok) = status(&app, "/", "x-real-ip: 192.0.2.1\r\n").await;
    assert_eq!(ok, "200");
    for path in ["/ws", "/stream"] {
        assert_eq!(status(&app, path, &one).await.1, "429", "{path}");
    }
    let (_other, ok) = status(&app, "/stream", "x-real-ip: 192.0.2.2\r\n").await;
    assert_eq!(ok, "200");
    assert_eq!(status(&app, "/ws", &format!("x-real-ip: 192.0.2.2\r\n{UPGRADE}")).await.1, "429");
    assert_eq!(refused(&app, CloseReason::TooManyFromAddress), 3);
    drop(socket);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(status(&app, "/ws", &one).await.1, "101", "its place is free");
}
