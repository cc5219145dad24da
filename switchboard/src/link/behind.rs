//! A connection that is not read from for a while: because it publishes more than a worker can deliver, until that has
//! caught up; or because it holds memory, until there is enough again.
//!
//! The server keeps it waiting then, so no deadline for its input runs meanwhile.

use super::budget::STEP_BYTES;
use super::tick::Tick;
use super::{CLOSING, Link, NOT_READING};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use switchboard_proto::Stamp;

/// What a member that holds nothing may do after it has waited, even if others have used up the memory by then: read a
/// little, and handle the first frames of it.
const TURNS: u8 = 2;

/// Publications of one connection that nobody has confirmed: at so many it is not read from until half of them are. Two where threads are to
/// meet in it.
const UNCONFIRMED: i16 = if cfg!(test) { 2 } else { 64 };

/// What is read at a time while memory is short: with what is answered to it, one step.
const PIECE_BYTES: usize = STEP_BYTES / 2 - 1;

impl Link {
    /// Whether the next frame may be taken with nothing to see to before it; `asks`: nor to ask for an allowance. If not, it may
    /// still be that there is nothing.
    #[inline]
    pub(crate) fn goes_on_taking(&self, asks: bool) -> bool {
        let is_behind = self.tick.backlog.is_behind() || self.falls_behind.load(Ordering::Relaxed);
        !(self.is(CLOSING) || is_behind || asks && self.tick.budget.is_exceeded())
    }

    /// Waits while a worker that it publishes to is behind: its own, where something is delivered to it, or one that was behind
    /// when it last published.
    #[inline]
    pub(crate) fn poll_caught_up(self: &Arc<Self>, cx: &Context<'_>) -> Poll<()> {
        // Relaxed: a waiter looks again under a lock.
        if self.own_is_behind() || self.falls_behind.load(Ordering::Relaxed) { self.wait(cx) } else { Poll::Ready(()) }
    }

    #[inline]
    fn own_is_behind(&self) -> bool {
        self.tick.backlog.is_behind() && self.subscriptions.load(Ordering::Relaxed) > 0
    }

    /// Says how much may be read next. While all connections together hold more than they may, that is no more than is free for
    /// each; and one that holds something waits for the end of that. So does one that is subscribed, since
    /// what it says others would hold; but each time that it has waited it may say a little, however many others wait.
    #[inline]
    pub(crate) fn poll_allowance(self: &Arc<Self>, cx: &Context<'_>) -> Poll<usize> {
        self.poll_allowance_beside(cx, || 0)
    }

    /// The same of one that holds `own` bytes whatever it reads.
    #[inline]
    pub(crate) fn poll_allowance_beside(
        self: &Arc<Self>,
        cx: &Context<'_>,
        own: impl FnOnce() -> usize,
    ) -> Poll<usize> {
        if self.tick.budget.is_exceeded() { self.poll_relieved(cx, own()) } else { Poll::Ready(usize::MAX) }
    }

    #[cold]
    fn poll_relieved(self: &Arc<Self>, cx: &Context<'_>, own: usize) -> Poll<usize> {
        {
            let mut state = self.state.lock();
            let is_member = self.subscriptions.load(Ordering::Relaxed) > 0;
            if state.charged_bytes() < own + STEP_BYTES && (!is_member || state.turns > 0) {
                state.turns = state.turns.saturating_sub(u8::from(is_member));
                return Poll::Ready(PIECE_BYTES);
            }
        }
        self.poll_relief(cx)
    }

    /// As [`poll_allowance`](Self::poll_allowance), of one that would hold much whatever it reads: it waits as well.
    /// Of those who have waited, a few are read from each time.
    pub(crate) fn poll_relief(self: &Arc<Self>, cx: &Context<'_>) -> Poll<usize> {
        if !self.tick.budget.is_exceeded() {
            return Poll::Ready(usize::MAX);
        }
        let mut state = self.state.lock();
        if state.turns > 0 && state.charged_bytes() < STEP_BYTES && self.tick.budget.takes_newcomer() {
            state.turns = 0;
            return Poll::Ready(PIECE_BYTES);
        }
        if state.held_up_since.get().is_none() {
            if !self.tick.budget.wait(self) {
                return Poll::Ready(usize::MAX);
            }
            state.held_up_since = Stamp::at(self.tick.now());
        }
        self.await_end(&mut state);
        self.register(&mut state, cx);
        Poll::Pending
    }

    fn wait(self: &Arc<Self>, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.held_up_since.get().is_none() && state.unconfirmed >= UNCONFIRMED {
            state.held_up_since = Stamp::at(self.tick.now());
        }
        if state.held_up_since.get().is_none() {
            let own = self.own_is_behind().then(|| Arc::clone(&self.tick));
            let tick = own.or_else(|| state.behind.take());
            if !tick.is_some_and(|tick| tick.backlog.wait(self)) {
                self.falls_behind.store(false, Ordering::Relaxed);
                return Poll::Ready(());
            }
            state.held_up_since = Stamp::at(self.tick.now());
        }
        self.register(&mut state, cx);
        Poll::Pending
    }

    /// It has published to a worker that is behind.
    pub(crate) fn fall_behind(&self, tick: Arc<Tick>) {
        self.state.lock().behind = Some(tick);
        self.falls_behind.store(true, Ordering::Relaxed);
    }

    /// Something that it has published is to be confirmed.
    pub(crate) fn awaits_confirmation(&self) {
        let mut state = self.state.lock();
        // It may be below zero: a log may be quicker than this.
        state.unconfirmed = state.unconfirmed.saturating_add(1);
        if state.unconfirmed >= UNCONFIRMED {
            self.falls_behind.store(true, Ordering::Relaxed);
        }
    }

    /// It is confirmed, or will not be.
    pub(crate) fn is_confirmed(&self) {
        let mut state = self.state.lock();
        state.unconfirmed = state.unconfirmed.saturating_sub(1);
        let goes_on = state.unconfirmed == UNCONFIRMED / 2 && state.held_up_since.get().is_some();
        drop(state);
        if goes_on {
            self.go_on();
        }
    }

    /// What it waits for is over.
    pub(super) fn go_on(&self) {
        let mut state = self.state.lock();
        let since = std::mem::replace(&mut state.held_up_since, Stamp::NONE);
        state.turns = TURNS;
        if let Some(since) = since.get() {
            // Its input deadline could not run meanwhile: it goes on from where it stood.
            let later = |reading| (reading != NOT_READING).then(|| reading + (self.tick.now() - since));
            // Relaxed: a stamp that guards no other memory.
            let _ = self.reading_since.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        }
        state.wake();
    }
}
