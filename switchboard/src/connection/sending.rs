//! What a handler sends on its own connection.

use super::{Connection, Receiving, TrySendError};
use crate::error::ConnectionError;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll};
use switchboard_proto::{CloseReason, Codec};

impl<C: Codec> Connection<C> {
    /// Queues a frame. It is written when the handler next waits, or by the worker's next tick, together with
    /// everything else that is queued by then.
    ///
    /// Waits only while the outbox is full ([`Limits::outbox_bytes`](crate::Limits::outbox_bytes)). Success means
    /// queued, not delivered. If the peer has gone, frames are discarded while [`recv`](Self::recv) hands over what it
    /// sent before: a handler that answers each frame still handles all of them, whatever becomes of the answers.
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

    /// Queues a frame like [`send`](Self::send), if there is space. Never waits; to wait for space, use
    /// [`writable`](Self::writable).
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

    /// Queues a last frame, even on a connection that is already closed, where [`send`](Self::send) fails: to tell the
    /// peer why. It is not sent if the outbox is full, or if the close is a reset. Never waits.
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

    /// The same of a frame with so many `bytes` that another connection has received, which leaves at once.
    #[inline]
    pub(super) fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        (count, bytes): (usize, usize),
        frame: &mut Option<C::Frame>,
    ) -> Poll<Result<(), CloseReason>> {
        let Self { link, codec, envelope, .. } = self;
        link.poll_pass(cx, (count, bytes), |output| {
            let Some(frame) = frame.take() else { unreachable!("queued once") };
            envelope.put(output, |output| codec.encode(frame, output));
        })
    }
}
