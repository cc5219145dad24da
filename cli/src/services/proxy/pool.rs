//! The upstreams of one listener: who gets the next connection, and what becomes of it if that one does not answer.

use super::choice::{Balance, Standings, Turned};
use super::counts::{Counts, Grown, PoolFigures, UpstreamFigures};
use super::upstream::{Passed, Upstream};
use bytes::Bytes;
use nix::errno::Errno;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use switchboard::{Client, Connection, ConnectionId, RelayedBytes};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

/// Upstreams, and what is known of them.
pub(crate) struct Pool {
    upstreams: Vec<Upstream>,
    standings: Mutex<Standings>,
    queue: Queue,
    /// Clients are turned away: said once, whatever many come.
    turns_away: AtomicBool,
    /// Where its listener can be reached, once that is known.
    name: OnceLock<String>,
    /// Of each upstream.
    counts: Vec<Counts>,
    /// Clients that were reset, by why.
    unconnected: [Grown; Unconnected::REASONS.len()],
    /// Clients, and to which upstream each goes. As small as it can be: each idle pair has one of these.
    pairs: Mutex<HashMap<ConnectionId, u32>>,
}

/// Who waits for a place at an upstream that has as many connections as it may.
struct Queue {
    most: usize,
    wait: Duration,
    waiting: AtomicUsize,
    freed: Notify,
}

/// One connection's place at an upstream, until it is dropped.
pub(super) struct Taken {
    pool: Arc<Pool>,
    at: usize,
    /// Whether it is known if it answers.
    is_settled: bool,
    /// The client that is passed on now.
    client: Option<ConnectionId>,
    /// What was sent before it was a pair.
    early: u64,
    /// What has been counted of its bytes since, to the upstream and from it.
    counted: RelayedBytes,
}

/// Why a connection is passed on to nobody.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unconnected {
    #[error("no upstream answers")]
    NoAnswer,
    #[error("all upstreams have as many connections as they may, and {most} wait already")]
    QueueFull { most: usize },
    #[error("no upstream had a place within {waited:?}")]
    NoPlace { waited: Duration },
    #[error("it leads back to this proxy")]
    Loop,
}

impl Unconnected {
    const REASONS: [&str; 4] = ["no-answer", "queue-full", "no-place", "loop"];

    /// Which of the reasons it is.
    fn reason(&self) -> usize {
        match self {
            Self::NoAnswer => 0,
            Self::QueueFull { .. } => 1,
            Self::NoPlace { .. } => 2,
            Self::Loop => 3,
        }
    }
}

impl Pool {
    pub(super) fn new(
        upstreams: Vec<Upstream>,
        weights: &[u32],
        (balance, most): (Balance, usize),
        (queued, wait): (usize, Duration),
    ) -> Arc<Self> {
        let standings = Mutex::new(Standings::new(weights, balance, most));
        let queue = Queue { most: queued, wait, waiting: AtomicUsize::new(0), freed: Notify::new() };
        let counts = upstreams.iter().map(|_| Counts::default()).collect();
        Arc::new(Self {
            upstreams,
            standings,
            queue,
            turns_away: AtomicBool::new(false),
            name: OnceLock::new(),
            counts,
            unconnected: Default::default(),
            pairs: Mutex::default(),
        })
    }

    /// Its listener can be reached there.
    pub(crate) fn serves(&self, name: String) {
        // A pool has one listener, which is bound once.
        let _ = self.name.set(name);
    }

    /// Empty, as long as its listener is not bound.
    fn name(&self) -> &str {
        self.name.get().map_or("", String::as_str)
    }

    /// Where a client is passed on to.
    pub(crate) fn upstream_of(&self, client: ConnectionId) -> Option<&Upstream> {
        self.pairs.lock().get(&client).map(|at| &self.upstreams[*at as usize])
    }

