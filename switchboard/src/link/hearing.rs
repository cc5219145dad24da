//! What is noted of a connection's input, for the sweep and for lists: what is spoken, whose turn it is, and since when.

use super::{ABORTED, CLOSING, DRAINING, Link, NOT_READING, OPENING, Protocol, UNHEARD, staging};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Context;
use switchboard_proto::{CloseReason, Second};

impl Link {
    /// What is spoken from now on.
    pub(crate) fn speaks(&self, protocol: Protocol) {
        // Relaxed: for lists, the sweep and a drain, which can lag by a moment.
        self.protocol.store(protocol as u8, Ordering::Relaxed);
        if protocol == Protocol::WebSocket {
            self.becomes_websocket();
        }
    }

    pub(crate) fn is_speaking(&self, protocol: Protocol) -> bool {
        self.protocol.load(Ordering::Relaxed) == protocol as u8
    }

    /// Whether its client reconnects when it is closed, as browsers do for WebSockets and event streams.
    pub(crate) fn comes_back(&self) -> bool {
        self.is_speaking(Protocol::WebSocket) || self.is_streaming()
    }

    /// A handshake begins, or the head of a request.
    pub(crate) fn opening(&self) {
        self.opening_since(self.tick.now());
    }

    /// The handshake goes on that began when it was accepted: a proxy had to say first whose it is.
    pub(crate) fn opening_since_accepted(&self) {
        let waited = Second::try_from(self.opened.elapsed().as_secs()).unwrap_or(Second::MAX);
        self.opening_since(self.tick.now().saturating_sub(waited));
    }

    fn opening_since(&self, second: Second) {
        self.reading_since.store(second, Ordering::Relaxed);
        self.attention.fetch_or(OPENING, Ordering::Release);
    }

    /// The handshake is over, or the head is whole.
    pub(crate) fn opened(&self) {
        self.attention.fetch_and(!OPENING, Ordering::Release);
        self.reading_since.store(NOT_READING, Ordering::Relaxed);
    }

    /// Bytes came in that are not what the handler waits for.
    #[inline]
    pub(crate) fn heard(&self, bytes: usize) {
        self.came(bytes as u64);
        self.last.store(self.tick.now(), Ordering::Relaxed);
    }

    /// Bytes came in.
    #[inline]
    pub(crate) fn received(&self, bytes: usize) {
        self.heard(bytes);
        if self.reading_since.load(Ordering::Relaxed) != NOT_READING && !self.is(OPENING) {
            self.reading_since.store(self.tick.now(), Ordering::Relaxed);
        }
    }

    /// The handler has a frame, which counts as `frames`, and is not waiting for the peer.
    #[inline]
    pub(crate) fn handling(&self, frames: usize) {
        self.handled(frames as u64);
        self.reading_since.store(NOT_READING, Ordering::Relaxed);
    }

    /// It is for the peer to say something.
    #[inline]
    pub(crate) fn idle(&self) {
        if self.reading_since.load(Ordering::Relaxed) == NOT_READING {
            self.reading_since.store(self.tick.now(), Ordering::Relaxed);
        }
    }

    /// The peer has finished, or nobody is receiving: it cannot be late.
    pub(crate) fn awaits_nothing(&self) {
        self.reading_since.store(NOT_READING, Ordering::Relaxed);
    }

    /// The handler waits for input, and holds `partial` bytes of a frame. `was_holding`: and it may have held more.
    #[inline]
    pub(crate) fn waiting(self: &Arc<Self>, cx: &mut Context<'_>, partial: usize, was_holding: bool) {
        self.idle();
        if partial == 0 && !was_holding && staging::is_polling(self) && !self.is(UNHEARD) {
            return;
        }
        let mut state = self.state.lock();
        self.await_end(&mut state);
        state.input_charge.keep(partial, &self.tick.budget);
        self.register(&mut state, cx);
    }

    /// `bytes` are held beside the outbox: of input that is not whole yet, or of an answer that is not queued yet.
    pub(crate) fn holding(&self, bytes: usize) {
        self.state.lock().input_charge.keep(bytes, &self.tick.budget);
    }

    #[inline]
    pub(crate) fn is_draining(&self) -> bool {
        self.is(DRAINING)
    }

    /// Whether it was ended without any time to finish.
    pub(crate) fn is_aborted(&self) -> bool {
        self.is(ABORTED)
    }

    /// Why receiving fails, if it does.
    #[inline]
    pub(crate) fn closing(&self) -> Option<CloseReason> {
        if !self.is(CLOSING) {
            return None;
        }
        let state = self.state.lock();
        if self.is(UNHEARD) { None } else { state.reason }
    }
}
