//! How a handler ends its connection on purpose.
//!
//! Each of these takes the connection, notes why it ends, and leaves the rest to the connection's task, which closes it
//! once the handler has finished. The first reason that was noted stands.

use super::{Connection, RecvHalf, SendHalf};
use std::num::NonZeroU16;
use std::time::SystemTime;
use switchboard_proto::{CloseCode, CloseReason, Codec};

impl<C: Codec> Connection<C> {
    /// Closes the connection after flushing what is queued, as dropping it does, but with the reason
    /// [`CloseReason::Closed`], unless the peer has finished.
    pub fn close(mut self) {
        if !self.0.peer_finished && !self.is_draining() {
            self.0.close_code = self.0.close_code.or(NonZeroU16::new(CloseCode::NORMAL.number()));
            self.0.link.note(CloseReason::Closed);
        }
    }

    /// Like [`close`](Self::close), but also sends a WebSocket peer `code` and up to 123 bytes of `text`, unless the
    /// peer has sent its own close frame. Other protocols cannot express this: see [`last_word`](Self::last_word).
    pub fn close_with(mut self, code: CloseCode, text: &str) {
        // What is said already stands: the peer's own code, or that of an error.
        let text = self.0.close_code.is_none().then(|| text.into());
        self.0.close_code = self.0.close_code.or(NonZeroU16::new(code.number()));
        if !self.0.peer_finished && !self.is_draining() {
            self.0.link.note(CloseReason::Closed);
        }
        self.0.give_back(text);
    }

    /// Closes the connection for `reason`, which is logged and counted unless another came first: a handler may decide
    /// by itself that a peer is idle, slow or lost, or breaks its protocol's rules.
    ///
    /// What is queued is flushed first, as by [`close`](Self::close), or discarded, as by [`reset`](Self::reset),
    /// depending on [`CloseReason::ending`]. A WebSocket peer gets the close code for the reason.
    ///
    /// A handler may also return the reason as its error, which does the same.
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

    /// Ends the connection at `end` ([`CloseReason::Expired`]), as if an operator closed it then; `None` cancels that.
    /// For a peer that has shown something that is good for a time, such as a token; call it again once a newer one is shown.
    ///
    /// Accurate to a second, and never early. Input that the handler has not received by then is discarded. No timer runs.
    /// Setting the clock back after the call does not prolong the connection. Setting it forward shortens it, as does a
    /// machine that slept: a new peer with the same token would be late too.
    ///
    /// # Examples
    /// ```
    /// # use switchboard::prelude::*;
    /// # use std::time::{Duration, SystemTime};
    /// /// Nobody stays for more than an hour.
    /// async fn echo(mut conn: Connection<Lines>) -> Result {
    ///     conn.expire_at(Some(SystemTime::now() + Duration::from_secs(3600)));
    ///     while let Some(line) = conn.recv().await? {
    ///         conn.send(line).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn expire_at(&self, end: Option<SystemTime>) {
        self.0.link.ends_at(end);
    }

    /// Resets the connection ([`CloseReason::Reset`]): what is queued is discarded, and so is what the peer has sent
    /// but the handler has not received.
    ///
    /// The peer gets a TCP reset, also over TLS and for a WebSocket; for a WebSocket over HTTP/2, only its stream is
    /// reset. A datagram peer is told nothing. From now on senders and the other half fail; the rest happens once the
    /// handler has finished.
    pub fn reset(self) {
        self.close_as(CloseReason::Reset);
    }
}

impl<C: Codec> RecvHalf<C> {
    /// Like [`Connection::close_as`], once both halves are dropped, or at once for a reason that resets the connection.
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
