//! What all connections of a server, or of a client, share: workers, the list of who is connected, the memory for messages, how many may
//! be admitted, the counters, and how it stops.
//!
//! It exists before anything is bound, so that a service can be given the [`Handle`] of the server that it is part of.
//! Knows neither listeners nor handlers, nor what is spoken.

mod admission;
mod bans;
mod connections;
mod drain;
mod entered;
mod groups;
mod handle;
mod owners;
mod worker;

pub(crate) use admission::{Admitted, Counted, counted_network, refuse};
pub(crate) use connections::info;
pub use connections::{ConnectionInfo, Connections};
pub use drain::Drained;
pub(crate) use drain::{Aborting, Draining, sleep_awake};
use entered::Place;
pub(crate) use entered::{Entered, Opening};
pub(crate) use groups::OwnGroupAddresses;
pub use handle::{Handle, WorkerMetrics};
pub(crate) use owners::{Owners, Scope, network};
pub(crate) use worker::{Assigned, Worker, Workers};

use crate::config::{GRACE, Limits, raise_descriptor_limit};
use crate::link::budget::Budget;
use crate::link::{ConnectionId, Link, ListenerSettings, Provenance, Spawned, Tasks};
use crate::metrics::Metrics;
use admission::Admission;
pub(crate) use bans::Bans;
pub use bans::{Ban, TooManyBans};
use drain::Stop;
use parking_lot::{Mutex, RwLock};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use switchboard_proto::CloseReason;
use tokio::runtime::Handle as Runtime;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub(crate) struct Node {
    pub(crate) connections: Connections,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) budget: Arc<Budget>,
    admission: Admission,
    pub(crate) bans: Arc<Bans>,
    /// Where it sends to groups from.
    pub(crate) sends_from: Arc<OwnGroupAddresses>,
    pub(crate) stop: Stop,
    /// The tasks of its connections, and those on their way to a worker.
    pub(crate) tasks: TaskTracker,
    /// Tasks that handlers and others have spawned.
    spawned: Tasks,
    next_id: AtomicU64,
    /// The addresses that it listens on.
    urls: Mutex<Vec<String>>,
    /// How long connections may take to finish once it drains.
    grace: Mutex<Duration>,
    limits: RwLock<Arc<Limits>>,
    /// The longest datagram; its clones are the same.
    frame_bytes: Arc<AtomicUsize>,
    /// How many times those were set.
    limits_version: AtomicUsize,
}

impl Node {
    /// A node without workers. What its connections may hold is unlimited until somebody [says](Budget::set_limit) otherwise.
    pub(crate) fn new() -> Arc<Self> {
        let (stop, metrics) = (Stop::default(), Arc::new(Metrics::new()));
        Arc::new(Self {
            connections: Connections::default(),
            spawned: Tasks::new(stop.abort.child_token(), Arc::clone(&metrics)),
            metrics,
            budget: Arc::new(Budget::new(usize::MAX)),
            admission: Admission::default(),
            bans: Arc::default(),
            sends_from: Arc::default(),
            stop,
            tasks: TaskTracker::new(),
            next_id: AtomicU64::new(1),
            urls: Mutex::default(),
            grace: Mutex::new(GRACE),
            limits: RwLock::default(),
            frame_bytes: Arc::new(AtomicUsize::new(Limits::default().frame_bytes)),
            limits_version: AtomicUsize::new(0),
        })
    }

