//! `switchboard connect` in a pipe, over each transport, and what it says when it cannot.

mod asked;
mod identity;
mod reconnect;
pub(crate) mod terminal;

use crate::process::{Place, Program, command, joined, ran};
use crate::proxying::nowhere;
use crate::tls::Pair;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::process::{Child, Stdio};
use std::thread;

/// What came of a run.
struct Ran {
    code: Option<i32>,
    output: Vec<u8>,
    errors: String,
}

impl Ran {
    fn output(&self) -> String {
        self.output.escape_ascii().to_string()
    }
}

fn start(arguments: &[&str]) -> Child {
    let arguments: Vec<_> = ["connect"].iter().chain(arguments).copied().collect();
    command(&arguments).stdin(Stdio::piped()).spawn().unwrap()
}

/// `printf … | switchboard connect …`
fn pipe(arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = start(arguments);
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    // The server may not take all of it.
    let writing = thread::spawn(move || drop(stdin.write_all(&input)));
    let ran = ran(child);
    joined(writing);
    Ran { code: ran.status.code(), output: ran.stdout, errors: String::from_utf8(ran.stderr).unwrap() }
}

#[test]
fn all_answers_come_before_the_end_on_every_stream() {
    let (socket, pair) = (Place::new("connect"), Pair::new("connect", "localhost"));
    let tls = format!("echo=tls://127.0.0.1:0?{}", pair.query());
    let program = Program::serve(&["echo=tcp://127.0.0.1:0", &socket.echo(), &tls]);
    let secure = program.listeners[2].url.replace("127.0.0.1", "localhost");
    let certificate = pair.certificate.to_string();
    for arguments in [
        vec![program.listeners[0].url.as_str()],
        vec![program.listeners[1].url.as_str()],
        vec![secure.as_str(), "--ca", certificate.as_str()],
        vec![program.listeners[2].url.as_str(), "--insecure"],
    ] {
        let ran = pipe(&arguments, b"one\r\ntwo\n\nlast");
        assert_eq!(ran.output(), "echo: one\\r\\necho: two\\necho: \\necho: last", "{arguments:?}");
        assert_eq!((ran.code, ran.errors.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn over_udp_each_line_is_a_datagram_and_each_datagram_a_line() {
    let program = Program::serve(&["echo=udp://127.0.0.1:0"]);
    let ran = pipe(&[&program.listeners[0].url, "--wait", "300ms"], b"one\n\nlast");
    assert_eq!(ran.output(), "received: one\\nreceived: \\nreceived: last\\n");
    assert_eq!(ran.code, Some(0));
}

#[test]
fn over_websocket_each_line_is_a_message_and_each_message_a_line() {
    let program = Program::serve(&["rooms=http://127.0.0.1:0"]);
    let url = program.listeners[0].url.replace("http", "ws");
    let ran = pipe(&[&format!("{url}/ws?format=text")], b"/name alice\n/who\n");
    assert_eq!(
        ran.output(),
        "* you are guest-1 in lobby; /help lists the commands\\n* you are alice\\n* [lobby] 1 member: alice\\n"
    );
    assert_eq!((ran.code, ran.errors.as_str()), (Some(0), ""));
    let ran = pipe(&[&format!("{url}/nothing/here")], b"");
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.errors.ends_with("WebSocket refused: status 404 (rooms have their WebSocket at /ws)\n"),
        "{}",
        ran.errors
    );
    let ran = pipe(&[&format!("{url}/ws?format=xml")], b"");
    assert!(ran.errors.contains("WebSocket refused: status 400: bad-argument: format"), "{}", ran.errors);
}

#[test]
fn any_bytes_pass_both_ways_at_once_however_many() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    // It sends nothing back before it has read all, and then far more than all buffers on the way hold.
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    let input: Vec<u8> = (0..8_000_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let ran = pipe(&[&url], &input);
    joined(server);
    assert!(ran.output == input, "{} bytes of {}", ran.output.len(), input.len());
}

#[test]
fn a_server_that_answers_more_than_it_takes_holds_nobody_up() {
    let program = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let line = format!("{}\n", "x".repeat(1000));
    let ran = pipe(&[&program.listeners[0].url], line.repeat(20_000).as_bytes());
    assert_eq!((ran.code, ran.output.len()), (Some(0), 20_000 * 1007));
}

#[test]
fn the_end_of_the_server_is_the_end_and_a_reset_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let serve = |answer: &'static [u8], read: bool| {
        let listener = listener.try_clone().unwrap();
        thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.write_all(answer).unwrap();
            let count = stream.read(&mut [0; 1]).unwrap();
            // Closed over unread input, it is reset.
            assert_eq!(count, usize::from(!read));
        })
    };
    let server = serve(b"bye\n", true);
    let mut child = start(&[&url]);
    drop(child.stdin.take());
    let ran = ran(child);
    assert_eq!((ran.status.code(), ran.stdout.as_slice()), (Some(0), b"bye\n".as_slice()));
    joined(server);

    let server = serve(b"", false);
    let ran = pipe(&[&url], b"two bytes and more");
    joined(server);
    assert_eq!((ran.code, ran.output.len()), (Some(1), 0));
    assert_eq!(ran.errors, format!("error: {url}: connection closed: peer-reset\n"));
}

