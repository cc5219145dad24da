//! A server for whoever watches or stops it.

use super::{Ban, Connections, Node, TooManyBans, Worker};
use crate::config::Limits;
use crate::error::BindError;
use crate::link::Spawned;
use crate::metrics::Metrics;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use switchboard_proto::{CloseReason, IpNetwork};

/// A handle to a server, to watch or stop it. Cloning is cheap.
///
/// It works from before the server is bound ([`Server::handle`](crate::Server::handle)), so that a service can be given
/// the handle of its own server, until after the server's end. Before the server serves there are no connections and
/// nothing is counted. After its end only connections whose handlers block their worker are left, and the counters keep
/// their values.
///
/// # Examples
/// ```
/// use switchboard::prelude::*;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let server = Server::new();
/// let handle = server.handle();
/// let count = move |mut conn: Connection<Lines>| {
///     let handle = handle.clone();
///     async move { conn.send(format!("{} are connected", handle.connections().len())).await }
/// };
/// let bound = server.tcp("127.0.0.1:0", count).bind().await?;
/// # Ok::<(), switchboard::BindError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Handle(Arc<Node>);

/// What one worker has, and has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// Connections.
    pub connections: usize,
    /// Ticks that came more than 100 ms late: a handler blocked it.
    pub late_ticks: u64,
    /// How long ago it last looked at its connections, which it does once a second: longer if a handler holds it.
    pub swept: Duration,
}

impl Handle {
    pub(crate) fn of(node: &Arc<Node>) -> Self {
        Self(Arc::clone(node))
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.0
    }

    /// Stops politely: refuses new connections and lets open ones finish. A server that is not serving yet drains as
    /// soon as it does.
    pub fn drain(&self) {
        self.0.stop.begin_drain();
    }

    /// Lets nobody in from a network any more, and resets ([`Banned`](crate::CloseReason)) whoever is there from it now; says
    /// how many. Another ban of the same network is replaced. Up to 10,000 hold at a time.
    ///
    /// Connections are refused before TLS, and counted by whom a proxy names ([`Proxies`](crate::Proxies)); a request that
    /// was handed on ([`Request::forwarded_for`](crate::http::Request::forwarded_for)) is for the service to refuse
    /// ([`ban_of`](Self::ban_of)), and what it would become is refused here. Datagrams are dropped
    /// ([`datagrams_refused`](crate::Metrics::datagrams_refused)).
    ///
    /// # Errors
    /// There are too many.
    pub fn ban(&self, ban: Ban) -> Result<usize, TooManyBans> {
        self.ban_all([ban])
    }

    /// As [`ban`](Self::ban) for each of them, and looks only once for whoever is there.
    ///
    /// # Errors
    /// There are too many. Those before the one that was too many hold.
    pub fn ban_all(&self, bans: impl IntoIterator<Item = Ban>) -> Result<usize, TooManyBans> {
        let now = SystemTime::now();
        let added = bans.into_iter().try_for_each(|ban| self.0.bans.add(ban, now));
        let links = self.0.connections.links();
        let banned = links.iter().filter(|link| self.0.is_banned(link.client()));
        let count = banned.map(|link| link.abort(CloseReason::Banned)).count();
        added.map(|()| count)
    }

    /// Lets a network in again; the ban is given back, if there was one.
    pub fn unban(&self, network: &IpNetwork) -> Option<Ban> {
        self.0.bans.remove(network)
    }

    /// The bans that hold now, in order of their networks.
    pub fn bans(&self) -> Vec<Ban> {
        self.0.bans.list(SystemTime::now())
    }

    /// How many there are of [those](Self::bans).
    pub fn ban_count(&self) -> usize {
        self.0.bans.number(SystemTime::now())
    }

    /// The ban that holds for an address now; of the largest network, if there are several.
    pub fn ban_of(&self, address: IpAddr) -> Option<Ban> {
        self.0.bans.find(address, SystemTime::now())
    }

    /// Stops now: connections that have not finished are reset. A server that is not serving yet ends as soon as it
    /// does.
    pub fn abort(&self) {
        self.0.stop.begin_drain();
        self.0.stop.abort.cancel();
    }

    /// Has these limits hold in place of [`Server::limits`](crate::Server::limits), once the server is bound: what all connections hold and how
    /// many there may be at once, and what one may have of those that come from now on. Nobody is closed for there being too many; who
    /// holds more memory than there is now gives way.
    ///
    /// # Errors
    /// They make no sense on this machine. Then nothing changes.
    pub fn set_limits(&self, limits: Limits) -> Result<(), BindError> {
        BindError { faults: limits.faults(), listeners: Vec::new() }.check()?;
        self.0.set_limits(limits);
        Ok(())
    }

    /// Gives connections so long to finish once the server drains, in place of [`Server::grace`](crate::Server::grace). Takes effect if the
    /// server is bound and does not drain yet.
    pub fn set_grace(&self, grace: Duration) {
        self.0.set_grace(grace);
    }

    /// Spawns a task that the server owns: a drain waits for it, at most for the grace period, and then aborts it. A
    /// panic in it is logged, and ends nothing else.
    ///
    /// It runs on the calling worker, or else on the least loaded one; before the server serves, on the calling
    /// runtime. After the server's end it no longer runs.
    ///
    /// # Panics
    /// Before the server serves, outside a tokio runtime.
    ///
    /// # Examples
    /// ```
    /// # use switchboard::prelude::*;
    /// # use std::time::Duration;
    /// # async fn run() -> Result {
    /// let server = Server::new();
    /// let handle = server.handle();
    /// let watched = handle.clone();
    /// handle.spawn(async move {
    ///     while !watched.is_draining() {
    ///         println!("{} are connected", watched.connections().len());
    ///         tokio::time::sleep(Duration::from_secs(1)).await;
    ///     }
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn<F>(&self, task: F) -> Spawned<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0.spawn_task(task)
    }

    /// Whether the server drains, or has ended.
    pub fn is_draining(&self) -> bool {
        self.0.stop.drain.is_cancelled()
    }

    /// Waits until the server drains. Borrows nothing.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        self.0.stop.told.clone().cancelled_owned()
    }

    /// The live connections.
    pub fn connections(&self) -> &Connections {
        &self.0.connections
    }

    /// What the server has counted.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// What each worker has, and has counted.
    pub fn workers(&self) -> Vec<WorkerMetrics> {
        let of = |worker: &Arc<Worker>| WorkerMetrics {
            connections: worker.load(),
            late_ticks: worker.tick.counts.late_ticks.get(),
            swept: worker.tick.counts.swept.lock().elapsed(),
        };
        self.0.connections.workers().iter().map(of).collect()
    }

    /// Bytes held for messages now, as [`Limits::memory_bytes`](crate::Limits::memory_bytes) counts them. What one connection
    /// holds below 4 KiB is not counted, nor what all histories keep below 64 KiB.
    pub fn memory_bytes(&self) -> usize {
        self.0.budget.total()
    }

    /// The addresses that the server listens on, as in [`Bound::urls`](crate::Bound::urls): none before it is bound,
    /// and none once it drains.
    pub fn urls(&self) -> Vec<String> {
        self.0.urls.lock().clone()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("urls", &self.urls()).field("connections", &self.connections().len()).finish()
    }
}
