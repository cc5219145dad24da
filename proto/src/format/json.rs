//! Objects for programs, one a line. Nothing of a payload is lost.
//!
//! Field order is part of the form: a message begins with `room`, a notice or answer with `event`, an error with
//! `error`. Names and codes need no escape; what peers and errors say is quoted.

use super::is_forbidden;
use crate::{Command, Failure, Message, Notice, Reply, RoomName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

/// The last second that RFC 3339 can write: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

pub(super) fn message(message: &Message, out: &mut Vec<u8>) {
    let Message { room, id, time, from, payload } = message;
    // The fields' names and fixed-size values come to less than 160 bytes.
    out.reserve(160 + room.as_str().len() + payload.len());
    let time = rfc3339(*time);
    // Writing to a Vec cannot fail.
    let _ = write!(out, r#"{{"room":"{room}","seq":{},"id":"{id}","time":"{time}","from":"#, id.seq);
    match from {
        Some(from) => quote(from.as_str(), out),
        None => out.extend_from_slice(b"null"),
    }
    put_payload(payload, out);
    out.push(b'}');
}

pub(super) fn notice(notice: &Notice) -> Bytes {
    let object = match notice {
        Notice::Joined { room, name } => format!(r#"{{"event":"joined","room":"{room}","name":"{name}"}}"#),
        Notice::Left { room, name } => format!(r#"{{"event":"left","room":"{room}","name":"{name}"}}"#),
        Notice::Presence { room, joined, left, members } => {
            format!(r#"{{"event":"presence","room":"{room}","joined":{joined},"left":{left},"members":{members}}}"#)
        }
        Notice::Renamed { room, from, to } => {
            format!(r#"{{"event":"renamed","room":"{room}","from":"{from}","to":"{to}"}}"#)
        }
        Notice::Gap { room, lost, from_seq } => {
            format!(r#"{{"event":"gap","room":"{room}","lost":{lost},"from_seq":{from_seq}}}"#)
        }
        Notice::Reset { room, epoch } => format!(r#"{{"event":"reset","room":"{room}","epoch":"{epoch}"}}"#),
        Notice::Closed { reason } => format!(r#"{{"event":"closed","reason":"{reason}"}}"#),
    };
    object.into()
}

pub(super) fn reply(reply: &Reply) -> Bytes {
    let object = match reply {
        Reply::Welcome { name, room } => {
            format!(r#"{{"event":"welcome","name":"{name}","room":{}}}"#, or_null(room.as_ref()))
        }
        Reply::Joined { room, members, id } => {
            format!(r#"{{"event":"you-joined","room":"{room}","members":{members},"id":"{id}"}}"#)
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
            let rooms = rooms.iter().map(|(room, members)| format!(r#"{{"room":"{room}","members":{members}}}"#));
            format!(r#"{{"event":"rooms","rooms":{},"total":{total}}}"#, array(rooms))
        }
        Reply::Direct { from, text } => {
            let mut object = format!(r#"{{"event":"direct","from":"{from}""#).into_bytes();
            put_payload(text, &mut object);
            object.push(b'}');
            return object.into();
        }
        Reply::History { room, count } => format!(r#"{{"event":"history","room":"{room}","count":{count}}}"#),
        Reply::Published { room, id, time } => {
            let (seq, time) = (id.seq, rfc3339(*time));
            format!(r#"{{"event":"published","room":"{room}","seq":{seq},"id":"{id}","time":"{time}"}}"#)
        }
        Reply::Formatted { format } => format!(r#"{{"event":"format","format":"{format}"}}"#),
        Reply::Authorized => r#"{"event":"authorized"}"#.to_owned(),
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

/// The last field of an object: a payload's text, or its bytes if they are not UTF-8.
fn put_payload(payload: &[u8], out: &mut Vec<u8>) {
    if let Ok(text) = str::from_utf8(payload) {
        out.extend_from_slice(br#","text":"#);
        quote(text, out);
    } else {
        out.extend_from_slice(br#","base64":""#);
        out.extend_from_slice(STANDARD.encode(payload).as_bytes());
        out.push(b'"');
    }
}

/// Appends a JSON string. What `text` replaces is escaped here, though JSON would let some of it pass: the line may
/// be read in a terminal.
fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut copied = 0;
    for (at, character) in text.char_indices() {
        let escape = match character {
            '"' | '\\' => format!("\\{character}"),
            '\t' => "\\t".to_owned(),
            '\n' => "\\n".to_owned(),
            '\r' => "\\r".to_owned(),
            // None of them is above U+FFFF.
            _ if is_forbidden(character) => format!("\\u{:04x}", u32::from(character)),
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[copied..at]);
        out.extend_from_slice(escape.as_bytes());
        copied = at + character.len_utf8();
    }
    out.extend_from_slice(&text.as_bytes()[copied..]);
    out.push(b'"');
}

/// UTC with milliseconds; what the form cannot write becomes the nearest that it can.
fn rfc3339(time: SystemTime) -> humantime::Rfc3339Timestamp {
    let first = SystemTime::UNIX_EPOCH;
    humantime::format_rfc3339_millis(time.clamp(first, first + Duration::from_secs(LAST_SECOND)))
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn or_null(room: Option<&RoomName>) -> String {
    room.map_or_else(|| "null".to_owned(), |room| format!(r#""{room}""#))
}
