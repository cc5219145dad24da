//! What relays, and users of a connection as a byte stream, need from a link.

use super::{BLOCKED, CLOSING, FINISHED, Link, NOT_READING, OPENING, UNHEARD, staging};
use crate::metrics::Lane;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use switchboard_proto::{CloseReason, Output};

/// What is as large as this is written by itself: to gather it with more saves less than it costs to wait for the tick.
const LARGE_BYTES: usize = staging::MOST_BYTES;

impl Link {
    /// Something passed through the connection that this one is relayed with: its peer is not late, though it sends
    /// nothing.
    pub(crate) fn stir(&self) {
        if self.reading_since.load(Ordering::Relaxed) != NOT_READING && !self.is(OPENING) {
            self.reading_since.store(self.tick.now(), Ordering::Relaxed);
        }
    }

    /// As [`poll_send`](Self::poll_send), of `bytes` that another connection has received: what its own task does not stage is written at
    /// once, and not at the next tick, as nothing joins it there.
    #[inline]
    pub(crate) fn poll_pass(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        (frames, bytes): (usize, usize),
        encode: impl FnOnce(&mut Output),
    ) -> Poll<Result<(), CloseReason>> {
        if bytes < LARGE_BYTES && staging::is_polling(self) {
            return self.poll_send(cx, frames, encode);
        }
        let mut state = self.state.lock();
        ready!(self.poll_place(&mut state, cx))?;
        state.outbox.push(frames, encode);
        self.sent(Lane::Tasks, frames);
        if state.outbox.dirty || state.outbox.blocked_since().is_some() || self.is(UNHEARD) {
            // Somebody writes it already.
            self.queued(&mut state);
            return Poll::Ready(Ok(()));
        }
        let mut written = 0;
        let result = state.outbox.try_flush(self.tick.now(), &mut written);
        self.wrote(Lane::Tasks, &mut state, written);
        self.flushed(&mut state, result);
        Poll::Ready(Ok(()))
    }

    /// Writes what another connection has just received, past an empty queue. Returns how many bytes the socket took; the rest is to be
    /// queued, and so is all of it where there is anything else to see to.
    #[inline]
    pub(crate) fn pass(self: &Arc<Self>, bytes: &[u8]) -> usize {
        let mut state = self.state.lock();
        staging::take(self, |output, frames| self.append(&mut state, output, frames));
        if self.is(CLOSING | FINISHED | OPENING | UNHEARD) || !state.outbox.is_idle() {
            return 0;
        }
        let Some(sink) = state.outbox.sink() else { return 0 };
        // Whatever is wrong is still so when the bytes are queued.
        let Ok(written) = sink.try_write(&[IoSlice::new(bytes)]) else { return 0 };
        self.sent(Lane::Tasks, usize::from(written == bytes.len()));
        self.wrote(Lane::Tasks, &mut state, written as u64);
        written
    }

    /// What came was passed on, as a frame that needed no handling.
    #[inline]
    pub(crate) fn took_on(&self) {
        self.handled(1);
    }

    /// Whether the socket has not taken all that was written last.
    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        self.is(BLOCKED)
    }

    /// Waits until the socket has taken all that is queued.
    pub(crate) fn poll_flushed(self: &Arc<Self>, cx: &Context<'_>) -> Poll<Result<(), CloseReason>> {
        let mut state = self.state.lock();
        staging::take(self, |output, frames| self.append(&mut state, output, frames));
        if self.is(CLOSING) && !self.is(UNHEARD | FINISHED) {
            return Poll::Ready(Err(state.reason.unwrap_or(CloseReason::Closed)));
        }
        if state.outbox.is_empty() || self.is(CLOSING) {
            return Poll::Ready(Ok(()));
        }
        self.register(&mut state, cx);
        state.wants_space = true;
        Poll::Pending
    }

    /// Why the connection will end, if that is known.
    pub(crate) fn noted(&self) -> Option<CloseReason> {
        self.state.lock().reason
    }
}
