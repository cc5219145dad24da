//! The upstreams of one listener: who gets the next connection, and what becomes of it if that one does not answer.

use super::choice::{Balance, Standings, Turned};
use super::upstream::{Passed, Upstream};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use switchboard::{Client, Connection};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

/// Upstreams, and what is known of them.
pub(super) struct Pool {
    upstreams: Vec<Upstream>,
    standings: Mutex<Standings>,
    queue: Queue,
    /// Clients are turned away: said once, whatever many come.
    turns_away: AtomicBool,
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
}

impl Pool {
    pub(super) fn new(
        upstreams: Vec<Upstream>,
        (balance, most): (Balance, usize),
        (queued, wait): (usize, Duration),
    ) -> Arc<Self> {
        let standings = Mutex::new(Standings::new(upstreams.len(), balance, most));
        let queue = Queue { most: queued, wait, waiting: AtomicUsize::new(0), freed: Notify::new() };
        Arc::new(Self { upstreams, standings, queue, turns_away: AtomicBool::new(false) })
    }

    /// Connects to the upstream that is next for `address`, or to another one if it does not answer.
    pub(super) async fn connect<C: Passed>(
        self: &Arc<Self>,
        client: &Client,
        address: Option<IpAddr>,
    ) -> Result<(Connection<C>, Taken), Unconnected> {
        let mut tried = Vec::new();
        loop {
            let mut taken = self.place(address, &tried).await.inspect_err(|error| self.turned_away(error))?;
            let upstream = &self.upstreams[taken.at];
            match C::connect(upstream, client).await {
                Ok(connection) => {
                    taken.is_settled = true;
                    let turned = self.standings.lock().succeeded(taken.at);
                    tell(upstream, turned, "it answers");
                    self.taken_again();
                    return Ok((connection, taken));
                }
                Err(error) => {
                    taken.is_settled = true;
                    let turned = self.standings.lock().failed(taken.at, Instant::now());
                    let cause = format!("{:#}", anyhow::Error::from(error));
                    debug!(%upstream, error = cause, "upstream does not answer");
                    tell(upstream, turned, &cause);
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
                Some(at) => Some(Ok(Taken { pool: Arc::clone(self), at, is_settled: false })),
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

    fn turned_away(&self, error: &Unconnected) {
        // Relaxed: of two that come together either may tell; so below.
        if !self.turns_away.swap(true, Ordering::Relaxed) {
            warn!(%error, "clients are reset");
        }
    }

    fn taken_again(&self) {
        if self.turns_away.load(Ordering::Relaxed) && self.turns_away.swap(false, Ordering::Relaxed) {
            info!("clients are passed on again");
        }
    }

    /// Notes whether an upstream passed a check.
    pub(super) fn checked(&self, at: usize, failure: Option<&str>) {
        let turned = self.standings.lock().checked(at, failure.is_some());
        tell(&self.upstreams[at], turned, failure.unwrap_or("it passes its check"));
    }

    #[cfg(test)]
    pub(super) fn is_in(&self, at: usize) -> bool {
        self.standings.lock().is_in(at)
    }

    pub(super) fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }
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
    pub(super) fn upstream(&self) -> &Upstream {
        &self.pool.upstreams[self.at]
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut standings = self.pool.standings.lock();
        if !self.is_settled {
            standings.untried(self.at);
        }
        standings.give_back(self.at);
        drop(standings);
        self.pool.queue.freed.notify_one();
    }
}

fn tell(upstream: &Upstream, turned: Turned, why: &str) {
    match turned {
        Turned::Nothing => {}
        Turned::Out(Duration::ZERO) => warn!(%upstream, why, "upstream left out until it passes its check"),
        Turned::Out(length) => warn!(%upstream, why, seconds = length.as_secs(), "upstream left out"),
        Turned::In => info!(%upstream, why, "upstream is back"),
    }
}
