//! Datagrams from sources that are no members: they may publish, ping, and ask for the cookie to join with.
//!
//! Anybody can forge a source, so nothing is kept for one, nothing is made, and little is answered: the library bounds it.

use super::commands::{misnamed, no_room, unpublished};
use super::{Heard, Listener};
use bytes::{Buf as _, Bytes};
use std::net::SocketAddr;
use switchboard::grammar::{Command, ErrorCode, Failure, Input, Signed, parse};
use switchboard::grammar::{Cookie, Reply};
use switchboard::{
    Datagram, DatagramReply, Format, PeerAddr, PublishError, Rights, Room, RoomName, Session, UserName, Validation,
};

/// What a stranger wanted.
pub(super) enum Sought {
    /// To join, and it has shown that it receives at its address.
    Proof,
    /// To join; it must return this first.
    Challenge(Cookie),
    Ping,
    /// To publish, which is done.
    Published,
    /// Something that this listener does not look at.
    Unheard,
}

/// Answers a ping, as no member's: whoever takes itself for one finds out. As long as three times the question allows.
const PONG: &[u8] = b"* pong no-room";

/// For whom there is no place: there are too many connections, or too many from its address.
const NO_PLACE: &[u8] = b"* closed: too-many-connections";

/// How all begins that is said in rooms over UDP: notices, errors, messages, and cookies.
const OURS: [&[u8]; 6] = [b"*", b"!", b"[", b"@", b"{", b"cookie="];

