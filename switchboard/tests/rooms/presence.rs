//! Who is told that somebody came, went, or took another name, and when.

use crate::harness::node::{self, Node, user};
use crate::harness::patience::secs;
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::{Format, Join};
use tokio::time::sleep;

/// An observer in a room that tells of members, as `format`; two seconds after it came itself.
async fn observing(node: &mut Node, format: Format) -> (Room, node::Member) {
    let lobby = node.hub.room("lobby").unwrap();
    let observer = node.join(&lobby, format, Join::default()).await;
    sleep(secs(2)).await;
    (lobby, observer)
}

#[tokio::test(start_paused = true)]
async fn the_first_to_come_and_to_go_are_named_at_once() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    assert_eq!(observer.heard().await, [""; 0], "not of oneself");
    let bob = node.join(&lobby, Format::Text, Join::default()).await;
    assert_eq!(observer.heard().await, ["* [lobby] guest-2 joined"]);
    sleep(secs(2)).await;
    drop(bob);
    assert_eq!(observer.heard().await, ["* [lobby] guest-2 left"]);
    sleep(secs(5)).await;
    assert_eq!(observer.heard().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn who_follows_within_a_second_is_told_at_its_end_and_not_to_himself() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Json).await;
    let mut bob = node.join(&lobby, Format::Text, Join::default()).await;
    let mut eve = node.join(&lobby, Format::Text, Join::default()).await;
    assert_eq!(observer.heard().await, [r#"{"event":"joined","room":"lobby","name":"guest-2"}"#]);
    sleep(secs(1)).await;
    assert_eq!(observer.heard().await, [r#"{"event":"joined","room":"lobby","name":"guest-3"}"#]);
    assert_eq!(bob.heard().await, ["* [lobby] guest-3 joined"]);
    assert_eq!(eve.heard().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn many_who_come_and_go_are_one_notice_a_second() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    let first = node.join(&lobby, Format::Text, Join::default()).await;
    let second = node.join(&lobby, Format::Text, Join::default()).await;
    let _third = node.join(&lobby, Format::Text, Join::default()).await;
    drop((first, second));
    sleep(secs(1)).await;
    assert_eq!(observer.heard().await, ["* [lobby] guest-2 joined", "* [lobby] 2 joined, 2 left: 2 members"]);
    // For ten seconds, twenty a second.
    for _ in 0..200 {
        drop(node.join(&lobby, Format::Text, Join::default()).await);
        sleep(Duration::from_millis(50)).await;
    }
    sleep(secs(1)).await;
    let notices = observer.heard().await;
    assert!((9..=13).contains(&notices.len()), "{notices:#?}");
    let total: usize = notices.iter().filter_map(|notice| notice.split(' ').nth(2)?.parse::<usize>().ok()).sum();
    assert!((198..=200).contains(&total), "{notices:#?}");
}

#[tokio::test(start_paused = true)]
async fn who_comes_is_told_of_the_others_that_came_and_not_of_itself() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    let mut first = node.join(&lobby, Format::Text, Join::default()).await;
    let mut second = node.join(&lobby, Format::Text, Join::default()).await;
    let mut third = node.join(&lobby, Format::Json, Join::default()).await;
    sleep(secs(1)).await;
    let told = "* [lobby] 2 joined, 0 left: 4 members";
    assert_eq!(observer.heard().await, ["* [lobby] guest-2 joined", told]);
    assert_eq!(first.heard().await, [told]);
    assert_eq!(second.heard().await, ["* [lobby] 1 joined, 0 left: 4 members"]);
    let own = r#"{"event":"presence","room":"lobby","joined":1,"left":0,"members":4}"#;
    assert_eq!(third.heard().await, [own]);
}

/// Somebody who comes a moment after another, so that it is told later, and is called `name` by then.
async fn renamed_guest(node: &mut Node, lobby: &Room, name: &str) -> node::Member {
    let guest = node.join(lobby, Format::Text, Join::default()).await;
    let from = guest.me.rename(user(name)).unwrap();
    guest.seat.renamed(from);
    guest
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_name_before_others_were_told_of_it_is_told_by_that_name_alone() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    let _first = renamed_guest(&mut node, &lobby, "alice").await;
    assert_eq!(observer.heard().await, ["* [lobby] guest-2 joined", "* [lobby] guest-2 is now alice"]);
    let mut bob = renamed_guest(&mut node, &lobby, "bob").await;
    let from = bob.me.rename(user("robert")).unwrap();
    bob.seat.renamed(from);
    sleep(secs(1)).await;
    assert_eq!(observer.heard().await, ["* [lobby] robert joined"]);
    assert_eq!(bob.heard().await, [""; 0], "not of itself");
    // From now on they know it.
    let from = bob.me.rename(user("bob")).unwrap();
    bob.seat.renamed(from);
    assert_eq!(observer.heard().await, ["* [lobby] robert is now bob"]);
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_name_before_it_was_counted_is_only_counted() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    let _first = node.join(&lobby, Format::Text, Join::default()).await;
    let _bob = renamed_guest(&mut node, &lobby, "bob").await;
    let _eve = renamed_guest(&mut node, &lobby, "eve").await;
    sleep(secs(1)).await;
    assert_eq!(observer.heard().await, ["* [lobby] guest-2 joined", "* [lobby] 2 joined, 0 left: 4 members"]);
}

#[tokio::test(start_paused = true)]
async fn who_goes_untold_is_told_by_its_last_name_and_not_mixed_up_with_who_takes_that() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    let alice = renamed_guest(&mut node, &lobby, "alice").await;
    let bob = renamed_guest(&mut node, &lobby, "bob").await;
    let eve = renamed_guest(&mut node, &lobby, "eve").await;
    sleep(secs(3)).await;
    observer.heard().await;

    drop(bob);
    assert_eq!(observer.heard().await, ["* [lobby] bob left"]);
    let from = alice.me.rename(user("anna")).unwrap();
    alice.seat.renamed(from);
    drop(alice);
    sleep(secs(2)).await;
    assert_eq!(observer.heard().await, ["* [lobby] alice is now anna", "* [lobby] anna left"]);

    let carol = node.join(&lobby, Format::Text, Join::default()).await;
    let from = eve.me.rename(user("anna")).unwrap();
    eve.seat.renamed(from);
    drop(eve);
    let from = carol.me.rename(user("anna")).unwrap();
    carol.seat.renamed(from);
    sleep(secs(1)).await;
    let told = ["guest-5 joined", "eve is now anna", "guest-5 is now anna", "0 joined, 1 left: 2 members"];
    assert_eq!(observer.heard().await, told.map(|told| format!("* [lobby] {told}")));
}

#[tokio::test(start_paused = true)]
async fn many_new_names_in_a_second_are_counted_together() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    let eve = node.join(&lobby, Format::Text, Join::default()).await;
    sleep(secs(2)).await;
    observer.heard().await;
    let rename = |number: u32| {
        let from = eve.me.rename(user(&format!("eve-{number}"))).unwrap();
        eve.seat.renamed(from);
    };
    (0..25).for_each(rename);
    let notices = observer.heard().await;
    assert_eq!((notices.len(), notices[9].as_str()), (10, "* [lobby] eve-8 is now eve-9"));
    sleep(secs(1)).await;
    assert_eq!(observer.heard().await, ["* [lobby] 0 joined, 0 left, 15 renamed: 2 members"]);
    rename(25);
    assert_eq!(observer.heard().await, ["* [lobby] eve-24 is now eve-25"]);
    (26..40).for_each(rename);
    drop(eve);
    sleep(secs(2)).await;
    assert_eq!(observer.heard().await.last().unwrap(), "* [lobby] 0 joined, 1 left, 5 renamed: 1 member");
}

#[tokio::test(start_paused = true)]
async fn a_large_room_only_counts() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    let mut members = Vec::new();
    for _ in 0..50 {
        members.push(node.join(&lobby, Format::Text, Join::default()).await);
    }
    sleep(secs(2)).await;
    observer.heard().await;
    members.push(node.join(&lobby, Format::Text, Join::default()).await);
    assert_eq!(observer.heard().await, [""; 0]);
    sleep(secs(1)).await;
    assert_eq!(observer.heard().await, ["* [lobby] 1 joined, 0 left: 52 members"]);
    let renamed = members.last().unwrap();
    renamed.seat.renamed(renamed.me.rename(user("bob")).unwrap());
    sleep(secs(1)).await;
    assert_eq!(observer.heard().await, ["* [lobby] 0 joined, 0 left, 1 renamed: 52 members"]);
    members.pop();
    sleep(secs(1)).await;
    assert_eq!(observer.heard().await, ["* [lobby] 0 joined, 1 left: 51 members"]);
    members.truncate(48);
    sleep(secs(2)).await;
    assert_eq!(observer.heard().await, ["* [lobby] 0 joined, 2 left: 49 members"]);
    members.pop();
    assert_eq!(observer.heard().await, ["* [lobby] guest-49 left"], "names again");
}

