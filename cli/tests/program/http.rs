//! Rooms over HTTP: what clients send and get, byte for byte, and who is answered at all.

mod browsers;
mod hostile;
mod proxies;
mod publishing;
pub(crate) mod sockets;
mod streams;

use crate::process::{Program, until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

const HTTP: &str = "rooms=http://127.0.0.1:0";

/// An answer, or as much of one as has come.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| &**value)
    }

    /// The body's lines.
    fn lines(&self) -> Vec<&str> {
        self.body.lines().collect()
    }
}

/// Waits until so many are in a room.
#[track_caller]
fn wait_for_members(program: &Program, room: &str, members: usize) {
    let end = format!("\"total\":{members}}}\n");
    until(|| get(program, &format!("{room}/members")).body.ends_with(&end));
}

/// A client that sends what a test says.
pub(crate) struct Client<S = TcpStream> {
    stream: S,
    received: Vec<u8>,
    /// Of a streamed body, what came and was not taken.
    body: String,
}

impl Client {
    pub(crate) fn connect(program: &Program, listener: usize) -> Self {
        Self::over(program.tcp(listener))
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, received: Vec::new(), body: String::new() }
    }

    pub(crate) fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).expect("it takes everything");
    }

    fn receive(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        let count = self.stream.read(&mut bytes).expect("it is answered, or closed in order");
        self.received.extend_from_slice(&bytes[..count]);
        count > 0
    }

    /// Takes what has come up to and with `end`.
    fn until(&mut self, end: &str) -> String {
        loop {
            let found = self.received.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(found) = found {
                let taken = self.received.drain(..found + end.len()).collect();
                return String::from_utf8(taken).expect("it is UTF-8");
            }
            assert!(self.receive(), "ended without {end:?}: {}", self.received.escape_ascii());
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            assert!(self.receive(), "ended early: {}", self.received.escape_ascii());
        }
        self.received.drain(..count).collect()
    }

    /// The head of an answer, whose body is still to come.
    pub(crate) fn head(&mut self) -> Answer {
        let head = self.until("\r\n\r\n");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status line");
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Answer { status, headers, body: String::new() }
    }

    /// One chunk of a body, or `None` at the end of all.
    fn chunk(&mut self) -> Option<String> {
        let size = self.until("\r\n");
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
        let chunk = self.take(size);
        self.until("\r\n");
        (size > 0).then(|| String::from_utf8(chunk).expect("it is UTF-8"))
    }

    /// A whole answer.
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                answer.body += &chunk;
            }
        } else if let Some(length) = answer.header("content-length") {
            let body = self.take(length.parse().expect("a length"));
            answer.body = String::from_utf8(body).expect("it is UTF-8");
        }
        answer
    }

    /// What a streamed body brings up to and with `end`, however it comes in chunks.
    pub(crate) fn streamed(&mut self, end: &str) -> String {
        loop {
            if let Some(found) = self.body.find(end) {
                return self.body.drain(..found + end.len()).collect();
            }
            let Some(chunk) = self.chunk() else { panic!("ended without {end:?}: {}", self.body) };
            self.body += &chunk;
        }
    }

    /// What a streamed body brings until it ends in order.
    pub(crate) fn rest(&mut self) -> String {
        while let Some(chunk) = self.chunk() {
            self.body += &chunk;
        }
        std::mem::take(&mut self.body)
    }

    /// The connection was closed in order.
    fn expect_end(&mut self) {
        assert!(!self.receive(), "{}", self.received.escape_ascii());
    }
}

/// A request's text; each of `headers` is a line.
pub(crate) fn request(method: &str, path: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().flat_map(|header| [*header, "\r\n"]).collect();
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}{length}\r\n{body}")
}

/// Asks on a connection that is for nothing else.
pub(crate) fn asked(stream: impl Read + Write, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let mut client = Client::over(stream);
    client.send(request(method, path, headers, body));
    client.answer()
}

/// The same at a Unix socket.
pub(crate) fn asked_at(socket: &Path, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    asked(UnixStream::connect(socket).expect("it listens"), method, path, headers, body)
}

/// Asks the first listener.
fn ask(program: &Program, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    asked(program.tcp(0), method, path, headers, body)
}

fn get(program: &Program, path: &str) -> Answer {
    ask(program, "GET", path, &[], "")
}

fn post(program: &Program, path: &str, body: &str) -> Answer {
    ask(program, "POST", path, &[], body)
}

/// The id in an object.
fn id(object: &str) -> &str {
    let (_, rest) = object.split_once("\"id\":\"").unwrap_or_else(|| panic!("no id in {object}"));
    rest.split('"').next().expect("it ends")
}
