//! What a client gets, in memory: what takes time, and limits that the program has no setting for.

#![allow(clippy::disallowed_methods, reason = "a test is the program itself, and sees all of a room")]

use super::*;
use crate::services::rooms::Settings;
use std::time::Duration;
use switchboard::testing::Peer;
use switchboard::{Hub, HubLimits, Memory, Server};

/// A client of rooms over HTTP, under the test's clock.
fn client() -> Peer {
    client_of(Hub::new())
}

fn client_of(hub: Hub) -> Peer {
    client_with(hub, Access::default())
}

pub(super) fn client_with(hub: Hub, access: Access) -> Peer {
    client_admitted(hub, Admission::default(), access)
}

pub(super) fn client_admitted(hub: Hub, admission: Admission, access: Access) -> Peer {
    let settings = Settings {
        format: Format::Json,
        room: None,
        commands: true,
        echo: false,
        rate: crate::live::Pace::default(),
        new_rooms: Replaceable::default(),
        overflow: None,
        admission: Replaceable::new(admission),
        known_by: crate::services::rooms::KnownBy::default(),
    };
    let listener = Arc::new(Listener::new(settings, hub));
    let guard = Guard { origins: guard::Origins::default(), loopback: true, secure: false };
    let guard = crate::live::Replaceable::new(Arc::new(guard));
    let web = Arc::new(Web::new(listener, guard, Replaceable::new(64), access));
    let memory = Memory::new();
    let server = Server::new().workers(0).listen_http(memory.clone(), move |request| Arc::clone(&web).serve(request));
    #[expect(clippy::disallowed_methods, reason = "the test's runtime owns the server")]
    drop(tokio::spawn(server.serve_until(std::future::pending())));
    Peer::connect(&memory)
}

/// Receives up to an empty line.
pub(super) async fn paragraph(peer: &mut Peer) -> String {
    let mut paragraph = String::new();
    while !paragraph.ends_with("\n\n") && !paragraph.ends_with("\n\r\n") {
        let line = peer.line().await;
        assert!(!line.is_empty(), "ended behind {paragraph:?}");
        paragraph += &line;
    }
    paragraph
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_or_is_broken_is_an_object_too() {
    for (rest, status, object) in [
        (
            "content-length: 4\r\n\r\nab",
            "408 Request Timeout",
            "{\"error\":\"too-slow\",\"text\":\"body took too long\"}\n",
        ),
        (
            "transfer-encoding: chunked\r\n\r\nzz\r\n",
            "400 Bad Request",
            "{\"error\":\"bad-argument\",\"text\":\"body is broken\"}\n",
        ),
    ] {
        let mut peer = client();
        peer.send(format!("POST /rooms/lobby HTTP/1.1\r\nhost: localhost\r\n{rest}")).await;
        let head = paragraph(&mut peer).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n")), "{head}");
        assert_eq!(String::from_utf8(peer.rest().await.expect("it is closed in order")).expect("it is UTF-8"), object);
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_kept_alive_by_comments() {
    let mut peer = client();
    peer.send("GET /rooms/lobby/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let began = tokio::time::Instant::now();
    paragraph(&mut peer).await;
    assert!(paragraph(&mut peer).await.contains("retry: "));
    for keepalives in 1..=3 {
        assert!(paragraph(&mut peer).await.contains(":\n\n"));
        let passed = began.elapsed().as_secs();
        assert!((20 * keepalives..=20 * keepalives + keepalives).contains(&passed), "{passed} s");
    }
}

#[tokio::test(start_paused = true)]
async fn followed_messages_are_kept_alive_by_objects() {
    let mut peer = client();
    peer.send("GET /rooms/lobby/messages?follow=1 HTTP/1.0\r\nhost: localhost\r\n\r\n").await;
    let began = tokio::time::Instant::now();
    paragraph(&mut peer).await;
    assert!(peer.line().await.starts_with("{\"event\":\"you-joined\""));
    for keepalives in 1..=3 {
        assert_eq!(peer.line().await, "{\"event\":\"pong\"}\n");
        let passed = began.elapsed().as_secs();
        assert!((20 * keepalives..=20 * keepalives + keepalives).contains(&passed), "{passed} s");
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_rooms_as_there_may_be() {
    for path in ["POST /rooms/ops", "GET /rooms/ops/events", "GET /rooms/ops/messages?follow=1"] {
        // The lobby is there.
        let mut peer = client_of(Hub::with_limits(HubLimits { rooms: 1, ..HubLimits::default() }));
        peer.send(format!("{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await;
        let head = paragraph(&mut peer).await;
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nretry-after: 60\r\n"), "{path}: {head}");
        let object = "{\"error\":\"too-many-rooms\",\"text\":\"limit on rooms reached: 1\"}\n";
        assert_eq!(String::from_utf8(peer.rest().await.expect("it is closed in order")).expect("it is UTF-8"), object);
    }
}

/// Opens a WebSocket, whose frames come next.
async fn socket(hub: &Hub, path: &str) -> Peer {
    let mut peer = client_of(hub.clone());
    let key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    let upgrade = "connection: upgrade\r\nupgrade: websocket";
    peer.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{upgrade}\r\n{key}\r\n\r\n")).await;
    assert!(paragraph(&mut peer).await.starts_with("HTTP/1.1 101 "));
    peer
}

/// The next frame, which is shorter than 64 KiB.
pub(super) async fn frame(peer: &mut Peer) -> (u8, Vec<u8>) {
    let head = peer.bytes(2).await;
    let length = match head[1] {
        126 => usize::from(u16::from_be_bytes(peer.bytes(2).await.try_into().expect("two bytes"))),
        length => usize::from(length),
    };
    (head[0], peer.bytes(length).await)
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_is_turned_away_joins_nothing_and_nobody_is_told() {
    let hub = Hub::with_limits(HubLimits { rooms: 1, ..HubLimits::default() });
    let mut alice = socket(&hub, "/ws?name=alice").await;
    assert!(frame(&mut alice).await.1.starts_with(b"{\"event\":\"welcome\",\"name\":\"alice\""));
    let lobby = hub.room("lobby").expect("it is there");
    for (path, code) in [
        ("/rooms/lobby/ws?name=alice&since=0-0", "name-taken"),
        // There is one room, and there may be no more.
        ("/rooms/ops/ws", "too-many-rooms"),
    ] {
        let mut other = socket(&hub, path).await;
        let (kind, told) = frame(&mut other).await;
        assert!(kind == 0x81 && told.starts_with(format!("{{\"error\":\"{code}\"").as_bytes()), "{path}");
        assert_eq!(frame(&mut other).await, (0x88, [&1008_u16.to_be_bytes()[..], b"closed"].concat()), "{path}");
        assert_eq!(lobby.member_count(), 1, "{path}");
    }
    // Who comes and goes is told once a second.
    tokio::time::sleep(Duration::from_secs(3)).await;
    lobby.publish("and on");
    let (_, told) = frame(&mut alice).await;
    assert!(told.ends_with(b"\"text\":\"and on\"}"), "{}", told.escape_ascii());
}
