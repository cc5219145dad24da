//! Datagram peers: who becomes a connection, what strangers get, and that a connection is like any other from there on.

use crate::harness::mote::{Mote, door, stranger, stranger_of};
use crate::harness::node::shown;
use crate::harness::served::{Served, address, with_1_and_4_workers};
use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::{
    BoxError, ConnectionError, Cookies, DatagramLimits, Datagrams, Rate, RepliesPerSource, RoomName, Udp, Validation,
};
use tokio::net::UdpSocket;

async fn shout(mut conn: Connection<Datagrams>) -> Result {
    while let Some(frame) = conn.recv().await? {
        conn.send(frame.to_ascii_uppercase()).await?;
    }
    conn.send(&b"BYE"[..]).await?;
    Ok(())
}

/// Somebody who was let in.
async fn peer(served: &Served) -> Mote {
    let mote = stranger(served).await;
    assert_eq!(mote.ask("open").await, "OPEN");
    mote
}

with_1_and_4_workers! {
    each_peer_is_a_connection_of_its_own => connections;
    members_on_all_transports_get_the_same_in_the_same_order => rooms;
    a_drain_reads_what_the_kernel_has_and_flushes => drain;
}

async fn connections(workers: usize) {
    let served = Served::start(Server::new().workers(workers).udp_peers(Udp::new("127.0.0.1:0"), door, shout)).await;
    let stranger = stranger(&served).await;
    assert_eq!(stranger.ask("hi").await, "hi");
    assert!(served.handle.connections().is_empty(), "a stranger is no connection");

    let mut motes = Vec::new();
    for _ in 0..20 {
        motes.push(peer(&served).await);
    }
    for (number, mote) in motes.iter().enumerate() {
        mote.say(format!("n{number}")).await;
        mote.say("").await;
        mote.say([0xff, 0, b'\n']).await;
    }
    for (number, mote) in motes.iter().enumerate() {
        assert_eq!(mote.next().await, format!("N{number}"));
        assert_eq!(mote.bytes().await, b"");
        assert_eq!(mote.bytes().await, [0xff, 0, b'\n']);
    }
    let listed = served.handle.connections().list(None, 100);
    assert_eq!(listed.len(), 20);
    for (info, mote) in listed.iter().zip(&motes) {
        assert_eq!((info.transport, info.peer.ip()), ("udp", mote.0.local_addr().ok()));
        assert_eq!((info.frames_in, info.frames_out), (4, 4));
        // The payloads alone: 4 of OPEN, the number with its letter, nothing, and 3.
        let number = info.bytes_in - 7;
        assert!((2..=3).contains(&number) && info.bytes_out == info.bytes_in, "{info:?}");
        assert_eq!(info.listener, format!("udp://{}", served.address()));
    }
    assert_eq!(served.handle.metrics().accepted.get(), 20);

    // One that is closed is a stranger again, and may come back.
    served.handle.connections().close(listed[0].id);
    served.until(|handle| handle.metrics().closed(CloseReason::Closed) == 1).await;
    assert_eq!(motes[0].ask("hi").await, "hi");
    assert_eq!(motes[0].ask("open").await, "OPEN");
    assert_eq!(served.handle.connections().len(), 20);
    assert_eq!(served.stop().await.aborted, 0);
}

async fn rooms(workers: usize) {
    let hub = Hub::new();
    let room = hub.room("lobby").unwrap();
    let seat = room.clone();
    let datagrams = move |mut conn: Connection<Datagrams>| {
        let room = seat.clone();
        async move {
            let seat = conn.join(&room)?;
            while let Some(frame) = conn.recv().await? {
                seat.publish(frame).unwrap();
            }
            Ok::<(), BoxError>(())
        }
    };
    let seat = room.clone();
    let lines = move |mut conn: Connection<Lines>| {
        let room = seat.clone();
        async move {
            let seat = conn.join(&room)?;
            while let Some(line) = conn.recv().await? {
                seat.publish(line).unwrap();
            }
            Ok::<(), BoxError>(())
        }
    };
    let server = Server::new().workers(workers).udp_peers(Udp::new("127.0.0.1:0"), door, datagrams);
    let served = Served::start(server.tcp("127.0.0.1:0", lines)).await;

    let mut motes = Vec::new();
    for _ in 0..100 {
        let mote = stranger(&served).await;
        mote.say("open").await;
        motes.push(mote);
    }
    let watcher = tokio::net::TcpStream::connect(address(&served.urls[1])).await.unwrap();
    // The joins' own frames are published too: all of them are over once everybody is in and has seen a last one.
    served.until(|_| room.member_count() == 101 && room.last_id().seq == 100).await;
    let mark = shown(room.publish("mark")).seq;
    for (number, mote) in motes.iter().enumerate().take(50) {
        mote.say(format!("from {number}")).await;
        room.publish(format!("to all {number}"));
    }
    served.until(|_| room.last_id().seq == mark + 100).await;
    let history: Vec<_> = room.history(101);
    for mote in &motes {
        let own = format!("from {}", motes.iter().position(|other| std::ptr::eq(other, mote)).unwrap());
        while mote.bytes().await != b"mark" {}
        for message in &history[1..] {
            if message.payload != own.as_bytes() {
                assert_eq!(mote.bytes().await, message.payload);
            }
        }
    }
    drop(watcher);
    assert_eq!(served.stop().await.aborted, 0);
}

