//! Rooms over UDP: strangers, cookies, members, and what an attacker gets out of it.

use super::{Peer, ROOMS, tells_who_comes_and_goes};
use crate::process::{PATIENCE, Program, until};
use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};

const UDP: &str = "rooms=udp://127.0.0.1:0";

/// Somebody who speaks in datagrams.
pub(crate) struct Mote(UdpSocket);

impl Mote {
    pub(crate) fn new(program: &Program, listener: usize) -> Self {
        Self(program.udp(listener))
    }

    /// Somebody who has joined.
    pub(crate) fn member(program: &Program, listener: usize, room: &str) -> Self {
        let mote = Self::new(program, listener);
        let cookie = mote.ask(format!("/join {room}"));
        let welcome = mote.ask(format!("/join {room} {cookie}"));
        assert!(welcome.starts_with("* you are guest-"), "{welcome}");
        let joined = mote.next();
        assert!(joined.starts_with(&format!("* [{room}] you joined")), "{joined}");
        mote
    }

    pub(crate) fn say(&self, payload: impl AsRef<[u8]>) {
        self.0.send(payload.as_ref()).expect("it is sent");
    }

    fn bytes(&self) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 16];
        let count = self.0.recv(&mut buffer).expect("it is told something");
        buffer.truncate(count);
        buffer
    }

    /// The next datagram, without its line end.
    pub(crate) fn next(&self) -> String {
        loop {
            let text = String::from_utf8(self.bytes()).expect("it is UTF-8");
            let line = text.strip_suffix('\n').unwrap_or(&text);
            if !tells_who_comes_and_goes(line) {
                return line.to_owned();
            }
        }
    }

    pub(crate) fn ask(&self, payload: impl AsRef<[u8]>) -> String {
        self.say(payload);
        self.next()
    }

    /// Nothing has come that a member did not ask for. One worker answers in order.
    fn expect_nothing(&self) {
        assert_eq!(self.ask("/ping"), "* pong");
    }

    /// Nor that a stranger did not.
    fn expect_nothing_strange(&self) {
        assert_eq!(self.ask("/ping"), "* pong no-room");
    }
}

fn one_worker(listeners: &[&str]) -> Program {
    Program::serve(&[listeners, &["--workers", "1"]].concat())
}

#[test]
fn a_sensor_needs_nothing_but_a_datagram() {
    let program = Program::serve(&[ROOMS, UDP]);
    let mut watcher = Peer::enter(&program, 0);
    watcher.say("/join sensors");
    assert!(watcher.next().starts_with("* [sensors] you joined"));
    let sensor = Mote::new(&program, 1);
    for payload in ["/pub sensors 21.5", "/pub sensors 22\n", "/PUB Sensors 23\r\n", "/pub sensors  24 \n"] {
        sensor.say(payload);
    }
    for text in ["21.5", "22", "23", " 24 "] {
        watcher.expect(&format!("[sensors] udp: {text}"));
    }
    assert_eq!(sensor.ask("/ping\n"), "* pong no-room");
}

