//! How many handshakes a listener has under way, and how many one address may begin.
//!
//! A handshake costs its address one packet and us a signature: a thousand times the work of accepting.

use crate::config::Limits;
use crate::hub::peer::{ListenerSettings, PeerAddr};
use crate::transport::udp::network;
use parking_lot::Mutex;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use switchboard_proto::{Buckets, Rate};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::warn;

/// Handshakes a second from one address on a listener open to strangers: about 4 % of a core, at 0.4 ms each.
const PER_ADDRESS: u32 = 100;

/// 32 KiB. Addresses that share one by chance share a rate.
const BUCKETS: usize = 4096;

pub(super) struct Handshakes {
    places: Arc<Semaphore>,
    buckets: Option<Mutex<Buckets>>,
    key: RandomState,
    started: Instant,
}

/// The place of a handshake, until it is dropped.
pub(super) type UnderWay = OwnedSemaphorePermit;

impl Handshakes {
    pub(super) fn new(limits: &Limits, is_local: bool) -> Self {
        let per_address = limits.handshakes_per_address.or((!is_local).then_some(PER_ADDRESS));
        Self {
            places: Arc::new(Semaphore::new(limits.handshakes.min(Semaphore::MAX_PERMITS))),
            buckets: per_address.map(|rate| Mutex::new(Buckets::new(BUCKETS, Rate::new(rate, rate)))),
            key: RandomState::new(),
            started: Instant::now(),
        }
    }

    /// Waits for a place.
    pub(super) async fn begin(&self, settings: &ListenerSettings) -> Option<UnderWay> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        settings.metrics.accept_waits.add(1);
        if settings.metrics.may_log_abnormal().is_some() {
            warn!(listener = settings.name, "accepting waits for handshakes");
        }
        // Never closed.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Whether one more handshake from this address is done.
    pub(super) fn admit(&self, address: &PeerAddr) -> bool {
        let (Some(buckets), Some(address)) = (&self.buckets, address.ip()) else { return true };
        buckets.lock().take(self.key.hash_one(network(address.ip())), self.started.elapsed())
    }
}
