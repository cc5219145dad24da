//! Time as the load needs it: nanoseconds since the process began to measure, the same for all threads; and a thread's own on a CPU.

use crate::schedule::nanoseconds;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
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

/// Nanoseconds that this thread has had a CPU.
pub(crate) fn thread_time() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD);
    usage.map_or(0, |usage| (usage.user_time() + usage.system_time()).num_nanoseconds().cast_unsigned())
}
