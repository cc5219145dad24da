//! Who takes part without a connection: it publishes, lists and tells as others do, and joins nothing.

use super::publish_numbers;
use crate::harness::node::{Node, user};
use bytes::Bytes;
use switchboard::policy::Principal;
use switchboard::{Format, Join, JoinError, NameRefused, Published, TellError, UserName};

#[tokio::test(start_paused = true)]
async fn somebody_without_a_connection_publishes_in_its_name() {
    let mut node = Node::start().await;
    let mut alice = node.member("lobby").await;
    let clock = node.hub.session(user("clock"), Format::Text).unwrap();
    let lobby = clock.find(alice.seat.room().name()).unwrap();
    let Published { id, time, .. } = clock.publish(&lobby, "it is noon").unwrap().await.unwrap();
    assert_eq!(alice.heard().await, ["[lobby] clock: it is noon"]);
    let kept = &clock.history(&lobby, 1).unwrap()[0];
    assert_eq!((kept.id, kept.time, kept.from.as_ref()), (id, time, Some(&user("clock"))));
    assert_eq!((clock.format(), &*clock.principal()), (Format::Text, &Principal::anonymous()));
}

#[tokio::test(start_paused = true)]
async fn it_is_no_member_and_cannot_become_one() {
    let mut node = Node::start().await;
    let alice = node.member("lobby").await;
    let clock = node.hub.session(user("clock"), Format::Text).unwrap();
    let error = clock.join(alice.seat.room(), Join::default()).unwrap_err();
    assert_eq!(error, JoinError::NoConnection);
    assert_eq!(alice.seat.room().member_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_lists_what_there_is() {
    let mut node = Node::start().await;
    let alice = node.member("lobby").await;
    let lobby = alice.seat.room();
    let last = publish_numbers(lobby, 5);
    let reader = node.hub.session(UserName::http(), Format::Json).unwrap();
    assert_eq!(reader.rooms(None, 9), node.hub.rooms(None, 9));
    assert_eq!(reader.members(lobby, 0, 9).unwrap(), [user("guest-1")]);
    assert_eq!(reader.history(lobby, 2).unwrap(), lobby.history(2));
    let since = switchboard::MessageId { seq: 2, ..last };
    assert_eq!(reader.page(lobby, since, 2).unwrap(), lobby.page(since, 2));
    let other = "other".parse().unwrap();
    assert!(reader.find(&other).is_none());
    assert_eq!(reader.room(&other).unwrap().name(), &other);
}

#[tokio::test(start_paused = true)]
async fn it_tells_one_person_and_is_told_nothing() {
    let mut node = Node::start().await;
    let mut alice = node.member("lobby").await;
    let clock = node.hub.session(user("clock"), Format::Text).unwrap();
    assert_eq!(clock.tell(&user("guest-1"), Bytes::from("it is late")), Ok(()));
    assert_eq!(alice.heard().await, ["@clock: it is late"]);
    assert_eq!(alice.me.tell(&user("clock"), Bytes::from("is it?")), Err(TellError::NoSuchMember(user("clock"))));
    assert_eq!(clock.tell(&user("bob"), Bytes::new()), Err(TellError::NoSuchMember(user("bob"))));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_no_member_is_not_read_while_it_publishes_more_than_is_delivered() {
    let mut node = Node::start().await;
    let member = node.member("lobby").await;
    let lobby = member.seat.room();
    let (mut peer, mut conn) = node.connect().await;
    let me = node.hub.enter(&conn, Format::Text);
    peer.send("1\n2\n").await;
    conn.recv().await.unwrap();
    for _ in 0..32 {
        me.publish(lobby, vec![b'x'; 64 << 10]).unwrap();
    }
    assert!(!lobby.is_ready());
    conn.recv().await.unwrap();
    assert!(lobby.is_ready());
}

#[tokio::test(start_paused = true)]
async fn its_name_is_taken_from_nobody() {
    let mut node = Node::start().await;
    let alice = node.member("lobby").await;
    alice.me.rename(user("alice")).unwrap();
    for taken in ["alice", "ALICE", "guest-1", "guest-9"] {
        let refused = node.hub.session(user(taken), Format::Text).unwrap_err();
        let is_guests = taken.starts_with("guest");
        let name = user(taken);
        assert_eq!(refused, if is_guests { NameRefused::Reserved(name) } else { NameRefused::Taken(name) });
    }
    let clock = node.hub.session(user("clock"), Format::Text).unwrap();
    assert!(!node.hub.has(&user("clock")) && !node.hub.close(&user("clock")));
    assert_eq!(clock.rename(user("alice")), Err(NameRefused::Taken(user("alice"))));
    assert_eq!(clock.rename(user("bell")), Ok(user("clock")));
    assert_eq!(alice.me.rename(user("bell")), Ok(user("alice")), "whoever connects may have it");
    drop(clock);
    assert!(node.hub.has(&user("bell")), "and keeps it");
}
