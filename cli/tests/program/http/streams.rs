//! Answers without an end: events, and messages that are followed.

use super::{Client, HTTP, get, id, post, request, wait_for_members};
use crate::process::{Program, until};
use crate::rooms::{Peer, ROOMS};

/// Begins to read a stream. Its head is here only when it is a member, or soon will be.
fn open(program: &Program, path: &str, headers: &[&str]) -> Client {
    let mut client = Client::connect(program, 0);
    client.send(request("GET", path, headers, ""));
    let head = client.head();
    assert_eq!(head.status, 200, "{path}");
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    // Who compresses it would hold back what has come.
    assert_eq!(head.header("cache-control"), Some("no-cache, no-transform"));
    client
}

/// Begins to follow messages, and says behind which it begins.
fn follow(program: &Program, path: &str) -> (Client, String) {
    let mut client = open(program, path, &[]);
    let joined = client.streamed("\n");
    assert!(joined.starts_with("{\"event\":\"you-joined\",\"room\":\""), "{joined}");
    (client, id(&joined).to_owned())
}

/// Begins to read events, and waits until it is a member.
fn events(program: &Program, path: &str, headers: &[&str]) -> Client {
    begin(program, path, headers).0
}

/// As [`events`], and says what a browser would come back with.
fn begin(program: &Program, path: &str, headers: &[&str]) -> (Client, String) {
    let mut client = open(program, path, headers);
    let first = client.streamed("\n\n");
    let lines: Vec<_> = first.lines().collect();
    let [retry, last, "event: you-joined", joined, ""] = lines[..] else { panic!("{first}") };
    assert!(retry.starts_with("retry: "), "{retry}");
    let last = last.strip_prefix("id: ").expect("it has an id");
    assert_eq!(id(joined), last);
    (client, last.to_owned())
}

#[test]
fn events_have_the_ids_that_a_browser_comes_back_with() {
    let program = Program::serve(&[HTTP]);
    post(&program, "/rooms/lobby", "before");
    let mut reader = events(&program, "/rooms/lobby/events", &[]);
    wait_for_members(&program, "/rooms/lobby", 1);
    let first = post(&program, "/rooms/lobby", "one\ntwo").body;
    let event = reader.streamed("\n\n");
    let object = get(&program, "/rooms/lobby/messages?limit=1").body;
    assert_eq!(event, format!("id: {}\ndata: {object}\n", id(&first)));
    drop(reader);
    let second = post(&program, "/rooms/lobby", "meanwhile").body;
    for (query, header) in [
        (String::new(), format!("last-event-id: {}", id(&first))),
        // The header is what the browser saw since the page asked.
        ("?since=0-0".to_owned(), format!("last-event-id: {}", id(&first))),
        (format!("?since={}", id(&first)), "last-event-id:".to_owned()),
    ] {
        let mut reader = events(&program, &format!("/rooms/lobby/events{query}"), &[&header]);
        assert!(reader.streamed("\n\n").starts_with(&format!("id: {}\ndata: ", id(&second))));
    }
}

#[test]
fn events_that_were_cut_off_before_the_first_message_go_on() {
    let program = Program::serve(&[HTTP]);
    // A room without messages, and one with some.
    for room in ["/rooms/alerts", "/rooms/alerts"] {
        let (reader, last) = begin(&program, &format!("{room}/events"), &[]);
        drop(reader);
        let missed = post(&program, room, "disk full").body;
        for (query, header) in [
            (String::new(), format!("last-event-id: {last}")),
            // As libraries do in the place of `EventSource`.
            (format!("?lastEventId={last}"), "cache-control: no-cache".to_owned()),
        ] {
            let (mut reader, again) = begin(&program, &format!("{room}/events{query}"), &[&header]);
            assert_eq!(again, last);
            assert!(reader.streamed("\n\n").starts_with(&format!("id: {}\ndata: ", id(&missed))));
        }
    }
}

#[test]
fn followed_messages_that_were_cut_off_before_the_first_go_on() {
    let program = Program::serve(&[HTTP]);
    for (room, query) in [("/rooms/a", ""), ("/rooms/b", "&limit=0"), ("/rooms/c", "&limit=5")] {
        let (reader, last) = follow(&program, &format!("{room}/messages?follow=1{query}"));
        drop(reader);
        let missed = post(&program, room, "disk full").body;
        let (mut reader, again) = follow(&program, &format!("{room}/messages?follow=1&since={last}"));
        assert_eq!(again, last);
        assert_eq!(id(&reader.streamed("\n")), id(&missed));
        // What is kept came before: it begins in front of that.
        assert_eq!(follow(&program, &format!("{room}/messages?follow=1")).1, last);
    }
}

