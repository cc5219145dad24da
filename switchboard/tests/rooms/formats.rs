//! What each format is told, and what it cannot carry.

use crate::harness::node::{Node, QUIET, shown, told, user};
use crate::harness::patience::{secs, until};
use bytes::Bytes;
use serde_json::Value;
use switchboard::prelude::*;
use switchboard::{BoxError, Format, Join, MessageId};
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn each_member_gets_its_own_format() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let alice = node.member("lobby").await;
    let mut text = node.join(&lobby, Format::Text, Join::default()).await;
    let mut json = node.join(&lobby, Format::Json, Join::default()).await;
    let mut raw = node.join(&lobby, Format::Raw, Join::default()).await;
    let id = shown(alice.seat.publish("caf\u{e9}\u{1b}[2J").unwrap());
    lobby.publish(b"\xff");
    assert_eq!(text.heard().await, ["[lobby] guest-1: caf\u{e9} [2J", "[lobby] \u{fffd}"]);
    assert_eq!(raw.heard().await, ["caf\u{e9}\u{1b}[2J", "\u{fffd}"]);
    let objects = told(&mut json.peer).await;
    assert_eq!(objects[0]["id"], id.to_string());
    assert_eq!((&objects[0]["seq"], &objects[0]["from"]), (&1.into(), &"guest-1".into()));
    assert_eq!(objects[0]["text"], "caf\u{e9}\u{1b}[2J");
    assert_eq!((&objects[1]["from"], &objects[1]["base64"]), (&Value::Null, &"/w==".into()));
}

#[tokio::test(start_paused = true)]
async fn a_raw_member_of_a_line_transport_never_gets_what_is_not_one_line() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let mut raw = node.join(&lobby, Format::Raw, Join::default()).await;
    let mut text = node.member("lobby").await;
    let mut json = node.join(&lobby, Format::Json, Join::default()).await;
    for payload in ["a\nforged", "b\rforged", "\r\n", "\n", "fine", ""] {
        lobby.publish(payload);
        let told = json.me.tell(&user("guest-1"), Bytes::copy_from_slice(payload.as_bytes()));
        assert_eq!(told.is_ok(), !payload.contains(['\r', '\n']), "{payload:?}");
    }
    // What is told to one alone keeps its place among what is published.
    assert_eq!(raw.heard().await, ["fine", "fine", "", ""]);
    assert_eq!(
        text.heard().await,
        ["a forged", "b forged", "  ", " ", "fine", ""].map(|line| format!("[lobby] {line}"))
    );
    let texts: Vec<_> =
        told(&mut json.peer).await.iter().map(|object| object["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts, ["a\nforged", "b\rforged", "\r\n", "\n", "fine", ""]);
}

#[tokio::test(start_paused = true)]
async fn what_a_line_could_not_carry_is_told_in_the_first_format_that_can() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let mut member = node.join(&lobby, Format::Raw, Join::default()).await;
    let mut other = node.join(&lobby, Format::Raw, Join::default()).await;
    for _ in 0..2 {
        let last = lobby.last_id().seq;
        member.seat.publish("my\nown").unwrap();
        for payload in ["fine", "two\nlines", "fine", "and\rtwo"] {
            lobby.publish(payload);
        }
        assert_eq!(member.heard().await, ["fine", "fine"]);
        // Nothing is to be told of what it published itself.
        for (format, from) in [(Format::Text, last + 3), (Format::Raw, 0), (Format::Json, 0)] {
            member.seat.set_format(format);
            let gap = format!("* [lobby] lost 2 messages, from {from}");
            assert_eq!(member.heard().await, Vec::from_iter((from > 0).then_some(gap)));
        }
        member.seat.set_format(Format::Raw);
    }
    // What is repeated is counted as well.
    let since = Some(MessageId { seq: 2, ..lobby.last_id() });
    let mut back = node.join(&lobby, Format::Raw, Join { since, ..Join::default() }).await;
    assert_eq!(back.heard().await, ["fine"; 3]);
    back.seat.set_format(Format::Text);
    assert_eq!(back.heard().await, ["* [lobby] lost 5 messages, from 3"]);
    other.seat.set_format(Format::Json);
    assert_eq!(other.heard().await.last().unwrap(), r#"{"event":"gap","room":"lobby","lost":6,"from_seq":1}"#);
    lobby.publish("told");
    assert!(other.heard().await[0].contains("told"));
}

#[tokio::test(start_paused = true)]
async fn a_raw_member_of_a_framed_transport_gets_any_bytes() {
    let hub = Hub::new();
    let lobby = hub.room_with(&"lobby".parse().unwrap(), QUIET).unwrap();
    let room = lobby.clone();
    let handler = move |mut conn: Connection<Length>| {
        let lobby = room.clone();
        async move {
            let _seat = conn.join(&lobby)?;
            while conn.recv().await?.is_some() {}
            Ok::<(), BoxError>(())
        }
    };
    let mut peer = switchboard::testing::serve(handler, Timeouts::default());
    until(|| lobby.member_count() == 1).await;
    lobby.publish("a\nb");
    lobby.publish("\r");
    sleep(secs(1)).await;
    peer.finish();
    assert_eq!(peer.rest().await.unwrap(), b"\0\0\0\x03a\nb\0\0\0\x01\r");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_format_is_a_point_in_the_order() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let mut alice = node.member("lobby").await;
    lobby.publish("1");
    lobby.publish("2");
    alice.seat.set_format(Format::Json);
    alice.me.set_format(Format::Json);
    lobby.publish("3");
    alice.seat.set_format(Format::Raw);
    lobby.publish("4");
    alice.seat.set_format(Format::Text);
    lobby.publish("5");
    let lines = alice.heard().await;
    assert_eq!([&lines[0], &lines[1], &lines[3], &lines[4]], ["[lobby] 1", "[lobby] 2", "4", "[lobby] 5"]);
    let object: Value = serde_json::from_str(&lines[2]).unwrap();
    assert_eq!((&object["seq"], lines.len()), (&3.into(), 5));
    // What is joined from now on is in the identity's.
    assert_eq!(alice.me.format(), Format::Json);
    let seat = alice.me.join(&node.quiet("other"), Join::default()).unwrap();
    node.quiet("other").publish("6");
    assert_eq!(told(&mut alice.peer).await[0]["text"], "6");
    drop(seat);
}
