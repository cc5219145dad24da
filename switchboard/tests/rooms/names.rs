//! Names, and what is done by them: messages to one alone, and closing.

use crate::harness::node::{Node, user};
use bytes::Bytes;
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::{ConnectionError, Format, Join, NameRefused, TellError, UserName};
use tokio::time::sleep;

// Names.

#[tokio::test(start_paused = true)]
async fn guests_are_numbered_and_a_number_does_not_come_back() {
    let mut node = Node::start().await;
    let (alice, bob) = (node.member("lobby").await, node.member("lobby").await);
    assert_eq!((alice.me.name(), bob.me.name()), (user("guest-1"), user("guest-2")));
    drop(bob);
    for number in [2, 3] {
        let guest = UserName::guest(number);
        assert_eq!(alice.me.rename(guest.clone()), Err(NameRefused::Reserved(guest)), "it is another's, or will be");
    }
    assert_eq!(node.member("lobby").await.me.name(), user("guest-3"));
}

#[tokio::test(start_paused = true)]
async fn a_name_is_taken_in_any_case_until_its_owner_goes() {
    let mut node = Node::start().await;
    let (alice, bob) = (node.member("lobby").await, node.member("lobby").await);
    assert_eq!(alice.me.rename(user("Alice")), Ok(user("guest-1")));
    assert_eq!(bob.me.rename(user("aLICE")), Err(NameRefused::Taken(user("Alice"))));
    assert!(node.hub.has(&user("ALICE")) && !node.hub.has(&user("guest-1")));
    assert_eq!(bob.me.name(), user("guest-2"), "it keeps the one it has");
    assert_eq!(alice.me.rename(user("ALICE")), Ok(user("Alice")), "one's own, written otherwise");
    assert_eq!(alice.me.name().as_str(), "ALICE");
    assert_eq!(alice.me.rename(user("eve")), Ok(user("ALICE")));
    assert_eq!(bob.me.rename(user("alice")), Ok(user("guest-2")), "free again");
    drop(bob);
    assert_eq!(alice.me.rename(user("alice")), Ok(user("eve")), "free again");
}

#[tokio::test(start_paused = true)]
async fn a_rename_is_told_to_others_and_messages_carry_the_name_of_their_time() {
    let mut node = Node::start().await;
    let (mut alice, mut bob) = (node.member("lobby").await, node.member("lobby").await);
    alice.seat.publish("1").unwrap();
    let from = alice.me.rename(user("alice")).unwrap();
    alice.seat.renamed(from);
    alice.seat.publish("2").unwrap();
    let expected = ["[lobby] guest-1: 1", "* [lobby] guest-1 is now alice", "[lobby] alice: 2"];
    assert_eq!(bob.heard().await, expected);
    assert_eq!(alice.heard().await, [""; 0]);
    assert_eq!(node.quiet("lobby").members(0, 9), [user("alice"), user("guest-2")]);
}

#[tokio::test(start_paused = true)]
async fn a_membership_keeps_the_name_of_an_identity_that_is_gone() {
    let mut node = Node::start().await;
    let (alice, mut bob) = (node.member("lobby").await, node.member("lobby").await);
    drop(alice.me);
    alice.seat.publish("still me").unwrap();
    assert_eq!(bob.heard().await, ["[lobby] guest-1: still me"]);
    assert_eq!(bob.me.tell(&user("guest-1"), "hello?"), Err(TellError::NoSuchMember(user("guest-1"))));
}

// One to one, and closing by name.

