//! A server: listeners with their handlers, checked and bound together, and drained together.

mod accept;
mod arriving;
mod binding;
mod datagrams;
mod groups;
mod handshakes;
pub(crate) mod in_memory;
#[cfg(feature = "http")]
mod requests;
mod settings;

use crate::config::{GRACE, Limits, Timeouts, raise_descriptor_limit};
use crate::connection::{Connection, Handler};
use crate::error::BindError;
use crate::hub::Hub;
use crate::node::{Aborting, Drained, Draining, Handle, Listening, Node, Worker, Workers};
use crate::transport::tcp::Tcp;
#[cfg(feature = "tls")]
use crate::transport::tls::{Certificates, Tls};
use crate::transport::udp::{Datagram, DatagramReply, HostGroup, Udp, Validation};
use crate::transport::unix::Unix;
use crate::transport::{Transport, memory::Memory};
use accept::{Accepting, BoundEntry, Entry};
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use switchboard_proto::{Codec, Datagrams};
use tokio::time::Instant;

/// More workers than this rarely help a program that mostly makes system calls; `workers` sets any number.
const MOST_WORKERS: usize = 4;

/// Listeners, and what is done with their connections.
///
/// A [`Handler`] is an async function that takes a connection, or `(state, function)`; the codec follows from its
/// argument. It shares one worker thread with thousands of others: a handler that blocks stalls them all, so move
/// blocking work to `tokio::task::spawn_blocking`.
///
/// # Examples
/// ```
/// use switchboard::prelude::*;
///
/// async fn echo(mut conn: Connection<Lines>) -> Result {
///     while let Some(line) = conn.recv().await? {
///         conn.send(line).await?;
///     }
///     Ok(())
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let bound = Server::new().tcp("127.0.0.1:0", echo).bind().await?;
/// println!("listening on {}", bound.urls()[0]);
/// let drained = bound.serve_until(async {}).await;
/// assert_eq!(drained.aborted, 0);
/// # Ok::<(), switchboard::BindError>(())
/// # }).unwrap();
/// ```
#[must_use]
pub struct Server {
    node: Arc<Node>,
    entries: Vec<Box<dyn Entry>>,
    limits: Limits,
    timeouts: Timeouts,
    grace: Duration,
    workers: usize,
    hubs: Vec<Hub>,
}

