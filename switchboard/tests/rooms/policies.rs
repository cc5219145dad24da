//! Who may do what: each door granted and refused, and what a change of the policy does.

use crate::harness::node::{Member, Node, shown, user};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use switchboard::policy::{
    Authenticating, Claimant, Credentials, NotAllowed, Policy, PolicyGeneration, Principal, Refusal, Rights,
};
use switchboard::prelude::*;
use switchboard::{
    ConnectionError, Format, HubLimits, Join, JoinError, Membership, MessageId, PeerAddr, PublishError, RoomError,
    RoomName, RoomOptions, Session, TellError, UserName,
};

/// What each has been given in every room, by name; nobody in particular is `-`.
#[derive(Default)]
struct Table {
    rights: Mutex<HashMap<String, Rights>>,
    generation: PolicyGeneration,
    /// By what they were shown.
    revoked: Mutex<Vec<String>>,
    /// What somebody has become.
    updated: Mutex<Option<Arc<Principal>>>,
    /// Who may come from nowhere any more.
    homeless: Mutex<Option<String>>,
    /// What happens while somebody is looked at.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Table {
    fn give(&self, who: &str, rights: Rights) {
        self.rights.lock().insert(who.to_owned(), rights);
        self.generation.grow();
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

    fn generation(&self) -> PolicyGeneration {
        self.generation.clone()
    }

    fn stands(&self, principal: &Principal) -> bool {
        let meanwhile = self.meanwhile.lock().take();
        if let Some(happens) = meanwhile {
            happens();
        }
        principal.credential().is_none_or(|shown| !self.revoked.lock().iter().any(|revoked| revoked == shown))
    }

    fn may_come_from(&self, principal: &Principal, _: &PeerAddr) -> bool {
        principal.name().is_none_or(|name| self.homeless.lock().as_deref() != Some(name.as_str()))
    }

    fn updated(&self, principal: &Principal) -> Option<Arc<Principal>> {
        self.updated.lock().clone().filter(|updated| updated.name() == principal.name())
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
        let first = shown(lobby.publish("1"));
        let (_peer, _conn, me) = scene.enter("alice").await;
        let is = |right: Rights| if right == missing { Err(NotAllowed) } else { Ok(()) };
        assert_eq!(me.join(&lobby, Join::default()).map(drop).map_err(|_| NotAllowed), is(Rights::JOIN), "{word}");
        assert_eq!(me.publish(&lobby, "2").map(drop), is(Rights::PUBLISH).map_err(PublishError::from), "{word}");
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
    assert_eq!(me.publish(&there, "x").map(drop), Err(PublishError::NotAllowed));
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
    assert_eq!(bob.seat.publish("2").map(drop), Err(PublishError::NotAllowed));
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
async fn a_review_has_connections_end_when_the_policy_says_by_now() {
    let mut scene = Scene::start().await;
    scene.table.give("alice", Rights::ALL);
    let lobby = scene.node.quiet("lobby");
    let mut alice = scene.member("alice", &lobby, Join::default()).await;
    let end = std::time::SystemTime::now() + Duration::from_secs(30);
    let known = Principal::named(user("alice")).groups(["staff"]).until(end);
    *scene.table.updated.lock() = Some(Arc::new(known.clone()));
    scene.node.hub.review().await;
    assert_eq!(*alice.me.principal(), known);
    alice.seat.publish("still here").unwrap();
    tokio::time::sleep(Duration::from_secs(32)).await;
    let error = alice.conn.recv().await.unwrap_err();
    assert_eq!(error, ConnectionError::Closed(CloseReason::Expired));
    // And the reverse: it has no end any more.
    let mut alice = scene.member("alice", &lobby, Join::default()).await;
    assert_eq!(alice.me.principal().expires(), Some(end), "whoever comes is what it has become, too");
    *scene.table.updated.lock() = Some(Arc::new(Principal::named(user("alice"))));
    scene.node.hub.review().await;
    assert_eq!(alice.me.principal().expires(), None);
    drop(alice.heard().await);
}

#[tokio::test(start_paused = true)]
async fn a_review_closes_who_may_not_come_from_where_it_is_any_more() {
    let mut scene = Scene::start().await;
    scene.table.give("alice", Rights::ALL);
    let lobby = scene.node.quiet("lobby");
    let mut alice = scene.member("alice", &lobby, Join::default()).await;
    let mut bob = scene.enter("bob").await;
    *scene.table.homeless.lock() = Some("bob".to_owned());
    scene.node.hub.review().await;
    assert_eq!(bob.1.recv().await.unwrap_err(), ConnectionError::Closed(CloseReason::Revoked));
    lobby.publish("hi");
    assert_eq!(alice.heard().await, ["[lobby] hi"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_shown_by_one_credential_becomes_what_that_has_come_to_and_nobody_else_does() {
    let mut scene = Scene::start().await;
    for owner in ["alice".to_owned(), "a".repeat(64)] {
        scene.table.give(&owner, Rights::ALL);
        let lobby = scene.node.quiet("lobby");
        let (hers, same) = (Arc::new(Principal::named(user(&owner))), Arc::new(Principal::named(user(&owner))));
        let mut shown = Vec::new();
        for _ in 0..3 {
            let (peer, conn, me) = scene.enter("-").await;
            me.authorize(Arc::clone(&hers));
            let seat = me.join(&lobby, Join::default()).unwrap();
            shown.push((peer, conn, me, seat));
        }
        if owner == "alice" {
            // A name that it has chosen, which is no number's.
            shown[2].2.rename(user("Alice.phone")).unwrap();
        }
        let (_peer, mut conn, other) = scene.enter("-").await;
        other.authorize(Arc::clone(&same));
        let renewed = Arc::new(Principal::named(user(&owner)).groups(["staff"]));
        scene.node.hub.renew(&hers, Some(&renewed)).await;
        for (_, _, me, seat) in &shown {
            assert!(Arc::ptr_eq(&me.principal(), &renewed), "{}", me.name());
            assert!(seat.may(Rights::ALL));
        }
        assert!(Arc::ptr_eq(&other.principal(), &same));
        scene.node.hub.renew(&hers, None).await;
        assert!(shown[0].2.publish(&lobby, "it is somebody else's by now").is_ok());
        scene.node.hub.renew(&renewed, None).await;
        for (_, conn, _, _) in &mut shown {
            assert_eq!(conn.recv().await.unwrap_err(), ConnectionError::Closed(CloseReason::Revoked));
        }
        let waits = tokio::time::timeout(Duration::from_secs(1), conn.recv()).await;
        assert!(waits.is_err(), "the other one stays");
    }
}

/// A review goes through the names in their order, so many at a time.
#[tokio::test(start_paused = true)]
async fn who_takes_another_name_during_a_review_is_not_passed_over() {
    let mut scene = Scene::start().await;
    let mut others = Vec::new();
    for number in 0..1100 {
        let (_peer, conn) = scene.node.connect().await;
        let other = scene.node.hub.enter(&conn, Format::Text);
        other.rename(user(&format!("n{number:04}"))).unwrap();
        others.push((other, conn));
    }
    let (_peer, mut conn) = scene.node.connect().await;
    let zoe = scene.node.hub.enter(&conn, Format::Text);
    zoe.authorize(Arc::new(Principal::named(user("zoe")).by("gone")));
    let (_first, first_conn) = scene.node.connect().await;
    let first = scene.node.hub.enter(&first_conn, Format::Text);
    first.authorize(Arc::new(Principal::named(user("n"))));
    scene.table.revoked.lock().push("gone".to_owned());
    let zoe = Arc::new(zoe);
    let renamed = Arc::clone(&zoe);
    *scene.table.meanwhile.lock() = Some(Box::new(move || _ = renamed.rename(user("a")).unwrap()));
    scene.node.hub.review().await;
    assert_eq!(zoe.name(), user("a"));
    assert_eq!(conn.recv().await.unwrap_err(), ConnectionError::Closed(CloseReason::Revoked));
}

/// What somebody calls itself shows nobody: only what it was shown to be does.
#[tokio::test(start_paused = true)]
async fn messages_say_whom_their_publisher_was_shown_to_be() {
    let mut scene = Scene::start().await;
    scene.table.give("alice", Rights::ALL);
    scene.table.give("-", Rights::ALL);
    let (_peer, _conn, alice) = scene.enter("alice").await;
    let (_other, _, nobody) = scene.enter("-").await;
    let lobby = scene.node.quiet("lobby");
    let seats = [alice.join(&lobby, Join::default()).unwrap(), nobody.join(&lobby, Join::default()).unwrap()];
    alice.rename(user("al")).unwrap();
    nobody.rename(user("mallory")).unwrap();
    for seat in &seats {
        seat.publish("by a member").unwrap();
    }
    alice.publish(&lobby, "by a session").unwrap();
    nobody.publish(&lobby, "by a session").unwrap();
    drop(seats.map(|seat| seat.will("by a will")));
    lobby.publish("by the program");
    let said: Vec<_> = lobby.history(9).iter().map(|message| (message.from.clone(), message.user.clone())).collect();
    let (of_alice, of_nobody) = ((Some(user("al")), Some(user("alice"))), (Some(user("mallory")), None));
    let both = [of_alice, of_nobody];
    assert_eq!(said[..6], [both.clone(), both.clone(), both].concat());
    assert_eq!(said[6], (None, None));
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_what_was_is_told_of_a_gap_and_gets_what_comes() {
    let mut scene = Scene::start().await;
    scene.table.give("alice", Rights::ALL.without(Rights::HISTORY));
    let lobby = scene.node.quiet("lobby");
    let first = shown(lobby.publish("1"));
    (2..=5).for_each(|number| _ = lobby.publish(number.to_string()));
    let since = Join { since: Some(first), ..Join::default() };
    let mut alice = scene.member("alice", &lobby, since).await;
    let last = shown(lobby.publish("6"));
    assert_eq!(alice.heard().await, ["* [lobby] lost 4 messages, from 2", "[lobby] 6"]);
    // The same for one that is there: what it has heard already is part of it.
    assert_eq!(alice.seat.resume(MessageId { seq: 3, ..first }), Ok(last));
    lobby.publish("7");
    assert_eq!(alice.heard().await, ["* [lobby] lost 3 messages, from 4", "[lobby] 7"]);
    // Of another incarnation all that this one has had is gone.
    let before: MessageId = "0-0".parse().unwrap();
    alice.seat.resume(before).unwrap();
    let from_nothing = scene.member("alice", &lobby, Join { since: Some(before), ..Join::default() }).await;
    lobby.publish("8");
    for mut each in [alice, from_nothing] {
        let heard = each.heard().await;
        assert_eq!(heard.len(), 3, "{heard:?}");
        assert!(heard[0].contains("started over"), "{heard:?}");
        assert_eq!(heard[1..], ["* [lobby] lost 7 messages, from 1", "[lobby] 8"]);
    }
    let mut alice = scene.member("alice", &lobby, Join::default()).await;
    scene.table.give("alice", Rights::ALL);
    alice.seat.resume(last).unwrap();
    assert_eq!(alice.heard().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_is_there_for_one_room_alone_ends_behind_its_removal() {
    let mut scene = Scene::start().await;
    scene.table.give("alice", Rights::ALL);
    let lobby = scene.node.quiet("lobby");
    let mut alone = scene.member("alice", &lobby, Join { alone: true, ..Join::default() }).await;
    let mut other = scene.member("alice", &lobby, Join::default()).await;
    lobby.publish("before");
    scene.table.give("alice", Rights::NONE);
    scene.node.hub.review().await;
    for each in [&mut alone, &mut other] {
        assert_eq!(each.heard().await, ["[lobby] before", "* [lobby] you were removed: not allowed"]);
    }
    assert_eq!(alone.conn.recv().await.unwrap_err(), ConnectionError::Closed(CloseReason::Closed));
    other.peer.send("still here\n").await;
    assert_eq!(other.conn.recv().await.unwrap().unwrap(), "still here");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_know_who_is_there_is_not_told_who_comes_and_goes() {
    let mut scene = Scene::start().await;
    scene.table.give("alice", Rights::ALL.without(Rights::PRESENCE));
    scene.table.give("bob", Rights::ALL);
    let lobby = scene.node.hub.room_with(&room("lobby"), RoomOptions::default()).unwrap();
    let mut bob = scene.member("bob", &lobby, Join::default()).await;
    let mut alice = scene.member("alice", &lobby, Join::default()).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!bob.heard().await.is_empty());
    for _ in 0..50 {
        drop(scene.member("bob", &lobby, Join::default()).await);
        tokio::time::sleep(Duration::from_millis(500)).await;
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
    tokio::time::sleep(Duration::from_secs(3)).await;
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
    assert_eq!(seat.publish("1").map(drop), Err(PublishError::NotAllowed));
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
    assert_eq!(guest.seat.publish("1").map(drop), Err(PublishError::NotAllowed));
    let before = guest.me.authorize(Arc::new(Principal::named(user("alice")).by("ID")));
    assert_eq!((before, guest.me.name()), (Some(user("guest-1")), user("alice")));
    assert_eq!(guest.me.principal().credential(), Some("ID"));
    guest.seat.publish("2").unwrap();
    // And loses what the next one has not.
    guest.me.authorize(Arc::new(Principal::anonymous()));
    assert_eq!(guest.seat.publish("3").map(drop), Err(PublishError::NotAllowed));
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

#[tokio::test(start_paused = true)]
async fn who_may_not_be_there_any_more_is_removed_by_a_review() {
    let mut scene = Scene::start().await;
    scene.table.give("alice", Rights::ALL);
    scene.table.give("bob", Rights::ALL);
    let lobby = scene.node.hub.room("lobby").unwrap();
    let mut alice = scene.member("alice", &lobby, Join::default()).await;
    let mut bob = scene.member("bob", &lobby, Join::default()).await;
    let open = scene.node.hub.unnamed(RoomOptions::default());
    let elsewhere = bob.me.join(&open, Join::default()).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    alice.heard().await;
    bob.heard().await;
    bob.seat = bob.seat.will("gone");
    lobby.publish("before");
    scene.table.give("bob", Rights::NONE);
    scene.node.hub.review().await;
    lobby.publish("behind");
    assert_eq!(bob.heard().await, ["[lobby] before", "* [lobby] you were removed: not allowed"]);
    assert_eq!(alice.heard().await, ["[lobby] before", "* [lobby] bob left", "[lobby] behind"]);
    assert!(bob.seat.is_removed() && !bob.seat.may(Rights::NONE | Rights::JOIN) && !alice.seat.is_removed());
    assert_eq!(bob.seat.publish("x").map(drop), Err(PublishError::NotAllowed));
    assert_eq!(bob.seat.resume(lobby.last_id()), Err(JoinError::NotAllowed));
    bob.seat.set_format(Format::Json);
    bob.seat.renamed(user("rob"));
    assert_eq!((lobby.member_count(), lobby.members(0, 9)), (1, vec![user("alice")]));
    // Allowed again it is a member by joining again, and not by the seat that it had.
    scene.table.give("bob", Rights::ALL);
    assert!(bob.seat.is_removed());
    assert_eq!(bob.seat.publish("x").map(drop), Err(PublishError::NotAllowed));
    let again = bob.me.join(&lobby, Join::default()).unwrap();
    drop(bob.seat);
    again.publish("back").unwrap();
    assert_eq!((lobby.member_count(), open.member_count()), (2, 1));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let heard = alice.heard().await;
    assert!(!heard.iter().any(|line| line.contains("gone") || line.contains("left")), "{heard:?}");
    drop(elsewhere);
    assert_eq!(open.member_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_publishes_before_the_review_comes_is_removed_by_that() {
    let mut scene = Scene::start().await;
    scene.table.give("-", Rights::ALL);
    let lobby = scene.node.quiet("lobby");
    let member = scene.member("-", &lobby, Join::default()).await;
    let (_peer, conn) = scene.node.connect().await;
    let unnamed = conn.join(&lobby).unwrap();
    let idle = conn.join(&lobby).unwrap();
    scene.table.give("-", Rights::PUBLISH);
    assert_eq!(
        (member.seat.publish("x").map(drop), unnamed.publish("x").map(drop)),
        (Err(PublishError::NotAllowed), Err(PublishError::NotAllowed))
    );
    assert!(member.seat.is_removed() && unnamed.is_removed());
    assert!(!idle.is_removed() && lobby.member_count() == 1);
    scene.node.hub.review().await;
    assert!(idle.is_removed() && lobby.member_count() == 0);
    drop((member, unnamed, idle));
    assert_eq!(lobby.member_count(), 0);
    assert_eq!(lobby.last_id().seq, 0);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_stand_any_more_is_closed_and_may_do_nothing() {
    let mut scene = Scene::start().await;
    scene.table.give("alice", Rights::ALL);
    let lobby = scene.node.quiet("lobby");
    let shown = |credential: &str| Arc::new(Principal::named(user("alice")).by(credential));
    let (_peer, mut conn, me) = scene.enter("-").await;
    let (_other_peer, mut other, kept) = scene.enter("-").await;
    me.authorize(shown("one"));
    kept.authorize(shown("two"));
    let (seat, kept_seat) = (me.join(&lobby, Join::default()).unwrap(), kept.join(&lobby, Join::default()).unwrap());
    scene.table.revoked.lock().push("one".to_owned());
    scene.table.generation.grow();
    // Before anybody comes to look.
    assert_eq!(
        (seat.publish("x").map(drop), me.publish(&lobby, "x").err()),
        (Err(PublishError::NotAllowed), Some(PublishError::NotAllowed))
    );
    scene.node.hub.review().await;
    let closed = conn.recv().await.unwrap_err();
    assert_eq!(closed, ConnectionError::Closed(CloseReason::Revoked));
    kept_seat.publish("y").unwrap();
    // Whoever shows it behind the review is closed by that.
    kept.authorize(shown("one"));
    assert_eq!(other.recv().await.unwrap_err(), ConnectionError::Closed(CloseReason::Revoked));
}

#[tokio::test(start_paused = true)]
async fn nobody_slips_through_a_review() {
    let mut scene = Scene::start().await;
    scene.table.give("-", Rights::ALL);
    let (hub, table) = (scene.node.hub.clone(), Arc::clone(&scene.table));
    let (_peer, conn) = scene.node.connect().await;
    let (mut sessions, mut seats) = (Vec::new(), Vec::new());
    for number in 0..30 {
        let me = hub.enter(&conn, Format::Text);
        for of_it in 0..4 {
            let room = hub.room(&format!("r{}", (number * 4 + of_it) % 40)).unwrap();
            seats.push(me.join(&room, Join::default()).unwrap());
        }
        sessions.push(me);
    }
    let crowd = hub.room("m").unwrap();
    let mut others = Vec::new();
    for number in 0..3000 {
        let (peer, conn) = scene.node.connect().await;
        let me = hub.enter(&conn, Format::Raw);
        seats.push(if number % 3 == 0 {
            conn.join(&crowd).unwrap()
        } else {
            me.join(&crowd, Join::default()).unwrap()
        });
        others.push((peer, conn, me));
    }
    table.give("-", Rights::ALL.without(Rights::JOIN));
    let review = tokio::spawn({
        let hub = hub.clone();
        async move { hub.review().await }
    });
    let mut steps = 0;
    while !review.is_finished() {
        tokio::task::yield_now().await;
        steps += 1;
        let room = hub.room(&format!("{}{steps}", ["a", "n", "z"][steps % 3])).unwrap();
        let joined = sessions[steps % 30].join(&room, Join::default());
        assert_eq!(joined.unwrap_err(), JoinError::NotAllowed);
    }
    assert!(steps > 5, "{steps}");
    assert!(seats.iter().all(Membership::is_removed));
    assert!(hub.rooms(None, 9999).rooms.iter().all(|room| room.members == 0));
    drop(seats);
    assert_eq!(crowd.member_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_a_review_finds_nothing_to_do() {
    let mut node = Node::start().await;
    let alice = node.member("lobby").await;
    assert!(node.hub.policy().is_none());
    node.hub.review().await;
    assert!(!alice.seat.is_removed() && alice.seat.may(Rights::ALL | Rights::MODERATE));
    alice.me.authorize(Arc::new(Principal::named(user("alice"))));
    assert_eq!(alice.me.name(), user("alice"));
    alice.seat.publish("hi").unwrap();
}
