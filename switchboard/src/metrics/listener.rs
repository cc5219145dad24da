//! What one listener counts.

use super::histogram::{Durations, Histogram};
use super::{Count, Metrics, number, reasons};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use switchboard_proto::CloseReason;

/// TLS and what is shown behind it may take 10 s.
const HANDSHAKE_BOUNDS: &[Duration] = &[
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(10),
];

/// Counters of one listener. Those that may be refused are few, but each has a place.
#[derive(Debug)]
pub(crate) struct ListenerCounts {
    name: String,
    /// It is a client's, whose connections have no listener.
    pub(crate) is_unlisted: bool,
    transport: &'static str,
    is_secure: bool,
    /// Of what its connections speak as they come, and as WebSockets.
    numbers: [u8; 2],
    pub(crate) accepted: Count,
    refused: [Count; CloseReason::ALL.len()],
    waits: [Count; 2],
    /// As they came, and as WebSockets.
    open: [AtomicU64; 2],
    handshakes: AtomicU64,
    handshake_time: Histogram,
    datagrams: [Count; 5],
}

/// Why accepting has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AcceptWait {
    Descriptors,
    Handshakes,
}

/// What became of datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatagramFate {
    In,
    Out,
    Refused,
    Lost,
    Dropped,
}

/// What a listener has counted, and what it has now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerMetrics {
    /// Its [name](crate::Transport::named), or `tcp://127.0.0.1:8080`.
    pub name: String,
    /// `tcp`, `tls`, `unix`, `udp`, `http`, `https` or `memory`.
    pub transport: &'static str,
    /// Open connections, by protocol: those of an HTTP listener that have become WebSockets count separately.
    pub open: Vec<(&'static str, u64)>,
    /// Connections accepted, excluding refused ones.
    pub accepted: u64,
    /// Connections refused, by reason, without reasons that did not occur.
    pub refused: Vec<(CloseReason, u64)>,
    /// How often accepting had to wait for descriptors, or for kernel memory.
    pub waits_for_descriptors: u64,
    /// How often accepting had to wait for handshakes to end.
    pub waits_for_handshakes: u64,
    /// Handshakes under way now.
    pub handshakes: u64,
    /// How long successful handshakes took.
    pub handshake_time: Durations,
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Datagrams deliberately not answered: see [`DatagramLimits`](crate::DatagramLimits).
    pub datagrams_refused: u64,
    /// Datagrams that the socket did not take.
    pub datagrams_lost: u64,
    /// Datagrams from peers whose connections had not read earlier ones.
    pub datagrams_dropped: u64,
}

impl ListenerCounts {
    pub(super) fn new(name: &str, transport: &'static str, is_secure: bool) -> Self {
        let websocket = if is_secure { "wss" } else { "ws" };
        Self {
            name: name.to_owned(),
            is_unlisted: false,
            transport,
            is_secure,
            numbers: [number(transport), number(websocket)],
            accepted: Count::default(),
            refused: Default::default(),
            waits: Default::default(),
            open: Default::default(),
            handshakes: AtomicU64::new(0),
            handshake_time: Histogram::new(HANDSHAKE_BOUNDS),
            datagrams: Default::default(),
        }
    }

    /// One that no list shows: a client's connections have no listener.
    pub(crate) fn unlisted(transport: &'static str, is_secure: bool) -> Arc<Self> {
        Arc::new(Self { is_unlisted: true, ..Self::new("", transport, is_secure) })
    }

    pub(super) fn is(&self, name: &str, transport: &str) -> bool {
        self.name == name && self.transport == transport
    }

    /// What is spoken by a connection of its own.
    pub(crate) fn spoken(&self, is_websocket: bool) -> &'static str {
        match (is_websocket, self.is_secure) {
            (false, _) => self.transport,
            (true, false) => "ws",
            (true, true) => "wss",
        }
    }

    /// The number of that among all transports.
    pub(crate) fn spoken_number(&self, is_websocket: bool) -> u8 {
        self.numbers[usize::from(is_websocket)]
    }

    /// A connection is open from now on, or is not any more.
    pub(crate) fn opened(&self, is_websocket: bool, by: i64) {
        // Relaxed: statistics, which guard no other memory.
        self.open[usize::from(is_websocket)].fetch_add(by.cast_unsigned(), Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, reason: CloseReason) {
        self.refused[reason as usize].add(1);
    }

    pub(super) fn waits(&self, wait: AcceptWait) {
        self.waits[wait as usize].add(1);
    }

    /// A handshake begins.
    pub(crate) fn begins_handshake(&self) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
    }

    /// One is over.
    pub(crate) fn ends_handshake(&self) {
        self.handshakes.fetch_sub(1, Ordering::Relaxed);
    }

    /// One has ended well.
    pub(crate) fn shook_hands(&self, took: Duration) {
        self.handshake_time.record(took);
    }

    pub(super) fn metrics(&self) -> ListenerMetrics {
        let open = |is_websocket: bool| {
            (self.spoken(is_websocket), self.open[usize::from(is_websocket)].load(Ordering::Relaxed))
        };
        let has_websockets = self.transport.starts_with("http") || self.open[1].load(Ordering::Relaxed) > 0;
        let datagrams = |what: DatagramFate| self.datagrams[what as usize].get();
        ListenerMetrics {
            name: self.name.clone(),
            transport: self.transport,
            open: [Some(false), has_websockets.then_some(true)].into_iter().flatten().map(open).collect(),
            accepted: self.accepted.get(),
            refused: reasons(&self.refused),
            waits_for_descriptors: self.waits[AcceptWait::Descriptors as usize].get(),
            waits_for_handshakes: self.waits[AcceptWait::Handshakes as usize].get(),
            handshakes: self.handshakes.load(Ordering::Relaxed),
            handshake_time: self.handshake_time.durations(),
            datagrams_in: datagrams(DatagramFate::In),
            datagrams_out: datagrams(DatagramFate::Out),
            datagrams_refused: datagrams(DatagramFate::Refused),
            datagrams_lost: datagrams(DatagramFate::Lost),
            datagrams_dropped: datagrams(DatagramFate::Dropped),
        }
    }
}

/// Where a listener for datagrams counts: for itself, and for its server.
#[derive(Debug, Clone)]
pub(crate) struct DatagramCounts {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) listener: Arc<ListenerCounts>,
}

impl DatagramCounts {
    pub(crate) fn add(&self, what: DatagramFate, count: u64) {
        if count == 0 {
            return;
        }
        let Metrics { datagrams_in, datagrams_out, datagrams_refused, datagrams_lost, datagrams_dropped, .. } =
            &*self.metrics;
        let all = match what {
            DatagramFate::In => datagrams_in,
            DatagramFate::Out => datagrams_out,
            DatagramFate::Refused => datagrams_refused,
            DatagramFate::Lost => datagrams_lost,
            DatagramFate::Dropped => datagrams_dropped,
        };
        all.add(count);
        self.listener.datagrams[what as usize].add(count);
    }
}