async fn drain(workers: usize) {
    let (hold, held) = tokio::sync::watch::channel(());
    let slow = move |mut conn: Connection<Datagrams>| {
        let mut held = held.clone();
        async move {
            let _ = conn.recv().await?;
            conn.send(&b"in"[..]).await?;
            // Until the drain has begun: what is sent meanwhile is received by nobody.
            let _ = held.changed().await;
            let mut received = Vec::new();
            while let Some(frame) = conn.recv().await? {
                received.extend_from_slice(&frame);
            }
            conn.send(received).await
        }
    };
    let served = Served::start(Server::new().workers(workers).udp_peers(Udp::new("127.0.0.1:0"), door, slow)).await;
    let mote = stranger(&served).await;
    assert_eq!(mote.ask("open").await, "in");
    served.handle.drain();
    for letter in ["a", "b", "c"] {
        mote.say(letter).await;
    }
    drop(hold);
    assert_eq!(mote.next().await, "abc");
    let drained = served.stop().await;
    assert_eq!((drained.finished, drained.aborted), (1, 0));
    assert!(drained.elapsed < Duration::from_secs(2), "nobody waits for an end that a datagram peer never tells");
}

#[tokio::test]
async fn a_stranger_is_answered_with_three_times_what_it_sent_and_64_bytes_at_most() {
    let answers = |datagram: Datagram<'_>, reply: &mut DatagramReply<'_>| {
        assert_eq!(reply.remaining(), (3 * datagram.payload.len()).min(64));
        let wanted: usize = str::from_utf8(datagram.payload).unwrap().trim().parse().unwrap();
        reply.write(vec![b'x'; wanted]);
        Validation::Missing
    };
    let served = Served::start(Server::new().workers(1).udp_peers(Udp::new("127.0.0.1:0"), answers, shout)).await;
    let stranger = stranger(&served).await;
    // Padded with blanks to as many bytes as it is said to send.
    for (sent, most) in [(1, 3), (2, 6), (21, 63), (22, 64), (100, 64)] {
        let ask = |wanted: usize| format!("{wanted:sent$}");
        assert_eq!(ask(most).len(), sent);
        // One worker answers in order: what is not answered before the next one is not at all.
        if ask(most + 1).len() == sent {
            stranger.say(ask(most + 1)).await;
        }
        assert_eq!(stranger.ask(ask(most)).await.len(), most);
    }
    assert_eq!(served.stop().await.aborted, 0);
}

#[tokio::test]
async fn strangers_are_limited_and_peers_are_not() {
    let limits = DatagramLimits { received: Some(Rate::new(1, 5)), replies: RepliesPerSource::AtMost(Rate::new(1, 3)) };
    let udp = Udp::new("127.0.0.1:0").limits(limits);
    let served = Served::start(Server::new().workers(1).udp_peers(udp, door, shout)).await;
    let (stranger, peer) = (stranger(&served).await, peer(&served).await);
    for _ in 0..10 {
        stranger.say("hi").await;
    }
    // Behind them all, and from the same address.
    for _ in 0..100 {
        assert_eq!(peer.ask("still here").await, "STILL HERE");
    }
    let metrics = served.handle.metrics();
    // Three answers; the fifth was the peer's own first word, the sixth and all others were not heard.
    served.until(|_| metrics.datagrams_refused.get() == 7).await;
    for _ in 0..3 {
        assert_eq!(stranger.next().await, "hi");
    }
    assert!(stranger.0.try_recv(&mut [0; 8]).is_err());
    assert_eq!(served.stop().await.aborted, 0);
}

