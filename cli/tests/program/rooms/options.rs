//! What can be set for a listener.

use super::{Peer, ROOMS};
use crate::process::{Program, run};

#[test]
fn a_listener_may_have_a_room_of_its_own() {
    let program = Program::serve(&[ROOMS, &format!("{ROOMS}?room=Ops")]);
    let mut lobby = Peer::enter(&program, 0);
    // It is there before anybody came.
    lobby.ask("/rooms", "* 2 rooms: lobby (1), Ops (0)");
    let mut ops = Peer::silent(&program, 1);
    ops.expect("* you are guest-2 in Ops; /help lists the commands");
    ops.ask("/rooms", "* 2 rooms: lobby (1), Ops (1)");
    ops.say("hi");
    lobby.expect_nothing();
    lobby.say("/join ops");
    assert!(lobby.next().starts_with("* [Ops] you joined at "));
    lobby.say("hi");
    ops.expect("[Ops] guest-1: hi");
}

#[test]
fn the_lobby_is_always_there() {
    let program = Program::serve(&[&format!("{ROOMS}?room=ops")]);
    Peer::enter(&program, 0).ask("/rooms", "* 2 rooms: lobby (0), ops (1)");
}

#[test]
fn without_commands_every_frame_is_text() {
    let program = Program::serve(&[ROOMS, &format!("{ROOMS}?commands=off")]);
    let mut watcher = Peer::enter(&program, 0);
    let mut peer = Peer::silent(&program, 1);
    watcher.wait_for_members("lobby", 2);
    for frame in ["/ping", "//", "/", "hi"] {
        peer.say(frame);
        watcher.expect(&format!("[lobby] guest-2: {frame}"));
    }
    watcher.say("hi");
    // No welcome and no answer came before it.
    peer.expect("[lobby] guest-1: hi");
}

#[test]
fn the_own_copy_is_sent_to_those_who_want_it() {
    let program = Program::serve(&[ROOMS, &format!("{ROOMS}?echo=on")]);
    let (mut without, mut with) = (Peer::enter(&program, 0), Peer::enter(&program, 1));
    with.say("hi");
    with.expect("[lobby] guest-2: hi");
    without.expect("[lobby] guest-2: hi");
    without.say("hi");
    with.expect("[lobby] guest-1: hi");
    without.expect_nothing();
    with.say("/join ops");
    with.next();
    with.say("there too");
    with.expect("[ops] guest-2: there too");
}

#[test]
fn a_rate_pauses_reading_and_loses_nothing() {
    let program = Program::serve(&[ROOMS, &format!("{ROOMS}?rate=10&commands=off")]);
    let mut watcher = Peer::enter(&program, 0);
    let mut other = Peer::enter(&program, 0);
    other.ask("/leave", "* [lobby] you left; now in no room");
    let mut fast = Peer::silent(&program, 1);
    watcher.wait_for_members("lobby", 2);
    #[expect(clippy::disallowed_methods, reason = "the program's clock cannot be stopped")]
    let started = std::time::Instant::now();
    for number in 0..25 {
        fast.say(&number.to_string());
    }
    for number in 0..25 {
        watcher.expect(&format!("[lobby] guest-3: {number}"));
        // Nobody else waits for it.
        other.expect_nothing();
    }
    // 10 at once, and then one each tenth of a second.
    assert!(started.elapsed().as_millis() >= 1400, "{:?}", started.elapsed());
}

#[test]
fn a_silent_connection_stays_unless_its_listener_says_otherwise() {
    let mut program = Program::serve(&[ROOMS, &format!("{ROOMS}?idle=1s"), "-v"]);
    let mut patient = Peer::enter(&program, 0);
    let mut idle = Peer::enter(&program, 1);
    idle.expect("* closed: idle");
    idle.expect_end();
    assert!(program.logged("connection closed").contains("close.reason=idle"));
    patient.expect_nothing();
}

