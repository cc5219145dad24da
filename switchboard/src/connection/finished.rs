//! Sending beside receiving, and a connection on which nothing more is sent.

use super::Connection;
use crate::error::ConnectionError;
use crate::link::PeerAddr;
use std::future::poll_fn;
use std::sync::Arc;
use switchboard_proto::{CloseReason, Codec};

/// A connection that was [finished](Connection::finish): it still receives.
///
/// Dropped, it is closed as a [`Connection`] is.
#[derive(Debug)]
#[must_use = "dropping it closes the connection"]
pub struct Finished<C: Codec>(Connection<C>);

impl<C: Codec> Connection<C> {
    /// Waits until a frame can be sent without waiting: what a relay asks first, which must not stop receiving while it
    /// waits to send. Also done once the connection is closed.
    ///
    /// Borrows nothing, so that it can be waited for beside [`recv`](Self::recv), by the same task.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn writable(&self) -> impl Future<Output = ()> + Send + use<C> {
        let peer = Arc::clone(&self.0.peer);
        poll_fn(move |cx| peer.poll_writable(cx))
    }

    /// Finishes sending: once what is queued has left, the peer sees the end of its input. Receiving goes on.
    ///
    /// What rooms publish from now on is not sent either. A WebSocket says so with its close frame.
    pub fn finish(mut self) -> Finished<C> {
        let farewell = self.0.codec.farewell(CloseReason::Finished, None, CloseReason::Finished.code());
        let farewell = self.0.envelope.end(farewell, CloseReason::Finished);
        self.0.has_finished = true;
        self.0.peer.finish_sending(farewell);
        Finished(self)
    }
}

impl<C: Codec> Finished<C> {
    /// Receives the next frame, as [`Connection::recv`] does.
    ///
    /// # Errors
    /// As there; also if what was queued could not be sent.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<C::Frame>, ConnectionError>> {
        self.0.recv()
    }

    /// As [`Connection::closed`].
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + use<C> {
        self.0.closed()
    }

    /// The codec, which knows how the peer has finished.
    pub fn codec_mut(&mut self) -> &mut C {
        self.0.codec_mut()
    }

    /// Where the peer is.
    pub fn peer(&self) -> &PeerAddr {
        self.0.peer()
    }
}
