//! What a server and a hub count: it adds up to what clients did, and never falls.

use crate::harness::node::Node;
use crate::harness::patience::{patiently, secs, until};
use crate::harness::served::{Served, address, echo, line};
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::{Carried, Format, Metrics, RoomOptions, TransportTraffic, Udp};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::sleep;

fn traffic(carried: &Carried, transport: &str) -> TransportTraffic {
    carried.transports.iter().find(|(name, _)| *name == transport).unwrap().1
}

fn lost(carried: &Carried, policy: &str) -> u64 {
    carried.lost.iter().find(|(name, _)| *name == policy).unwrap().1
}

/// Every counter there is.
fn counters(metrics: &Metrics) -> Vec<u64> {
    let carried = metrics.carried();
    let traffic =
        carried.transports.iter().flat_map(|(_, all)| [all.bytes_in, all.bytes_out, all.frames_in, all.frames_out]);
    let lost = carried.lost.iter().map(|(_, lost)| *lost);
    let closed = CloseReason::ALL.map(|reason| metrics.closed(reason));
    let delays = carried.fanout_delay.steps.iter().map(|(_, count)| *count).chain([carried.fanout_delay.count]);
    [metrics.accepted.get(), metrics.refused.get(), carried.deliveries]
        .into_iter()
        .chain(traffic)
        .chain(lost)
        .chain(closed)
        .chain(delays)
        .collect()
}

#[tokio::test]
async fn what_is_counted_is_what_clients_did() {
    for workers in [0, 1, 3] {
        let served = Served::start(Server::new().workers(workers).tcp("127.0.0.1:0", echo)).await;
        let mut seen = counters(served.handle.metrics());
        let mut streams = Vec::new();
        for _ in 0..6 {
            streams.push(TcpStream::connect(served.address()).await.unwrap());
        }
        for round in 0..10 {
            for stream in &mut streams {
                stream.write_all(b"hello\n").await.unwrap();
                assert_eq!(line(stream).await, "hello\n");
            }
            let now = counters(served.handle.metrics());
            assert!(now.iter().zip(&seen).all(|(now, before)| now >= before), "round {round}: {now:?} {seen:?}");
            seen = now;
        }
        let metrics = served.handle.metrics();
        let [listener] = &metrics.listeners()[..] else { panic!("there is one") };
        assert_eq!((listener.name.as_str(), listener.transport), (served.urls[0].as_str(), "tcp"));
        assert_eq!((listener.accepted, &listener.open[..]), (6, &[("tcp", 6)][..]));
        // What was written is counted a moment after the peer has it.
        until(|| traffic(&metrics.carried(), "tcp").bytes_out == 360).await;
        let carried = metrics.carried();
        let all = traffic(&carried, "tcp");
        assert_eq!((all.bytes_in, all.bytes_out, all.frames_in, all.frames_out), (360, 360, 60, 60));
        assert_eq!(carried.transports.iter().map(|(_, all)| all.bytes_in).sum::<u64>(), 360);
        assert_eq!(served.handle.workers().iter().map(|worker| worker.connections).sum::<usize>(), 6);

        drop(streams);
        served.left(0).await;
        let metrics = served.handle.metrics();
        until(|| metrics.closed(CloseReason::PeerClosed) == 6).await;
        let [ends] = &metrics.closures()[..] else { panic!("of one transport") };
        assert_eq!((ends.transport, &ends.reasons[..]), ("tcp", &[(CloseReason::PeerClosed, 6)][..]));
        assert_eq!((ends.lives.count, metrics.listeners()[0].open[0].1), (6, 0));
        served.stop().await;
    }
}

