//! The bound on all memory held for messages.
//!
//! Connections charge what they hold beyond one small step; a shared counter is touched only when a step is crossed, so
//! steady traffic of small frames never touches it. Who gives way is decided by whoever waits for [`Budget::pressure`].

use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Charges are rounded up to this; what one connection holds below it within a tick is free.
pub(crate) const STEP_BYTES: usize = 4096;

/// The sum of bytes held, and its limit.
#[derive(Debug)]
pub(crate) struct Budget {
    held: AtomicUsize,
    limit: usize,
    pressure: Notify,
}

/// What one connection is charged with in one direction.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    steps: u32,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { held: AtomicUsize::new(0), limit, pressure: Notify::new() }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
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
        self.held().saturating_sub(self.limit)
    }

    /// Waits until a charge has exceeded the limit.
    pub(crate) async fn pressure(&self) {
        self.pressure.notified().await;
    }

    fn change(&self, before: usize, after: usize) {
        // Relaxed: as in `held`.
        if after < before {
            self.held.fetch_sub(before - after, Ordering::Relaxed);
        } else if self.held.fetch_add(after - before, Ordering::Relaxed) + (after - before) > self.limit {
            self.pressure.notify_one();
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
