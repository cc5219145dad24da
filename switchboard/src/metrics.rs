//! What a server counts. Counters only grow.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use switchboard_proto::{Bucket, CloseReason, Rate};
use tokio::time::Instant;

/// Log lines about abnormal ends: this many a second are read by a person, more only fill a disk.
const ABNORMAL_LINES: (u32, u32) = (10, 20);

/// Counters of one server. Each is atomic by itself; together they are a consistent snapshot only while nothing
/// happens.
#[derive(Debug)]
pub struct Metrics {
    /// Connections accepted, excluding refused ones.
    pub accepted: Count,
    /// Connections refused because of a limit.
    pub refused: Count,
    /// How often accepting had to wait: for descriptors or memory, or for TLS handshakes to end.
    pub accept_waits: Count,
    /// Ticks that came more than 100 ms late: a handler blocked its worker.
    pub late_ticks: Count,
    /// Datagrams received.
    pub datagrams_in: Count,
    /// Datagrams sent.
    pub datagrams_out: Count,
    /// Datagrams deliberately not answered: see [`DatagramLimits`](crate::DatagramLimits).
    pub datagrams_refused: Count,
    /// Datagrams that the socket did not take.
    pub datagrams_lost: Count,
    /// Datagrams from peers whose connections had not read earlier ones.
    pub datagrams_dropped: Count,
    closed: [Count; CloseReason::ALL.len()],
    abnormal: Mutex<Lines>,
}

/// A number that grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The number now.
    pub fn get(&self) -> u64 {
        // Relaxed: a statistic guards no other memory.
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Lines {
    since: Instant,
    bucket: Bucket,
    withheld: u64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            accepted: Count::default(),
            refused: Count::default(),
            accept_waits: Count::default(),
            late_ticks: Count::default(),
            datagrams_in: Count::default(),
            datagrams_out: Count::default(),
            datagrams_refused: Count::default(),
            datagrams_lost: Count::default(),
            datagrams_dropped: Count::default(),
            closed: Default::default(),
            abnormal: Mutex::new(Lines { since: Instant::now(), bucket: Bucket::default(), withheld: 0 }),
        }
    }

    /// Connections that ended for `reason`, including refused ones.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize].get()
    }

    /// Connections that have ended, the refused ones not included.
    pub(crate) fn ended(&self) -> u64 {
        CloseReason::ALL.into_iter().filter(|reason| !reason.is_refusal()).map(|reason| self.closed(reason)).sum()
    }

    pub(crate) fn count_close(&self, reason: CloseReason) {
        self.closed[reason as usize].add(1);
    }

    /// Whether an abnormal end may be logged at `info` now; if so, how many were not since the last one.
    pub(crate) fn may_log_abnormal(&self) -> Option<u64> {
        let mut lines = self.abnormal.lock();
        let now: Duration = lines.since.elapsed();
        let (per_second, burst) = ABNORMAL_LINES;
        if lines.bucket.take(now, Rate::new(per_second, burst)).is_ok() {
            return Some(std::mem::take(&mut lines.withheld));
        }
        lines.withheld += 1;
        None
    }
}
