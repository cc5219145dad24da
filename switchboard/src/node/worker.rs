//! A thread with its own event loop, and what the connections on it share: a tick, a read buffer, a sweep.
//!
//! This state hangs on the connections rather than on the thread, so that a server runs on a caller's runtime as well.

use crate::error::logged;
use crate::link::budget::Budget;
use crate::link::roster::Roster;
use crate::link::tick::Tick;
use crate::link::{ConnectionId, Link, Tasks};
use crate::metrics::Metrics;
use crate::sync::Mutex;
use crate::turn::Turn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use switchboard_proto::Second;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle as Task;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;

/// A sweep this late means that a handler held the thread.
const LATE: Duration = Duration::from_millis(100);

/// How long to wait for the threads to end when a server is dropped: they usually take less than a millisecond.
const DROP_WAITS: usize = 1000;
const DROP_WAIT: Duration = Duration::from_micros(100);

/// The most time that deadlines count from one sweep to the next: while a process was stopped, or moved to another machine, it could
/// not read what arrived in time.
const LONGEST_STEP: Second = 2;

/// Connections that a sweep looks at under one lock, and what a look counts as in its turn: about 100 ns.
const SWEPT_TOGETHER: usize = 256;
const SWEPT_BYTES: usize = 64;

/// How many sockets the event loop reports at once, less what arrives in the meantime.
const SOCKETS_PER_YIELD: usize = 512;

/// Tasks between two polls of the sockets, where tokio takes 61. Each may take a turn of a millisecond, so what arrives in the
/// meantime waits for 16 ms at most. An attack that made others wait for 22 ms (p99) makes them wait for 7; an echo takes 2 % more
/// of our instructions with one line in flight, and 0.2 % with 16.
const EVENT_INTERVAL: u32 = 16;

/// Of so many tasks one may be another thread's to wake, where tokio takes 31: else a worker with much to do would not get to the end of
/// those connections that are closed for their memory.
const REMOTE_INTERVAL: u32 = 4;

pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) handle: Handle,
    pub(crate) tick: Arc<Tick>,
    /// By number: connections that came first are swept first, told of a drain first and listed first.
    links: Mutex<Roster<ConnectionId, Arc<Link>>>,
    load: AtomicUsize,
}

impl Worker {
    fn new(index: usize, handle: Handle, (budget, tasks): (&Arc<Budget>, &Tasks)) -> Arc<Self> {
        Arc::new(Self {
            index,
            tick: Arc::new(Tick::new(handle.clone(), Arc::clone(budget), tasks.clone())),
            handle,
            links: Mutex::default(),
            load: AtomicUsize::new(0),
        })
    }

    /// The calling runtime as a worker.
    ///
    /// # Panics
    /// Outside a runtime.
    pub(crate) fn of_caller(shared: (&Arc<Budget>, &Tasks)) -> Arc<Self> {
        Self::new(0, Handle::current(), shared)
    }

    /// Runs once all tasks have that other threads have woken until now.
    pub(super) fn round(&self) -> Task<()> {
        self.handle.spawn(std::future::ready(()))
    }

    /// Connections that this worker has, or is about to have.
    pub(crate) fn load(&self) -> usize {
        // Relaxed: balancing needs no exact figure.
        self.load.load(Ordering::Relaxed)
    }

    /// Counts a connection from the moment it is assigned.
    pub(crate) fn assign(self: &Arc<Self>) -> Assigned {
        self.load.fetch_add(1, Ordering::Relaxed);
        Assigned(Arc::clone(self))
    }

    pub(crate) fn enter(&self, link: Arc<Link>) {
        self.links.lock().insert(link.id, link);
    }

    pub(crate) fn leave(&self, id: ConnectionId) {
        self.links.lock().remove(id);
    }

