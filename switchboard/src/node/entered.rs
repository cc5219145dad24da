//! A connection on its way to its task, and in its worker's list for as long as that lives.

use super::admission::leave;
use super::{Admitted, Assigned};
use crate::error::logged;
use crate::link::{ConnectionId, Link, ListenerSettings, Protocol, Provenance, Sink};
use std::sync::Arc;
use switchboard_proto::CloseReason;
use tracing::debug;

/// A connection that was admitted, and has its number and its worker.
pub(crate) struct Opening {
    pub(super) id: ConnectionId,
    pub(super) place: Place,
    pub(super) worker: Assigned,
    pub(super) admitted: Admitted,
}

/// Where it comes from, and to which listener, which counts it.
pub(super) struct Place {
    origin: Provenance,
    settings: Arc<ListenerSettings>,
    is_entered: bool,
}

impl Place {
    pub(super) fn new(origin: Provenance, settings: Arc<ListenerSettings>) -> Self {
        Self { origin, settings, is_entered: false }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_entered {
            leave(&self.settings, &self.origin.address);
        }
    }
}

impl Opening {
    pub(crate) fn worker(&self) -> &Assigned {
        &self.worker
    }

    /// Lists it, as one that speaks `protocol`.
    pub(crate) fn enter(self, sink: Box<dyn Sink>, protocol: Protocol) -> Entered<Admitted> {
        let Self { id, mut place, worker, admitted } = self;
        let link = Link::new(id, place.origin.clone(), Arc::clone(&place.settings), sink, Arc::clone(&worker.tick));
        link.speaks(protocol);
        place.is_entered = true;
        let entered = Entered::new(link, worker, admitted);
        // Once more, now that it is listed: a ban that came in between has not found it.
        if entered.admitted.bans(&entered.link) {
            entered.link.abort(CloseReason::Banned);
        }
        entered
    }
}

/// A connection in its worker's list, for as long as its task lives.
pub(crate) struct Entered<A> {
    pub(crate) link: Arc<Link>,
    worker: Assigned,
    /// Held for what its end gives back.
    admitted: A,
}

impl<A> Entered<A> {
    pub(crate) fn new(link: Arc<Link>, worker: Assigned, admitted: A) -> Self {
        worker.enter(Arc::clone(&link));
        if link.listener.drain.is_cancelled() {
            link.drain();
        }
        logged(
            || debug!(conn.id = link.id.0, peer.addr = %link.client(), listener = link.listener.name, "connection opened"),
        );
        Self { link, worker, admitted }
    }
}

impl<A> Drop for Entered<A> {
    fn drop(&mut self) {
        if let Some(reason) = self.link.abandon() {
            let life = self.link.opened.elapsed();
            self.link.listener.metrics.count_close(self.link.carrier(), reason, Some(life));
        }
        self.link.gone();
        self.worker.leave(self.link.id);
        self.link.count_no_more();
        leave(&self.link.listener, self.link.accepted_from());
    }
}
