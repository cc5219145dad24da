//! How a connection ends: who may ask for it, what the sweep finds overdue, and the steps of its close.

use super::outbox::Outbox;
use super::{
    ABORTED, CLOSING, DRAINING, FINISHED, FORCED, Link, NOT_READING, OPENING, PART, Protocol, RESET, SPLIT, State,
    UNHEARD, unsendable, wake,
};
use super::{Source, staging};
use crate::error::contained;
use crate::metrics::Lane;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use switchboard_proto::{CloseReason, Ending, Output, Second, Stamp, Stamps, Timeouts, WEBSOCKET_PING, passed};

/// A client of HTTP may be silent for this long between two requests, where no idle timeout is set.
const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// Encodes what tells the peer why the connection ends, if the protocol has words for it.
pub(crate) type Farewell = Box<dyn FnOnce(CloseReason) -> Option<Bytes> + Send>;

/// What a connection gives back when it is dropped.
pub(crate) struct Returned {
    pub(crate) source: Box<dyn Source>,
    /// The peer has finished sending, or is gone.
    pub(crate) peer_finished: bool,
    pub(crate) farewell: Option<Farewell>,
}

impl Link {
    /// The connection's receiving half is gone.
    pub(crate) fn give_back(&self, returned: Returned) {
        let mut state = self.state.lock();
        state.input_charge.set(0, &self.tick.budget);
        self.awaits_nothing();
        if let Some(waiting) = &mut state.waiting {
            waiting.handler = None;
        }
        state.returned = Some(Box::new(returned));
        wake(state.driver.as_ref());
        state.tell_of_space();
    }

    // Ending: anybody may ask, the first reason stands.

    /// Notes why the connection will end, without ending it.
    pub(crate) fn note(&self, reason: CloseReason) {
        self.state.lock().reason.get_or_insert(reason);
    }

    /// Ends the connection: receiving and sending fail, and the handler has the linger time to finish.
    pub(crate) fn end(&self, reason: CloseReason) {
        self.end_locked(&mut self.state.lock(), reason);
    }

    /// Ends the connection now, whatever the handler is doing.
    pub(crate) fn abort(&self, reason: CloseReason) {
        let mut state = self.state.lock();
        self.attention.fetch_or(ABORTED, Ordering::Release);
        self.end_locked(&mut state, reason);
    }

    /// Ends the connection now, for the memory that it holds. What is queued is given back at once; the rest, which counts until
    /// then, when its task runs.
    pub(crate) fn shed(&self) {
        let mut state = self.state.lock();
        self.attention.fetch_or(ABORTED, Ordering::Release);
        self.end_locked(&mut state, CloseReason::OutOfMemory);
        let queued = state.outbox.shed(&self.tick.budget);
        drop(state);
        // Whoever ends connections goes on after a panic of a value of the user's.
        let _ = contained(|| drop(queued));
    }

    /// Ends the connection at its handler's request, and discards what is queued. The reason that came first stands.
    pub(crate) fn reset(self: &Arc<Self>, reason: CloseReason) {
        let mut state = self.state.lock();
        staging::take(self, |_, _| {});
        state.outbox.discard(&self.tick.budget);
        self.attention.fetch_or(RESET, Ordering::Release);
        self.end_locked(&mut state, reason);
    }

    /// Its handler tells of its end, with that of another one.
    pub(crate) fn part_of_pair(&self) {
        self.attention.fetch_or(PART, Ordering::Release);
    }

    pub(crate) fn is_part_of_pair(&self) -> bool {
        self.is(PART)
    }

    /// Ends the connection at its handler's request, which is done with it: politely or not, depending on the reason.
    pub(crate) fn end_as(self: &Arc<Self>, reason: CloseReason) {
        match reason.ending() {
            Ending::Polite => self.note(reason),
            Ending::Abrupt => self.reset(reason),
        }
    }

    /// Whether a connection that ends for `reason` is reset.
    pub(crate) fn ends_abruptly(&self, reason: CloseReason) -> bool {
        self.is(RESET) || reason.ending() == Ending::Abrupt
    }

    /// Ends receiving, after what has already arrived.
    pub(crate) fn drain(&self) {
        let state = self.state.lock();
        self.attention.fetch_or(DRAINING, Ordering::Release);
        state.wake();
    }

