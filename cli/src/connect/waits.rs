//! How long to wait before a lost connection is made again: more and more, and a random part of it, so that a server that comes
//! back is not asked by everybody at once.

use std::hash::BuildHasher as _;
use std::hash::RandomState;
use std::time::Duration;

/// At most before the first attempt, and before any.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);

/// A connection that has lasted so long was good: the next failure is a first one again.
const GOOD: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
pub(super) struct Waits {
    attempt: u32,
    random: RandomState,
}

impl Waits {
    /// The next one.
    pub(super) fn next(&mut self) -> Duration {
        let random = self.random.hash_one(self.attempt) as f64 / u64::MAX as f64;
        let wait = FIRST.saturating_mul(1 << self.attempt.min(10)).min(LAST).mul_f64(random);
        self.attempt += 1;
        wait
    }

    /// A connection has ended after so long.
    pub(super) fn lasted(&mut self, time: Duration) {
        if time >= GOOD {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_grow_to_a_bound_and_begin_anew_after_a_good_connection() {
        let mut waits = Waits::default();
        for most in [1, 2, 4, 8, 16, 30, 30, 30] {
            assert!(waits.next() <= Duration::from_secs(most));
            waits.lasted(Duration::from_secs(19));
        }
        for _ in 0..100 {
            assert!(waits.next() <= LAST);
        }
        waits.lasted(GOOD);
        assert!(waits.next() <= FIRST);
    }

    #[test]
    fn no_two_programs_wait_alike() {
        let waits: Vec<_> = (0..8).map(|_| Waits::default().next()).collect();
        assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
    }
}
