//! The last messages of a room, for those who come later or come back.

use std::collections::VecDeque;
use std::sync::Arc;
use switchboard_proto::Message;

/// Bounded in messages and in payload bytes; the oldest go.
#[derive(Default)]
pub(super) struct History {
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
}

impl History {
    /// Keeps `message`, and as many before it as the bounds allow. Says by how many bytes it has grown.
    pub(super) fn push(&mut self, message: Arc<Message>, messages: usize, bytes: usize) -> isize {
        let before = self.bytes;
        self.bytes += message.payload.len();
        self.messages.push_back(message);
        while self.messages.len() > messages || self.bytes > bytes {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.bytes -= oldest.payload.len();
        }
        self.bytes.cast_signed() - before.cast_signed()
    }

    /// The messages behind number `seq`.
    pub(super) fn since(&self, seq: u64) -> impl DoubleEndedIterator<Item = &Arc<Message>> {
        // Numbers have no holes, so the place of one follows from the first.
        let first = self.messages.front().map_or(0, |message| message.id.seq);
        let skip = usize::try_from((seq + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        self.messages.iter().skip(skip)
    }

    /// The last `count` messages.
    pub(super) fn last(&self, count: usize) -> impl Iterator<Item = &Arc<Message>> {
        self.messages.iter().skip(self.messages.len().saturating_sub(count))
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
