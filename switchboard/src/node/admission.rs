//! How many connections there may be, in all, from one address, and from those who own many.

use super::Node;
use super::owners::{Owners, Scope, network};
use crate::error::logged;
use crate::link::{ListenerSettings, PeerAddr};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use switchboard_proto::CloseReason;
use tracing::info;

/// Connections from one address on a listener open to strangers.
const PER_ADDRESS: usize = 1024;

/// What is connected.
#[derive(Debug, Default)]
pub(super) struct Admission {
    open: AtomicUsize,
    addresses: Mutex<Addresses>,
}

#[derive(Debug, Default)]
struct Addresses {
    counts: HashMap<NonZeroU64, usize>,
    owners: Owners,
}

/// The right to be connected, until it is dropped.
pub(crate) struct Admitted {
    node: Arc<Node>,
    /// Where the connection counts towards a limit per address.
    network: Option<NonZeroU64>,
}

impl Node {
    /// Admits a connection that we open ourselves, unless there are `limit`.
    pub(crate) fn admit_own(self: &Arc<Self>, limit: usize) -> Option<Admitted> {
        self.count(limit).map(|(admitted, _)| admitted)
    }

    /// Counts a connection if there are fewer than `limit`, and says how many others there are.
    fn count(self: &Arc<Self>, limit: usize) -> Option<(Admitted, usize)> {
        // Relaxed: a count that guards no other memory.
        let others = self.admission.open.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted { node: Arc::clone(self), network: None };
        // Counted no more once it is dropped.
        (others < limit).then_some((admitted, others))
    }

    /// Admits a connection from this address, or says why not.
    pub(super) fn admit_from(
        self: &Arc<Self>,
        address: &PeerAddr,
        settings: &ListenerSettings,
    ) -> Result<Admitted, CloseReason> {
        let limits = settings.occupancy.as_deref().map_or(&settings.limits, |own| &own.server);
        let own_limit = settings.occupancy.as_ref().and(settings.limits.connections_per_address);
        let (mut admitted, others) = self.count(limits.connections).ok_or(CloseReason::TooManyConnections)?;
        let per_address = limits.connections_per_address.or((!settings.is_local).then_some(PER_ADDRESS));
        // A listener that says how many come from one address may let in more than others do.
        let per_address = own_limit.map_or(per_address, |_| per_address.map(|_| usize::MAX));
        if let (Some(limit), Some(network)) = (per_address, network_of(address)) {
            let mut addresses = self.admission.addresses.lock();
            let count = addresses.counts.get(&network).copied().unwrap_or(0);
            // Who set a limit has promised that many.
            let least = own_limit.or(limits.connections_per_address).unwrap_or(0);
            if count >= limit || !addresses.owners.may_have(network, Scope::Wide, limits.connections - others, least) {
                return Err(CloseReason::TooManyFromAddress);
            }
            addresses.counts.insert(network, count + 1);
            addresses.owners.add(network, Scope::Wide);
            admitted.network = Some(network);
        }
        if let Some(occupancy) = &settings.occupancy {
            occupancy.enter(&settings.limits, network_of(address))?;
        }
        Ok(admitted)
    }
}

fn network_of(address: &PeerAddr) -> Option<NonZeroU64> {
    address.ip().map(|address| network(address.ip()))
}

/// A connection from this address is gone from its listener, where that counts its own.
pub(super) fn leave(settings: &ListenerSettings, address: &PeerAddr) {
    if let Some(occupancy) = &settings.occupancy {
        occupancy.leave(&settings.limits, network_of(address));
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let admission = &self.node.admission;
        admission.open.fetch_sub(1, Ordering::Relaxed);
        let Some(network) = self.network else { return };
        let mut addresses = admission.addresses.lock();
        addresses.owners.remove(network, Scope::Wide);
        let Some(count) = addresses.counts.get_mut(&network) else { unreachable!("counted when it was admitted") };
        *count -= 1;
        if *count == 0 {
            addresses.counts.remove(&network);
        }
    }
}

/// Counts and logs a connection that is closed unserved.
pub(crate) fn refuse(address: &PeerAddr, reason: CloseReason, settings: &ListenerSettings) {
    let metrics = &settings.metrics;
    metrics.refused.add(1);
    metrics.count_close(settings.counts.spoken_number(false), reason, None);
    settings.counts.refused(reason);
    if let Some(withheld) = metrics.may_log_abnormal() {
        logged(|| {
            info!(peer.addr = %address, listener = settings.name, close.reason = %reason, withheld, "connection refused");
        });
    }
}
