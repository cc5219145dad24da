//! Rooms over memory, under a paused clock: who gets what, in which order and form, under which name, and for how long.
//!
//! See `node/mod.rs`: the test speaks for both sides of each connection.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::items_after_statements,
    reason = "tests"
)]

mod node;

use bytes::Bytes;
use node::{Node, QUIET, heard, secs, told, until, user};
use serde_json::Value;
use std::time::Duration;
use switchboard::grammar::Epoch;
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{
    BoxError, Format, Handle, HubLimits, Join, JoinError, Memory, MessageId, NameTaken, RoomError, RoomName,
    RoomOptions, TellError, UserName,
};
use tokio::task::JoinHandle;
use tokio::time::{advance, sleep};

/// Publishes 1, 2, 3 …, and returns the last one's id.
fn publish_numbers(room: &Room, last: u64) -> MessageId {
    for number in 1..=last {
        room.publish(number.to_string());
    }
    room.last_id()
}

fn numbered(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| format!("[lobby] {number}")).collect()
}

// Who gets a message.

#[tokio::test(start_paused = true)]
async fn a_message_reaches_everybody_but_its_publisher() {
    let mut node = Node::start().await;
    let (mut alice, mut bob, mut eve) =
        (node.member("lobby").await, node.member("lobby").await, node.member("lobby").await);
    alice.seat.publish("hi");
    assert_eq!(bob.heard().await, ["[lobby] guest-1: hi"]);
    assert_eq!(eve.heard().await, ["[lobby] guest-1: hi"]);
    assert_eq!(alice.heard().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn who_asked_for_its_own_copy_gets_it_in_its_place() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let mut alice = node.join(&lobby, Format::Text, Join { echo: true, ..Join::default() }).await;
    let mut bob = node.member("lobby").await;
    bob.seat.publish("1");
    alice.seat.publish("2");
    bob.seat.publish("3");
    assert_eq!(alice.heard().await, ["[lobby] guest-2: 1", "[lobby] guest-1: 2", "[lobby] guest-2: 3"]);
    assert_eq!(bob.heard().await, ["[lobby] guest-1: 2"]);
}

#[tokio::test(start_paused = true)]
async fn members_publish_between_each_other_and_nobody_gets_its_own() {
    let mut node = Node::start().await;
    let (mut alice, mut bob) = (node.member("lobby").await, node.member("lobby").await);
    for number in 0..6 {
        if number % 2 == 0 {
            alice.seat.publish(number.to_string())
        } else {
            bob.seat.publish(number.to_string())
        };
    }
    assert_eq!(alice.heard().await, ["[lobby] guest-2: 1", "[lobby] guest-2: 3", "[lobby] guest-2: 5"]);
    assert_eq!(bob.heard().await, ["[lobby] guest-1: 0", "[lobby] guest-1: 2", "[lobby] guest-1: 4"]);
}

#[tokio::test(start_paused = true)]
async fn the_program_publishes_from_nobody_or_in_a_name() {
    let mut node = Node::start().await;
    let mut alice = node.member("lobby").await;
    let lobby = node.quiet("lobby");
    lobby.publish("maintenance at noon");
    lobby.publish_as(UserName::server(), "or later");
    assert_eq!(alice.heard().await, ["[lobby] maintenance at noon", "[lobby] server: or later"]);
    let (id, time) = lobby.publish_timed(UserName::server(), "now");
    let message = &lobby.history(1)[0];
    assert_eq!((message.id, message.time), (id, time));
}

#[tokio::test(start_paused = true)]
async fn messages_are_numbered_from_1_in_one_epoch() {
    let mut node = Node::start().await;
    let alice = node.member("lobby").await;
    let lobby = node.quiet("lobby");
    assert_eq!(lobby.last_id().seq, 0);
    let ids = [alice.seat.publish("a"), lobby.publish("b"), lobby.publish_as(UserName::http(), "c")];
    assert_eq!(ids.map(|id| id.seq), [1, 2, 3]);
    assert!(ids.iter().all(|id| id.epoch == lobby.last_id().epoch));
    assert_eq!(lobby.last_id(), ids[2]);
    assert_ne!(node.quiet("other").last_id().epoch, lobby.last_id().epoch);
}

#[tokio::test(start_paused = true)]
async fn a_connection_joins_without_a_name_and_gets_payloads() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let (mut peer, conn) = node.connect().await;
    let seat = conn.join(&lobby).unwrap();
    let mut alice = node.member("lobby").await;
    lobby.publish("raw");
    seat.publish("from nobody");
    assert_eq!(heard(&mut peer).await, ["raw"]);
    assert_eq!(alice.heard().await, ["[lobby] raw", "[lobby] from nobody"]);
    assert_eq!((lobby.member_count(), lobby.members(0, 9)), (2, vec![user("guest-1")]));
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_sends_and_what_rooms_publish_share_one_queue() {
    let mut node = Node::start().await;
    let mut alice = node.member("lobby").await;
    let lobby = node.quiet("lobby");
    for number in 0..3 {
        alice.conn.send(format!("reply {number}")).await.unwrap();
        lobby.publish(number.to_string());
    }
    let mut lines = alice.heard().await;
    lines.sort();
    assert_eq!(lines, ["[lobby] 0", "[lobby] 1", "[lobby] 2", "reply 0", "reply 1", "reply 2"]);
}

// Joining and leaving are points in the order.

#[tokio::test(start_paused = true)]
async fn a_member_gets_every_message_behind_its_join_and_none_before() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let (mut peer, conn) = node.connect().await;
    let me = node.hub.enter(&conn, Format::Text);
    lobby.publish("1");
    // All of it within one tick.
    lobby.publish("2");
    let seat = me.join(&lobby, Join::default()).unwrap();
    lobby.publish("3");
    lobby.publish("4");
    assert_eq!(seat.joined_at().seq, 2);
    assert_eq!(heard(&mut peer).await, numbered(3..=4));
    assert_eq!(seat.room().name().as_str(), "lobby");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_left_gets_what_came_before_that_and_nothing_behind() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let mut alice = node.member("lobby").await;
    lobby.publish("1");
    drop(alice.seat);
    lobby.publish("2");
    let again = alice.me.join(&lobby, Join::default()).unwrap();
    lobby.publish("3");
    drop(again);
    lobby.publish("4");
    assert_eq!(heard(&mut alice.peer).await, ["[lobby] 1", "[lobby] 3"]);
    assert_eq!(lobby.member_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn members_come_and_go_within_one_tick_and_each_gets_its_part() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let mut members = Vec::new();
    for _ in 0..20 {
        let (peer, conn) = node.connect().await;
        members.push((peer, node.hub.enter(&conn, Format::Text), conn));
    }
    let mut seats = std::collections::VecDeque::new();
    for (_, me, _) in &members {
        lobby.publish((lobby.last_id().seq + 1).to_string());
        seats.push_back(me.join(&lobby, Join::default()).unwrap());
        if seats.len() > 5 {
            seats.pop_front();
        }
    }
    // Member n joined behind message n, and left behind message n + 5.
    for (number, (peer, ..)) in (1..).zip(&mut members) {
        assert_eq!(heard(peer).await, numbered(number + 1..=(number + 5).min(20)), "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_has_finished_still_gets_what_came_before_it_left() {
    let hub = Hub::new();
    let lobby = hub.room_with(&"lobby".parse().unwrap(), QUIET).unwrap();
    lobby.publish("before");
    let handler = {
        let (hub, lobby) = (hub.clone(), lobby.clone());
        move |mut conn: Connection<Lines>| {
            let (hub, lobby) = (hub.clone(), lobby.clone());
            async move {
                let me = hub.enter(&conn, Format::Text);
                let since = MessageId { seq: 0, ..lobby.last_id() };
                let seat = me.join(&lobby, Join { echo: true, since: Some(since), ..Join::default() })?;
                while let Some(line) = conn.recv().await? {
                    seat.publish(line);
                }
                Ok::<(), BoxError>(())
            }
        }
    };
    let mut peer = switchboard::testing::serve(handler, Timeouts::default());
    peer.send("my own\n").await;
    peer.finish();
    let rest = String::from_utf8(peer.rest().await.unwrap()).unwrap();
    assert_eq!(rest, "[lobby] before\n[lobby] guest-1: my own\n");
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn members_in_different_formats_get_large_batches_once() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let mut raw = node.join(&lobby, Format::Raw, Join::default()).await;
    let mut text = node.join(&lobby, Format::Text, Join::default()).await;
    let mut json = node.join(&lobby, Format::Json, Join::default()).await;
    // Within one tick: less than a write takes as they are, and more with what JSON puts around them.
    for number in 0..60_u32 {
        lobby.publish(format!("{number:01000}"));
    }
    let counts = [raw.heard().await.len(), text.heard().await.len(), json.heard().await.len()];
    assert_eq!(counts, [60, 60, 60]);
}

// Coming back.

#[tokio::test(start_paused = true)]
async fn since_brings_what_was_missed_and_then_what_comes() {
    for (since, first) in [(0, 1), (3, 4), (5, 6)] {
        let mut node = Node::start().await;
        let lobby = node.quiet("lobby");
        let last = publish_numbers(&lobby, 5);
        let since = Some(MessageId { seq: since, ..last });
        let mut member = node.join(&lobby, Format::Text, Join { since, ..Join::default() }).await;
        lobby.publish("6");
        assert_eq!(member.seat.joined_at(), last);
        assert_eq!(member.heard().await, numbered(first..=6), "since {since:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn since_within_a_tick_brings_nothing_twice() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let other = node.member("lobby").await;
    let (mut peer, conn) = node.connect().await;
    let me = node.hub.enter(&conn, Format::Text);
    let first = lobby.publish("1");
    lobby.publish("2");
    let seat = me.join(&lobby, Join { since: Some(first), ..Join::default() }).unwrap();
    lobby.publish("3");
    assert_eq!(heard(&mut peer).await, numbered(2..=3));
    drop((seat, other));
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_the_history_does_not_fill_is_told_first() {
    let mut node = Node::limited(HubLimits { history_messages: 3, ..HubLimits::default() }).await;
    let lobby = node.quiet("lobby");
    let last = publish_numbers(&lobby, 10);
    let join = |seq| Join { since: Some(MessageId { seq, ..last }), ..Join::default() };
    let mut member = node.join(&lobby, Format::Text, join(4)).await;
    let mut expected = vec!["* [lobby] lost 3 messages, from 5".to_owned()];
    expected.extend(numbered(8..=10));
    assert_eq!(member.heard().await, expected);
    let mut member = node.join(&lobby, Format::Json, join(6)).await;
    let objects = told(&mut member.peer).await;
    assert_eq!(
        (&objects[0]["event"], &objects[0]["lost"], &objects[0]["from_seq"]),
        (&"gap".into(), &1.into(), &7.into())
    );
    assert_eq!(objects[1..].iter().map(|object| object["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [8, 9, 10]);
    let mut exactly = node.join(&lobby, Format::Text, join(7)).await;
    assert_eq!(exactly.heard().await, numbered(8..=10), "nothing is lost");
}

#[tokio::test(start_paused = true)]
async fn without_a_history_all_that_was_missed_is_a_gap() {
    let mut node = Node::limited(HubLimits { history_messages: 0, ..HubLimits::default() }).await;
    let lobby = node.quiet("lobby");
    let first = lobby.publish("1");
    lobby.publish("2");
    let mut member = node.join(&lobby, Format::Text, Join { since: Some(first), ..Join::default() }).await;
    lobby.publish("3");
    assert_eq!(member.heard().await, ["* [lobby] lost 1 message, from 2", "[lobby] 3"]);
    assert!(lobby.history(9).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_id_of_another_epoch_or_of_the_future_is_a_reset_and_brings_what_there_is() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    lobby.publish("1");
    let last = lobby.publish("2");
    let reset = format!("* [lobby] began anew as {}: earlier messages are gone", last.epoch);
    let strange = [
        MessageId { epoch: Epoch::new(1), seq: 1 },
        MessageId { seq: 3, ..last },
        MessageId { seq: u64::MAX, ..last },
        MessageId { epoch: Epoch::new(1), seq: u64::MAX },
    ];
    for since in strange {
        let mut member = node.join(&lobby, Format::Text, Join { since: Some(since), ..Join::default() }).await;
        assert_eq!(member.heard().await, [reset.as_str(), "[lobby] 1", "[lobby] 2"], "since {since}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_raw_member_comes_back_to_payloads_and_is_told_of_no_gap() {
    let mut node = Node::limited(HubLimits { history_messages: 3, ..HubLimits::default() }).await;
    let lobby = node.quiet("lobby");
    let first = lobby.publish("1");
    for payload in ["2", "3", "two\nlines", "5"] {
        lobby.publish(payload);
    }
    let mut member = node.join(&lobby, Format::Raw, Join { since: Some(first), ..Join::default() }).await;
    lobby.publish("6");
    assert_eq!(member.heard().await, ["3", "5", "6"]);
}

#[tokio::test(start_paused = true)]
async fn a_member_resumes_where_it_is() {
    let mut node = Node::limited(HubLimits { history_messages: 2, ..HubLimits::default() }).await;
    let lobby = node.quiet("lobby");
    let mut member = node.member("lobby").await;
    let first = lobby.publish("1");
    for number in 2..=4 {
        lobby.publish(number.to_string());
    }
    assert_eq!(member.heard().await, numbered(1..=4));
    assert_eq!(member.seat.resume(first), lobby.last_id());
    lobby.publish("5");
    assert_eq!(member.heard().await, ["* [lobby] lost 1 message, from 2", "[lobby] 3", "[lobby] 4", "[lobby] 5"]);
}

// The history.

#[tokio::test(start_paused = true)]
async fn a_history_keeps_the_last_messages() {
    let hub = Hub::with_limits(HubLimits { history_messages: 3, ..HubLimits::default() });
    let lobby = hub.room("lobby").unwrap();
    for number in 1..=5 {
        lobby.publish_as(UserName::http(), number.to_string());
    }
    let kept = |count| lobby.history(count).iter().map(|message| message.id.seq).collect::<Vec<_>>();
    assert_eq!(kept(99), [3, 4, 5]);
    assert_eq!(kept(2), [4, 5]);
    assert_eq!(kept(0), [0; 0]);
    let last = &lobby.history(1)[0];
    assert_eq!(
        (last.room.as_str(), &last.payload[..], last.from.clone()),
        ("lobby", &b"5"[..], Some(UserName::http()))
    );
}

#[tokio::test(start_paused = true)]
async fn a_history_is_bounded_in_bytes() {
    let hub = Hub::with_limits(HubLimits { history_bytes: 100, ..HubLimits::default() });
    let lobby = hub.room("lobby").unwrap();
    let kept = || lobby.history(99).iter().map(|message| message.payload.len()).collect::<Vec<_>>();
    for size in [40, 40, 20] {
        lobby.publish(vec![b'x'; size]);
    }
    assert_eq!(kept(), [40, 40, 20], "exactly the bound");
    lobby.publish("x");
    assert_eq!(kept(), [40, 20, 1]);
    lobby.publish(vec![b'x'; 101]);
    assert_eq!(kept(), [0; 0], "one message alone is more");
    lobby.publish("");
    assert_eq!(kept(), [0]);
}

#[tokio::test(start_paused = true)]
async fn all_histories_together_are_bounded_and_a_room_that_goes_makes_room() {
    let hub = Hub::with_limits(HubLimits { history_bytes: 80, all_history_bytes: 100, ..HubLimits::default() });
    let publish = |room: &str, count| {
        let room = hub.room(room).unwrap();
        for _ in 0..count {
            room.publish([b'x'; 10]);
        }
        room.history(99).len()
    };
    assert_eq!(publish("full", 20), 8);
    assert_eq!(publish("late", 20), 2, "what the other leaves");
    assert_eq!(publish("full", 1), 8, "the other keeps what it has");
    assert_eq!(publish("none", 1), 0);
    advance(secs(5 * 60)).await;
    let held = [hub.room("late").unwrap(), hub.room("none").unwrap()];
    advance(secs(5 * 60 + 1)).await;
    assert_eq!(hub.rooms(None, 9).1, 2, "one room went, with its history");
    assert_eq!(publish("late", 20), 8);
    drop(held);
}

// Wills.

/// Serves on a hub, with a handler that leaves a will and then leaves as it is told.
async fn leaving(hub: &Hub) -> (Memory, Handle, JoinHandle<Drained>) {
    let (memory, hub) = (Memory::new(), hub.clone());
    let lobby = hub.room_with(&"lobby".parse().unwrap(), RoomOptions::default()).unwrap();
    let handler = move |mut conn: Connection<Lines>| {
        let (hub, lobby) = (hub.clone(), lobby.clone());
        async move {
            let me = hub.enter(&conn, Format::Text);
            let _seat = me.join(&lobby, Join::default())?.will("gone");
            conn.send("in").await?;
            while let Some(line) = conn.recv().await? {
                match &line[..] {
                    b"return" => return Ok(()),
                    b"error" => return Err("as asked".into()),
                    b"hang" => std::future::pending().await,
                    _ => panic!("as asked"),
                }
            }
            Ok::<(), BoxError>(())
        }
    };
    let bound = Server::new().workers(0).memory(&memory, handler).bind().await.unwrap();
    let handle = bound.handle();
    (memory, handle, tokio::spawn(bound.serve_until(std::future::pending())))
}

#[tokio::test(start_paused = true)]
async fn a_will_is_published_however_the_handler_ends() {
    let mut node = Node::start().await;
    let lobby = node.hub.room("lobby").unwrap();
    let mut observer = node.join(&lobby, Format::Text, Join::default()).await;
    let (memory, handle, _served) = leaving(&node.hub).await;
    let ways = ["return", "error", "panic", "hang", "finish", "reset", "close by id", "close by name", "vanish"];
    for (number, way) in (2..).zip(ways) {
        sleep(secs(2)).await;
        let mut peer = Peer::connect(&memory);
        assert_eq!(peer.line().await, "in\n");
        assert_eq!(observer.heard().await, [format!("* [lobby] guest-{number} joined")], "{way}");
        let close_by_id = || assert!(handle.connections().close(handle.connections().list(None, 1)[0].id));
        match way {
            "finish" => peer.finish(),
            "reset" => peer.reset(),
            "vanish" => drop(peer),
            "close by id" => close_by_id(),
            "close by name" => assert!(node.hub.close(&UserName::guest(number))),
            _ => peer.send(format!("{way}\n")).await,
        }
        if way == "hang" {
            sleep(Duration::from_millis(1)).await;
            close_by_id();
            sleep(secs(4)).await;
        }
        assert_eq!(observer.heard().await, [format!("[lobby] guest-{number}: gone")], "{way}");
        assert_eq!(lobby.member_count(), 1);
        until(|| handle.connections().is_empty()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_draining_nobody_is_told_who_leaves_and_wills_are_not_published() {
    let mut node = Node::start().await;
    let lobby = node.hub.room("lobby").unwrap();
    let mut observer = node.join(&lobby, Format::Text, Join::default()).await;
    let (memory, handle, drained) = leaving(&node.hub).await;
    let mut peers = [Peer::connect(&memory), Peer::connect(&memory)];
    for peer in &mut peers {
        assert_eq!(peer.line().await, "in\n");
    }
    sleep(secs(3)).await;
    assert_eq!(observer.heard().await, ["* [lobby] 2 joined, 0 left: 3 members"]);
    handle.drain();
    peers.iter_mut().for_each(Peer::finish);
    let drained = drained.await.unwrap();
    assert_eq!((drained.finished, drained.aborted, lobby.member_count()), (2, 0, 1));
    sleep(secs(3)).await;
    assert_eq!(observer.heard().await, [""; 0]);
    assert_eq!(lobby.last_id().seq, 0);
}

#[tokio::test(start_paused = true)]
async fn a_will_comes_in_the_name_that_the_member_had_last() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let mut bob = node.member("lobby").await;
    let alice = node.member("lobby").await;
    let seat = alice.seat.will("bye");
    alice.me.rename(user("alice")).unwrap();
    drop(alice.me);
    drop(seat);
    assert_eq!(bob.heard().await, ["[lobby] alice: bye"]);
    assert_eq!(lobby.history(1)[0].from, Some(user("alice")));
}

// Names.

#[tokio::test(start_paused = true)]
async fn guests_are_numbered_and_a_number_does_not_come_back() {
    let mut node = Node::start().await;
    let (alice, bob) = (node.member("lobby").await, node.member("lobby").await);
    assert_eq!((alice.me.name(), bob.me.name()), (user("guest-1"), user("guest-2")));
    drop(bob);
    assert_eq!(node.member("lobby").await.me.name(), user("guest-3"));
}

#[tokio::test(start_paused = true)]
async fn a_name_is_taken_in_any_case_until_its_owner_goes() {
    let mut node = Node::start().await;
    let (alice, bob) = (node.member("lobby").await, node.member("lobby").await);
    assert_eq!(alice.me.rename(user("Alice")), Ok(user("guest-1")));
    assert_eq!(bob.me.rename(user("aLICE")), Err(NameTaken(user("Alice"))));
    assert!(node.hub.has(&user("ALICE")) && !node.hub.has(&user("guest-1")));
    assert_eq!(bob.me.name(), user("guest-2"), "it keeps the one it has");
    assert_eq!(alice.me.rename(user("ALICE")), Ok(user("Alice")), "one's own, written otherwise");
    assert_eq!(alice.me.name().as_str(), "ALICE");
    assert_eq!(alice.me.rename(user("eve")), Ok(user("ALICE")));
    assert_eq!(bob.me.rename(user("alice")), Ok(user("guest-2")), "free again");
    drop(bob);
    assert_eq!(alice.me.rename(user("alice")), Ok(user("eve")), "free again");
}

#[tokio::test(start_paused = true)]
async fn a_rename_is_told_to_others_and_messages_carry_the_name_of_their_time() {
    let mut node = Node::start().await;
    let (mut alice, mut bob) = (node.member("lobby").await, node.member("lobby").await);
    alice.seat.publish("1");
    let from = alice.me.rename(user("alice")).unwrap();
    alice.seat.renamed(from);
    alice.seat.publish("2");
    let expected = ["[lobby] guest-1: 1", "* [lobby] guest-1 is now alice", "[lobby] alice: 2"];
    assert_eq!(bob.heard().await, expected);
    assert_eq!(alice.heard().await, [""; 0]);
    assert_eq!(node.quiet("lobby").members(0, 9), [user("alice"), user("guest-2")]);
}

#[tokio::test(start_paused = true)]
async fn a_membership_keeps_the_name_of_an_identity_that_is_gone() {
    let mut node = Node::start().await;
    let (alice, mut bob) = (node.member("lobby").await, node.member("lobby").await);
    drop(alice.me);
    alice.seat.publish("still me");
    assert_eq!(bob.heard().await, ["[lobby] guest-1: still me"]);
    assert_eq!(bob.me.tell(&user("guest-1"), "hello?".into()), Err(TellError::NoSuchMember(user("guest-1"))));
}

// One to one, and closing by name.

#[tokio::test(start_paused = true)]
async fn one_member_is_told_alone_and_in_its_own_format() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let alice = node.member("lobby").await;
    let mut text = node.join(&lobby, Format::Text, Join::default()).await;
    let mut json = node.join(&lobby, Format::Json, Join::default()).await;
    let mut raw = node.join(&lobby, Format::Raw, Join::default()).await;
    for member in [&text, &json, &raw] {
        // Names are found in any case.
        let name = user(&member.me.name().as_str().to_uppercase());
        alice.me.tell(&name, "psst".into()).unwrap();
    }
    assert_eq!(text.heard().await, ["@guest-1: psst"]);
    assert_eq!(json.heard().await, [r#"{"event":"direct","from":"guest-1","text":"psst"}"#]);
    assert_eq!(raw.heard().await, ["psst"]);
    assert_eq!(alice.me.tell(&user("nobody"), "psst".into()), Err(TellError::NoSuchMember(user("nobody"))));
    assert_eq!(lobby.last_id().seq, 0, "it is no message of the room's");
}

#[tokio::test(start_paused = true)]
async fn who_finishes_within_the_tick_gets_what_it_was_told_before() {
    let mut node = Node::start().await;
    let mut alice = node.member("lobby").await;
    let (mut peer, conn) = node.connect().await;
    let me = node.hub.enter(&conn, Format::Text);
    // Nothing is on its way that the tick would be awake for.
    alice.heard().await;
    alice.me.tell(&user("guest-2"), "first".into()).unwrap();
    alice.me.tell(&user("guest-2"), "second".into()).unwrap();
    drop((conn, me));
    assert_eq!(alice.me.tell(&user("guest-2"), "late".into()), Err(TellError::NoSuchMember(user("guest-2"))));
    assert_eq!(peer.rest().await.unwrap(), b"@guest-1: first\n@guest-1: second\n");
}

#[tokio::test(start_paused = true)]
async fn who_is_being_closed_is_told_nothing_and_the_sender_knows() {
    let mut node = Node::start().await;
    let (alice, _bob) = (node.member("lobby").await, node.member("lobby").await);
    assert!(node.hub.close(&user("guest-2")));
    assert_eq!(alice.me.tell(&user("guest-2"), "psst".into()), Err(TellError::NoSuchMember(user("guest-2"))));
}

#[tokio::test(start_paused = true)]
async fn a_full_outbox_is_told_nothing_more_until_it_is_read() {
    let mut node = Node::start().await;
    let (alice, mut bob) = (node.member("lobby").await, node.member("lobby").await);
    let tell = |text: &str| alice.me.tell(&user("guest-2"), Bytes::copy_from_slice(text.as_bytes()));
    let mut told = 0;
    while tell(&"x".repeat(1000)).is_ok() {
        told += 1;
        assert!(told <= 1100, "the outbox holds 1 MiB");
        if told == 50 {
            // The pipe takes these; what follows is within one tick.
            sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(tell("more"), Err(TellError::Full(user("guest-2"))));
    assert_eq!(bob.heard().await.len(), told);
    assert_eq!(tell("now"), Ok(()));
    assert_eq!(bob.heard().await, ["@guest-1: now"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_by_its_name_as_it_is_now() {
    let mut node = Node::start().await;
    let mut alice = node.member("lobby").await;
    alice.me.rename(user("alice")).unwrap();
    assert!(!node.hub.close(&user("guest-1")));
    assert!(node.hub.close(&user("ALICE")));
    assert!(alice.conn.recv().await.is_err(), "its handler hears of it");
    drop((alice.seat, alice.me, alice.conn));
    assert_eq!(alice.peer.rest().await.unwrap(), b"");
    alice.peer.finish();
    assert_eq!(alice.peer.closed().await, CloseReason::Closed);
    assert!(!node.hub.close(&user("alice")));
}

// Lists and limits.

#[tokio::test(start_paused = true)]
async fn members_are_listed_in_pages_in_the_order_in_which_they_came() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let mut members = Vec::new();
    for _ in 0..5 {
        members.push(node.member("lobby").await);
    }
    drop(members.remove(1));
    members[0].me.rename(user("zoe")).unwrap();
    let names = |skip, limit| lobby.members(skip, limit).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(0, 2), ["zoe", "guest-3"]);
    assert_eq!(names(2, 2), ["guest-4", "guest-5"]);
    assert_eq!(names(4, 2), [""; 0]);
    assert_eq!((lobby.member_count(), names(0, 0)), (4, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn rooms_are_listed_in_pages_by_name() {
    let mut node = Node::start().await;
    let mut members = Vec::new();
    for room in ["b", "C", "a", "D", "b"] {
        members.push(node.member(room).await);
    }
    let page = |after: Option<&str>, limit| {
        let after = after.map(|name| name.parse::<RoomName>().unwrap());
        let (rooms, total) = node.hub.rooms(after.as_ref(), limit);
        assert_eq!(total, 4);
        rooms.iter().map(|(name, members)| format!("{name} {members}")).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 3), ["a 1", "b 2", "C 1"]);
    assert_eq!(page(Some("c"), 3), ["D 1"]);
    assert_eq!(page(Some("bb"), 1), ["C 1"]);
    assert_eq!(page(Some("d"), 3), [""; 0]);
    assert_eq!(page(None, 0), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_room_is_found_in_any_case_and_keeps_the_case_and_options_that_it_was_made_with() {
    let hub = Hub::new();
    let name = |text: &str| text.parse::<RoomName>().unwrap();
    assert!(hub.find(&name("lobby")).is_none());
    let id = hub.room("Lobby").unwrap().publish("1");
    assert_eq!(hub.room("LOBBY").unwrap().last_id(), id);
    assert_eq!(hub.find(&name("lobby")).unwrap().name().as_str(), "Lobby");
    assert!(matches!(hub.room("no room"), Err(RoomError::Name(_))));
    assert!(matches!(hub.room(""), Err(RoomError::Name(_))));
}

#[tokio::test(start_paused = true)]
async fn a_hub_has_at_most_so_many_rooms() {
    let hub = Hub::with_limits(HubLimits { rooms: 2, ..HubLimits::default() });
    hub.room("a").unwrap();
    let held = hub.room("b").unwrap();
    assert_eq!(hub.room("c").unwrap_err(), RoomError::TooManyRooms { limit: 2 });
    assert!(hub.room("A").is_ok(), "one that is there");
    advance(secs(601)).await;
    assert!(hub.room("c").is_ok(), "in place of the one that nobody holds");
    assert_eq!(hub.room("a").unwrap_err(), RoomError::TooManyRooms { limit: 2 });
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_in_at_most_so_many_rooms() {
    let mut node = Node::limited(HubLimits { rooms_per_connection: 2, ..HubLimits::default() }).await;
    let alice = node.member("a").await;
    let join = |room: &Room| alice.me.join(room, Join::default());
    let (b, c) = (node.quiet("b"), node.quiet("c"));
    let second = join(&b).unwrap();
    assert_eq!(join(&c).unwrap_err(), JoinError::TooManyRooms { limit: 2 });
    assert_eq!(alice.conn.join(&c).unwrap_err(), JoinError::TooManyRooms { limit: 2 });
    assert_eq!(c.member_count(), 0);
    drop(second);
    let _third = join(&c).unwrap();
    assert_eq!((b.member_count(), c.member_count()), (0, 1));
    // The limit is a connection's own.
    let bob = node.member("a").await;
    assert!(bob.me.join(&b, Join::default()).is_ok());
}

// How long a room lives.

#[tokio::test(start_paused = true)]
async fn an_empty_room_keeps_its_history_for_10_minutes_and_then_begins_anew() {
    let mut node = Node::start().await;
    let mut alice = node.member("lobby").await;
    // Longer than an empty room stays.
    sleep(secs(3600)).await;
    let last = alice.seat.publish("remember");
    drop(alice);
    sleep(secs(590)).await;
    assert_eq!(node.hub.rooms(None, 9).1, 1);
    let since = Join { since: Some(last), ..Join::default() };
    alice = node.join(&node.quiet("lobby"), Format::Text, since).await;
    assert_eq!(node.quiet("lobby").last_id(), last);
    assert_eq!(node.quiet("lobby").history(9).len(), 1);
    drop(alice);
    sleep(secs(661)).await;
    assert_eq!(node.hub.rooms(None, 9).1, 0);
    let lobby = node.quiet("lobby");
    assert_eq!((lobby.last_id().seq, lobby.history(9).len()), (0, 0));
    let mut late = node.join(&lobby, Format::Text, since).await;
    assert!(late.heard().await[0].starts_with("* [lobby] began anew as "));
    assert_ne!(lobby.last_id().epoch, last.epoch);
}

#[tokio::test(start_paused = true)]
async fn a_room_lives_while_it_has_a_member_or_somebody_holds_it() {
    let mut node = Node::start().await;
    let alice = node.member("busy").await;
    let busy = alice.seat.publish("1");
    let held = node.quiet("held");
    let id = held.publish("1");
    for _ in 0..10 {
        sleep(secs(601)).await;
        assert_eq!(node.hub.rooms(None, 9).1, 2);
    }
    assert_eq!((node.quiet("busy").last_id(), node.quiet("held").last_id()), (busy, id));
}

/// Rooms know their hub, and a hub knows its rooms.
#[tokio::test(start_paused = true)]
async fn a_hub_that_is_dropped_gives_its_memory_back() {
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let before = resident();
    for _ in 0..400 {
        let hub = Hub::with_limits(HubLimits { history_bytes: 1 << 20, ..HubLimits::default() });
        hub.room("lobby").unwrap().publish(vec![b'x'; 1 << 20]);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 200 << 20, "{grown} bytes are left of 400 MiB");
}

// Who comes and goes.

/// An observer in a room that tells of members, as `format`; two seconds after it came itself.
async fn observing(node: &mut Node, format: Format) -> (Room, node::Member) {
    let lobby = node.hub.room("lobby").unwrap();
    let observer = node.join(&lobby, format, Join::default()).await;
    sleep(secs(2)).await;
    (lobby, observer)
}

#[tokio::test(start_paused = true)]
async fn the_first_to_come_and_to_go_are_named_at_once() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    assert_eq!(observer.heard().await, [""; 0], "not of oneself");
    let bob = node.join(&lobby, Format::Text, Join::default()).await;
    assert_eq!(observer.heard().await, ["* [lobby] guest-2 joined"]);
    sleep(secs(2)).await;
    drop(bob);
    assert_eq!(observer.heard().await, ["* [lobby] guest-2 left"]);
    sleep(secs(5)).await;
    assert_eq!(observer.heard().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn who_follows_within_a_second_is_told_at_its_end_and_not_to_himself() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Json).await;
    let mut bob = node.join(&lobby, Format::Text, Join::default()).await;
    let mut eve = node.join(&lobby, Format::Text, Join::default()).await;
    assert_eq!(observer.heard().await, [r#"{"event":"joined","room":"lobby","name":"guest-2"}"#]);
    sleep(secs(1)).await;
    assert_eq!(observer.heard().await, [r#"{"event":"joined","room":"lobby","name":"guest-3"}"#]);
    assert_eq!(bob.heard().await, ["* [lobby] guest-3 joined"]);
    assert_eq!(eve.heard().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn many_who_come_and_go_are_one_notice_a_second() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    let first = node.join(&lobby, Format::Text, Join::default()).await;
    let second = node.join(&lobby, Format::Text, Join::default()).await;
    let _third = node.join(&lobby, Format::Text, Join::default()).await;
    drop((first, second));
    sleep(secs(1)).await;
    assert_eq!(observer.heard().await, ["* [lobby] guest-2 joined", "* [lobby] 2 joined, 2 left: 2 members"]);
    // For ten seconds, twenty a second.
    for _ in 0..200 {
        drop(node.join(&lobby, Format::Text, Join::default()).await);
        sleep(Duration::from_millis(50)).await;
    }
    sleep(secs(1)).await;
    let notices = observer.heard().await;
    assert!((9..=13).contains(&notices.len()), "{notices:#?}");
    let total: usize = notices.iter().filter_map(|notice| notice.split(' ').nth(2)?.parse::<usize>().ok()).sum();
    assert!((198..=200).contains(&total), "{notices:#?}");
}

#[tokio::test(start_paused = true)]
async fn who_comes_is_told_of_the_others_that_came_and_not_of_itself() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    let mut first = node.join(&lobby, Format::Text, Join::default()).await;
    let mut second = node.join(&lobby, Format::Text, Join::default()).await;
    let mut third = node.join(&lobby, Format::Json, Join::default()).await;
    sleep(secs(1)).await;
    let told = "* [lobby] 2 joined, 0 left: 4 members";
    assert_eq!(observer.heard().await, ["* [lobby] guest-2 joined", told]);
    assert_eq!(first.heard().await, [told]);
    assert_eq!(second.heard().await, ["* [lobby] 1 joined, 0 left: 4 members"]);
    let own = r#"{"event":"presence","room":"lobby","joined":1,"left":0,"members":4}"#;
    assert_eq!(third.heard().await, [own]);
}

/// Somebody who comes a moment after another, so that it is told later, and is called `name` by then.
async fn renamed_guest(node: &mut Node, lobby: &Room, name: &str) -> node::Member {
    let guest = node.join(lobby, Format::Text, Join::default()).await;
    let from = guest.me.rename(user(name)).unwrap();
    guest.seat.renamed(from);
    guest
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_name_before_others_were_told_of_it_is_told_by_that_name_alone() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    let _first = renamed_guest(&mut node, &lobby, "alice").await;
    assert_eq!(observer.heard().await, ["* [lobby] guest-2 joined", "* [lobby] guest-2 is now alice"]);
    let mut bob = renamed_guest(&mut node, &lobby, "bob").await;
    let from = bob.me.rename(user("robert")).unwrap();
    bob.seat.renamed(from);
    sleep(secs(1)).await;
    assert_eq!(observer.heard().await, ["* [lobby] robert joined"]);
    assert_eq!(bob.heard().await, [""; 0], "not of itself");
    // From now on they know it.
    let from = bob.me.rename(user("bob")).unwrap();
    bob.seat.renamed(from);
    assert_eq!(observer.heard().await, ["* [lobby] robert is now bob"]);
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_name_before_it_was_counted_is_only_counted() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    let _first = node.join(&lobby, Format::Text, Join::default()).await;
    let _bob = renamed_guest(&mut node, &lobby, "bob").await;
    let _eve = renamed_guest(&mut node, &lobby, "eve").await;
    sleep(secs(1)).await;
    assert_eq!(observer.heard().await, ["* [lobby] guest-2 joined", "* [lobby] 2 joined, 0 left: 4 members"]);
}

#[tokio::test(start_paused = true)]
async fn who_goes_untold_is_told_by_its_last_name_and_not_mixed_up_with_who_takes_that() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    let alice = renamed_guest(&mut node, &lobby, "alice").await;
    let bob = renamed_guest(&mut node, &lobby, "bob").await;
    let eve = renamed_guest(&mut node, &lobby, "eve").await;
    sleep(secs(3)).await;
    observer.heard().await;

    drop(bob);
    assert_eq!(observer.heard().await, ["* [lobby] bob left"]);
    let from = alice.me.rename(user("anna")).unwrap();
    alice.seat.renamed(from);
    drop(alice);
    sleep(secs(2)).await;
    assert_eq!(observer.heard().await, ["* [lobby] alice is now anna", "* [lobby] anna left"]);

    let carol = node.join(&lobby, Format::Text, Join::default()).await;
    let from = eve.me.rename(user("anna")).unwrap();
    eve.seat.renamed(from);
    drop(eve);
    let from = carol.me.rename(user("anna")).unwrap();
    carol.seat.renamed(from);
    sleep(secs(1)).await;
    let told = ["guest-5 joined", "eve is now anna", "guest-5 is now anna", "0 joined, 1 left: 2 members"];
    assert_eq!(observer.heard().await, told.map(|told| format!("* [lobby] {told}")));
}

#[tokio::test(start_paused = true)]
async fn a_large_room_only_counts() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    let mut members = Vec::new();
    for _ in 0..50 {
        members.push(node.join(&lobby, Format::Text, Join::default()).await);
    }
    sleep(secs(2)).await;
    observer.heard().await;
    members.push(node.join(&lobby, Format::Text, Join::default()).await);
    assert_eq!(observer.heard().await, [""; 0]);
    sleep(secs(1)).await;
    assert_eq!(observer.heard().await, ["* [lobby] 1 joined, 0 left: 52 members"]);
    members.pop();
    sleep(secs(1)).await;
    assert_eq!(observer.heard().await, ["* [lobby] 0 joined, 1 left: 51 members"]);
    members.truncate(48);
    sleep(secs(2)).await;
    assert_eq!(observer.heard().await, ["* [lobby] 0 joined, 2 left: 49 members"]);
    members.pop();
    assert_eq!(observer.heard().await, ["* [lobby] guest-49 left"], "names again");
}

#[tokio::test(start_paused = true)]
async fn raw_members_and_quiet_rooms_are_told_of_nobody() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Raw).await;
    let quiet = node.quiet("quiet");
    let mut hermit = node.join(&quiet, Format::Text, Join::default()).await;
    for room in [&lobby, &quiet] {
        let bob = node.join(room, Format::Text, Join::default()).await;
        let from = bob.me.rename(user("bob")).unwrap();
        if room.name() == lobby.name() {
            bob.seat.renamed(from);
        }
        sleep(secs(2)).await;
        drop(bob);
        sleep(secs(2)).await;
    }
    assert_eq!(observer.heard().await, [""; 0]);
    assert_eq!(hermit.heard().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn members_without_a_name_come_and_go_untold() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    let (_peer, conn) = node.connect().await;
    drop(conn.join(&lobby).unwrap());
    sleep(secs(2)).await;
    assert_eq!(observer.heard().await, [""; 0]);
}

// Formats.

#[tokio::test(start_paused = true)]
async fn each_member_gets_its_own_format() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let alice = node.member("lobby").await;
    let mut text = node.join(&lobby, Format::Text, Join::default()).await;
    let mut json = node.join(&lobby, Format::Json, Join::default()).await;
    let mut raw = node.join(&lobby, Format::Raw, Join::default()).await;
    let id = alice.seat.publish("caf\u{e9}\u{1b}[2J");
    lobby.publish(b"\xff");
    assert_eq!(text.heard().await, ["[lobby] guest-1: caf\u{e9} [2J", "[lobby] \u{fffd}"]);
    assert_eq!(raw.heard().await, ["caf\u{e9}\u{1b}[2J", "\u{fffd}"]);
    let objects = told(&mut json.peer).await;
    assert_eq!(objects[0]["id"], id.to_string());
    assert_eq!((&objects[0]["seq"], &objects[0]["from"]), (&1.into(), &"guest-1".into()));
    assert_eq!(objects[0]["text"], "caf\u{e9}\u{1b}[2J");
    assert_eq!((&objects[1]["from"], &objects[1]["base64"]), (&Value::Null, &"/w==".into()));
}

#[tokio::test(start_paused = true)]
async fn a_raw_member_of_a_line_transport_never_gets_what_is_not_one_line() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let mut raw = node.join(&lobby, Format::Raw, Join::default()).await;
    let mut text = node.member("lobby").await;
    let mut json = node.join(&lobby, Format::Json, Join::default()).await;
    for payload in ["a\nforged", "b\rforged", "\r\n", "\n", "fine", ""] {
        lobby.publish(payload);
        let told = json.me.tell(&user("guest-1"), Bytes::copy_from_slice(payload.as_bytes()));
        assert_eq!(told.is_ok(), !payload.contains(['\r', '\n']), "{payload:?}");
    }
    // What is told to one alone keeps its place among what is published.
    assert_eq!(raw.heard().await, ["fine", "fine", "", ""]);
    assert_eq!(
        text.heard().await,
        ["a forged", "b forged", "  ", " ", "fine", ""].map(|line| format!("[lobby] {line}"))
    );
    let texts: Vec<_> =
        told(&mut json.peer).await.iter().map(|object| object["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts, ["a\nforged", "b\rforged", "\r\n", "\n", "fine", ""]);
}

#[tokio::test(start_paused = true)]
async fn a_raw_member_of_a_framed_transport_gets_any_bytes() {
    let hub = Hub::new();
    let lobby = hub.room_with(&"lobby".parse().unwrap(), QUIET).unwrap();
    let room = lobby.clone();
    let handler = move |mut conn: Connection<Length>| {
        let lobby = room.clone();
        async move {
            let _seat = conn.join(&lobby)?;
            while conn.recv().await?.is_some() {}
            Ok::<(), BoxError>(())
        }
    };
    let mut peer = switchboard::testing::serve(handler, Timeouts::default());
    until(|| lobby.member_count() == 1).await;
    lobby.publish("a\nb");
    lobby.publish("\r");
    sleep(secs(1)).await;
    peer.finish();
    assert_eq!(peer.rest().await.unwrap(), b"\0\0\0\x03a\nb\0\0\0\x01\r");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_format_is_a_point_in_the_order() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let mut alice = node.member("lobby").await;
    lobby.publish("1");
    lobby.publish("2");
    alice.seat.reformed(Format::Json);
    alice.me.set_format(Format::Json);
    lobby.publish("3");
    alice.seat.reformed(Format::Raw);
    lobby.publish("4");
    alice.seat.reformed(Format::Text);
    lobby.publish("5");
    let lines = alice.heard().await;
    assert_eq!([&lines[0], &lines[1], &lines[3], &lines[4]], ["[lobby] 1", "[lobby] 2", "4", "[lobby] 5"]);
    let object: Value = serde_json::from_str(&lines[2]).unwrap();
    assert_eq!((&object["seq"], lines.len()), (&3.into(), 5));
    // What is joined from now on is in the identity's.
    assert_eq!(alice.me.format(), Format::Json);
    let seat = alice.me.join(&node.quiet("other"), Join::default()).unwrap();
    node.quiet("other").publish("6");
    assert_eq!(told(&mut alice.peer).await[0]["text"], "6");
    drop(seat);
}

// Several of each.

#[tokio::test(start_paused = true)]
async fn one_connection_is_in_several_rooms_and_gets_each_in_order() {
    let mut node = Node::start().await;
    let rooms = ["a", "b", "c"].map(|name| node.quiet(name));
    let (mut peer, conn) = node.connect().await;
    let me = node.hub.enter(&conn, Format::Text);
    let mut seats = rooms.each_ref().map(|room| Some(me.join(room, Join::default()).unwrap()));
    let mut bystander = node.member("b").await;
    for number in 1..=3 {
        for room in &rooms {
            room.publish(number.to_string());
        }
    }
    let lines = heard(&mut peer).await;
    for room in ["a", "b", "c"] {
        let start = format!("[{room}] ");
        let own: Vec<_> = lines.iter().filter(|line| line.starts_with(&start)).collect();
        assert_eq!(own, [1, 2, 3].map(|number| format!("{start}{number}")).each_ref());
    }
    assert_eq!(lines.len(), 9);
    assert_eq!(bystander.heard().await, ["[b] 1", "[b] 2", "[b] 3"]);
    seats[1] = None;
    for room in &rooms {
        room.publish("4");
    }
    let mut lines = heard(&mut peer).await;
    lines.sort();
    assert_eq!(lines, ["[a] 4", "[c] 4"]);
}

#[tokio::test(start_paused = true)]
async fn several_servers_share_a_hub() {
    let hub = Hub::new();
    let (mut one, mut two) = (Node::on(hub.clone()).await, Node::on(hub.clone()).await);
    let lobby = one.quiet("lobby");
    let (mut alice, mut bob) = (one.member("lobby").await, two.member("lobby").await);
    assert_eq!((alice.me.name(), bob.me.name()), (user("guest-1"), user("guest-2")));
    alice.seat.publish("from one");
    bob.seat.publish("from two");
    bob.me.tell(&user("guest-1"), "across".into()).unwrap();
    assert_eq!(bob.heard().await, ["[lobby] guest-1: from one"]);
    let mut lines = alice.heard().await;
    lines.sort();
    assert_eq!(lines, ["@guest-2: across", "[lobby] guest-2: from two"]);

    one.handle.drain();
    drop((alice.seat, alice.me, alice.conn));
    alice.peer.finish();
    assert_eq!(one.drained.await.unwrap().finished, 1);
    lobby.publish("still here");
    assert_eq!(bob.heard().await, ["[lobby] still here"]);
    assert_eq!(lobby.member_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_takes_no_notices_of_others_along() {
    let hub = Hub::new();
    let (mut one, mut two) = (Node::on(hub.clone()).await, Node::on(hub.clone()).await);
    let (lobby, mut observer) = observing(&mut two, Format::Text).await;
    let first = one.join(&lobby, Format::Text, Join::default()).await;
    // Within the second: it would be told by a sweep of its server's.
    let second = one.join(&lobby, Format::Text, Join::default()).await;
    one.handle.drain();
    drop((first, second));
    one.drained.await.unwrap();
    sleep(secs(5)).await;
    observer.heard().await;
    let _bob = two.join(&lobby, Format::Text, Join::default()).await;
    sleep(secs(2)).await;
    assert_eq!(observer.heard().await.len(), 1);
}
