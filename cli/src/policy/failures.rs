//! How often an address may show something wrong before nothing more is checked for it.
//!
//! By address alone: nobody can lock somebody else out by guessing at a name, and tokens of the file are found all the same. Whoever is on
//! this machine is not counted.

use parking_lot::Mutex;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;
use switchboard::{Buckets, PeerAddr, Rate};
use tokio::time::Instant;

use crate::web::work::source;

/// Unless another number is set: a person who mistypes a token, and no program that guesses.
pub(crate) const PER_MINUTE: u32 = 10;

/// Addresses that are told apart: 32 KiB. Two that share a bucket share their failures.
const BUCKETS: usize = 4096;

/// What each address has shown lately that was wrong.
#[derive(Debug)]
pub(crate) struct Failures {
    /// None, if they are not counted.
    buckets: Option<Mutex<Buckets>>,
    apart: Option<Duration>,
    hasher: RandomState,
    started: Instant,
}

impl Failures {
    /// So many of an address may come at once, and in a minute.
    pub(crate) fn new(per_minute: Option<u32>) -> Self {
        let apart = per_minute.map(|count| Duration::from_mins(1) / count.max(1));
        let rate = per_minute.zip(apart).map(|(count, apart)| Rate::every(apart, count));
        let buckets = rate.map(|rate| Mutex::new(Buckets::new(BUCKETS, rate)));
        Self { buckets, apart, hasher: RandomState::new(), started: Instant::now() }
    }

    /// After how long an address that has shown too much may show one more; nothing, if that is not counted.
    pub(crate) fn apart(&self) -> Option<Duration> {
        self.apart
    }

    /// Whether an address may show one more thing that is wrong.
    pub(crate) fn may_fail(&self, address: &PeerAddr) -> bool {
        self.counted(address).is_none_or(|(buckets, hash)| buckets.lock().has(hash, self.started.elapsed()))
    }

    /// Something wrong was shown.
    pub(crate) fn count(&self, address: &PeerAddr) {
        if let Some((buckets, hash)) = self.counted(address) {
            buckets.lock().take(hash, self.started.elapsed());
        }
    }

    fn counted(&self, address: &PeerAddr) -> Option<(&Mutex<Buckets>, u64)> {
        let address = address.ip()?.ip().to_canonical();
        let buckets = self.buckets.as_ref().filter(|_| !address.is_loopback())?;
        Some((buckets, self.hasher.hash_one(source(address))))
    }
}

impl Default for Failures {
    fn default() -> Self {
        Self::new(Some(PER_MINUTE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn from(address: &str) -> PeerAddr {
        PeerAddr::Ip(format!("{address}:1").parse().unwrap())
    }

    /// How many of twenty wrong tokens are looked at.
    fn looked_at(failures: &Failures, address: &str) -> usize {
        let address = from(address);
        (0..20).filter(|_| failures.may_fail(&address)).map(|_| failures.count(&address)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_fails_ten_times_a_minute_and_its_neighbours_are_not_touched() {
        let failures = Failures::default();
        assert_eq!(looked_at(&failures, "192.0.2.1"), 10);
        assert_eq!(looked_at(&failures, "[::ffff:192.0.2.1]"), 0, "the same in another form");
        assert_eq!(looked_at(&failures, "192.0.2.2"), 10);
        assert_eq!(looked_at(&failures, "[2001:db8::1]"), 10);
        assert_eq!(looked_at(&failures, "[2001:db8::2]"), 0, "the same network");
        assert_eq!(looked_at(&failures, "[2001:db8:0:1::1]"), 10);
        advance(Duration::from_secs(6)).await;
        assert_eq!(looked_at(&failures, "192.0.2.1"), 1);
        advance(Duration::from_mins(1)).await;
        assert_eq!(looked_at(&failures, "192.0.2.1"), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn this_machine_fails_as_often_as_it_likes_and_so_does_everybody_where_that_is_off() {
        assert_eq!(looked_at(&Failures::default(), "127.0.0.9"), 20);
        assert_eq!(looked_at(&Failures::default(), "[::1]"), 20);
        assert!(Failures::new(Some(1)).may_fail(&PeerAddr::Unix(None)));
        assert_eq!(looked_at(&Failures::new(None), "192.0.2.1"), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_as_long_as_it_is_told_may_show_one_more() {
        assert_eq!(Failures::default().apart(), Some(Duration::from_secs(6)));
        assert_eq!(Failures::new(None).apart(), None);
        for per_minute in [1, 7, 10, 100] {
            let failures = Failures::new(Some(per_minute));
            while looked_at(&failures, "192.0.2.1") > 0 {}
            advance(failures.apart().unwrap()).await;
            assert_eq!(looked_at(&failures, "192.0.2.1"), 1, "{per_minute} a minute");
        }
    }
}
