//! Members that do not read: what is dropped for them, that they are told of it, and that nobody else pays.
//!
//! Over memory, under a paused clock: a pipe takes 64 KiB, then the outbox fills.

use crate::harness::account::Account;
use crate::harness::node::{Member, Node, QUIET, heard, shown, told, user};
use crate::harness::patience::{patiently, secs, until};
use bytes::Bytes;
use serde_json::Value;
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::{Format, HubLimits, Join, MessageId, Overflow, RoomOptions, TellError};
use tokio::time::sleep;

/// What the memory transport takes, and a member's outbox: 16 frames, 10,000 bytes.
const PIPE_BYTES: usize = 64 << 10;
const FRAMES: usize = 16;
const BYTES: usize = 10_000;

/// A small outbox, and time enough to read it.
async fn node() -> Node {
    serve(HubLimits::default(), Limits { outbox_frames: FRAMES, outbox_bytes: BYTES, ..Limits::default() }).await
}

async fn serve(hub: HubLimits, limits: Limits) -> Node {
    let timeouts = Timeouts { write: Some(secs(60)), ..Timeouts::default() };
    Node::with(Hub::with_limits(hub), Server::new().limits(limits).timeouts(timeouts)).await
}

fn dropping(overflow: Overflow) -> Join {
    Join { overflow: Some(overflow), ..Join::default() }
}

const DROPPING: [Overflow; 3] = [Overflow::DropOldest, Overflow::DropNewest, Overflow::Latest];

/// Lets a tick pass.
async fn tick() {
    sleep(Duration::from_millis(1)).await;
}

/// Publishes `count` messages of sizes that change, a few in each tick.
async fn flood(room: &Room, count: usize) {
    for number in 0..count {
        room.publish("x".repeat(number * 37 % 900));
        if number % 5 == 4 {
            tick().await;
        }
    }
    tick().await;
}

/// Reads all there is into the account.
async fn read(member: &mut Member, account: &mut Account) -> Vec<Value> {
    let objects = told(&mut member.peer).await;
    for object in &objects {
        account.hear(object);
    }
    objects
}

// What a tick brings.