#[tokio::test]
async fn who_is_refused_is_counted_with_its_listener_and_has_no_life() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let server = Server::new().workers(0).limits(limits).tcp("127.0.0.1:0", echo).tcp("127.0.0.1:0", echo);
    let served = Served::start(server).await;
    let mut first = TcpStream::connect(served.address()).await.unwrap();
    first.write_all(b"x\n").await.unwrap();
    line(&mut first).await;
    let _second = TcpStream::connect(address(&served.urls[1])).await.unwrap();
    let metrics = served.handle.metrics();
    until(|| metrics.refused.get() == 1).await;
    let listeners = metrics.listeners();
    let refused = |name: &str| listeners.iter().find(|listener| listener.name == name).unwrap().refused.clone();
    assert_eq!(refused(&served.urls[0]), []);
    assert_eq!(refused(&served.urls[1]), [(CloseReason::TooManyConnections, 1)]);
    let ends = metrics.closures();
    assert_eq!((&ends[0].reasons[..], ends[0].lives.count), (&[(CloseReason::TooManyConnections, 1)][..], 0));
    served.stop().await;
}

#[tokio::test]
async fn each_datagram_is_counted_with_its_listener() {
    let server = Server::new().workers(0).datagrams(Udp::new("127.0.0.1:0"), |datagram, reply| {
        reply.write(datagram.payload);
    });
    let served = Served::start(server.tcp("127.0.0.1:0", echo)).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..3 {
        socket.send_to(b"ping", served.address()).await.unwrap();
        patiently(socket.recv(&mut [0; 16])).await.unwrap();
    }
    let metrics = served.handle.metrics();
    let listeners = metrics.listeners();
    let listener = listeners.iter().find(|listener| listener.transport == "udp").unwrap();
    assert_eq!((listener.datagrams_in, listener.datagrams_out, listener.datagrams_refused), (3, 3, 0));
    assert_eq!(metrics.datagrams_in.get(), 3);
    served.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hub_counts_rooms_members_publications_and_what_it_keeps() {
    let mut node = Node::start().await;
    let hub = node.hub.clone();
    let room = node.quiet("lobby");
    let first = node.join(&room, Format::Json, Join::default()).await;
    let second = node.join(&room, Format::Json, Join::default()).await;
    for _ in 0..300 {
        room.publish("hi");
    }
    let metrics = hub.metrics();
    assert_eq!((metrics.rooms, metrics.memberships, metrics.publications), (1, 2, 300));
    assert_eq!((metrics.history_messages, metrics.refused_not_allowed), (256, 0));
    assert!(metrics.history_bytes > 256 * 2);
    sleep(Duration::from_millis(5)).await;
    let carried = node.handle.metrics().carried();
    assert_eq!((carried.deliveries, carried.fanout_delay.count > 0), (600, true));
    drop((first, second));
    hub.set_room_options(|_| RoomOptions { history_messages: Some(3), ..RoomOptions::default() });
    until(|| hub.metrics().memberships == 0).await;
    assert_eq!(hub.metrics().history_messages, 3);
}

#[tokio::test(start_paused = true)]
async fn what_members_lose_is_counted_by_policy_and_who_is_blocked_is_for_as_long() {
    let limits = Limits { outbox_frames: 16, outbox_bytes: 10_000, ..Limits::default() };
    let timeouts = Timeouts { write: Some(secs(600)), ..Timeouts::default() };
    for (overflow, code) in
        [(Overflow::DropOldest, "drop-oldest"), (Overflow::DropNewest, "drop-newest"), (Overflow::Conflate, "conflate")]
    {
        let server = Server::new().limits(limits).timeouts(timeouts);
        let mut node = Node::with(Hub::new(), server).await;
        let room = node.quiet("lobby");
        let mut member = node.join(&room, Format::Raw, Join { overflow: Some(overflow), ..Join::default() }).await;
        if overflow != Overflow::Conflate {
            member = node.join(&room, Format::Json, Join { overflow: Some(overflow), ..Join::default() }).await;
        }
        for _ in 0..1000 {
            room.publish("x".repeat(500));
            sleep(Duration::from_millis(1)).await;
        }
        let handle = node.handle.clone();
        let carried = handle.metrics().carried();
        assert!(lost(&carried, code) > 500, "{code}: {carried:?}");
        assert_eq!(carried.lost.iter().map(|(_, lost)| lost).sum::<u64>(), lost(&carried, code));
        assert_eq!(handle.metrics().blocked(), 1, "{code}");
        drop(member);
        until(|| handle.metrics().blocked() == 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_seen_with_what_waits_and_since_when() {
    let timeouts = Timeouts { write: Some(secs(600)), ..Timeouts::default() };
    let limits = Limits { outbox_frames: 16, outbox_bytes: 10_000, ..Limits::default() };
    let mut node = Node::with(Hub::new(), Server::new().limits(limits).timeouts(timeouts)).await;
    let room = node.quiet("lobby");
    let dropping = Join { overflow: Some(Overflow::DropOldest), ..Join::default() };
    let slow = node.join(&room, Format::Json, dropping).await;
    let quiet = node.join(&node.quiet("other"), Format::Json, Join::default()).await;
    for _ in 0..400 {
        room.publish("x".repeat(500));
        sleep(Duration::from_millis(1)).await;
    }
    sleep(secs(5)).await;
    let connections = node.handle.connections().list(None, 10);
    let [slow_info, quiet_info] = &connections[..] else { panic!("{connections:?}") };
    assert!(slow_info.outbox_bytes > 5000 && slow_info.outbox_frames > 0 && slow_info.lost > 100, "{slow_info:?}");
    assert!(
        slow_info.blocked.is_some_and(|blocked| blocked >= secs(4)) && slow_info.subscriptions == 1,
        "{slow_info:?}"
    );
    assert_eq!(
        (quiet_info.outbox_bytes, quiet_info.blocked, quiet_info.lost, quiet_info.subscriptions),
        (0, None, 0, 1)
    );

    let named: Vec<_> = {
        let (mut after, mut all) = (switchboard::NamedAfter::default(), Vec::new());
        loop {
            let some = node.hub.named(&mut after, 1);
            if some.is_empty() {
                break all;
            }
            all.extend(some);
        }
    };
    let ids: Vec<_> = named.iter().map(|named| named.id).collect();
    assert_eq!(ids, [slow_info.id, quiet_info.id]);
    let rooms = node.hub.room_infos(None, 10);
    let told: Vec<_> = rooms.iter().map(|room| (room.name.as_str(), room.members, room.last.seq)).collect();
    assert_eq!(told, [("lobby", 1, 400), ("other", 1, 0)]);
    let mut after = switchboard::MemberAfter::default();
    let mut next = |room: &str| {
        let some = node.hub.named_in(&room.parse().unwrap(), &mut after, 1);
        some.into_iter().map(|named| named.id).collect::<Vec<_>>()
    };
    assert_eq!((next("nowhere"), next("other"), next("other")), (vec![], vec![quiet_info.id], vec![]));
    drop((slow, quiet));
}

#[tokio::test(start_paused = true)]
async fn the_last_thousand_that_finished_and_the_last_thousand_that_were_cut_off_are_remembered_with_why() {
    let served = Served::in_memory(Server::new(), |server, memory| server.memory(&memory, echo));
    // Two kinds in turn, and at the end only who finishes: these push out nobody who was cut off.
    for number in 1..=2300 {
        let mut peer = served.connect();
        peer.send("hello\n").await;
        peer.line().await;
        if number % 2 == 0 && number <= 2200 {
            peer.reset();
        } else {
            peer.finish();
        }
        served.left(0).await;
    }
    until(|| served.handle.metrics().carried().transports.len() == 9).await;
    let closed = served.handle.connections().closed(5000);
    let ids = |why: CloseReason| -> Vec<_> {
        closed.iter().filter(|ended| ended.reason == why).map(|ended| u64::from(ended.id)).collect()
    };
    let (finished, cut_off) = (ids(CloseReason::PeerClosed), ids(CloseReason::PeerReset));
    assert_eq!((closed.len(), finished.len(), cut_off.len()), (2000, 1000, 1000));
    assert_eq!((finished[0], finished[99], finished[100], finished[999]), (2300, 2201, 2199, 401));
    assert_eq!((cut_off[0], cut_off[999]), (2200, 202));
    assert!(closed.iter().all(|ended| ended.bytes_in == 6));
    let newest = served.handle.connections().closed(2);
    assert_eq!(newest.iter().map(|ended| u64::from(ended.id)).collect::<Vec<_>>(), [2300, 2299, 2200, 2198]);
    assert!(closed.iter().all(|ended| ended.name.is_none()), "they were called nothing");
    served.stop().await;
}
