//! Connections that end because what they were shown to be has an end.

use crate::harness::node::{Node, heard, user};
use std::time::{Duration, SystemTime};
use switchboard::prelude::*;
use switchboard::{BoxError, ConnectionError, Format, Join, PublishError, testing};
use tokio::time::{advance, sleep};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn from_now(left: u64) -> SystemTime {
    SystemTime::now() + seconds(left)
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_to_its_end_is_told_a_minute_before_and_closed() {
    let mut node = Node::start().await;
    let (mut alice, mut bob) = (node.member("lobby").await, node.member("lobby").await);
    alice.me.expire_at(Some(from_now(90)));
    sleep(seconds(29)).await;
    assert_eq!(alice.heard().await, [""; 0]);
    sleep(seconds(2)).await;
    assert_eq!(alice.heard().await, ["* your authorization ends in 60 s"]);
    sleep(seconds(58)).await;
    assert_eq!(alice.heard().await, [""; 0], "it is told once");
    alice.seat.publish("in time").unwrap();
    assert_eq!(bob.heard().await, ["[lobby] guest-1: in time"]);
    sleep(seconds(2)).await;
    let error = alice.conn.recv().await.unwrap_err();
    assert_eq!(error, ConnectionError::Closed(CloseReason::Expired));
    drop((alice.seat, alice.me, alice.conn));
    alice.peer.finish();
    assert_eq!(alice.peer.closed().await, CloseReason::Expired);
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_at_the_end_still_arrives() {
    let ended = |mut conn: Connection<Lines>| async move {
        conn.expire_at(Some(from_now(5)));
        let error = conn.recv().await.unwrap_err();
        conn.last_word(format!("{error}"));
        Ok::<(), BoxError>(())
    };
    let mut peer = testing::serve(ended, Timeouts::default());
    assert_eq!(peer.line().await, "connection closed: expired\n");
    assert_eq!(peer.rest().await.unwrap(), b"");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::Expired);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_and_not_received_by_the_end_comes_too_late() {
    let mut node = Node::start().await;
    let (mut alice, mut bob) = (node.member("lobby").await, node.member("lobby").await);
    alice.me.expire_at(Some(from_now(5)));
    alice.peer.send("one\ntwo\n").await;
    let line = alice.conn.recv().await.unwrap().unwrap();
    alice.seat.publish(line).unwrap();
    sleep(seconds(6)).await;
    alice.peer.send("three\n").await;
    assert!(alice.conn.recv().await.is_err(), "also what is in memory");
    assert_eq!(bob.heard().await, ["[lobby] guest-1: one"]);
}

/// A task of its own that does not receive, and so does not hear of the end.
#[tokio::test(start_paused = true)]
async fn whoever_speaks_for_one_that_has_ended_is_refused() {
    let mut node = Node::start().await;
    let (alice, mut bob) = (node.member("lobby").await, node.member("lobby").await);
    alice.me.expire_at(Some(from_now(5)));
    alice.seat.publish("in time").unwrap();
    sleep(seconds(6)).await;
    assert_eq!(alice.seat.publish("late").map(drop), Err(PublishError::NotAllowed));
    let lobby = alice.seat.room().clone();
    assert_eq!(alice.me.publish(&lobby, "late").unwrap_err(), PublishError::NotAllowed);
    assert_eq!(bob.heard().await, ["[lobby] guest-1: in time"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_shown_to_be_it_for_longer_stays() {
    let mut node = Node::start().await;
    let mut alice = node.member("lobby").await;
    alice.me.expire_at(Some(from_now(10)));
    sleep(seconds(2)).await;
    assert_eq!(alice.heard().await.len(), 1, "it is near already");
    alice.me.expire_at(Some(from_now(100)));
    sleep(seconds(30)).await;
    assert_eq!(alice.heard().await, [""; 0]);
    sleep(seconds(12)).await;
    assert_eq!(alice.heard().await, ["* your authorization ends in 60 s"], "once for each");
    alice.me.expire_at(None);
    sleep(seconds(1000)).await;
    assert_eq!(alice.heard().await, [""; 0]);
    // And for less.
    alice.me.expire_at(Some(from_now(1000)));
    alice.me.expire_at(Some(from_now(3)));
    sleep(seconds(5)).await;
    assert!(alice.conn.recv().await.is_err());
    alice.me.expire_at(Some(from_now(1000)));
    alice.me.expire_at(None);
    assert!(alice.conn.recv().await.is_err(), "what is over stays so");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_has_passed_is_the_next_sweeps() {
    for end in [SystemTime::now() - seconds(1), SystemTime::UNIX_EPOCH] {
        let mut node = Node::start().await;
        let mut alice = node.member("lobby").await;
        alice.me.expire_at(Some(end));
        sleep(seconds(2)).await;
        assert_eq!(alice.conn.recv().await.unwrap_err(), ConnectionError::Closed(CloseReason::Expired));
        assert_eq!(alice.heard().await, [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_is_never_early_and_a_second_late_at_most() {
    let mut node = Node::start().await;
    for part in [0, 1, 250, 500, 999] {
        let mut alice = node.member("lobby").await;
        sleep(Duration::from_millis(part)).await;
        alice.me.expire_at(Some(from_now(3)));
        let set = tokio::time::Instant::now();
        alice.conn.recv().await.unwrap_err();
        let lasted = set.elapsed().as_millis();
        assert!((2_990..4_100).contains(&lasted), "{lasted} ms, set at {part} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_is_told_in_its_own_format() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let mut text = node.join(&lobby, Format::Text, Join::default()).await;
    let mut json = node.join(&lobby, Format::Json, Join::default()).await;
    let mut raw = node.join(&lobby, Format::Raw, Join::default()).await;
    for member in [&text, &json, &raw] {
        member.me.expire_at(Some(from_now(30)));
    }
    sleep(seconds(1)).await;
    assert_eq!(text.heard().await, ["* your authorization ends in 29 s"]);
    assert_eq!(json.heard().await, [r#"{"event":"expiring","seconds":29}"#]);
    assert_eq!(raw.heard().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn time_that_is_skipped_counts() {
    let mut node = Node::start().await;
    let mut alice = node.member("lobby").await;
    alice.me.expire_at(Some(from_now(3600)));
    // As of a process that was stopped: one sweep, an hour later.
    advance(seconds(3601)).await;
    sleep(seconds(2)).await;
    assert!(alice.conn.recv().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_end_together() {
    let mut node = Node::start().await;
    let mut bob = node.member("lobby").await;
    let mut members = Vec::new();
    for _ in 0..1000 {
        members.push(node.member("lobby").await);
    }
    for member in &members {
        member.me.expire_at(Some(from_now(70)));
    }
    sleep(seconds(71)).await;
    for member in &mut members {
        assert_eq!(heard(&mut member.peer).await.len(), 1, "each is told");
        member.conn.recv().await.unwrap_err();
    }
    bob.me.tell(&user("guest-1"), "still here").unwrap();
    assert_eq!(bob.heard().await, ["@guest-1: still here"]);
}
