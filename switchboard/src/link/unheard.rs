//! A peer that can no longer be written to: a write failed. What it sent before is still received, whatever becomes of
//! the answers.
//!
//! A peer that sends something and leaves resets the connection when the answer arrives, perhaps before its input was
//! handled. So only the receiving side ends the connection here, once no more input is left; or the sweep, if nobody
//! receives.

use super::{CLOSING, COMPLETE, Link, State, UNHEARD, reason_of};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use switchboard_proto::{CloseReason, Stamp};

impl Link {
    /// A read failed, and what came before it is to be handled: what is sent is discarded.
    pub(crate) fn broken(&self, error: &io::Error) {
        self.stop_hearing(&mut self.state.lock(), error);
    }

    /// A write failed. From now on what is sent is discarded, and receiving goes on up to the end of what came.
    pub(super) fn stop_hearing(&self, state: &mut State, error: &io::Error) {
        if self.is(UNHEARD) {
            return;
        }
        // Whoever reads a stream has nothing to say.
        if self.is(CLOSING) || self.is_streaming() {
            return self.end_locked(state, reason_of(error));
        }
        state.reason.get_or_insert(reason_of(error));
        self.await_taking(state);
        // The error of a socket whose peer has finished or stopped reading; one that broke off gives another.
        let complete = if error.kind() == io::ErrorKind::BrokenPipe { COMPLETE } else { 0 };
        // Release: the reason is in place before anybody sees the flags.
        self.attention.fetch_or(CLOSING | UNHEARD | complete, Ordering::Release);
        state.wake();
    }

    /// Whether what is sent is discarded, and receiving goes on.
    pub(crate) fn is_unheard(&self) -> bool {
        self.is(UNHEARD)
    }

    /// Whether no end will come from the socket: what it has now is all.
    #[inline]
    pub(crate) fn is_cut_off(&self) -> bool {
        self.is(UNHEARD) && !self.is(COMPLETE)
    }

    /// All that the peer sent was received.
    pub(crate) fn received_all(&self) {
        if self.is(UNHEARD) {
            self.end(CloseReason::PeerReset);
        }
    }

    /// The handler asks for the next frame. As [`closing`](Self::closing), for it.
    #[inline]
    pub(crate) fn taking(&self) -> Option<CloseReason> {
        if self.is(CLOSING) { self.taking_last() } else { None }
    }

    #[cold]
    fn taking_last(&self) -> Option<CloseReason> {
        let mut state = self.state.lock();
        if !self.is(UNHEARD) {
            return state.reason;
        }
        self.await_taking(&mut state);
        None
    }

    /// The receiver gets the linger time for each frame, like a handler whose connection is closed, and space for its
    /// answers. A task that only sends finds the outbox full, and waits for the end.
    fn await_taking(&self, state: &mut State) {
        state.lingering = Stamp::at(self.tick.now());
        state.outbox.discard(&self.tick.budget);
        if std::mem::take(&mut state.wants_space) {
            state.wake();
        }
    }

    /// It is the peer who is waited for, if it is unheard.
    pub(super) fn await_end(self: &Arc<Self>, state: &mut State) {
        if self.is(UNHEARD) {
            state.lingering = Stamp::NONE;
        }
    }
}
