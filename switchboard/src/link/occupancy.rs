//! How many connections a listener has, where it has limits of its own beside its server's.

use crate::config::Limits;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::num::NonZeroU64;
use switchboard_proto::CloseReason;

/// The connections of one listener.
#[derive(Debug, Default)]
pub(crate) struct Occupancy {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    /// Of each network, where there is a limit for one.
    from: HashMap<NonZeroU64, usize>,
}

impl Occupancy {
    /// Counts one more from `network`, unless that would be more than the listener's own `limits`.
    pub(crate) fn enter(&self, limits: &Limits, network: Option<NonZeroU64>) -> Result<(), CloseReason> {
        let mut open = self.open.lock();
        if open.all >= limits.connections {
            return Err(CloseReason::TooManyConnections);
        }
        if let Some(network) = network {
            open.add_from(limits, network)?;
        }
        open.all += 1;
        Ok(())
    }

    /// One that was counted has gone.
    pub(crate) fn leave(&self, limits: &Limits, network: Option<NonZeroU64>) {
        let mut open = self.open.lock();
        open.all -= 1;
        if let Some(network) = network {
            open.remove_from(limits, network);
        }
    }

    /// Counts one that is there for whom it turned out to be for.
    #[cfg(feature = "http")]
    pub(crate) fn enter_from(&self, limits: &Limits, network: NonZeroU64) -> Result<(), CloseReason> {
        self.open.lock().add_from(limits, network)
    }

    #[cfg(feature = "http")]
    pub(crate) fn leave_from(&self, limits: &Limits, network: NonZeroU64) {
        self.open.lock().remove_from(limits, network);
    }
}

impl Open {
    fn add_from(&mut self, limits: &Limits, network: NonZeroU64) -> Result<(), CloseReason> {
        let Some(limit) = limits.connections_per_address else { return Ok(()) };
        let count = self.from.get(&network).copied().unwrap_or(0);
        if count >= limit {
            return Err(CloseReason::TooManyFromAddress);
        }
        self.from.insert(network, count + 1);
        Ok(())
    }

    fn remove_from(&mut self, limits: &Limits, network: NonZeroU64) {
        if limits.connections_per_address.is_none() {
            return;
        }
        let Some(count) = self.from.get_mut(&network) else { unreachable!("counted when it entered") };
        *count -= 1;
        if *count == 0 {
            self.from.remove(&network);
        }
    }
}
