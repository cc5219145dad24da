//! Time as the load needs it: nanoseconds since the process began to measure, the same for all threads.

use crate::schedule::nanoseconds;
use std::time::Instant;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    #[allow(
        clippy::disallowed_methods,
        reason = "a load is timed by the real clock, and nothing here runs under a paused one"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> u64 {
        nanoseconds(self.0.elapsed())
    }
}
