//! WebSockets: in one room, and with the whole grammar.

use super::{Client, HTTP, ask, get, id, post, request, wait_for_members};
use crate::process::Program;
use crate::rooms::{Peer, ROOMS};

/// A WebSocket whose frames are below 64 KiB.
pub(crate) struct Socket(Client);

impl Socket {
    pub(crate) fn open(program: &Program, path: &str) -> Self {
        Self::at(program, 0, path)
    }

    /// On one of several listeners.
    pub(crate) fn at(program: &Program, listener: usize, path: &str) -> Self {
        let mut client = Client::connect(program, listener);
        client.send(upgrade(path, &[]));
        let head = client.head();
        assert_eq!(head.status, 101, "{path}");
        // The example of RFC 6455 §1.3.
        assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        Self(client)
    }

    /// Opens one and waits to be welcomed.
    fn enter(program: &Program, path: &str) -> Self {
        let mut socket = Self::open(program, path);
        let welcome = socket.next();
        assert!(welcome.starts_with("{\"event\":\"welcome\""), "{welcome}");
        socket
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.frame(0x81, text.as_bytes());
    }

    fn frame(&mut self, first: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).ok().filter(|length| *length < 126).expect("a short frame");
        // Masked with zeros.
        self.0.send([&[first, 0x80 | length, 0, 0, 0, 0], payload].concat());
    }

    /// The next frame, as its first byte and its payload.
    fn received(&mut self) -> (u8, Vec<u8>) {
        let head = self.0.take(2);
        let length = match head[1] {
            126 => {
                let length = self.0.take(2);
                usize::from(u16::from_be_bytes([length[0], length[1]]))
            }
            length => usize::from(length),
        };
        (head[0], self.0.take(length))
    }

    /// The next text that does not tell who comes and goes.
    pub(crate) fn next(&mut self) -> String {
        loop {
            let (first, payload) = self.received();
            // On a slow machine it has been quiet for long.
            if first == 0x89 {
                continue;
            }
            let text = String::from_utf8(payload).expect("it is UTF-8");
            assert_eq!(first, 0x81, "{text:?}");
            if !["joined", "left", "presence"].iter().any(|event| text.starts_with(&format!("{{\"event\":\"{event}\"")))
            {
                return text;
            }
        }
    }

    /// The close frame's code, and what it says.
    fn closed(&mut self) -> (u16, String) {
        loop {
            let (first, payload) = self.received();
            if first == 0x88 {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                return (code, String::from_utf8_lossy(&payload[2..]).into_owned());
            }
        }
    }
}

