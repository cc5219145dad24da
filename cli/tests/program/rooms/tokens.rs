//! Tokens in the file: what they open on each transport, what stays shut, and a reload under connections.

use crate::process::{Place, Program, command, run};
use crate::tokens::made;
use nix::sys::signal::Signal;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

/// Who speaks lines.
struct Talker(BufReader<TcpStream>);

impl Talker {
    fn new(program: &Program, listener: usize) -> Self {
        Self(BufReader::new(program.tcp(listener)))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("it says something");
        line.trim_end().to_owned()
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.0.get_mut(), "{line}").expect("it takes a line");
        self.line()
    }
}

/// The status of a request's answer.
fn status(program: &Program, listener: usize, method: &str, path: &str, token: Option<&str>) -> String {
    let mut stream = program.tcp(listener);
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n{token}\r\nhi"
    );
    stream.write_all(request.as_bytes()).expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.split(' ').nth(1).expect("a status").to_owned()
}

struct Governed {
    program: Program,
    file: Place,
    alice: String,
    hash: String,
}

fn governed(test: &str, more: &str) -> Governed {
    let (alice, hash) = made("alice");
    let file = Place::new(test);
    std::fs::write(&*file, text(&hash, "ops", more)).expect("it can be written");
    let listeners = ["rooms=tcp://127.0.0.1:0", "rooms=http://127.0.0.1:0", "rooms=udp://127.0.0.1:0"];
    let required = ["rooms=tcp://127.0.0.1:0?auth=required", "rooms=tcp://127.0.0.1:0?as=bridge&room=ops"];
    let path = file.to_string();
    let arguments: Vec<_> = ["serve", "-vv", "--config", &path].into_iter().chain(listeners).chain(required).collect();
    let program = Program::listening(command(&arguments), 5);
    Governed { program, file, alice, hash }
}

/// Alice may do all in `room`, the bridge is in ops, and everybody may read and publish in open.
fn text(hash: &str, room: &str, more: &str) -> String {
    format!(
        "[tokens.alice]\n{hash}\nrooms = {{ \"{room}\" = [\"all\"] }}\n\
         [rooms.ops]\nnamed = [\"join\"]\n[rooms.open]\nanyone = [\"all\"]\n{more}"
    )
}

#[test]
fn a_token_opens_what_is_shut_on_each_transport_and_nothing_else() {
    let Governed { program, alice, .. } = governed("tokens-open", "");
    let mut stranger = Talker::new(&program, 0);
    assert!(stranger.line().starts_with("* you are guest-"));
    assert!(stranger.ask("/join ops").starts_with("! not-allowed"));
    assert!(stranger.ask("/name alice").starts_with("! name-reserved"));
    assert_eq!(status(&program, 1, "POST", "/rooms/ops", None), "401");
    assert_eq!(status(&program, 1, "POST", "/rooms/ops", Some("sb_wrong")), "401");
    assert_eq!(status(&program, 1, "GET", "/rooms/ops/messages", None), "401");

    let mut talker = Talker::new(&program, 3);
    assert!(talker.line().starts_with("! not-authorized: a token is needed here"));
    assert_eq!(talker.ask(&format!("/auth {alice}")), "* authorized as alice");
    assert_eq!(talker.line(), "* you are alice in no room; /help lists the commands");
    assert!(talker.ask("/join ops").starts_with("* [ops] you joined at "));
    assert!(talker.ask("/join elsewhere").starts_with("! not-allowed"));
    let mut bridge = Talker::new(&program, 4);
    assert_eq!(bridge.line(), "* you are bridge in ops; /help lists the commands");
    assert!(bridge.ask("hi").starts_with("! not-allowed"));
    assert_eq!(talker.line(), "* [ops] bridge joined");

    assert_eq!(status(&program, 1, "POST", "/rooms/ops", Some(&alice)), "200");
    assert!(talker.line().starts_with("[ops] alice"), "published over HTTP");
    assert_eq!(status(&program, 1, "POST", "/rooms/elsewhere", Some(&alice)), "403");
    // Datagrams of strangers are nobody's.
    let udp = program.udp(2);
    udp.send(b"/pub ops forged").expect("it is sent");
    let mut answer = [0; 100];
    let count = udp.recv(&mut answer).expect("it is refused");
    assert!(answer[..count].starts_with(b"! n"), "{}", answer[..count].escape_ascii());
    assert_eq!(talker.ask("/ping"), "* pong", "nothing was published");

    let log = program.stop().log.join("\n");
    assert!(log.contains("authenticated") && log.contains("principal=\"alice\""), "{log}");
    assert!(log.contains("refused") && log.contains("denied"), "{log}");
    assert!(log.contains(": /auth …") && !log.contains(&alice[12..]), "no secret is logged");
}

/// The head of a request's answer, and the object behind it if something was posted.
fn begun(program: &Program, method: &str, target: &str, headers: &[&str]) -> String {
    let mut stream = program.tcp(1);
    let headers: String = headers.iter().flat_map(|header| [*header, "\r\n"]).collect();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).expect("it takes a request");
    let mut answer = String::new();
    let end = if method == "POST" { "}\n" } else { "\r\n\r\n" };
    while !answer.contains(end) {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).expect("it answers");
        assert!(count > 0, "ended behind {answer:?}");
        answer += &String::from_utf8_lossy(&bytes[..count]);
    }
    answer
}

