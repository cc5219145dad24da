//! What each address may have done for it: requests, and bytes that are made for their answers.
//!
//! A request that is short can ask for much, and so can a command that lists, so answers count by their length. An address that has had its part waits; all
//! others notice nothing. Publications have a rate of their own beside this.

use crate::live::Pace;
use parking_lot::Mutex;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::{Buckets, PeerAddr, Rate};
use tokio::time::{Instant, sleep};

/// What counts as one: making so many bytes takes about as long as answering a request that needs none.
const UNIT_BYTES: usize = 4 << 10;

/// Units a second, and at once: a hundred pages that are loaded together come to a tenth of it, and all of it a second is
/// less than a tenth of a core.
const UNITS: u32 = 2_048;
const UNITS_AT_ONCE: u32 = 16 << 10;

/// Addresses that are told apart: 32 KiB for a listener. Two that share a bucket share their part.
const BUCKETS: usize = 4096;

/// How long one that has had its part waits for the answer that says so. It is as much work as any other.
const WAIT: Duration = Duration::from_secs(1);

/// All addresses that ask one listener, over HTTP or by commands.
#[derive(Clone)]
pub(crate) struct Work {
    /// Made when it is needed.
    shared: Arc<OnceLock<Arc<Shared>>>,
    /// Nothing is counted while it is off.
    pace: Pace,
}

struct Shared {
    buckets: Mutex<Buckets>,
    hasher: RandomState,
    started: Instant,
}

impl Default for Shared {
    fn default() -> Self {
        let buckets = Mutex::new(Buckets::new(BUCKETS, Rate::new(UNITS, UNITS_AT_ONCE)));
        Self { buckets, hasher: RandomState::new(), started: Instant::now() }
    }
}

impl Work {
    pub(crate) fn bounded() -> Self {
        Self::while_paced(Pace::new(1))
    }

    pub(crate) fn unbounded() -> Self {
        Self::while_paced(Pace::default())
    }

    /// Bounded whenever there is a rate.
    pub(crate) fn while_paced(pace: Pace) -> Self {
        Self { shared: Arc::default(), pace }
    }

    /// Whose account it is.
    pub(crate) fn account(&self, peer: &PeerAddr) -> Account {
        let (Some(_), Some(address)) = (self.pace.now(), peer.ip()) else { return Account(None) };
        let shared = self.shared.get_or_init(Arc::default);
        Account(Some((Arc::clone(shared), shared.hasher.hash_one(source(address.ip())))))
    }
}

/// One address's part.
#[derive(Clone)]
pub(crate) struct Account(Option<(Arc<Shared>, u64)>);

impl Account {
    /// Counts a request; or refuses it, after a while.
    pub(crate) async fn begin(&self) -> Result<(), Failure> {
        let Some((shared, hash)) = &self.0 else { return Ok(()) };
        if shared.buckets.lock().take(*hash, shared.started.elapsed()) {
            return Ok(());
        }
        sleep(WAIT).await;
        Err(Failure::new(ErrorCode::RateLimited, "too many requests from this address"))
    }

    /// Counts bytes that are made for it.
    pub(crate) fn owe(&self, bytes: usize) {
        let Some((shared, hash)) = &self.0 else { return };
        shared.buckets.lock().owe(*hash, shared.started.elapsed(), (bytes / UNIT_BYTES) as u64);
    }
}

/// Who counts as one for limits by address: an IPv4 address, or an IPv6 /64. Who has one address of that has all of them.
pub(crate) fn source(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> PeerAddr {
        PeerAddr::Ip(format!("{address}:1").parse().expect("an address"))
    }

    /// Pages with all that they load, tab after tab.
    #[tokio::test(start_paused = true)]
    async fn many_tabs_are_less_than_an_address_may_have() {
        let account = Work::bounded().account(&from("192.0.2.1"));
        for _ in 0..1_000 {
            for _ in 0..8 {
                assert_eq!(account.begin().await, Ok(()));
            }
            account.owe(8 << 10);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_had_its_part_waits_and_all_others_do_not() {
        let work = Work::bounded();
        let greedy = work.account(&from("[2001:db8::1]"));
        let began = Instant::now();
        let mut taken = 0;
        while greedy.begin().await.is_ok() {
            greedy.owe(1 << 20);
            taken += 1;
        }
        assert_eq!((taken, began.elapsed()), (64, WAIT), "64 MiB");
        greedy.owe(16 << 20);
        for (address, is_same) in [("[2001:db8::2]", true), ("[2001:db8:0:1::1]", false), ("192.0.2.1", false)] {
            assert_eq!(work.account(&from(address)).begin().await.is_err(), is_same, "{address}");
        }
        sleep(Duration::from_secs(10)).await;
        assert_eq!(greedy.begin().await, Ok(()));
    }
}
