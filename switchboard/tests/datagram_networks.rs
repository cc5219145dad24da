//! Datagrams on their way: networks that are slower than the room, or whose packets are small.
//!
//! Each test that needs such a network runs itself once more in one of its own.

use crate::harness::alone::in_a_network_of_its_own;
use crate::harness::mote::{Mote, door, stranger};
use crate::harness::patience::patiently;
use crate::harness::served::Served;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use switchboard::prelude::*;
use switchboard::{BoxError, DATAGRAM_BYTES, Datagrams, Format, Join, Udp};

#[tokio::test]
async fn the_longest_datagram_passes_and_a_longer_frame_is_a_gap() {
    longest_datagram("127.0.0.1:0").await;
}

/// The kernel sends in fragments what is longer than a packet, over IPv6 too, and refuses nothing that a datagram holds.
#[test]
fn where_packets_are_small_the_longest_datagram_passes_as_well() {
    in_a_network_of_its_own(
        where_packets_are_small_the_longest_datagram_passes_as_well,
        "ip link set lo mtu 1280 up",
        async {
            for (address, counts, created) in
                [("127.0.0.1:0", "/proc/self/net/snmp", "Ip: "), ("[::1]:0", "/proc/self/net/snmp6", "Ip6FragCreates")]
            {
                longest_datagram(address).await;
                let fragments = fragments(&std::fs::read_to_string(counts).unwrap(), created);
                assert!(fragments > 2 * DATAGRAM_BYTES / 1280, "{fragments} to {address}");
            }
        },
    );
}

/// Where the kernel does not take apart what is joined, since the parts are no packets.
#[test]
fn what_cannot_be_joined_is_sent_alone() {
    in_a_network_of_its_own(what_cannot_be_joined_is_sent_alone, "ip link set lo mtu 600 up", async {
        let shout = async |mut conn: Connection<Datagrams>| -> Result {
            while conn.recv().await?.is_some() {
                for number in 0..20 {
                    conn.send(format!("{number:1000}").into_bytes()).await?;
                }
            }
            Ok(())
        };
        let served = Served::start(Server::new().workers(1).udp_peers(Udp::new("127.0.0.1:0"), door, shout)).await;
        let mote = stranger(&served).await;
        for _ in 0..3 {
            mote.say("open").await;
            for number in 0..20 {
                assert_eq!(mote.next().await, format!("{number:1000}"));
            }
        }
        assert_eq!(served.handle.metrics().datagrams_lost.get(), 0);
        assert_eq!(served.stop().await.aborted, 0);
    });
}

/// What is told to a member on such a way goes alone, and nobody else is sent more datagrams for it.
#[test]
fn a_member_on_a_narrow_way_costs_the_others_nothing() {
    let set_up = "ip link set lo up && ip route add local 127.0.0.2 dev lo table local mtu 600";
    in_a_network_of_its_own(a_member_on_a_narrow_way_costs_the_others_nothing, set_up, async {
        let shout = async |mut conn: Connection<Datagrams>| -> Result {
            while conn.recv().await?.is_some() {
                for number in 0..20 {
                    conn.send(format!("{number:1000}").into_bytes()).await?;
                }
            }
            Ok(())
        };
        let served = Served::start(Server::new().workers(1).udp_peers(Udp::new("0.0.0.0:0"), door, shout)).await;
        let port = served.address().port();
        let member = async |address: &str| {
            let socket = tokio::net::UdpSocket::bind((address, 0)).await.unwrap();
            socket.connect((address, port)).await.unwrap();
            Mote(socket)
        };
        let (wide, narrow) = (member("127.0.0.1").await, member("127.0.0.2").await);
        // What was joined comes joined.
        nix::sys::socket::setsockopt(&wide.0, nix::sys::socket::sockopt::UdpGroSegment, &true).unwrap();
        for round in 0..3 {
            narrow.say("open").await;
            for number in 0..20 {
                assert_eq!(narrow.next().await, format!("{number:1000}"), "in round {round}");
            }
            wide.say("open").await;
            assert_eq!(wide.bytes().await.len(), 20_000, "in round {round}");
        }
        assert_eq!(served.handle.metrics().datagrams_lost.get(), 0);
        assert_eq!(served.stop().await.aborted, 0);
    });
}

/// How many fragments the network has sent, by its counts in lines or in columns.
fn fragments(counts: &str, created: &str) -> usize {
    let lines: Vec<Vec<&str>> =
        counts.lines().filter(|line| line.starts_with(created)).map(|line| line.split_whitespace().collect()).collect();
    match &lines[..] {
        [names, values] => values[names.iter().position(|name| *name == "FragCreates").unwrap()].parse().unwrap(),
        [line] => line[1].parse().unwrap(),
        _ => panic!("{counts}"),
    }
}

async fn longest_datagram(address: &str) {
    let hub = Hub::new();
    let room = hub.room("lobby").unwrap();
    let seat = room.clone();
    let handler = move |mut conn: Connection<Datagrams>| {
        let me = hub.enter(&conn, Format::Text);
        let seat = me.join(&seat, Join::default());
        async move {
            let seat = seat?;
            while let Some(frame) = conn.recv().await? {
                seat.publish(frame).unwrap();
            }
            Ok::<(), BoxError>(())
        }
    };
    let served = Served::start(Server::new().workers(1).udp_peers(Udp::new(address), door, handler)).await;
    let (one, other) = (stranger(&served).await, stranger(&served).await);
    one.say("open").await;
    served.until(|_| room.member_count() == 1).await;
    other.say("open").await;
    served.until(|_| room.member_count() == 2 && room.last_id().seq == 2).await;
    // `[lobby] guest-1: ` before it, and a line end behind it.
    let longest = vec![b'x'; DATAGRAM_BYTES - 18];
    one.say(&longest).await;
    while other.bytes().await.len() != DATAGRAM_BYTES {}
    one.say([&longest[..], b"x"].concat()).await;
    assert_eq!(other.next().await, "* [lobby] lost 1 message, from 4\n");
    one.say("short").await;
    assert_eq!(other.next().await, "[lobby] guest-1: short\n");
    assert_eq!(served.handle.metrics().datagrams_lost.get(), 0);
    assert_eq!(served.stop().await.aborted, 0);
}

