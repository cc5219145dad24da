//! One worker's tick: it delivers what was posted to its links since the last tick, and flushes the outboxes that
//! became dirty.
//!
//! Queuing a frame writes nothing. The first dirty outbox notifies the tick, which first lets everything else run and
//! see new input, so that what arrives together leaves in one system call per connection. Also the worker's clock:
//! whole seconds, stepped by its sweep.

use super::backlog::Backlog;
use super::budget::Budget;
use super::delivery::Delivery;
use super::read_buffer::ReadBuffer;
use super::{ClosedRing, EndClock, Gathering, Link, Tasks};
use crate::error::{Panicked, contained};
use crate::metrics::WorkerCounts;
use crate::sync::Mutex;
use crate::turn::{CALL_BYTES, Turn};
use std::any::Any;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use switchboard_proto::{CloseReason, Second};
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// Memory that a list keeps from one tick to the next; growth beyond this, in a burst, is given back.
const KEPT_BYTES: usize = 64 << 10;

pub(crate) struct Tick {
    dirty: Mutex<Vec<Arc<Link>>>,
    pub(crate) backlog: Backlog,
    notify: Notify,
    /// Nothing is delivered or flushed any more. A new entry would keep its links alive, and they the tick, for ever.
    ended: AtomicBool,
    now: AtomicU32,
    /// For the ends of what links were shown to be.
    pub(crate) ends: EndClock,
    pub(crate) budget: Arc<Budget>,
    /// The worker's, and what is spawned there for connections.
    pub(crate) runtime: Handle,
    pub(crate) tasks: Tasks,
    /// What is counted on this worker.
    pub(crate) counts: Arc<WorkerCounts>,
    /// Who has left it lately.
    pub(crate) closed: ClosedRing,
    /// The buffer that every read of the worker goes to first, so that an idle connection owns none.
    pub(crate) read_buffer: Mutex<ReadBuffer>,
    /// What is posted from elsewhere; none before the first time.
    delivery: Mutex<Option<Arc<dyn Delivery>>>,
    /// What sinks have gathered in this tick.
    gathered: Mutex<Vec<Arc<dyn Gathering>>>,
}

impl Tick {
    pub(crate) fn new(runtime: Handle, budget: Arc<Budget>, tasks: Tasks) -> Self {
        Self {
            dirty: Mutex::default(),
            backlog: Backlog::default(),
            notify: Notify::new(),
            ended: AtomicBool::new(false),
            now: AtomicU32::new(0),
            ends: EndClock::default(),
            budget,
            runtime,
            counts: tasks.metrics.worker(),
            closed: ClosedRing::default(),
            tasks,
            read_buffer: Mutex::default(),
            delivery: Mutex::default(),
            gathered: Mutex::default(),
        }
    }

    /// The second of the last sweep.
    #[inline]
    pub(crate) fn now(&self) -> Second {
        // Relaxed: a stamp that is a sweep old is as good as any other within its second.
        self.now.load(Ordering::Relaxed)
    }

    /// Steps the clock, once a second.
    pub(crate) fn set_now(&self, now: Second) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// Does what the posting side has to do once a second.
    pub(crate) async fn sweep(&self, turn: &mut Turn) {
        let delivery = self.delivery.lock().clone();
        if let Some(delivery) = delivery
            && let Some(step) = delivery.sweep(turn)
        {
            step.await;
        }
    }

    /// What is posted to this worker's links from elsewhere, made at the first time; none once the tick has ended.
    pub(crate) fn delivery<D: Delivery + Default>(&self) -> Option<Arc<D>> {
        let mut delivery = self.delivery.lock();
        if self.has_ended() {
            return None;
        }
        let known: Arc<dyn Any + Send + Sync> = Arc::clone(delivery.get_or_insert_with(|| Arc::new(D::default()))) as _;
        let Ok(known) = known.downcast() else { unreachable!("all that is posted comes by the same type") };
        Some(known)
    }

