//! The task that keeps a node's names: renews its lease, gives back what is nobody's, and gets numbers for guests.

use super::Shared;
use super::names::{LeaseRenewal, RENEW_EVERY};
use crate::hub::elsewhere::HubHere;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

/// How soon what did not work is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Names that are put or given back before the lease is looked at again.
const AT_ONCE: usize = 64;

pub(super) struct NameKeeping {
    pub(super) shared: Arc<Shared>,
    pub(super) hub: HubHere,
}

impl NameKeeping {
    pub(super) async fn run(self) {
        let (names, guests) = (&self.shared.names, &self.shared.guests);
        let mut renew_at = Instant::now();
        loop {
            let (mut is_anew, mut is_more) = (false, false);
            if renew_at <= Instant::now() || self.shared.is_anew() {
                let renewed = names.renew().await;
                is_anew = renewed == LeaseRenewal::Anew;
                if is_anew && names.count() > 0 {
                    warn!(names = names.count(), "names are claimed anew, as they were not renewed in time");
                }
                renew_at = Instant::now() + if renewed == LeaseRenewal::Away { AGAIN } else { RENEW_EVERY };
            }
            if names.is_leased() {
                let (lost, is_left) = names.put_anew(AT_ONCE).await;
                is_more = is_left;
                for name in lost {
                    info!(name = %name, "another node has taken a name");
                    self.hub.lose(&name);
                }
                names.get_block(guests).await;
                names.keep_blocks(guests, is_anew, |from, to| self.hub.has_guests(from, to)).await;
                self.shared.is_ready.cancel();
            }
            is_more |= names.give_back(AT_ONCE).await;
            if is_more {
                tokio::task::yield_now().await;
                continue;
            }
            // Both may be dropped at any time.
            tokio::select! {
                () = self.shared.kept.notified() => {}
                () = sleep_until(renew_at.min(Instant::now() + AGAIN)) => {}
            }
        }
    }
}
