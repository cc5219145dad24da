//! Lists of members and rooms, and how many there may be.

use crate::harness::node::{Node, shown, user};
use crate::harness::patience::secs;
use switchboard::prelude::*;
use switchboard::{HubLimits, Join, JoinError, RoomError, RoomList, RoomName};
use tokio::time::advance;

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
async fn who_has_no_name_is_counted_and_no_page_has_a_place_for_it() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let (_first, unnamed) = (node.member("lobby").await, node.connect().await);
    let seat = unnamed.1.join(&lobby).unwrap();
    let _last = node.member("lobby").await;
    let names = |skip| lobby.members(skip, 1).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((lobby.member_count(), [0, 1, 2].map(names).concat()), (3, vec!["guest-1".into(), "guest-2".into()]));
    drop(seat);
    assert_eq!((lobby.member_count(), names(1)), (2, vec!["guest-2".into()]));
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
        let RoomList { rooms, total, .. } = node.hub.rooms(after.as_ref(), limit);
        assert_eq!(total, 4);
        rooms.iter().map(|room| format!("{} {}", room.name, room.members)).collect::<Vec<_>>()
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
    let id = shown(hub.room("Lobby").unwrap().publish("1"));
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
