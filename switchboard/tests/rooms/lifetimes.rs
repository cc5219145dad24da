//! How long a room lives, and what it gives back.

use crate::harness::alone::{in_a_process_of_its_own, resident};
use crate::harness::node::{Node, shown};
use crate::harness::patience::secs;
use switchboard::prelude::*;
use switchboard::{Format, HubLimits, Join};
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn an_empty_room_keeps_its_history_for_10_minutes_and_then_begins_anew() {
    let mut node = Node::start().await;
    let mut alice = node.member("lobby").await;
    // Longer than an empty room stays.
    sleep(secs(3600)).await;
    let last = shown(alice.seat.publish("remember").unwrap());
    drop(alice);
    sleep(secs(590)).await;
    assert_eq!(node.hub.rooms(None, 9).total, 1);
    let since = Join { since: Some(last), ..Join::default() };
    alice = node.join(&node.quiet("lobby"), Format::Text, since).await;
    assert_eq!(node.quiet("lobby").last_id(), last);
    assert_eq!(node.quiet("lobby").history(9).len(), 1);
    drop(alice);
    sleep(secs(661)).await;
    assert_eq!(node.hub.rooms(None, 9).total, 0);
    let lobby = node.quiet("lobby");
    assert_eq!((lobby.last_id().seq, lobby.history(9).len()), (0, 0));
    let mut late = node.join(&lobby, Format::Text, since).await;
    assert!(late.heard().await[0].starts_with("* [lobby] started over as "));
    assert_ne!(lobby.last_id().epoch, last.epoch);
}

#[tokio::test(start_paused = true)]
async fn a_room_lives_while_it_has_a_member_or_somebody_holds_it() {
    let mut node = Node::start().await;
    let alice = node.member("busy").await;
    let busy = shown(alice.seat.publish("1").unwrap());
    let held = node.quiet("held");
    let id = shown(held.publish("1"));
    for _ in 0..10 {
        sleep(secs(601)).await;
        assert_eq!(node.hub.rooms(None, 9).total, 2);
    }
    assert_eq!((node.quiet("busy").last_id(), node.quiet("held").last_id()), (busy, id));
}

/// Looking at all of 100,000 at once would hold up whoever asks, and all others on its worker.
#[tokio::test(start_paused = true)]
async fn many_empty_rooms_are_forgotten_a_few_at_a_time() {
    let hub = Hub::new();
    let held = hub.room("room-500").unwrap();
    for number in 0..1000 {
        hub.room(&format!("room-{number}")).unwrap();
    }
    sleep(secs(601)).await;
    let mut left = hub.rooms(None, 0).total;
    assert!(left >= 900, "{left}");
    for _ in 0..20 {
        let now = hub.rooms(None, 0).total;
        assert!(left - now <= 100, "{left} and then {now}");
        left = now;
    }
    assert_eq!((left, hub.find(held.name()).is_some()), (1, true));
}

/// Rooms know their hub, and a hub knows its rooms.
#[test]
fn a_hub_that_is_dropped_gives_its_memory_back() {
    in_a_process_of_its_own(a_hub_that_is_dropped_gives_its_memory_back, async {
        tokio::time::pause();
        let before = resident();
        for _ in 0..400 {
            let hub = Hub::with_limits(HubLimits { history_bytes: 2 << 20, ..HubLimits::default() });
            hub.room("lobby").unwrap().publish(vec![b'x'; 1 << 20]);
        }
        let grown = resident().saturating_sub(before);
        assert!(grown < 200 << 20, "{grown} bytes are left of 400 MiB");
    });
}
