//! Who may do what: each door granted and refused, and what a change of the policy does.

use crate::harness::node::{Member, Node, user};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use switchboard::policy::{Authenticating, Claimant, Credentials, NotAllowed, Policy, Principal, Refusal, Rights};
use switchboard::prelude::*;
use switchboard::{
    Format, HubLimits, Join, JoinError, MessageId, RoomError, RoomName, RoomOptions, Session, TellError, UserName,
};

/// What each has been given in every room, by name; nobody in particular is `-`.
#[derive(Default)]
struct Table {
    rights: Mutex<HashMap<String, Rights>>,
    generation: AtomicU64,
}

impl Table {
    fn give(&self, who: &str, rights: Rights) {
        self.rights.lock().insert(who.to_owned(), rights);
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn of(&self, who: &str) -> Rights {
        self.rights.lock().get(who).copied().unwrap_or_default()
    }
}

impl Policy for Table {
    fn authenticate(&self, _: Credentials, _: Claimant) -> Authenticating<'_> {
        Box::pin(async { Err(Refusal::Wrong) })
    }

    fn rights(&self, principal: &Principal, room: &RoomName) -> Rights {
        let closed = room.as_str().starts_with("closed");
        if closed { Rights::NONE } else { self.of(principal.name().map_or("-", UserName::as_str)) }
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn may_tell(&self, principal: &Principal, to: &UserName) -> bool {
        principal.name().is_some_and(|name| name.as_str() == "alice" && to.as_str() != "root")
    }
}

struct Scene {
    node: Node,
    table: Arc<Table>,
}

const MISSING: [(Rights, &str); 5] = [
    (Rights::JOIN, "join"),
    (Rights::PUBLISH, "publish"),
    (Rights::HISTORY, "history"),
    (Rights::PRESENCE, "presence"),
    (Rights::CREATE, "create"),
];

impl Scene {
    async fn start() -> Self {
        let table = Arc::new(Table::default());
        let hub = Hub::with_policy(HubLimits::default(), Arc::clone(&table) as Arc<dyn Policy>);
        Self { node: Node::on(hub).await, table }
    }

    /// Somebody who has a connection and is in no room.
    async fn enter(&mut self, name: &str) -> (switchboard::testing::Peer, Connection<Lines>, Session) {
        let (peer, conn) = self.node.connect().await;
        let me = self.node.hub.enter(&conn, Format::Text);
        if name != "-" {
            me.authorize(Arc::new(Principal::named(user(name))));
        }
        (peer, conn, me)
    }

