//! Sending on a connection from any task.

use super::Connection;
use crate::error::ConnectionError;
use crate::link::sharing::Unqueued;
use crate::link::{ConnectionId, Envelope, Link, PeerAddr};
use crate::sync::Mutex;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use switchboard_proto::{CloseReason, Codec};

/// Sends on a [`Connection`] from anywhere: another task, another thread, another connection's handler. Cloning is cheap.
///
/// Everything leaves in the order in which it was sent, including what the connection's own handler sends, and counts
/// towards the same limits ([`Limits::outbox_bytes`](crate::Limits::outbox_bytes) and `outbox_frames`).
///
/// A sender does not keep the connection open. One that outlives the connection keeps a few hundred bytes, and reports
/// why it ended. It encodes frames with a codec of its own ([`Codec::encoder`]).
///
/// # Examples
/// ```
/// use std::sync::{Arc, Mutex};
/// use switchboard::prelude::*;
/// use switchboard::{Sender, TrySendError};
///
/// async fn chat(mut conn: Connection<Lines>, all: Arc<Mutex<Vec<Sender<Lines>>>>) -> Result {
///     all.lock().unwrap().push(conn.sender());
///     while let Some(line) = conn.recv().await? {
///         // Who reads too slowly misses a line, and who has gone is forgotten.
///         let reaches = |to: &Sender<Lines>| !matches!(to.try_send(line.clone()), Err(TrySendError::Closed(_)));
///         all.lock().unwrap().retain(reaches);
///     }
///     Ok(())
/// }
/// ```
pub struct Sender<C: Codec> {
    link: Arc<Link>,
    codec: Mutex<C>,
    envelope: Envelope,
}

/// Why [`Connection::try_send`] or [`Sender::try_send`] did not queue a frame.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError<T> {
    /// The outbox is full. The frame is given back.
    #[error("outbox is full")]
    Full(T),
    /// The connection is closed, or has finished sending.
    #[error("connection closed: {0}")]
    Closed(CloseReason),
}

impl<T> TrySendError<T> {
    /// What became of a `frame`, which is gone if it was queued.
    pub(super) fn of(queued: Result<(), Unqueued>, frame: Option<T>) -> Result<(), Self> {
        match (queued, frame) {
            (Err(Unqueued::Closed(reason)), _) => Err(Self::Closed(reason)),
            (Err(Unqueued::Full), Some(frame)) => Err(Self::Full(frame)),
            _ => Ok(()),
        }
    }
}

/// Without the frame, which is the peer's business.
impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(..)"),
            Self::Closed(reason) => f.debug_tuple("Closed").field(reason).finish(),
        }
    }
}

impl<C: Codec> Connection<C> {
    /// A sender, to send on this connection from other tasks.
    ///
    /// From then on, each frame that the handler itself sends takes a lock too.
    pub fn sender(&mut self) -> Sender<C> {
        self.0.link.share();
        Sender { link: Arc::clone(&self.0.link), codec: Mutex::new(self.0.codec.encoder()), envelope: self.0.envelope }
    }
}

impl<C: Codec> Sender<C> {
    /// Queues a frame, like [`Connection::send`]; the worker's next tick writes it.
    ///
    /// Waits while the outbox is full. Waiting senders go on once it is half empty, in no particular order.
    ///
    /// # Errors
    /// [`ConnectionError::Closed`] once the connection is closed, was dropped or has finished sending.
    ///
    /// # Cancel safety
    /// Safe, in that a frame is queued whole or not at all; a cancelled call drops its frame.
    pub fn send<T>(&self, frame: T) -> impl Future<Output = Result<(), ConnectionError>> + Send + use<'_, C, T>
    where
        T: Into<C::Frame>,
    {
        let frame = frame.into();
        async move {
            let Some(mut frame) = self.offer(frame)? else { return Ok(()) };
            let space = self.link.space();
            loop {
                // Before the look: it hears of what comes after it was made.
                let told = space.notified();
                match self.offer(frame)? {
                    None => return Ok(()),
                    Some(unqueued) => frame = unqueued,
                }
                told.await;
            }
        }
    }

    /// Queues a frame if there is space; never waits.
    ///
    /// # Errors
    /// [`TrySendError::Full`] if the outbox is full, [`TrySendError::Closed`] where [`send`](Self::send) fails.
    pub fn try_send(&self, frame: impl Into<C::Frame>) -> Result<(), TrySendError<C::Frame>> {
        let frame = frame.into();
        let count = C::count(&frame);
        let mut frame = Some(frame);
        let queued = self.link.try_queue(count, |output| {
            let Some(frame) = frame.take() else { unreachable!("queued once") };
            self.envelope.put(output, |output| self.codec.lock().encode(frame, output));
        });
        TrySendError::of(queued, frame)
    }

    /// As [`try_send`](Self::try_send); gives the frame back if there is no space.
    fn offer(&self, frame: C::Frame) -> Result<Option<C::Frame>, ConnectionError> {
        match self.try_send(frame) {
            Ok(()) => Ok(None),
            Err(TrySendError::Full(frame)) => Ok(Some(frame)),
            Err(TrySendError::Closed(reason)) => Err(ConnectionError::Closed(reason)),
        }
    }

    /// Waits until the connection ends, and gives the reason, like [`Connection::closed`].
    ///
    /// # Cancel safety
    /// Safe.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + use<C> {
        self.link.ended()
    }

    /// The peer's address.
    pub fn peer(&self) -> &PeerAddr {
        self.link.client()
    }

    /// The connection's number, unique in its server.
    pub fn id(&self) -> ConnectionId {
        self.link.id
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Finishes sending, for everybody who sends.
    pub(super) fn finish(&self) {
        let farewell = self.codec.lock().farewell(CloseReason::Finished, None, CloseReason::Finished.code());
        self.link.finish_sending(self.envelope.end(farewell, CloseReason::Finished));
    }
}

impl<C: Codec> Clone for Sender<C> {
    fn clone(&self) -> Self {
        let codec = self.codec.lock().encoder();
        Self { link: Arc::clone(&self.link), codec: Mutex::new(codec), envelope: self.envelope }
    }
}

impl<C: Codec> fmt::Debug for Sender<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, address) = (self.link.id, self.link.client());
        f.debug_struct("Sender").field("id", &id).field("peer", address).finish_non_exhaustive()
    }
}
