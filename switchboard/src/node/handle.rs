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
    /// The time since its last sweep over its connections, which is due once a second: longer if a handler blocks it.
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

    /// Bans a network: connections from it are refused from now on, and those that are open are reset
    /// ([`Banned`](crate::CloseReason)). Returns how many were reset. Replaces an earlier ban of the same network.
    ///
    /// Connections are refused before TLS. Behind a proxy, the client that it names counts ([`Proxies`](crate::Proxies)). A forwarded
    /// request ([`Request::forwarded_for`](crate::http::Request::forwarded_for)) is for the service to refuse
    /// ([`ban_of`](Self::ban_of)), but it cannot become a WebSocket or a stream. Datagrams are dropped and counted
    /// ([`datagrams_refused`](crate::Metrics::datagrams_refused)).
    ///
    /// # Errors
    /// There are 10,000 bans already.
    pub fn ban(&self, ban: Ban) -> Result<usize, TooManyBans> {
        self.ban_all([ban])
    }

    /// As [`ban`](Self::ban) for each of them, but goes through the open connections only once.
    ///
    /// # Errors
    /// There would be more than 10,000 bans. Those up to that number are in force.
    pub fn ban_all(&self, bans: impl IntoIterator<Item = Ban>) -> Result<usize, TooManyBans> {
        let now = SystemTime::now();
        let added = bans.into_iter().try_for_each(|ban| self.0.bans.add(ban, now));
        let links = self.0.connections.links();
        let banned = links.iter().filter(|link| self.0.is_banned(link.client()));
        let count = banned.map(|link| link.abort(CloseReason::Banned)).count();
        added.map(|()| count)
    }

    /// Lifts the ban of exactly this network, and returns it, if there was one.
    pub fn unban(&self, network: &IpNetwork) -> Option<Ban> {
        self.0.bans.remove(network)
    }

    /// The bans in force, ordered by network.
    pub fn bans(&self) -> Vec<Ban> {
        self.0.bans.list(SystemTime::now())
    }

    /// How many [bans](Self::bans) are in force.
    pub fn ban_count(&self) -> usize {
        self.0.bans.number(SystemTime::now())
    }

    /// The ban in force for an address; if there are several, that of the largest network.
    pub fn ban_of(&self, address: IpAddr) -> Option<Ban> {
        self.0.bans.find(address, SystemTime::now())
    }

    /// Stops now: connections that have not finished are reset. A server that is not serving yet ends as soon as it
    /// does.
    pub fn abort(&self) {
        self.0.stop.begin_drain();
        self.0.stop.abort.cancel();
    }

    /// Replaces the server's [limits](crate::Server::limits), once it is bound. The limits on the number of connections and on memory apply
    /// at once; those on one connection apply to later ones. If there are more connections than allowed now, none is closed for
    /// that; if they hold more memory than allowed now, the largest are.
    ///
    /// # Errors
    /// The limits make no sense on this machine. Nothing changes.
    pub fn set_limits(&self, limits: Limits) -> Result<(), BindError> {
        BindError { faults: limits.faults(), listeners: Vec::new() }.check()?;
        self.0.set_limits(limits);
        Ok(())
    }

    /// Replaces the server's [grace period](crate::Server::grace), if it is bound and not draining yet.
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
