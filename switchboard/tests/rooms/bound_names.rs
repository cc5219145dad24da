//! Names that belong to somebody, and names that are kept by a secret: who takes which, and from whom.

use crate::harness::node::{Member, Node, heard, told, user};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use switchboard::grammar::NameSecret;
use switchboard::policy::{Authenticating, Claimant, Credentials, Policy, Principal, Refusal, Rights};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{
    ConnectionError, Format, HubLimits, Join, NameRefused, NamedAfter, RoomName, RoomOptions, Session, UserName,
};

/// Everybody may do everything; `alice` and `ops.bot` belong to those who are shown to be it, with all behind a dot; `bob` once it is said.
#[derive(Default)]
struct Owners {
    owns_bob: AtomicBool,
    /// Whoever was shown by something stands no longer.
    revokes: AtomicBool,
}

impl Owners {
    fn owner(&self, name: &UserName) -> Option<UserName> {
        let owners = ["alice", "ops", "ops.bot", "bob"].map(user);
        let is_one =
            |owner: &&UserName| name.is_of(owner) && (owner.as_str() != "bob" || self.owns_bob.load(Ordering::Relaxed));
        owners.iter().filter(is_one).max_by_key(|owner| owner.as_str().len()).cloned()
    }
}

impl Policy for Owners {
    fn authenticate(&self, _: Credentials, _: Claimant) -> Authenticating<'_> {
        Box::pin(async { Err(Refusal::Wrong) })
    }

    fn rights(&self, _: &Principal, _: &RoomName) -> Rights {
        Rights::ALL
    }

    fn stands(&self, principal: &Principal) -> bool {
        principal.credential().is_none() || !self.revokes.load(Ordering::Relaxed)
    }

    fn may_be_called(&self, principal: &Principal, name: &UserName) -> bool {
        self.owner(name).is_none_or(|owner| principal.name() == Some(&owner))
    }
}

async fn governed() -> (Node, Arc<Owners>) {
    let owners = Arc::new(Owners::default());
    let hub = Hub::with_policy(HubLimits::default(), Arc::clone(&owners) as Arc<dyn Policy>);
    (Node::on(hub).await, owners)
}

fn shown(name: &str) -> Arc<Principal> {
    Arc::new(Principal::named(user(name)))
}

async fn enter(node: &mut Node) -> (Peer, Connection<Lines>, Session) {
    let (peer, conn) = node.connect().await;
    let me = node.hub.enter(&conn, Format::Text);
    (peer, conn, me)
}

/// A member of a room in which is told who comes and goes.
async fn member(node: &mut Node, room: &str) -> Member {
    let room = node.hub.room_with(&room.parse().unwrap(), RoomOptions::default()).unwrap();
    let member = node.join(&room, Format::Text, Join::default()).await;
    // Whoever follows within a second is only counted.
    tokio::time::sleep(Duration::from_secs(3)).await;
    member
}

fn secret(digit: char) -> NameSecret {
    digit.to_string().repeat(32).parse().unwrap()
}

fn reserved<T>(name: &str) -> Result<T, NameRefused> {
    Err(NameRefused::Reserved(user(name)))
}

// Names that belong to somebody.

#[tokio::test(start_paused = true)]
async fn nobody_else_takes_a_name_that_belongs_to_somebody_whether_or_not_it_is_there() {
    let (mut node, _) = governed().await;
    let (_peer, _conn, mallory) = enter(&mut node).await;
    mallory.rename(user("mallory")).unwrap();
    let mut alice = None;
    for there in [false, true] {
        if there {
            alice = Some(enter(&mut node).await);
            alice.as_ref().unwrap().2.authorize(shown("alice"));
        }
        for name in ["alice", "ALICE", "Alice.2", "alice.phone", "alice.999999", "alice.", "aLiCe.2.2"] {
            assert_eq!(mallory.rename(user(name)), reserved(name), "there: {there}");
            assert_eq!(mallory.rename_by(user(name), secret('a')), reserved(name), "there: {there}");
            assert_eq!(node.hub.session(user(name), Format::Text).map(drop), reserved(name), "there: {there}");
        }
    }
    for free in ["alice2", "malice", "alic"] {
        assert!(mallory.rename(user(free)).is_ok(), "{free}");
    }
    // Who is shown to be somebody else is nobody of that name either.
    mallory.authorize(shown("bob"));
    assert_eq!(mallory.rename(user("alice.2")), reserved("alice.2"));
    assert_eq!(alice.unwrap().2.name(), user("alice"));
}

