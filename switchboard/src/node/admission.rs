//! How many connections there may be, in all, from one address, and from those who own many.

use super::owners::{Owners, Scope, network};
use crate::config::Limits;
use crate::link::PeerAddr;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use switchboard_proto::CloseReason;

/// Connections from one address on a listener open to strangers.
const PER_ADDRESS: usize = 1024;

#[derive(Debug)]
pub(crate) struct Admission {
    open: AtomicUsize,
    limit: usize,
    per_address: Option<usize>,
    addresses: Mutex<Addresses>,
}

#[derive(Debug, Default)]
struct Addresses {
    counts: HashMap<NonZeroU64, usize>,
    owners: Owners,
}

/// The right to be connected, until it is dropped.
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    /// Where the connection counts towards a limit per address.
    network: Option<NonZeroU64>,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            limit: limits.connections,
            per_address: limits.connections_per_address,
            addresses: Mutex::default(),
        })
    }

    /// Admits a connection, or says why not. `is_local`: the listener cannot be reached from other machines.
    pub(crate) fn admit(self: &Arc<Self>, address: &PeerAddr, is_local: bool) -> Result<Admitted, CloseReason> {
        // Relaxed: a count that guards no other memory.
        let open = self.open.fetch_add(1, Ordering::Relaxed);
        if open >= self.limit {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(CloseReason::TooManyConnections);
        }
        let mut admitted = Admitted { admission: Arc::clone(self), network: None };
        let per_address = self.per_address.or((!is_local).then_some(PER_ADDRESS));
        if let (Some(limit), Some(address)) = (per_address, address.ip()) {
            let network = network(address.ip());
            let mut addresses = self.addresses.lock();
            let count = addresses.counts.get(&network).copied().unwrap_or(0);
            // Who set a limit has promised that many.
            let least = self.per_address.unwrap_or(0);
            if count >= limit || !addresses.owners.may_have(network, Scope::Wide, self.limit - open, least) {
                return Err(CloseReason::TooManyFromAddress);
            }
            addresses.counts.insert(network, count + 1);
            addresses.owners.add(network, Scope::Wide);
            admitted.network = Some(network);
        }
        Ok(admitted)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
        let Some(network) = self.network else { return };
        let mut addresses = self.admission.addresses.lock();
        addresses.owners.remove(network, Scope::Wide);
        let Some(count) = addresses.counts.get_mut(&network) else { unreachable!("counted when it was admitted") };
        *count -= 1;
        if *count == 0 {
            addresses.counts.remove(&network);
        }
    }
}
