//! `switchboard connect`: what it asks for itself, and what it takes for a success.

use super::{Ran, pipe, start};
use crate::process::{Program, command, joined, ran};
use crate::tls::Pair;
use nix::sys::signal::Signal;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Stdio};
use std::thread;

/// All that a room has heard, as `messages` tells it.
fn heard(program: &Program, room: &str) -> String {
    let url = program.listeners[0].url.replace("http", "ws");
    let ran = pipe(&[&format!("{url}/ws?format=text")], format!("/join {room}\n/history\n").as_bytes());
    ran.output()
}

#[test]
fn a_name_or_a_room_is_never_published() {
    let program = Program::serve(&["rooms=http://127.0.0.1:0", "rooms=tcp://127.0.0.1:0?commands=off"]);
    let url = program.listeners[0].url.replace("http", "ws");
    let room = format!("{url}/rooms/ops/ws");
    let ran = pipe(&[&room, "--name", "bobby", "--room", "OPS"], b"hello\n");
    assert_eq!((ran.code, ran.errors.as_str()), (Some(0), ""));
    let told = heard(&program, "ops");
    assert!(told.contains("[ops] bobby: hello") && !told.contains("/name") && !told.contains("/join"), "{told}");
    let ran = pipe(&[&room, "--room", "lobby"], b"hello\n");
    let fault = format!(
        "error: --room: `lobby`: {room} has only the room ops; every room has its own URL, and /ws has them all\n"
    );
    assert_eq!((ran.code, ran.errors), (Some(2), fault));
    // Whoever does not say that it takes commands is not given any.
    let url = &program.listeners[1].url;
    let ran = pipe(&[url, "--name", "bobby"], b"hello\n");
    let error = "the server has not said that it takes commands; it would publish `/name bobby`";
    assert_eq!((ran.code, ran.errors), (Some(1), format!("error: {url}: {error}\n")));
    assert!(!heard(&program, "lobby").contains(": /name bobby"));
}

#[test]
fn a_websocket_that_was_closed_for_a_fault_is_no_success() {
    let program = Program::serve(&["--max-frame", "1000", "echo=ws://127.0.0.1:0", "echo=ws://127.0.0.1:0?idle=1s"]);
    let url = |listener: usize| program.listeners[listener].url.clone();
    let ran = pipe(&[&url(0)], &[b'x'; 2000]);
    let error = format!("error: {}: the server closed the connection with code 1009\n", url(0));
    assert_eq!((ran.code, ran.errors), (Some(1), error));
    let ran = pipe(&[&url(1), "--listen"], b"");
    let error = format!("error: {}: the server closed the connection with code 1008\n", url(1));
    assert_eq!((ran.code, ran.errors), (Some(1), error));
    let ran = pipe(&[&url(0)], b"hello\n");
    assert_eq!((ran.code, ran.output().as_str()), (Some(0), "echo: hello\\n"));
}

#[test]
fn a_place_without_a_scheme_is_one_of_lines() {
    let program = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let ran = pipe(&[&program.listeners[0].address().to_string()], b"hello\n");
    assert_eq!((ran.code, ran.output().as_str()), (Some(0), "echo: hello\\n"));
    let ran = pipe(&["localhost"], b"");
    assert_eq!(
        (ran.code, ran.errors.as_str()),
        (Some(2), "error: tcp://localhost: missing port, as in localhost:8081\n")
    );
}

#[test]
fn nothing_is_said_behind_what_was_refused() {
    let program = Program::serve(&["rooms=http://127.0.0.1:0", "rooms=tcp://127.0.0.1:0"]);
    let mut alice = program.tcp(1);
    alice.write_all(b"/name alice\n").unwrap();
    BufReader::new(&alice).lines().map(Result::unwrap).find(|line| line == "* you are alice").unwrap();
    let ran = pipe(&[&program.listeners[1].url, "--name", "alice"], b"hello\n");
    assert_eq!(ran.code, Some(1));
    assert!(ran.errors.contains("`/name alice`: name-taken"), "{}", ran.errors);
    assert!(!heard(&program, "lobby").contains("hello"));
}

#[test]
fn a_line_that_no_member_says_over_udp_is_a_failure() {
    let program = Program::serve(&["rooms=udp://127.0.0.1:0"]);
    let url = &program.listeners[0].url;
    let ran = pipe(&[url, "--wait", "300ms"], b"hello\n");
    assert_eq!((ran.code, ran.output()), (Some(1), "! no-room\\n".to_owned()));
    assert!(ran.errors.contains("over UDP the server hears only members: join with --room ROOM"), "{}", ran.errors);
    let ran = pipe(&[url, "--room", "ops", "--wait", "300ms"], b"hello\n");
    assert_eq!((ran.code, ran.errors.as_str()), (Some(0), ""));
}

/// Starts it, and waits for the first line.
fn connected(arguments: &[&str]) -> (Child, BufReader<ChildStdout>, String) {
    let mut child = start(arguments);
    let (output, line) = first_line(&mut child);
    (child, output, line)
}

