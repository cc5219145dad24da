//! Who has made rooms lately. As many as there may be are for everybody, so that each address has a share of them,
//! whatever it makes them by.

use crate::web::work::source;
use parking_lot::Mutex;
use std::hash::{BuildHasher, RandomState};
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::{Bucket, PeerAddr, Rate};
use tokio::time::Instant;

/// Addresses that are told apart: 64 KiB for a process. Two that share a bucket share their share.
const BUCKETS: usize = 4096;

/// What one address may make at once, unless another number is typed: a hundred addresses could make all rooms there may
/// be. One a second is added, so that who has used it up has all of it again by the time that empty rooms are forgotten.
pub(super) const AT_ONCE: u32 = 1000;

/// How much more is for an IPv6 /48, which one household or company may have, with 65,536 networks of its own.
const SITE: u32 = 8;

/// One listener's rule for whoever comes by it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    at_once: u32,
}

impl Share {
    pub(super) fn new(at_once: u32) -> Self {
        Self { at_once }
    }

    fn refusal(self) -> Failure {
        let text = format!("too many new rooms from this address: {} at once, then one a second", self.at_once);
        Failure::new(ErrorCode::RateLimited, text)
    }
}

/// All addresses that come to a process.
#[derive(Debug)]
pub(crate) struct Makers<S = RandomState> {
    buckets: Mutex<Buckets>,
    /// With a key that nobody knows, so that nobody chooses whose share to use up.
    hasher: S,
    started: Instant,
}

#[derive(Debug)]
struct Buckets {
    addresses: Box<[Bucket]>,
    /// Of IPv6, each with 65,536 of those.
    sites: Box<[Bucket]>,
}

impl<S: Default> Default for Makers<S> {
    fn default() -> Self {
        let table = || vec![Bucket::default(); BUCKETS].into();
        let buckets = Mutex::new(Buckets { addresses: table(), sites: table() });
        Self { buckets, hasher: S::default(), started: Instant::now() }
    }
}

impl<S: BuildHasher> Makers<S> {
    /// Counts a room that `peer` is about to make.
    ///
    /// # Errors
    /// It has made too many lately.
    pub(super) fn make(&self, peer: &PeerAddr, share: Share) -> Result<(), Failure> {
        let Some(address) = peer.ip() else { return Ok(()) };
        let (address, now) = (address.ip(), self.started.elapsed());
        let take = |table: &mut [Bucket], source: u64, rate: Rate| {
            let place = (self.hasher.hash_one(source) % table.len() as u64) as usize;
            table[place].take(now, rate).map_err(|_| share.refusal())
        };
        let (mut buckets, source) = (self.buckets.lock(), source(address));
        take(&mut buckets.addresses, source, Rate::new(1, share.at_once))?;
        if address.to_canonical().is_ipv6() {
            take(&mut buckets.sites, source >> 16, Rate::new(SITE, share.at_once.saturating_mul(SITE)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasherDefault, DefaultHasher};
    use std::time::Duration;
    use tokio::time::advance;

    /// Whose addresses share buckets in each run or in none.
    type Makers = super::Makers<BuildHasherDefault<DefaultHasher>>;

    /// How many of `count` rooms an address may make.
    fn made(makers: &Makers, address: &str, count: usize) -> usize {
        let peer = PeerAddr::Ip(format!("{address}:1").parse().expect("an address"));
        (0..count).filter(|_| makers.make(&peer, Share::new(AT_ONCE)).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_makes_its_share_of_rooms_and_leaves_the_others_theirs() {
        let makers = Makers::default();
        assert_eq!(made(&makers, "192.0.2.1", 100_000), 1000);
        assert_eq!(made(&makers, "[::ffff:192.0.2.1]", 1), 0, "the same in another form");
        assert_eq!(made(&makers, "192.0.2.2", 10), 10);
        advance(Duration::from_secs(1)).await;
        assert_eq!(made(&makers, "192.0.2.1", 100), 1);
        advance(Duration::from_mins(10)).await;
        assert_eq!(made(&makers, "192.0.2.1", 1000), 600);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_many_networks_of_ipv6_has_not_as_many_shares() {
        let makers = Makers::default();
        assert_eq!(made(&makers, "[2001:db8::1]", 10_000), 1000);
        assert_eq!(made(&makers, "[2001:db8::2]", 10), 0, "the same network");
        let more: usize = (1..20).map(|network| made(&makers, &format!("[2001:db8:0:{network:x}::1]"), 1000)).sum();
        assert_eq!(more, 7000);
        assert_eq!(made(&makers, "[2001:db8:1::1]", 10), 10);
    }

    #[test]
    fn who_has_no_address_is_of_this_machine() {
        let makers = Makers::default();
        assert!((0..10_000).all(|_| makers.make(&PeerAddr::Unix(None), Share::new(1)).is_ok()));
    }
}
