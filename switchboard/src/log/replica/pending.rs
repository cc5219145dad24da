//! What a replica is to publish: entries that wait, and the one envelope that is under way.
//!
//! Bounded. Entries keep their order, whatever becomes of the envelopes that they were in.

use super::envelope::{LogEntry, LogEnvelope, Position};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// What may wait of one room. Over it, publishing fails.
pub(super) const PENDING_ENTRIES: usize = 4096;
pub(super) const PENDING_BYTES: usize = 1 << 20;

/// How long a publication waits for the log before its publisher is told that it failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A publication, as whoever asked for it knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// An entry that is not in the log yet.
pub(super) struct Item {
    pub(super) ticket: Ticket,
    pub(super) entry: LogEntry,
    /// Since when.
    pub(super) since: Duration,
}

/// Where an envelope is that was handed to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handed {
    /// It is not answered yet.
    Asked,
    /// It is handed over again, the same, at this time, unless its place is taken before.
    Again(Duration),
    /// Its place seems to be taken, perhaps by itself: reading shows by what.
    Passed,
}

/// An envelope that was handed to the log.
pub(super) struct Flight {
    pub(super) envelope: LogEnvelope,
    pub(super) bytes: Bytes,
    pub(super) after: Position,
    /// Its entries, unless their publishers were told that they failed.
    pub(super) items: Vec<Item>,
    pub(super) sent: Handed,
}

#[derive(Default)]
pub(super) struct Pending {
    items: VecDeque<Item>,
    bytes: usize,
}

/// Too much waits already, or it is too long for any envelope: nothing of it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more waits for the log than may")]
pub struct PendingFull;

impl Pending {
    /// Takes all of it or nothing; `beside` entries and bytes are under way.
    pub(super) fn push(&mut self, items: Vec<Item>, beside: (usize, usize)) -> Result<(), PendingFull> {
        let bytes: usize = items.iter().map(|item| item.entry.bytes()).sum();
        let is_full = self.items.len() + items.len() + beside.0 > PENDING_ENTRIES
            || self.bytes + bytes + beside.1 > PENDING_BYTES.max(bytes);
        if is_full || !items.iter().all(|item| item.entry.fits()) {
            return Err(PendingFull);
        }
        self.bytes += bytes;
        self.items.extend(items);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// As many as go into one envelope.
    pub(super) fn next(&mut self) -> Vec<Item> {
        let count = LogEnvelope::capacity(self.items.iter().map(|item| &item.entry));
        let next: Vec<_> = self.items.drain(..count).collect();
        self.bytes -= bytes_of(&next);
        next
    }

    /// Takes back what was to be next: it is again.
    pub(super) fn take_back(&mut self, items: Vec<Item>) {
        self.bytes += bytes_of(&items);
        for item in items.into_iter().rev() {
            self.items.push_front(item);
        }
    }

    /// Those that have waited for too long.
    pub(super) fn overdue(&mut self, now: Duration) -> Vec<Ticket> {
        let count = self.items.iter().take_while(|item| item.since + PATIENCE <= now).count();
        let overdue: Vec<_> = self.items.drain(..count).collect();
        self.bytes -= bytes_of(&overdue);
        overdue.into_iter().map(|item| item.ticket).collect()
    }

    /// Since when the first one waits.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.items.front().map(|item| item.since)
    }
}

impl Flight {
    /// Entries and bytes of it.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.items.len(), bytes_of(&self.items))
    }

    /// Its publications, if they have waited for too long.
    pub(super) fn overdue(&mut self, now: Duration) -> Vec<Ticket> {
        let is_overdue = self.items.first().is_some_and(|item| item.since + PATIENCE <= now);
        let items = if is_overdue { std::mem::take(&mut self.items) } else { Vec::new() };
        items.into_iter().map(|item| item.ticket).collect()
    }
}

fn bytes_of(items: &[Item]) -> usize {
    items.iter().map(|item| item.entry.bytes()).sum()
}
