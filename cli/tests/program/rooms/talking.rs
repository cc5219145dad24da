//! Who hears what.

use super::{Peer, ROOMS};
use crate::process::{HalfClose as _, Place, Program, ask};
use std::io::{Read as _, Write as _};

#[test]
fn two_peers_chat_without_documentation() {
    for workers in ["1", "4"] {
        let program = Program::serve(&[ROOMS, "--workers", workers]);
        let mut one = Peer::silent(&program, 0);
        one.expect("* you are guest-1 in lobby; /help lists the commands");
        let mut other = Peer::silent(&program, 0);
        other.expect("* you are guest-2 in lobby; /help lists the commands");
        one.say("hi");
        other.expect("[lobby] guest-1: hi");
        other.say("hi yourself");
        one.expect("[lobby] guest-2: hi yourself");
        one.say("");
        other.expect("[lobby] guest-1: ");
    }
}

#[test]
fn its_line_says_how_to_try_it() {
    let program = Program::serve(&[ROOMS]);
    let listener = &program.listeners[0];
    assert_eq!(listener.command, format!("nc 127.0.0.1 {}", listener.address().port()));
    assert_eq!(listener.line, format!("rooms  {}  try: {}", listener.url, listener.command));
}

#[test]
fn who_comes_and_goes_is_told() {
    let program = Program::serve(&[ROOMS]);
    let mut watcher = Peer::enter(&program, 0);
    let presence = |watcher: &mut Peer| String::from_utf8(watcher.line().expect("it is told")).expect("UTF-8");
    let guest = Peer::enter(&program, 0);
    assert_eq!(presence(&mut watcher), "* [lobby] guest-2 joined");
    drop(guest);
    assert_eq!(presence(&mut watcher), "* [lobby] guest-2 left");
}

#[test]
fn many_who_come_at_once_are_told_as_a_number() {
    let program = Program::serve(&[ROOMS]);
    let mut watcher = Peer::enter(&program, 0);
    let _others: Vec<_> = (0..60).map(|_| Peer::enter(&program, 0)).collect();
    let mut joined = 0;
    while joined < 60 {
        let line = String::from_utf8(watcher.line().expect("it is told")).expect("UTF-8");
        let number = line.strip_prefix("* [lobby] ").and_then(|rest| rest.split_once(" joined, 0 left: "));
        joined += number.map_or(1, |(number, _)| number.parse::<usize>().expect("a number"));
    }
    assert_eq!(joined, 60);
}

#[test]
fn all_members_hear_everything_in_one_order() {
    let program = Program::serve(&[ROOMS, "--workers", "4"]);
    let mut listeners: Vec<_> = (0..4).map(|_| Peer::enter(&program, 0)).collect();
    let mut speakers: Vec<_> = (0..8).map(|_| Peer::enter(&program, 0)).collect();
    for number in 0..50 {
        for speaker in &mut speakers {
            speaker.say(&number.to_string());
        }
    }
    let heard: Vec<Vec<_>> = listeners.iter_mut().map(|peer| (0..400).map(|_| peer.next()).collect()).collect();
    assert!(heard.iter().all(|lines| *lines == heard[0]));
    for speaker in 5..13 {
        let own = heard[0].iter().filter_map(|line| line.strip_prefix(&format!("[lobby] guest-{speaker}: ")));
        assert!(own.eq((0..50).map(|number| number.to_string())), "{:?}", heard[0]);
    }
}

#[test]
fn any_stream_is_in_the_same_rooms() {
    let place = Place::new("rooms.sock");
    let unix = format!("rooms=unix://{place}?format=json");
    let length = format!("{ROOMS}?framing=length");
    let program = Program::serve(&[ROOMS, &unix, &length]);
    assert_eq!(program.listeners[1].command, format!("nc -U {place}"));
    let mut tcp = Peer::enter(&program, 0);
    let mut unix = Peer::unix(&place);
    unix.expect("{\"event\":\"welcome\",\"name\":\"guest-2\",\"room\":\"lobby\"}");
    let mut length = program.tcp(2);
    let framed = |text: &str| [&u32::try_from(text.len()).expect("short").to_be_bytes(), text.as_bytes()].concat();
    ask(&mut length, b"", &framed("* you are guest-3 in lobby; /help lists the commands"));
    tcp.say("hi");
    assert!(unix.next().ends_with("\"from\":\"guest-1\",\"text\":\"hi\"}"));
    ask(&mut length, b"", &framed("[lobby] guest-1: hi"));
    length.write_all(&framed("hi all")).expect("it takes a frame");
    tcp.expect("[lobby] guest-3: hi all");
}

