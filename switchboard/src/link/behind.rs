//! A connection that publishes more than a worker can deliver: it is not read from until the worker has caught up.

use super::Peer;
use super::tick::Tick;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

impl Peer {
    /// Waits while a worker that it publishes to is behind: its own, where something is delivered to it, or one that was behind
    /// when it last published.
    #[inline]
    pub(crate) fn poll_caught_up(self: &Arc<Self>, cx: &Context<'_>) -> Poll<()> {
        // Relaxed: who waits looks again behind a lock.
        if self.own_is_behind() || self.falls_behind.load(Ordering::Relaxed) { self.wait(cx) } else { Poll::Ready(()) }
    }

    fn own_is_behind(&self) -> bool {
        self.tick.backlog.is_behind() && self.subscriptions.load(Ordering::Relaxed) > 0
    }

    fn wait(self: &Arc<Self>, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if !state.waits_for_worker {
            let own = self.own_is_behind().then(|| Arc::clone(&self.tick));
            let tick = own.or_else(|| state.behind.take());
            state.waits_for_worker = tick.is_some_and(|tick| tick.backlog.wait(self));
        }
        if state.waits_for_worker {
            self.register(&mut state, cx);
            return Poll::Pending;
        }
        self.falls_behind.store(false, Ordering::Relaxed);
        Poll::Ready(())
    }

    /// It has published to a worker that is behind.
    pub(crate) fn fall_behind(&self, tick: Arc<Tick>) {
        self.state.lock().behind = Some(tick);
        self.falls_behind.store(true, Ordering::Relaxed);
    }

    /// The worker that it waits for has caught up.
    pub(crate) fn caught_up(&self) {
        let mut state = self.state.lock();
        state.waits_for_worker = false;
        state.wake();
    }
}
