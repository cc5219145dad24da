//! Answers without an end: events, and messages that are followed.

use super::{Client, HTTP, ask, get, id, post, request};
use crate::process::Program;
use crate::rooms::{Peer, ROOMS};

/// Begins to read a stream. Its head is here only when it is a member, or soon will be.
fn open(program: &Program, path: &str, headers: &[&str]) -> Client {
    let mut client = Client::connect(program, 0);
    client.send(request("GET", path, headers, ""));
    let head = client.head();
    assert_eq!(head.status, 200, "{path}");
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    assert_eq!(head.header("cache-control"), Some("no-store"));
    client
}

/// Begins to read events, and waits until it is a member.
fn events(program: &Program, path: &str, headers: &[&str]) -> Client {
    let mut client = open(program, path, headers);
    let retry = client.streamed("\n\n");
    assert!(retry.starts_with("retry: "), "{retry}");
    client
}

/// Waits until so many are in a room.
fn wait_for_members(program: &Program, room: &str, members: usize) {
    while !get(program, &format!("{room}/members")).body.ends_with(&format!("\"total\":{members}}}\n")) {}
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
    let answer = ask(&program, "GET", "/rooms/lobby/events", &["last-event-id: 7"], "");
    assert_eq!(answer.status, 400);
}

#[test]
fn what_is_no_message_is_an_event_with_a_name() {
    let program = Program::serve(&[HTTP, ROOMS]);
    post(&program, "/rooms/lobby", "hi");
    let mut reader = events(&program, "/rooms/lobby/events?since=0-9", &[]);
    let reset = reader.streamed("\n\n");
    assert!(reset.starts_with("event: reset\ndata: {\"event\":\"reset\",\"room\":\"lobby\",\"epoch\":\""), "{reset}");
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
        let mut reader = open(&program, &format!("{room}/messages?follow=1{query}"), &[]);
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
    while !get(&program, "/rooms").body.contains("{\"room\":\"ops\",\"members\":1}") {}
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
    }
    assert!(!get(&program, "/rooms").body.contains("ops"));
}
