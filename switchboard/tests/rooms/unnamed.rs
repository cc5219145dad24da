//! Rooms of a program's own, which no peer can name.

use crate::harness::alone::{in_a_process_of_its_own, resident};
use crate::harness::node::{Node, QUIET, shown};
use switchboard::prelude::*;
use switchboard::{Format, HubLimits, Join, RoomName, RoomOptions};

#[tokio::test(start_paused = true)]
async fn an_unnamed_room_is_in_no_list_and_cannot_be_joined_by_a_name() {
    let mut node = Node::start().await;
    let game = node.hub.unnamed(RoomOptions::default());
    let mut alice = node.join(&game, Format::Text, Join::default()).await;
    game.publish("begun");
    let name = game.name().to_string();
    assert_eq!(alice.heard().await.last().unwrap(), &format!("[{name}] begun"));
    assert!(RoomName::parse(&name).is_err(), "{name}");
    assert_eq!((node.hub.rooms(None, 9).total, node.hub.find(game.name()).is_none()), (0, true));
    assert_ne!(node.hub.unnamed(QUIET).name(), game.name());
}

#[tokio::test(start_paused = true)]
async fn an_unnamed_room_is_gone_with_the_last_handle_and_member() {
    let mut node = Node::limited(HubLimits { rooms: 1, ..HubLimits::default() }).await;
    let rooms: Vec<_> = (0..10).map(|_| node.hub.unnamed(QUIET)).collect();
    let mut alice = node.join(&rooms[0], Format::Json, Join::default()).await;
    let first = shown(rooms[0].publish("kept"));
    drop(rooms);
    // A member still has it.
    assert_eq!(alice.seat.room().history(9).len(), 1);
    alice.seat.publish("mine").unwrap();
    let room = alice.seat.room().clone();
    assert_eq!(room.last_id().seq, first.seq + 1);
    drop(alice.heard().await);
    drop(alice);
    assert_eq!(room.member_count(), 0);
    // Nor does it take a named one's place.
    assert!(node.hub.room("lobby").is_ok());
}

#[test]
fn a_hundred_thousand_unnamed_rooms_are_cheap_and_give_everything_back() {
    in_a_process_of_its_own(a_hundred_thousand_unnamed_rooms_are_cheap_and_give_everything_back, async {
        const ROOMS: usize = 100_000;
        let hub = Hub::new();
        let make = || (0..ROOMS).map(|_| hub.unnamed(QUIET)).collect::<Vec<_>>();
        let before = resident();
        let rooms = make();
        let each = (resident() - before) / ROOMS;
        assert!(each < 700, "{each} bytes for each");
        drop(rooms);
        let first = resident();
        for _ in 0..3 {
            drop(make());
        }
        assert!(resident() < first + (8 << 20), "what is dropped is used again");
    });
}
