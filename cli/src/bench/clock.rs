//! Time as the load needs it: nanoseconds since the process began to measure, the same for all threads.

use super::schedule::nanoseconds;
use std::time::Instant;

#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    #[allow(
        clippy::disallowed_methods,
        reason = "a load is timed by the real clock, and nothing here runs under a paused one"
    )]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> u64 {
        nanoseconds(self.0.elapsed())
    }
}
