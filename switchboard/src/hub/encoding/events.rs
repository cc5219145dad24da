//! Messages as events of their own, for readers that want what was published and nothing around it.

use super::Encoding;
use bytes::Bytes;
use switchboard_proto::{EventStream, Format, Message, Notice};

/// The encoding that makes an event of each payload, with the message's id: a browser's `onmessage` gets what was published, and
/// resumes by `Last-Event-ID`. [`Format::Events`](crate::Format) has objects in its place, which say who published and where.
///
/// A payload that is not UTF-8 is a gap, since events are. Who has lost something is told by an event named `gap`, or `reset` if the room
/// has begun anew, with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainEvents;

impl Encoding<EventStream> for PlainEvents {
    fn message(&self, message: &Message) -> Option<Bytes> {
        let data = EventStream::data(str::from_utf8(&message.payload).ok()?);
        Some([format!("id: {}\n", message.id).as_bytes(), &data].concat().into())
    }

    fn notice(&self, notice: &Notice) -> Option<Bytes> {
        let is_lost = matches!(notice, Notice::Gap { .. } | Notice::Reset { .. } | Notice::Closed { .. });
        is_lost.then(|| Format::Events.notice(notice)).flatten()
    }
}
