//! What is set of rooms by their names.

use crate::harness::node::{Node, QUIET, shown};
use std::time::{Duration, SystemTime};
use switchboard::grammar::Notice;
use switchboard::prelude::*;
use switchboard::{Format, Join, JoinError, PresenceNotices, PublishError, Rate, RoomClass, RoomName, RoomOptions};
use tokio::time::advance;

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
    assert_eq!((kept(&room), shown(room.publish("x")).seq, kept(&room)), (0, 6, 0));
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

/// A room of which `options` are set.
fn room(hub: &Hub, options: RoomOptions) -> Room {
    hub.set_room_options(move |_| options);
    hub.room("r").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_room_takes_as_many_members_as_are_set_and_another_once_one_has_left() {
    let mut node = Node::start().await;
    let room = room(&node.hub, RoomOptions { members: Some(2), ..QUIET });
    let first = node.join(&room, Format::Text, Join::default()).await;
    let ((_here, second), (_there, late)) = (node.connect().await, node.connect().await);
    let _unnamed = second.join(&room).unwrap();
    assert_eq!(late.join(&room).unwrap_err(), JoinError::RoomFull { limit: 2 });
    drop(first);
    let _late = late.join(&room).unwrap();
    // Those that are there stay.
    node.hub.set_room_options(|_| RoomOptions { members: Some(0), ..QUIET });
    assert_eq!(room.member_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_room_takes_as_much_a_second_as_is_set_from_all_but_the_program() {
    let mut node = Node::start().await;
    let room = room(&node.hub, RoomOptions { rate: Some(Rate::new(2, 2)), ..QUIET });
    let member = node.join(&room, Format::Text, Join::default()).await;
    let session = node.hub.session("alice".parse().unwrap(), Format::Text).unwrap();
    assert!(member.seat.publish("1").is_ok() && session.publish(&room, "2").is_ok());
    let too_often = PublishError::TooOften { wait: Duration::from_millis(500) };
    assert_eq!(
        (member.seat.publish("3").unwrap_err(), session.publish(&room, "3").unwrap_err()),
        (too_often, too_often)
    );
    assert_eq!(shown(room.publish("3")).seq, 3);
    advance(Duration::from_millis(500)).await;
    assert_eq!(member.seat.publish("4").map(|published| shown(published).seq), Ok(4));
    assert!(session.publish(&room, "5").is_err());
    node.hub.set_room_options(|_| QUIET);
    assert!(session.publish(&room, "5").is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_room_takes_payloads_as_long_as_is_set() {
    let mut node = Node::start().await;
    let room = room(&node.hub, RoomOptions { payload_bytes: Some(3), ..QUIET });
    let member = node.join(&room, Format::Text, Join::default()).await;
    let session = node.hub.session("alice".parse().unwrap(), Format::Text).unwrap();
    let too_long = PublishError::TooLong { limit: 3 };
    assert_eq!(
        (member.seat.publish("abcd").unwrap_err(), session.publish(&room, "abcd").unwrap_err()),
        (too_long, too_long)
    );
    assert!(member.seat.publish("abc").is_ok() && session.publish(&room, "").is_ok());
    room.publish("abcd");
    assert_eq!(room.last_id().seq, 3);
}

/// The time of a message is that of the day, which a test does not move: so what is set is no time at all, or much.
#[tokio::test(start_paused = true)]
async fn what_is_too_old_is_told_to_nobody() {
    let mut node = Node::start().await;
    let old = |age| move |_: &RoomName| RoomOptions { history_age: Some(age), ..QUIET };
    node.hub.set_room_options(old(Duration::from_hours(1)));
    let room = node.hub.room("r").unwrap();
    let before = shown(room.publish("1"));
    room.publish("2");
    assert_eq!(kept(&room), 2);
    let kept_until = SystemTime::now();
    while SystemTime::now() <= kept_until {}
    node.hub.set_room_options(old(Duration::ZERO));
    assert_eq!((kept(&room), room.since(before).messages.len()), (0, 0));
    assert!(matches!(room.since(before).notice, Some(Notice::Gap { lost: 1, from_seq: 2, .. })));
    let since = Join { since: Some(before), ..Join::default() };
    let mut member = node.join(&room, Format::Text, since).await;
    let heard = member.heard().await;
    assert!(heard.len() == 1 && heard[0].contains("lost"), "{heard:?}");
    // A clock that is set back, or an age beyond all time, makes nothing old.
    node.hub.set_room_options(old(Duration::MAX));
    room.publish("3");
    assert_eq!(kept(&room), 1);
}

#[tokio::test(start_paused = true)]
async fn members_of_a_room_that_counts_are_told_how_many_came_and_no_names() {
    let mut node = Node::start().await;
    let room = room(&node.hub, RoomOptions { presence: PresenceNotices::Counts, ..QUIET });
    let mut alice = node.join(&room, Format::Text, Join::default()).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    alice.heard().await;
    let bob = node.join(&room, Format::Text, Join::default()).await;
    let from = bob.me.rename("bob".parse().unwrap()).unwrap();
    bob.seat.renamed(from);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(alice.heard().await, ["* [r] 1 joined, 0 left: 2 members"]);
    drop(bob);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(alice.heard().await, ["* [r] 0 joined, 1 left: 1 member"]);
}

#[test]
fn a_room_is_of_the_class_that_is_set() {
    let hub = Hub::new();
    assert_eq!((RoomClass::new(RoomClass::MOST), hub.room("r").unwrap().class()), (None, None));
    let class = RoomClass::new(RoomClass::MOST - 1);
    assert_eq!(room(&hub, RoomOptions { class, ..QUIET }).class().map(RoomClass::number), Some(31));
}
