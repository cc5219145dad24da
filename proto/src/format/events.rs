//! Server-Sent Events: the objects of `json`, each behind the fields that a browser's `EventSource` reads.
//!
//! A message has its id, so that `Last-Event-ID` resumes; whatever else is told has the name of its event instead. The id
//! to go on from also comes with a join and with a reset, of which there may be no message for long; all others leave it. The empty line that ends an event is the codec's ([`EventStream`](crate::EventStream)).

use super::json;
use crate::{Failure, Message, MessageId, Notice, Reply};
use bytes::Bytes;
use std::io::Write as _;

/// How the object of every notice and answer begins.
const NAMED: &[u8] = br#"{"event":""#;

pub(super) fn message(message: &Message, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail. An object is one line, so that one `data` holds it.
    let _ = write!(out, "id: {}\ndata: ", message.id);
    json::message(message, out);
}

pub(super) fn notice(notice: &Notice) -> Bytes {
    let event = event(&json::notice(notice));
    match notice {
        Notice::Reset { epoch, .. } => at(MessageId { epoch: *epoch, seq: 0 }, &event),
        _ => event,
    }
}

pub(super) fn reply(reply: &Reply) -> Bytes {
    let event = event(&json::reply(reply));
    match reply {
        Reply::Joined { id, .. } => at(*id, &event),
        _ => event,
    }
}

pub(super) fn failure(failure: &Failure) -> Bytes {
    // Not `error`, which `EventSource` calls its own.
    named(b"failure", &json::failure(failure))
}

/// An event behind which the reader goes on.
fn at(id: MessageId, event: &[u8]) -> Bytes {
    [format!("id: {id}\n").as_bytes(), event].concat().into()
}

fn event(object: &[u8]) -> Bytes {
    let name = object.strip_prefix(NAMED).and_then(|rest| rest.split(|byte| *byte == b'"').next());
    named(name.unwrap_or(b"message"), object)
}

fn named(name: &[u8], object: &[u8]) -> Bytes {
    [b"event: ", name, b"\ndata: ", object].concat().into()
}