#[test]
fn json_is_an_object_a_line() {
    let program = Program::serve(&[ROOMS, &format!("{ROOMS}?format=json")]);
    let mut text = Peer::named(&program, 0, "alice");
    let mut json = Peer::enter(&program, 1);
    text.send(b"\"\x1b\xe2\x80\xae\t\n");
    let message = json.next();
    assert!(message.starts_with("{\"room\":\"lobby\",\"seq\":1,\"id\":\""), "{message}");
    assert!(message.ends_with(r#""from":"alice","text":"\"\u001b\u202e\t"}"#), "{message}");
    text.send(b"\xff\n");
    assert!(json.next().ends_with(r#""from":"alice","base64":"/w=="}"#));
}

/// Each character that may neither drive a terminal nor end a line, and bytes that are no characters.
fn forbidden() -> Vec<Vec<u8>> {
    let controls = (0..=0x1f_u32).chain(0x7f..=0x9f).filter(|code| ![0x09, 0x0a].contains(code));
    let marks = [0x61c, 0x200e, 0x200f].into_iter().chain(0x2028..=0x202e).chain(0x2066..=0x2069);
    controls.chain(marks).map(|code| char::from_u32(code).expect("a character").to_string().into_bytes()).collect()
}

#[test]
fn control_characters_never_reach_those_who_read_text() {
    let program = Program::serve(&[ROOMS]);
    let mut reader = Peer::named(&program, 0, "reader");
    let mut speaker = Peer::named(&program, 0, "speaker");
    for character in forbidden() {
        // A CR that ends the line is a line end.
        speaker.send([b"a", &character[..], b"b\n"].concat());
        reader.expect("[lobby] speaker: a b");
        speaker.send([b"/msg reader a", &character[..], b"b\n"].concat());
        reader.expect("@speaker: a b");
        // Nor do they come back to whoever sends them.
        speaker.send([b"/join a", &character[..], b"b\n"].concat());
        speaker.expect("! bad-argument: an argument has control characters or is not UTF-8");
    }
    speaker.send(b"a\tb\n\xff\xfe\n");
    reader.expect("[lobby] speaker: a\tb");
    reader.expect("[lobby] speaker: \u{fffd}\u{fffd}");
}

#[test]
fn nobody_forges_a_second_line() {
    let program = Program::serve(&[ROOMS, &format!("{ROOMS}?framing=length"), &format!("{ROOMS}?format=raw")]);
    let mut raw = Peer::silent(&program, 2);
    raw.ask("/name ruth", "* you are ruth");
    let mut text = Peer::named(&program, 0, "alice");
    let mut forger = program.tcp(1);
    for payload in ["a\n[lobby] bob: b", "/msg alice a\r\n* closed: drained", "/msg ruth a\n! b", "end"] {
        forger.write_all(&(u32::try_from(payload.len()).expect("short")).to_be_bytes()).expect("it takes a frame");
        forger.write_all(payload.as_bytes()).expect("it takes a frame");
    }
    // What is said to one alone does not wait for what a room is told.
    let mut lines = text.until("[lobby] guest-3: end");
    lines.sort();
    assert_eq!(lines, ["@guest-3: a  * closed: drained", "[lobby] guest-3: a [lobby] bob: b"]);
    // What a raw member cannot be sent as one line is not sent.
    raw.expect("end");
}

#[test]
fn raw_without_commands_is_the_tutorials_chat() {
    for workers in ["1", "4"] {
        let chat = format!("{ROOMS}?format=raw&commands=off");
        let program = Program::serve(&[&chat, ROOMS, "--workers", workers]);
        let mut watcher = Peer::enter(&program, 1);
        let mut peers: Vec<_> = (0..3).map(|_| Peer::silent(&program, 0)).collect();
        watcher.wait_for_members("lobby", 4);
        for line in ["hi", "/help", "//", "", "\u{1b}[31m", "* closed: drained"] {
            peers[0].say(line);
            // Welcomes and notices would come before it.
            assert_eq!(peers[1].line(), Some(line.as_bytes().to_vec()));
            assert_eq!(peers[2].line(), Some(line.as_bytes().to_vec()));
        }
        peers[1].send("\u{e9}\r\nlast");
        peers[1].stream.finish_sending();
        // Its own lines do not come back.
        peers[1].expect_end();
        for listener in [0, 2] {
            assert_eq!(peers[listener].line(), Some("\u{e9}".into()));
            assert_eq!(peers[listener].line(), Some("last".into()));
        }
    }
}

#[test]
fn length_framing_carries_any_bytes() {
    let binary = format!("{ROOMS}?framing=length&format=raw&commands=off");
    let program = Program::serve(&[&binary, ROOMS]);
    let mut watcher = Peer::enter(&program, 1);
    let (mut sender, mut receiver) = (program.tcp(0), program.tcp(0));
    watcher.wait_for_members("lobby", 3);
    let all: Vec<u8> = (0..=255).collect();
    let mut frames = Vec::new();
    for payload in [&all[..], b"", b"\n", b"\r\n\x00", &all.repeat(200)] {
        frames.extend_from_slice(&u32::try_from(payload.len()).expect("short").to_be_bytes());
        frames.extend_from_slice(payload);
    }
    sender.write_all(&frames).expect("it takes everything");
    let mut received = vec![0; frames.len()];
    receiver.read_exact(&mut received).expect("it is told everything");
    assert!(received == frames);
}

#[test]
fn an_end_of_input_leaves_and_what_was_asked_is_answered() {
    let program = Program::serve(&[ROOMS]);
    let mut other = Peer::enter(&program, 0);
    let mut peer = Peer::enter(&program, 0);
    peer.send("bye\n/ping\n/ping");
    peer.stream.finish_sending();
    peer.expect("* pong");
    peer.expect("* pong");
    peer.expect_end();
    other.expect("[lobby] guest-2: bye");
    other.wait_for_members("lobby", 1);
}
