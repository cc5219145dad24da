//! How many handshakes a listener has under way, and how many one address may begin.
//!
//! A handshake costs its address one packet and us a signature: a thousand times the work of accepting.

use super::arriving::Awaited;
use crate::config::Limits;
use crate::error::logged;
use crate::link::{ListenerSettings, PeerAddr};
use crate::metrics::{AcceptWait, ListenerCounts};
use crate::node::{Owners, Scope, counted_network};
use parking_lot::Mutex;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU64;
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
    limit: usize,
    /// Who has how many under way.
    owners: Arc<Mutex<Owners>>,
    /// Of the rate that there was last, if there was one.
    buckets: Mutex<Option<Buckets>>,
    key: RandomState,
    started: Instant,
    /// Those who have places and have said nothing yet.
    pub(super) arrivals: Arc<Awaited>,
}

/// A handshake, until it is dropped.
pub(super) struct UnderWay {
    _place: OwnedSemaphorePermit,
    counts: Arc<ListenerCounts>,
    /// Whose it is, where handshakes are limited.
    counted: Option<(Arc<Mutex<Owners>>, NonZeroU64)>,
}

impl UnderWay {
    fn new(
        place: OwnedSemaphorePermit,
        counts: &Arc<ListenerCounts>,
        counted: Option<(Arc<Mutex<Owners>>, NonZeroU64)>,
    ) -> Self {
        counts.begins_handshake();
        Self { _place: place, counts: Arc::clone(counts), counted }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.counts.ends_handshake();
        if let Some((owners, network)) = &self.counted {
            owners.lock().remove(*network, Scope::All);
        }
    }
}

impl Handshakes {
    pub(super) fn new(limits: &Limits) -> Self {
        let limit = limits.handshakes.min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(limit)),
            limit,
            owners: Arc::default(),
            buckets: Mutex::default(),
            key: RandomState::new(),
            started: Instant::now(),
            arrivals: Arc::default(),
        }
    }

    /// Waits for a place.
    pub(super) async fn begin(&self, settings: &ListenerSettings) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        self.arrivals.dismiss_oldest();
        settings.metrics.count_wait(&settings.counts, AcceptWait::Handshakes);
        if settings.metrics.may_log_abnormal().is_some() {
            logged(|| warn!(listener = settings.name, "accepting is paused for handshakes"));
        }
        // Never closed.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Takes `place` for a handshake from this address, if one more is done.
    pub(super) fn admit(
        &self,
        place: OwnedSemaphorePermit,
        address: &PeerAddr,
        settings: &ListenerSettings,
    ) -> Option<UnderWay> {
        let counts = &settings.counts;
        let per_address = settings.limits.handshakes_per_address.or((!settings.is_local).then_some(PER_ADDRESS));
        let (Some(rate), Some(network)) = (per_address, counted_network(settings, address)) else {
            return Some(UnderWay::new(place, counts, None));
        };
        if !self.takes(Rate::new(rate, rate), network) {
            return None;
        }
        let mut owners = self.owners.lock();
        // Its own place is free until it has it.
        let free = (self.places.available_permits() + 1).min(self.limit);
        owners.may_have(network, Scope::All, free, 0).then(|| {
            owners.add(network, Scope::All);
            UnderWay::new(place, counts, Some((Arc::clone(&self.owners), network)))
        })
    }

    /// Whether `network` may begin one more at `rate`.
    fn takes(&self, rate: Rate, network: NonZeroU64) -> bool {
        let mut buckets = self.buckets.lock();
        // With another rate everybody begins anew.
        buckets.take_if(|buckets| buckets.rate() != rate);
        let buckets = buckets.get_or_insert_with(|| Buckets::new(BUCKETS, rate));
        buckets.take(self.key.hash_one(network), self.started.elapsed())
    }
}
