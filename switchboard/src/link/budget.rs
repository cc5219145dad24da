//! The bound on all memory held for messages.
//!
//! Connections charge what they hold beyond one small step; a shared counter is touched only when a step is crossed, so
//! steady traffic of small frames never touches it. What waits in workers' inboxes is charged as it comes. Histories count
//! themselves, and are asked only when there is not much left. Who gives way is decided by whoever waits for
//! [`Budget::pressure`].

use crate::sync::Mutex;
use crate::turn::{CALL_BYTES, Turn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// Charges are rounded up to this; what one connection holds below it within a tick is free.
pub(crate) const STEP_BYTES: usize = 4096;

/// Below this share of the limit nothing can be too much, whatever histories and inboxes hold of theirs.
const EASE: usize = 4;

/// Histories grow without a word to the budget: so it looks by itself now and then.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The sum of bytes held, and its limit.
pub(crate) struct Budget {
    held: AtomicUsize,
    limit: AtomicUsize,
    pressure: Notify,
    /// What counts itself.
    kept: Mutex<Vec<Weak<dyn Reclaim>>>,
}

/// What is kept for as long as there is memory for it, as histories are: it counts itself, and gives way before any connection.
pub(crate) trait Reclaim: Send + Sync {
    /// Bytes that it keeps.
    fn bytes(&self) -> usize;

    /// In how many pieces, each of which gives way by itself.
    fn pieces(&self) -> usize;

    /// Has the next piece give way, or have its turn later. Says whether there is any.
    fn one_gives_way(&self) -> bool;
}

/// What one connection is charged with in one direction.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    steps: u32,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            held: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            pressure: Notify::new(),
            kept: Mutex::default(),
        }
    }

    pub(crate) fn limit(&self) -> usize {
        // Relaxed: a setting that guards no other memory.
        self.limit.load(Ordering::Relaxed)
    }

    /// What is held above it from now on has somebody give way.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Counts what waits in a worker's inbox.
    pub(crate) fn post(&self, bytes: usize) {
        self.change(0, bytes);
    }

    /// Takes off what an inbox held no more.
    pub(crate) fn delivered(&self, bytes: usize) {
        self.change(bytes, 0);
    }

    fn held(&self) -> usize {
        // Relaxed: a sum to compare with a limit; it guards no other memory.
        self.held.load(Ordering::Relaxed)
    }

    /// Bytes held above the limit.
    pub(crate) fn excess(&self) -> usize {
        let kept: usize = self.kept.lock().iter().filter_map(Weak::upgrade).map(|one| one.bytes()).sum();
        (self.held() + kept).saturating_sub(self.limit())
    }

    /// Waits until a charge has exceeded the limit, or may have.
    pub(crate) async fn pressure(&self) {
        while tokio::time::timeout(LOOK_INTERVAL, self.pressure.notified()).await.is_err() && self.excess() == 0 {}
    }

    /// Counts what `one` keeps from now on.
    pub(crate) fn count<R: Reclaim + 'static>(&self, one: &Arc<R>) {
        let mut kept = self.kept.lock();
        kept.retain(|known| known.strong_count() > 0 && !std::ptr::addr_eq(known.as_ptr(), Arc::as_ptr(one)));
        kept.push(Arc::downgrade(one) as Weak<dyn Reclaim>);
    }

    fn kept(&self) -> Vec<Arc<dyn Reclaim>> {
        self.kept.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Has what is kept give way to connections, the oldest first, as far as that helps.
    pub(crate) async fn reclaim(&self) {
        let mut turn = Turn::default();
        for one in self.kept() {
            // Each is asked twice at most before it halves what it keeps, and 16 times for all of it.
            let mut looks = 16 * one.pieces();
            while looks > 0 && self.excess() > 0 && one.one_gives_way() {
                looks -= 1;
                turn.spend(CALL_BYTES).await;
            }
        }
    }

    fn change(&self, before: usize, after: usize) {
        // Relaxed: as in `held`.
        if after < before {
            self.held.fetch_sub(before - after, Ordering::Relaxed);
        } else {
            let held = self.held.fetch_add(after - before, Ordering::Relaxed) + (after - before);
            if held > self.limit() / EASE && self.excess() > 0 {
                self.pressure.notify_one();
            }
        }
    }
}

impl Charge {
    /// Charges `bytes` in place of what was charged before, in whole steps; a last partial step is free.
    pub(crate) fn set(&mut self, bytes: usize, budget: &Budget) {
        let steps = u32::try_from(bytes / STEP_BYTES).unwrap_or(u32::MAX);
        if steps != self.steps {
            let before = self.bytes();
            self.steps = steps;
            budget.change(before, self.bytes());
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.steps as usize * STEP_BYTES
    }
}
