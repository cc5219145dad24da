//! What of a listener can be changed while it runs: those who come from then on have it.

use super::proxies::Proxies;
use crate::config::Timeouts;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use switchboard_proto::IpNetwork;

/// Settings of a listener that can be changed while it runs, by whoever has a clone of what
/// [`Transport::tuned`](crate::Transport::tuned) was given.
///
/// New connections have the new settings; those that are there stay as they are.
///
/// # Examples
/// ```
/// use switchboard::prelude::*;
/// use switchboard::{Tcp, Timeouts, Transport as _, Tuned, Tuning};
/// # async fn echo(_: Connection<Lines>) {}
///
/// let tuning = Tuning::default();
/// let server = Server::new().listen(Tcp::new("127.0.0.1:7000").tuned(&tuning), echo);
/// // While it runs:
/// tuning.set(Tuned { timeouts: Some(Timeouts { idle: None, ..Timeouts::default() }), ..Tuned::default() });
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tuning(Arc<Cell>);

/// What a [`Tuning`] says.
#[derive(Debug, Clone, Default)]
pub struct Tuned {
    /// In place of the transport's and the server's.
    pub timeouts: Option<Timeouts>,
    /// As [`Transport::behind`](crate::Transport::behind), in place of what that says.
    pub proxies: Option<Proxies>,
    /// As `Transport::forwarded_from`, in place of what that says.
    pub forwarded_from: Arc<[IpNetwork]>,
}

#[derive(Debug, Default)]
struct Cell {
    /// How many times it was set.
    version: AtomicUsize,
    now: RwLock<Tuned>,
}

impl Tuning {
    /// Has new connections have this.
    pub fn set(&self, tuned: Tuned) {
        *self.0.now.write() = tuned;
        // Release, behind it: whoever sees the number sees what was set.
        self.0.version.fetch_add(1, Ordering::Release);
    }

    /// Another number than before if it was set since.
    pub(crate) fn version(&self) -> usize {
        self.0.version.load(Ordering::Acquire)
    }

    pub(crate) fn now(&self) -> Tuned {
        self.0.now.read().clone()
    }
}
