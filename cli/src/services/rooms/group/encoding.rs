//! How what a room says is written for a group: each message is one datagram, and nobody is told who comes and goes.

use super::relayed::Seen;
use bytes::Bytes;
use std::sync::Arc;
use switchboard::grammar::{Message, Notice};
use switchboard::{Codec as _, Datagrams, Encoding, Format};

/// One listener's.
#[derive(Debug, Clone)]
pub(super) struct ForGroup {
    pub(super) format: Format,
    /// The longest datagram.
    pub(super) datagram_bytes: usize,
    /// What came from other groups goes on as it came.
    pub(super) relayed: Option<Arc<Seen>>,
    /// Nothing is sent there.
    pub(super) is_deaf: bool,
}

impl PartialEq for ForGroup {
    fn eq(&self, other: &Self) -> bool {
        let seen = |one: &Self| one.relayed.as_ref().map(Arc::as_ptr);
        (self.format, self.datagram_bytes, self.is_deaf, seen(self))
            == (other.format, other.datagram_bytes, other.is_deaf, seen(other))
    }
}

impl ForGroup {
    /// An object's or a line's datagram.
    fn datagram(&self, mut text: Vec<u8>) -> Bytes {
        if self.format == Format::Text {
            text.extend_from_slice(Datagrams::TEXT_END);
        }
        text.into()
    }
}

impl Encoding<Datagrams> for ForGroup {
    fn message(&self, message: &Message) -> Option<Bytes> {
        let goes_on = |seen: &Arc<Seen>| seen.is_relayed(&message.payload);
        let datagram = if self.format == Format::Raw || self.relayed.as_ref().is_some_and(goes_on) {
            message.payload.clone()
        } else {
            let mut text = Vec::new();
            self.format.message(message, &mut text);
            self.datagram(text)
        };
        (!self.is_deaf && datagram.len() <= self.datagram_bytes).then_some(datagram)
    }

    /// A gap, also of what is too long: nothing else is anybody's there.
    fn notice(&self, notice: &Notice) -> Option<Bytes> {
        let Notice::Gap { .. } = notice else { return None };
        let told = self.format.notice(notice).filter(|_| !self.is_deaf)?;
        Some(self.datagram(told.into()))
    }
}