#[test]
fn a_member_hears_and_is_heard_like_any_other() {
    let program = Program::serve(&[ROOMS, UDP, &format!("{UDP}?format=json"), &format!("{UDP}?format=raw")]);
    let mut alice = Peer::named(&program, 0, "alice");
    let mote = Mote::member(&program, 1, "lobby");
    assert_eq!(mote.ask("/name bob\n"), "* you are bob");
    mote.say("hi from afar\n");
    alice.expect("[lobby] bob: hi from afar");
    alice.say("hi bob");
    assert_eq!(mote.bytes(), b"[lobby] alice: hi bob\n", "a line of its own for whoever looks at it");
    alice.say("/msg bob psst");
    assert_eq!(mote.bytes(), b"@alice: psst\n");
    alice.ask("/who", "* [lobby] 2 members: alice, bob");

    let json = Mote::new(&program, 2);
    let cookie = json.ask("/join lobby");
    assert!(cookie.starts_with("cookie="), "{cookie}");
    json.say(format!("/join lobby {cookie}"));
    assert_eq!(json.next(), r#"{"event":"welcome","name":"guest-3","room":"lobby"}"#);
    assert!(json.next().starts_with(r#"{"event":"you-joined","room":"lobby""#));
    mote.say("*");
    assert!(json.next().ends_with(r#""from":"bob","text":"*"}"#));

    let raw = Mote::new(&program, 3);
    let cookie = raw.ask("/join lobby");
    assert!(raw.ask(format!("/join lobby {cookie}")).starts_with("* [lobby] you joined"));
    alice.expect("[lobby] bob: *");
    alice.say("plain");
    assert_eq!(raw.bytes(), b"plain");

    assert_eq!(mote.next(), "[lobby] alice: plain");
    assert_eq!(mote.ask("/quit\n"), "* bye");
    alice.say("/who");
    while alice.next() != "* [lobby] 3 members: alice, guest-3, guest-4" {
        alice.say("/who");
    }
}

#[test]
fn what_was_missed_is_replayed_to_a_datagram_member() {
    let program = Program::serve(&[ROOMS, UDP]);
    let mut alice = Peer::enter(&program, 0);
    for text in ["one", "two", "three"] {
        alice.say(text);
    }
    alice.say("/join lobby");
    let joined = alice.next();
    let epoch = joined.split_once(" at ").and_then(|(_, id)| id.split_once('-')).expect("an id").0;
    let mote = Mote::new(&program, 1);
    let cookie = mote.ask("/join lobby");
    mote.say(format!("/join lobby since={epoch}-1 {cookie}"));
    let mut told: Vec<_> = (0..4).map(|_| mote.next()).collect();
    told.retain(|line| line.starts_with('['));
    assert_eq!(told, ["[lobby] guest-1: two", "[lobby] guest-1: three"]);
}

#[test]
fn a_cookie_is_for_one_address_and_one_room() {
    let program = one_worker(&[ROOMS, UDP]);
    let mut watcher = Peer::enter(&program, 0);
    let (mote, other) = (Mote::new(&program, 1), Mote::new(&program, 1));
    let cookie = mote.ask("/join lobby");
    assert!(cookie.strip_prefix("cookie=").is_some_and(|hex| hex.len() == 14), "{cookie}");
    // Forged, of another address, of another room, of another server: each is answered with the right one alone.
    for forged in ["cookie=00000000000000", "cookie=ffffffffffffff"] {
        assert_eq!(mote.ask(format!("/join lobby {forged}")), cookie);
    }
    assert_ne!(other.ask(format!("/join lobby {cookie}")), cookie);
    assert_ne!(mote.ask(format!("/join ops {cookie}")), cookie);
    let elsewhere = Program::serve(&[UDP]);
    let foreign = Mote::new(&elsewhere, 0).ask("/join lobby");
    assert_eq!(mote.ask(format!("/join lobby {foreign}")), cookie);
    for malformed in ["cookie=", "cookie=zz", &format!("{cookie}0"), &format!("{cookie} {cookie}")] {
        assert!(mote.ask(format!("/join lobby {malformed}")).starts_with("! bad-argument"));
    }
    watcher.ask("/who", "* [lobby] 1 member: guest-1");
    watcher.ask("/rooms", "* 1 room: lobby (1)");

    // Replayed, it does nothing more than it did.
    let proof = format!("/join lobby {cookie}");
    assert!(mote.ask(&proof).starts_with("* you are guest-2 in lobby"));
    assert!(mote.next().starts_with("* [lobby] you joined"));
    assert!(mote.ask(&proof).starts_with("* [lobby] you joined"));
    watcher.ask("/who", "* [lobby] 2 members: guest-1, guest-2");
}

#[test]
fn a_stranger_makes_nothing() {
    let program = one_worker(&[ROOMS, UDP]);
    let mut watcher = Peer::enter(&program, 0);
    let stranger = Mote::new(&program, 1);
    assert_eq!(stranger.ask("/pub nowhere x"), "! no-such-room: there is no room nowhere");
    assert_eq!(stranger.ask("/pub x y"), "! no-such-room", "the code alone, where no more fits");
    for command in ["/name alice", "/who lobby", "/rooms", "/history", "/format json", "/help", "/leave", "/quit"] {
        assert!(stranger.ask(command).starts_with("! no-room"), "{command}");
    }
    assert_eq!(stranger.ask("/msg guest-1 psst"), "! no-room: you are in no room; /join ROOM first");
    assert!(stranger.ask("/frobnicate").starts_with("! unknown-command"));
    for silent in ["", "hi", "* pong", "! no-room", "cookie=00000000000000", "{\"event\":\"pong\"}", "/", "/x"] {
        stranger.say(silent);
    }
    stranger.expect_nothing_strange();
    assert!(stranger.ask("/join somewhere").starts_with("cookie="));
    watcher.ask("/rooms", "* 1 room: lobby (1)");
    watcher.ask("/who", "* [lobby] 1 member: guest-1");
    watcher.expect_nothing();
}

#[test]
fn who_takes_itself_for_a_member_is_told_that_it_is_none() {
    let program = one_worker(&[ROOMS, UDP]);
    let mut watcher = Peer::enter(&program, 0);
    let (sensor, other) = (Mote::member(&program, 1, "lobby"), Mote::new(&program, 1));
    assert_eq!(sensor.ask("/quit"), "* bye");
    for told in ["/ping", "/ping\n", "/ping\r\n"] {
        assert_eq!(sensor.ask(told), "* pong no-room");
    }
    assert_eq!(sensor.ask("21\n"), "! no-room", "the code alone, where no more fits");
    assert_eq!(sensor.ask("temperature 21.5\n"), "! no-room: you are in no room; /join ROOM first");
    // Media at full speed are answered a few times, and then once a second.
    for _ in 0..1000 {
        other.say("\x02 a frame of somebody's camera");
    }
    other.say("/ping");
    let told = std::iter::repeat_with(|| other.next()).take_while(|told| told != "* pong no-room");
    let count = told.inspect(|told| assert!(told.starts_with("! no-room"), "{told}")).count();
    assert!((10..100).contains(&count), "{count}");
    sensor.expect_nothing_strange();
    watcher.expect_nothing();
}

#[test]
fn ten_thousand_forged_joins_get_little_and_leave_nothing() {
    let program = one_worker(&[ROOMS, UDP]);
    let target = program.listeners[1].address();
    let mut watcher = Peer::enter(&program, 0);
    let flood = |joins: usize| {
        let (mut sent, mut received, mut ports) = (0, 0, HashSet::new());
        for number in 0..joins {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
            ports.insert(socket.local_addr().expect("it is bound").port());
            let join = match number % 3 {
                0 => "/join a".to_owned(),
                1 => format!("/join room-{number}"),
                _ => format!("/join lobby cookie={number:014x} since=a-1 "),
            };
            socket.send_to(join.as_bytes(), target).expect("it is sent");
            let mut buffer = [0; 2048];
            let count = socket.recv(&mut buffer).expect("it is answered");
            assert!(count <= 3 * join.len() && count <= 64, "{count} bytes for {join}");
            assert!(buffer.starts_with(b"cookie="));
            socket.set_nonblocking(true).expect("a socket");
            assert!(socket.recv(&mut buffer).is_err(), "it is answered once");
            (sent, received) = (sent + join.len(), received + count);
        }
        (sent, received, ports.len())
    };
    flood(100);
    let before = program.resident_kilobytes();
    let (sent, received, ports) = flood(10_000);
    assert!(received <= 3 * sent, "{received} bytes for {sent}");
    assert!(ports > 1000, "{ports} source ports");
    let grown = program.resident_kilobytes().saturating_sub(before);
    assert!(grown < 512, "{grown} KiB more for strangers");
    watcher.ask("/rooms", "* 1 room: lobby (1)");
    watcher.ask("/who", "* [lobby] 1 member: guest-1");
}

#[test]
fn a_public_address_answers_a_flood_of_joins_a_hundred_times_and_members_are_not_held_up() {
    let program = one_worker(&["rooms=udp://0.0.0.0:0"]);
    let member = Mote::member(&program, 0, "lobby");
    #[expect(clippy::disallowed_methods, reason = "the program's clock cannot be stopped")]
    let started = std::time::Instant::now();
    let strangers: Vec<_> = (0..50).map(|_| Mote::new(&program, 0)).collect();
    for _ in 0..10 {
        for stranger in &strangers {
            stranger.say("/join lobby");
        }
    }
    // Behind all of them.
    member.expect_nothing();
    let most = 100 + 10 * (started.elapsed().as_secs() as usize + 1);
    let mut answers = 0;
    for stranger in &strangers {
        stranger.0.set_nonblocking(true).expect("a socket");
        while stranger.0.recv(&mut [0; 64]).is_ok() {
            answers += 1;
        }
    }
    assert!((90..=most).contains(&answers), "{answers} answers, and {most} at most");
    assert_eq!(member.ask("/who"), "* [lobby] 1 member: guest-1");
}

#[test]
fn a_member_that_joins_over_and_over_is_limited_as_by_any_transport() {
    let program = one_worker(&[UDP]);
    let member = Mote::member(&program, 0, "lobby");
    let limited =
        |command: &str| member.ask(command).starts_with("! rate-limited: too many joins, leaves and name changes");
    // More than come at once, with enough to spare for those that time allows meanwhile.
    let refused = (0..100).filter(|_| limited("/join lobby")).count();
    assert!(refused > 10, "{refused}");
    member.expect_nothing();
}

#[test]
fn strange_datagrams_harm_nobody() {
    let program = one_worker(&[ROOMS, &format!("{UDP}?format=json")]);
    let mut watcher = Peer::enter(&program, 0);
    let stranger = Mote::new(&program, 1);
    let longest = [&b"/pub lobby "[..], &vec![b'x'; 65_507 - 11]].concat();
    stranger.say("");
    stranger.say(&longest);
    stranger.say(b"/pub lobby \xff\xfe\0");
    stranger.say(b"/join \xff");
    stranger.say(vec![b'/'; 65_507]);
    watcher.expect(&format!("[lobby] udp: {}", "x".repeat(65_507 - 11)));
    watcher.expect("[lobby] udp: \u{fffd}\u{fffd} ");

    let member = Mote::new(&program, 1);
    let cookie = member.ask("/join lobby");
    assert!(member.ask(format!("/join lobby {cookie}")).contains("welcome"));
    assert!(member.next().contains("you-joined"));
    member.say("");
    member.say(vec![b'x'; 65_507]);
    member.say(b"\xff");
    member.say(b"/join \xff");
    watcher.expect("[lobby] guest-2: ");
    watcher.expect(&format!("[lobby] guest-2: {}", "x".repeat(65_507)));
    watcher.expect("[lobby] guest-2: \u{fffd}");
    assert!(member.next().contains("bad-argument"));
    // What holds more than a datagram when it is written as an object is a gap.
    watcher.say(&"y".repeat(65_500));
    assert_eq!(member.next(), r#"{"event":"gap","room":"lobby","lost":1,"from_seq":6}"#);
    watcher.say("z");
    assert!(member.next().contains(r#""text":"z""#));
}

#[test]
fn servers_that_are_aimed_at_each_other_fall_silent() {
    let program =
        one_worker(&[UDP, &format!("{UDP}?format=json"), "echo=udp://127.0.0.1:0", "echo=udp://127.0.0.1:0?prefix="]);
    for (here, there) in [(0, 0), (0, 1), (0, 2), (0, 3), (1, 2), (1, 3)] {
        for start in ["/ping", "/join lobby", "/pub nowhere x", "/who", "/x", "/join lobby cookie=0"] {
            // Stands for both: what one answers is handed to the other, as a forged source would have it.
            let sockets = [Mote::new(&program, here), Mote::new(&program, there)];
            let mut payload = start.as_bytes().to_vec();
            for turn in 0.. {
                assert!(turn < 6, "{start} between {here} and {there}: {}", payload.escape_ascii());
                let mote = &sockets[turn % 2];
                mote.say(&payload);
                let is_rooms = [here, there][turn % 2] < 2;
                // Behind it, a question that is answered in any case.
                mote.say(if is_rooms { "/ping" } else { "?" });
                let answer = mote.bytes();
                if [&b"* pong no-room\n"[..], &b"* pong no-room"[..], b"received: ?", b"?"].contains(&&*answer)
                    && payload != b"/ping"
                {
                    break;
                }
                mote.bytes();
                payload = answer;
            }
        }
    }
}

#[test]
fn a_relay_passes_payloads_as_they_are() {
    let relay = format!("{UDP}?format=raw&commands=off&room=stage");
    let program = one_worker(&[&relay, ROOMS]);
    let join = |mote: &Mote| {
        let cookie = mote.ask("/join stage\n");
        let proof = format!("/join stage {cookie}\n");
        assert!(mote.ask(&proof).starts_with("* [stage] you joined at "));
        proof
    };
    let stranger = Mote::new(&program, 0);
    assert_eq!(stranger.ask("/join lobby"), "! commands-off");
    assert_eq!(stranger.ask("/ping           "), "! commands-off: this listener takes no commands");
    assert_eq!(
        stranger.ask(b"\x80 media of somebody who is given up on"),
        "! no-room: you are in no room; /join ROOM first"
    );
    let (one, other) = (Mote::new(&program, 0), Mote::new(&program, 0));
    let proof = join(&one);
    join(&other);
    stranger.say("/pub stage nobody hears it");
    stranger.say("nor this");
    let longest = vec![b'x'; 65_507];
    for payload in [&b"\x80\0\n"[..], b"/quit", b"//", b"", b"\r\n", b"/join stage", &longest] {
        one.say(payload);
        assert_eq!(other.bytes(), payload);
    }
    // It has not heard that it joined, and says so once more.
    assert!(one.ask(&proof).starts_with("* [stage] you joined at "));
    one.say("last");
    assert_eq!(other.next(), "last");
    let mut watcher = Peer::enter(&program, 1);
    watcher.ask("/who stage", "* [stage] 2 members: guest-1, guest-2");
}

#[test]
fn a_silent_member_leaves_and_a_ping_keeps_its_seat() {
    let mut program = Program::serve(&[&format!("{UDP}?idle=1s"), "-v", "--workers", "1"]);
    let (silent, talking) = (Mote::member(&program, 0, "lobby"), Mote::member(&program, 0, "lobby"));
    let address = silent.0.local_addr().expect("it is bound");
    let closed = std::thread::scope(|scope| {
        let pinging = scope.spawn(|| {
            // Until the other has gone.
            until(|| talking.ask("/who") == "* [lobby] 1 member: guest-2");
        });
        let closed = program.logged("close.reason=idle");
        pinging.join().expect("it is answered");
        closed
    });
    assert!(closed.contains(&format!("peer.addr={address}")), "{closed}");
    assert_eq!(silent.next(), "* closed: idle");
    assert!(silent.ask("/who").starts_with("! no-room"), "it is a stranger");
    assert!(silent.ask("/join lobby").starts_with("cookie="), "and may come back");
}

#[test]
fn a_drain_says_goodbye_to_datagram_members() {
    let program = Program::serve(&[UDP]);
    let mote = Mote::member(&program, 0, "lobby");
    let end = program.stop();
    assert_eq!(end.code, Some(0));
    assert_eq!(mote.next(), "* closed: drained");
    assert!(end.log.iter().any(|line| line.contains("drained finished=1 aborted=0")), "{:?}", end.log);
}

#[test]
fn a_join_that_cannot_be_is_explained() {
    let program = Program::serve(&[UDP, "--max-connections-per-address", "1"]);
    let _first = Mote::member(&program, 0, "lobby");
    let second = Mote::new(&program, 0);
    let cookie = second.ask("/join lobby");
    second.say(format!("/join lobby {cookie}"));
    assert_eq!(second.next(), "* closed: too-many-connections");
    assert_eq!(second.ask("/ping"), "* pong no-room", "a stranger as before");
}

#[test]
fn the_address_to_try_is_printed() {
    let program = Program::serve(&[UDP]);
    let address: SocketAddr = program.listeners[0].address();
    assert_eq!(
        program.listeners[0].command,
        format!("printf '/pub lobby hi' | nc -u -w1 127.0.0.1 {}", address.port())
    );
}
