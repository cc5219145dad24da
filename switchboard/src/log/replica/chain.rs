//! What a replica knows of its room's log: where it is, and by which envelopes it came there.
//!
//! Each envelope names the one before it by its token. One that fits is the next one; one that does not shows that something is missing in
//! between, or that the log is not the one that was followed.

use super::envelope::{EnvelopeToken, LogEnvelope, Position};
use std::collections::VecDeque;
use switchboard_proto::{Epoch, MessageId};

/// Envelopes whose tokens are remembered, however long a history is: a new epoch behind one of them is known to be newer.
const REMEMBERED: usize = 64;

/// Incarnations that are remembered: none is followed again once it was left.
const EPOCHS: usize = 64;

/// What a message counts in a history beside its payload.
const BESIDE: usize = 200;

/// Where a replica is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogPlace {
    pub(super) epoch: Epoch,
    /// The number of the last message.
    pub(super) seq: u64,
    /// Of the last envelope, and its token.
    pub(super) position: Position,
    pub(super) token: EnvelopeToken,
    /// That one purges: nothing was told since.
    pub(super) is_purged: bool,
}

/// How much of a room's past whoever opens it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryBounds {
    /// Messages.
    pub messages: usize,
    /// Bytes: payloads, and 200 for each.
    pub bytes: usize,
}

/// What an envelope is to whoever is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is known already.
    Known,
    /// The next one.
    Next,
    /// The next one, and an incarnation begins with it.
    Begins,
    /// It belongs further on: those between are missing.
    Ahead,
    /// It is of another log, or what is between shows what it is.
    Strange,
}

struct Passed {
    position: Position,
    token: EnvelopeToken,
    messages: usize,
    bytes: usize,
}

pub(super) struct Chain {
    at: Option<LogPlace>,
    /// The log has nothing of the room any more: what is next is appended behind nothing.
    pub(super) is_emptied: bool,
    /// It had more of it than was shown here, or may have had: which numbers were given is unknown.
    pub(super) lacks_numbers: bool,
    passed: VecDeque<Passed>,
    epochs: VecDeque<Epoch>,
    bounds: HistoryBounds,
    /// A fault that a test has planted.
    #[cfg(test)]
    pub(super) ignores_prev: bool,
}

impl Chain {
    pub(super) fn new(bounds: HistoryBounds) -> Self {
        Self {
            at: None,
            is_emptied: false,
            lacks_numbers: false,
            passed: VecDeque::new(),
            epochs: VecDeque::new(),
            bounds,
            #[cfg(test)]
            ignores_prev: false,
        }
    }

    pub(super) fn at(&self) -> Option<LogPlace> {
        self.at
    }

    /// The last envelope's; 0 before the first.
    pub(super) fn position(&self) -> Position {
        self.at.map_or(Position(0), |at| at.position)
    }

    /// From where on to read what is next, so that it shows whether the log is still the same: the last envelope but one.
    pub(super) fn anchor(&self) -> Position {
        let before = self.passed.len().checked_sub(2).and_then(|place| self.passed.get(place));
        before.map_or(self.position(), |passed| passed.position)
    }

    /// Behind what the next envelope is to be appended.
    pub(super) fn end(&self) -> Position {
        if self.is_emptied { Position(0) } else { self.position() }
    }

    pub(super) fn fit(&self, position: Position, envelope: &LogEnvelope) -> Fit {
        let Some(at) = self.at else { return Fit::Strange };
        let follows = envelope.prev == Some(at.token);
        #[cfg(test)]
        let follows = follows || self.ignores_prev;
        if position <= at.position {
            Fit::Known
        } else if envelope.epoch == at.epoch && follows && envelope.first == at.seq + 1 {
            Fit::Next
        } else if envelope.begins_epoch() && follows && !self.has_been_in(envelope.epoch) {
            Fit::Begins
        } else if envelope.epoch == at.epoch && envelope.first > at.seq + 1 {
            Fit::Ahead
        } else {
            Fit::Strange
        }
    }

    pub(super) fn has_been_in(&self, epoch: Epoch) -> bool {
        self.epochs.contains(&epoch)
    }

    /// Whether an envelope of this name was passed lately.
    pub(super) fn has_passed(&self, token: EnvelopeToken) -> bool {
        self.passed.iter().any(|passed| passed.token == token)
    }

    /// Goes to behind an envelope. Says the point before its messages, if an incarnation is entered by that.
    pub(super) fn step(&mut self, position: Position, envelope: &LogEnvelope) -> Option<MessageId> {
        let is_entered = self.at.is_none_or(|at| at.epoch != envelope.epoch);
        if is_entered {
            self.passed.clear();
            self.epochs.push_back(envelope.epoch);
            self.epochs.drain(..self.epochs.len().saturating_sub(EPOCHS));
        }
        let LogEnvelope { epoch, token, .. } = *envelope;
        self.at = Some(LogPlace { epoch, seq: envelope.last(), position, token, is_purged: envelope.purges() });
        (self.is_emptied, self.lacks_numbers) = (false, false);
        let bytes = envelope.entries.iter().map(|entry| entry.payload.len() + BESIDE).sum();
        self.passed.push_back(Passed { position, token, messages: envelope.entries.len(), bytes });
        let needed = self.needed();
        let spare = self.passed.len().saturating_sub(needed.max(REMEMBERED));
        self.passed.drain(..spare);
        is_entered.then_some(MessageId { epoch, seq: envelope.first - 1 })
    }

    /// Forgets where it is: what the log has is entered anew, whatever it is.
    pub(super) fn leave(&mut self) {
        self.at = None;
        (self.is_emptied, self.lacks_numbers) = (false, false);
    }

    /// How many of the last envelopes a history needs.
    fn needed(&self) -> usize {
        let (mut messages, mut bytes, mut needed) = (0, 0, 0);
        for passed in self.passed.iter().rev() {
            if messages >= self.bounds.messages || bytes >= self.bounds.bytes {
                break;
            }
            messages += passed.messages;
            bytes += passed.bytes;
            needed += 1;
        }
        needed
    }

    /// The oldest envelope that a history needs; 0 if that is the next one.
    pub(super) fn back(&self) -> Position {
        let oldest = self.passed.len().checked_sub(self.needed()).and_then(|first| self.passed.get(first));
        oldest.map_or(Position(0), |passed| passed.position)
    }
}
