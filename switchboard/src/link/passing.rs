//! What relays, and users of a connection as a byte stream, need from a link.

use super::{CLOSING, FINISHED, Link, NOT_READING, OPENING, UNHEARD, staging};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use switchboard_proto::CloseReason;

impl Link {
    /// Something passed through the connection that this one is relayed with: its peer is not late, though it sends
    /// nothing.
    pub(crate) fn stir(&self) {
        if self.reading_since.load(Ordering::Relaxed) != NOT_READING && !self.is(OPENING) {
            self.reading_since.store(self.tick.now(), Ordering::Relaxed);
        }
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