fn ticket(program: &Program, token: &str) -> String {
    let answer = begun(program, "POST", "/tickets", &[&format!("Authorization: Bearer {token}"), "Content-Length: 0"]);
    assert!(answer.starts_with("HTTP/1.1 201 ") && answer.contains("no-store"), "{answer}");
    answer.split("\"ticket\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a ticket").to_owned()
}

#[test]
fn a_ticket_opens_one_stream_or_websocket_for_its_owner_while_that_one_stands_and_is_not_logged() {
    let Governed { mut program, file, alice, .. } = governed("tickets", "");
    let socket = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    assert!(begun(&program, "POST", "/tickets", &["Content-Length: 0"]).starts_with("HTTP/1.1 401 "));
    let mut used = Vec::new();
    for (target, headers, status) in [
        ("/rooms/ops/events?ticket=", &[][..], 200),
        ("/rooms/ops/messages?follow=1&ticket=", &[], 200),
        ("/rooms/ops/ws?ticket=", &socket, 101),
        ("/ws?room=ops&ticket=", &socket, 101),
    ] {
        let ticket = ticket(&program, &alice);
        let target = format!("{target}{ticket}");
        let header = format!("Authorization: Bearer {alice}");
        let twice: Vec<_> = headers.iter().copied().chain([header.as_str()]).collect();
        for (headers, status) in [(&twice[..], 400), (headers, status), (headers, 401)] {
            let answer = begun(&program, "GET", &target, headers);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")) && !answer.contains(&ticket),
                "{target}: {answer}"
            );
        }
        // Where nobody has to be anybody, it is no less wrong.
        assert!(
            begun(&program, "GET", &target.replace("ops", "open"), headers).starts_with("HTTP/1.1 401 "),
            "{target}"
        );
        used.push(ticket);
    }
    let left = ticket(&program, &alice);
    let (_, hash) = made("alice");
    std::fs::write(&*file, text(&hash, "ops", "")).expect("it can be written");
    program.signal(Signal::SIGHUP);
    program.logged("revoked");
    let answer = begun(&program, "GET", &format!("/rooms/ops/events?ticket={left}"), &[]);
    assert!(answer.starts_with("HTTP/1.1 401 "), "its token was revoked: {answer}");
    used.push(left);
    let log = program.stop().log;
    for ticket in used {
        assert!(log.iter().all(|line| !line.contains(&ticket)), "no ticket is logged");
    }
}

#[test]
fn a_reload_takes_and_gives_under_connections_and_drops_nobody_else() {
    let Governed { mut program, file, alice, hash } = governed("tokens-reload", "");
    let (mut known, mut other) = (Talker::new(&program, 0), Talker::new(&program, 0));
    for talker in [&mut known, &mut other] {
        assert!(talker.line().starts_with("* you are guest-"));
    }
    assert_eq!(known.ask(&format!("/auth {alice}")), "* authorized as alice");
    assert!(known.ask("/join ops").starts_with("* [ops] you joined at "));
    assert!(other.ask("/join open").starts_with("* [open] you joined at "));
    let mut reload = |text: &str, told: &str| {
        std::fs::write(&*file, text).expect("it can be written");
        program.signal(Signal::SIGHUP);
        program.logged(told)
    };
    reload(&text(&hash, "ops", ""), "nothing changed");
    // What she may do alone is elsewhere now; being named she may still be there.
    reload(&text(&hash, "desk", ""), "the file was reloaded");
    assert!(known.ask("hi").starts_with("! not-allowed"));
    assert!(known.ask("/join desk").starts_with("* [desk] you joined at "));
    reload("[tokens.alice]\nhash = \"sha256:wrong\"\n", "the file was not reloaded");
    let (_, hash) = made("alice");
    reload(&text(&hash, "desk", ""), "revoked");
    assert_eq!(known.line(), "* closed: revoked");
    assert_eq!(other.ask("/ping"), "* pong");
    reload("", "the file was not reloaded");
}

#[test]
fn what_may_be_done_is_explained_by_lines_of_the_file() {
    let file = Place::new("tokens-can");
    let (_, hash) = made("alice");
    std::fs::write(&*file, text(&hash, "ops", "")).expect("it can be written");
    let can = |who: &str, action: &str, room: &str| {
        let end = run(&["config", "can", who, action, room, "--config", &file.to_string()]);
        (end.code, end.output)
    };
    let yes = ["yes", "  line 3:11: tokens.alice.rooms.\"ops\" grants publish"].map(str::to_owned).to_vec();
    assert_eq!(can("alice", "publish", "ops"), (Some(0), yes));
    assert_eq!(can("anonymous", "publish", "ops"), (Some(1), vec!["no: no line grants it".to_owned()]));
    assert_eq!(can("anonymous", "write", "open").0, Some(0));
    assert_eq!(can("alice", "fly", "ops").0, Some(2));
    assert_eq!(can("al ice", "join", "ops").0, Some(2));
}
