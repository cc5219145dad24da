//! One worker's tick: the outboxes that became dirty since the last one are flushed together.
//!
//! Nobody writes to a socket when a frame is queued. The first dirty outbox notifies the tick, which lets everything
//! else run and hear of new input first, so that what arrives together leaves in one system call per connection.
//! Also the worker's clock: whole seconds, stepped by its sweep.

use super::budget::Budget;
use super::peer::Peer;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use switchboard_proto::Second;
use tokio::sync::Notify;

/// Flushes between two yields: about 2 ms of system calls, so that input waits no longer than that.
const FLUSHES_PER_TURN: usize = 256;

/// One read takes at most this: it drains a socket of a thousand short lines, and fits the second-level cache.
const READ_BYTES: usize = 64 << 10;

pub(crate) struct Tick {
    dirty: Mutex<Vec<Arc<Peer>>>,
    notify: Notify,
    now: AtomicU32,
    pub(crate) budget: Arc<Budget>,
    /// Where every read of the worker's goes first, so that an idle connection owns no buffer.
    pub(crate) read_buffer: Mutex<Box<[u8]>>,
}

impl Tick {
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self {
            dirty: Mutex::default(),
            notify: Notify::new(),
            now: AtomicU32::new(0),
            budget,
            read_buffer: Mutex::new(vec![0; READ_BYTES].into()),
        }
    }

    /// The second of the last sweep.
    pub(crate) fn now(&self) -> Second {
        // Relaxed: a stamp that is a sweep old is as good as any other within its second.
        self.now.load(Ordering::Relaxed)
    }

    pub(crate) fn set_now(&self, now: Second) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// Has `peer` flushed at the next tick. Called once per peer and tick.
    pub(super) fn mark(&self, peer: Arc<Peer>) {
        let mut dirty = self.dirty.lock();
        dirty.push(peer);
        if dirty.len() == 1 {
            drop(dirty);
            self.notify.notify_one();
        }
    }

    /// Runs for as long as its worker does.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut batch = Vec::new();
        loop {
            self.notify.notified().await;
            // Everything that is ready runs, and the driver is polled, before the first write (DESIGN, "How it runs").
            tokio::task::yield_now().await;
            std::mem::swap(&mut batch, &mut self.dirty.lock());
            for (flushed, peer) in batch.drain(..).enumerate() {
                if flushed % FLUSHES_PER_TURN == FLUSHES_PER_TURN - 1 {
                    tokio::task::yield_now().await;
                }
                peer.flush();
            }
        }
    }
}
