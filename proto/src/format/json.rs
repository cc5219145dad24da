//! Objects for programs, one a line. Nothing of a payload is lost.
//!
//! Field order is part of the form: a message begins with `room`, a notice or answer with `event`, an error with
//! `error`. Names and codes need no escape; what peers and errors say is quoted.

use super::runs::Table;
use super::time;
use crate::{Authenticated, Command, Failure, Message, Notice, Reply, Rights, RoomName, RoomSummary, UserName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::io::Write as _;
use std::time::SystemTime;

pub(super) fn message(message: &Message, out: &mut Vec<u8>) {
    let Message { room, id, time, from, user, payload } = message;
    let shown = Payload::of(payload);
    // The fields' names and fixed-size values come to less than 160 bytes.
    let length = |name: &Option<UserName>| name.as_ref().map_or(0, |name| name.as_str().len());
    let names = room.as_str().len() + length(from) + length(user);
    out.reserve(160 + names + shown.bytes());
    let time = time::with_milliseconds(*time);
    // Writing to a Vec cannot fail.
    let _ = write!(out, r#"{{"room":"{room}","seq":{},"id":"{id}","time":"{time}","from":"#, id.seq);
    match from {
        Some(from) => quote(from.as_str(), out),
        None => out.extend_from_slice(b"null"),
    }
    if let Some(user) = user {
        out.extend_from_slice(br#","user":"#);
        quote(user.as_str(), out);
    }
    shown.put(out);
    out.push(b'}');
}

pub(super) fn notice(notice: &Notice) -> Bytes {
    let object = match notice {
        Notice::Joined { room, name } => format!(r#"{{"event":"joined","room":"{room}","name":"{name}"}}"#),
        Notice::Left { room, name } => format!(r#"{{"event":"left","room":"{room}","name":"{name}"}}"#),
        Notice::Presence { room, joined, left, renamed, members } => {
            let renamed = if *renamed > 0 { format!(r#","renamed":{renamed}"#) } else { String::new() };
            let counts = format!(r#""joined":{joined},"left":{left}{renamed},"members":{members}"#);
            format!(r#"{{"event":"presence","room":"{room}",{counts}}}"#)
        }
        Notice::Renamed { room, from, to } => {
            format!(r#"{{"event":"renamed","room":"{room}","from":"{from}","to":"{to}"}}"#)
        }
        Notice::Gap { room, lost, from_seq } => {
            format!(r#"{{"event":"gap","room":"{room}","lost":{lost},"from_seq":{from_seq}}}"#)
        }
        Notice::Reset { room, epoch } => format!(r#"{{"event":"reset","room":"{room}","epoch":"{epoch}"}}"#),
        Notice::Removed { room } => format!(r#"{{"event":"removed","room":"{room}","reason":"not-allowed"}}"#),
        Notice::Head { room, id, repair } => {
            let mut object = format!(r#"{{"event":"head","room":"{room}","id":"{id}""#).into_bytes();
            if let Some(url) = repair {
                object.extend_from_slice(br#","repair":"#);
                quote(url, &mut object);
            }
            object.push(b'}');
            return object.into();
        }
        Notice::Announcement { text } => {
            let mut object = br#"{"event":"announcement""#.to_vec();
            Payload::of(text).put(&mut object);
            object.push(b'}');
            return object.into();
        }
        Notice::Expiring { seconds } => format!(r#"{{"event":"expiring","seconds":{seconds}}}"#),
        Notice::Named { name } => format!(r#"{{"event":"named","name":"{name}"}}"#),
        Notice::Closed { reason } => format!(r#"{{"event":"closed","reason":"{reason}"}}"#),
    };
    object.into()
}

pub(super) fn reply(reply: &Reply) -> Bytes {
    let object = match reply {
        Reply::Welcome { name, room } => {
            format!(r#"{{"event":"welcome","name":"{name}","room":{}}}"#, or_null(room.as_ref()))
        }
        Reply::Joined { room, members, id, may } => {
            let may = may.map_or_else(String::new, may_field);
            format!(r#"{{"event":"you-joined","room":"{room}","members":{members},"id":"{id}"{may}}}"#)
        }
        Reply::Left { room, current } => {
            format!(r#"{{"event":"you-left","room":"{room}","current":{}}}"#, or_null(current.as_ref()))
        }
        Reply::Named { name } => format!(r#"{{"event":"named","name":"{name}"}}"#),
        Reply::Who { room, members, total } => {
            let members = array(members.iter().map(|name| format!(r#""{name}""#)));
            format!(r#"{{"event":"who","room":"{room}","members":{members},"total":{total}}}"#)
        }
        Reply::Rooms { rooms, total } => {
            let room =
                |RoomSummary { name, members }: &RoomSummary| format!(r#"{{"room":"{name}","members":{members}}}"#);
            let rooms = rooms.iter().map(room);
            format!(r#"{{"event":"rooms","rooms":{},"total":{total}}}"#, array(rooms))
        }
        Reply::Direct { from, text } => {
            let mut object = format!(r#"{{"event":"direct","from":"{from}""#).into_bytes();
            let shown = Payload::of(text);
            object.reserve(shown.bytes() + 16);
            shown.put(&mut object);
            object.push(b'}');
            return object.into();
        }
        Reply::History { room, count } => format!(r#"{{"event":"history","room":"{room}","count":{count}}}"#),
        Reply::Published { room, id, time } => {
            let (seq, time) = (id.seq, time::with_milliseconds(*time));
            format!(r#"{{"event":"published","room":"{room}","seq":{seq},"id":"{id}","time":"{time}"}}"#)
        }
        Reply::Formatted { format } => format!(r#"{{"event":"format","format":"{format}"}}"#),
        Reply::Authorized { name, expires } => {
            let name = name.as_ref().map_or_else(String::new, |name| format!(r#","name":"{name}""#));
            format!(r#"{{"event":"authorized"{name}{}}}"#, expires_field(*expires))
        }
        Reply::You { name, authenticated } => {
            let none = Authenticated::default();
            let Authenticated { groups, expires } = authenticated.as_ref().unwrap_or(&none);
            let groups = array(groups.iter().map(|group| format!(r#""{group}""#)));
            let fields = format!(r#""authenticated":{},"groups":{groups}"#, authenticated.is_some());
            format!(r#"{{"event":"you","name":"{name}",{fields}{}}}"#, expires_field(*expires))
        }
        Reply::Ticket { ticket, expires } => {
            format!(r#"{{"event":"ticket","ticket":"{}"{}}}"#, ticket.reveal(), expires_field(Some(*expires)))
        }
        Reply::Clock { milliseconds } => format!(r#"{{"event":"clock","milliseconds":{milliseconds}}}"#),
        Reply::Challenge { cookie } => format!("cookie={cookie}"),
        Reply::Pong => r#"{"event":"pong"}"#.to_owned(),
        Reply::Help => {
            let commands =
                Command::HELP.iter().map(|(usage, text)| format!(r#"{{"usage":"{usage}","text":"{text}"}}"#));
            format!(r#"{{"event":"help","commands":{}}}"#, array(commands))
        }
        Reply::Bye => r#"{"event":"bye"}"#.to_owned(),
    };
    object.into()
}

pub(super) fn failure(failure: &Failure) -> Bytes {
    let mut object = format!(r#"{{"error":"{}","text":"#, failure.code).into_bytes();
    quote(&failure.text, &mut object);
    object.push(b'}');
    object.into()
}

/// Characters of a string that are written in another way: those that drive terminals, too, though JSON would let some of
/// them pass, since the line may be read in one.
const ESCAPED: Table = Table::new(b"\"\\\t");

/// The escape of each ASCII character that has one, and its length.
const ESCAPES: [([u8; 6], u8); 128] = {
    let mut escapes = [([0; 6], 6); 128];
    let mut byte = 0;
    while byte < 128 {
        escapes[byte].0 = escape(byte as u16);
        byte += 1;
    }
    let short = [(b'"', b'"'), (b'\\', b'\\'), (b'\t', b't'), (b'\n', b'n'), (b'\r', b'r')];
    let mut at = 0;
    while at < short.len() {
        escapes[short[at].0 as usize] = ([b'\\', short[at].1, 0, 0, 0, 0], 2);
        at += 1;
    }
    escapes
};

const fn escape(code: u16) -> [u8; 6] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits = [code >> 12, code >> 8 & 15, code >> 4 & 15, code & 15];
    let [first, second, third, fourth] = digits;
    [b'\\', b'u', HEX[first as usize], HEX[second as usize], HEX[third as usize], HEX[fourth as usize]]
}

/// How much longer a string gets at most by each of its bytes.
const LONGER: [u8; 256] = {
    let mut longer = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        if byte < b' ' as usize || byte == b'"' as usize || byte == b'\\' as usize || byte == 0x7f {
            longer[byte] = ESCAPES[byte].1 - 1;
        }
        byte += 1;
    }
    // The first bytes of the others, of which each has two or three, and six in their place.
    (longer[0xc2], longer[0xd8], longer[0xe2]) = (4, 4, 3);
    longer
};

/// A payload as an object has it: its text, or its bytes if they are not UTF-8.
enum Payload<'a> {
    Text(&'a str),
    Base64(&'a [u8]),
}

impl<'a> Payload<'a> {
    fn of(payload: &'a [u8]) -> Self {
        str::from_utf8(payload).map_or(Self::Base64(payload), Self::Text)
    }

    /// Bytes that it takes at most, without its quotes.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => {
                text.len() + text.bytes().map(|byte| usize::from(LONGER[usize::from(byte)])).sum::<usize>()
            }
            Self::Base64(payload) => payload.len().div_ceil(3) * 4,
        }
    }

    /// Appends the last field of an object.
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                out.extend_from_slice(br#","text":"#);
                quote(text, out);
            }
            Self::Base64(payload) => {
                out.extend_from_slice(br#","base64":""#);
                let at = out.len();
                out.resize(at + self.bytes(), 0);
                let Ok(_) = STANDARD.encode_slice(payload, &mut out[at..]) else { unreachable!("4 bytes for each 3") };
                out.push(b'"');
            }
        }
    }
}

/// Appends a JSON string.
fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    ESCAPED.split(text, |run, special| {
        if !run.is_empty() {
            out.extend_from_slice(run);
        }
        match special {
            [] => {}
            [byte] => {
                let (escape, length) = &ESCAPES[usize::from(*byte & 0x7f)];
                out.extend_from_slice(&escape[..usize::from(*length)]);
            }
            _ => {
                let characters = str::from_utf8(special).unwrap_or_default().chars();
                // None of them is above U+FFFF.
                characters.for_each(|character| out.extend_from_slice(&escape(character as u16)));
            }
        }
    });
    out.push(b'"');
}

fn expires_field(expires: Option<SystemTime>) -> String {
    expires.map_or_else(String::new, |time| format!(r#","expires":"{}""#, time::with_milliseconds(time)))
}

/// What one may do in a room that one is in: that one may be there, and may have made it, is known.
fn may_field(rights: Rights) -> String {
    let words = rights.without(Rights::JOIN | Rights::CREATE).words();
    format!(r#","may":{}"#, array(words.map(|word| format!(r#""{word}""#))))
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn or_null(room: Option<&RoomName>) -> String {
    room.map_or_else(|| "null".to_owned(), |room| format!(r#""{room}""#))
}