#[test]
fn each_frame_is_logged_with_its_sender_escaped() {
    for options in ["", "?format=raw&commands=off"] {
        let mut program = Program::serve(&[&format!("{ROOMS}{options}"), "-vv"]);
        let mut peer = Peer::silent(&program, 0);
        let address = peer.stream.local_addr().expect("it has one");
        peer.say("h\u{e9}llo\u{1b}");
        let line = program.logged("Received from");
        assert!(line.ends_with(&format!("TRACE Received from {address}: h\u{e9}llo\\u{{1b}}")), "{line}");
    }
}

#[test]
fn a_public_address_has_a_rate_by_default() {
    // All lines come in one read; the first 1,000 are taken at once, and the rest within a second and a half.
    let program = Program::serve(&["rooms=tcp://0.0.0.0:0?commands=off", ROOMS]);
    let port = program.listeners[0].address().port();
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it accepts");
    let mut watcher = Peer::enter(&program, 1);
    let mut fast = Peer::over(stream);
    watcher.wait_for_members("lobby", 2);
    #[expect(clippy::disallowed_methods, reason = "the program's clock cannot be stopped")]
    let started = std::time::Instant::now();
    fast.send("x\n".repeat(1500));
    for _ in 0..1500 {
        assert!(watcher.next().ends_with(": x"));
    }
    assert!(started.elapsed().as_millis() >= 450, "{:?}", started.elapsed());
}

#[test]
fn every_wrong_option_is_named() {
    let check = |options: &str| run(&["config", "check", &format!("{ROOMS}?{options}")]);
    let wrong = [
        ("format=xml", "`xml` is not text, json or raw"),
        ("room=a/b", "`a/b` is not a room: a name has only ASCII letters, digits, '-', '_' and '.'"),
        ("commands=no", "`no` is not on or off"),
        ("echo=1", "`1` is not on or off"),
        ("rate=0", "`0` is not a number from 1 to 1000000000, nor off"),
        ("new-rooms=0", "`0` is not a number from 1 to 1000000, nor off"),
        ("overflow=drop", "`drop` is not disconnect, drop-oldest, drop-newest, latest or conflate"),
        ("overflow=latest&format=raw", "`latest` is not for format=raw, which cannot say what was lost"),
        ("framing=json", "`json` is not lines or length"),
        ("idle=soon", "`soon` is not a duration such as 500ms, 30s, 5m or 1h, nor off"),
    ];
    for (options, fault) in wrong {
        let end = check(options);
        assert_eq!(end.code, Some(2), "{options}");
        let key = options.split('=').next().expect("a key");
        assert_eq!(end.log, [format!("error: {ROOMS}?{options}: option `{key}`: {fault}")]);
    }
    let sound =
        "format=raw&room=ops&commands=off&echo=on&rate=off&new-rooms=off&overflow=conflate&framing=length&idle=5m";
    assert_eq!(check(sound).code, Some(0));
    let unknown = "known here: freebind, proxy-from, proxy-others, format, room, commands, echo, rate, new-rooms, overflow, idle, framing, auth, as";
    let colour = check("colour=red");
    assert!(colour.log[0].ends_with(unknown), "{:?}", colour.log);
    let help = run(&["serve", "--help"]).output.join("\n");
    for option in unknown.trim_start_matches("known here: ").split(", ") {
        assert!(help.contains(&format!("\n  {option}=")), "{option} is missing in\n{help}");
    }
    // A datagram needs no framing.
    let end = run(&["config", "check", "rooms=udp://127.0.0.1:0?framing=lines"]);
    let known = "option `framing`: is for tcp, tls and unix; over UDP each datagram is a frame";
    assert!(end.log[0].ends_with(known), "{:?}", end.log);
}

#[test]
fn it_is_served_by_default() {
    let end = run(&["config", "print"]);
    for url in ["rooms=tcp://127.0.0.1:8081", "rooms=udp://127.0.0.1:8081"] {
        assert!(end.output[0].contains(&format!("\"{url}\"")), "{:?}", end.output);
    }
}
