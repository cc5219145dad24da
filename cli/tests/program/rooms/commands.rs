//! What each command does, and what it is answered with.

use super::{Peer, ROOMS};
use crate::process::{HalfClose as _, Program};
use std::time::SystemTime;

#[test]
fn help_names_every_command_of_the_protocol() {
    let program = Program::serve(&[ROOMS]);
    let mut peer = Peer::enter(&program, 0);
    peer.say("/help");
    peer.say("/ping");
    let help = peer.until("* pong").join("\n");
    let protocol = include_str!("../../../../docs/protocol.md");
    let commands: Vec<_> =
        protocol.lines().filter_map(|line| line.strip_prefix("| `/")?.split(['`', ' ']).next()).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        assert!(help.contains(&format!("* /{command}")), "{command} is missing in\n{help}");
    }
}

#[test]
fn join_makes_a_room_the_current_one_and_leave_goes_back() {
    let program = Program::serve(&[ROOMS]);
    let mut peer = Peer::enter(&program, 0);
    let mut lobby = Peer::enter(&program, 0);
    let mut ops = Peer::enter(&program, 0);
    ops.say("/join ops");
    assert!(ops.next().ends_with("-0: 1 member"));
    peer.say("/join ops");
    assert!(peer.next().starts_with("* [ops] you joined at "));
    peer.say("in ops");
    ops.expect("[ops] guest-1: in ops");
    // Still a member of both.
    lobby.say("in lobby");
    peer.expect("[lobby] guest-2: in lobby");
    ops.expect("[lobby] guest-2: in lobby");
    peer.say("/join dev");
    assert!(peer.next().starts_with("* [dev] you joined at "));
    // A room that one is in is made the current one, and nothing else.
    peer.say("/JOIN Lobby");
    assert!(peer.next().starts_with("* [lobby] you joined at "));
    peer.say("here");
    lobby.expect("[lobby] guest-1: here");
    peer.ask("/leave", "* [lobby] you left; now in dev");
    peer.ask("/leave ops", "* [ops] you left; now in dev");
    peer.ask("/leave", "* [dev] you left; now in no room");
    lobby.say("gone");
    ops.expect("[lobby] guest-1: here");
    ops.expect("[lobby] guest-2: gone");
    peer.expect_nothing();
}

#[test]
fn whoever_asks_is_told_its_name_and_the_time() {
    let program = Program::serve(&[ROOMS]);
    let mut peer = Peer::enter(&program, 0);
    peer.ask("/whoami", "* you are guest-1, not authenticated");
    peer.ask("/name alice", "* you are alice");
    peer.ask("/whoami", "* you are alice, not authenticated");
    peer.ask("/auth anything", "* authorized");
    peer.ask("/whoami", "* you are alice, not authenticated");
    let milliseconds = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let before = milliseconds();
    peer.say("/clock");
    let told: u128 = peer.next().strip_prefix("* clock ").unwrap().parse().unwrap();
    assert!((before..=milliseconds()).contains(&told), "{told} is not now");
}

#[test]
fn two_slashes_are_one_of_text() {
    let program = Program::serve(&[ROOMS]);
    let (mut peer, mut other) = (Peer::enter(&program, 0), Peer::enter(&program, 0));
    peer.say("//help");
    peer.say("///");
    other.expect("[lobby] guest-1: /help");
    other.expect("[lobby] guest-1: //");
}

#[test]
fn pub_reaches_a_room_that_is_not_the_current_one() {
    let program = Program::serve(&[ROOMS]);
    let (mut peer, mut other) = (Peer::enter(&program, 0), Peer::enter(&program, 0));
    peer.say("/join ops");
    peer.next();
    peer.say("/pub lobby  /two  blanks ");
    other.expect("[lobby] guest-1:  /two  blanks ");
}

#[test]
fn a_name_is_told_to_every_room_and_is_unique_without_case() {
    let program = Program::serve(&[ROOMS]);
    let mut bob = Peer::named(&program, 0, "robert");
    bob.say("/join ops");
    bob.next();
    let (mut lobby, mut ops) = (Peer::enter(&program, 0), Peer::enter(&program, 0));
    ops.say("/join ops");
    ops.next();
    bob.ask("/name Bob", "* you are Bob");
    lobby.expect("* [lobby] robert is now Bob");
    assert_eq!([ops.next(), ops.next()], ["* [lobby] robert is now Bob", "* [ops] robert is now Bob"]);
    lobby.ask("/name bOB", "! name-taken: name bOB is taken");
    bob.ask("/name BOB", "* you are BOB");
    bob.say("hi");
    assert_eq!([ops.next(), ops.next()], ["* [lobby] Bob is now BOB", "* [ops] Bob is now BOB"]);
    ops.expect("[ops] BOB: hi");
    bob.ask("/quit", "* bye");
    bob.expect_end();
    lobby.expect("* [lobby] Bob is now BOB");
    lobby.wait_for_members("lobby", 2);
    lobby.ask("/name bob", "* you are bob");
}

