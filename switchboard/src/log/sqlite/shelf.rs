//! What the log has of one room, in numbers.

pub(super) use crate::log::BESIDE;
use crate::log::Retention;
use switchboard_proto::{Epoch, MessageId};

/// Of a bound, one part in so many may be exceeded before the oldest go: several at a time, which changes fewer pages.
const SLACK: u64 = 8;

/// One room. The messages that it has are those behind `gone`, up to `last`.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    /// Its row.
    pub(super) id: i64,
    pub(super) epoch: Epoch,
    pub(super) last: u64,
    /// Bytes of the payloads of all messages that it ever had, up to the last.
    pub(super) last_sum: u64,
    /// The last one that it has no more.
    pub(super) gone: u64,
    /// As `last_sum`, up to that.
    pub(super) gone_sum: u64,
}

impl Shelf {
    pub(super) fn last_id(&self) -> MessageId {
        MessageId { epoch: self.epoch, seq: self.last }
    }

    pub(super) fn messages(&self) -> u64 {
        self.last - self.gone
    }

    /// Bytes that its messages take.
    pub(super) fn bytes(&self) -> u64 {
        (self.last_sum - self.gone_sum) + BESIDE * self.messages()
    }

    /// Whether it has enough too much for the oldest to go.
    pub(super) fn is_overfull(&self, keep: Retention) -> bool {
        let is_over = |has: u64, most: Option<usize>| most.is_some_and(|most| has > most as u64 + most as u64 / SLACK);
        is_over(self.messages(), keep.messages) || is_over(self.bytes(), keep.bytes)
    }

    /// Whether message `seq`, up to which `sum` bytes were published, is beyond what is kept.
    pub(super) fn is_beyond(&self, seq: u64, sum: u64, length: u64, keep: Retention) -> bool {
        let behind = self.last - seq;
        let bytes = (self.last_sum - sum + length) + BESIDE * (behind + 1);
        keep.messages.is_some_and(|most| behind >= most as u64) || keep.bytes.is_some_and(|most| bytes > most as u64)
    }
}