#[tokio::test(start_paused = true)]
async fn raw_members_and_quiet_rooms_are_told_of_nobody() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Raw).await;
    let quiet = node.quiet("quiet");
    let mut hermit = node.join(&quiet, Format::Text, Join::default()).await;
    for room in [&lobby, &quiet] {
        let bob = node.join(room, Format::Text, Join::default()).await;
        let from = bob.me.rename(user("bob")).unwrap();
        if room.name() == lobby.name() {
            bob.seat.renamed(from);
        }
        sleep(secs(2)).await;
        drop(bob);
        sleep(secs(2)).await;
    }
    assert_eq!(observer.heard().await, [""; 0]);
    assert_eq!(hermit.heard().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn members_without_a_name_come_and_go_untold() {
    let mut node = Node::start().await;
    let (lobby, mut observer) = observing(&mut node, Format::Text).await;
    let (_peer, conn) = node.connect().await;
    drop(conn.join(&lobby).unwrap());
    sleep(secs(2)).await;
    assert_eq!(observer.heard().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_takes_no_notices_of_others_along() {
    let hub = Hub::new();
    let (mut one, mut two) = (Node::on(hub.clone()).await, Node::on(hub.clone()).await);
    let (lobby, mut observer) = observing(&mut two, Format::Text).await;
    let first = one.join(&lobby, Format::Text, Join::default()).await;
    // Within the second: it would be told by a sweep of its server's.
    let second = one.join(&lobby, Format::Text, Join::default()).await;
    one.handle.drain();
    drop((first, second));
    one.drained.await.unwrap();
    sleep(secs(5)).await;
    observer.heard().await;
    let _bob = two.join(&lobby, Format::Text, Join::default()).await;
    sleep(secs(2)).await;
    assert_eq!(observer.heard().await.len(), 1);
}