#[test]
fn who_names_the_members_and_rooms_the_rooms() {
    let program = Program::serve(&[ROOMS]);
    let (mut peer, mut other) = (Peer::named(&program, 0, "bob"), Peer::enter(&program, 0));
    peer.ask("/who", "* [lobby] 2 members: bob, guest-2");
    other.say("/join ops");
    other.next();
    other.ask("/who", "* [ops] 1 member: guest-2");
    other.ask("/who LOBBY", "* [lobby] 2 members: bob, guest-2");
    // It can be asked by whoever is not in it.
    peer.ask("/who ops", "* [ops] 1 member: guest-2");
    peer.ask("/rooms", "* 2 rooms: lobby (2), ops (1)");
}

#[test]
fn long_lists_are_cut_and_say_so() {
    let program = Program::serve(&[ROOMS, &format!("{ROOMS}?format=json")]);
    let mut peers: Vec<_> = (0..130).map(|_| Peer::enter(&program, 0)).collect();
    peers[0].say("/who");
    let line = peers[0].next();
    assert!(line.starts_with("* [lobby] 130 members: guest-1, guest-2, "), "{line}");
    assert!(line.ends_with(", guest-99, guest-100, and 30 more"), "{line}");
    for (number, peer) in peers.iter_mut().enumerate().take(109) {
        peer.say(&format!("/join room-{number:03}"));
        peer.next();
    }
    peers[0].say("/rooms");
    let line = peers[0].next();
    assert!(line.starts_with("* 110 rooms: lobby (130), room-000 (1), "), "{line}");
    assert!(line.ends_with(", room-098 (1), and 10 more"), "{line}");
    let mut json = Peer::enter(&program, 1);
    json.say("/who");
    let line = json.next();
    assert!(line.ends_with("\"guest-100\"],\"total\":131}"), "{line}");
}

#[test]
fn msg_reaches_one_person_alone() {
    let program = Program::serve(&[ROOMS]);
    let mut peers = ["alice", "bob", "carol"].map(|name| Peer::named(&program, 0, name));
    peers[0].say("/msg BOB psst");
    peers[1].expect("@alice: psst");
    peers[1].say("/msg alice  /quit");
    peers[0].expect("@bob:  /quit");
    peers[2].expect_nothing();
    peers[0].expect_nothing();
    let mut guest = Peer::enter(&program, 0);
    peers[0].say("/msg guest-4 hi");
    guest.expect("@alice: hi");
}

#[test]
fn the_format_can_be_changed_and_holds_for_every_room() {
    let program = Program::serve(&[ROOMS]);
    let (mut peer, mut other) = (Peer::enter(&program, 0), Peer::enter(&program, 0));
    peer.say("/join ops");
    peer.next();
    peer.ask("/format json", r#"{"event":"format","format":"json"}"#);
    other.say("hi");
    assert!(peer.next().ends_with(r#""from":"guest-2","text":"hi"}"#));
    peer.ask("/name bob", r#"{"event":"named","name":"bob"}"#);
    other.say("/msg bob psst");
    peer.expect(r#"{"event":"direct","from":"guest-2","text":"psst"}"#);
    peer.ask("/format raw", "* format is raw");
    // Payloads alone: no notices, and private ones look like the others.
    other.ask("/name carol", "* you are carol");
    other.say("hi again");
    other.say("/msg bob psst");
    peer.expect("hi again");
    peer.expect("psst");
    peer.ask("/nope", "! unknown-command: no such command; /help lists them");
    peer.ask("/format text", "* format is text");
    other.say("once more");
    peer.expect("[lobby] carol: once more");
}

#[test]
fn json_answers_each_command_with_an_object() {
    let program = Program::serve(&[&format!("{ROOMS}?format=json")]);
    let mut peer = Peer::enter(&program, 0);
    peer.ask("/who", r#"{"event":"who","room":"lobby","members":["guest-1"],"total":1}"#);
    peer.ask("/rooms", r#"{"event":"rooms","rooms":[{"room":"lobby","members":1}],"total":1}"#);
    peer.say("/join ops");
    let joined = peer.next();
    assert!(joined.starts_with(r#"{"event":"you-joined","room":"ops","members":1,"id":""#), "{joined}");
    peer.ask("/leave", r#"{"event":"you-left","room":"ops","current":"lobby"}"#);
    peer.ask("/leave", r#"{"event":"you-left","room":"lobby","current":null}"#);
    peer.ask("/auth token", r#"{"event":"authorized"}"#);
    peer.ask("/ping", r#"{"event":"pong"}"#);
    peer.say("/help");
    let help = peer.next();
    assert!(help.starts_with(r#"{"event":"help","commands":[{"usage":"/join "#), "{help}");
    peer.ask("/quit", r#"{"event":"bye"}"#);
    peer.expect_end();
}

#[test]
fn quit_ends_the_connection_behind_what_was_asked() {
    let program = Program::serve(&[ROOMS]);
    let mut peer = Peer::enter(&program, 0);
    peer.send("/ping\n/auth whatever\n/quit\n/ping\n");
    assert_eq!([peer.next(), peer.next(), peer.next()], ["* pong", "* authorized", "* bye"]);
    peer.expect_end();
    peer.stream.finish_sending();
}
