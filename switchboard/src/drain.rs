//! Stopping politely: what has to be told, and what came of it.

use std::num::NonZeroUsize;
use std::time::Duration;
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
    /// Accept nobody any more, and let everybody finish.
    pub(crate) drain: CancellationToken,
    /// Let nobody finish.
    pub(crate) abort: CancellationToken,
}

/// Between two steps of a spread drain.
pub(crate) const STEP: Duration = Duration::from_millis(50);

/// Of each step at least: a thousand a second come back without harm.
const LEAST_A_STEP: usize = 50;

/// Part of the grace period in which clients that come back by themselves are told of the drain.
const SPREAD_PART: u32 = 4;

/// How many of `count` such clients are told in each step, so that they do not all come back at once.
pub(crate) fn told_a_step(count: usize, grace: Duration) -> NonZeroUsize {
    let steps = (grace / SPREAD_PART).as_millis() / STEP.as_millis();
    let steps = usize::try_from(steps).unwrap_or(usize::MAX).max(1);
    NonZeroUsize::MIN.saturating_add(count.div_ceil(steps).max(LEAST_A_STEP) - 1)
}
