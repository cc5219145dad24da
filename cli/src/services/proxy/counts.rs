//! What is counted of upstreams, and which connections are pairs, for whoever watches.
//!
//! Numbers alone: who gets a connection is decided in `choice.rs`.

use std::sync::atomic::{AtomicU64, Ordering};

/// Of one upstream, since the start.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) connections: Grown,
    pub(super) failures: Grown,
    pub(super) checks_passed: Grown,
    pub(super) checks_failed: Grown,
    pub(super) bytes_to: Grown,
    pub(super) bytes_from: Grown,
}

/// One that only grows.
#[derive(Debug, Default)]
pub(super) struct Grown(AtomicU64);

impl Grown {
    pub(super) fn add(&self, more: u64) {
        // Relaxed: numbers to be shown, which guard nothing; so below.
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upstreams of one listener as they are now.
#[derive(Debug, Clone)]
pub(crate) struct PoolFigures {
    /// Where the listener can be reached.
    pub(crate) name: String,
    /// Clients that wait for a place.
    pub(crate) waiting: usize,
    /// Clients that were reset, by why.
    pub(crate) unconnected: [(&'static str, u64); 4],
    pub(crate) upstreams: Vec<UpstreamFigures>,
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamFigures {
    /// As it was typed.
    pub(crate) url: String,
    pub(crate) state: State,
    pub(crate) open: usize,
    /// The most that may be.
    pub(crate) limit: Option<usize>,
    pub(crate) connections: u64,
    pub(crate) failures: u64,
    pub(crate) checks_passed: u64,
    pub(crate) checks_failed: u64,
    pub(crate) bytes_to: u64,
    pub(crate) bytes_from: u64,
}

/// Whether connections are passed on to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    In,
    /// They are, but only because no other one is in: it could not be connected to, or does not pass its check.
    Failing,
    /// Taken out for a while, as it could not be connected to.
    Out,
    /// Taken out until it passes its check.
    Down,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Failing => "failing",
            Self::Out => "out",
            Self::Down => "down",
        }
    }
}
