//! The two halves of a connection, for two tasks; and a connection on which nothing more is sent.

use super::{Connection, Receiving, Sender};
use crate::error::ConnectionError;
use crate::link::{ConnectionId, PeerAddr};
use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::sync::Arc;
use switchboard_proto::{CloseReason, Codec};

/// The half of a [`Connection`] that receives: after [`split`](Connection::split), or after [`finish`](Connection::finish).
///
/// The connection is closed, as a [`Connection`] is, once its handler has finished and both halves are dropped.
#[derive(Debug)]
#[must_use = "dropping it closes the connection, or its half"]
pub struct RecvHalf<C: Codec>(Connection<C>);

/// The half of a [`Connection`] that sends: a [`Sender`] that keeps the connection open.
///
/// Dropping it does not tell the peer anything; [`finish`](Self::finish) does, or the end of both halves.
#[derive(Debug)]
#[must_use = "dropping it closes the connection, or its half"]
pub struct SendHalf<C: Codec>(Sender<C>);

impl<C: Codec> Connection<C> {
    /// Splits the connection into two halves that two tasks can own: one receives, the other sends.
    ///
    /// The connection is closed once its handler has finished and both halves are dropped, in any order. Join rooms
    /// before splitting.
    ///
    /// # Examples
    /// ```
    /// # use switchboard::prelude::*;
    /// /// Passes on what `from` sends, to its end.
    /// async fn pass(mut from: RecvHalf<Lines>, to: SendHalf<Lines>) -> Result {
    ///     while let Some(line) = from.recv_in_drain().await? {
    ///         to.send(line).await?;
    ///     }
    ///     to.finish();
    ///     Ok(())
    /// }
    ///
    /// async fn proxy(conn: Connection<Lines>, upstream: Connection<Lines>) -> Result {
    ///     let ((up_in, up_out), (down_in, down_out)) = (upstream.split(), conn.split());
    ///     tokio::try_join!(pass(down_in, up_out), pass(up_in, down_out))?;
    ///     Ok(())
    /// }
    /// # use switchboard::{RecvHalf, SendHalf};
    /// ```
    pub fn split(mut self) -> (RecvHalf<C>, SendHalf<C>) {
        let sender = self.sender();
        self.0.link.split();
        (RecvHalf(self), SendHalf(sender))
    }

    /// Finishes sending: once what is queued has been sent, the peer sees the end of its input. Receiving goes on.
    ///
    /// What rooms publish from now on is not sent either. A WebSocket sends its close frame.
    pub fn finish(mut self) -> RecvHalf<C> {
        self.0.finish();
        RecvHalf(self)
    }

    /// Waits until a frame can be sent without waiting: for code, such as a relay, that must not stop receiving while
    /// it waits to send. Also completes once the connection is closed.
    ///
    /// The future borrows nothing, so it can be awaited alongside [`recv`](Self::recv) in the same task.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn writable(&self) -> impl Future<Output = ()> + Send + use<C> {
        let link = Arc::clone(&self.0.link);
        poll_fn(move |cx| link.poll_writable(cx))
    }
}

impl<C: Codec> Receiving<C> {
    /// Finishes sending.
    pub(super) fn finish(&mut self) {
        let farewell = self.codec.farewell(CloseReason::Finished, None, CloseReason::Finished.code());
        let farewell = self.envelope.end(farewell, CloseReason::Finished);
        self.link.finish_sending(farewell);
    }
}

impl<C: Codec> RecvHalf<C> {
    pub(super) fn into_inner(self) -> Connection<C> {
        self.0
    }

    pub(super) fn inner(&self) -> &Connection<C> {
        &self.0
    }

    /// Receives the next frame, as [`Connection::recv`] does.
    ///
    /// # Errors
    /// As for that; also if what was queued could not be sent.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<C::Frame>, ConnectionError>> + use<'_, C> {
        self.0.recv()
    }

    /// Receives the next frame, also while the server drains, as [`Connection::recv_in_drain`] does.
    ///
    /// # Errors
    /// As for that.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn recv_in_drain(&mut self) -> impl Future<Output = Result<Option<C::Frame>, ConnectionError>> + use<'_, C> {
        self.0.recv_in_drain()
    }

    /// As [`Connection::is_draining`].
    pub fn is_draining(&self) -> bool {
        self.0.is_draining()
    }

    /// As [`Connection::draining`].
    ///
    /// # Cancel safety
    /// Safe.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<C> {
        self.0.draining()
    }

    /// As [`Connection::closed`].
    ///
    /// # Cancel safety
    /// Safe.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + use<C> {
        self.0.closed()
    }

    /// The codec, which knows how the peer finished.
    pub fn codec_mut(&mut self) -> &mut C {
        self.0.codec_mut()
    }

    /// The peer's address.
    pub fn peer(&self) -> &PeerAddr {
        self.0.peer()
    }

    /// This connection's number, unique in its server.
    pub fn id(&self) -> ConnectionId {
        self.0.id()
    }
}

impl<C: Codec> SendHalf<C> {
    /// Finishes sending, also for every [`Sender`] of the connection: once what is queued has been sent, the peer sees
    /// the end of its input. Receiving goes on. A WebSocket sends its close frame.
    pub fn finish(self) {
        self.0.finish();
    }

    /// As [`Connection::is_draining`].
    pub fn is_draining(&self) -> bool {
        self.0.link().is_draining()
    }

    /// As [`Connection::draining`].
    ///
    /// # Cancel safety
    /// Safe.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<C> {
        self.0.link().listener.told.clone().cancelled_owned()
    }
}

/// `send`, `try_send` and all other methods of a sender. A [clone](Clone) is a plain sender, and keeps nothing open.
impl<C: Codec> Deref for SendHalf<C> {
    type Target = Sender<C>;

    fn deref(&self) -> &Sender<C> {
        &self.0
    }
}

impl<C: Codec> Drop for SendHalf<C> {
    fn drop(&mut self) {
        self.0.link().give_back_sending();
    }
}
