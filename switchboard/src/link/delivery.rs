//! The whole seam between links and what lies above them: what a worker's tick calls, what waits for one link, what is
//! kept while there is memory for it, and what delivery may do with a link.
//!
//! The traits are declared here and implemented above. A link knows neither who posts nor what is posted. There are
//! three traits because there are three kinds of objects: one per worker, one per connection with something waiting,
//! and one for everything that keeps something.

use super::figure::Figure;
use super::outbox::{Flushed, Outbox};
use super::tick::Tick;
use super::{CLOSING, ConnectionId, FINISHED, Link, State, wake};
use crate::metrics::Lane;
use crate::sync::MutexGuard;
use crate::turn::Turn;
use bytes::Bytes;
use std::any::Any;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use switchboard_proto::{CloseReason, Output};

/// Of the outbox's bounds, the part that is for what others say to one connection alone.
const TOLD_PART: usize = 4;

/// What was posted to one worker's links, until its tick delivers it.
///
/// There is one per worker, made by the first post ([`Tick::delivery`]), and none where nothing is posted.
pub(crate) trait Delivery: Any + Send + Sync {
    /// Delivers what was posted since the last call, in that order; `None` if nothing was.
    fn deliver<'a>(&'a self, tick: &'a Tick, turn: &'a mut Turn) -> Option<Step<'a>>;

    /// Does what is due once a second, if anything is.
    fn sweep<'a>(&'a self, turn: &'a mut Turn) -> Option<Step<'a>>;

    /// Drops what was posted, and accepts nothing more: nothing is delivered any more, and it would keep its links
    /// alive for ever.
    fn end(&self);
}

/// One piece of work, which takes turns with all others.
pub(crate) type Step<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// What waits for one link behind the bytes being written, in order. It can be dropped until it is moved to those
/// bytes.
///
/// Made when the first of it is queued, and gone with the last ([`Outbox::deferred`]).
pub(crate) trait Deferred: Any + Send {
    fn is_empty(&self) -> bool;

    /// Bytes of frames.
    fn bytes(&self) -> usize;

    /// Bytes that it takes beside those.
    fn entry_bytes(&self) -> usize;

    /// Bytes and frames that count towards the outbox's bounds.
    fn counted(&self) -> (usize, usize);

    /// Queues frames of the link's own, which are never dropped.
    fn keep(&mut self, frames: Bytes);

    /// Whether what comes next is fetched first. Nothing of it is moved before [`Link::fetched`] says so.
    fn is_fetching(&self) -> bool;

    /// The socket takes no more: keep nothing alive for it that can be fetched later.
    fn let_go(&mut self);

    /// Moves frames to the empty `output`. Says how many bytes and frames of them count towards the outbox's bounds, and calls
    /// `told` with whose was said to this one alone, and how long it was. Or the connection has to end, and why.
    fn refill(
        &mut self,
        output: &mut Output,
        told: &mut dyn FnMut(ConnectionId, usize),
    ) -> Result<(usize, usize), CloseReason>;
}

/// Something kept only while there is memory for it, such as histories: it counts itself, and gives way before any
/// connection does.
pub(crate) trait Reclaim: Send + Sync {
    /// Bytes that it keeps.
    fn figure(&self) -> &Figure;

    /// The budget at this address has another limit from now on.
    fn follow(&self, budget: usize, limit: usize) {
        let _ = (budget, limit);
    }

    /// How many pieces it has, each of which gives way separately.
    fn pieces(&self) -> usize;

    /// Has the next piece give way, or have its turn later. Says whether there is any.
    fn one_gives_way(&self) -> bool;
}

/// Why a frame from elsewhere was not taken.
pub(crate) enum Undeliverable {
    /// The connection is as good as gone.
    Closing,
    /// The outbox is.
    Full,
}

/// A link locked for delivery. Nothing here waits.
pub(crate) struct Delivering<'a> {
    link: &'a Arc<Link>,
    state: MutexGuard<'a, State>,
}

impl Delivering<'_> {
    #[inline]
    pub(crate) fn outbox(&mut self) -> &mut Outbox {
        &mut self.state.outbox
    }

    /// Bytes and frames that may be queued.
    #[inline]
    pub(crate) fn bounds(&self) -> (usize, usize) {
        let limits = &self.link.listener.limits;
        (limits.outbox_bytes, limits.outbox_frames)
    }

    /// Whether nobody else delivers to it, and nothing is queued: then it may be written to at once.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        // Relaxed: a count that guards no other memory.
        self.link.subscriptions.load(Ordering::Relaxed) == 1 && self.state.outbox.is_idle() && !self.expects_repeat()
    }

    /// Whether some of what is delivered may be told in another way, which whoever delivers knows.
    #[inline]
    pub(crate) fn expects_repeat(&self) -> bool {
        self.state.repeats > 0
    }

    /// Writes shared bytes past the empty queue, as [`Outbox::write_through`]. None if the socket broke.
    #[inline]
    pub(crate) fn write_through(
        &mut self,
        bytes: &Bytes,
        whole: impl FnOnce(usize) -> usize,
    ) -> Option<(usize, Flushed)> {
        let mut written = 0;
        match self.state.outbox.write_through(self.link.tick.now(), bytes, &mut written, whole) {
            Ok((taken, flushed)) => {
                self.link.wrote(Lane::Tick, &mut self.state, written);
                if flushed != Flushed::Clean {
                    self.link.flushed(&mut self.state, Ok(flushed));
                }
                Some((taken, flushed))
            }
            Err(error) => {
                self.link.stop_hearing(&mut self.state, &error);
                None
            }
        }
    }

    /// Offers the socket what is queued, since something would be dropped else: that is for those alone whose socket takes no
    /// more. Says whether the outbox is not full now; if it is, the socket need not be asked again in this call. None if it broke.
    pub(crate) fn make_space(&mut self, is_full: impl Fn(&Outbox) -> bool) -> Option<bool> {
        let result = self.link.make_space(Lane::Tick, &mut self.state, is_full);
        result.inspect_err(|error| self.link.stop_hearing(&mut self.state, error)).ok()
    }

    /// Counts frames that are written or queued.
    #[inline]
    pub(crate) fn count(&self, frames: usize) {
        self.link.sent(Lane::Tick, frames);
    }

    /// Has what was queued written.
    pub(crate) fn queued(mut self) {
        self.link.queued(&mut self.state);
    }

    pub(crate) fn end(mut self, reason: CloseReason) {
        self.link.end_locked(&mut self.state, reason);
    }
}