#[tokio::test(start_paused = true)]
async fn one_member_is_told_alone_and_in_its_own_format() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let alice = node.member("lobby").await;
    let mut text = node.join(&lobby, Format::Text, Join::default()).await;
    let mut json = node.join(&lobby, Format::Json, Join::default()).await;
    let mut raw = node.join(&lobby, Format::Raw, Join::default()).await;
    for member in [&text, &json, &raw] {
        // Names are found in any case.
        let name = user(&member.me.name().as_str().to_uppercase());
        alice.me.tell(&name, "psst").unwrap();
    }
    assert_eq!(text.heard().await, ["@guest-1: psst"]);
    assert_eq!(json.heard().await, [r#"{"event":"direct","from":"guest-1","text":"psst"}"#]);
    assert_eq!(raw.heard().await, ["psst"]);
    assert_eq!(alice.me.tell(&user("nobody"), "psst"), Err(TellError::NoSuchMember(user("nobody"))));
    assert_eq!(lobby.last_id().seq, 0, "it is no message of the room's");
}

#[tokio::test(start_paused = true)]
async fn who_finishes_within_the_tick_gets_what_it_was_told_before() {
    let mut node = Node::start().await;
    let mut alice = node.member("lobby").await;
    let (mut peer, conn) = node.connect().await;
    let me = node.hub.enter(&conn, Format::Text);
    // Nothing is on its way that the tick would be awake for.
    alice.heard().await;
    alice.me.tell(&user("guest-2"), "first").unwrap();
    alice.me.tell(&user("guest-2"), "second").unwrap();
    drop((conn, me));
    assert_eq!(alice.me.tell(&user("guest-2"), "late"), Err(TellError::NoSuchMember(user("guest-2"))));
    assert_eq!(peer.rest().await.unwrap(), b"@guest-1: first\n@guest-1: second\n");
}

#[tokio::test(start_paused = true)]
async fn who_is_being_closed_is_told_nothing_and_the_sender_knows() {
    let mut node = Node::start().await;
    let (alice, _bob) = (node.member("lobby").await, node.member("lobby").await);
    assert!(node.hub.close(&user("guest-2")));
    assert_eq!(alice.me.tell(&user("guest-2"), "psst"), Err(TellError::NoSuchMember(user("guest-2"))));
}

#[tokio::test(start_paused = true)]
async fn a_full_outbox_is_told_nothing_more_until_it_is_read() {
    let mut node = Node::start().await;
    let (alice, mut bob) = (node.member("lobby").await, node.member("lobby").await);
    let tell = |text: &str| alice.me.tell(&user("guest-2"), Bytes::copy_from_slice(text.as_bytes()));
    let mut told = 0;
    while tell(&"x".repeat(1000)).is_ok() {
        told += 1;
        assert!(told <= 1100, "the outbox holds 1 MiB");
        if told == 50 {
            // The pipe takes these; what follows is within one tick.
            sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(tell("more"), Err(TellError::Full(user("guest-2"))));
    assert_eq!(bob.heard().await.len(), told);
    assert_eq!(tell("now"), Ok(()));
    assert_eq!(bob.heard().await, ["@guest-1: now"]);
}

#[tokio::test(start_paused = true)]
async fn who_is_closed_by_name_is_told_a_last_word_behind_what_was_sent_before() {
    for (format, told) in [(Format::Text, "@server: too loud\n"), (Format::Raw, "too loud\n")] {
        let mut node = Node::start().await;
        let mut peer = node.connect().await;
        let (me, _seat) = {
            let me = node.hub.enter(&peer.1, format);
            (me.rename(user("bob")).unwrap(), me)
        };
        peer.1.send("before").await.unwrap();
        assert!(node.hub.close_with(&user("Bob"), "too loud"));
        assert!(node.hub.close_with(&user("bob"), "again"), "and hears one alone");
        assert_eq!(peer.1.recv().await, Err(ConnectionError::Closed(CloseReason::Closed)), "{me}");
        drop(peer.1);
        assert_eq!(peer.0.rest().await.unwrap(), format!("before\n{told}").as_bytes());
        peer.0.finish();
        assert_eq!(peer.0.closed().await, CloseReason::Closed);
    }
    assert!(!Node::start().await.hub.close_with(&user("bob"), "nobody"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_by_its_name_as_it_is_now() {
    let mut node = Node::start().await;
    let mut alice = node.member("lobby").await;
    alice.me.rename(user("alice")).unwrap();
    assert!(!node.hub.close(&user("guest-1")));
    assert!(node.hub.close(&user("ALICE")));
    assert!(alice.conn.recv().await.is_err(), "its handler hears of it");
    drop((alice.seat, alice.me, alice.conn));
    assert_eq!(alice.peer.rest().await.unwrap(), b"");
    alice.peer.finish();
    assert_eq!(alice.peer.closed().await, CloseReason::Closed);
    assert!(!node.hub.close(&user("alice")));
}
