//! The ways in which a handler ends its connection on purpose.
//!
//! Each takes the connection, notes why it ends, and leaves the rest to the connection's task, which closes it once the handler has
//! finished. The first reason that anybody has noted stands.

use super::{Connection, RecvHalf, SendHalf};
use switchboard_proto::{CloseCode, CloseReason, Codec};

impl<C: Codec> Connection<C> {
    /// Closes the connection after what is queued has been flushed, as dropping it does, and says that it was meant
    /// ([`CloseReason::Closed`]) where the peer has not finished.
    pub fn close(mut self) {
        if !self.0.peer_finished && !self.is_draining() {
            self.0.close_code.get_or_insert(CloseCode::NORMAL.number());
            self.0.link.note(CloseReason::Closed);
        }
    }

    /// As [`close`](Self::close), and tells the peer `code` and up to 123 bytes of `text`, if it speaks WebSocket and has not said
    /// itself that it closes. Other protocols have no words for it: see [`last_word`](Self::last_word).
    pub fn close_with(mut self, code: CloseCode, text: &str) {
        // What is said already stands: the peer's own code, or that of an error.
        let text = self.0.close_code.is_none().then(|| text.into());
        self.0.close_code.get_or_insert(code.number());
        if !self.0.peer_finished && !self.is_draining() {
            self.0.link.note(CloseReason::Closed);
        }
        self.0.give_back(text);
    }

    /// Closes the connection for `reason`, which is logged and counted unless there was one before: a handler may find for itself
    /// that a peer is idle, slow or lost, or breaks its protocol's rules.
    ///
    /// What is queued is flushed first, as by [`close`](Self::close), or thrown away, as by [`reset`](Self::reset): which of the two,
    /// [`CloseReason::ending`] says. A WebSocket is told the code that stands for the reason.
    ///
    /// A handler that is done with it may return the reason as its error, which does the same.
    ///
    /// # Examples
    /// ```
    /// # use switchboard::prelude::*;
    /// # use std::time::Duration;
    /// /// The first line has to come within ten seconds.
    /// async fn login(mut conn: Connection<Lines>) -> Result {
    ///     let Ok(line) = tokio::time::timeout(Duration::from_secs(10), conn.recv()).await else {
    ///         return Err(CloseReason::HandshakeTimeout.into());
    ///     };
    ///     Ok(conn.send(format!("hello {}", line?.unwrap_or_default())).await?)
    /// }
    /// ```
    pub fn close_as(self, reason: CloseReason) {
        self.0.link.end_as(reason);
    }

    /// Resets the connection ([`CloseReason::Reset`]): what is queued is thrown away, and so is what the peer has sent and the handler
    /// has not received.
    ///
    /// The peer gets a TCP reset, also of a TLS connection or a WebSocket; of a WebSocket over HTTP/2 its stream is reset alone. A
    /// datagram peer is told nothing. From now on senders and the other half fail; the rest is done once the handler has finished.
    pub fn reset(self) {
        self.close_as(CloseReason::Reset);
    }
}

impl<C: Codec> RecvHalf<C> {
    /// As [`Connection::close_as`], once both halves are dropped; at once for a reason that resets it.
    pub fn close_as(self, reason: CloseReason) {
        self.into_inner().close_as(reason);
    }

    /// As [`Connection::reset`], whoever has the other half.
    pub fn reset(self) {
        self.into_inner().reset();
    }
}

impl<C: Codec> SendHalf<C> {
    /// As [`Connection::reset`], whoever has the other half.
    pub fn reset(self) {
        self.link().reset(CloseReason::Reset);
    }
}