#[test]
fn a_server_that_finishes_first_still_gets_what_is_in_the_pipe() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    // As `nc -l -N < /dev/null > file` does.
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.shutdown(Shutdown::Write).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes.len()
    });
    let ran = pipe(&[&url], &vec![b'x'; 3_000_000]);
    assert_eq!((ran.code, ran.errors.as_str(), joined(server)), (Some(0), "", 3_000_000));
}

#[test]
fn whoever_has_read_enough_ends_it_quietly() {
    let program = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let mut child = start(&[&program.listeners[0].url]);
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    stdin.write_all(b"hi\n").unwrap();
    joined(thread::spawn(move || stdout.read_exact(&mut [0; 9]).unwrap()));
    // Until its output breaks.
    while stdin.write_all(b"more\n").is_ok() {}
    let ran = ran(child);
    assert_eq!((ran.status.code(), String::from_utf8(ran.stderr).unwrap()), (Some(0), String::new()));
}

#[test]
fn a_name_and_a_room_are_taken_first() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0"]);
    let ran = pipe(&[&program.listeners[0].url, "--name", "alice", "--room", "ops"], b"/who\n");
    let lines: Vec<_> = std::str::from_utf8(&ran.output).unwrap().lines().collect();
    assert_eq!((lines[2], lines[3]), ("* you are alice", "* [ops] 1 member: alice"));
}

#[test]
fn over_udp_the_cookie_is_returned_by_itself_before_anything_else_is_said() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("udp://{}", server.local_addr().unwrap());
    let talking = thread::spawn(move || {
        let (mut buffer, mut heard) = ([0; 100], Vec::new());
        for answers in [
            &["cookie=5ee47a1cd3b099\n"][..],
            &["* you are guest-7 in ops; /help lists the commands\n", "* [ops] you joined at k3f9-7: 1 member\n"],
            &["* you are sensor\n"],
            &["* heard\n"],
            &["* [ops] you joined at k3f9-8: 1 member\n"],
            &[],
        ] {
            let (count, source) = server.recv_from(&mut buffer).unwrap();
            heard.push(String::from_utf8(buffer[..count].to_vec()).unwrap());
            for answer in answers {
                server.send_to(answer.as_bytes(), source).unwrap();
            }
        }
        heard
    });
    let ran = pipe(&[&url, "--room", "ops", "--name", "sensor"], b"21.5\n");
    // The last but one asks whether all has arrived.
    let expected = ["/join ops", "/join ops cookie=5ee47a1cd3b099", "/name sensor", "21.5", "/join ops", "/quit"];
    assert_eq!(joined(talking), expected);
    let lines: Vec<_> = ran.output().split("\\n").map(str::to_owned).collect();
    assert_eq!((&*lines[2], &*lines[3], lines.len()), ("* you are sensor", "* heard", 5), "{lines:?}");
}