    /// What tells it from others.
    pub(super) fn number(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self) as usize
    }

    /// How they all are.
    pub(crate) fn figures(&self) -> PoolFigures {
        let standings = self.standings.lock();
        let upstream = |(at, upstream): (usize, &Upstream)| {
            let counts = &self.counts[at];
            UpstreamFigures {
                url: upstream.to_string(),
                state: standings.state(at),
                open: standings.open(at),
                limit: standings.most(),
                connections: counts.connections.now(),
                failures: counts.failures.now(),
                checks_passed: counts.checks_passed.now(),
                checks_failed: counts.checks_failed.now(),
                bytes_to: counts.bytes_to.now(),
                bytes_from: counts.bytes_from.now(),
            }
        };
        let upstreams = self.upstreams.iter().enumerate().map(upstream).collect();
        let reasons = Unconnected::REASONS.into_iter().zip(&self.unconnected);
        let mut unconnected = reasons.map(|(reason, count)| (reason, count.now()));
        PoolFigures {
            name: self.name().to_owned(),
            // Relaxed: a count that guards no other memory.
            waiting: self.queue.waiting.load(Ordering::Relaxed).min(self.queue.most),
            unconnected: std::array::from_fn(|_| unconnected.next().unwrap_or_default()),
            upstreams,
        }
    }

    /// Connects to the upstream that is next for `address`, or to another one if it does not answer, and sends it `first`.
    pub(super) async fn connect<C: Passed>(
        self: &Arc<Self>,
        client: &Client,
        address: Option<IpAddr>,
        first: &Bytes,
    ) -> Result<(Connection<C>, Taken), Unconnected> {
        let mut tried = Vec::new();
        loop {
            let mut taken = self.place(address, &tried).await.inspect_err(|error| self.turned_away(error))?;
            let upstream = &self.upstreams[taken.at];
            match C::connect(upstream, client, first.clone()).await {
                Ok(connection) => {
                    taken.is_settled = true;
                    self.counts[taken.at].connections.add(1);
                    let turned = self.standings.lock().succeeded(taken.at);
                    self.tell(upstream, turned, "it answers");
                    self.taken_again();
                    return Ok((connection, taken));
                }
                Err(error) => {
                    self.counts[taken.at].failures.add(1);
                    let error = anyhow::Error::from(error);
                    let cause = format!("{error:#}");
                    debug!(%upstream, error = cause, "upstream does not answer");
                    if !error.chain().filter_map(|cause| cause.downcast_ref()).any(is_own) {
                        taken.is_settled = true;
                        let turned = self.standings.lock().failed(taken.at, Instant::now());
                        self.tell(upstream, turned, &cause);
                    }
                    tried.push(taken.at);
                }
            }
        }
    }

    /// Takes a place, or waits for one.
    async fn place(self: &Arc<Self>, address: Option<IpAddr>, tried: &[usize]) -> Result<Taken, Unconnected> {
        // Nothing: all that would take it have as many as they may.
        let take = || {
            let mut standings = self.standings.lock();
            match standings.take(address, tried, Instant::now()) {
                Some(at) => Some(Ok(Taken::new(Arc::clone(self), at))),
                None if standings.is_full(tried) => None,
                None => Some(Err(Unconnected::NoAnswer)),
            }
        };
        let Queue { most, wait: waited, ref waiting, ref freed } = self.queue;
        if let Some(taken) = take() {
            return taken;
        }
        let _waits = Waits::among(waiting, most).ok_or(Unconnected::QueueFull { most })?;
        let end = Instant::now() + waited;
        loop {
            let mut told = std::pin::pin!(freed.notified());
            // Before it is looked again, so that a place that becomes free meanwhile is told of.
            told.as_mut().enable();
            if let Some(taken) = take() {
                return taken;
            }
            timeout_at(end, told).await.map_err(|_| Unconnected::NoPlace { waited })?;
        }
    }

    pub(super) fn turned_away(&self, error: &Unconnected) {
        self.unconnected[error.reason()].add(1);
        // Relaxed: of two that come together either may tell; so below.
        if !self.turns_away.swap(true, Ordering::Relaxed) {
            warn!(listener = self.name(), %error, "clients are reset");
        }
    }

    fn taken_again(&self) {
        if self.turns_away.load(Ordering::Relaxed) && self.turns_away.swap(false, Ordering::Relaxed) {
            info!(listener = self.name(), "clients are passed on again");
        }
    }

    /// Notes whether an upstream passed a check.
    pub(super) fn checked(&self, at: usize, failure: Option<&str>) {
        let turned = self.standings.lock().checked(at, failure.is_some());
        self.tell(&self.upstreams[at], turned, failure.unwrap_or("it passes its check"));
    }

    fn tell(&self, upstream: &Upstream, turned: Turned, why: &str) {
        let listener = self.name();
        match turned {
            Turned::Nothing => {}
            Turned::Out(Duration::ZERO) => {
                warn!(listener, %upstream, why, "upstream taken out until it passes its check");
            }
            Turned::Out(length) => warn!(listener, %upstream, why, seconds = length.as_secs(), "upstream taken out"),
            Turned::Kept => warn!(listener, %upstream, why, "upstream fails, and is kept as the last one"),
            Turned::In => info!(listener, %upstream, why, "upstream is back"),
        }
    }

    pub(super) fn counts(&self, at: usize) -> &Counts {
        &self.counts[at]
    }

    pub(super) fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }
}

