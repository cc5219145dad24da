//! Listeners with a name, limits, and a frame rate, of their own.

use super::harness::batches::Batches;
use super::harness::patience::patiently;
use super::harness::served::{Served, address, echo};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{Memory, Rate, Tcp, Transport, Udp, Validation, testing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, sleep};

fn frames(frame_bytes: usize) -> Limits {
    Limits { frame_bytes, ..Limits::default() }
}

#[tokio::test(start_paused = true)]
async fn a_listener_goes_by_its_name_in_lists() {
    let (public, plain) = (Memory::new(), Memory::new());
    let server = Server::new().listen(public.clone().named("public"), echo).memory(&plain, echo);
    let served = Served::over(&public, server).await;
    let _peers = [Peer::connect(&public), Peer::connect(&plain)];
    served.left(2).await;
    let mut names: Vec<_> =
        served.handle.connections().list(None, 2).into_iter().map(|connection| connection.listener).collect();
    names.sort();
    assert_eq!(names, ["memory", "public"]);
    assert_eq!(served.urls, ["memory", "memory"]);
}

#[tokio::test(start_paused = true)]
async fn a_listener_has_limits_of_its_own_beside_those_of_its_server() {
    let (strict, usual) = (Memory::new(), Memory::new());
    let server = Server::new().limits(frames(100)).listen(strict.clone().limited(frames(4)), echo).memory(&usual, echo);
    let served = Served::over(&usual, server).await;
    let (mut short, mut long) = (Peer::connect(&strict), Peer::connect(&usual));
    short.send("12345\n").await;
    long.send("12345\n").await;
    assert_eq!(short.closed().await, CloseReason::FrameTooLong);
    assert_eq!(long.line().await, "12345\n");
    drop(served);
}

#[tokio::test(start_paused = true)]
async fn a_listener_counts_its_own_connections_and_its_server_all() {
    let (few, usual) = (Memory::new(), Memory::new());
    let connections = |connections| Limits { connections, ..Limits::default() };
    let server = Server::new().limits(connections(3)).listen(few.clone().limited(connections(1)), echo);
    let served = Served::over(&usual, server.memory(&usual, echo)).await;
    // Those of others take none of its places.
    let mut usual_peers: Vec<_> = (0..2).map(|_| Peer::connect(&usual)).collect();
    let mut first = Peer::connect(&few);
    for peer in usual_peers.iter_mut().chain([&mut first]) {
        peer.send("hi\n").await;
        assert_eq!(peer.line().await, "hi\n");
    }
    // The server is full, and once it is not, the listener is.
    assert_eq!(Peer::connect(&usual).rest().await.unwrap(), b"");
    drop(usual_peers.pop());
    served.left(2).await;
    assert_eq!(Peer::connect(&few).rest().await.unwrap(), b"");
    assert_eq!(served.handle.metrics().closed(CloseReason::TooManyConnections), 2);
    // A place that was given up is free.
    drop(first);
    served.left(1).await;
    let mut next = Peer::connect(&few);
    next.send("hi\n").await;
    assert_eq!(next.line().await, "hi\n");
}

#[tokio::test]
async fn a_listener_counts_the_connections_of_an_address_by_itself() {
    let own = |limit| Limits { connections_per_address: Some(limit), ..Limits::default() };
    let tcp = |limit| Tcp::new("127.0.0.1:0").limited(own(limit));
    let server = Server::new().workers(0).limits(own(1)).listen(tcp(2), echo).tcp("127.0.0.1:0", echo);
    let served = Served::start(server).await;
    let places: Vec<_> = served.urls.iter().map(|url| address(url)).collect();
    let answers = async |place: usize| {
        let mut stream = TcpStream::connect(places[place]).await.unwrap();
        // One that is refused may be reset before this is written.
        _ = stream.write_all(b"x\n").await;
        (stream.read(&mut [0; 2]).await.is_ok_and(|count| count == 2)).then_some(stream)
    };
    let all = [0, 0, 0, 1].map(&answers);
    let mut answered = Vec::new();
    for one in all {
        answered.push(patiently(one).await);
    }
    let told: Vec<_> = answered.iter().map(Option::is_some).collect();
    assert_eq!(told, [true, true, false, false], "beyond what is its own, or the server's");
}

#[tokio::test(start_paused = true)]
async fn a_listener_of_datagrams_has_limits_of_its_own() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let udp = Udp::new("127.0.0.1:0").limited(limits);
    let handler = async |mut conn: Connection<switchboard::Datagrams>| -> Result {
        while let Some(frame) = conn.recv().await? {
            conn.send(frame).await?;
        }
        Ok(())
    };
    let running = testing::start(Server::new().udp_peers(udp, |_, _| Validation::Given, handler));
    let (mut first, second) = (running.udp("udp"), running.udp("udp"));
    first.send("hi");
    assert_eq!(first.recv().await, "hi");
    second.send("hi");
    sleep(Duration::from_millis(10)).await;
    assert_eq!(running.handle().connections().len(), 1);
    let wrong =
        Server::new().udp_peers(Udp::new("127.0.0.1:0").limited(frames(0)), |_, _| Validation::Given, echo_datagrams);
    let error = wrong.workers(0).bind().await.unwrap_err();
    assert_eq!(error.faults, ["udp://127.0.0.1:0: limit frame_bytes is zero"]);
}

async fn echo_datagrams(_: Connection<switchboard::Datagrams>) {}

