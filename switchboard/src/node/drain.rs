//! Stopping politely: who has to be told, and the result.

use super::Connections;
use crate::error::contained;
use std::hash::BuildHasher;
use std::time::Duration;
use switchboard_proto::CloseReason;
use tokio_util::sync::CancellationToken;

/// What a server did from the start of its drain to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that ended by themselves within the grace period.
    pub finished: usize,
    /// Connections that had to be aborted.
    pub aborted: usize,
    /// How long it took.
    pub elapsed: Duration,
}

/// The two steps of stopping. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    /// Accept no more connections, and let the others finish.
    pub(crate) drain: CancellationToken,
    /// The same, separately for user code that waits for it: its wakers may panic, and those after it would not be woken.
    pub(crate) told: CancellationToken,
    /// Let nobody finish.
    pub(crate) abort: CancellationToken,
}

impl Stop {
    /// Begins the drain.
    pub(crate) fn begin_drain(&self) {
        self.drain.cancel();
        let _ = contained(|| self.told.cancel());
    }
}

/// Begins the drain at the latest when it is dropped.
pub(crate) struct Draining(pub(crate) Stop);

impl Drop for Draining {
    fn drop(&mut self) {
        self.0.begin_drain();
    }
}

/// Ends connections with their server, when it is dropped: on a caller's runtime nothing else would.
pub(crate) struct Aborting(pub(crate) Connections);

impl Drop for Aborting {
    fn drop(&mut self) {
        for link in self.0.links() {
            link.abort(CloseReason::Aborted);
        }
    }
}

/// Between two steps of a spread drain.
pub(crate) const STEP: Duration = Duration::from_millis(50);

/// For each client that comes back by itself: a thousand a second do no harm.
const EACH: Duration = Duration::from_millis(1);

/// Part of the grace period in which such clients are told of the drain.
const SPREAD_PART: u32 = 4;

/// The most of a wait that may pass while this process does not run.
const LONGEST_STEP: Duration = Duration::from_secs(1);

/// Before a wait is over: makes sure that whoever may have been in time is heard.
const LOOKS: usize = 16;

/// Sleeps for `duration` of the time in which this process runs: while it was stopped, or moved to another machine, it could not do
/// what is being waited for.
pub(crate) async fn sleep_awake(duration: Duration) {
    let mut left = duration;
    while !left.is_zero() {
        let step = left.min(LONGEST_STEP);
        tokio::time::sleep(step).await;
        left -= step;
    }
    for _ in 0..LOOKS {
        tokio::task::yield_now().await;
    }
}

/// The step of the drain in which each of `count` such clients is told: random, so that they come back neither together nor in
/// the order in which they came. The same `chance` gives the same steps.
pub(crate) fn steps(count: usize, grace: Duration, chance: &impl BuildHasher) -> impl Iterator<Item = u32> {
    let spread = EACH.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)).min(grace / SPREAD_PART);
    let steps = spread.as_millis().div_ceil(STEP.as_millis()).max(1);
    (0..count).map(move |index| (u128::from(chance.hash_one(index)) % steps) as u32)
}

#[cfg(test)]
mod tests {
    use super::{Duration, steps};
    use std::hash::{BuildHasherDefault, DefaultHasher};

    #[test]
    fn few_are_told_at_once_and_many_by_chance_within_a_quarter_of_the_grace_period() {
        let chance = BuildHasherDefault::<DefaultHasher>::default();
        let grace = Duration::from_secs(20);
        assert!(steps(50, grace, &chance).all(|step| step == 0));
        assert!(steps(50_000, Duration::ZERO, &chance).all(|step| step == 0));
        let mut told = [0; 100];
        for step in steps(50_000, grace, &chance) {
            told[step as usize] += 1;
        }
        assert!(told.iter().all(|told| (400..600).contains(told)), "{told:?}");
        let fewer: Vec<_> = steps(1_000, grace, &chance).collect();
        assert!(fewer.iter().all(|step| *step < 20) && !fewer.is_sorted(), "{fewer:?}");
        assert!(steps(1_000, grace, &chance).eq(fewer));
    }
}