    pub(super) fn end_locked(&self, state: &mut State, reason: CloseReason) {
        state.reason.get_or_insert(reason);
        if state.lingering.get().is_none() || self.is(UNHEARD) {
            state.lingering = Stamp::at(self.tick.now());
        }
        // Release: the reason is in place before anybody sees the flag.
        self.attention.fetch_or(CLOSING, Ordering::Release);
        self.attention.fetch_and(!UNHEARD, Ordering::Release);
        state.wake();
        state.tell_of_end();
    }

    /// Waits until receiving and sending fail, and says why.
    pub(crate) fn ended(self: &Arc<Self>) -> impl Future<Output = CloseReason> + Send + use<> {
        let peer = Arc::clone(self);
        async move {
            let ended = {
                let mut state = peer.state.lock();
                Arc::clone(state.waiting.get_or_insert_default().ended.get_or_insert_default())
            };
            loop {
                // Before looking: it hears of what happens after it was made.
                let told = ended.notified();
                if let Some(reason) = peer.closing() {
                    return reason;
                }
                told.await;
            }
        }
    }

    /// Checks the deadlines, once a second. Returns whether one has passed: the caller then lets pending input be read,
    /// and calls [`expire`](Self::expire).
    pub(crate) fn sweep(self: &Arc<Self>, now: Second) -> bool {
        let mut state = self.state.lock();
        self.sweep_end(&mut state);
        if self.is_speaking(Protocol::Http)
            && !state.outbox.is_empty()
            && !self.is(OPENING | CLOSING)
            && self.reading_since.load(Ordering::Relaxed) != NOT_READING
        {
            // It is the client's turn once it has all of its answer.
            self.reading_since.store(now, Ordering::Relaxed);
        }
        let (stamps, timeouts) = self.waits(&state);
        if passed(state.lingering.get(), now, Some(timeouts.linger)) || stamps.expired(now, &timeouts).is_some() {
            return true;
        }
        if self.is_speaking(Protocol::WebSocket) && stamps.wants_ping(now, &timeouts) {
            state.pinged = Stamp::at(now);
            state.outbox.push(1, |output| output.put(WEBSOCKET_PING));
            self.queued(&mut state);
        }
        self.keep_alive(&mut state, now, &timeouts);
        false
    }

    /// Ends what a deadline has passed for.
    pub(crate) fn expire(&self, now: Second) {
        let mut state = self.state.lock();
        let (stamps, timeouts) = self.waits(&state);
        if passed(state.lingering.get(), now, Some(timeouts.linger)) {
            if self.is(UNHEARD) {
                // Nobody takes what it sent. The reason stands.
                self.end_locked(&mut state, CloseReason::PeerReset);
            } else {
                self.attention.fetch_or(FORCED, Ordering::Release);
                wake(state.driver.as_ref());
            }
        }
        match stamps.expired(now, &timeouts) {
            None => {}
            // A peer that stopped reading while it was being closed: nothing more will be flushed.
            Some(CloseReason::SlowConsumer) if state.reason.is_some() => {
                self.attention.fetch_or(FORCED, Ordering::Release);
                self.end_locked(&mut state, CloseReason::SlowConsumer);
            }
            Some(reason) => self.end_locked(&mut state, reason),
        }
    }

    /// What it waits for, and how long it may.
    fn waits(&self, state: &State) -> (Stamps, Timeouts) {
        let mut timeouts = self.listener.timeouts;
        if self.is_speaking(Protocol::Http) {
            timeouts.idle = timeouts.idle.or(Some(KEEP_ALIVE));
        } else if self.is_streaming() {
            // The client need not send anything.
            timeouts.idle = None;
        }
        let reading = self.reading_since.load(Ordering::Relaxed);
        // Nobody is late whom we do not hear.
        let stamp = (reading != NOT_READING && state.held_up_since.get().is_none()).then_some(reading);
        let (opening, reading) = if self.is(OPENING) { (stamp, None) } else { (None, stamp) };
        // Only a ping in a later second than the last input counts: in the same second it was answered.
        let pinged = state.pinged.get().filter(|pinged| reading.is_some_and(|reading| *pinged > reading));
        (Stamps { opening, reading, pinged, writing: state.outbox.blocked_since() }, timeouts)
    }

