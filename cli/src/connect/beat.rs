//! Over UDP nobody sees that the other is gone. A join that is repeated keeps our seat, and tells whether we have one: a
//! member is told so, a stranger gets a cookie.

use std::time::Duration;
use tokio::time::Instant;

/// Between two joins: seats last for 5 minutes, but the way back through a router's address translation for 30 s only.
const INTERVAL: Duration = Duration::from_secs(20);

/// How long an answer may take, and how many may be missing one after the other: the network loses some.
const ANSWER: Duration = Duration::from_secs(2);
const MOST_MISSING: u32 = 4;

/// A server that has said nothing for so long is asked before something is said to it.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Beat {
    /// When to ask, or to ask again.
    pub(super) due: Instant,
    heard: Instant,
    missing: u32,
}

impl Beat {
    pub(super) fn new(now: Instant) -> Self {
        Self { due: now + INTERVAL, heard: now, missing: 0 }
    }

    pub(super) fn asked(&mut self, now: Instant) {
        self.missing += 1;
        self.due = now + ANSWER;
    }

    pub(super) fn is_asking(&self) -> bool {
        self.missing > 0
    }

    /// It is time to ask once more, and nobody answers.
    pub(super) fn is_silent(&self) -> bool {
        self.missing == MOST_MISSING
    }

    /// Something has come.
    pub(super) fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(super) fn answered(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// Whether what is said now may be said to a server that does not know us any more. It is asked at once.
    pub(super) fn doubts(&mut self, now: Instant) -> bool {
        let doubts = !self.is_asking() && now > self.heard + FRESH;
        if doubts {
            self.due = now;
        }
        doubts
    }
}
