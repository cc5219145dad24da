//! What is set of rooms by their names.

use crate::harness::node::{Node, QUIET};
use switchboard::prelude::*;
use switchboard::{Format, Join, RoomName, RoomOptions};

/// Each room whose name begins with `few` keeps so many messages.
fn few(messages: usize) -> impl Fn(&RoomName) -> RoomOptions {
    move |name| {
        let history_messages = name.as_str().starts_with("few").then_some(messages);
        RoomOptions { history_messages, ..RoomOptions::default() }
    }
}

fn kept(room: &Room) -> usize {
    room.history(99).len()
}

#[test]
fn rooms_of_a_name_are_as_they_are_set_whoever_makes_them() {
    let hub = Hub::new();
    hub.set_room_options(few(2));
    let session = hub.session("alice".parse().unwrap(), Format::Text).unwrap();
    let rooms = [
        hub.room("few").unwrap(),
        hub.room_with(&"few.more".parse().unwrap(), RoomOptions::default()).unwrap(),
        session.room(&"few.others".parse().unwrap()).unwrap(),
        hub.room("many").unwrap(),
    ];
    for room in &rooms {
        (0..5).for_each(|_| _ = room.publish("x"));
    }
    assert_eq!(rooms.each_ref().map(kept), [2, 2, 2, 5]);
}

#[test]
fn rooms_that_exist_follow_at_once_and_keep_their_numbers() {
    let hub = Hub::new();
    let (room, other) = (hub.room("few").unwrap(), hub.room("many").unwrap());
    (0..5).for_each(|_| _ = (room.publish("x"), other.publish("x")));
    hub.set_room_options(few(3));
    assert_eq!((kept(&room), kept(&other)), (3, 5));
    hub.set_room_options(few(0));
    assert_eq!((kept(&room), room.publish("x").seq, kept(&room)), (0, 6, 0));
    hub.set_room_options(|_| RoomOptions::default());
    room.publish("x");
    assert_eq!((kept(&room), room.last_id().seq), (1, 7));
}

#[test]
fn a_room_keeps_as_many_bytes_as_are_set() {
    let hub = Hub::new();
    hub.set_room_options(|_| RoomOptions { history_bytes: Some(5000), ..RoomOptions::default() });
    let room = hub.room("r").unwrap();
    (0..9).for_each(|_| _ = room.publish([b'x'; 2000]));
    assert_eq!(kept(&room), 2);
}

#[tokio::test(start_paused = true)]
async fn members_of_a_room_without_presence_are_told_of_nobody() {
    let mut node = Node::start().await;
    let room = node.hub.room("r").unwrap();
    node.hub.set_room_options(|_| QUIET);
    let mut alice = node.join(&room, Format::Text, Join::default()).await;
    let _bob = node.join(&room, Format::Text, Join::default()).await;
    room.publish("x");
    let heard = alice.heard().await;
    assert!(heard.iter().all(|line| !line.contains("joined")), "{heard:?}");
    node.hub.set_room_options(|_| RoomOptions::default());
    let _carol = node.join(&room, Format::Text, Join::default()).await;
    let heard = alice.heard().await;
    assert!(heard.iter().any(|line| line.contains("joined")), "{heard:?}");
}
