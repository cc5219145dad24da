//! What goes over a transport, or through one connection.

use std::sync::atomic::{AtomicU64, Ordering};

/// Its counters.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) frames_in: AtomicU64,
    pub(crate) frames_out: AtomicU64,
}

/// What has gone over one transport since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TransportTraffic {
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes that sockets have taken.
    pub bytes_out: u64,
    /// Frames given to handlers.
    pub frames_in: u64,
    /// Frames queued or written.
    pub frames_out: u64,
}

impl Traffic {
    /// What they have come to.
    pub(crate) fn now(&self) -> TransportTraffic {
        // Relaxed: statistics, which guard no other memory.
        TransportTraffic {
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            frames_in: self.frames_in.load(Ordering::Relaxed),
            frames_out: self.frames_out.load(Ordering::Relaxed),
        }
    }
}

impl TransportTraffic {
    pub(super) fn add(&mut self, other: &Self) {
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.frames_in += other.frames_in;
        self.frames_out += other.frames_out;
    }
}