/// Whether this machine lacks what connecting takes: descriptors, memory or ports. The upstream has no part in that.
pub(super) fn is_own(error: &io::Error) -> bool {
    error.raw_os_error().map(Errno::from_raw).is_some_and(|code| {
        matches!(code, Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM | Errno::EADDRNOTAVAIL)
    })
}

/// One that waits.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn among(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        // Relaxed: a count that guards no other memory.
        let others = waiting.fetch_add(1, Ordering::Relaxed);
        let waits = Self(waiting);
        (others < most).then_some(waits)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Taken {
    fn new(pool: Arc<Pool>, at: usize) -> Self {
        Self { pool, at, is_settled: false, client: None, early: 0, counted: RelayedBytes::default() }
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.pool.upstreams[self.at]
    }

    /// This client is passed on, for as long as the place is taken.
    pub(super) fn pairs(&mut self, client: ConnectionId) {
        self.pool.pairs.lock().insert(client, self.at as u32);
        self.client = Some(client);
    }

    /// So many bytes were sent before it was a pair.
    pub(super) fn sent_early(&mut self, bytes: u64) {
        self.early = bytes;
        self.pool.counts[self.at].bytes_to.add(bytes);
    }

    pub(super) fn early(&self) -> u64 {
        self.early
    }

    /// So many bytes have gone each way so far.
    pub(super) fn passed(&mut self, now: RelayedBytes) {
        let before = std::mem::replace(&mut self.counted, now);
        let counts = &self.pool.counts[self.at];
        if now.forth > before.forth {
            counts.bytes_to.add(now.forth - before.forth);
        }
        if now.back > before.back {
            counts.bytes_from.add(now.back - before.back);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(client) = self.client {
            self.pool.pairs.lock().remove(&client);
        }
        let mut standings = self.pool.standings.lock();
        if !self.is_settled {
            standings.untried(self.at);
        }
        standings.give_back(self.at);
        drop(standings);
        self.pool.queue.freed.notify_one();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_has_no_part_in_what_this_machine_lacks() {
        let error = |code: Errno| io::Error::from_raw_os_error(code as i32);
        for (code, expected) in [(Errno::EMFILE, true), (Errno::EADDRNOTAVAIL, true), (Errno::ECONNREFUSED, false)] {
            assert_eq!(is_own(&error(code)), expected, "{code}");
        }
        assert!(!is_own(&io::ErrorKind::TimedOut.into()));
    }
}