fn first_line(child: &mut Child) -> (BufReader<ChildStdout>, String) {
    let (mut output, mut line) = (BufReader::new(child.stdout.take().unwrap()), String::new());
    joined(thread::spawn(move || {
        output.read_line(&mut line).unwrap();
        (output, line)
    }))
}

#[test]
fn a_server_that_dies_has_not_finished() {
    let program = Program::serve(&["rooms=http://127.0.0.1:0", "rooms=tcp://127.0.0.1:0", "echo=ws://127.0.0.1:0"]);
    let url = program.listeners[0].url.replace("http", "ws");
    let urls = [format!("{url}/ws"), format!("{url}/rooms/ops/ws"), program.listeners[1].url.clone()];
    // Whose output nobody reads any more ends with 0 at the next notice.
    let (mut running, mut outputs) = (Vec::new(), Vec::new());
    for url in &urls {
        let (child, output, _) = connected(&[url]);
        running.push(child);
        outputs.push(output);
    }
    let mut echo = start(&[&program.listeners[2].url]);
    echo.stdin.as_mut().unwrap().write_all(b"hi\n").unwrap();
    outputs.push(first_line(&mut echo).0);
    running.push(echo);
    program.signal(Signal::SIGKILL);
    for mut child in running {
        // Its input stays open: at the end of that it would finish by itself.
        let input = child.stdin.take();
        let ran = ran(child);
        drop(input);
        let errors = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(1), "{errors}");
        assert!(errors.ends_with("the connection was cut\n") || errors.contains("peer-reset"), "{errors}");
    }
}

#[test]
fn a_server_that_closes_us_says_why_and_that_is_a_failure() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0", "--max-frame", "1KiB"]);
    let ran: Ran = pipe(&[&program.listeners[0].url], &[b'x'; 5000]);
    assert_eq!(ran.code, Some(1), "{}", ran.output());
    assert!(ran.errors.contains("frame-too-long"), "{}", ran.errors);
}

#[test]
fn a_server_that_speaks_something_else_is_told_with_the_url_to_type() {
    let pair = Pair::new("elsewhere", "localhost");
    let [lines, http] = ["tls", "https"].map(|scheme| format!("rooms={scheme}://127.0.0.1:0?{}", pair.query()));
    let program = Program::serve(&[&lines, &http, "rooms=tcp://127.0.0.1:0", "rooms=http://127.0.0.1:0"]);
    let [tls, https, tcp, http] = [0, 1, 2, 3].map(|listener| program.listeners[listener].address());
    let cannot = "cannot connect to ";
    let (wants_tls, no_tls) = ("the server wants TLS", "TLS handshake failed: the server does not speak TLS");
    let (speaks_http, no_http) = ("the server speaks HTTP", "the server does not speak HTTP");
    for (typed, before, why, advice) in [
        (format!("tcp://{tls}"), "", wants_tls, format!("type tls://{tls}")),
        (format!("tcp://{https}"), "", wants_tls, format!("type tls://{https}")),
        (format!("ws://{tls}/ws"), cannot, wants_tls, format!("type wss://{tls}/ws")),
        (format!("ws://{https}/ws"), cannot, wants_tls, format!("type wss://{https}/ws")),
        (format!("tls://{tcp}"), "", no_tls, format!("type tcp://{tcp}")),
        (format!("wss://{http}/ws"), "", no_tls, format!("type ws://{http}/ws")),
        (format!("tcp://{http}"), "", speaks_http, format!("for rooms, type ws://{http}/ws")),
        (format!("tls://{https}"), "", speaks_http, format!("for rooms, type wss://{https}/ws")),
        (format!("ws://{tcp}/ws"), cannot, no_http, format!("type tcp://{tcp}")),
        (format!("wss://{tls}/ws"), cannot, no_http, format!("type tls://{tls}")),
    ] {
        let insecure: &[&str] = if typed.contains("s://") && !typed.starts_with("ws:") { &["--insecure"] } else { &[] };
        let ran = pipe(&[&[&*typed], insecure].concat(), b"hello\n");
        let error = format!("error: {before}{typed}: {why} ({advice})\n");
        assert_eq!((ran.code, ran.errors.as_str(), ran.output().as_str()), (Some(1), &*error, ""));
    }
    // Whoever types HTTP gets what comes.
    let ran = pipe(&[&format!("tcp://{http}")], b"GET /rooms HTTP/1.0\r\n\r\n");
    assert!(ran.code == Some(0) && ran.output().starts_with("HTTP/1.0 200 OK"), "{} {}", ran.output(), ran.errors);
}