    pub(crate) fn link(&self, id: ConnectionId) -> Option<Arc<Link>> {
        self.links.lock().get(id).cloned()
    }

    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.links.lock().values().cloned().collect()
    }

    /// The first `limit` after `after`.
    pub(crate) fn page(&self, after: Option<ConnectionId>, limit: usize) -> Vec<Arc<Link>> {
        self.links.lock().behind(after).take(limit).cloned().collect()
    }

    pub(crate) fn link_count(&self) -> usize {
        self.links.lock().len()
    }

    /// Checks the deadlines of some connections after a given one: returns which was the last, and adds those that are overdue.
    fn sweep_some(
        &self,
        now: Second,
        behind: Option<ConnectionId>,
        overdue: &mut Vec<Arc<Link>>,
    ) -> Option<ConnectionId> {
        let mut last = None;
        for link in self.links.lock().behind(behind).take(SWEPT_TOGETHER) {
            last = Some(link.id);
            if link.sweep(now) {
                overdue.push(Arc::clone(link));
            }
        }
        last
    }

    /// Checks every connection's deadlines once a second, and advances the worker's clock.
    pub(crate) async fn sweep(self: Arc<Self>, started: Instant, metrics: Arc<Metrics>) {
        let mut every_second = tokio::time::interval_at(started + Duration::from_secs(1), Duration::from_secs(1));
        every_second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut swept, mut now): (Second, Second) = (0, 0);
        loop {
            let due = every_second.tick().await;
            let late = due.elapsed();
            let elapsed = u32::try_from(started.elapsed().as_secs()).unwrap_or(u32::MAX);
            now += (elapsed - swept).min(LONGEST_STEP);
            swept = elapsed;
            self.tick.set_now(now);
            self.tick.ends.step(started);
            *self.tick.counts.swept.lock() = Instant::now();
            if late > LATE {
                metrics.late_ticks.add(1);
                self.tick.counts.late_ticks.add(1);
                logged(|| warn!(worker = self.index, late_ms = late.as_millis() as u64, "worker was held up"));
            }
            let mut turn = Turn::default();
            self.tick.sweep(&mut turn).await;
            let (mut looked_at, mut overdue) = (None, Vec::new());
            while let Some(last) = self.sweep_some(now, looked_at, &mut overdue) {
                looked_at = Some(last);
                turn.spend(SWEPT_TOGETHER * SWEPT_BYTES).await;
            }
            if overdue.is_empty() {
                continue;
            }
            // What is in a socket counts before a deadline does: everything is polled and read before any connection is ended.
            for _ in 0..2 + self.link_count() / SOCKETS_PER_YIELD {
                tokio::task::yield_now().await;
            }
            for link in overdue {
                link.expire(now);
            }
        }
    }
}

/// A place on a worker, held by a connection's task.
pub(crate) struct Assigned(Arc<Worker>);

impl std::ops::Deref for Assigned {
    type Target = Arc<Worker>;

    fn deref(&self) -> &Arc<Worker> {
        &self.0
    }
}

impl Drop for Assigned {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All workers of a server that are threads of its own.
pub(crate) struct Workers {
    all: Vec<Arc<Worker>>,
    threads: Vec<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Workers {
    /// Starts `count` threads.
    pub(crate) fn start(count: usize, shared: (&Arc<Budget>, &Tasks)) -> io::Result<Self> {
        let mut workers = Self { all: Vec::new(), threads: Vec::new() };
        for index in 0..count {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENT_INTERVAL)
                .global_queue_interval(REMOTE_INTERVAL)
                .build()?;
            let (stop, stopped) = oneshot::channel::<()>();
            workers.all.push(Worker::new(index, runtime.handle().clone(), shared));
            let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                // The sender being dropped is as good a reason to stop as a message.
                let _ = runtime.block_on(stopped);
            })?;
            workers.threads.push((stop, thread));
        }
        Ok(workers)
    }

    /// All of them; if there is none, the calling runtime.
    pub(crate) fn all_or_caller(&self, shared: (&Arc<Budget>, &Tasks)) -> Vec<Arc<Worker>> {
        if self.all.is_empty() { vec![Worker::of_caller(shared)] } else { self.all.clone() }
    }

    /// Ends the threads. One that a handler blocks is left behind: it cannot be stopped from outside.
    pub(crate) async fn stop(mut self) {
        let mut joins = Vec::new();
        for (stop, thread) in std::mem::take(&mut self.threads) {
            drop(stop);
            joins.push(thread);
        }
        let joined = async {
            while joins.iter().any(|thread| !thread.is_finished()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(1), joined).await.is_err() {
            warn!("a handler blocks its worker and was abandoned");
        }
    }
}

/// What still holds sockets releases them, unless a handler blocks its thread.
impl Drop for Workers {
    fn drop(&mut self) {
        let threads: Vec<_> = self.threads.drain(..).map(|(_, thread)| thread).collect();
        #[expect(clippy::disallowed_methods, reason = "there is no event loop to wait on, and it ends")]
        for _ in 0..DROP_WAITS {
            if threads.iter().all(JoinHandle::is_finished) {
                return;
            }
            std::thread::sleep(DROP_WAIT);
        }
    }
}
