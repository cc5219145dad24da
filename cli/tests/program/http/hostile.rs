//! Input that would cost memory without end: each kind ends or stops its own connection, memory stays as it was, and all others
//! are served.

use super::{HTTP, get, post};
use crate::process::Program;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn what_is_no_request_is_named_in_the_log() {
    let mut program = Program::serve(&[HTTP]);
    program.tcp(0).write_all(b"GET / HTTP/9.9\r\n\r\n").expect("it is sent");
    let line = program.logged("connection closed");
    assert!(line.contains("close.reason=bad-frame error=\"malformed frame: its version\""), "{line}");
}

/// What each connection tries to send.
const FLOOD: usize = 8 << 20;

/// How many send it at a time.
const ATTACKERS: usize = 2;

/// What each of them may cost: an outbox, and the buffers around it.
const GROWTH_KILOBYTES: usize = 4 << 10;

/// A kernel that takes nothing for so long belongs to a server that does not read.
const STUCK: Duration = Duration::from_millis(200);

/// Sends `head`, and `piece` again and again.
struct Attack {
    name: &'static str,
    head: Vec<u8>,
    piece: Vec<u8>,
    /// Whether the answers are read.
    reads: bool,
}

impl Attack {
    fn new(name: &'static str, head: impl AsRef<[u8]>, piece: impl AsRef<[u8]>) -> Self {
        Self { name, head: head.as_ref().to_vec(), piece: piece.as_ref().to_vec(), reads: false }
    }

    /// Sends until all is sent, or no more is taken, and gives the connection back, which may be open still.
    fn run(&self, program: &Program) -> TcpStream {
        let mut stream = program.tcp(0);
        stream.set_write_timeout(Some(STUCK)).expect("a timeout can be set");
        stream.set_nonblocking(false).expect("it blocks");
        let many = self.piece.repeat((16 << 10) / self.piece.len() + 1);
        let mut sent = stream.write_all(&self.head).map(|()| self.head.len());
        while let Ok(count) = sent
            && count < FLOOD
        {
            sent = stream.write_all(&many).map(|()| count + many.len());
            if self.reads {
                drain(&mut stream);
            }
        }
        stream
    }
}

