//! What one worker counts: two lanes of counters, each on cache lines of its own.
//!
//! One is the tick's, which alone writes to it, so that a delivery costs two plain instructions for each counter. The other is
//! everybody else's: handlers as a rule run on the worker, but a connection may be moved to any thread.

use super::histogram::{Durations, Histogram};
use super::traffic::{Traffic, TransportTraffic};
use super::{Count, TRANSPORTS};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// From the first post of a tick to when all of it was offered to the sockets.
const FANOUT_BOUNDS: &[Duration] = &[
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
];

/// Policies by which a message may be lost.
pub(crate) const LOSSES: usize = 5;

/// Whose counters something goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Called by the worker's tick, and by nothing else.
    Tick,
    Tasks,
}

/// Counters of one worker.
#[derive(Debug)]
pub(crate) struct WorkerCounts {
    tick: Counters,
    tasks: Counters,
    pub(crate) fanout_delay: Histogram,
    pub(crate) late_ticks: Count,
    /// When its sweep ran last.
    pub(crate) swept: Mutex<Instant>,
    /// Blocked outboxes: it falls as well, and may be negative for a moment in one worker's view.
    pub(super) blocked: AtomicU64,
}

/// 128: processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counters {
    carried: [Traffic; TRANSPORTS.len()],
    deliveries: AtomicU64,
    lost: [AtomicU64; LOSSES],
}

/// What a worker's counters came to, to be added up.
#[derive(Debug, Clone)]
pub(super) struct Sums {
    pub(super) carried: [TransportTraffic; TRANSPORTS.len()],
    pub(super) deliveries: u64,
    pub(super) lost: [u64; LOSSES],
    pub(super) fanout_delay: Durations,
}

impl Default for WorkerCounts {
    fn default() -> Self {
        Self {
            tick: Counters::default(),
            tasks: Counters::default(),
            fanout_delay: Histogram::new(FANOUT_BOUNDS),
            late_ticks: Count::default(),
            swept: Mutex::new(Instant::now()),
            blocked: AtomicU64::new(0),
        }
    }
}

impl WorkerCounts {
    #[inline]
    fn add(&self, lane: Lane, by: u64, counter: impl Fn(&Counters) -> &AtomicU64) {
        // Relaxed: statistics, which guard no other memory.
        match lane {
            Lane::Tick => bump(counter(&self.tick), by),
            Lane::Tasks => _ = counter(&self.tasks).fetch_add(by, Ordering::Relaxed),
        }
    }

    #[inline]
    pub(crate) fn received(&self, transport: u8, bytes: u64) {
        self.add(Lane::Tasks, bytes, |all| &all.carried[usize::from(transport)].bytes_in);
    }

    #[inline]
    pub(crate) fn handled(&self, transport: u8, frames: u64) {
        self.add(Lane::Tasks, frames, |all| &all.carried[usize::from(transport)].frames_in);
    }

    #[inline]
    pub(crate) fn wrote(&self, lane: Lane, transport: u8, bytes: u64) {
        self.add(lane, bytes, |all| &all.carried[usize::from(transport)].bytes_out);
    }

    #[inline]
    pub(crate) fn queued(&self, lane: Lane, transport: u8, frames: u64) {
        self.add(lane, frames, |all| &all.carried[usize::from(transport)].frames_out);
    }

    /// Messages were delivered, which the tick alone does.
    pub(crate) fn delivered(&self, messages: u64) {
        bump(&self.tick.deliveries, messages);
    }

    /// Messages were lost to members by the policy with this number, which the tick alone sees to.
    pub(crate) fn lost(&self, policy: usize, messages: u64) {
        bump(&self.tick.lost[policy], messages);
    }

    /// An outbox is blocked from now on, or is no longer.
    pub(crate) fn blocked(&self, by: i64) {
        self.blocked.fetch_add(by.cast_unsigned(), Ordering::Relaxed);
    }

    pub(super) fn sums(&self) -> Sums {
        let mut sums = Sums {
            carried: Default::default(),
            deliveries: 0,
            lost: [0; LOSSES],
            fanout_delay: self.fanout_delay.durations(),
        };
        for counters in [&self.tick, &self.tasks] {
            for (sum, carried) in sums.carried.iter_mut().zip(&counters.carried) {
                sum.add(&carried.now());
            }
            sums.deliveries += counters.deliveries.load(Ordering::Relaxed);
            for (sum, lost) in sums.lost.iter_mut().zip(&counters.lost) {
                *sum += lost.load(Ordering::Relaxed);
            }
        }
        sums
    }
}

impl Sums {
    pub(super) fn add(&mut self, other: &Self) {
        for (sum, carried) in self.carried.iter_mut().zip(&other.carried) {
            sum.add(carried);
        }
        self.deliveries += other.deliveries;
        for (sum, lost) in self.lost.iter_mut().zip(&other.lost) {
            *sum += lost;
        }
        self.fanout_delay.add(&other.fanout_delay);
    }
}

/// Adds to a counter that one thread at a time writes: two plain instructions, where a locked one takes 5 ns.
#[inline]
pub(crate) fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}
