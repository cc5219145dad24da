//! Limits for owners of many addresses: an IPv6 /48, which each customer of a provider gets, has 65,536 networks for which
//! limits are kept.
//!
//! An owner may have as much as is still free, so that there is something left for the next one: one alone gets half, two get a
//! third each. A /56 gets half of that, and a single network or IPv4 address a quarter, unless it is limited otherwise.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU64;

/// Bits that tell owners apart, and the share of what is free that one may have.
const WIDE: [(u32, usize); 2] = [(48, 1), (56, 2)];
const NARROW: (u32, usize) = (64, 4);

/// How many of something each owner has.
#[derive(Debug, Default)]
pub(crate) struct Owners(HashMap<(u32, u64), u32>);

impl Owners {
    /// Whether the owners of `network` may have one more, with `free` left: each has less than its share of that, or than `least`.
    pub(crate) fn may_have(&self, network: NonZeroU64, scope: Scope, free: usize, least: usize) -> bool {
        keys(network, scope).all(|(key, part)| {
            let count = self.0.get(&key).map_or(0, |count| *count as usize);
            count < (free / part).max(least)
        })
    }

    pub(crate) fn add(&mut self, network: NonZeroU64, scope: Scope) {
        for (key, _) in keys(network, scope) {
            *self.0.entry(key).or_insert(0) += 1;
        }
    }

    pub(crate) fn remove(&mut self, network: NonZeroU64, scope: Scope) {
        for (key, _) in keys(network, scope) {
            let Some(count) = self.0.get_mut(&key) else { unreachable!("it was added") };
            *count -= 1;
            if *count == 0 {
                self.0.remove(&key);
            }
        }
    }
}

/// Which owners there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Of one network as well.
    All,
    /// Of many alone.
    Wide,
}

fn keys(network: NonZeroU64, scope: Scope) -> impl Iterator<Item = ((u32, u64), usize)> {
    let network = network.get();
    // IPv4 has no owners of many: customers of different providers are neighbours there.
    let wide = WIDE.into_iter().filter(move |_| network > u64::from(u32::MAX));
    let narrow = Some(NARROW).filter(|_| scope == Scope::All);
    wide.chain(narrow).map(move |(bits, part)| ((bits, network >> (64 - bits)), part))
}

/// The part of an address that belongs to one owner: all of IPv4, the first 64 bits of IPv6. Nobody has the number zero.
pub(crate) fn network(address: IpAddr) -> NonZeroU64 {
    let network = match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    };
    NonZeroU64::new(network).unwrap_or(NonZeroU64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Owners, Scope};
    use std::num::NonZeroU64;

    const ALL: usize = 4096;

    /// How many each of `owners` /48s gets of all, if each asks from another /64 every time.
    fn held(owners: u64, scope: Scope) -> Vec<usize> {
        let (mut counts, mut held, mut taken) = (Owners::default(), vec![0; owners as usize], 0);
        for number in 0..10_000_u64 {
            for owner in 0..owners {
                // Another /56 each time too, in a sequence that repeats only after all.
                let network = 0x2001_0db8_0000_0000 | owner << 16 | (number * 257) & 0xffff;
                let network = NonZeroU64::new(network).expect("it is not zero");
                if taken < ALL && counts.may_have(network, scope, ALL - taken, 0) {
                    counts.add(network, scope);
                    held[owner as usize] += 1;
                    taken += 1;
                }
            }
        }
        held
    }

    #[test]
    fn whoever_owns_many_networks_leaves_something_for_others() {
        for scope in [Scope::All, Scope::Wide] {
            assert_eq!(held(1, scope), [ALL / 2]);
            for owners in [2, 10, 100] {
                let held = held(owners, scope);
                let part = ALL / (owners as usize + 1);
                assert!(held.iter().all(|held| held.abs_diff(part) <= 1), "{held:?}");
            }
        }
    }

    #[test]
    fn one_network_has_less_and_neighbours_in_ipv4_are_nobodys() {
        let mut owners = Owners::default();
        let [here, there] = [0x7f00_0001, 0x7f00_0002].map(|network| NonZeroU64::new(network).expect("it is not zero"));
        let mut taken = 0;
        while owners.may_have(here, Scope::All, ALL - taken, 0) {
            owners.add(here, Scope::All);
            taken += 1;
        }
        assert!(taken.abs_diff(ALL / 5) <= 1, "{taken}");
        assert!(owners.may_have(there, Scope::All, ALL - taken, 0));
        assert!(owners.may_have(here, Scope::All, 0, taken + 1), "as many as it was promised");
        for _ in 0..taken {
            owners.remove(here, Scope::All);
        }
        assert!(owners.0.is_empty());
    }
}