#[test]
fn of_a_server_that_says_nothing_it_is_told_what_it_may_want() {
    let pair = Pair::new("wants-tls", "localhost");
    let program = Program::serve(&[&format!("rooms=tls://127.0.0.1:0?{}", pair.query())]);
    let place = program.listeners[0].address();
    let ran = pipe(&[&format!("tcp://{place}"), "--name", "bob"], b"hello\n");
    let error = format!(
        "error: tcp://{place}: the server has not said that it takes commands; it would publish `/name bob`; \
         if it wants TLS, type tls://{place}; if it speaks HTTP, type ws://{place}/ws\n"
    );
    assert_eq!((ran.code, ran.errors.as_str(), ran.output().as_str()), (Some(1), &*error, ""));
    let silent = Program::serve(&["rooms=tcp://127.0.0.1:0?format=raw&commands=off"]);
    let ran = pipe(&[&silent.listeners[0].url], b"hello\n");
    assert_eq!((ran.code, ran.errors.as_str()), (Some(0), ""));
}

#[test]
fn without_input_a_connection_that_is_kept_listens() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0"]);
    let url = &program.listeners[0].url;
    for flag in ["--listen", "--reconnect"] {
        let mut listening = command(&["connect", url, "--room", "alerts", flag]);
        listening.stdin(Stdio::null());
        let mut listening = Program::spawn(listening);
        listening.printed("[alerts] you joined");
        let ran = pipe(&[url, "--room", "alerts"], format!("disk {flag} full\n").as_bytes());
        assert_eq!(ran.code, Some(0));
        listening.printed(&format!("disk {flag} full"));
    }
}

#[test]
fn a_token_comes_from_a_file_or_the_environment_and_is_shown_nowhere() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0", "echo=tcp://127.0.0.1:0", "rooms=udp://127.0.0.1:0"]);
    let (rooms, echo, datagrams) = (&program.listeners[0].url, &program.listeners[1].url, &program.listeners[2].url);
    let made = crate::process::run(&["token", "new", "alice"]).output.concat();
    let file = crate::process::Place::new("token");
    std::fs::write(&*file, format!("{made}\n")).unwrap();
    let path = file.to_string();
    let ran = pipe(&[rooms, "--token-file", &path, "--name", "bobby"], b"/ping\n");
    assert_eq!((ran.code, ran.errors.as_str()), (Some(0), ""));
    assert!(ran.output().contains("* authorized\\n* you are bobby\\n* pong"), "{}", ran.output());
    // Nobody else is told it.
    let ran = pipe(&[echo, "--token-file", &path], b"hi\n");
    let error = "the server has not said that it takes commands; it would publish `/auth …`; if it wants TLS";
    assert!(ran.code == Some(1) && ran.errors.starts_with(&format!("error: {echo}: {error}")), "{}", ran.errors);
    let ran = pipe(&[datagrams, "--token-file", &path], b"hi\n");
    let error = "error: --token-file: not over UDP, which takes no tokens\n";
    assert_eq!((ran.code, ran.errors.as_str()), (Some(2), error));
    std::fs::write(&*file, &made[..made.len() - 1]).unwrap();
    let ran = pipe(&[rooms, "--token-file", &path], b"");
    let fault = "the token is mistyped or cut off: its last six characters do not match the rest";
    assert_eq!((ran.code, ran.errors), (Some(2), format!("error: --token-file: {fault}\n")));

    let mut from_environment = command(&["connect", rooms]);
    from_environment.env("SWITCHBOARD_TOKEN", &made);
    let ended = Program::spawn(from_environment).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.output.contains(&"* authorized".to_owned()), "{ended:?}");
    for arguments in [&["config", "check"][..], &["connect", "--help"], &["config", "print"]] {
        let mut both = command(arguments);
        both.env("SWITCHBOARD_TOKEN", &made);
        let ended = Program::spawn(both).end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!ended.output.concat().contains(&made[12..]), "{arguments:?}");
    }
}

#[test]
fn a_rooms_own_websocket_is_shown_the_token_before_it_is_one() {
    let (token, hash) = crate::tokens::made("alice");
    let (file, shown) = (crate::process::Place::new("roomws.toml"), crate::process::Place::new("roomws.token"));
    let listen = "listen = [\"rooms=http://127.0.0.1:0\"]";
    std::fs::write(&*file, format!("{listen}\n[tokens.alice]\n{hash}\nrooms = {{ \"ops\" = [\"all\"] }}\n")).unwrap();
    std::fs::write(&*shown, format!("{token}\n")).unwrap();
    let program = Program::of_file(&file, 1);
    let url = format!("{}/rooms/ops/ws?echo=on&format=json", program.listeners[0].url.replace("http", "ws"));
    let ran = pipe(&[&url, "--token-file", &shown.to_string(), "--name", "alice.pipe"], b"hi\n");
    assert_eq!((ran.code, ran.errors.as_str()), (Some(0), ""));
    assert!(ran.output().contains("\\\"from\\\":\\\"alice.pipe\\\",\\\"user\\\":\\\"alice\\\""), "{}", ran.output());
    // Without it nobody comes in.
    let ran = pipe(&[&url], b"hi\n");
    assert!(ran.code == Some(1) && ran.errors.contains("code 1008"), "{}", ran.errors);
}