    async fn member(&mut self, name: &str, room: &Room, join: Join) -> Member {
        let (peer, conn, me) = self.enter(name).await;
        let seat = me.join(room, join).unwrap();
        Member { peer, seat, me, conn }
    }
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_door_opens_to_its_right_and_to_no_other() {
    for (missing, word) in MISSING {
        let mut scene = Scene::start().await;
        scene.table.give("alice", Rights::ALL.without(missing));
        let lobby = scene.node.hub.room("lobby").unwrap();
        let first = lobby.publish("1");
        let (_peer, _conn, me) = scene.enter("alice").await;
        let is = |right: Rights| if right == missing { Err(NotAllowed) } else { Ok(()) };
        assert_eq!(me.join(&lobby, Join::default()).map(drop).map_err(|_| NotAllowed), is(Rights::JOIN), "{word}");
        assert_eq!(me.publish(&lobby, "2").map(drop), is(Rights::PUBLISH), "{word}");
        assert_eq!(me.history(&lobby, 9).map(drop), is(Rights::HISTORY), "{word}");
        assert_eq!(me.page(&lobby, first, 9).map(drop), is(Rights::HISTORY), "{word}");
        assert_eq!(me.members(&lobby, 0, 9).map(drop), is(Rights::PRESENCE), "{word}");
        assert_eq!(me.rooms(None, 9).total, usize::from(missing != Rights::JOIN), "{word}");
        let made = me.room(&room("new")).map(drop);
        assert_eq!(made.err(), (missing == Rights::CREATE).then_some(RoomError::NoSuchRoom), "{word}");
        assert!(me.find(&room("lobby")).is_some() && me.room(&room("lobby")).is_ok(), "there is something to do in it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_room_in_which_one_may_do_nothing_looks_the_same_whether_or_not_it_is_there() {
    let mut scene = Scene::start().await;
    scene.table.give("alice", Rights::ALL);
    let there = scene.node.hub.room("closed.one").unwrap();
    let (_peer, _conn, me) = scene.enter("alice").await;
    for name in ["closed.one", "closed.two"] {
        assert!(me.find(&room(name)).is_none());
        assert_eq!(me.room(&room(name)).unwrap_err(), RoomError::NotAllowed);
    }
    assert!(scene.node.hub.find(&room("closed.two")).is_none(), "nor is it made");
    assert_eq!(me.rooms(None, 9).total, 0);
    // Whoever has the room from the program is asked all the same.
    assert_eq!(me.join(&there, Join::default()).unwrap_err(), JoinError::NotAllowed);
    assert_eq!(me.publish(&there, "x"), Err(NotAllowed));
    assert_eq!(there.last_id().seq, 0);
}

#[tokio::test(start_paused = true)]
async fn rooms_are_listed_by_pages_of_those_that_one_may_join() {
    let mut scene = Scene::start().await;
    scene.table.give("alice", Rights::JOIN);
    let rooms: Vec<_> = (0..30).map(|number| scene.node.hub.room(&format!("r{number:02}")).unwrap()).collect();
    let closed: Vec<_> = (0..30).map(|number| scene.node.hub.room(&format!("closed{number}")).unwrap()).collect();
    let (_peer, _conn, me) = scene.enter("alice").await;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let list = me.rooms(after.as_ref(), 7);
        assert_eq!(list.total, 30);
        found.extend(list.rooms.iter().map(|room| room.name.clone()));
        after = list.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, rooms.iter().map(|room| room.name().clone()).collect::<Vec<_>>());
    let all = scene.node.hub.rooms(None, 99);
    assert_eq!((all.rooms.len(), all.total), (rooms.len() + closed.len(), 60), "the program sees all");
}

#[tokio::test(start_paused = true)]
async fn a_member_publishes_while_it_may_and_its_will_too() {
    let mut scene = Scene::start().await;
    scene.table.give("alice", Rights::ALL);
    scene.table.give("bob", Rights::ALL);
    let lobby = scene.node.quiet("lobby");
    let mut alice = scene.member("alice", &lobby, Join::default()).await;
    let bob = scene.member("bob", &lobby, Join::default()).await;
    bob.seat.publish("1").unwrap();
    assert!(bob.seat.may(Rights::PUBLISH | Rights::JOIN) && !bob.seat.may(Rights::MODERATE));
    scene.table.give("bob", Rights::READ);
    assert_eq!(bob.seat.publish("2"), Err(NotAllowed));
    assert!(!bob.seat.may(Rights::PUBLISH) && bob.seat.may(Rights::READ));
    scene.table.give("bob", Rights::ALL);
    bob.seat.publish("3").unwrap();
    assert_eq!(alice.heard().await, ["[lobby] bob: 1", "[lobby] bob: 3"]);
    let seat = bob.seat.will("gone");
    scene.table.give("bob", Rights::READ);
    drop(seat);
    assert_eq!(alice.heard().await, [""; 0]);
    let bob = bob.me.join(&lobby, Join::default()).unwrap().will("gone");
    scene.table.give("bob", Rights::ALL);
    drop(bob);
    assert_eq!(alice.heard().await, ["[lobby] bob: gone"]);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_what_was_is_told_of_a_gap_and_gets_what_comes() {
    let mut scene = Scene::start().await;
    scene.table.give("alice", Rights::ALL.without(Rights::HISTORY));
    let lobby = scene.node.quiet("lobby");
    let first = lobby.publish("1");
    (2..=5).for_each(|number| _ = lobby.publish(number.to_string()));
    let since = Join { since: Some(first), ..Join::default() };
    let mut alice = scene.member("alice", &lobby, since).await;
    let last = lobby.publish("6");
    assert_eq!(alice.heard().await, ["* [lobby] lost 4 messages, from 2", "[lobby] 6"]);
    // The same for one that is there: what it has heard already is part of it.
    assert_eq!(alice.seat.resume(MessageId { seq: 3, ..first }), Ok(last));
    lobby.publish("7");
    assert_eq!(alice.heard().await, ["* [lobby] lost 3 messages, from 4", "[lobby] 7"]);
    scene.table.give("alice", Rights::ALL);
    alice.seat.resume(last).unwrap();
    assert_eq!(alice.heard().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_know_who_is_there_is_not_told_who_comes_and_goes() {
    let mut scene = Scene::start().await;
    scene.table.give("alice", Rights::ALL.without(Rights::PRESENCE));
    scene.table.give("bob", Rights::ALL);
    let lobby = scene.node.hub.room_with(&room("lobby"), RoomOptions::default()).unwrap();
    let mut bob = scene.member("bob", &lobby, Join::default()).await;
    let mut alice = scene.member("alice", &lobby, Join::default()).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(!bob.heard().await.is_empty());
    for _ in 0..50 {
        drop(scene.member("bob", &lobby, Join::default()).await);
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    let renamed = bob.me.rename(user("rob")).unwrap();
    bob.seat.renamed(renamed);
    lobby.publish("hi");
    assert!(bob.heard().await.len() > 25);
    assert_eq!(alice.heard().await.len(), 1, "the message alone");
    // From the next thing that it does on.
    scene.table.give("alice", Rights::ALL);
    alice.seat.publish("may I?").unwrap();
    drop(bob);
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let heard = alice.heard().await;
    assert!(heard.len() == 1 && heard[0].contains("left"), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn whom_one_may_not_tell_anything_may_be_there_or_not() {
    let mut scene = Scene::start().await;
    let (mut heard, _conn, _bob) = scene.enter("bob").await;
    let (_, _root_conn, _root) = scene.enter("root").await;
    let (_, _conn, alice) = scene.enter("alice").await;
    let (_, _other_conn, stranger) = scene.enter("-").await;
    assert_eq!(alice.tell(&user("bob"), "hi"), Ok(()));
    assert_eq!(heard.line().await, "@alice: hi\n");
    assert_eq!(alice.tell(&user("eve"), "hi"), Err(TellError::NoSuchMember(user("eve"))));
    assert_eq!(alice.tell(&user("root"), "hi"), Err(TellError::NotAllowed(user("root"))));
    for name in ["bob", "eve"] {
        assert_eq!(stranger.tell(&user(name), "hi"), Err(TellError::NotAllowed(user(name))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_session_is_nobody_in_particular() {
    let mut scene = Scene::start().await;
    let lobby = scene.node.quiet("lobby");
    let (mut peer, conn) = scene.node.connect().await;
    assert_eq!(conn.join(&lobby).unwrap_err(), JoinError::NotAllowed);
    assert_eq!(lobby.member_count(), 0);
    scene.table.give("-", Rights::JOIN);
    let seat = conn.join(&lobby).unwrap();
    assert_eq!(seat.publish("1"), Err(NotAllowed));
    scene.table.give("-", Rights::JOIN | Rights::PUBLISH);
    seat.publish("2").unwrap();
    assert_eq!(lobby.last_id().seq, 1);
    lobby.publish("3");
    assert_eq!(peer.line().await, "3\n");
    drop(seat);
    assert_eq!(lobby.member_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_shown_to_be_somebody_has_its_rights_where_it_is() {
    let mut scene = Scene::start().await;
    scene.table.give("-", Rights::JOIN);
    scene.table.give("alice", Rights::ALL);
    let lobby = scene.node.quiet("lobby");
    let guest = scene.member("-", &lobby, Join::default()).await;
    assert!(guest.me.principal().is_anonymous());
    assert_eq!(guest.seat.publish("1"), Err(NotAllowed));
    let before = guest.me.authorize(Arc::new(Principal::named(user("alice")).by("ID")));
    assert_eq!((before, guest.me.name()), (Some(user("guest-1")), user("alice")));
    assert_eq!(guest.me.principal().credential(), Some("ID"));
    guest.seat.publish("2").unwrap();
    // And loses what the next one has not.
    guest.me.authorize(Arc::new(Principal::anonymous()));
    assert_eq!(guest.seat.publish("3"), Err(NotAllowed));
    assert_eq!(lobby.history(1)[0].from, Some(user("alice")));
}

#[tokio::test(start_paused = true)]
async fn a_room_without_a_name_is_for_whoever_has_it() {
    let mut scene = Scene::start().await;
    let game = scene.node.hub.unnamed(RoomOptions::default());
    let member = scene.member("-", &game, Join::default()).await;
    member.seat.publish("1").unwrap();
    assert!(member.seat.may(Rights::ALL));
    assert_eq!(member.me.history(&game, 9).unwrap().len(), 1);
}
