//! What bad input gets: one error, and the connection goes on.

use super::{Peer, ROOMS};
use crate::process::{HalfClose as _, Program, ask};
use std::io::{Read as _, Write as _};

/// Frames and the error that each is answered with; bob is somebody else.
const BAD: [(&str, &str); 23] = [
    ("/", "unknown-command"),
    ("/nope", "unknown-command"),
    ("/ join ops", "unknown-command"),
    ("/join", "bad-argument"),
    ("/join ops since=7", "bad-argument"),
    ("/join ops later=7", "bad-argument"),
    ("/pub lobby", "bad-argument"),
    ("/history all", "bad-argument"),
    ("/format yaml", "bad-argument"),
    ("/ping pong", "bad-argument"),
    ("/join a/b", "bad-name"),
    ("/join 12345678901234567890123456789012345678901234567890123456789012345", "bad-name"),
    ("/name no\u{eb}l", "bad-name"),
    ("/name guest-7", "bad-name"),
    ("/name Server", "bad-name"),
    ("/msg a:b hi", "bad-name"),
    ("/name BOB", "name-taken"),
    ("/pub ops hi", "not-a-member"),
    ("/pub nowhere hi", "not-a-member"),
    ("/leave ops", "not-a-member"),
    ("/who nowhere", "no-such-room"),
    ("/msg nobody hi", "no-such-member"),
    ("/msg guest-99 hi", "no-such-member"),
];

#[test]
fn each_error_is_one_line_and_the_connection_goes_on() {
    let program = Program::serve(&[ROOMS, &format!("{ROOMS}?format=json"), &format!("{ROOMS}?format=raw")]);
    let mut bob = Peer::named(&program, 0, "bob");
    bob.say("/join ops");
    bob.next();
    let (mut text, mut json, mut raw) = (Peer::enter(&program, 0), Peer::enter(&program, 1), Peer::silent(&program, 2));
    for (frame, code) in BAD {
        for peer in [&mut text, &mut raw] {
            peer.say(frame);
            let answer = peer.next();
            assert!(answer.starts_with(&format!("! {code}: ")), "{frame}: {answer}");
            peer.ask("/ping", "* pong");
        }
        json.say(frame);
        let answer = json.next();
        assert!(answer.starts_with(&format!(r#"{{"error":"{code}","text":""#)), "{frame}: {answer}");
        json.ask("/ping", r#"{"event":"pong"}"#);
    }
    // Nothing of it reached anybody else.
    bob.expect_nothing();
}

#[test]
fn without_a_room_there_is_no_current_one() {
    let program = Program::serve(&[ROOMS]);
    let mut peer = Peer::enter(&program, 0);
    peer.ask("/leave", "* [lobby] you left; now in no room");
    for frame in ["text", "//", "", "/leave", "/who", "/history"] {
        peer.ask(frame, "! no-room: you are in no room; /join ROOM first");
    }
    peer.say("/join lobby");
    assert!(peer.next().ends_with(": 1 member"));
}

#[test]
fn a_flood_of_joins_leaves_and_names_is_limited() {
    for command in ["/join ops", "/name bob", "/leave"] {
        let program = Program::serve(&[ROOMS]);
        let mut peer = Peer::enter(&program, 0);
        // More than come at once, with enough to spare for those that time allows meanwhile.
        let mut refused = 0;
        for number in 0..100 {
            let command = if command == "/leave" && number % 2 == 0 { "/join ops" } else { command };
            peer.say(command);
            let answer = peer.next();
            if answer.starts_with("! rate-limited: too many joins, leaves and name changes; try again in ") {
                refused += 1;
            }
        }
        assert!(refused > 10, "{command}: {refused}");
        // Everything else goes on, and nobody else is limited.
        peer.ask("/ping", "* pong");
        let mut other = Peer::enter(&program, 0);
        other.ask("/name carol", "* you are carol");
        other.ask("/quit", "* bye");
        other.expect_end();
    }
}

#[test]
fn a_frame_too_long_is_told_and_ends_its_connection_alone() {
    let urls = ["", "?format=json", "?framing=length", "?format=raw&commands=off"].map(|rest| format!("{ROOMS}{rest}"));
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    let mut program = Program::serve(&[&urls[..], &["--max-frame", "16"]].concat());
    let mut other = Peer::enter(&program, 0);

    let mut text = Peer::enter(&program, 0);
    text.say("0123456789abcdef");
    other.expect("[lobby] guest-2: 0123456789abcdef");
    text.say("0123456789abcdefg");
    text.say("never read");
    text.expect("! frame-too-long: frame is longer than 16 bytes");
    text.expect_end();
    program.logged("close.reason=frame-too-long");

    let mut json = Peer::enter(&program, 1);
    json.say("0123456789abcdefg");
    json.expect(r#"{"error":"frame-too-long","text":"frame is longer than 16 bytes"}"#);
    json.expect_end();

    let mut length = program.tcp(2);
    ask(&mut length, b"", b"\0\0\0\x34* you are guest-4 in lobby; /help lists the commands");
    ask(&mut length, b"\0\0\0\x11", b"\0\0\0\x2f! frame-too-long: frame is longer than 16 bytes");
    assert_eq!(length.read(&mut [0; 1]).expect("it is closed in order"), 0);

    // A relay adds nothing of its own to what its members say.
    let mut raw = Peer::silent(&program, 3);
    raw.say("0123456789abcdefg");
    raw.expect_end();
    other.expect_nothing();
}

#[test]
fn an_end_within_a_frame_is_told() {
    let program = Program::serve(&[&format!("{ROOMS}?framing=length")]);
    let mut peer = program.tcp(0);
    ask(&mut peer, b"", b"\0\0\0\x34* you are guest-1 in lobby; /help lists the commands");
    peer.write_all(b"\0\0\0\x02a").expect("it takes half a frame");
    peer.finish_sending();
    ask(&mut peer, b"", b"\0\0\0\x13* closed: bad-frame");
    assert_eq!(peer.read(&mut [0; 1]).expect("it is closed in order"), 0);
}

/// Two lines that fill one read, and what stands behind them.
fn two_lines_and(rest: &str) -> String {
    format!("{}{rest}", format!("/auth {}\n", "x".repeat(32_700)).repeat(2))
}

#[test]
fn a_byte_behind_whole_lines_keeps_nothing_of_them() {
    let program = Program::serve(&[ROOMS, "--workers", "1"]);
    let enter = || {
        let mut peer = Peer::silent(&program, 0);
        peer.send(two_lines_and("/ping\nz"));
        while peer.next() != "* pong" {}
        peer
    };
    let _first = enter();
    let before = program.resident_kilobytes();
    let peers: Vec<_> = (0..300).map(|_| enter()).collect();
    let grown = program.resident_kilobytes().saturating_sub(before);
    assert!(grown < 10 * peers.len(), "{grown} KiB more");
}

#[test]
fn what_a_rate_makes_wait_is_in_the_budget() {
    let mut program = Program::serve(&[&format!("{ROOMS}?rate=1"), "--workers", "1", "--max-memory", "4MiB"]);
    let _peers: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = program.tcp(0);
            // Some are reset before they have said everything.
            let _ = stream.write_all("x\n".repeat(32_700).as_bytes());
            stream
        })
        .collect();
    program.logged("close.reason=out-of-memory");
}
