//! Networks that nobody may come from, for a time or for good.
//!
//! Looked at once for each connection, before TLS, and for each datagram of a stranger; not where frames pass. Knows no file: whoever
//! has one puts it in here.

use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;
use switchboard_proto::IpNetwork;

/// Bans at a time: 1 MB or so.
const MOST: usize = 10_000;

/// A ban of a network: until when, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ban {
    /// The network.
    pub network: IpNetwork,
    /// When it ends; `None` for never.
    pub until: Option<SystemTime>,
    /// Why, for operators. Peers are not told.
    pub reason: String,
}

impl Ban {
    /// Bans a network for good, without a reason.
    pub fn of(network: IpNetwork) -> Self {
        Self { network, until: None, reason: String::new() }
    }

    /// Ends at `end`.
    pub fn until(self, end: SystemTime) -> Self {
        Self { until: Some(end), ..self }
    }

    /// Says why, for operators.
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..self }
    }

    fn is_over(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// There are as many bans as allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {limit} bans, which is the limit")]
pub struct TooManyBans {
    /// How many there may be.
    pub limit: usize,
}

/// All of a node's.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    banned: RwLock<Banned>,
    /// How many there are: mostly none, which datagrams find out without the lock.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Banned {
    bans: HashMap<IpNetwork, Ban>,
    /// How many there are of each size: an address is looked up once for each.
    sizes: BTreeMap<u8, usize>,
}

impl Bans {
    /// Puts one in the place of another of the same network.
    pub(super) fn add(&self, ban: Ban, now: SystemTime) -> Result<(), TooManyBans> {
        let mut banned = self.banned.write();
        banned.remove(&ban.network);
        if banned.bans.len() >= MOST {
            banned.forget(now);
        }
        if banned.bans.len() >= MOST {
            self.count(&banned);
            return Err(TooManyBans { limit: MOST });
        }
        *banned.sizes.entry(ban.network.prefix()).or_insert(0) += 1;
        banned.bans.insert(ban.network, ban);
        self.count(&banned);
        Ok(())
    }

    pub(super) fn remove(&self, network: &IpNetwork) -> Option<Ban> {
        let mut banned = self.banned.write();
        let ban = banned.remove(network);
        self.count(&banned);
        ban
    }

    fn count(&self, banned: &Banned) {
        // Relaxed: what is counted is behind the lock.
        self.count.store(banned.bans.len(), Ordering::Relaxed);
    }

    /// Whether nobody may come from there.
    pub(crate) fn hold(&self, address: IpAddr) -> bool {
        // Relaxed: as where it is set. Who comes at the same moment as a ban may have come before it.
        self.count.load(Ordering::Relaxed) > 0 && self.banned.read().find(address, SystemTime::now()).is_some()
    }

    /// The one that holds for an address now, of the largest network if there are several.
    pub(super) fn find(&self, address: IpAddr, now: SystemTime) -> Option<Ban> {
        self.banned.read().find(address, now).cloned()
    }

    /// Those that are not over, in order of their networks.
    pub(super) fn list(&self, now: SystemTime) -> Vec<Ban> {
        let mut bans: Vec<_> = self.banned.read().in_force(now).cloned().collect();
        bans.sort_unstable_by_key(|ban| ban.network);
        bans
    }

    /// How many of them there are.
    pub(super) fn number(&self, now: SystemTime) -> usize {
        self.banned.read().in_force(now).count()
    }
}

impl Banned {
    fn in_force(&self, now: SystemTime) -> impl Iterator<Item = &Ban> {
        self.bans.values().filter(move |ban| !ban.is_over(now))
    }

    fn find(&self, address: IpAddr, now: SystemTime) -> Option<&Ban> {
        let address = address.to_canonical();
        let networks = self.sizes.keys().filter_map(|size| IpNetwork::around(address, *size));
        networks.filter_map(|network| self.bans.get(&network)).find(|ban| !ban.is_over(now))
    }

    fn remove(&mut self, network: &IpNetwork) -> Option<Ban> {
        let ban = self.bans.remove(network)?;
        let Some(count) = self.sizes.get_mut(&network.prefix()) else { unreachable!("counted when it was added") };
        *count -= 1;
        if *count == 0 {
            self.sizes.remove(&network.prefix());
        }
        Some(ban)
    }

    fn forget(&mut self, now: SystemTime) {
        let over: Vec<_> = self.bans.values().filter(|ban| ban.is_over(now)).map(|ban| ban.network).collect();
        for network in over {
            self.remove(&network);
        }
    }
}
