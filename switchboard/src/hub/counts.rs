//! What a hub counts of all its rooms together.
//!
//! Publishers are on any thread, and the program's own too: a counter has a place for each of a few threads, so that they do
//! not pass one cache line around for each message.

use super::holding::Holding;
use super::{Hub, HubLimits};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Threads with a place of their own; with more of them some share one.
const STRIPES: usize = 8;

thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// What is counted of rooms.
#[derive(Debug, Default)]
pub(super) struct HubCounts {
    stripes: [Stripe; STRIPES],
    memberships: AtomicUsize,
    refused: AtomicU64,
}

/// 128: processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    publications: AtomicU64,
    /// It falls as well; the sum of all is what counts.
    kept: AtomicUsize,
}

/// What a hub has counted, and what it has now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubMetrics {
    /// Rooms that have a name.
    pub rooms: usize,
    /// How many there may be ([`HubLimits::rooms`]).
    pub rooms_limit: usize,
    /// Members of all rooms: whoever is in two counts twice.
    pub memberships: usize,
    /// Messages published since the start.
    pub publications: u64,
    /// Publications that the hub's policy did not allow, or that were more or longer than their room takes.
    pub publications_refused: u64,
    /// Messages that rooms keep.
    pub history_messages: usize,
    /// Bytes that those take.
    pub history_bytes: usize,
}

impl HubCounts {
    fn stripe(&self) -> &Stripe {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let stripe = match STRIPE.get() {
            usize::MAX => {
                // Relaxed: as all here, a statistic that guards no other memory.
                let stripe = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
                STRIPE.set(stripe);
                stripe
            }
            stripe => stripe,
        };
        &self.stripes[stripe]
    }

    #[inline]
    pub(super) fn published(&self) {
        self.stripe().publications.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A room keeps so many messages that kept so many `before`.
    #[inline]
    pub(super) fn kept(&self, before: usize, now: usize) {
        if before != now {
            self.stripe().kept.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    pub(super) fn joined(&self) {
        self.memberships.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn left(&self) {
        self.memberships.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hub {
    /// What it has counted, and what it has now. No room is looked at for it.
    ///
    /// ```
    /// # use switchboard::Hub;
    /// let hub = Hub::new();
    /// hub.room("lobby")?.publish("hi");
    /// let metrics = hub.metrics();
    /// assert_eq!((metrics.rooms, metrics.publications, metrics.history_messages), (1, 1, 1));
    /// # Ok::<(), switchboard::RoomError>(())
    /// ```
    pub fn metrics(&self) -> HubMetrics {
        let Holding { counts, limits: HubLimits { rooms: rooms_limit, .. }, .. } = &*self.0.holding;
        let kept = counts.stripes.iter().map(|stripe| stripe.kept.load(Ordering::Relaxed)).fold(0, usize::wrapping_add);
        HubMetrics {
            rooms: self.0.rooms.lock().len(),
            rooms_limit: *rooms_limit,
            memberships: counts.memberships.load(Ordering::Relaxed),
            publications: counts.stripes.iter().map(|stripe| stripe.publications.load(Ordering::Relaxed)).sum(),
            publications_refused: counts.refused.load(Ordering::Relaxed),
            // Two stripes may be looked at while a message goes in one and comes in the other.
            history_messages: usize::try_from(kept.cast_signed()).unwrap_or(0),
            history_bytes: self.0.holding.bytes(),
        }
    }
}
