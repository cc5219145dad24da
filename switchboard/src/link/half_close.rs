//! Finishing sending while receiving goes on.

use super::staging;
use super::{CLOSING, FINISHED, Link, Protocol, RESET, wake};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

impl Link {
    /// Nothing more is queued from now on; the connection's task shuts the write side down once what is queued has left.
    /// The last thing that is queued is `farewell`.
    pub(crate) fn finish_sending(self: &Arc<Self>, farewell: Option<Bytes>) {
        let mut state = self.state.lock();
        staging::take(self, |output, frames| self.append(&mut state, output, frames));
        if let Some(farewell) = farewell {
            state.outbox.push(1, |output| output.share(farewell));
            self.queued(&mut state);
            self.speaks(Protocol::Ended);
        }
        self.attention.fetch_or(FINISHED, Ordering::Release);
        wake(state.driver.as_ref());
        state.tell_of_space();
    }

    /// Continues that. An error reaches the receiver after everything that has arrived.
    pub(super) fn poll_half_close(&self, cx: &mut Context<'_>) {
        // No end is told that nobody had come to.
        if self.is(RESET) {
            return;
        }
        // If the protocol has announced it, the socket stays open: proxies take a half-close for a full close.
        let said = self.is_speaking(Protocol::Ended);
        let finished = if said { self.poll_flush(cx) } else { self.poll_shut_down(cx) };
        if let Poll::Ready(Err(error)) = finished {
            self.stop_hearing(&mut self.state.lock(), &error);
        }
    }

    /// Waits until a frame can be queued without waiting, or never again.
    pub(crate) fn poll_writable(self: &Arc<Self>, cx: &Context<'_>) -> Poll<()> {
        let limits = &self.listener.limits;
        let mut state = self.state.lock();
        if self.is(CLOSING) || !state.outbox.is_full(limits.outbox_bytes, limits.outbox_frames) {
            return Poll::Ready(());
        }
        self.register(&mut state, cx);
        state.wants_space = true;
        Poll::Pending
    }

    /// Waits until fewer than `bytes` are queued, or nothing is queued ever again.
    pub(crate) fn poll_below(self: &Arc<Self>, cx: &Context<'_>, bytes: usize) -> Poll<()> {
        let mut state = self.state.lock();
        if self.is(CLOSING) || !state.outbox.is_full(bytes, usize::MAX) {
            return Poll::Ready(());
        }
        self.register(&mut state, cx);
        state.wants_space = true;
        Poll::Pending
    }

    /// Writes what is queued and shuts the write side down; at once if that is done.
    pub(super) fn poll_shut_down(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        let mut state = self.state.lock();
        if let Some(sink) = state.outbox.sink()
            && let Poll::Pending = sink.poll_shutdown(cx)?
        {
            // A last word of TLS that the socket does not take is due like any other byte.
            state.outbox.block(self.tick.now());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}