    /// What its connections may have, and those that come from now on each.
    pub(crate) fn set_limits(&self, limits: Limits) {
        self.budget.set_limit(limits.memory_bytes);
        // Relaxed: a bound that guards no other memory.
        self.frame_bytes.store(limits.frame_bytes, Ordering::Relaxed);
        *self.limits.write() = Arc::new(limits);
        // Release, behind it: whoever sees the number sees what was set.
        self.limits_version.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits.read())
    }

    /// The longest frame, as it is at any time.
    pub(crate) fn frame_bytes(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.frame_bytes)
    }

    /// Another number than before if they were set since.
    pub(crate) fn limits_version(&self) -> usize {
        self.limits_version.load(Ordering::Acquire)
    }

    /// Adds a worker and starts what its connections need, its tick and its sweep, until the node is stopped. Workers with
    /// the same `started` sweep together.
    pub(crate) fn run(&self, worker: &Arc<Worker>, started: Instant) {
        self.connections.add(Arc::clone(worker));
        self.start(worker, started);
    }

    fn start(&self, worker: &Arc<Worker>, started: Instant) {
        self.spawn(worker, Arc::clone(&worker.tick).run());
        self.spawn(worker, Arc::clone(worker).sweep(started, Arc::clone(&self.metrics)));
    }

    /// The calling runtime as a worker: [run](Self::run) by the first call, which also starts what bounds everybody's memory,
    /// and gone with the runtime.
    ///
    /// # Panics
    /// Outside a runtime.
    pub(crate) fn worker_of_caller(&self) -> Arc<Worker> {
        self.connections.worker_of_caller(|| {
            raise_descriptor_limit();
            let worker = Worker::of_caller(self.shared());
            self.start(&worker, Instant::now());
            let (connections, budget) = (self.connections.clone(), Arc::clone(&self.budget));
            self.spawn(&worker, async move { connections.shed(&budget).await });
            worker
        })
    }

    /// Spawns a task that ends with its worker, or when the node is stopped: on a caller's runtime nothing else would end it.
    fn spawn(&self, worker: &Worker, task: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stop.abort.clone();
        // Detached: the worker's runtime ends it, or the token does. Done means that one of them did.
        drop(worker.handle.spawn(async move { _ = stopped.run_until_cancelled(task).await }));
    }

    /// Admits a connection to `worker`, or counts and logs the refusal and returns the reason.
    pub(crate) fn admit(
        self: &Arc<Self>,
        worker: &Arc<Worker>,
        origin: Provenance,
        settings: &Arc<ListenerSettings>,
    ) -> Result<Opening, CloseReason> {
        let counted = self.count_one(settings).inspect_err(|reason| refuse(&origin.address, *reason, settings))?;
        self.admit_counted(counted, worker, origin, settings)
    }

    /// The same for one that is counted among all.
    pub(crate) fn admit_counted(
        self: &Arc<Self>,
        counted: Counted,
        worker: &Arc<Worker>,
        origin: Provenance,
        settings: &Arc<ListenerSettings>,
    ) -> Result<Opening, CloseReason> {
        let admitted = self.admit_from(counted, &origin.address, settings);
        let admitted = admitted.inspect_err(|reason| refuse(&origin.address, *reason, settings))?;
        Ok(self.place(worker, origin, Arc::clone(settings), admitted))
    }

    /// Gives a connection that was admitted its number and its place on a worker.
    pub(crate) fn place(
        &self,
        worker: &Arc<Worker>,
        origin: Provenance,
        settings: Arc<ListenerSettings>,
        admitted: Admitted,
    ) -> Opening {
        self.metrics.accepted.add(1);
        settings.counts.accepted.add(1);
        // Relaxed: only uniqueness matters.
        let id = ConnectionId(self.next_id.fetch_add(1, Ordering::Relaxed));
        Opening { id, place: Place::new(origin, settings), worker: worker.assign(), admitted }
    }

    /// Admits a connection beside `other`: by the same listener, and on its worker.
    pub(crate) fn admit_beside(self: &Arc<Self>, other: &Link, origin: Provenance) -> Result<Opening, CloseReason> {
        self.admit(&self.worker_of(other), origin, &other.listener)
    }

    /// What its workers share.
    pub(crate) fn shared(&self) -> (&Arc<Budget>, &Tasks) {
        (&self.budget, &self.spawned)
    }

    /// Spawns a task that the drain waits for: on the calling worker, else on the least loaded one, or on the calling runtime
    /// while there is none.
    ///
    /// # Panics
    /// There is neither.
    fn spawn_task<F>(&self, task: F) -> Spawned<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (workers, caller) = (self.connections.workers(), Runtime::try_current().ok());
        let own = |worker: &&Arc<Worker>| caller.as_ref().is_some_and(|caller| caller.id() == worker.handle.id());
        let worker = workers.iter().find(own).or_else(|| workers.iter().min_by_key(|worker| worker.load()));
        let runtime =
            worker.map_or_else(|| caller.clone().unwrap_or_else(Runtime::current), |worker| worker.handle.clone());
        self.spawned.spawn(&runtime, None, task)
    }

    pub(crate) fn grace(&self) -> Duration {
        *self.grace.lock()
    }

    /// Of a drain that begins from now on.
    pub(crate) fn set_grace(&self, grace: Duration) {
        *self.grace.lock() = grace;
    }

    /// Lets all connections and spawned tasks finish, for at most `grace`. Returns how many connections had to be aborted then.
    pub(crate) async fn drained(&self, grace: Duration) -> usize {
        self.connections.drain(&self.tasks, &self.spawned, grace, &self.stop.abort).await
    }

    /// The worker that a connection of this node is on: what goes to another connection there crosses no threads.
    fn worker_of(&self, connection: &Link) -> Arc<Worker> {
        let mut workers = self.connections.workers().into_iter();
        let Some(worker) = workers.find(|worker| Arc::ptr_eq(&worker.tick, &connection.tick)) else {
            unreachable!("a connection is on one of its node's workers")
        };
        worker
    }

    /// Reports `urls` as the addresses listened on, until the returned value is dropped.
    pub(crate) fn listening(self: &Arc<Self>, urls: Vec<String>) -> Listening {
        *self.urls.lock() = urls;
        Listening(Arc::clone(self))
    }
}

/// On a caller's runtime nothing else would end what runs for its connections, of which there are none any more.
impl Drop for Node {
    fn drop(&mut self) {
        self.stop.abort.cancel();
    }
}

/// A server listens.
pub(crate) struct Listening(Arc<Node>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.urls.lock().clear();
    }
}