#[test]
fn a_reader_of_a_room_that_began_anew_is_told_so_and_can_be_cut_off_again() {
    let program = Program::serve(&[HTTP]);
    let epoch = id(&post(&program, "/rooms/lobby", "hi").body).split('-').next().expect("an epoch").to_owned();
    // Of another incarnation; no id of ours at all.
    for last in ["p01z-7", "0-0", "7", "k3f9-99999999999999999999", "\u{e4}"] {
        let (mut reader, again) = begin(&program, "/rooms/lobby/events", &[&format!("last-event-id: {last}")]);
        assert_eq!(again, format!("{epoch}-0"), "{last}");
        let reset = reader.streamed("\n\n");
        let data = format!("{{\"event\":\"reset\",\"room\":\"lobby\",\"epoch\":\"{epoch}\"}}");
        assert_eq!(reset, format!("id: {epoch}-0\nevent: reset\ndata: {data}\n\n"), "{last}");
        assert!(reader.streamed("\n\n").starts_with(&format!("id: {epoch}-1\n")), "{last}");
    }
    assert_eq!(follow(&program, "/rooms/lobby/messages?follow=1&since=p01z-7").1, format!("{epoch}-0"));
}

#[test]
fn what_is_no_message_is_an_event_with_a_name() {
    let program = Program::serve(&[HTTP, ROOMS]);
    post(&program, "/rooms/lobby", "hi");
    let mut reader = events(&program, "/rooms/lobby/events?since=0-9", &[]);
    let reset = reader.streamed("\n\n");
    assert!(reset.contains("\nevent: reset\ndata: {\"event\":\"reset\",\"room\":\"lobby\",\"epoch\":\""), "{reset}");
    let _guest = Peer::enter(&program, 1);
    reader.streamed("event: joined\ndata: {\"event\":\"joined\",\"room\":\"lobby\",\"name\":\"guest-2\"}\n\n");
}

#[test]
fn messages_are_followed_behind_those_that_are_kept() {
    let program = Program::serve(&[HTTP]);
    for (round, first) in [1, 2, 4, 3].into_iter().enumerate() {
        let room = format!("/rooms/room-{round}");
        let ids: Vec<_> = (1..=3).map(|number| post(&program, &room, &number.to_string()).body).collect();
        let query = match first {
            1 => String::new(),
            3 => format!("&since={}", id(&ids[1])),
            _ => format!("&limit={}", 4 - first),
        };
        let (mut reader, _) = follow(&program, &format!("{room}/messages?follow=1{query}"));
        let kept = if first < 4 { reader.streamed("\"text\":\"3\"}\n") } else { String::new() };
        wait_for_members(&program, &room, 1);
        post(&program, &room, "and on");
        let lines = kept + &reader.streamed("\"text\":\"and on\"}\n");
        let numbers: Vec<_> = (1..=4).filter(|number| lines.contains(&format!("\"seq\":{number},"))).collect();
        assert_eq!(numbers, (first..=4).collect::<Vec<_>>(), "{query}: {lines}");
    }
}

#[test]
fn a_reader_is_a_member_that_others_see() {
    let program = Program::serve(&[HTTP, ROOMS]);
    let mut tcp = Peer::enter(&program, 1);
    let reader = events(&program, "/rooms/lobby/events", &[]);
    tcp.wait_for_members("lobby", 2);
    drop(reader);
    tcp.wait_for_members("lobby", 1);
    // It makes a room, as a join does.
    let _reader = open(&program, "/rooms/ops/messages?follow=1", &[]);
    until(|| get(&program, "/rooms").body.contains("{\"room\":\"ops\",\"members\":1}"));
}

#[test]
fn a_drain_is_told_and_ends_a_stream() {
    let program = Program::serve(&[HTTP]);
    let mut reader = events(&program, "/rooms/lobby/events", &[]);
    let mut follower = open(&program, "/rooms/lobby/messages?follow=1", &[]);
    wait_for_members(&program, "/rooms/lobby", 2);
    program.signal(nix::sys::signal::Signal::SIGTERM);
    reader.streamed("event: closed\ndata: {\"event\":\"closed\",\"reason\":\"drained\"}\n\n");
    assert_eq!(reader.chunk(), None);
    follower.streamed("{\"event\":\"closed\",\"reason\":\"drained\"}\n");
    assert_eq!(follower.chunk(), None);
    assert_eq!(program.end().code, Some(0));
}

#[test]
fn who_asks_for_the_head_of_a_stream_joins_nothing() {
    let program = Program::serve(&[HTTP]);
    for (path, kind) in [("events", "text/event-stream"), ("messages?follow=1", "application/x-ndjson")] {
        let mut client = Client::connect(&program, 0);
        client.send(request("HEAD", &format!("/rooms/ops/{path}"), &[], ""));
        let head = client.head();
        assert_eq!((head.status, head.header("content-type")), (200, Some(kind)));
        assert_eq!(head.header("cache-control"), Some("no-cache, no-transform"));
    }
    assert!(!get(&program, "/rooms").body.contains("ops"));
}
