//! The last messages of a room, for those who come later or come back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;
use switchboard_proto::Message;

/// Bounded in messages and in bytes; the oldest go.
#[derive(Default)]
pub(super) struct History {
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
}

impl History {
    /// Keeps `message`, and as many before it as the bounds allow. Says by how many bytes it has grown.
    #[expect(clippy::inline_always, reason = "a call of its own is 0.5 % of a publication")]
    #[inline(always)]
    pub(super) fn push(&mut self, message: Arc<Message>, messages: usize, bytes: usize) -> isize {
        let before = self.bytes;
        self.bytes += kept_bytes(&message);
        self.messages.push_back(message);
        self.trim(messages, bytes);
        self.bytes.cast_signed() - before.cast_signed()
    }

    /// Drops the oldest beyond the bounds. Says by how many bytes it has shrunk.
    pub(super) fn trim(&mut self, messages: usize, bytes: usize) -> usize {
        let before = self.bytes;
        while self.messages.len() > messages || self.bytes > bytes {
            if !self.drop_oldest() {
                break;
            }
        }
        before - self.bytes
    }

    /// Drops those that were published before `oldest`. Says by how many bytes it has shrunk.
    pub(super) fn forget_before(&mut self, oldest: SystemTime) -> usize {
        let before = self.bytes;
        while self.messages.front().is_some_and(|message| message.time < oldest) {
            self.drop_oldest();
        }
        before - self.bytes
    }

    /// Drops those up to number `seq`. Says by how many bytes it has shrunk.
    pub(super) fn purge(&mut self, seq: u64) -> usize {
        let before = self.bytes;
        while self.messages.front().is_some_and(|message| message.id.seq <= seq) {
            self.drop_oldest();
        }
        self.messages.shrink_to_fit();
        before - self.bytes
    }

    /// Drops the older half. Says by how many bytes it has shrunk.
    pub(super) fn halve(&mut self) -> usize {
        let before = self.bytes;
        for _ in 0..self.messages.len().div_ceil(2) {
            self.drop_oldest();
        }
        self.messages.shrink_to_fit();
        before - self.bytes
    }

    fn drop_oldest(&mut self) -> bool {
        let oldest = self.messages.pop_front();
        if let Some(oldest) = &oldest {
            self.bytes -= kept_bytes(oldest);
        }
        oldest.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The messages behind number `seq`.
    pub(super) fn since(&self, seq: u64) -> impl Iterator<Item = &Arc<Message>> {
        // Numbers have no holes, so the place of one follows from the first.
        let first = self.messages.front().map_or(0, |message| message.id.seq);
        let skip = usize::try_from((seq + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        self.messages.iter().skip(skip)
    }

    /// The number of the first message that it keeps, where `seq` is that of the last one published.
    pub(super) fn first(&self, seq: u64) -> u64 {
        self.messages.front().map_or(seq + 1, |message| message.id.seq)
    }

    /// The last `count` messages.
    pub(super) fn last(&self, count: usize) -> impl Iterator<Item = &Arc<Message>> {
        self.messages.iter().skip(self.messages.len().saturating_sub(count))
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Two counters each, for a message and its payload, and the heads of their allocations; a place in a list.
const BESIDE: usize = 2 * (2 * size_of::<usize>() + 16) + size_of::<usize>();

/// What a message without a payload counts as.
pub(super) const LEAST_BYTES: usize = size_of::<Message>() + BESIDE;

/// Bytes that a message keeps alive, with what its allocations and its place in a list take beside it, and a name of its own.
pub(super) fn kept_bytes(message: &Message) -> usize {
    LEAST_BYTES + message.payload.len()
}
