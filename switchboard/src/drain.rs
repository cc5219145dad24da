//! Stopping politely: what has to be told, and what came of it.

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
