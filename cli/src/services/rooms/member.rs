//! One connection in rooms: what it sends goes to its current room, or is obeyed.

use super::Listener;
use crate::services::received;
use bytes::Bytes;
use std::sync::Arc;
use switchboard::{Bucket, Codec, Connection, Identity, Join, JoinError, Membership, Result};

/// A connection and its places in rooms.
pub(super) struct Member<C: Codec> {
    pub(super) conn: Connection<C>,
    pub(super) listener: Arc<Listener>,
    pub(super) _identity: Identity,
    /// In the order in which it joined them; the last one is the current one.
    pub(super) seats: Vec<Membership>,
    frames: Bucket,
}

impl<C> Member<C>
where
    C: Codec,
    C::Frame: From<Bytes> + Into<Bytes>,
{
    /// Takes a guest's name and a place in the listener's room.
    pub(super) fn enter(conn: Connection<C>, listener: Arc<Listener>) -> Box<Self> {
        let identity = listener.hub.enter(&conn, listener.format);
        let join = Join { since: None, echo: listener.echo, overflow: listener.overflow };
        // A vector of one, and not of the four that pushing to an empty one makes. It may be in one room.
        let seats = identity.join(&listener.room, join).map_or_else(|_: JoinError| Vec::new(), |seat| vec![seat]);
        Box::new(Self { conn, listener, _identity: identity, seats, frames: Bucket::default() })
    }

    pub(super) async fn serve(mut self: Box<Self>) -> Result {
        loop {
            // Whatever is rare has a box of its own, so that a connection that waits is small.
            if let Some(rate) = self.listener.rate {
                while let Err(pause) = self.frames.take(self.listener.started.elapsed(), rate) {
                    Box::pin(tokio::time::sleep(pause)).await;
                }
            }
            let frame: Bytes = match self.conn.recv().await {
                Ok(Some(frame)) => frame.into(),
                Ok(None) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            received::log(self.conn.peer(), &frame);
            if let Some(seat) = self.seats.last() {
                seat.publish(owned(&frame));
            }
        }
    }
}

/// What others keep is copied: a frame shares the memory of the whole read that it came with, of which a history of short
/// lines would keep 64 KiB for each. 128 bytes cost 20 ns, once for all members.
fn owned(payload: &[u8]) -> Bytes {
    Bytes::copy_from_slice(payload)
}
