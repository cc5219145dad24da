//! What a handler sends on its own connection.

use super::{Connection, Receiving, TrySendError};
use crate::error::ConnectionError;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll};
use switchboard_proto::{CloseReason, Codec};

impl<C: Codec> Connection<C> {
    /// Queues a frame; it is written when the handler next waits, or by the worker's next tick, together with whatever else is
    /// queued by then.
    ///
    /// Waits only while the outbox is full ([`Limits::outbox_bytes`](crate::Limits::outbox_bytes)). Done means queued,
    /// not delivered: to a peer that has gone frames are discarded for as long as [`recv`](Self::recv) hands over what it sent
    /// before. So a handler that answers each frame handles them all, whatever becomes of the answers.
    ///
    /// # Errors
    /// [`ConnectionError::Closed`] once the connection is closed.
    ///
    /// # Cancel safety
    /// Safe, in that a frame is queued whole or not at all; a cancelled call drops its frame.
    pub fn send<T>(&mut self, frame: T) -> impl Future<Output = Result<(), ConnectionError>> + use<'_, C, T>
    where
        T: Into<C::Frame>,
    {
        let frame = frame.into();
        let count = C::count(&frame);
        let mut frame = Some(frame);
        poll_fn(move |cx| self.0.poll_put(cx, count, &mut frame).map_err(ConnectionError::Closed))
    }

    /// Queues a frame if there is space, as [`send`](Self::send) does. Never waits; [`writable`](Self::writable) waits for space.
    ///
    /// # Errors
    /// [`TrySendError::Full`] if the outbox is full, [`TrySendError::Closed`] where `send` fails.
    pub fn try_send(&mut self, frame: impl Into<C::Frame>) -> Result<(), TrySendError<C::Frame>> {
        let Receiving { link, codec, envelope, .. } = &mut *self.0;
        let frame = frame.into();
        let count = C::count(&frame);
        let mut frame = Some(frame);
        let queued = link.try_send(count, |output| {
            let Some(frame) = frame.take() else { unreachable!("queued once") };
            envelope.put(output, |output| codec.encode(frame, output));
        });
        TrySendError::of(queued, frame)
    }

    /// Queues a last frame, also on a connection that is closed already, where [`send`](Self::send) fails: for telling the peer
    /// why. It is not sent if the close is a reset, or the outbox is full. Never waits.
    pub fn last_word(&mut self, frame: impl Into<C::Frame>) {
        let Receiving { link, codec, envelope, .. } = &mut *self.0;
        let (frame, envelope) = (frame.into(), *envelope);
        link.send_last(C::count(&frame), |output| envelope.put(output, |output| codec.encode(frame, output)));
    }
}

impl<C: Codec> Receiving<C> {
    /// Takes `frame` and queues it, which counts as `count`; or waits, if the outbox is full.
    #[inline]
    pub(super) fn poll_put(
        &mut self,
        cx: &mut Context<'_>,
        count: usize,
        frame: &mut Option<C::Frame>,
    ) -> Poll<Result<(), CloseReason>> {
        let Self { link, codec, envelope, .. } = self;
        link.poll_send(cx, count, |output| {
            let Some(frame) = frame.take() else { unreachable!("queued once") };
            envelope.put(output, |output| codec.encode(frame, output));
        })
    }
}
