//! Datagrams from sources that are no members: they may publish, ping, and ask for the cookie to join with.
//!
//! Anybody can forge a source, so nothing is kept for one, nothing is made, and little is answered: the library bounds it.

use super::Listener;
use super::commands::no_room;
use bytes::{Buf as _, Bytes};
use std::net::SocketAddr;
use switchboard::grammar::{Command, ErrorCode, Failure, Input, parse};
use switchboard::grammar::{Cookie, Reply as Answer};
use switchboard::{Datagram, Format, Reply, RoomName, UserName, Validation};

/// What a stranger wanted.
enum Heard {
    /// To join, and it has shown that it receives at its address.
    Proof,
    /// To join; it must return this first.
    Challenge(Cookie),
    Ping,
    /// To publish, which is done.
    Published,
}

impl Listener {
    /// Does what a stranger may want, and says whether it has shown that it receives at its address.
    pub(super) fn meet(&self, datagram: Datagram<'_>, reply: &mut Reply<'_>) -> Validation {
        // No answer of ours begins like that, so two servers that are aimed at each other have nothing to say.
        let payload = datagram.payload.strip_prefix(MARK).unwrap_or(datagram.payload);
        if !payload.starts_with(b"/") {
            return Validation::Missing;
        }
        let answer = match self.hear(trimmed(Bytes::copy_from_slice(payload)), datagram.source) {
            Ok(Heard::Proof) => return Validation::Given,
            Ok(Heard::Published) => return Validation::Missing,
            Ok(Heard::Ping) => Format::Text.reply(&Answer::Pong),
            Ok(Heard::Challenge(cookie)) => Format::Text.reply(&Answer::Challenge { cookie }),
            Err(failure) => {
                let code = Bytes::from(format!("! {}", failure.code));
                Format::Text.failure(&failure).into_iter().chain([code]).collect()
            }
        };
        // The whole error, or its code, or nothing.
        if let Some(answer) = answer.into_iter().find(|answer| answer.len() <= reply.remaining()) {
            reply.write(answer);
            if reply.remaining() > 0 {
                reply.write("\n");
            }
        }
        Validation::Missing
    }

    /// Whether `frame` is a join by which `source` has shown, now or a little while ago, that it receives at its address.
    pub(super) fn is_proof(&self, frame: Bytes, source: SocketAddr) -> bool {
        let joins = |input| match input {
            Input::Command(Command::Join { room, cookie, .. }) => Some((room, cookie?)),
            _ => None,
        };
        let join = parse(unmarked(trimmed(frame))).ok().and_then(joins);
        join.is_some_and(|(room, cookie)| self.knows(cookie, source, &room))
    }

    fn hear(&self, frame: Bytes, source: SocketAddr) -> Result<Heard, Failure> {
        let command = match parse(frame)? {
            Input::Command(command) => command,
            Input::Text(_) => return Err(no_room()),
        };
        match command {
            Command::Join { room, cookie, .. } if self.offers(&room) => {
                if cookie.is_some_and(|cookie| self.knows(cookie, source, &room)) {
                    return Ok(Heard::Proof);
                }
                let Some(cookies) = &self.cookies else { unreachable!("datagrams come to listeners that have some") };
                Ok(Heard::Challenge(cookies.cookie(source, &room)))
            }
            _ if !self.manner.commands => Err(Failure::new(ErrorCode::CommandsOff, "this listener takes no commands")),
            Command::Ping => Ok(Heard::Ping),
            Command::Pub { room, text } => {
                let none = || Failure::new(ErrorCode::NoSuchRoom, format!("there is no room {room}"));
                self.hub.find(&room).ok_or_else(none)?.publish_as(UserName::udp(), text);
                Ok(Heard::Published)
            }
            _ => Err(no_room()),
        }
    }

    fn knows(&self, cookie: Cookie, source: SocketAddr, room: &RoomName) -> bool {
        self.cookies.as_ref().is_some_and(|cookies| cookies.knows(cookie, source, room))
    }

    /// Whether one may join this room here: without commands nobody chooses.
    fn offers(&self, room: &RoomName) -> bool {
        self.manner.commands || self.room.name() == room
    }
}

/// U+FEFF, by which some editors and shells say that a text is UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// A frame without the mark that some texts begin with.
pub(super) fn unmarked(mut frame: Bytes) -> Bytes {
    if frame.starts_with(MARK) {
        frame.advance(MARK.len());
    }
    frame
}

/// A frame without the line end that `nc -u` sends.
pub(super) fn trimmed(mut frame: Bytes) -> Bytes {
    let line = frame.strip_suffix(b"\n").unwrap_or(&frame);
    let line = line.strip_suffix(b"\r").filter(|_| line.len() < frame.len()).unwrap_or(line);
    frame.truncate(line.len());
    frame
}
