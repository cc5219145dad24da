//! Who was let in over HTTP lately: each request shows a credential, and a page that looks every second is one event a minute.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::time::Duration;
use switchboard::policy::{Claimant, Principal};

/// Whoever goes on asking is told of once in this time.
const AGAIN: Duration = Duration::from_mins(1);

/// Remembered at most; of more, each request is an event.
const REMEMBERED: usize = 4096;

/// When each was told of, by a keyed hash of its credential and of where it came from.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    told: HashMap<u64, Duration>,
}

impl Repeats {
    /// Whether the same credential was shown from the same host less than a minute ago, in a request too; it is remembered from `now` on if not.
    pub(super) fn has(&mut self, principal: &Principal, claimant: &Claimant, now: Duration) -> bool {
        if !matches!(claimant.transport, Some("http" | "https")) {
            return false;
        }
        let key = self.told.hasher().hash_one((principal.credential(), claimant.address.ip().map(|from| from.ip())));
        let is_recent = |told: &Duration| now.saturating_sub(*told) < AGAIN;
        if self.told.get(&key).is_some_and(is_recent) {
            return true;
        }
        if self.told.len() >= REMEMBERED {
            self.told.retain(|_, told| is_recent(told));
        }
        if self.told.len() < REMEMBERED {
            self.told.insert(key, now);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchboard::{PeerAddr, UserName};

    fn request(address: &str) -> Claimant {
        let mut claimant = Claimant::new(PeerAddr::Ip(address.parse().unwrap()));
        claimant.transport = Some("http");
        claimant
    }

    fn alice(token: &str) -> Principal {
        Principal::named(UserName::parse("alice").unwrap()).by(token)
    }

    #[test]
    fn requests_of_one_from_one_host_are_told_of_once_a_minute() {
        let mut repeats = Repeats::default();
        let at = Duration::from_secs;
        assert!(!repeats.has(&alice("01"), &request("192.0.2.1:1"), at(0)));
        assert!(repeats.has(&alice("01"), &request("192.0.2.1:2"), at(59)));
        assert!(!repeats.has(&alice("02"), &request("192.0.2.1:1"), at(59)));
        assert!(!repeats.has(&alice("01"), &request("192.0.2.2:1"), at(59)));
        assert!(!repeats.has(&alice("01"), &request("192.0.2.1:1"), at(60)));
    }

    #[test]
    fn each_connection_is_told_of() {
        let mut repeats = Repeats::default();
        let mut lines = request("192.0.2.1:1");
        lines.transport = Some("tcp");
        assert!((0..2).all(|_| !repeats.has(&alice("01"), &lines, Duration::ZERO)));
    }

    #[test]
    fn more_than_are_remembered_are_told_of_each_time_until_a_minute_is_over() {
        let mut repeats = Repeats::default();
        for token in 0..REMEMBERED {
            assert!(!repeats.has(&alice(&token.to_string()), &request("192.0.2.1:1"), Duration::ZERO));
        }
        assert!((0..2).all(|_| !repeats.has(&alice("more"), &request("192.0.2.1:1"), Duration::ZERO)));
        assert!(!repeats.has(&alice("more"), &request("192.0.2.1:1"), AGAIN));
        assert!(repeats.has(&alice("more"), &request("192.0.2.1:1"), AGAIN));
        assert_eq!(repeats.told.len(), 1);
    }
}