#[test]
fn what_cannot_be_reached_or_trusted_is_one_line_and_1() {
    let pair = Pair::new("connect-untrusted", "localhost");
    let program = Program::serve(&[&format!("echo=tls://127.0.0.1:0?{}", pair.query()), "echo=tcp://127.0.0.1:0"]);
    let free = nowhere();
    let (tls, plain) = (&program.listeners[0].url, &program.listeners[1].url);
    let certificate = pair.certificate.to_string();
    for (arguments, error) in [
        (vec![format!("tcp://{free}")], ": Connection refused (os error 111)"),
        (vec![format!("udp://{free}")], "connection closed: peer-reset (nothing listens there)"),
        (vec!["unix:///nonexistent/socket".to_owned()], ": No such file or directory (os error 2)"),
        (vec![tls.clone()], "invalid peer certificate: UnknownIssuer (--ca FILE names the certificates to trust)"),
        (vec![tls.clone(), "--ca".to_owned(), certificate], "certificate is only valid for DnsName(\"localhost\")"),
        (
            vec![plain.replace("tcp", "tls"), "--insecure".to_owned()],
            &*format!("TLS handshake failed: the server does not speak TLS (type {plain})"),
        ),
    ] {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let ran = pipe(&arguments, b"hello\n");
        assert_eq!((ran.code, ran.output.len(), ran.errors.lines().count()), (Some(1), 0, 1), "{}", ran.errors);
        // The address is told once, by whoever knows the reason.
        let told = ran.errors.strip_prefix("error: ").unwrap();
        let rest = told.strip_prefix("cannot connect to ").unwrap_or(told).strip_prefix(arguments[0]);
        assert!(rest.is_some_and(|rest| rest.starts_with(": ")), "{}", ran.errors);
        assert!(ran.errors.trim_end().ends_with(error), "{}", ran.errors);
    }
}

#[test]
fn what_is_typed_wrong_is_said_all_at_once_and_2() {
    let ran = pipe(&["gopher://localhost:70", "--name", "a b", "--room", "", "--wait", "soon"], b"");
    let expected = "\
error: gopher://localhost:70: unknown scheme `gopher`; known: tcp, tls, unix, udp, ws, wss
error: --name: `a b`: a name has only ASCII letters, digits, '-', '_' and '.'
error: --room: ``: a name has at least one character
error: --wait: `soon` is not a duration such as 500ms, 30s, 5m or 1h
";
    assert_eq!((ran.code, ran.errors.as_str()), (Some(2), expected));
    let ran = pipe(&["tcp://localhost:1", "--insecure"], b"");
    assert_eq!((ran.code, ran.errors.as_str()), (Some(2), "error: --insecure: is for tls:// and wss:// only\n"));
    let ran = pipe(&["tls://localhost:1", "--ca", "/nonexistent.pem"], b"");
    let expected = "error: /nonexistent.pem: No such file or directory (os error 2)\n";
    assert_eq!((ran.code, ran.errors.as_str()), (Some(78), expected));
}

#[test]
fn what_is_for_servers_is_refused_for_a_group_of_hosts() {
    let group = "udp://239.1.2.3:7000?interface=lo";
    for flag in [&["--ca", "x"][..], &["--cert", "x"], &["--insecure"], &["--name", "x"], &["--reconnect"]] {
        let ran = pipe(&[&[group, "--repair", "https://127.0.0.1:1"], flag].concat(), b"");
        let told = format!("error: {}: not for a group of hosts, which has no server\n", flag[0]);
        assert_eq!((ran.code, ran.errors), (Some(2), told));
    }
}

/// PowerShell and some editors put one before a text; behind our own `/name` the server cannot know that a text begins.
#[test]
fn a_mark_at_the_beginning_of_stdin_is_no_text() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0", "rooms=http://127.0.0.1:0"]);
    let socket = program.listeners[1].url.replace("http", "ws") + "/ws";
    for arguments in [vec![program.listeners[0].url.as_str(), "--name", "bob"], vec![&socket, "--name", "eve"]] {
        let ran = pipe(&arguments, "\u{feff}/ping\n/quit\n".as_bytes());
        assert!(ran.output().contains("pong"), "{arguments:?}: {}", ran.output());
        assert_eq!(ran.code, Some(0), "{}", ran.errors);
    }
}
