//! What goes through one connection, and whether its socket takes more: counted for itself, and for its worker and listener.

use super::{BLOCKED, Link, Protocol};
use crate::metrics::{Lane, bump};
use std::sync::atomic::Ordering;
use switchboard_proto::Second;

/// What waits for a socket.
pub(crate) struct AtSocket {
    pub(crate) bytes: usize,
    pub(crate) frames: usize,
    pub(crate) blocked_since: Option<Second>,
}

impl Link {
    /// Counts frames that are queued or written.
    #[inline]
    pub(super) fn sent(&self, lane: Lane, frames: usize) {
        bump(&self.traffic.frames_out, frames as u64);
        self.tick.counts.queued(lane, self.carrier(), frames as u64);
    }

    /// Counts messages that it lost by the policy with this number: the tick alone does that.
    pub(crate) fn lost(&self, policy: usize, messages: u64) {
        self.tick.counts.lost(policy, messages);
        let lost = self.lost_count();
        self.lost_messages.store(lost.saturating_add(u32::try_from(messages).unwrap_or(u32::MAX)), Ordering::Relaxed);
    }

    /// How many messages it has lost.
    pub(crate) fn lost_count(&self) -> u32 {
        self.lost_messages.load(Ordering::Relaxed)
    }

    /// What waits for its socket.
    pub(crate) fn held(&self) -> AtSocket {
        let state = self.state.lock();
        let (bytes, frames) = state.outbox.waiting();
        AtSocket { bytes, frames, blocked_since: state.outbox.blocked_since() }
    }

    /// How many subscriptions deliver to it.
    pub(crate) fn subscription_count(&self) -> usize {
        self.subscriptions.load(Ordering::Relaxed) as usize
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

    /// Bytes that the budget counts for this connection.
    pub(crate) fn charged_bytes(&self) -> usize {
        self.state.lock().charged_bytes()
    }

    /// Whole seconds since anything went through.
    pub(crate) fn quiet_seconds(&self) -> Second {
        self.tick.now().saturating_sub(self.last.load(Ordering::Relaxed))
    }
}