    /// Queues a last frame, also once the connection is closed; not if there is no space. If the close is a reset, only a
    /// transport can tell it whose frames need nothing of what is queued before them.
    pub(crate) fn send_last(self: &Arc<Self>, frames: usize, encode: impl FnOnce(&mut Output)) {
        let limits = &self.listener.limits;
        let mut state = self.state.lock();
        staging::take(self, |output, frames| self.append(&mut state, output, frames));
        let is_reset = state.reason.is_some_and(|reason| self.ends_abruptly(reason));
        if is_reset && !self.is(FINISHED) {
            let mut output = Output::default();
            encode(&mut output);
            if let Some(sink) = state.outbox.sink() {
                sink.last_frame(&output.into_bytes());
            }
            return;
        }
        let is_full = |outbox: &Outbox| outbox.is_full(limits.outbox_bytes, limits.outbox_frames);
        if self.is(FINISHED) || !self.make_space(Lane::Tasks, &mut state, is_full).is_ok_and(|has_space| has_space) {
            return;
        }
        state.outbox.push(frames, encode);
        self.queued(&mut state);
        self.sent(Lane::Tasks, frames);
    }

    /// Sends a last frame past all that is queued if it ends for `reason`, where a reset can be told: its handler was dropped and
    /// could not.
    pub(crate) fn tell_reset(&self, reason: CloseReason, frame: impl FnOnce() -> Option<Bytes>) {
        let mut state = self.state.lock();
        if state.reason == Some(reason)
            && let Some(frame) = frame()
            && let Some(sink) = state.outbox.sink()
        {
            sink.last_frame(&frame);
        }
    }

    /// Its task is gone. If the task did not close the connection, because its event loop ended, the connection's owner
    /// is told that nothing works any more. Returns why it ended in that case.
    pub(crate) fn abandon(&self) -> Option<CloseReason> {
        self.state.lock().outbox.sink()?;
        self.abort(CloseReason::Aborted);
        self.finish_close(false);
        self.closing()
    }

    // The steps of a close, taken by the connection's own task.

    /// Waits until the `Connection` is dropped, or both of its halves: it may outlive the handler in a task of the user's.
    pub(crate) fn poll_returned(&self) -> Poll<Returned> {
        let mut state = self.state.lock();
        if self.is(SPLIT) {
            return Poll::Pending;
        }
        state.returned.take().map_or(Poll::Pending, |returned| Poll::Ready(*returned))
    }

    /// Starts to close for `reason`, or the one that came first; says so to the peer if there is a way.
    pub(crate) fn start_close(&self, reason: CloseReason, farewell: Option<Farewell>) -> CloseReason {
        let mut state = self.state.lock();
        self.attention.fetch_or(CLOSING, Ordering::Release);
        self.attention.fetch_and(!UNHEARD, Ordering::Release);
        self.reading_since.store(NOT_READING, Ordering::Relaxed);
        state.lingering = Stamp::NONE;
        let reason = *state.reason.get_or_insert(reason);
        state.tell_of_end();
        state.tell_of_space();
        if let Some(sink) = state.outbox.sink() {
            sink.reason(reason);
        }
        if self.ends_abruptly(reason) {
            self.attention.fetch_or(FORCED, Ordering::Release);
        } else {
            // The handler's time is over, but the peer's begins only now.
            self.attention.fetch_and(!FORCED, Ordering::Release);
            // One that has finished has said so.
            let farewell = farewell.filter(|_| !self.is(FINISHED));
            if let Some(farewell) = farewell.and_then(|farewell| farewell(reason)) {
                state.outbox.push(1, |output| output.share(farewell));
            }
        }
        reason
    }

    /// Writes what is queued and shuts the write side down; bounded by the write timeout. Gives why it closes now, if that is
    /// another reason than it had: something is lost that was still to be sent, and the peer cannot be told.
    pub(crate) fn poll_finish_sending(&self, cx: &mut Context<'_>) -> Poll<Result<(), Option<CloseReason>>> {
        let sent = ready!(self.poll_shut_down(cx));
        let mut state = self.state.lock();
        state.lingering = Stamp::at(self.tick.now());
        let Err(error) = sent else { return Poll::Ready(Ok(())) };
        let reason = unsendable(&error);
        state.reason = reason.or(state.reason);
        if let (Some(reason), Some(sink)) = (reason, state.outbox.sink()) {
            sink.reason(reason);
        }
        Poll::Ready(Err(reason))
    }

    /// Closes the socket's write side, as a reset if the end was abrupt. Says how many bytes were not written.
    pub(crate) fn finish_close(&self, reset: bool) -> usize {
        let mut state = self.state.lock();
        if reset && let Some(sink) = state.outbox.sink() {
            sink.reset();
        }
        let unwritten = state.outbox.close();
        state.outbox.charge.set(0, &self.tick.budget);
        state.driver = None;
        unwritten
    }
}
