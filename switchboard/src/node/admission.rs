//! How many connections there may be: in all, from one address, and from owners of many addresses.

use super::Node;
use super::owners::{Owners, Scope, network};
use crate::error::logged;
use crate::link::{Link, ListenerSettings, PeerAddr};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use switchboard_proto::CloseReason;
use tracing::info;

/// Connections from one address on a listener open to other machines.
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

/// One that counts among all, and towards no limit for one address yet.
pub(crate) struct Counted {
    admitted: Admitted,
    others: usize,
}

impl Node {
    /// Admits a connection that we open ourselves, unless there are `limit`.
    pub(crate) fn admit_own(self: &Arc<Self>, limit: usize) -> Option<Admitted> {
        self.count(limit).map(|(admitted, _)| admitted)
    }

    /// Counts a connection if there are fewer than `limit`, and returns how many others there are.
    fn count(self: &Arc<Self>, limit: usize) -> Option<(Admitted, usize)> {
        // Relaxed: a count that guards no other memory.
        let others = self.admission.open.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted { node: Arc::clone(self), network: None };
        // It is no longer counted once it is dropped.
        (others < limit).then_some((admitted, others))
    }

    /// Whether nobody may come from there.
    pub(super) fn is_banned(&self, address: &PeerAddr) -> bool {
        address.ip().is_some_and(|address| self.bans.hold(address.ip()))
    }

    /// Counts a connection among all, or says why not.
    pub(crate) fn count_one(self: &Arc<Self>, settings: &ListenerSettings) -> Result<Counted, CloseReason> {
        let limits = &settings.server;
        let (admitted, others) = self.count(limits.connections).ok_or(CloseReason::TooManyConnections)?;
        Ok(Counted { admitted, others })
    }

    /// Admits a connection from this address, or says why not.
    pub(super) fn admit_from(
        &self,
        counted: Counted,
        address: &PeerAddr,
        settings: &ListenerSettings,
    ) -> Result<Admitted, CloseReason> {
        let Counted { mut admitted, others } = counted;
        if self.is_banned(address) {
            return Err(CloseReason::Banned);
        }
        let network = counted_network(settings, address);
        if let Some(network) = network {
            admitted.network = self.count_from(network, others, settings)?;
        }
        if let Some(occupancy) = &settings.occupancy {
            occupancy.enter(&settings.limits, network)?;
        }
        Ok(admitted)
    }

    /// Counts a connection from `network` where that is limited, or says why not.
    fn count_from(
        &self,
        network: NonZeroU64,
        others: usize,
        settings: &ListenerSettings,
    ) -> Result<Option<NonZeroU64>, CloseReason> {
        let limits = &settings.server;
        let own_limit = settings.occupancy.as_ref().and(settings.limits.connections_per_address);
        let per_address = limits.connections_per_address.or((!settings.is_local).then_some(PER_ADDRESS));
        // A listener with its own limit for one address may let in more than others do.
        let per_address = own_limit.map_or(per_address, |_| per_address.map(|_| usize::MAX));
        let Some(limit) = per_address else { return Ok(None) };
        let mut addresses = self.admission.addresses.lock();
        let count = addresses.counts.get(&network).copied().unwrap_or(0);
        // A limit that was set is a promise of that many.
        let least = own_limit.or(limits.connections_per_address).unwrap_or(0);
        let free = limits.connections.saturating_sub(others);
        if count >= limit || !addresses.owners.may_have(network, Scope::Wide, free, least) {
            return Err(CloseReason::TooManyFromAddress);
        }
        addresses.counts.insert(network, count + 1);
        addresses.owners.add(network, Scope::Wide);
        Ok(Some(network))
    }

    fn count_no_more_from(&self, network: NonZeroU64) {
        let mut addresses = self.admission.addresses.lock();
        addresses.owners.remove(network, Scope::Wide);
        let Some(count) = addresses.counts.get_mut(&network) else { unreachable!("counted when it was admitted") };
        *count -= 1;
        if *count == 0 {
            addresses.counts.remove(&network);
        }
    }
}

/// What a connection counts towards besides, until it is dropped: the limit of the address that it turned out to be for.
#[cfg(feature = "http")]
struct Again {
    node: Arc<Node>,
    settings: Arc<ListenerSettings>,
    network: NonZeroU64,
    /// Whether the server counts it, which limits none that it says nothing of.
    is_counted: bool,
}

#[cfg(feature = "http")]
impl Node {
    /// Counts a connection that was admitted for whom it turned out to be for, too; or says why not, having logged it.
    pub(crate) fn admit_again(
        self: &Arc<Self>,
        client: &PeerAddr,
        settings: &Arc<ListenerSettings>,
    ) -> Result<impl Send + use<>, CloseReason> {
        let admitted = || {
            if self.is_banned(client) {
                return Err(CloseReason::Banned);
            }
            let Some(network) = counted_network(settings, client) else { return Ok(None) };
            // Relaxed: as where it was counted, itself included.
            let others = self.admission.open.load(Ordering::Relaxed).saturating_sub(1);
            let is_counted = self.count_from(network, others, settings)?.is_some();
            if let Some(occupancy) = &settings.occupancy
                && let Err(reason) = occupancy.enter_from(&settings.limits, network)
            {
                if is_counted {
                    self.count_no_more_from(network);
                }
                return Err(reason);
            }
            let (node, settings) = (Arc::clone(self), Arc::clone(settings));
            Ok(Some(Again { node, settings, network, is_counted }))
        };
        admitted().inspect_err(|reason| refuse(client, *reason, settings))
    }
}

#[cfg(feature = "http")]
impl Drop for Again {
    fn drop(&mut self) {
        if self.is_counted {
            self.node.count_no_more_from(self.network);
        }
        if let Some(occupancy) = &self.settings.occupancy {
            occupancy.leave_from(&self.settings.limits, self.network);
        }
    }
}

/// Where a connection from this address counts, if it does: not one that is a proxy's own, or that many clients' requests come on.
pub(crate) fn counted_network(settings: &ListenerSettings, address: &PeerAddr) -> Option<NonZeroU64> {
    (!settings.is_of_proxy(address)).then_some(address)?.ip().map(|address| network(address.ip()))
}

impl Admitted {
    /// Whether nobody may come any more from where a connection comes from.
    pub(super) fn bans(&self, link: &Link) -> bool {
        self.node.is_banned(link.client())
    }
}

/// A connection from this address is gone from its listener, where that counts its own.
pub(super) fn leave(settings: &ListenerSettings, address: &PeerAddr) {
    if let Some(occupancy) = &settings.occupancy {
        occupancy.leave(&settings.limits, counted_network(settings, address));
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        // Relaxed: as where it was counted.
        self.node.admission.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(network) = self.network {
            self.node.count_no_more_from(network);
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
