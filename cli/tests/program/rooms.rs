//! Rooms: what peers send and are told.

mod commands;
pub(crate) mod datagrams;
mod failures;
mod history;
mod options;
mod talking;
mod tokens;

use crate::process::{HalfClose, PATIENCE, Program, until};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

pub(crate) const ROOMS: &str = "rooms=tcp://127.0.0.1:0";

/// Somebody connected to a listener with frames that are lines.
pub(crate) struct Peer<S = TcpStream> {
    stream: S,
    received: Vec<u8>,
}

impl Peer {
    /// Connects; the listener tells nothing of its own accord.
    fn silent(program: &Program, listener: usize) -> Self {
        let stream = program.tcp(listener);
        // What is not answered would otherwise be acknowledged 40 ms later, and the next line waits for that.
        stream.set_nodelay(true).expect("it can be set");
        Self::over(stream)
    }

    /// Connects, and waits to be welcomed: from then on it is a member.
    pub(crate) fn enter(program: &Program, listener: usize) -> Self {
        let mut peer = Self::silent(program, listener);
        let welcome = peer.next();
        assert!(welcome.starts_with("* you are guest-") || welcome.contains("\"welcome\""), "{welcome}");
        peer
    }

    /// Connects under a name.
    pub(crate) fn named(program: &Program, listener: usize, name: &str) -> Self {
        let mut peer = Self::enter(program, listener);
        peer.say(&format!("/name {name}"));
        let answer = peer.next();
        assert!(answer == format!("* you are {name}") || answer.contains("\"named\""), "{answer}");
        peer
    }
}

impl Peer<UnixStream> {
    fn unix(path: &std::path::Path) -> Self {
        let stream = UnixStream::connect(path).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Self::over(stream)
    }
}

impl<S: HalfClose> Peer<S> {
    fn over(stream: S) -> Self {
        Self { stream, received: Vec::new() }
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.send(format!("{line}\n"));
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("it takes everything");
    }

    /// Receives what has come, and says whether there may be more.
    fn receive(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        let count = loop {
            match self.stream.read(&mut bytes) {
                // A read with a timeout is not begun again when the process was stopped meanwhile (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.expect("it is told something, or closed in order"),
            }
        };
        self.received.extend_from_slice(&bytes[..count]);
        count > 0
    }

    /// The next line, without its end; `None` at the end of all.
    fn line(&mut self) -> Option<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(found) = self.received[searched..].iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.received.drain(..=searched + found).collect();
                line.pop();
                return Some(line);
            }
            searched = self.received.len();
            if !self.receive() {
                assert_eq!(self.received.escape_ascii().to_string(), "", "half a line");
                return None;
            }
        }
    }

    /// The next line that does not tell who comes and goes: that is told when time allows.
    pub(crate) fn next(&mut self) -> String {
        self.told().expect("the connection is open")
    }

    /// As [`next`](Self::next), or `None` at the end.
    fn told(&mut self) -> Option<String> {
        loop {
            let line = String::from_utf8(self.line()?).expect("it is UTF-8");
            if !tells_who_comes_and_goes(&line) {
                return Some(line);
            }
        }
    }

    pub(crate) fn expect(&mut self, line: &str) {
        assert_eq!(self.next(), line);
    }

    /// Says a line and expects an answer, with nothing in between.
    fn ask(&mut self, line: &str, answer: &str) {
        self.say(line);
        assert_eq!(self.next(), answer, "the answer to {line}");
    }

    /// What it is told until `last` comes.
    fn until(&mut self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.next();
            if line == last {
                return lines;
            }
            lines.push(line);
        }
    }

    /// Waits until a room has so many members, for those that are not welcomed.
    #[track_caller]
    pub(crate) fn wait_for_members(&mut self, room: &str, members: usize) {
        let expected = format!("* [{room}] {members} member");
        until(|| {
            self.say(&format!("/who {room}"));
            self.next().starts_with(&expected)
        });
    }

    /// Nothing has been told that was not asked for.
    pub(crate) fn expect_nothing(&mut self) {
        self.say("/ping");
        let answer = self.next();
        assert!(["* pong", r#"{"event":"pong"}"#].contains(&&*answer), "{answer}");
    }

    /// The connection was closed in order, with nothing more to tell.
    fn expect_end(&mut self) {
        assert_eq!(self.told(), None);
    }
}

/// Whether a line is told when time allows, and not in answer to anything. That a guest takes a name is told if its coming was.
fn tells_who_comes_and_goes(line: &str) -> bool {
    let is_named = line.contains("] guest-") && line.contains(" is now ");
    let is_text = line.starts_with("* [") && [" joined", " left"].iter().any(|end| line.ends_with(end));
    let is_object = ["joined", "left"].iter().any(|event| line.starts_with(&format!("{{\"event\":\"{event}\"")));
    is_text || is_object || is_named || line.contains(" joined, ") || line.contains("\"presence\"")
}
