//! A connection on its way to its task, and in its worker's list for as long as that lives.

use super::{Admitted, Assigned};
use crate::error::logged;
use crate::link::{ConnectionId, Link, ListenerSettings, PeerAddr, Protocol, Sink};
use std::sync::Arc;
use tracing::debug;

/// A connection that was admitted, and has its number and its worker.
pub(crate) struct Opening {
    pub(super) id: ConnectionId,
    pub(super) address: PeerAddr,
    pub(super) settings: Arc<ListenerSettings>,
    pub(super) worker: Assigned,
    pub(super) admitted: Admitted,
}

impl Opening {
    pub(crate) fn worker(&self) -> &Assigned {
        &self.worker
    }

    /// Lists it, as one that speaks `protocol`.
    pub(crate) fn enter(self, sink: Box<dyn Sink>, protocol: Protocol) -> Entered<Admitted> {
        let Self { id, address, settings, worker, admitted } = self;
        let peer = Link::new(id, address, settings, sink, Arc::clone(&worker.tick));
        peer.speaks(protocol);
        Entered::new(peer, worker, admitted)
    }
}

/// A connection in its worker's list, for as long as its task lives.
pub(crate) struct Entered<A> {
    pub(crate) peer: Arc<Link>,
    worker: Assigned,
    /// Held for what its end gives back.
    _admitted: A,
}

impl<A> Entered<A> {
    pub(crate) fn new(peer: Arc<Link>, worker: Assigned, admitted: A) -> Self {
        worker.enter(Arc::clone(&peer));
        if peer.listener.drain.is_cancelled() {
            peer.drain();
        }
        logged(
            || debug!(conn.id = peer.id.0, peer.addr = %peer.address, listener = peer.listener.name, "connection opened"),
        );
        Self { peer, worker, _admitted: admitted }
    }
}

impl<A> Drop for Entered<A> {
    fn drop(&mut self) {
        if let Some(reason) = self.peer.abandon() {
            self.peer.listener.metrics.count_close(reason);
        }
        self.worker.leave(self.peer.id);
    }
}