#[tokio::test(start_paused = true)]
async fn the_longest_datagram_of_a_stranger_is_of_the_listener_s_own_limit() {
    for (own, of_server, heard) in [(4, 100, "1234"), (100, 4, "12345")] {
        let udp = Udp::new("127.0.0.1:0").limited(frames(own));
        let answered = |datagram: Datagram<'_>, reply: &mut DatagramReply<'_>| {
            reply.write(datagram.payload);
            Validation::Missing
        };
        let server = Server::new().limits(frames(of_server)).udp_peers(udp, answered, echo_datagrams);
        let running = testing::start(server);
        let mut stranger = running.udp("udp");
        stranger.send("12345");
        stranger.send("1234");
        assert_eq!(stranger.recv().await, heard, "{own} of {of_server}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_reads_no_more_frames_a_second_than_its_rate() {
    let (slow, usual) = (Memory::new(), Memory::new());
    let server = Server::new().listen(slow.clone().throttled(Rate::new(10, 10)), echo).memory(&usual, echo);
    let served = Served::over(&usual, server).await;
    for _ in 0..2 {
        let mut peer = Peer::connect(&slow);
        peer.send("first\n").await;
        assert_eq!(peer.line().await, "first\n");
        // What was let through for nothing is not saved up, and not lost.
        sleep(Duration::from_secs(10)).await;
        let started = Instant::now();
        peer.send("x\n".repeat(25)).await;
        for number in 1..=25 {
            assert_eq!(peer.line().await, "x\n");
            let due = Duration::from_millis(100) * (number - 10_u32.min(number));
            let late = started.elapsed().checked_sub(due).expect("it is not early");
            assert!(late < Duration::from_millis(5), "{number}: {late:?} late");
        }
    }
    let (mut peer, started) = (Peer::connect(&usual), Instant::now());
    peer.send("x\n".repeat(25)).await;
    for _ in 0..25 {
        assert_eq!(peer.line().await, "x\n");
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    drop(served);
}

#[tokio::test(start_paused = true)]
async fn frames_that_come_one_by_one_cost_a_rate_no_more_than_one_each() {
    let slow = Memory::new();
    let server = Server::new().listen(slow.clone().throttled(Rate::new(10, 10)), echo);
    let served = Served::over(&slow, server).await;
    let (mut peer, started) = (Peer::connect(&slow), Instant::now());
    for _ in 0..10 {
        peer.send("x\n").await;
        assert_eq!(peer.line().await, "x\n");
    }
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
    drop(served);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_for_its_rate_can_be_closed() {
    let slow = Memory::new();
    let server = Server::new().listen(slow.clone().throttled(Rate::new(1, 1)), echo);
    let served = Served::over(&slow, server).await;
    let (mut peer, started) = (Peer::connect(&slow), Instant::now());
    peer.send("x\n".repeat(100)).await;
    assert_eq!(peer.line().await, "x\n");
    let connections = served.handle.connections();
    assert!(connections.close(connections.list(None, 1)[0].id));
    assert_eq!(peer.closed().await, CloseReason::Closed);
    // Linger included; all that it sent would take 99 s.
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_rate_counts_each_message_of_a_batch() {
    let slow = Memory::new();
    let handler = async |mut conn: Connection<Batches>| -> Result {
        while let Some(batch) = conn.recv().await? {
            conn.send(batch).await?;
        }
        Ok(())
    };
    let served = Served::over(&slow, Server::new().listen(slow.clone().throttled(Rate::new(10, 10)), handler)).await;
    let (mut peer, started) = (Peer::connect(&slow), Instant::now());
    peer.send("x\n".repeat(20)).await;
    sleep(Duration::from_millis(1)).await;
    peer.send("last\n").await;
    for _ in 0..20 {
        assert_eq!(peer.line().await, "x\n");
    }
    assert_eq!(peer.line().await, "last\n");
    assert!(started.elapsed() >= Duration::from_millis(1100), "{:?}", started.elapsed());
    drop(served);
}

#[tokio::test(start_paused = true)]
async fn a_listener_of_datagrams_has_a_name_and_a_rate() {
    let udp = Udp::new("127.0.0.1:0").named("motes").throttled(Rate::new(1, 1));
    let echo = async |mut conn: Connection<switchboard::Datagrams>| -> Result {
        while let Some(frame) = conn.recv().await? {
            conn.send(frame).await?;
        }
        Ok(())
    };
    let running = testing::start(Server::new().udp_peers(udp, |_, _| Validation::Given, echo));
    let mut socket = running.udp("udp://127.0.0.1:0");
    let started = Instant::now();
    for text in ["a", "b", "c"] {
        socket.send(text);
    }
    for text in ["a", "b", "c"] {
        assert_eq!(socket.recv().await, text);
    }
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(running.handle().connections().list(None, 1)[0].listener, "motes");
}

#[tokio::test(start_paused = true)]
async fn a_listener_of_http_keeps_name_and_limits() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let whose = async |request: switchboard::http::Request| http::Response::new(request.uri().to_string());
    let served = Served::in_memory(Server::new(), |server, memory| {
        server.listen_http(memory.limited(limits).named("web"), whose)
    });
    let _first = served.connect();
    served.left(1).await;
    assert_eq!(served.handle.connections().list(None, 1)[0].listener, "web");
    assert!(served.connect().rest().await.is_ok_and(|said| said.is_empty()));
    served.closed(CloseReason::TooManyConnections).await;
}

#[tokio::test]
async fn what_is_wrong_with_limits_of_a_listener_is_said_with_its_address() {
    let server = Server::new().listen(Memory::new().limited(frames(0)), echo);
    let error = server.workers(0).bind().await.unwrap_err();
    assert_eq!(error.faults, ["memory: limit frame_bytes is zero"]);
}