    /// Has what was posted delivered.
    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }

    /// Has `link` flushed at the next tick. Called once per link and tick.
    pub(crate) fn mark(&self, link: Arc<Link>) {
        let mut dirty = self.dirty.lock();
        if self.has_ended() {
            return;
        }
        dirty.push(link);
        if dirty.len() == 1 {
            drop(dirty);
            self.notify.notify_one();
        }
    }

    /// Flushes what sinks gather at the end of this tick, or of the next one.
    pub(crate) fn flush_later(&self, gathering: Arc<dyn Gathering>) {
        self.gathered.lock().push(gathering);
        self.notify.notify_one();
    }

    /// Whether publishers have to wait for this worker: it is behind, or too much memory is held.
    pub(crate) fn is_behind(&self) -> bool {
        self.backlog.is_behind() || self.budget.is_exceeded()
    }

    /// Waits until that is over, if only for a moment.
    pub(crate) async fn caught_up(&self) {
        self.backlog.caught_up().await;
        self.budget.relieved().await;
    }

    /// Whether the tick has ended: nothing that is sent here is written any more.
    pub(crate) fn has_ended(&self) -> bool {
        // Relaxed: the caller holds a lock that the end takes after this is set.
        self.ended.load(Ordering::Relaxed)
    }

    /// Waits until there is memory for the next delivery. What was delivered before, and what others queue, is written
    /// meanwhile.
    pub(crate) async fn relieved(&self, turn: &mut Turn) {
        let mut batch = Vec::new();
        self.flush(&mut batch, turn).await;
        let mut relieved = pin!(self.budget.relieved());
        loop {
            tokio::select! {
                biased;
                () = &mut relieved => break,
                () = self.notify.notified() => self.flush(&mut batch, turn).await,
            }
        }
        // It may have been for what was posted.
        self.notify.notify_one();
    }

    /// Flushes the dirty outboxes; `batch` is empty scratch memory.
    async fn flush(&self, batch: &mut Vec<Arc<Link>>, turn: &mut Turn) {
        std::mem::swap(batch, &mut self.dirty.lock());
        for link in batch.drain(..) {
            let flushed = contained(|| link.flush()).unwrap_or_else(|Panicked| {
                // A queued value belonged to the user, and its drop panicked.
                link.abort(CloseReason::HandlerPanic);
                0
            });
            turn.spend(CALL_BYTES + flushed).await;
        }
        batch.shrink_to(KEPT_BYTES / size_of::<Arc<Link>>());
        let gathered = std::mem::take(&mut *self.gathered.lock());
        for gathering in gathered {
            gathering.flush();
            turn.spend(CALL_BYTES).await;
        }
    }

    /// Runs for as long as its worker does.
    pub(crate) fn run(self: Arc<Self>) -> impl Future<Output = ()> + Send {
        // So that dropping it ends the tick even if it was never polled.
        Running(self).run()
    }
}

/// A tick that has not ended. Dropping it releases what waits for the tick.
struct Running(Arc<Tick>);

impl Running {
    async fn run(self) {
        let tick = &*self.0;
        let mut delivery = None;
        let mut batch = Vec::new();
        loop {
            tick.notify.notified().await;
            // Everything that is ready runs, and the driver is polled, before the first write.
            tokio::task::yield_now().await;
            let mut turn = Turn::default();
            if delivery.is_none() {
                delivery.clone_from(&tick.delivery.lock());
            }
            if let Some(step) = delivery.as_deref().and_then(|delivery| delivery.deliver(tick, &mut turn)) {
                step.await;
            }
            tick.flush(&mut batch, &mut turn).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
        // Each is dropped without its lock.
        let dirty = std::mem::take(&mut *self.0.dirty.lock());
        let gathered = std::mem::take(&mut *self.0.gathered.lock());
        drop((dirty, gathered));
        let delivery = self.0.delivery.lock().take();
        if let Some(delivery) = delivery {
            delivery.end();
        }
        self.0.budget.delivered(self.0.backlog.bytes());
        self.0.backlog.end();
    }
}