/// Takes what has come.
fn drain(stream: &mut TcpStream) {
    stream.set_nonblocking(true).expect("it can be asked");
    let mut bytes = [0; 16 << 10];
    loop {
        match stream.read(&mut bytes) {
            Ok(1..) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    stream.set_nonblocking(false).expect("it blocks");
}

const UPGRADE: &str = "GET /rooms/lobby/ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const POST: &str = "POST /rooms/lobby HTTP/1.1\r\nhost: localhost\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn http2(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

fn attacks() -> Vec<Attack> {
    let websocket = |frames: &[u8]| [UPGRADE.as_bytes(), frames].concat();
    let over_http2 = |frames: &[u8]| [PREFACE, frames].concat();
    // POST /rooms/lobby and GET / of http, from localhost, in HPACK.
    let (to_post, to_get) = (b"\x83\x04\x0c/rooms/lobby\x86\x41\x09localhost", b"\x82\x84\x86\x41\x09localhost");
    let value = [&b"\x40\x01a\x7f\xa1\x1e"[..], &[b'x'; 4_000]].concat();
    let bomb = [&to_get[..], &value, &b"\xbe".repeat(10_000)].concat();
    let all_streams: Vec<_> = (1..200).step_by(2).flat_map(|stream| http2(1, 4, stream, to_post)).collect();
    let all_data: Vec<_> = (1..200).step_by(2).flat_map(|stream| http2(0, 0, stream, &[b'x'; 1_000])).collect();
    vec![
        Attack::new("a head without an end", "GET / HTTP/1.1\r\nhost: localhost\r\nlong: ", "x"),
        Attack::new("a path without an end", "GET /", "x"),
        Attack::new("headers without an end", "GET / HTTP/1.1\r\nhost: localhost\r\n", "a: b\r\n"),
        Attack::new("a long body", format!("{POST}content-length: 9223372036854775807\r\n\r\n"), "x"),
        Attack::new("chunks without an end", format!("{POST}transfer-encoding: chunked\r\n\r\n"), "1\r\nx\r\n"),
        Attack::new("a chunk's size without an end", format!("{POST}transfer-encoding: chunked\r\n\r\n"), "0"),
        Attack::new("a chunk's extension", format!("{POST}transfer-encoding: chunked\r\n\r\n1;"), "x"),
        Attack::new("requests whose answers nobody reads", "", "GET /page.js HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        Attack::new("a long frame", websocket(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"), "x"),
        Attack::new("tiny fragments", websocket(b"\x02\x81\0\0\0\0x"), b"\0\x81\0\0\0\0x"),
        Attack::new("fragments with nothing in them", websocket(b"\x02\x80\0\0\0\0"), b"\0\x80\0\0\0\0"),
        Attack::new("pings whose pongs nobody reads", websocket(b""), b"\x89\x81\0\0\0\0x"),
        Attack::new("text that is none, in pieces", websocket(b"\x01\x82\0\0\0\0\xe2\x82"), b"\0\x81\0\0\0\0\x28"),
        Attack::new(
            "HTTP/2: a head without an end",
            over_http2(&http2(1, 1, 1, to_get)),
            http2(9, 0, 1, b"\0\x01a\x01b"),
        ),
        Attack::new(
            "HTTP/2: a head that means a long one",
            over_http2(&http2(1, 5, 1, &bomb)),
            http2(6, 0, 0, &[0; 8]),
        ),
        Attack::new("HTTP/2: pings", over_http2(b""), http2(6, 0, 0, &[0; 8])),
        Attack::new("HTTP/2: settings", over_http2(b""), http2(4, 0, 0, b"")),
        Attack::new("HTTP/2: nothing in frames", over_http2(&http2(1, 4, 1, to_post)), http2(0, 0, 1, b"")),
        Attack::new("HTTP/2: a hundred bodies", over_http2(&all_streams), all_data),
        Attack { reads: true, ..Attack::new("HTTP/2: pings that are read", over_http2(b""), http2(6, 0, 0, &[0; 8])) },
    ]
}

#[test]
fn hostile_input_costs_its_own_connection_and_no_memory() {
    let program = Program::serve(&[HTTP, "--workers", "1"]);
    // Whatever is made for the first time is made.
    for attack in attacks().iter().take(3) {
        attack.run(&program);
    }
    for attack in attacks() {
        post(&program, "/rooms/lobby", "before");
        let before = program.resident_kilobytes();
        let attackers: Vec<_> = (0..ATTACKERS).map(|_| attack.run(&program)).collect();
        let grown = program.resident_kilobytes().saturating_sub(before);
        assert!(grown < GROWTH_KILOBYTES * ATTACKERS, "{}: {grown} KiB more", attack.name);
        assert_eq!(get(&program, "/rooms").status, 200, "{}", attack.name);
        drop(attackers);
    }
}

/// A kilobyte of requests asks for 150 MB, and for none of it is there room.
#[test]
fn answers_that_nobody_takes_are_not_made() {
    let program = Program::serve(&[HTTP, "--workers", "1"]);
    for _ in 0..4 {
        assert_eq!(post(&program, "/rooms/lobby", &"\u{1}".repeat(60_000)).status, 200);
    }
    // Settings that make no room for any stream.
    let mut requests = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0".to_vec();
    for stream in (1..200).step_by(2) {
        requests.extend(http2(1, 5, stream, b"\x82\x04\x16/rooms/lobby/messages?\x86\x41\x09localhost"));
    }
    let before = program.resident_kilobytes();
    let attackers: Vec<_> = (0..ATTACKERS)
        .map(|_| {
            let mut stream = program.tcp(0);
            stream.write_all(&requests).expect("it takes everything");
            // All answers have begun, as far as they may.
            let mut heads = 0;
            let mut bytes = [0; 9];
            while heads < 100 {
                stream.read_exact(&mut bytes).expect("a frame");
                let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
                stream.read_exact(&mut vec![0; length]).expect("the rest of it");
                heads += usize::from(bytes[3] == 1);
                assert_ne!(bytes[3], 0, "there is no room for data");
            }
            stream
        })
        .collect();
    let grown = program.resident_kilobytes().saturating_sub(before);
    assert!(grown < GROWTH_KILOBYTES * ATTACKERS, "{grown} KiB more");
    drop(attackers);
}