impl Link {
    /// Locks it for whoever delivers to it; none if nothing more is sent.
    #[inline]
    pub(crate) fn delivering(self: &Arc<Self>) -> Option<Delivering<'_>> {
        let state = self.state.lock();
        (!self.is(CLOSING | FINISHED)).then_some(Delivering { link: self, state })
    }

    /// Offers the socket what is queued while the outbox is full.
    pub(super) fn make_space(
        self: &Arc<Self>,
        lane: Lane,
        state: &mut State,
        is_full: impl Fn(&Outbox) -> bool,
    ) -> io::Result<bool> {
        while is_full(&state.outbox) {
            let was_blocked = state.outbox.blocked_since().is_some();
            let mut written = 0;
            let flushed = state.outbox.try_flush(self.tick.now(), &mut written)?;
            self.wrote(lane, state, written);
            if state.outbox.is_fetching() {
                return Ok(false);
            }
            if flushed == Flushed::Blocked {
                // The task of one that was blocked before waits for the socket already.
                if !was_blocked {
                    self.flushed(state, Ok(flushed));
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What was fetched to be sent next is there.
    pub(crate) fn fetched(self: &Arc<Self>) {
        let mut state = self.state.lock();
        self.queued(&mut state);
        // It may be closing, behind what is to be sent.
        wake(state.driver.as_ref());
    }

    /// Expects a frame of `length` bytes from another connection, which [arrives](Self::arrives) by the tick. What is taken is
    /// sent, however soon the handler finishes. All that is said so has a part of the outbox's bounds for itself: it ends nobody,
    /// and takes the place of nothing else.
    pub(crate) fn expect(&self, from: ConnectionId, length: usize) -> Result<(), Undeliverable> {
        let limits = &self.listener.limits;
        let bounds = (limits.outbox_bytes.div_ceil(TOLD_PART), limits.outbox_frames.div_ceil(TOLD_PART));
        let mut state = self.state.lock();
        if self.is(CLOSING) {
            return Err(Undeliverable::Closing);
        }
        if self.is(FINISHED) || !state.outbox.expect(from, length, bounds) {
            return Err(Undeliverable::Full);
        }
        Ok(())
    }

    /// Has `queue` queue one frame that was expected, if it is still sent.
    pub(crate) fn arrives(self: &Arc<Self>, from: ConnectionId, length: usize, queue: impl FnOnce(&mut Outbox)) {
        let mut state = self.state.lock();
        let is_open = !self.is(CLOSING | FINISHED);
        if !state.outbox.arrived(from, length, is_open) {
            return;
        }
        queue(&mut state.outbox);
        self.queued(&mut state);
        self.sent(Lane::Tick, 1);
        if !state.outbox.expects() {
            wake(state.driver.as_ref());
        }
    }

    /// Counts one more subscription: by each something is delivered to it. Not if that were more than `limit`.
    pub(crate) fn subscribe(&self, limit: usize) -> bool {
        // Relaxed: a count that guards no other memory.
        let counted = self.subscriptions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            ((count as usize) < limit).then_some(count + 1)
        });
        counted.is_ok()
    }

    /// Takes that back: nothing comes of it.
    pub(crate) fn take_back(&self) {
        self.subscriptions.fetch_sub(1, Ordering::Relaxed);
    }

    /// Something that was delivered, or would be, is about to be told again in its order.
    pub(crate) fn expect_repeat(&self) {
        let mut state = self.state.lock();
        // One that has so many under way is looked at for good.
        state.repeats = state.repeats.saturating_add(1);
    }

    /// It is being told, or is not after all.
    pub(crate) fn repeated(&self) {
        let mut state = self.state.lock();
        if state.repeats < u16::MAX {
            state.repeats = state.repeats.saturating_sub(1);
        }
    }

    /// A subscription ends, as soon as what was posted before is delivered.
    pub(crate) fn unsubscribe(&self) {
        self.subscriptions.fetch_sub(1, Ordering::Relaxed);
        self.leaving.fetch_add(1, Ordering::Relaxed);
    }

    /// All of that is delivered.
    pub(crate) fn unsubscribed(&self) {
        // Release: what was delivered is in the outbox before the task sees that nothing more will come.
        if self.leaving.fetch_sub(1, Ordering::Release) == 1 {
            wake(self.state.lock().driver.as_ref());
        }
    }

    /// Whether something may still be delivered: by a subscription that has ended, or from somebody who was told that it will be.
    pub(crate) fn is_owed(&self) -> bool {
        !self.is(CLOSING) && (self.leaving.load(Ordering::Acquire) > 0 || self.state.lock().outbox.expects())
    }
}