impl Listener {
    /// Does what a stranger may want, and says whether it has shown that it receives at its address.
    ///
    /// What may be an answer is answered seldom or never, so that servers that are aimed at each other fall silent.
    pub(super) fn handle_stranger(&self, datagram: Datagram<'_>, reply: &mut DatagramReply<'_>) -> Validation {
        let Datagram { payload, source } = datagram;
        let payload = payload.strip_prefix(MARK).unwrap_or(payload);
        if OURS.iter().any(|ours| payload.starts_with(ours)) {
            return Validation::Missing;
        }
        match self.handle_frame(trimmed(Bytes::copy_from_slice(payload)), source) {
            Ok(Sought::Proof) => {
                answer(reply, NO_PLACE);
                return Validation::Given;
            }
            Ok(Sought::Published | Sought::Unheard) => {}
            // An echo would send it to us as it is, or behind something of its own.
            Ok(Sought::Ping) if holds(payload, PONG) => {}
            Ok(Sought::Ping) => answer(reply, PONG),
            Ok(Sought::Challenge(cookie)) => {
                Format::Text.reply(&Reply::Challenge { cookie }).iter().for_each(|cookie| answer(reply, cookie));
            }
            Err(failure) => {
                let code = format!("! {}", failure.code);
                if holds(payload, code.as_bytes()) {
                    return Validation::Missing;
                }
                if !payload.starts_with(b"/") {
                    // Not an answer to each of thousands, as media are.
                    reply.seldom();
                }
                // The whole error, or its code, or nothing.
                let whole = Format::Text.failure(&failure).filter(|whole| whole.len() <= reply.remaining());
                answer(reply, whole.as_deref().unwrap_or(code.as_bytes()));
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
        let frame = unmarked(trimmed(frame));
        // Who has signed it counts when it is done.
        let frame = Signed::parse(&frame).filter(|_| self.options.commands).map_or(frame, |signed| signed.command);
        let join = parse(frame).ok().and_then(joins);
        join.is_some_and(|(room, cookie)| self.knows(cookie, source, &room))
    }

    fn handle_frame(&self, frame: Bytes, source: SocketAddr) -> Result<Sought, Failure> {
        if self.options.commands && Signed::is_one(&frame) {
            return self.handle_signed(&frame, source);
        }
        if self.datagrams == Heard::Signed {
            return Ok(Sought::Unheard);
        }
        let command = match parse(frame)? {
            Input::Command(command) => command,
            Input::Text(_) => return Err(no_room()),
        };
        match command {
            Command::Join { room, cookie, .. } if self.offers(&room) => {
                if cookie.is_some_and(|cookie| self.knows(cookie, source, &room)) {
                    return Ok(Sought::Proof);
                }
                Ok(self.challenge(source, &room))
            }
            _ if !self.options.commands => Err(Failure::new(ErrorCode::CommandsOff, "this listener takes no commands")),
            Command::Ping => Ok(Sought::Ping),
            Command::Pub { room, text } => {
                self.may(&self.stranger.principal(), &room, Rights::PUBLISH)?;
                let none = || Failure::new(ErrorCode::NoSuchRoom, format!("there is no room {room}"));
                let room = self.stranger.find(&room).ok_or_else(none)?;
                publish_now(&self.stranger, &room, &text)
            }
            _ => Err(no_room()),
        }
    }

    /// Does what whoever has signed a datagram wants. If it is not signed by whom it names, or has come before, nothing is said: nobody is to
    /// find out why, nor to have it said to somebody else.
    pub(super) fn handle_signed(&self, frame: &Bytes, source: SocketAddr) -> Result<Sought, Failure> {
        let (Some(policy), Some(signed)) = (&self.policy, Signed::parse(frame)) else { return Ok(Sought::Unheard) };
        let peer = PeerAddr::Ip(source);
        if self.is_proof(frame.clone(), source) && policy.is_signed(&signed) {
            // It counts once whoever sent it has its place, and is looked at there.
            return Ok(Sought::Proof);
        }
        let Some(principal) = policy.sender(&signed, &peer) else { return Ok(Sought::Unheard) };
        match parse(signed.command)? {
            Input::Command(Command::Ping) => Ok(Sought::Ping),
            Input::Command(Command::Join { room, .. }) if self.offers(&room) => Ok(self.challenge(source, &room)),
            Input::Command(Command::Pub { room, text }) => {
                let session = self.hub.session(UserName::udp(), Format::Text).map_err(misnamed)?;
                session.authorize(principal);
                self.may(&session.principal(), &room, Rights::PUBLISH)?;
                publish_now(&session, &self.make(&session, &room, &peer)?, &text)
            }
            _ => Err(no_room()),
        }
    }

    fn challenge(&self, source: SocketAddr, room: &RoomName) -> Sought {
        let Some(cookies) = &self.cookies else { unreachable!("datagrams come to listeners that have some") };
        Sought::Challenge(cookies.cookie(source, room))
    }

    fn knows(&self, cookie: Cookie, source: SocketAddr, room: &RoomName) -> bool {
        self.cookies.as_ref().is_some_and(|cookies| cookies.knows(cookie, source, room))
    }

    /// Whether one may join this room here: without commands nobody chooses.
    fn offers(&self, room: &RoomName) -> bool {
        self.options.commands || self.room.name() == room
    }
}

fn publish_now(session: &Session, room: &Room, text: &Bytes) -> Result<Sought, Failure> {
    // Nobody can be made to wait here.
    if !room.is_ready() {
        return Err(Failure::new(ErrorCode::RateLimited, "published faster than it can be delivered"));
    }
    // Nor told later: what cannot be kept is refused once that is known, and not before.
    if !room.is_available() {
        return Err(unpublished(PublishError::Unavailable));
    }
    session.publish(room, text).map_err(unpublished)?;
    Ok(Sought::Published)
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

/// A command without that mark, as where one file is sent behind another: nobody says `/auth` to others.
pub(super) fn uncovered(frame: Bytes) -> Bytes {
    if frame.starts_with(MARK) && frame.get(MARK.len()) == Some(&b'/') { unmarked(frame) } else { frame }
}

/// Writes a line if there is room for it, be it without its end.
fn answer(reply: &mut DatagramReply<'_>, line: &[u8]) {
    if line.len() <= reply.remaining() {
        reply.write(line);
        if reply.remaining() > 0 {
            reply.write("\n");
        }
    }
}

fn holds(payload: &[u8], answer: &[u8]) -> bool {
    memchr::memmem::find(payload, answer).is_some()
}

/// A frame without the line end that `nc -u` sends.
pub(super) fn trimmed(mut frame: Bytes) -> Bytes {
    let line = frame.strip_suffix(b"\n").unwrap_or(&frame);
    let line = line.strip_suffix(b"\r").filter(|_| line.len() < frame.len()).unwrap_or(line);
    frame.truncate(line.len());
    frame
}
