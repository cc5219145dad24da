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
/// New connections get the new settings; open ones keep theirs.
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

/// The settings in a [`Tuning`].
#[derive(Debug, Clone, Default)]
pub struct Tuned {
    /// Replaces the timeouts of the transport and of the server.
    pub timeouts: Option<Timeouts>,
    /// Replaces what [`Transport::behind`](crate::Transport::behind) was given.
    pub proxies: Option<Proxies>,
    /// Replaces what `Transport::forwarded_from` was given.
    pub forwarded_from: Arc<[IpNetwork]>,
}

#[derive(Debug, Default)]
struct Cell {
    /// How many times it was set.
    version: AtomicUsize,
    now: RwLock<Tuned>,
}

impl Tuning {
    /// Sets them for connections that are accepted from now on.
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