/// What may be an answer to an answer; to each address and port, on loopback too.
#[tokio::test(start_paused = true)]
async fn a_seldom_answer_leaves_ten_times_at_once_and_once_a_second() {
    let seldom = |datagram: Datagram<'_>, reply: &mut DatagramReply<'_>| {
        if datagram.payload == b"seldom" {
            reply.seldom();
        }
        reply.write(datagram.payload);
    };
    let seldom_to_strangers = move |datagram: Datagram<'_>, reply: &mut DatagramReply<'_>| {
        seldom(datagram, reply);
        Validation::Missing
    };
    let server = Server::new().workers(0).udp("127.0.0.1:0", seldom);
    let server = server.udp_peers(Udp::new("127.0.0.1:0"), seldom_to_strangers, shout);
    let served = Served::start(server).await;
    for url in &served.urls {
        let strangers = [stranger_of(address(url)).await, stranger_of(address(url)).await];
        for expected in [10, 1] {
            for stranger in &strangers {
                for _ in 0..20 {
                    stranger.say("seldom").await;
                }
                stranger.say("behind them all").await;
                let mut answered = 0;
                while stranger.next().await == "seldom" {
                    answered += 1;
                }
                assert_eq!(answered, expected, "{url}");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    assert_eq!(served.handle.metrics().datagrams_refused.get(), 2 * 2 * (10 + 19));
    assert_eq!(served.stop().await.aborted, 0);
}

#[tokio::test]
async fn peers_count_towards_the_limits_of_connections() {
    let limits = Limits { connections_per_address: Some(2), ..Limits::default() };
    let door = |datagram: Datagram<'_>, reply: &mut DatagramReply<'_>| {
        if datagram.payload == b"open" {
            reply.write("full");
        }
        door(datagram, reply)
    };
    let server = Server::new().workers(1).limits(limits).udp_peers(Udp::new("127.0.0.1:0"), door, shout);
    let served = Served::start(server).await;
    let peers = [peer(&served).await, peer(&served).await];
    let third = stranger(&served).await;
    assert_eq!(third.ask("open").await, "full");
    assert_eq!(served.handle.metrics().closed(CloseReason::TooManyFromAddress), 1);
    assert_eq!(third.ask("hi").await, "hi", "it is a stranger as before");
    assert_eq!(peers[1].ask("hi").await, "HI");
    assert_eq!(served.handle.connections().len(), 2);
    assert_eq!(served.stop().await.aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_leaves_and_any_datagram_keeps_its_seat() {
    let minutes = Duration::from_mins;
    let timeouts = Timeouts { idle: Some(minutes(5)), ..Timeouts::default() };
    let udp = Udp::new("127.0.0.1:0").timeouts(timeouts);
    let served = Served::start(Server::new().workers(0).udp_peers(udp, door, shout)).await;
    let (_silent, talking) = (peer(&served).await, peer(&served).await);
    for minute in 1..=6 {
        tokio::time::sleep(minutes(1)).await;
        assert_eq!(talking.ask("").await, "");
        let expected = if minute <= 5 { 2 } else { 1 };
        assert_eq!(served.handle.connections().len(), expected, "after {minute} minutes");
    }
    assert_eq!(served.handle.metrics().closed(CloseReason::Idle), 1);
    assert_eq!(served.stop().await.aborted, 0);
}

#[tokio::test]
async fn a_peer_that_is_not_read_loses_its_own_datagrams_alone() {
    let (go, gone) = tokio::sync::watch::channel(());
    let handler = move |mut conn: Connection<Datagrams>| {
        let mut gone = gone.clone();
        async move {
            while let Some(frame) = conn.recv().await? {
                if frame == "wait" {
                    let _ = gone.changed().await;
                }
                if frame.len() < 1000 {
                    conn.send(frame).await?;
                }
            }
            Ok::<(), ConnectionError>(())
        }
    };
    let door = |datagram: Datagram<'_>, _: &mut DatagramReply<'_>| {
        if datagram.payload == b"wait" || datagram.payload == b"go" { Validation::Given } else { Validation::Missing }
    };
    let served = Served::start(Server::new().workers(1).udp_peers(Udp::new("127.0.0.1:0"), door, handler)).await;
    let (waiting, other) = (stranger(&served).await, stranger(&served).await);
    waiting.say("wait").await;
    assert_eq!(other.ask("go").await, "go");
    for _ in 0..400 {
        waiting.say(vec![b'x'; 1000]).await;
        assert_eq!(other.ask("fine").await, "fine");
    }
    let dropped = served.handle.metrics().datagrams_dropped.get();
    assert!((100..200).contains(&dropped), "{dropped} of 400, since 256 KiB wait");
    drop(go);
    assert_eq!(waiting.next().await, "wait");
    let frames_in = 1 + 400 - dropped;
    served.until(|handle| handle.connections().list(None, 1)[0].frames_in == frames_in).await;
    assert_eq!(served.stop().await.aborted, 0);
}

/// Datagrams may be lost, and nobody is closed for them.
#[tokio::test]
async fn what_peers_send_is_lost_before_memory_is_short() {
    let handler = |mut conn: Connection<Datagrams>| async move {
        while let Some(frame) = conn.recv().await? {
            if frame == "wait" {
                std::future::pending::<()>().await;
            }
            conn.send(frame).await?;
        }
        Ok::<(), ConnectionError>(())
    };
    let door = |datagram: Datagram<'_>, _: &mut DatagramReply<'_>| {
        if datagram.payload.len() < 1000 { Validation::Given } else { Validation::Missing }
    };
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let server = Server::new().workers(1).limits(limits).udp_peers(Udp::new("127.0.0.1:0"), door, handler);
    let served = Served::start(server).await;
    let other = stranger(&served).await;
    for _ in 0..6 {
        let waiting = stranger(&served).await;
        waiting.say("wait").await;
        for _ in 0..250 {
            waiting.say(vec![b'x'; 1000]).await;
            assert_eq!(other.ask("fine").await, "fine");
        }
    }
    // Six times 250 KB would be half as much again; what they lie in has room for more.
    let metrics = served.handle.metrics();
    let dropped = metrics.datagrams_dropped.get();
    assert!((500..1000).contains(&dropped), "{dropped} of 1500, since an eighth of 1 MiB stays free");
    assert_eq!(metrics.closed(CloseReason::OutOfMemory), 0);
}

#[tokio::test]
async fn a_handler_for_strangers_that_panics_costs_its_datagram_the_answer() {
    let door = |datagram: Datagram<'_>, reply: &mut DatagramReply<'_>| {
        assert_ne!(datagram.payload, b"panic");
        door(datagram, reply)
    };
    let served = Served::start(Server::new().workers(1).udp_peers(Udp::new("127.0.0.1:0"), door, shout)).await;
    let stranger = stranger(&served).await;
    stranger.say("panic").await;
    assert_eq!(stranger.ask("hi").await, "hi");
    assert_eq!(stranger.ask("open").await, "OPEN");
    assert_eq!(served.stop().await.aborted, 0);
}

#[tokio::test]
async fn no_service_below_port_1024_is_heard() {
    let served = Served::start(Server::new().workers(1).udp_peers(Udp::new("127.0.0.1:0"), door, shout)).await;
    // Only root has such a port to send from.
    let Ok(service) = UdpSocket::bind("127.0.0.1:1007").await else { return };
    service.connect(served.address()).await.unwrap();
    let service = Mote(service);
    service.say("hi").await;
    service.say("open").await;
    served.until(|handle| handle.metrics().datagrams_refused.get() == 2).await;
    assert!(served.handle.connections().is_empty());
    assert!(service.0.try_recv(&mut [0; 8]).is_err());
    assert_eq!(served.stop().await.aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn a_cookie_is_good_for_its_address_and_room_and_for_a_while() {
    let minutes = Duration::from_mins;
    let cookies = Cookies::new(minutes(1));
    let [here, there]: [SocketAddr; 2] = ["192.0.2.1:7", "192.0.2.1:8"].map(|address| address.parse().unwrap());
    let [ops, dev] = ["ops", "dev"].map(|name| RoomName::parse(name).unwrap());
    let cookie = cookies.cookie(here, &ops);
    assert!(cookies.knows(cookie, here, &ops));
    assert!(!cookies.knows(cookie, there, &ops));
    assert!(!cookies.knows(cookie, here, &dev));
    assert!(!Cookies::new(minutes(1)).knows(cookie, here, &ops), "another server's");
    tokio::time::sleep(minutes(1)).await;
    assert!(cookies.knows(cookie, here, &ops));
    tokio::time::sleep(minutes(1)).await;
    assert!(!cookies.knows(cookie, here, &ops));
}

#[tokio::test]
async fn what_a_stranger_sends_is_the_first_frame() {
    let first = async |mut conn: Connection<Datagrams>| -> Result {
        let first: Option<Bytes> = conn.recv().await?;
        assert_eq!(first.as_deref(), Some(&b"open"[..]));
        conn.send(&b"seen"[..]).await?;
        Ok(())
    };
    let served = Served::start(Server::new().workers(1).udp_peers(Udp::new("127.0.0.1:0"), door, first)).await;
    assert_eq!(stranger(&served).await.ask("open").await, "seen");
    served.until(|handle| handle.metrics().closed(CloseReason::Finished) == 1).await;
    assert_eq!(served.stop().await.aborted, 0);
}
