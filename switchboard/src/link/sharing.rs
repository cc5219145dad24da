//! A connection that several tasks send on: senders, and halves that keep it open.
//!
//! What its own task sends is then queued at once, like what others send, so that everything leaves in the order in
//! which it was sent. Knows neither frames nor codecs.

use super::{CLOSING, FINISHED, Link, SHARED, SPLIT, State, UNHEARD, staging, wake};
use crate::metrics::Lane;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use switchboard_proto::{CloseReason, Output};
use tokio::sync::Notify;

/// Why a frame was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unqueued {
    /// There is no space: waiters are [told](Link::space) when there is.
    Full,
    /// Nothing more is sent.
    Closed(CloseReason),
}

impl Link {
    /// Others send from now on. What was staged comes first; from now on nothing is staged, since others would overtake
    /// it.
    pub(crate) fn share(self: &Arc<Self>) {
        let mut state = self.state.lock();
        staging::take(self, |output, frames| self.append(&mut state, output, frames));
        self.attention.fetch_or(SHARED, Ordering::Release);
    }

    /// Queues one frame, which counts as `frames`, if there is space. Otherwise `encode` is not called.
    pub(crate) fn try_queue(self: &Arc<Self>, frames: usize, encode: impl FnOnce(&mut Output)) -> Result<(), Unqueued> {
        self.put(&mut self.state.lock(), frames, encode)
    }

    /// As [`try_queue`](Self::try_queue), by the link's own task, which may stage it.
    pub(crate) fn try_send(self: &Arc<Self>, frames: usize, encode: impl FnOnce(&mut Output)) -> Result<(), Unqueued> {
        let Some(encode) = staging::push(self, frames, encode) else { return Ok(()) };
        let limits = &self.listener.limits;
        let mut state = self.state.lock();
        staging::take(self, |output, frames| self.append(&mut state, output, frames));
        self.put(&mut state, frames, encode)?;
        if !self.is(SHARED) {
            staging::open(self, state.outbox.space(limits.outbox_bytes, limits.outbox_frames));
        }
        Ok(())
    }

    fn put(
        self: &Arc<Self>,
        state: &mut State,
        frames: usize,
        encode: impl FnOnce(&mut Output),
    ) -> Result<(), Unqueued> {
        let limits = &self.listener.limits;
        if let Some(reason) = self.refuses(state) {
            return Err(Unqueued::Closed(reason));
        }
        if state.outbox.is_full(limits.outbox_bytes, limits.outbox_frames) {
            state.wants_space = true;
            return Err(Unqueued::Full);
        }
        state.outbox.push(frames, encode);
        self.queued(state);
        self.sent(Lane::Tasks, frames);
        Ok(())
    }

    /// Why nothing more is queued, if that is so.
    pub(super) fn refuses(&self, state: &State) -> Option<CloseReason> {
        if self.is(CLOSING) && !self.is(UNHEARD) {
            return Some(state.reason.unwrap_or(CloseReason::Closed));
        }
        let is_over = self.is(FINISHED) || state.returned.is_some() && !self.is(SPLIT);
        is_over.then(|| state.reason.unwrap_or(CloseReason::Finished))
    }

    /// Tells all who wait that there is space, or never will be again.
    pub(crate) fn space(&self) -> Arc<Notify> {
        Arc::clone(self.state.lock().waiting.get_or_insert_default().space.get_or_insert_default())
    }

    /// Whether nothing more is sent, though receiving may go on.
    pub(crate) fn has_finished(&self) -> bool {
        self.is(FINISHED)
    }

    /// The sending half is apart from now on: the connection stays open until both are gone.
    pub(crate) fn split(&self) {
        self.attention.fetch_or(SPLIT, Ordering::Release);
    }

    /// The sending half is gone.
    pub(crate) fn give_back_sending(&self) {
        let state = self.state.lock();
        self.attention.fetch_and(!SPLIT, Ordering::Release);
        wake(state.driver.as_ref());
        state.tell_of_space();
    }
}