fn upgrade(path: &str, headers: &[&str]) -> String {
    let needed = [
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    request("GET", path, &[&needed, headers].concat(), "")
}

#[test]
fn one_room_takes_every_frame_for_text() {
    let program = Program::serve(&[HTTP, ROOMS]);
    let mut tcp = Peer::enter(&program, 1);
    let mut socket = Socket::open(&program, "/rooms/lobby/ws?name=bob");
    tcp.wait_for_members("lobby", 2);
    socket.say("/ping");
    tcp.expect("[lobby] bob: /ping");
    // It is told where it is and not welcomed, and nobody gets its own messages.
    let joined = socket.next();
    assert!(joined.starts_with("{\"event\":\"you-joined\",\"room\":\"lobby\",\"members\":2,"), "{joined}");
    tcp.say("hi");
    let message = socket.next();
    assert!(message.ends_with("\"from\":\"guest-1\",\"text\":\"hi\"}"), "{message}");
    // Ping and close are the protocol's own.
    socket.frame(0x89, b"alive?");
    assert_eq!(socket.received(), (0x8a, b"alive?".to_vec()));
    socket.frame(0x88, &1000_u16.to_be_bytes());
    assert_eq!(socket.closed().0, 1000);
}

#[test]
fn raw_is_payloads_alone_and_binary_where_they_are_no_text() {
    let program = Program::serve(&[HTTP]);
    let mut socket = Socket::open(&program, "/rooms/lobby/ws?format=raw&echo=on");
    socket.say("hi");
    assert_eq!(socket.received(), (0x81, b"hi".to_vec()));
    socket.frame(0x82, b"\xff\n");
    assert_eq!(socket.received(), (0x82, b"\xff\n".to_vec()));
}

#[test]
fn the_whole_grammar_and_many_rooms_on_one_socket() {
    let program = Program::serve(&[HTTP, ROOMS]);
    let mut tcp = Peer::enter(&program, 1);
    let mut socket = Socket::open(&program, "/ws?name=alice&room=ops&echo=on");
    assert_eq!(socket.next(), "{\"event\":\"welcome\",\"name\":\"alice\",\"room\":\"ops\"}");
    socket.say("/join lobby");
    assert!(socket.next().starts_with("{\"event\":\"you-joined\",\"room\":\"lobby\",\"members\":2,"));
    socket.say("to all");
    assert!(socket.next().ends_with("\"from\":\"alice\",\"text\":\"to all\"}"));
    tcp.expect("[lobby] alice: to all");
    tcp.say("/msg alice psst");
    assert_eq!(socket.next(), "{\"event\":\"direct\",\"from\":\"guest-1\",\"text\":\"psst\"}");
    post(&program, "/rooms/ops", "there too");
    assert!(socket.next().starts_with("{\"room\":\"ops\",\"seq\":1,"));
    socket.say("/nonsense");
    assert!(socket.next().starts_with("{\"error\":\"unknown-command\""));
    socket.say("/quit");
    assert_eq!(socket.next(), "{\"event\":\"bye\"}");
    assert_eq!(socket.closed().0, 1000);
}

#[test]
fn since_replays_what_was_missed() {
    let program = Program::serve(&[HTTP]);
    let first = post(&program, "/rooms/lobby", "1").body;
    post(&program, "/rooms/lobby", "2");
    let query = format!("since={}", id(&first));
    let mut one = Socket::open(&program, &format!("/rooms/lobby/ws?{query}"));
    assert_eq!(id(&one.next()), id(&first));
    assert!(one.next().ends_with("\"text\":\"2\"}"));
    let mut many = Socket::open(&program, &format!("/ws?{query}"));
    // The welcome is an answer, and does not wait for the room.
    let mut told = [many.next(), many.next()];
    told.sort();
    assert!(told[0].starts_with("{\"event\":\"welcome\"") && told[1].ends_with("\"text\":\"2\"}"), "{told:?}");
}

#[test]
fn a_socket_that_was_cut_off_before_the_first_message_goes_on() {
    let program = Program::serve(&[HTTP]);
    let mut cut = Socket::open(&program, "/rooms/alerts/ws");
    let joined = cut.next();
    assert!(joined.starts_with("{\"event\":\"you-joined\",\"room\":\"alerts\",\"members\":1,"), "{joined}");
    drop(cut);
    let missed = post(&program, "/rooms/alerts", "disk full").body;
    let mut socket = Socket::open(&program, &format!("/rooms/alerts/ws?since={}", id(&joined)));
    assert_eq!(id(&socket.next()), id(&joined));
    assert_eq!(id(&socket.next()), id(&missed));
    // Payloads alone are told nothing else.
    let mut raw = Socket::open(&program, &format!("/rooms/alerts/ws?since={}&format=raw", id(&joined)));
    assert_eq!(raw.received(), (0x81, b"disk full".to_vec()));
}

#[test]
fn payloads_alone_resume_without_a_hole_or_not_at_all() {
    let program = Program::serve(&[HTTP]);
    let first = post(&program, "/rooms/ops", "1");
    for number in 2..=258 {
        post(&program, "/rooms/ops", &number.to_string());
    }
    let mut raw = Socket::open(&program, &format!("/rooms/ops/ws?since={}&format=raw", id(&first.body)));
    let (kind, refused) = raw.received();
    assert!(kind == 0x81 && refused.starts_with(b"! gone: "), "{}", refused.escape_ascii());
    assert_eq!(raw.received().0, 0x88, "it would take part with a hole in what it has");
    let mut raw = Socket::open(&program, "/rooms/ops/ws?since=0-0&format=raw");
    assert_eq!(raw.received(), (0x81, b"3".to_vec()), "all that is kept");
}

#[test]
fn a_name_that_is_taken_is_told() {
    let program = Program::serve(&[HTTP, ROOMS]);
    let mut alice = Peer::named(&program, 1, "alice");
    let refused = "{\"error\":\"name-taken\",\"text\":\"name alice is taken\"}";
    post(&program, "/rooms/lobby", "kept");
    alice.expect("[lobby] http: kept");
    // Without commands it could only take part under another name than it wants: it does not, and nobody hears of it.
    let mut socket = Socket::open(&program, "/rooms/lobby/ws?name=alice&since=0-0");
    assert_eq!(socket.received(), (0x81, refused.as_bytes().to_vec()));
    let (first, payload) = socket.received();
    assert_eq!((first, &payload[..2]), (0x88, &1008_u16.to_be_bytes()[..]), "{}", payload.escape_ascii());
    Socket::open(&program, "/rooms/nowhere/ws?name=alice").closed();
    assert_eq!(get(&program, "/rooms/nowhere/members").status, 404, "no room is made for it");
    let mut socket = Socket::open(&program, "/ws?name=alice");
    assert_eq!(socket.next(), refused);
    assert!(socket.next().starts_with("{\"event\":\"welcome\",\"name\":\"guest-"));
}

#[test]
fn where_commands_are_off_no_socket_has_any() {
    let program = Program::serve(&[&format!("{HTTP}?commands=off&echo=on&format=raw&room=ops")]);
    let mut socket = Socket::open(&program, "/ws");
    wait_for_members(&program, "/rooms/ops", 1);
    socket.say("/ping");
    assert_eq!(socket.received(), (0x81, b"/ping".to_vec()));
}

#[test]
fn a_handshake_that_is_none_is_answered() {
    let program = Program::serve(&[HTTP]);
    let asked = ["connection: upgrade", "upgrade: websocket"];
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    for (headers, status, code) in [
        (vec![], 426, "upgrade-required"),
        ([&asked[..], &[key, "sec-websocket-version: 8"]].concat(), 426, "upgrade-required"),
        ([&asked[..], &["sec-websocket-version: 13"]].concat(), 400, "bad-argument"),
        ([&asked[1..], &[key, "sec-websocket-version: 13"]].concat(), 400, "bad-argument"),
    ] {
        let answer = ask(&program, "GET", "/rooms/lobby/ws", &headers, "");
        assert_eq!((answer.status, answer.header("content-type")), (status, Some("application/json")), "{headers:?}");
        assert!(answer.body.starts_with(&format!("{{\"error\":\"{code}\",")), "{}", answer.body);
        let upgrade = (answer.header("upgrade"), answer.header("sec-websocket-version"));
        assert_eq!(upgrade, if status == 426 { (Some("websocket"), Some("13")) } else { (None, None) });
    }
    let mut client = Client::connect(&program, 0);
    client.send(upgrade("/ws?name=a%20b", &[]));
    assert_eq!(client.answer().status, 400);
    let mut client = Client::connect(&program, 0);
    client.send(upgrade("/ws", &["sec-websocket-protocol: chat, switchboard"]));
    assert_eq!(client.head().header("sec-websocket-protocol"), Some("switchboard"));
}

#[test]
fn a_drain_is_told_with_the_code_for_it() {
    let program = Program::serve(&[HTTP]);
    let mut socket = Socket::enter(&program, "/ws");
    program.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(socket.next(), "{\"event\":\"closed\",\"reason\":\"drained\"}");
    let (code, reason) = socket.closed();
    assert!([1001, 1012].contains(&code) && reason == "drained", "{code} {reason}");
    drop(socket);
    assert_eq!(program.end().code, Some(0));
}

#[test]
fn echo_answers_pages_of_its_own_origin_and_those_that_are_named() {
    let program = Program::serve(&["echo=ws://127.0.0.1:0", "echo=ws://127.0.0.1:0?origins=https://example.org", "-v"]);
    let status = |listener: usize, headers: &[&str]| {
        let mut client = Client::connect(&program, listener);
        client.send(upgrade("/", headers));
        client.head().status
    };
    let (evil, named) = ("origin: https://evil.example", "origin: https://example.org");
    assert_eq!([status(0, &[]), status(0, &["origin: http://localhost"])], [101, 101]);
    assert_eq!([status(0, &[evil]), status(0, &[named]), status(0, &["origin: null"])], [403, 403, 403]);
    assert_eq!([status(1, &[evil]), status(1, &[named])], [403, 101]);
    // A name that was made to lead here.
    let mut client = Client::connect(&program, 0);
    client.send(upgrade("/", &["origin: http://evil.example"]).replace("host: localhost", "host: evil.example"));
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("content-type")), (403, Some("application/json")));
    assert!(answer.body.starts_with("{\"error\":\"forbidden-origin\""), "{}", answer.body);
    let mut program = program;
    program.logged("request refused");
}

#[test]
fn echo_answers_messages_of_their_kind() {
    let program = Program::serve(&["echo=ws://127.0.0.1:0"]);
    let port = program.listeners[0].address().port();
    assert_eq!(program.listeners[0].command, format!("websocat ws://127.0.0.1:{port}"));
    let mut socket = Socket::open(&program, "/");
    socket.say("hi");
    assert_eq!(socket.received(), (0x81, b"echo: hi".to_vec()));
    socket.frame(0x82, b"hi");
    assert_eq!(socket.received(), (0x82, b"echo: hi".to_vec()));
}
