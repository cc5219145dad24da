//! The ways in which a handler ends its connection on purpose.

use super::Connection;
use switchboard_proto::{CloseCode, CloseReason, Codec};

impl<C: Codec> Connection<C> {
    /// Closes the connection after what is queued has been flushed, as dropping it does, and says that it was meant
    /// ([`CloseReason::Closed`]) where the peer has not finished.
    pub fn close(mut self) {
        if !self.0.peer_finished && !self.is_draining() {
            self.0.close_code.get_or_insert(CloseCode::NORMAL.number());
            self.0.peer.note(CloseReason::Closed);
        }
    }

    /// As [`close`](Self::close), and tells the peer `code` and up to 123 bytes of `text`, if it speaks WebSocket and has not said
    /// itself that it closes. Other protocols have no words for it: see [`last_word`](Self::last_word).
    pub fn close_with(mut self, code: CloseCode, text: &str) {
        // What is said already stands: the peer's own code, or that of an error.
        let text = self.0.close_code.is_none().then(|| text.into());
        self.0.close_code.get_or_insert(code.number());
        if !self.0.peer_finished && !self.is_draining() {
            self.0.peer.note(CloseReason::Closed);
        }
        self.0.give_back(text);
    }
}
