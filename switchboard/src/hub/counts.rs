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
#[derive(Debug)]
pub(super) struct HubCounts {
    stripes: [Stripe; STRIPES],
    /// Of rooms without a class, and of each class.
    classes: [ClassCounts; 1 + RoomClass::MOST],
    /// Sessions with a connection that are shown to be somebody.
    authenticated: AtomicUsize,
    refused: [AtomicU64; 4],
}

/// What there is now of one class.
#[derive(Debug, Default)]
struct ClassCounts {
    rooms: AtomicUsize,
    members: AtomicUsize,
}

fn place(class: Option<RoomClass>) -> usize {
    class.map_or(0, |class| 1 + class.number())
}

impl Default for HubCounts {
    fn default() -> Self {
        let (stripes, authenticated, refused) = Default::default();
        Self { stripes, classes: std::array::from_fn(|_| ClassCounts::default()), authenticated, refused }
    }
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

/// What a hub has counted since the start, and what it holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubMetrics {
    /// Rooms that have a name.
    pub rooms: usize,
    /// How many there may be ([`HubLimits::rooms`]).
    pub rooms_limit: usize,
    /// Members of all rooms: somebody who is in two counts twice.
    pub memberships: usize,
    /// Rooms and members by class, without empty classes.
    pub classes: Vec<ClassMetrics>,
    /// Sessions with a connection whose principal is not anonymous.
    pub authenticated: usize,
    /// Messages published since the start.
    pub publications: u64,
    /// The same by class of room, without empty classes, and for rooms without a class.
    pub publications_by_class: Vec<(Option<RoomClass>, u64)>,
    /// Publications that the hub's policy did not allow.
    pub refused_not_allowed: u64,
    /// Publications longer than their room allows.
    pub refused_too_long: u64,
    /// Publications above the rate that their room allows.
    pub refused_too_often: u64,
    /// Publications that the log refused, or could not keep.
    pub refused_unavailable: u64,
    /// Bytes of publications that wait for the log.
    pub unsettled_bytes: usize,
    /// Messages that rooms keep.
    pub history_messages: usize,
    /// Bytes that those take.
    pub history_bytes: usize,
}

/// The rooms of one class now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassMetrics {
    /// Which.
    pub class: RoomClass,
    /// How many there are.
    pub rooms: usize,
    /// Members of all of them.
    pub memberships: usize,
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
        self.stripe().publications[place(class)].fetch_add(1, Ordering::Relaxed);
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

    pub(super) fn joined(&self, class: Option<RoomClass>) {
        self.classes[place(class)].members.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn left(&self, class: Option<RoomClass>) {
        self.classes[place(class)].members.fetch_sub(1, Ordering::Relaxed);
    }

    /// There is one more room.
    pub(super) fn made(&self, class: Option<RoomClass>) {
        self.classes[place(class)].rooms.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn unmade(&self, class: Option<RoomClass>) {
        self.classes[place(class)].rooms.fetch_sub(1, Ordering::Relaxed);
    }

    /// A room with so many members is of another class from now on. Added first: none of them is ever below what there is.
    pub(super) fn reclassed(&self, from: Option<RoomClass>, to: Option<RoomClass>, members: usize) {
        self.made(to);
        self.classes[place(to)].members.fetch_add(members, Ordering::Relaxed);
        self.classes[place(from)].members.fetch_sub(members, Ordering::Relaxed);
        self.unmade(from);
    }

    /// A session with a connection was shown to be somebody, or not, and is now.
    pub(super) fn shown(&self, was_somebody: bool, is_somebody: bool) {
        match (was_somebody, is_somebody) {
            (false, true) => _ = self.authenticated.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.authenticated.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Of each class, and before them of none.
    fn members(&self) -> impl Iterator<Item = usize> {
        self.classes.iter().map(|class| class.members.load(Ordering::Relaxed))
    }

    fn class(&self, class: RoomClass) -> Option<ClassMetrics> {
        let counts = &self.classes[place(Some(class))];
        let (rooms, memberships) = (counts.rooms.load(Ordering::Relaxed), counts.members.load(Ordering::Relaxed));
        (rooms > 0).then_some(ClassMetrics { class, rooms, memberships })
    }
}

impl Hub {
    /// What it has counted, and what it holds now. Costs the same however many rooms there are.
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
            memberships: counts.members().sum(),
            classes: (0..RoomClass::MOST).filter_map(RoomClass::new).filter_map(|class| counts.class(class)).collect(),
            authenticated: counts.authenticated.load(Ordering::Relaxed),
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