#[tokio::test(start_paused = true)]
async fn nothing_is_dropped_that_the_socket_takes_however_much_comes_at_once() {
    // Ten times what an outbox holds, in frames, and five times in bytes.
    const COUNT: usize = 10 * FRAMES;
    for overflow in [Overflow::Disconnect].into_iter().chain(DROPPING) {
        let mut node = node().await;
        let (lobby, other) = (node.quiet("lobby"), node.quiet("other"));
        let of_one = node.join(&lobby, Format::Json, dropping(overflow)).await;
        let of_two = node.join(&lobby, Format::Json, dropping(overflow)).await;
        let _second = of_two.me.join(&other, dropping(overflow)).unwrap();
        let mut speaking = node.join(&lobby, Format::Json, dropping(overflow)).await;
        speaking.conn.send(r#"{"event":"an answer"}"#).await.unwrap();
        let mut accounts = [(); 3].map(|()| Account::behind(0));
        accounts[2].publish(shown(speaking.seat.publish("mine").unwrap()).seq);
        for _ in 0..COUNT {
            lobby.publish("x".repeat(200));
        }
        for (mut member, mut account) in [of_one, of_two, speaking].into_iter().zip(accounts) {
            read(&mut member, &mut account).await;
            account.close(COUNT as u64 + 1);
            assert_eq!(account.lost, 0, "{overflow:?} {account:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_outbox_holds_is_told_if_the_socket_takes_it() {
    for overflow in [Overflow::Disconnect].into_iter().chain(DROPPING) {
        let mut node = node().await;
        let (lobby, other) = (node.quiet("lobby"), node.quiet("other"));
        let mut member = node.join(&lobby, Format::Json, dropping(overflow)).await;
        let _second = member.me.join(&other, dropping(overflow)).unwrap();
        for size in [10, BYTES + 1, 10] {
            lobby.publish("x".repeat(size));
        }
        let mut account = Account::behind(0);
        read(&mut member, &mut account).await;
        account.close(3);
        assert_eq!(account.lost, 0, "{overflow:?}");
    }
}

// Disconnecting.

#[tokio::test(start_paused = true)]
async fn by_default_a_member_that_does_not_read_is_disconnected_and_others_get_everything() {
    let mut node = node().await;
    let lobby = node.quiet("lobby");
    let mut slow = node.join(&lobby, Format::Json, Join::default()).await;
    let mut others = Vec::new();
    for format in [Format::Json, Format::Text, Format::Raw] {
        others.push(node.join(&lobby, format, Join::default()).await);
    }
    let mut account = Account::behind(0);
    for round in 1..=300 {
        lobby.publish("x".repeat(1000));
        read(&mut others[0], &mut account).await;
        assert_eq!(account.got, round, "at once, whoever does not read");
        for other in &mut others[1..] {
            assert_eq!(other.heard().await.len(), 1);
        }
    }
    assert_eq!(account.lost, 0);
    assert_eq!(slow.peer.closed().await, CloseReason::SlowConsumer);
    assert_eq!(node.handle.metrics().closed(CloseReason::SlowConsumer), 1);
    assert_eq!(node.handle.connections().len(), 3);
    assert_eq!(slow.conn.recv().await, Err(switchboard::ConnectionError::Closed(CloseReason::SlowConsumer)));
}

#[tokio::test(start_paused = true)]
async fn a_member_is_disconnected_only_beyond_its_outbox() {
    // Frames that are small, and bytes in few frames.
    for (size, fits) in [(0, FRAMES), (2000, BYTES / 2200)] {
        let mut node = node().await;
        let lobby = node.quiet("lobby");
        let mut slow = node.join(&lobby, Format::Raw, Join::default()).await;
        lobby.publish("x".repeat(PIPE_BYTES - 1));
        tick().await;
        let closed = || node.handle.metrics().closed(CloseReason::SlowConsumer);
        for _ in 0..fits {
            lobby.publish("x".repeat(size));
            tick().await;
        }
        assert_eq!(closed(), 0, "{fits} of {size} bytes fit");
        lobby.publish("x".repeat(size));
        if size > 0 {
            lobby.publish("x".repeat(size));
        }
        tick().await;
        slow.conn.recv().await.unwrap_err();
        drop((slow.seat, slow.me, slow.conn));
        until(|| closed() == 1).await;
        assert_eq!(slow.peer.closed().await, CloseReason::SlowConsumer);
    }
}

#[tokio::test(start_paused = true)]
async fn who_makes_no_progress_for_the_write_timeout_is_disconnected_whatever_is_dropped_for_it() {
    for overflow in DROPPING {
        let mut node = node().await;
        let lobby = node.quiet("lobby");
        let mut slow = node.join(&lobby, Format::Json, dropping(overflow)).await;
        flood(&lobby, 300).await;
        sleep(secs(58)).await;
        assert_eq!(node.handle.metrics().closed(CloseReason::SlowConsumer), 0);
        sleep(secs(5)).await;
        assert_eq!(slow.conn.recv().await, Err(switchboard::ConnectionError::Closed(CloseReason::SlowConsumer)));
        drop(slow.conn);
        assert_eq!(slow.peer.closed().await, CloseReason::SlowConsumer);
    }
}

#[tokio::test(start_paused = true)]
async fn raw_members_are_disconnected_whatever_the_room_does_for_others() {
    let mut node = node().await;
    let options = RoomOptions { overflow: Overflow::DropOldest, ..QUIET };
    let lobby = node.hub.room_with(&"lobby".parse().unwrap(), options).unwrap();
    let mut raw = node.join(&lobby, Format::Raw, dropping(Overflow::Latest)).await;
    let mut json = node.join(&lobby, Format::Json, Join::default()).await;
    flood(&lobby, 300).await;
    drop(raw.conn);
    assert_eq!(raw.peer.closed().await, CloseReason::SlowConsumer);
    let mut account = Account::behind(0);
    read(&mut json, &mut account).await;
    account.close(300);
    assert!(account.lost > 0, "the room's choice");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_raw_for_a_while_is_dropped_for_again() {
    let mut node = node().await;
    let lobby = node.quiet("lobby");
    let mut member = node.join(&lobby, Format::Json, dropping(Overflow::DropNewest)).await;
    member.seat.set_format(Format::Raw);
    lobby.publish("raw");
    member.seat.set_format(Format::Json);
    assert_eq!(member.heard().await, ["raw"]);
    flood(&lobby, 300).await;
    let mut account = Account::behind(1);
    read(&mut member, &mut account).await;
    account.close(301);
    assert!(account.lost > 0);
}

// Dropping.

#[tokio::test(start_paused = true)]
async fn what_is_told_after_a_stall_adds_up_whatever_is_dropped() {
    for overflow in DROPPING {
        let mut node = node().await;
        let lobby = node.quiet("lobby");
        let mut slow = node.join(&lobby, Format::Json, dropping(overflow)).await;
        let mut other = node.join(&lobby, Format::Json, Join::default()).await;
        let (mut account, mut others) = (Account::behind(0), Account::behind(0));
        for stall in 1..=5 {
            for _ in 0..40 {
                flood(&lobby, 10).await;
                read(&mut other, &mut others).await;
            }
            read(&mut slow, &mut account).await;
            account.close(stall * 400);
            assert_eq!(account.gaps, stall, "{overflow:?}: one gap for each stall: {account:?}");
        }
        assert_eq!((others.got, others.lost), (2000, 0));
        assert!(account.got > 5 * 64 && account.lost > 500, "{overflow:?} {account:?}");
        assert_eq!(node.handle.connections().len(), 2);
    }
}

/// The numbers of the messages that came, around the one gap.
async fn around_the_gap(overflow: Overflow) -> (Vec<u64>, Vec<u64>) {
    let mut node = node().await;
    let lobby = node.quiet("lobby");
    let mut slow = node.join(&lobby, Format::Json, dropping(overflow)).await;
    flood(&lobby, 400).await;
    let mut account = Account::behind(0);
    let objects = read(&mut slow, &mut account).await;
    account.close(400);
    let gap = objects.iter().position(|object| object["event"] == "gap").unwrap();
    let numbers = |objects: &[Value]| objects.iter().map(|object| object["seq"].as_u64().unwrap()).collect();
    (numbers(&objects[..gap]), numbers(&objects[gap + 1..]))
}

#[tokio::test(start_paused = true)]
async fn drop_oldest_keeps_the_newest() {
    let (_, behind) = around_the_gap(Overflow::DropOldest).await;
    assert_eq!(behind.last(), Some(&400));
    assert!((5..=FRAMES).contains(&behind.len()), "{behind:?}");
}

#[tokio::test(start_paused = true)]
async fn drop_newest_keeps_the_oldest() {
    let (before, behind) = around_the_gap(Overflow::DropNewest).await;
    let oldest = around_the_gap(Overflow::DropOldest).await.0;
    assert!(behind.is_empty(), "{behind:?}");
    assert!((oldest.len() + 5..=oldest.len() + FRAMES).contains(&before.len()), "{} {}", oldest.len(), before.len());
}

#[tokio::test(start_paused = true)]
async fn latest_keeps_one() {
    let (_, behind) = around_the_gap(Overflow::Latest).await;
    assert_eq!(behind, [400]);
}

#[tokio::test(start_paused = true)]
async fn conflated_members_get_the_newest_and_are_told_of_no_gap() {
    for format in [Format::Raw, Format::Json] {
        let mut node = node().await;
        let lobby = node.quiet("lobby");
        let mut slow = node.join(&lobby, format, dropping(Overflow::Conflate)).await;
        for number in 1..=2000 {
            lobby.publish(format!("state {number:0100}"));
            tick().await;
        }
        let told = slow.heard().await;
        assert!(told.len() < 1000, "{}", told.len());
        assert!(told.last().unwrap().contains(&format!("state {:0100}", 2000)), "{told:?}");
        assert!(told.iter().all(|frame| frame.contains("state ")), "{told:?}");
        lobby.publish("state after");
        assert!(slow.heard().await[0].contains("state after"));
    }
}

#[tokio::test(start_paused = true)]
async fn no_frame_is_ever_written_in_part() {
    // Every size around the pipe's and the outbox's, so that the cut falls everywhere in a frame.
    for overflow in DROPPING {
        for size in (900..1300).step_by(13) {
            let mut node = node().await;
            let lobby = node.quiet("lobby");
            let mut slow = node.join(&lobby, Format::Json, dropping(overflow)).await;
            for number in 0..120 {
                lobby.publish(vec![b'x'; size]);
                if number % 3 == 0 {
                    tick().await;
                }
            }
            let mut account = Account::behind(0);
            // Each line that came must be an object.
            read(&mut slow, &mut account).await;
            account.close(120);
            assert!(account.lost > 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_no_outbox_holds_is_a_gap() {
    for overflow in DROPPING {
        let mut node = node().await;
        let lobby = node.quiet("lobby");
        let mut slow = node.join(&lobby, Format::Json, dropping(overflow)).await;
        lobby.publish("x".repeat(PIPE_BYTES));
        tick().await;
        for size in [10, BYTES + 1, 10] {
            lobby.publish("x".repeat(size));
            tick().await;
        }
        let mut account = Account::behind(0);
        read(&mut slow, &mut account).await;
        account.close(4);
        assert_eq!(
            (account.got, account.gaps),
            (if overflow == Overflow::DropNewest { 3 } else { 2 }, 1),
            "{overflow:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn notices_and_what_one_is_told_alone_are_not_dropped() {
    for overflow in DROPPING {
        let mut node = node().await;
        let lobby = node.quiet("lobby");
        let mut slow = node.join(&lobby, Format::Json, dropping(overflow)).await;
        let other = node.join(&lobby, Format::Json, Join::default()).await;
        // The first stands in the pipe, so that the rest is queued, and can be dropped.
        lobby.publish("x".repeat(PIPE_BYTES));
        tick().await;
        let mut expected = Vec::new();
        for number in 0..100 {
            let name = user(&format!("name-{number}"));
            let from = other.me.rename(name).unwrap();
            other.seat.renamed(from);
            expected.push(format!("renamed name-{number}"));
            lobby.publish("x".repeat(500));
            // More often, they would be counted.
            sleep(Duration::from_millis(101)).await;
            // Refused while there is too much of it, but never lost.
            if other.me.tell(&slow.me.name(), Bytes::from(number.to_string())).is_ok() {
                expected.push(format!("direct {number}"));
            }
            if number % 40 == 20 {
                read_kept(&mut slow, &mut expected).await;
            }
        }
        read_kept(&mut slow, &mut expected).await;
        assert_eq!(expected, [""; 0], "{overflow:?}");
    }
}

/// Reads all there is, and takes what is not the room's from the front of `expected`.
async fn read_kept(slow: &mut Member, expected: &mut Vec<String>) {
    for object in told(&mut slow.peer).await {
        let kept = match object["event"].as_str() {
            Some("renamed") => format!("renamed {}", object["to"].as_str().unwrap()),
            Some("direct") => format!("direct {}", object["text"].as_str().unwrap()),
            _ => continue,
        };
        assert_eq!(expected.remove(0), kept);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_handler_sends_waits_and_is_not_dropped() {
    for overflow in DROPPING {
        let mut node = node().await;
        let lobby = node.quiet("lobby");
        let mut slow = node.join(&lobby, Format::Json, dropping(overflow)).await;
        let mut conn = slow.conn;
        let replies = tokio::spawn(async move {
            for number in 0..200 {
                let padding = "x".repeat(500);
                conn.send(format!(r#"{{"reply":{number},"padding":"{padding}"}}"#)).await.unwrap();
            }
            conn
        });
        flood(&lobby, 300).await;
        assert!(!replies.is_finished());
        let (mut account, mut reply) = (Account::behind(0), 0);
        patiently(async {
            while !replies.is_finished() || account.got + account.lost < 300 {
                for object in told(&mut slow.peer).await {
                    account.hear(&object);
                    if let Some(number) = object["reply"].as_u64() {
                        assert_eq!(number, reply);
                        reply += 1;
                    }
                }
            }
        })
        .await;
        account.close(300);
        slow.conn = replies.await.unwrap();
        assert_eq!(reply, 200, "{overflow:?}");
    }
}

/// Four times what a member is told by name while it does not read.
const RENAMES: u64 = 1024;

#[tokio::test(start_paused = true)]
async fn notices_that_are_not_read_are_counted_and_end_nobody() {
    for overflow in [Overflow::Disconnect].into_iter().chain(DROPPING) {
        let mut node = serve(HubLimits::default(), Limits { outbox_frames: FRAMES, ..Limits::default() }).await;
        let lobbies = ["one", "two"].map(|name| node.quiet(name));
        let mut slow = node.join(&lobbies[0], Format::Json, dropping(overflow)).await;
        let _second = slow.me.join(&lobbies[1], dropping(overflow)).unwrap();
        let other = node.join(&lobbies[0], Format::Json, Join::default()).await;
        let second = other.me.join(&lobbies[1], Join::default()).unwrap();
        lobbies[0].publish("x".repeat(PIPE_BYTES));
        for number in 0..RENAMES / 2 {
            let from = other.me.rename(user(&format!("name-{number}"))).unwrap();
            other.seat.renamed(from.clone());
            second.renamed(from);
            sleep(Duration::from_millis(101)).await;
        }
        let mut counted = [0, 0];
        for object in told(&mut slow.peer).await {
            let room = usize::from(object["room"] == "two");
            match object["event"].as_str() {
                Some("renamed") => assert_eq!(object["to"], format!("name-{}", counted[room])),
                Some("presence") => {
                    assert_eq!(
                        (&object["joined"], &object["left"], &object["members"]),
                        (&0.into(), &0.into(), &2.into())
                    );
                    counted[room] += object["renamed"].as_u64().unwrap() - 1;
                }
                _ => continue,
            }
            counted[room] += 1;
        }
        assert_eq!(counted, [RENAMES / 2; 2], "{overflow:?}");
        // It reads again, and is told by name.
        let from = other.me.rename(user("last")).unwrap();
        second.renamed(from);
        assert_eq!(told(&mut slow.peer).await[0]["to"], "last", "{overflow:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_says_alone_leaves_room_for_messages_and_for_what_others_say() {
    for overflow in [Overflow::Disconnect].into_iter().chain(DROPPING) {
        let mut node = node().await;
        let lobby = node.quiet("lobby");
        let mut slow = node.join(&lobby, Format::Json, dropping(overflow)).await;
        let mut senders = Vec::new();
        for _ in 0..3 {
            senders.push(node.join(&lobby, Format::Json, Join::default()).await);
        }
        lobby.publish("x".repeat(PIPE_BYTES));
        tick().await;
        let mut expected = Vec::new();
        for (sender, may) in senders.iter().zip([2, 1, 1]) {
            let text = Bytes::from(sender.me.name().to_string());
            let tell = || sender.me.tell(&slow.me.name(), text.clone());
            for _ in 0..may {
                assert_eq!(tell(), Ok(()));
                expected.push(sender.me.name().to_string());
            }
            for _ in 0..100 {
                assert_eq!(tell(), Err(TellError::Full(slow.me.name())));
            }
            tick().await;
        }
        // All that the outbox has room for, but for the rest of the first.
        for _ in 0..FRAMES - 1 {
            lobby.publish("x");
            tick().await;
        }
        let objects = told(&mut slow.peer).await;
        let alone: Vec<_> = objects.iter().filter(|object| object["event"] == "direct").collect();
        assert_eq!(alone.iter().map(|object| object["from"].as_str().unwrap()).collect::<Vec<_>>(), expected);
        let lost = objects.iter().filter(|object| object["event"] == "gap").count();
        assert_eq!(lost, usize::from(overflow == Overflow::Latest), "{overflow:?}");
        assert_eq!(senders[0].me.tell(&slow.me.name(), "now"), Ok(()));
        assert_eq!(told(&mut slow.peer).await[0]["text"], "now", "{overflow:?}");
    }
}

// Gaps of several rooms, and of a member that publishes.

#[tokio::test(start_paused = true)]
async fn each_room_of_a_connection_has_its_own_gap_however_they_alternate() {
    for first in DROPPING {
        for second in DROPPING {
            let mut node = node().await;
            let rooms = [node.quiet("one"), node.quiet("two")];
            let mut slow = node.join(&rooms[0], Format::Json, dropping(first)).await;
            let seat = slow.me.join(&rooms[1], dropping(second)).unwrap();
            let mut accounts = [Account::behind(0), Account::behind(0)];
            for stall in 1..=3 {
                for number in 0..600 {
                    rooms[number % 2].publish("x".repeat(number * 31 % 700));
                    if number % 7 == 6 {
                        tick().await;
                    }
                }
                for object in told(&mut slow.peer).await {
                    accounts[usize::from(object["room"] == "two")].hear(&object);
                }
                for account in &mut accounts {
                    account.close(stall * 300);
                    assert!(account.lost > 0, "{first:?} {second:?} {account:?}");
                    // A tick may bring several that wait together, of which the latest is kept once the socket takes no more.
                    let latest = [first, second].contains(&Overflow::Latest);
                    assert!(latest || account.gaps == stall, "{first:?} {second:?} {account:?}");
                }
            }
            drop(seat);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_publishes_and_does_not_read_has_one_gap_around_its_own() {
    for overflow in DROPPING {
        let mut node = node().await;
        let lobby = node.quiet("lobby");
        let mut slow = node.join(&lobby, Format::Json, dropping(overflow)).await;
        let mut account = Account::behind(0);
        for number in 0..500 {
            lobby.publish("x".repeat(400));
            account.publish(shown(slow.seat.publish("mine").unwrap()).seq);
            if number % 5 == 4 {
                tick().await;
            }
        }
        read(&mut slow, &mut account).await;
        account.close(1000);
        // As above.
        assert!(account.gaps == 1 || overflow == Overflow::Latest, "{overflow:?} {account:?}");
        assert_eq!(account.got + account.lost, 500);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_told_of_losses_does_not_grow_with_them() {
    let mut node = node().await;
    let rooms = [node.quiet("one"), node.quiet("two")];
    let mut slow = node.join(&rooms[0], Format::Json, dropping(Overflow::DropNewest)).await;
    let _seat = slow.me.join(&rooms[1], dropping(Overflow::DropOldest)).unwrap();
    for _ in 0..2000 {
        rooms[0].publish("x".repeat(300));
        rooms[1].publish("x".repeat(300));
        slow.seat.publish("mine").unwrap();
        tick().await;
    }
    let gaps = told(&mut slow.peer).await.iter().filter(|object| object["event"] == "gap").count();
    assert!(gaps <= 2 * FRAMES, "{gaps}");
}

// Replay.

#[tokio::test(start_paused = true)]
async fn a_replay_is_not_outbox() {
    for overflow in [Overflow::Disconnect, Overflow::DropOldest, Overflow::DropNewest] {
        let mut node = node().await;
        let lobby = node.quiet("lobby");
        for _ in 0..200 {
            lobby.publish("x".repeat(1000));
        }
        let since = Some(MessageId { seq: 0, ..lobby.last_id() });
        let mut slow = node.join(&lobby, Format::Json, Join { since, ..dropping(overflow) }).await;
        tick().await;
        // The pipe is full again, and 60 KiB are on their way to it; what is published now waits behind them.
        let first = slow.peer.line().await;
        tick().await;
        for _ in 0..FRAMES / 2 {
            lobby.publish("x");
            tick().await;
        }
        let mut account = Account::behind(0);
        account.hear(&serde_json::from_str(&first).unwrap());
        read(&mut slow, &mut account).await;
        account.close(200 + FRAMES as u64 / 2);
        assert_eq!(account.lost, 0, "{overflow:?}");
        assert_eq!(node.handle.connections().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_behind_a_replay_is_dropped_as_ever() {
    for overflow in DROPPING {
        // Nothing of the past is turned over meanwhile.
        let hub = HubLimits { history_messages: 10_000, history_bytes: 1 << 20, ..HubLimits::default() };
        let mut node = serve(hub, Limits { outbox_frames: FRAMES, ..Limits::default() }).await;
        let lobby = node.quiet("lobby");
        for _ in 0..200 {
            lobby.publish("x".repeat(1000));
        }
        let since = Some(MessageId { seq: 0, ..lobby.last_id() });
        let mut slow = node.join(&lobby, Format::Json, Join { since, ..dropping(overflow) }).await;
        tick().await;
        flood(&lobby, 200).await;
        let mut account = Account::behind(0);
        read(&mut slow, &mut account).await;
        account.close(400);
        assert!(account.got > 200 && account.lost > 100, "{overflow:?} {account:?}");
        assert_eq!(account.gaps, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_a_line_cannot_carry_leaves_no_trace() {
    let hub = HubLimits { history_messages: 10_000, ..HubLimits::default() };
    let mut node = serve(hub, Limits { outbox_frames: FRAMES, ..Limits::default() }).await;
    let lobby = node.quiet("lobby");
    for _ in 0..100 {
        lobby.publish("two\nlines");
    }
    let since = Some(MessageId { seq: 0, ..lobby.last_id() });
    let mut raw = node.join(&lobby, Format::Raw, Join { since, ..Join::default() }).await;
    tick().await;
    for number in 0..100 {
        raw.conn.send(number.to_string()).await.unwrap();
    }
    assert_eq!(heard(&mut raw.peer).await.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_asks_again_and_again_and_never_reads_is_not_held_for_ever() {
    let limits = Limits { memory_bytes: 2 << 20, ..Limits::default() };
    let mut node = serve(HubLimits::default(), limits).await;
    let lobby = node.quiet("lobby");
    let mut slow = node.member("lobby").await;
    lobby.publish("x".repeat(PIPE_BYTES));
    for _ in 0..256 {
        lobby.publish("x");
    }
    for _ in 0..1000 {
        slow.seat.resume(MessageId { seq: 0, ..lobby.last_id() }).unwrap();
        tick().await;
        if node.handle.connections().is_empty() {
            break;
        }
    }
    // For it takes nothing, and not for what it holds: that is next to nothing.
    assert_eq!(slow.peer.closed().await, CloseReason::SlowConsumer);
}

// A worker that is held up.

#[tokio::test(start_paused = true)]
async fn what_a_worker_that_is_held_up_cannot_take_is_a_gap() {
    let hub = HubLimits { history_messages: 0, ..HubLimits::default() };
    let mut node = serve(hub, Limits { memory_bytes: 1 << 30, ..Limits::default() }).await;
    let lobby = node.quiet("lobby");
    let mut json = node.join(&lobby, Format::Json, dropping(Overflow::DropNewest)).await;
    let mut raw = node.join(&lobby, Format::Raw, Join::default()).await;
    let mut states = node.join(&lobby, Format::Raw, dropping(Overflow::Conflate)).await;
    let (peer, conn) = node.connect().await;
    let me = node.hub.enter(&conn, Format::Json);
    tick().await;
    // Nobody else runs until this is over. The bound is 64 MiB.
    let payload = vec![b'x'; 64 << 10];
    for _ in 0..1100 {
        lobby.publish(&payload);
    }
    let late = me.join(&lobby, dropping(Overflow::DropNewest)).unwrap();
    let mut late = Member { peer, seat: late, me, conn };
    for _ in 0..10 {
        lobby.publish(&payload);
    }
    tick().await;
    lobby.publish("the end");
    for (member, joined_at) in [(&mut json, 0), (&mut late, 1100)] {
        let mut account = Account::behind(joined_at);
        read(member, &mut account).await;
        lobby.publish("it reads again");
        read(member, &mut account).await;
        account.close(lobby.last_id().seq);
        assert!(account.lost >= 10, "{account:?}");
    }
    drop(raw.conn);
    assert_eq!(raw.peer.closed().await, CloseReason::SlowConsumer);
    assert_eq!(states.heard().await.last().unwrap(), "it reads again");
}
