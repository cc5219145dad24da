//! What a hub counts of all its rooms together.
//!
//! Publishers are on any thread, and the program's own too: a counter has a place for each of a few threads, so that they do
//! not pass one cache line around for each message.

use super::holding::Holding;
use super::membership::PublishError;
use super::room::RoomClass;
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
    refused: [AtomicU64; 4],
}

/// 128: processors fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Stripe {
    /// Of rooms without a class, and of each class.
    publications: [AtomicU64; 1 + RoomClass::MOST],
    /// It falls as well; the sum of all is what counts.
    kept: AtomicUsize,
}

impl Default for Stripe {
    fn default() -> Self {
        Self { publications: std::array::from_fn(|_| AtomicU64::new(0)), kept: AtomicUsize::new(0) }
    }
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
    /// The same for each class of rooms of which there are any, and for rooms without a class.
    pub publications_by_class: Vec<(Option<RoomClass>, u64)>,
    /// Publications that the hub's policy did not allow.
    pub refused_not_allowed: u64,
    /// Publications that were longer than their room takes.
    pub refused_too_long: u64,
    /// Publications that were more than their room takes.
    pub refused_too_often: u64,
    /// Publications that the log did not take, or could not keep.
    pub refused_unavailable: u64,
    /// Bytes of publications that wait for the log.
    pub unsettled_bytes: usize,
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
    pub(super) fn published(&self, class: Option<RoomClass>) {
        self.stripe().publications[class.map_or(0, |class| 1 + class.number())].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, error: &PublishError) {
        let reason = match error {
            PublishError::NotAllowed => 0,
            PublishError::TooLong { .. } => 1,
            PublishError::TooOften { .. } => 2,
            PublishError::Unavailable => 3,
        };
        self.refused[reason].fetch_add(1, Ordering::Relaxed);
    }

    fn publications(&self, place: usize) -> u64 {
        self.stripes.iter().map(|stripe| stripe.publications[place].load(Ordering::Relaxed)).sum()
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
        let refused = counts.refused.each_ref().map(|count| count.load(Ordering::Relaxed));
        let classes = (0..RoomClass::MOST).filter_map(RoomClass::new);
        let classes = classes.map(|class| (Some(class), counts.publications(1 + class.number())));
        let by_class: Vec<_> =
            std::iter::once((None, counts.publications(0))).chain(classes.filter(|(_, count)| *count > 0)).collect();
        HubMetrics {
            rooms: self.0.rooms.lock().len(),
            rooms_limit: *rooms_limit,
            memberships: counts.memberships.load(Ordering::Relaxed),
            publications: by_class.iter().map(|(_, count)| count).sum(),
            publications_by_class: by_class,
            refused_not_allowed: refused[0],
            refused_too_long: refused[1],
            refused_too_often: refused[2],
            refused_unavailable: refused[3],
            unsettled_bytes: self.0.holding.unsettled.bytes(),
            // Two stripes may be looked at while a message goes in one and comes in the other.
            history_messages: usize::try_from(kept.cast_signed()).unwrap_or(0),
            history_bytes: self.0.holding.bytes(),
        }
    }
}