impl Server {
    /// A server without listeners, with the default limits and one worker per core, at most 4.
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            node: Node::new(),
            entries: Vec::new(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            grace: GRACE,
            workers: cores.min(MOST_WORKERS),
            hubs: Vec::new(),
        }
    }

    /// A handle to watch or stop the server. It is available before the server is bound, so that one of its own
    /// services can be given it. Settings made after this call still apply; no thread runs before [`bind`](Self::bind).
    pub fn handle(&self) -> Handle {
        Handle::of(&self.node)
    }

    /// Handles TCP connections to `address`; port 0 picks a free port.
    pub fn tcp<C: Codec>(self, address: impl ToString, handler: impl Handler<C>) -> Self {
        self.listen(Tcp::new(address), handler)
    }

    /// Handles TLS connections to `address`, presenting one of `certificates`; port 0 picks a free port. Needs feature
    /// `tls`.
    #[cfg(feature = "tls")]
    pub fn tls<C: Codec>(self, address: impl ToString, certificates: &Certificates, handler: impl Handler<C>) -> Self {
        self.listen(Tls::new(address, certificates), handler)
    }

    /// Handles connections to the Unix socket at `path`.
    pub fn unix<C: Codec>(self, path: impl AsRef<Path>, handler: impl Handler<C>) -> Self {
        self.listen(Unix::new(path), handler)
    }

    /// Handles connections within the process.
    pub fn memory<C: Codec>(self, address: &Memory, handler: impl Handler<C>) -> Self {
        self.listen(address.clone(), handler)
    }

    /// Handles the connections of any stream transport, with settings of its own.
    pub fn listen<C: Codec>(mut self, transport: impl Transport, handler: impl Handler<C>) -> Self {
        let begin = move |link, source| handler.handle(Connection::new(link, source));
        self.entries.push(accept::entry(transport, |_| begin));
        self
    }

    /// Answers datagrams to `address`, one by one and without a connection; port 0 picks a free port.
    ///
    /// The handler is called on a worker for each datagram, and writes its answer, if any, into the [`DatagramReply`].
    pub fn udp<H>(self, address: impl ToString, handler: H) -> Self
    where
        H: Fn(Datagram<'_>, &mut DatagramReply<'_>) + Send + Sync + 'static,
    {
        self.datagrams(Udp::new(address), handler)
    }

    /// Answers datagrams, with settings of their own.
    pub fn datagrams<H>(mut self, udp: Udp, handler: H) -> Self
    where
        H: Fn(Datagram<'_>, &mut DatagramReply<'_>) + Send + Sync + 'static,
    {
        self.entries.push(datagrams::answering(udp, handler));
        self
    }

    /// Handles datagram peers as connections like any other, once each has proved that it receives at the address it
    /// sends from. Each datagram is a frame.
    ///
    /// All other datagrams go to `strangers`, which says whether they prove that. The server keeps no state for them,
    /// and [`Cookies`] need none. An answer is at most three times as long as the datagram and at most 64 bytes, and is
    /// not sent to ports below 1024. What `strangers` writes along with [`Validation::Given`] is sent only if there are
    /// too many connections to make another. A peer never says that it has gone, so [`Udp::timeouts`] should set
    /// [`Timeouts::idle`].
    ///
    /// [`Cookies`]: crate::Cookies
    pub fn udp_peers<S>(mut self, udp: Udp, strangers: S, handler: impl Handler<Datagrams>) -> Self
    where
        S: Fn(Datagram<'_>, &mut DatagramReply<'_>) -> Validation + Send + Sync + 'static,
    {
        let begin = move |link, source| handler.handle(Connection::new(link, source));
        self.entries.push(datagrams::connecting(udp, strangers, begin));
        self
    }

    /// Handles a [group of hosts](Udp::group) as one connection: each datagram that anybody sends to it is a frame, and each frame is sent
    /// to all of it. The connection is opened when the server starts, and again a second after the handler has finished, until the
    /// server drains.
    pub fn group(mut self, group: HostGroup, handler: impl Handler<Datagrams>) -> Self {
        let begin = move |link, source| handler.handle(Connection::new(link, source));
        self.entries.push(groups::entry(group, begin));
        self
    }

    /// Upper bounds on what is held.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Deadlines of connections, on listeners without timeouts of their own.
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// How long connections may take to finish once the server drains, before they are aborted. Default 30 s.
    ///
    /// WebSockets and streamed answers, whose clients reconnect by themselves, learn of the drain at a random time
    /// within a quarter of it, or at a thousand a second if that is sooner; all others learn of it at once.
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// How many threads serve connections, from [`bind`](Self::bind) on. With 0 the runtime that calls
    /// [`serve_until`](Bound::serve_until) serves them; in tests its clock may be paused.
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Counts what the rooms of `hub` keep towards this server's memory for messages ([`Limits::memory_bytes`]) from
    /// the start. Otherwise it counts once a connection enters the hub or joins one of its rooms.
    pub fn hub(mut self, hub: &Hub) -> Self {
        self.hubs.push(hub.clone());
        self
    }

    /// Checks every setting and binds every address. No connection is accepted before all of that has succeeded.
    ///
    /// Raises the process's soft descriptor limit to the hard one.
    ///
    /// # Errors
    /// Everything that is wrong, reported together.
    ///
    /// # Cancel safety
    /// Safe: what was bound is released.
    pub async fn bind(self) -> Result<Bound, BindError> {
        let mut faults = self.limits.faults();
        faults.extend(self.entries.iter().flat_map(|entry| entry.faults()));
        BindError { faults, listeners: Vec::new() }.check()?;
        raise_descriptor_limit();
        let node = self.node;
        node.set_limits(self.limits);
        self.hubs.iter().for_each(|hub| hub.count_in(&node.budget));
        let workers = Workers::start(self.workers, node.shared()).map_err(|error| BindError {
            faults: vec![format!("cannot start a worker: {error}")],
            listeners: Vec::new(),
        })?;

        // The runtime that serves is one as well.
        let entries = binding::bind(self.entries, self.workers.max(1)).await;
        let entries = entries.map_err(|listeners| BindError { faults: Vec::new(), listeners })?;

        let listening = node.listening(entries.iter().flat_map(|entry| entry.urls()).collect());
        node.set_grace(self.grace);
        Ok(Bound { entries, node, timeouts: self.timeouts, workers, listening })
    }

    /// Binds, then serves until `drain` is done and the connections have finished.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub async fn serve_until(self, drain: impl Future<Output = ()>) -> Result<Drained, BindError> {
        Ok(self.bind().await?.serve_until(drain).await)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listeners: Vec<_> = self.entries.iter().map(|entry| entry.url()).collect();
        f.debug_struct("Server").field("listeners", &listeners).finish_non_exhaustive()
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

