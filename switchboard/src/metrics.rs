//! What a server counts. Counters only grow.
//!
//! What goes with every frame is counted by each worker for itself (`worker.rs`), what goes with every connection by its
//! listener (`listener.rs`), and the rest here. It is added up when somebody looks; nobody walks over connections for it.

mod histogram;
mod listener;
mod traffic;
mod worker;

pub use histogram::{Durations, Histogram};
pub use listener::ListenerMetrics;
pub(crate) use listener::{AcceptWait, DatagramCounts, DatagramFate, ListenerCounts};
pub(crate) use traffic::Traffic;
pub use traffic::TransportTraffic;
pub(crate) use worker::{Lane, WorkerCounts, bump};

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use switchboard_proto::{Bucket, CloseReason, Rate};
use tokio::time::Instant;
use worker::Sums;

/// Every transport, as the scheme of a URL.
pub(crate) const TRANSPORTS: [&str; 9] = ["tcp", "tls", "unix", "udp", "http", "https", "ws", "wss", "memory"];

/// The policies by which messages are lost, in the order of their numbers.
const LOST_BY: [&str; worker::LOSSES] = ["disconnect", "drop-oldest", "drop-newest", "latest", "conflate"];

/// How long connections live: from a look to a day.
const LIFE_BOUNDS: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(10),
    Duration::from_hours(1),
    Duration::from_hours(6),
    Duration::from_hours(24),
];

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
    closed: [Closed; TRANSPORTS.len()],
    workers: Mutex<WorkersCounts>,
    listeners: Mutex<Vec<Arc<ListenerCounts>>>,
    abnormal: Mutex<Lines>,
}

/// Connections of one transport that have ended.
#[derive(Debug)]
struct Closed {
    by_reason: [Count; CloseReason::ALL.len()],
    lives: Histogram,
}

/// What all workers count.
#[derive(Debug)]
struct WorkersCounts {
    all: Vec<Arc<WorkerCounts>>,
    /// What those came to that are gone.
    gone: Sums,
}

/// What connections have carried since the start, and what rooms have delivered to them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Carried {
    /// For each transport, by the scheme of its URL. What an HTTP connection carried before it became a WebSocket is that of
    /// HTTP; a WebSocket or stream within HTTP/2 counts for itself, and within its connection too.
    pub transports: Vec<(&'static str, TransportTraffic)>,
    /// Messages that rooms have handed to members' connections: written, or queued for them.
    pub deliveries: u64,
    /// Messages that members lost because their sockets did not take them or their worker was held up, by the policy of their
    /// rooms; they were told of the gap unless that was [`Overflow::Conflate`](crate::Overflow::Conflate). Whoever is disconnected
    /// instead counts as closed.
    pub lost: Vec<(&'static str, u64)>,
    /// From the first publication of a tick to when all of them were offered to the sockets.
    pub fanout_delay: Durations,
}

/// The ends of one transport's connections.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closures {
    /// The transport, by the scheme of its URL.
    pub transport: &'static str,
    /// By reason, without those that did not occur.
    pub reasons: Vec<(CloseReason, u64)>,
    /// How long they were open. Refused connections are not included.
    pub lives: Durations,
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
            closed: std::array::from_fn(|_| Closed {
                by_reason: Default::default(),
                lives: Histogram::new(LIFE_BOUNDS),
            }),
            workers: Mutex::new(WorkersCounts { all: Vec::new(), gone: WorkerCounts::default().sums() }),
            listeners: Mutex::default(),
            abnormal: Mutex::new(Lines { since: Instant::now(), bucket: Bucket::default(), withheld: 0 }),
        }
    }

    /// Connections that ended for `reason`, including refused ones.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed.iter().map(|closed| closed.by_reason[reason as usize].get()).sum()
    }

    /// How connections have ended, by transport.
    pub fn closures(&self) -> Vec<Closures> {
        let ends = TRANSPORTS.into_iter().zip(&self.closed).map(|(transport, closed)| Closures {
            transport,
            reasons: reasons(&closed.by_reason),
            lives: closed.lives.durations(),
        });
        ends.filter(|ends| !ends.reasons.is_empty()).collect()
    }

    /// What connections have carried. Costs the same however many connections there are.
    pub fn carried(&self) -> Carried {
        let workers = self.workers.lock();
        let mut sums = workers.gone.clone();
        for worker in &workers.all {
            sums.add(&worker.sums());
        }
        Carried {
            transports: TRANSPORTS.into_iter().zip(sums.carried).collect(),
            deliveries: sums.deliveries,
            lost: LOST_BY.into_iter().zip(sums.lost).collect(),
            fanout_delay: sums.fanout_delay,
        }
    }

    /// Connections whose socket takes no more now, so that what is sent to them waits.
    pub fn blocked(&self) -> u64 {
        let workers = self.workers.lock();
        let sum = workers.all.iter().map(|worker| worker.blocked.load(Ordering::Relaxed)).fold(0, u64::wrapping_add);
        // Each end is counted behind its beginning, but the two may be looked at in the other order.
        u64::try_from(sum.cast_signed()).unwrap_or(0)
    }

    /// What each listener has counted, in the order in which they began to serve.
    pub fn listeners(&self) -> Vec<ListenerMetrics> {
        self.listeners.lock().iter().map(|listener| listener.metrics()).collect()
    }

    /// Connections that have ended, the refused ones not included.
    pub(crate) fn ended(&self) -> u64 {
        CloseReason::ALL.into_iter().filter(|reason| !reason.is_refusal()).map(|reason| self.closed(reason)).sum()
    }

    /// A connection of this transport has ended, which was open so long if it was accepted.
    pub(crate) fn count_close(&self, transport: u8, reason: CloseReason, life: Option<Duration>) {
        let closed = &self.closed[usize::from(transport)];
        closed.by_reason[reason as usize].add(1);
        if let Some(life) = life {
            closed.lives.record(life);
        }
    }

    pub(crate) fn count_wait(&self, listener: &ListenerCounts, wait: AcceptWait) {
        self.accept_waits.add(1);
        listener.waits(wait);
    }

    /// The counters of a new worker.
    pub(crate) fn worker(&self) -> Arc<WorkerCounts> {
        let mut workers = self.workers.lock();
        let WorkersCounts { all, gone } = &mut *workers;
        // One whose links and tick are gone counts nothing any more.
        for worker in all.extract_if(.., |worker| Arc::strong_count(worker) == 1) {
            gone.add(&worker.sums());
        }
        let worker = Arc::new(WorkerCounts::default());
        all.push(Arc::clone(&worker));
        worker
    }

    /// The counters of the listener with this name.
    pub(crate) fn listener(&self, name: &str, transport: &'static str, is_secure: bool) -> Arc<ListenerCounts> {
        let mut listeners = self.listeners.lock();
        if let Some(known) = listeners.iter().find(|listener| listener.is(name, transport)) {
            return Arc::clone(known);
        }
        let listener = Arc::new(ListenerCounts::new(name, transport, is_secure));
        listeners.push(Arc::clone(&listener));
        listener
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

fn reasons(counts: &[Count; CloseReason::ALL.len()]) -> Vec<(CloseReason, u64)> {
    let all = CloseReason::ALL.into_iter().map(|reason| (reason, counts[reason as usize].get()));
    all.filter(|(_, count)| *count > 0).collect()
}

/// The place of a transport among all.
pub(crate) fn number(transport: &str) -> u8 {
    let place = TRANSPORTS.iter().position(|known| *known == transport);
    let Some(place) = place.and_then(|place| u8::try_from(place).ok()) else { unreachable!("transports are sealed") };
    place
}
