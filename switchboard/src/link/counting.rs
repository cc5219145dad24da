//! What goes through one connection, and whether its socket takes more: counted for itself, and for its worker and listener.

use super::{BLOCKED, Link, Protocol};
use crate::metrics::{Lane, bump};
use std::sync::atomic::{AtomicU64, Ordering};

/// What went through.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) frames_in: AtomicU64,
    pub(crate) frames_out: AtomicU64,
}

impl Link {
    /// Counts frames that are queued or written.
    #[inline]
    pub(super) fn sent(&self, lane: Lane, frames: usize) {
        bump(&self.traffic.frames_out, frames as u64);
        self.tick.counts.queued(lane, self.carrier(), frames as u64);
    }

    /// Counts bytes that the socket has taken.
    #[inline]
    pub(super) fn took(&self, lane: Lane, bytes: u64) {
        bump(&self.traffic.bytes_out, bytes);
        self.tick.counts.wrote(lane, self.carrier(), bytes);
    }

    /// Counts bytes that came in.
    #[inline]
    pub(super) fn came(&self, bytes: u64) {
        bump(&self.traffic.bytes_in, bytes);
        self.tick.counts.received(self.carrier(), bytes);
    }

    /// Counts frames that the handler has.
    #[inline]
    pub(super) fn handled(&self, frames: u64) {
        bump(&self.traffic.frames_in, frames);
        self.tick.counts.handled(self.carrier(), frames);
    }

    /// The socket takes no more: the task goes on writing.
    pub(super) fn block(&self) {
        if self.attention.fetch_or(BLOCKED, Ordering::Release) & BLOCKED == 0 {
            self.tick.counts.blocked(1);
        }
    }

    /// It has taken all.
    pub(super) fn unblock(&self) {
        if self.attention.fetch_and(!BLOCKED, Ordering::Release) & BLOCKED != 0 {
            self.tick.counts.blocked(-1);
        }
    }

    /// What it carries from now on is a WebSocket's.
    #[cold]
    pub(super) fn becomes_websocket(&self) {
        let counts = &self.listener.counts;
        let carrier = counts.spoken_number(true);
        // Relaxed: which counters are used guards nothing.
        if self.carrier.swap(carrier, Ordering::Relaxed) != carrier {
            counts.opened(false, -1);
            counts.opened(true, 1);
        }
    }

    /// Which transport it counts for: once a WebSocket, it is one to its end.
    #[inline]
    pub(crate) fn carrier(&self) -> u8 {
        // Relaxed: which counters are used guards nothing.
        self.carrier.load(Ordering::Relaxed)
    }

    /// It is open no longer. Called once.
    pub(crate) fn gone(&self) {
        let counts = &self.listener.counts;
        counts.opened(self.carrier() != counts.spoken_number(false), -1);
        self.unblock();
    }

    /// Its transport, as the scheme of a URL.
    pub(crate) fn transport(&self) -> &'static str {
        self.listener.counts.spoken(self.is_speaking(Protocol::WebSocket))
    }
}
