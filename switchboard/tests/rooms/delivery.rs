//! Who gets a message, and which: joining and leaving are points in the order, in each of several rooms.

use super::numbered;
use crate::harness::node::{Node, QUIET, heard, shown, told, user};
use crate::harness::served::Served;
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{BoxError, Format, Join, JoinError, Memory, MessageId, Overflow, PublishError, Published, UserName};

// Who gets a message.

#[tokio::test(start_paused = true)]
async fn a_message_reaches_everybody_but_its_publisher() {
    let mut node = Node::start().await;
    let (mut alice, mut bob, mut eve) =
        (node.member("lobby").await, node.member("lobby").await, node.member("lobby").await);
    alice.seat.publish("hi").unwrap();
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
    bob.seat.publish("1").unwrap();
    alice.seat.publish("2").unwrap();
    bob.seat.publish("3").unwrap();
    assert_eq!(alice.heard().await, ["[lobby] guest-2: 1", "[lobby] guest-1: 2", "[lobby] guest-2: 3"]);
    assert_eq!(bob.heard().await, ["[lobby] guest-1: 2"]);
}

#[tokio::test(start_paused = true)]
async fn members_publish_between_each_other_and_nobody_gets_its_own() {
    let mut node = Node::start().await;
    let (mut alice, mut bob) = (node.member("lobby").await, node.member("lobby").await);
    for number in 0..6 {
        if number % 2 == 0 {
            alice.seat.publish(number.to_string()).unwrap()
        } else {
            bob.seat.publish(number.to_string()).unwrap()
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
    let server = node.hub.session(UserName::server(), Format::Text).unwrap();
    lobby.publish("maintenance at noon");
    server.publish(&lobby, "or later").unwrap();
    assert_eq!(alice.heard().await, ["[lobby] maintenance at noon", "[lobby] server: or later"]);
    let Published { id, time, .. } = server.publish(&lobby, "now").unwrap().await.unwrap();
    let message = &lobby.history(1)[0];
    assert_eq!((message.id, message.time), (id, time));
}

#[tokio::test(start_paused = true)]
async fn messages_are_numbered_from_1_in_one_epoch() {
    let mut node = Node::start().await;
    let alice = node.member("lobby").await;
    let lobby = node.quiet("lobby");
    assert_eq!(lobby.last_id().seq, 0);
    let http = node.hub.session(UserName::http(), Format::Json).unwrap();
    let ids = [alice.seat.publish("a").unwrap(), lobby.publish("b"), http.publish(&lobby, "c").unwrap()].map(shown);
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
    seat.publish("from nobody").unwrap();
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
async fn a_member_that_the_program_removes_is_told_so_and_is_none_until_it_joins_again() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let (_stranger, conn) = node.connect().await;
    let unnamed = conn.join(&lobby).unwrap();
    let mut alice = node.member("lobby").await;
    alice.seat = alice.seat.will("gone");
    let name = alice.me.name();
    lobby.publish("1");
    assert!(node.hub.remove_member(&lobby, &name));
    assert!(!node.hub.remove_member(&lobby, &name) && !node.hub.remove_member(&lobby, &user("nobody")));
    assert!(alice.seat.is_removed() && !unnamed.is_removed());
    lobby.publish("2");
    assert_eq!(alice.seat.publish("psst").unwrap_err(), PublishError::NotAllowed);
    assert_eq!(alice.seat.resume(lobby.last_id()), Err(JoinError::NotAllowed));
    assert_eq!(alice.heard().await, ["[lobby] 1", "* [lobby] you were removed: not allowed"]);
    // Neither counts twice.
    drop(alice.seat);
    assert_eq!((lobby.member_count(), node.hub.metrics().memberships), (1, 1));
    let again = alice.me.join(&lobby, Join::default()).unwrap();
    lobby.publish("3");
    assert_eq!(heard(&mut alice.peer).await, ["[lobby] 3"]);
    assert!(!again.is_removed());
    drop((again, unnamed));
    assert_eq!((lobby.member_count(), lobby.last_id().seq), (0, 3));
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
                    seat.publish(line).unwrap();
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

/// Each in its place would be a delivery of its own, to everybody. All are sent in one tick.
#[tokio::test(start_paused = true)]
async fn of_many_private_messages_the_first_have_rooms_delivered_before_them_and_the_others_come_behind_all() {
    const TOLD_IN_PLACE: usize = 8;
    let mut node = Node::start().await;
    let (alice, mut bob) = (node.member("lobby").await, node.member("lobby").await);
    for number in 1..=50 {
        alice.seat.publish(number.to_string()).unwrap();
        alice.me.tell(&user("guest-2"), number.to_string()).unwrap();
    }
    let heard = bob.heard().await;
    let of = |number| (format!("[lobby] guest-1: {number}"), format!("@guest-1: {number}"));
    let (published, told): (Vec<_>, Vec<_>) = (1..=50).map(of).unzip();
    let (first, behind) = heard.split_at(2 * TOLD_IN_PLACE);
    let in_turn = published.iter().zip(&told).flat_map(|(published, told)| [published, told]);
    assert!(first.iter().eq(in_turn.take(2 * TOLD_IN_PLACE)), "{first:?}");
    assert!(behind.iter().eq(published[TOLD_IN_PLACE..].iter().chain(&told[TOLD_IN_PLACE..])), "{behind:?}");
}

#[tokio::test(start_paused = true)]
async fn several_servers_share_a_hub() {
    let hub = Hub::new();
    let (mut one, mut two) = (Node::on(hub.clone()).await, Node::on(hub.clone()).await);
    let lobby = one.quiet("lobby");
    let (mut alice, mut bob) = (one.member("lobby").await, two.member("lobby").await);
    assert_eq!((alice.me.name(), bob.me.name()), (user("guest-1"), user("guest-2")));
    alice.seat.publish("from one").unwrap();
    bob.seat.publish("from two").unwrap();
    bob.me.tell(&user("guest-1"), "across").unwrap();
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

// What it costs the others on the worker.

#[tokio::test(start_paused = true)]
async fn a_room_that_is_hard_to_encode_gives_way_to_others_meanwhile() {
    let limits = Limits { outbox_bytes: 16 << 20, ..Limits::default() };
    let mut node = Node::with(Hub::new(), Server::new().limits(limits)).await;
    let lobby = node.quiet("lobby");
    let reader = node.join(&lobby, Format::Json, Join::default()).await;
    // Each byte becomes six, and a turn is over by what is done where the clock stands still.
    for _ in 0..16 {
        lobby.publish(vec![1; 64 << 10]);
    }
    let mut turns = 0;
    while node.handle.connections().get(reader.conn.id()).unwrap().frames_out < 16 {
        tokio::task::yield_now().await;
        turns += 1;
    }
    assert!(turns >= 6, "6 MiB were encoded in {turns} turns");
}

#[tokio::test(start_paused = true)]
async fn who_publishes_more_than_a_worker_delivers_is_not_read_meanwhile() {
    let (hub, memory) = (Hub::new(), Memory::new());
    let lobby = hub.room_with(&"lobby".parse().unwrap(), QUIET).unwrap();
    let limits = Limits { outbox_bytes: 1 << 30, memory_bytes: 1 << 40, ..Limits::default() };
    let server = Server::new().limits(limits).memory(&memory, {
        let (hub, lobby) = (hub.clone(), lobby.clone());
        move |mut conn: Connection<Lines>| {
            let (hub, lobby) = (hub.clone(), lobby.clone());
            async move {
                // Each form is encoded once more, and six bytes for one.
                let form = if conn.id().to_string().ends_with('1') { Format::Json } else { Format::Events };
                let me = hub.enter(&conn, form);
                let seat = me.join(&lobby, Join { overflow: Some(Overflow::Latest), ..Join::default() })?;
                while let Some(line) = conn.recv().await? {
                    seat.publish(&line).unwrap();
                }
                drop(seat);
                Ok::<(), BoxError>(())
            }
        }
    });
    let Served { memory, handle, .. } = Served::over(&memory, server).await;
    let listener = Peer::connect(&memory);
    const PUBLISHERS: u64 = 8;
    const LINES: u64 = 15;
    for _ in 0..PUBLISHERS {
        let mut peer = Peer::connect(&memory);
        tokio::spawn(async move {
            let line = "\u{1}".repeat(64 << 10) + "\n";
            for _ in 0..LINES {
                peer.send(&line).await;
            }
            std::future::pending::<()>().await;
        });
    }
    let mut most = 0;
    let first = loop {
        tokio::task::yield_now().await;
        if let Some(first) = handle.connections().list(None, 1).pop() {
            break first.id;
        }
    };
    loop {
        let delivered = handle.connections().get(first).unwrap().frames_out;
        most = most.max(lobby.last_id().seq - delivered);
        if delivered == PUBLISHERS * LINES {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(most <= 2 * 16 + PUBLISHERS, "{most} messages waited for the worker");
    drop(listener);
}

#[tokio::test(start_paused = true)]
async fn a_room_is_ready_for_more_unless_a_worker_is_behind() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let publish = |messages| (0..messages).for_each(|_| _ = lobby.publish(vec![b'x'; 64 << 10]));
    publish(100);
    assert!(lobby.is_ready(), "nobody is there");
    let slow = node.join(&lobby, Format::Text, Join { overflow: Some(Overflow::DropOldest), ..Join::default() }).await;
    lobby.ready().await;
    publish(20);
    assert!(!lobby.is_ready());
    assert!(node.quiet("another").is_ready());
    lobby.ready().await;
    assert!(lobby.is_ready(), "a member that does not read is not waited for");
    let info = node.handle.connections().get(slow.conn.id()).unwrap();
    assert_eq!(info.frames_out, 20);
}

#[tokio::test(start_paused = true)]
async fn what_finds_the_inbox_full_while_the_worker_delivers_is_told_as_lost_and_what_follows_is_told() {
    const MEMORY: usize = 16 << 20;
    let limits = Limits { memory_bytes: MEMORY, ..Limits::default() };
    let mut node = Node::with(Hub::new(), Server::new().limits(limits)).await;
    let (busy, quiet) = (node.quiet("busy"), node.quiet("quiet"));
    let _busy = node.join(&busy, Format::Raw, Join::default()).await;
    let dropping = Join { overflow: Some(Overflow::DropNewest), ..Join::default() };
    let staying = Join::default();
    let mut members = [node.join(&quiet, Format::Json, dropping).await, node.join(&quiet, Format::Json, staying).await];
    for member in &mut members {
        told(&mut member.peer).await;
    }
    // A quarter of the memory fills the inbox, and takes several turns to deliver.
    for _ in 0..=MEMORY / 4 / (64 << 10) {
        busy.publish(vec![b'x'; 64 << 10]);
    }
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    quiet.publish("lost");
    for member in &mut members {
        let objects = told(&mut member.peer).await;
        assert_eq!(objects.len(), 1, "{objects:?}");
        assert_eq!((objects[0]["event"].as_str(), objects[0]["lost"].as_u64()), (Some("gap"), Some(1)));
    }
    quiet.publish("told");
    for member in &mut members {
        assert_eq!(told(&mut member.peer).await[0]["text"], "told");
    }
    let lost = node.handle.metrics().carried().lost;
    assert_eq!(
        lost.into_iter().filter(|(_, lost)| *lost > 0).collect::<Vec<_>>(),
        [("disconnect", 1), ("drop-newest", 1)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_comes_back_fills_no_inbox() {
    const MEMORY: usize = 16 << 20;
    let limits = Limits { memory_bytes: MEMORY, ..Limits::default() };
    let mut node = Node::with(Hub::new(), Server::new().limits(limits)).await;
    let (busy, quiet) = (node.quiet("busy"), node.quiet("quiet"));
    let mut member = node.member("quiet").await;
    for _ in 0..250 {
        busy.publish("x".repeat(500));
    }
    // More than fills an inbox, if each came with a past of its own.
    let mut crowd = Vec::new();
    for _ in 0..2 * (MEMORY / 4) / (250 * 500) {
        crowd.push(node.connect().await);
    }
    let since = Some(busy.before_last(250));
    let enter = |conn| node.hub.enter(conn, Format::Text).join(&busy, Join { since, ..Join::default() }).unwrap();
    let _seats: Vec<_> = crowd.iter().map(|(_, conn)| enter(conn)).collect();
    quiet.publish("told");
    assert_eq!(member.heard().await, ["[quiet] told"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_posted_is_delivered_only_as_far_as_there_is_memory() {
    const MEMORY: usize = 8 << 20;
    const MESSAGES: u64 = 3000;
    let limits = Limits { memory_bytes: MEMORY, ..Limits::default() };
    let mut node = Node::with(Hub::new(), Server::new().limits(limits)).await;
    let lobby = node.quiet("lobby");
    let mut slow = Vec::new();
    for _ in 0..200 {
        slow.push(node.join(&lobby, Format::Text, Join::default()).await);
    }
    // Their pipes are full now.
    (0..66).for_each(|_| _ = lobby.publish("x".repeat(1000)));
    tokio::time::sleep(Duration::from_millis(1)).await;
    // Little, of which each of them would hold an entry for each.
    (0..MESSAGES).for_each(|_| _ = lobby.publish("x"));
    let mut most = 0;
    while !lobby.is_ready() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let told = node.handle.connections().list(None, 1000);
        most = most.max(told.iter().filter(|info| info.frames_out >= MESSAGES).count());
    }
    assert!(most < MEMORY / (50 * MESSAGES as usize), "{most} members held it at a time");
    assert!(node.handle.metrics().closed(CloseReason::OutOfMemory) > 100);
}
