//! How many connections a listener has, where it has limits of its own beside its server's.

use crate::config::Limits;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use switchboard_proto::CloseReason;

/// The connections of one listener.
#[derive(Debug)]
pub(crate) struct Occupancy {
    /// What its server holds at most, which counts as well.
    pub(crate) server: Arc<Limits>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    /// Of each network, where there is a limit for one.
    from: HashMap<NonZeroU64, usize>,
}

impl Occupancy {
    pub(crate) fn new(server: &Arc<Limits>) -> Self {
        Self { server: Arc::clone(server), open: Mutex::default() }
    }

    /// Counts one more from `network`, unless that would be more than the listener's own `limits`.
    pub(crate) fn enter(&self, limits: &Limits, network: Option<NonZeroU64>) -> Result<(), CloseReason> {
        let mut open = self.open.lock();
        if open.all >= limits.connections {
            return Err(CloseReason::TooManyConnections);
        }
        if let (Some(limit), Some(network)) = (limits.connections_per_address, network) {
            let count = open.from.get(&network).copied().unwrap_or(0);
            if count >= limit {
                return Err(CloseReason::TooManyFromAddress);
            }
            open.from.insert(network, count + 1);
        }
        open.all += 1;
        Ok(())
    }

    /// One that was counted has gone.
    pub(crate) fn leave(&self, limits: &Limits, network: Option<NonZeroU64>) {
        let mut open = self.open.lock();
        open.all -= 1;
        let (Some(_), Some(network)) = (limits.connections_per_address, network) else { return };
        let Some(count) = open.from.get_mut(&network) else { unreachable!("counted when it entered") };
        *count -= 1;
        if *count == 0 {
            open.from.remove(&network);
        }
    }
}