/// A server whose addresses are bound, and which accepts nobody yet. Dropping it releases them.
#[must_use]
pub struct Bound {
    entries: Vec<Box<dyn BoundEntry>>,
    node: Arc<Node>,
    timeouts: Timeouts,
    /// Their threads end with it.
    workers: Workers,
    listening: Listening,
}

/// What accept loops need of their server.
#[derive(Clone)]
pub(crate) struct Serving {
    node: Arc<Node>,
    workers: Vec<Arc<Worker>>,
    timeouts: Timeouts,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("urls", &self.urls()).finish_non_exhaustive()
    }
}

impl Bound {
    /// The addresses that the server listens on, in the order in which they were given, with their real ports:
    /// `tcp://127.0.0.1:49152`. A host name may have several.
    pub fn urls(&self) -> Vec<String> {
        self.entries.iter().flat_map(|entry| entry.urls()).collect()
    }

    /// The same, grouped by listener.
    pub fn listeners(&self) -> Vec<Vec<String>> {
        self.entries.iter().map(|entry| entry.urls()).collect()
    }

    /// As [`Server::handle`].
    pub fn handle(&self) -> Handle {
        Handle::of(&self.node)
    }

    /// Serves until `drain` is done or [`Handle::drain`] is called; then lets the connections finish, at most for the
    /// grace period. Cannot fail: a failure of one connection affects no other.
    ///
    /// # Cancel safety
    /// Dropping it ends everything at once and frees its addresses; without workers, they are free once the runtime
    /// next runs. Tasks spawned by handlers end with their worker, or without workers with the runtime.
    pub async fn serve_until(mut self, drain: impl Future<Output = ()>) -> Drained {
        let node = Arc::clone(&self.node);
        // Dropped with this future, whether it was finished or not.
        let _drain = Draining(node.stop.clone());
        let _stop = node.stop.abort.clone().drop_guard();
        let _abort = Aborting(node.connections.clone());
        let started = Instant::now();
        let workers = self.workers.all_or_caller(node.shared());
        for worker in &workers {
            node.run(worker, started);
        }
        let serving = Serving { node: Arc::clone(&node), workers, timeouts: self.timeouts };
        let accepting = Accepting::start(std::mem::take(&mut self.entries), &serving);
        tokio::select! {
            drained = self.finish(accepting, drain) => drained,
            () = node.connections.shed(&node.budget) => unreachable!("memory is bounded to the end"),
        }
    }

    /// Waits for the drain, and drains.
    async fn finish(self, accepting: Accepting, drain: impl Future<Output = ()>) -> Drained {
        let Self { node, workers, listening, .. } = self;
        tokio::select! {
            () = drain => {}
            () = node.stop.drain.cancelled() => {}
        }
        let began = Instant::now();
        let ended_before = node.metrics.ended();
        node.stop.begin_drain();
        accepting.stopped().await;
        drop(listening);
        let aborted = node.drained(node.grace()).await;
        let ended = (node.metrics.ended() - ended_before) as usize + node.tasks.len();
        workers.stop().await;
        Drained { finished: ended.saturating_sub(aborted), aborted, elapsed: began.elapsed() }
    }
}