#[tokio::test(start_paused = true)]
async fn guests_names_and_the_servers_are_nobodys() {
    let (mut node, _) = governed().await;
    let (_peer, _conn, me) = enter(&mut node).await;
    for name in ["guest-1", "guest-9", "GUEST-07", "udp", "HTTP", "server"] {
        let other = me.name() == user(name);
        assert!(other || me.rename(user(name)) == reserved(name), "{name}");
    }
    for name in ["guest-7", "server", "udp"] {
        assert_eq!(me.authorize(shown(name)), None);
        assert_eq!(me.name(), user("guest-1"), "{name}");
    }
    assert!(node.hub.session(UserName::http(), Format::Text).is_ok(), "of a request that gives no name");
}

#[tokio::test(start_paused = true)]
async fn further_connections_have_numbers_and_a_freed_one_is_given_again() {
    let (mut node, _) = governed().await;
    let mut all = Vec::new();
    for _ in 0..4 {
        let entered = enter(&mut node).await;
        let guest = entered.2.name();
        assert_eq!(entered.2.authorize(shown("alice")), Some(guest));
        all.push(entered);
    }
    let names = |all: &Vec<(Peer, Connection<Lines>, Session)>| {
        all.iter().map(|(_, _, me)| me.name().to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&all), "alice alice.2 alice.3 alice.4");
    drop((all.remove(1), all.remove(0)));
    for name in ["alice", "alice.2", "alice.5"] {
        all.push(enter(&mut node).await);
        let me = &all.last().unwrap().2;
        me.authorize(shown("alice"));
        assert_eq!(me.name(), user(name));
    }
    // One that was chosen is passed over.
    all[0].2.rename(user("alice.6")).unwrap();
    for name in ["alice.3", "alice.7"] {
        all.push(enter(&mut node).await);
        let me = &all.last().unwrap().2;
        me.authorize(shown("Alice"));
        assert_eq!(me.name(), user(name));
    }
    assert_eq!(all[0].2.authorize(shown("alice")), None, "shown again, it keeps its name");
    assert_eq!(all[0].2.name(), user("alice.6"));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_has_no_room_for_a_number_leaves_the_second_a_guest() {
    let (mut node, _) = governed().await;
    let long = "a".repeat(64);
    let (first, second) = (enter(&mut node).await, enter(&mut node).await);
    first.2.authorize(shown(&long));
    assert_eq!(second.2.authorize(shown(&long)), None);
    assert_eq!((first.2.name(), second.2.name()), (user(&long), user("guest-2")));
    second.2.rename(user(&long)).unwrap();
    assert_eq!(first.2.name(), user("guest-3"), "and whoever had it is one then");
}

#[tokio::test(start_paused = true)]
async fn numbers_that_are_other_principals_are_passed_over() {
    let (mut node, _) = governed().await;
    let ops: Vec<_> = [enter(&mut node).await, enter(&mut node).await].into();
    for (_, _, me) in &ops {
        me.authorize(shown("ops"));
    }
    assert_eq!(ops[1].2.rename(user("ops.bot")), reserved("ops.bot"));
    assert_eq!(ops[1].2.rename(user("ops.bot.2")), reserved("ops.bot.2"));
    let bot = enter(&mut node).await;
    bot.2.authorize(shown("ops.bot"));
    assert_eq!(bot.2.name(), user("ops.bot"));
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_its_name_over_is_called_so_and_all_are_told() {
    let (mut node, _) = governed().await;
    let (mut old, mut new) = (member(&mut node, "lobby").await, member(&mut node, "lobby").await);
    for each in [&old, &new] {
        let before = each.me.authorize(shown("alice")).unwrap();
        each.seat.renamed(before);
    }
    let mut bob = member(&mut node, "lobby").await;
    drop((old.heard().await, new.heard().await));
    let before = new.me.rename(user("alice")).unwrap();
    assert_eq!(before, user("alice.2"));
    new.seat.renamed(before);
    assert_eq!((old.me.name(), new.me.name()), (user("alice.2"), user("alice")));
    assert_eq!(old.heard().await, ["* you are alice.2", "* [lobby] alice.2 is now alice"]);
    assert_eq!(new.heard().await, ["* [lobby] alice is now alice.2"]);
    assert_eq!(bob.heard().await, ["* [lobby] alice is now alice.2", "* [lobby] alice.2 is now alice"]);
    bob.me.tell(&user("Alice"), "you?").unwrap();
    assert_eq!(new.heard().await, ["@guest-3: you?"], "what is said to alice alone follows");
    old.seat.publish("from the other").unwrap();
    assert_eq!(bob.heard().await, ["[lobby] alice.2: from the other"]);
}

#[tokio::test(start_paused = true)]
async fn who_has_a_name_before_it_belongs_to_somebody_loses_it() {
    let (mut node, owners) = governed().await;
    let mut squatter = member(&mut node, "lobby").await;
    let before = squatter.me.rename(user("bob")).unwrap();
    squatter.seat.renamed(before);
    owners.owns_bob.store(true, Ordering::Relaxed);
    let (_peer, _conn, bob) = enter(&mut node).await;
    bob.authorize(shown("bob"));
    assert_eq!((bob.name(), squatter.me.name()), (user("bob"), user("guest-3")));
    assert_eq!(squatter.heard().await, ["* you are guest-3"]);
    assert_eq!(squatter.me.rename(user("bob")), reserved("bob"));
}

#[tokio::test(start_paused = true)]
async fn a_review_takes_names_from_those_who_may_not_have_them_any_more() {
    let (mut node, owners) = governed().await;
    let (mut squatter, mut listener) = (member(&mut node, "lobby").await, member(&mut node, "lobby").await);
    let (mut known, mut other) = (member(&mut node, "lobby").await, member(&mut node, "lobby").await);
    known.me.authorize(shown("alice"));
    for (each, name) in [(&squatter, "bob"), (&known, "bob.2"), (&other, "carol")] {
        each.seat.renamed(each.me.rename(user(name)).unwrap());
    }
    for each in [&mut squatter, &mut listener, &mut known, &mut other] {
        drop(each.heard().await);
    }
    owners.owns_bob.store(true, Ordering::Relaxed);
    node.hub.review().await;
    assert_eq!([&squatter, &known, &other].map(|each| each.me.name()), ["guest-5", "alice", "carol"].map(user));
    assert!(squatter.heard().await.contains(&"* you are guest-5".to_owned()));
    assert!(known.heard().await.contains(&"* you are alice".to_owned()));
    let mut heard = listener.heard().await;
    heard.sort();
    assert_eq!(heard, ["* [lobby] bob is now guest-5", "* [lobby] bob.2 is now alice"]);
    assert_eq!(other.heard().await.len(), 2, "nothing but the same");
    node.hub.review().await;
    assert!(squatter.heard().await.is_empty() && other.heard().await.is_empty(), "it has happened already");
}

#[tokio::test(start_paused = true)]
async fn whoever_a_review_closes_leaves_by_the_name_that_it_had() {
    let (mut node, owners) = governed().await;
    let (mut revoked, mut listener) = (member(&mut node, "lobby").await, member(&mut node, "lobby").await);
    let before = revoked.me.authorize(Arc::new(Principal::named(user("carol")).by("gone"))).unwrap();
    revoked.me.rename(user("bob")).unwrap();
    revoked.seat.renamed(before);
    drop(listener.heard().await);
    owners.owns_bob.store(true, Ordering::Relaxed);
    owners.revokes.store(true, Ordering::Relaxed);
    node.hub.review().await;
    assert_eq!(revoked.conn.recv().await.unwrap_err(), ConnectionError::Closed(CloseReason::Revoked));
    assert_eq!(revoked.me.name(), user("bob"));
    drop(revoked);
    assert_eq!(listener.heard().await, ["* [lobby] bob left"]);
}

#[tokio::test(start_paused = true)]
async fn connections_with_numbers_are_found_by_name_in_a_list_and_by_a_review() {
    let (mut node, owners) = governed().await;
    let mut all = Vec::new();
    for name in ["alice", "alice.2", "alice.3", "ops", "ops.2"] {
        let entered = enter(&mut node).await;
        let owner = name.split('.').next().unwrap();
        entered.2.authorize(Arc::new(Principal::named(user(owner)).by("gone")));
        assert_eq!(entered.2.name(), user(name));
        all.push((name, entered));
    }
    let guest = enter(&mut node).await;
    let (mut listed, mut after) = (Vec::new(), NamedAfter::default());
    loop {
        let some = node.hub.named(&mut after, 2);
        assert!(some.len() <= 2);
        if some.is_empty() {
            break;
        }
        listed.extend(some.into_iter().map(|one| one.name.to_string()));
    }
    assert_eq!(listed, ["guest-6", "alice", "ops", "alice.2", "alice.3", "ops.2"]);
    for (name, (_, _, me)) in &all {
        guest.2.tell(me.name().as_str().parse::<UserName>().as_ref().unwrap(), "hi").unwrap();
        let found = node.hub.connection(&name.to_uppercase().parse().unwrap());
        assert_eq!(found.map(|found| found.name), Some(me.name()));
    }
    owners.revokes.store(true, Ordering::Relaxed);
    node.hub.review().await;
    for (name, (_, mut conn, _)) in all {
        assert_eq!(conn.recv().await.unwrap_err(), ConnectionError::Closed(CloseReason::Revoked), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_connections_of_one_that_take_its_name_in_turns_cost_the_room_ten_notices_a_second() {
    let (mut node, _) = governed().await;
    let (one, other) = (member(&mut node, "lobby").await, member(&mut node, "lobby").await);
    for each in [&one, &other] {
        each.me.authorize(shown("alice")).unwrap();
    }
    let mut bob = member(&mut node, "lobby").await;
    bob.heard().await;
    for _ in 0..5000 {
        for each in [&one, &other] {
            let before = each.me.rename(user("alice")).unwrap();
            each.seat.renamed(before);
        }
        assert_eq!(HashSet::from([one.me.name(), other.me.name()]), HashSet::from([user("alice"), user("alice.2")]));
    }
    assert!(bob.heard().await.len() <= 11);
    let (_peer, _conn, third) = enter(&mut node).await;
    third.authorize(shown("alice"));
    assert_eq!(third.name(), user("alice.3"), "no number was lost");
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_ends_ends_the_connection() {
    let (mut node, _) = governed().await;
    let (mut peer, mut conn, me) = enter(&mut node).await;
    let in_a_minute = |more: u64| SystemTime::now() + Duration::from_secs(60 + more);
    me.authorize(Arc::new(Principal::named(user("alice")).until(in_a_minute(0))));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(heard(&mut peer).await.len(), 1);
    me.authorize(Arc::new(Principal::named(user("alice")).until(in_a_minute(60))));
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(me.name(), user("alice"), "shown again in time, it stays");
    tokio::time::sleep(Duration::from_secs(21)).await;
    conn.recv().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_one_is_called_as_one_is_shown_beside_those_who_have_one() {
    let (mut node, _) = governed().await;
    let (_peer, _conn, alice) = enter(&mut node).await;
    alice.authorize(shown("alice"));
    let request = node.hub.session(UserName::http(), Format::Json).unwrap();
    assert_eq!(request.authorize(shown("alice")), Some(UserName::http()));
    assert_eq!((request.name(), alice.name()), (user("alice"), user("alice")));
    assert_eq!(request.rename(user("alice.phone")), Ok(user("alice")));
    assert_eq!(request.rename(user("bob.x")), Ok(user("alice.phone")), "nobody's");
    assert_eq!(request.rename(user("ops")), reserved("ops"));
    drop(request);
    assert!(node.hub.has(&user("alice")), "and nobody's entry is touched by that");
}

// Names that are kept by a secret.

#[tokio::test(start_paused = true)]
async fn a_guest_takes_its_name_over_from_its_last_connection_by_its_secret() {
    let mut node = Node::start().await;
    let mut old = member(&mut node, "lobby").await;
    let before = old.me.rename_by(user("bob"), secret('a')).unwrap();
    old.seat.renamed(before);
    let mut new = member(&mut node, "lobby").await;
    old.heard().await;
    for wrong in [secret('b'), secret('0')] {
        assert_eq!(new.me.rename_by(user("bob"), wrong), Err(NameRefused::Taken(user("bob"))));
    }
    assert_eq!(new.me.rename(user("bob")), Err(NameRefused::Taken(user("bob"))));
    let before = new.me.rename_by(user("Bob"), secret('a')).unwrap();
    new.seat.renamed(before);
    assert_eq!((new.me.name(), old.me.name()), (user("bob"), user("guest-3")));
    assert_eq!(old.heard().await, ["* you are guest-3", "* [lobby] guest-2 is now Bob"]);
    assert_eq!(new.heard().await, ["* [lobby] bob is now guest-3"]);
    // Whoever lost it has no secret any more, and whoever has it now the same.
    assert_eq!(old.me.rename_by(user("bob"), secret('a')), Ok(user("guest-3")));
    assert_eq!(new.me.name(), user("guest-4"));
}

#[tokio::test(start_paused = true)]
async fn rooms_that_are_joined_and_left_behind_a_secret_are_told_or_not() {
    let mut node = Node::start().await;
    let mut before = member(&mut node, "before").await;
    before.me.rename_by(user("bob"), secret('a')).unwrap();
    before.seat.renamed(user("guest-1"));
    let room = |name: &str| node.hub.room(name).unwrap();
    let (behind, left) = (room("behind"), room("left"));
    let seat = before.me.join(&behind, Join::default()).unwrap();
    drop(before.me.join(&left, Join::default()).unwrap());
    let mut watchers = Vec::new();
    for name in ["before", "behind", "left"] {
        watchers.push(member(&mut node, name).await);
    }
    let (_peer, _conn, new) = enter(&mut node).await;
    new.rename_by(user("bob"), secret('a')).unwrap();
    let guest = before.me.name();
    for (watcher, is_told) in watchers.iter_mut().zip([true, true, false]) {
        let room = watcher.seat.room().name().clone();
        let told = watcher.heard().await;
        assert_eq!(told.contains(&format!("* [{room}] bob is now {guest}")), is_told, "{room}: {told:?}");
    }
    drop(seat);
    assert!(before.heard().await.contains(&format!("* you are {guest}")));
}

#[tokio::test(start_paused = true)]
async fn a_secret_goes_with_the_name_that_it_was_told_with() {
    let mut node = Node::start().await;
    let (old, new) = (enter(&mut node).await.2, enter(&mut node).await.2);
    old.rename_by(user("bob"), secret('a')).unwrap();
    old.rename(user("carol")).unwrap();
    assert_eq!(new.rename_by(user("carol"), secret('a')), Err(NameRefused::Taken(user("carol"))));
    old.rename_by(user("dave"), secret('b')).unwrap();
    assert_eq!(new.rename_by(user("dave"), secret('a')), Err(NameRefused::Taken(user("dave"))));
    assert_eq!(new.rename_by(user("bob"), secret('a')), Ok(user("guest-2")), "which is free");
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_nothing_against_whoever_is_shown_to_be_somebody() {
    let (mut node, _) = governed().await;
    let (alice, mallory) = (enter(&mut node).await.2, enter(&mut node).await.2);
    alice.rename_by(user("visitor"), secret('a')).unwrap();
    alice.authorize(shown("visitor"));
    assert_eq!(mallory.rename_by(user("visitor"), secret('a')), Err(NameRefused::Taken(user("visitor"))));
}

#[tokio::test(start_paused = true)]
async fn who_lost_its_name_is_told_as_an_object_too() {
    let mut node = Node::start().await;
    let (mut peer, conn) = node.connect().await;
    let old = node.hub.enter(&conn, Format::Json);
    old.rename_by(user("bob"), secret('a')).unwrap();
    let new = enter(&mut node).await.2;
    new.rename_by(user("bob"), secret('a')).unwrap();
    assert_eq!(told(&mut peer).await, [serde_json::json!({"event": "named", "name": "guest-3"})]);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_taken_over_stays_when_the_last_connection_goes() {
    let mut node = Node::start().await;
    let (old, new) = (enter(&mut node).await.2, enter(&mut node).await.2);
    old.rename_by(user("bob"), secret('a')).unwrap();
    new.rename_by(user("bob"), secret('a')).unwrap();
    drop(old);
    assert!(node.hub.has(&user("bob")) && !node.hub.has(&user("guest-3")));
    drop(new);
    assert!(!node.hub.has(&user("bob")));
}