/// Where the loopback takes 200 Mbit/s, and its queue is the sending socket's to fill.
#[test]
fn a_full_socket_holds_back_its_peers_and_loses_nothing() {
    let set_up = "ip link set lo up && tc qdisc add dev lo root tbf rate 200mbit burst 32k limit 100mb";
    in_a_network_of_its_own(
        a_full_socket_holds_back_its_peers_and_loses_nothing,
        set_up,
        fan_out_over_a_slow_network(),
    );
}

async fn fan_out_over_a_slow_network() {
    const MEMBERS: usize = 100;
    /// As many as a member's receive buffer holds, whenever it reads them.
    const MESSAGES: usize = 80;
    let room = Hub::new().room("stage").unwrap();
    let seat = room.clone();
    let listen = move |mut conn: Connection<Datagrams>| {
        let seat = conn.join(&seat);
        async move {
            let _seat = seat?;
            while conn.recv().await?.is_some() {}
            Ok::<(), BoxError>(())
        }
    };
    let served = Served::start(Server::new().workers(1).udp_peers(Udp::new("127.0.0.1:0"), door, listen)).await;
    let mut members = tokio::task::JoinSet::new();
    let received = Arc::new(AtomicUsize::new(0));
    for _ in 0..MEMBERS {
        let (mote, received) = (stranger(&served).await, Arc::clone(&received));
        mote.say("open").await;
        members.spawn(async move {
            let mut next = 0;
            while next < MESSAGES {
                let payload = mote.next().await;
                let number: usize = payload[..4].parse().unwrap();
                assert!(number >= next && payload.len() == 1000, "{number} in place of {next}");
                next = number + 1;
                received.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    served.until(|_| room.member_count() == MEMBERS).await;
    for number in 0..MESSAGES {
        room.publish(format!("{number:04}{}", "x".repeat(996)));
    }
    // The kernel was given each of them once. It may lose some on a machine that is short of time.
    let total = MEMBERS * MESSAGES;
    let metrics = served.handle.metrics();
    served.until(|_| metrics.datagrams_out.get() == total as u64).await;
    assert_eq!(metrics.datagrams_lost.get(), 0);
    served.until(|_| received.load(Ordering::Relaxed) > total * 9 / 10).await;
    while let Some(done) = members.try_join_next() {
        done.unwrap();
    }
    assert_eq!(served.stop().await.aborted, 0);
}

/// A stream is reset then, and its peer can be told nothing. Here the network between is full, and not the peer.
#[test]
fn who_is_given_up_on_is_told_so_once() {
    let set_up = "ip link set lo up && tc qdisc add dev lo root tbf rate 50mbit burst 32k limit 100mb";
    in_a_network_of_its_own(who_is_given_up_on_is_told_so_once, set_up, async {
        let slow = Limits { outbox_bytes: 20_000, ..Limits::default() };
        give_up_on_many(slow, CloseReason::SlowConsumer).await;
        // Its handler is not asked then.
        let short = Limits { memory_bytes: 256 << 10, ..Limits::default() };
        give_up_on_many(short, CloseReason::OutOfMemory).await;
    });
}

async fn give_up_on_many(limits: Limits, reason: CloseReason) {
    const MEMBERS: usize = 50;
    let hub = Hub::new();
    let room = hub.room("stage").unwrap();
    let seat = room.clone();
    let listen = move |mut conn: Connection<Datagrams>| {
        let me = hub.enter(&conn, Format::Text);
        let seat = me.join(&seat, Join::default());
        async move {
            let (_me, _seat) = (me, seat?);
            loop {
                match conn.recv().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok::<(), BoxError>(()),
                    Err(error) => {
                        conn.last_word(format!("* {}\n", error.to_string().replace("connection ", "")).into_bytes());
                        return Err(error.into());
                    }
                }
            }
        }
    };
    let server = Server::new().workers(1).limits(limits);
    let served = Served::start(server.udp_peers(Udp::new("127.0.0.1:0"), door, listen)).await;
    let mut members = tokio::task::JoinSet::new();
    for _ in 0..MEMBERS {
        let mote = stranger(&served).await;
        mote.say("open").await;
        members.spawn(async move {
            let mut told = mote.next().await;
            while !told.starts_with("* closed") {
                told = mote.next().await;
            }
            (told, mote)
        });
    }
    served.until(|_| room.member_count() == MEMBERS).await;
    patiently(async {
        while room.member_count() > 0 {
            room.publish("x".repeat(1000));
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut motes = Vec::new();
    while let Some(member) = members.join_next().await {
        let (told, mote) = member.unwrap();
        assert_eq!(told, format!("* closed: {reason}\n"));
        motes.push(mote);
    }
    assert_eq!(served.handle.metrics().closed(reason), MEMBERS as u64);
    // Nothing comes behind it.
    for mote in motes {
        assert_eq!(mote.ask("hi").await, "hi");
    }
    assert_eq!(served.stop().await.aborted, 0);
}
