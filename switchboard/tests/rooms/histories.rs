//! What histories keep: each, and all together, by what they really take; and what gives way to what.

use crate::harness::alone::{in_a_process_of_its_own, resident};
use crate::harness::node::Node;
use crate::harness::patience::secs;
use switchboard::prelude::*;
use switchboard::{Format, HubLimits, Join, Overflow};
use tokio::time::{advance, sleep};

/// What a message takes beside its payload, at most.
const BESIDE: usize = 300;

fn kept(room: &Room) -> Vec<usize> {
    room.history(9999).iter().map(|message| message.payload.len()).collect()
}

fn bytes(rooms: &[Room]) -> usize {
    rooms.iter().flat_map(kept).sum()
}

#[tokio::test(start_paused = true)]
async fn a_history_is_bounded_in_bytes() {
    let hub = Hub::with_limits(HubLimits { history_bytes: 100_000 + 3 * BESIDE, ..HubLimits::default() });
    let lobby = hub.room("lobby").unwrap();
    for size in [40_000, 40_000, 20_000] {
        lobby.publish(vec![b'x'; size]);
    }
    assert_eq!(kept(&lobby), [40_000, 40_000, 20_000]);
    lobby.publish([b'x'; BESIDE * 3]);
    assert_eq!(kept(&lobby), [40_000, 20_000, BESIDE * 3]);
    lobby.publish(vec![b'x'; 101_000]);
    assert_eq!(kept(&lobby), [0; 0], "one message alone is more");
    lobby.publish("");
    assert_eq!(kept(&lobby), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_message_counts_for_what_it_takes_and_not_for_its_payload_alone() {
    const ALL: usize = 1 << 20;
    let hub = Hub::with_limits(HubLimits { all_history_bytes: ALL, ..HubLimits::default() });
    let rooms: Vec<_> = (0..100).map(|number| hub.room(&format!("r{number}")).unwrap()).collect();
    for room in &rooms {
        (0..256).for_each(|_| _ = room.publish("x"));
    }
    let messages = bytes(&rooms);
    assert!((ALL / BESIDE..ALL / 150).contains(&messages), "{messages} messages are kept");
}

#[tokio::test(start_paused = true)]
async fn the_history_that_was_published_to_longest_ago_gives_way_to_others() {
    let hub = Hub::with_limits(HubLimits { all_history_bytes: 35_000, ..HubLimits::default() });
    let rooms = ["old", "new", "newest"].map(|name| hub.room(name).unwrap());
    for room in &rooms {
        (0..10).for_each(|_| _ = room.publish([b'x'; 1000]));
    }
    rooms[1].publish([b'x'; 1000]);
    assert_eq!(rooms.each_ref().map(|room| kept(room).len()), [5, 11, 10]);
    assert_eq!(rooms[0].history(1)[0].id, rooms[0].last_id(), "it is the oldest messages that go");
    // Whoever comes last finds room, and all stay within their limit and a sixteenth.
    for _ in 0..10 {
        for room in &rooms {
            (0..20).for_each(|_| _ = room.publish([b'x'; 1000]));
            assert!(kept(room).len() >= 10, "{rooms:?}");
            assert!(bytes(&rooms) <= 35_000 + 35_000 / 16);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_room_that_goes_makes_room() {
    let hub = Hub::with_limits(HubLimits { all_history_bytes: 100_000, ..HubLimits::default() });
    hub.room("gone").unwrap().publish(vec![b'x'; 60_000]);
    advance(secs(601)).await;
    assert_eq!(hub.rooms(None, 9).total, 0);
    let late = hub.room("late").unwrap();
    (0..9).for_each(|_| _ = late.publish(vec![b'x'; 10_000]));
    assert_eq!(kept(&late).len(), 9);
}

#[tokio::test(start_paused = true)]
async fn histories_have_half_of_a_servers_memory_and_give_way_to_its_connections() {
    const MEMORY: usize = 8 << 20;
    let limits = Limits { memory_bytes: MEMORY, outbox_bytes: 6 << 20, ..Limits::default() };
    let hub = Hub::new();
    let mut node = Node::with(hub.clone(), Server::new().limits(limits).hub(&hub)).await;
    let rooms: Vec<_> = (0..64).map(|number| node.quiet(&format!("r{number}"))).collect();
    let fill = || rooms.iter().cycle().take(20 * 64).for_each(|room| _ = room.publish(vec![b'x'; 10_000]));
    fill();
    let before = bytes(&rooms);
    assert!((MEMORY / 3..=MEMORY / 2 + MEMORY / 32).contains(&before), "{before}");
    // It holds 6 MiB, and is not closed for what is held besides.
    let lobby = node.quiet("lobby");
    let slow = node.join(&lobby, Format::Text, Join { overflow: Some(Overflow::DropNewest), ..Join::default() }).await;
    for _ in 0..120 {
        lobby.publish(vec![b'x'; 60_000]);
        lobby.ready().await;
    }
    sleep(secs(3)).await;
    fill();
    sleep(secs(3)).await;
    let after = bytes(&rooms);
    assert!(after < MEMORY - (6 << 20), "{after}");
    assert!(node.handle.connections().get(slow.conn.id()).is_some());
}

/// Each message of a byte takes 150 times as much.
#[test]
fn what_histories_keep_is_what_the_process_has() {
    in_a_process_of_its_own(what_histories_keep_is_what_the_process_has, async {
        tokio::time::pause();
        let hub = Hub::with_limits(HubLimits { all_history_bytes: 16 << 20, ..HubLimits::default() });
        let rooms: Vec<_> = (0..4000).map(|number| hub.room(&format!("r{number}")).unwrap()).collect();
        let before = resident();
        for _ in 0..100 {
            for room in &rooms {
                room.publish("x");
            }
        }
        let grown = resident().saturating_sub(before);
        assert!(grown < 40 << 20, "{grown} bytes are kept, where 16 MiB may be");
    });
}
