//! What all rooms of a hub keep together, and whose history gives way when that is too much.
//!
//! Apart from the hub, which has the rooms: if they had it too, neither would ever be freed.

use super::HubLimits;
use super::counts::HubCounts;
use super::durable::Unsettled;
use super::elsewhere::Elsewhere;
use super::encoding::Encodings;
use super::history::LEAST_BYTES;
use super::log::RoomLog;
use super::policy::Governance;
use super::room::RoomInner;
use crate::link::budget::Budget;
use crate::link::delivery::Reclaim;
use crate::link::figure::Figure;
use crate::sync::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// Histories have at most this share of a server's memory for messages.
const SHARE: usize = 2;

/// Rooms that one publication looks at, beside one for each of the least messages that its own is as long as, and at most, below
/// 50 µs. A look at a room finds it gone, or published to since the last one, neither of which is more often than a publication;
/// or it has a message give way at least. So they keep up, and what is too much meanwhile stays within a sixteenth above.
const LOOKS: usize = 3;
const MOST_LOOKS: usize = 256;

pub(crate) struct Holding {
    pub(super) limits: HubLimits,
    pub(super) encodings: Encodings,
    /// Here, where each room finds it.
    pub(super) governance: Option<Governance>,
    pub(super) counts: HubCounts,
    /// What keeps its rooms, if anything does.
    pub(super) log: Option<Arc<dyn RoomLog>>,
    /// The other nodes, where rooms are shared.
    pub(super) elsewhere: OnceLock<Arc<dyn Elsewhere>>,
    /// What waits for the log.
    pub(super) unsettled: Arc<Unsettled>,
    figure: Figure,
    /// What the limits and the memory of servers allow.
    most: AtomicUsize,
    /// Rooms that keep something. The front one gives way, unless there was a publication since it was the front one before.
    keeping: Mutex<VecDeque<Weak<RoomInner>>>,
    /// The address of the budget that counted this last; only compared, never followed.
    counted_in: AtomicUsize,
    /// All that count this, by their addresses, with their limits.
    budgets: Mutex<Vec<(usize, usize)>>,
}

impl Holding {
    pub(super) fn new(limits: HubLimits, governance: Option<Governance>, log: Option<Arc<dyn RoomLog>>) -> Arc<Self> {
        let most = AtomicUsize::new(limits.all_history_bytes);
        Arc::new(Self {
            limits,
            encodings: Encodings::default(),
            governance,
            log,
            elsewhere: OnceLock::new(),
            unsettled: Arc::default(),
            figure: Figure::default(),
            most,
            budgets: Mutex::default(),
            keeping: Mutex::default(),
            counted_in: AtomicUsize::default(),
            counts: HubCounts::default(),
        })
    }

    /// Has `budget` count what is kept here, and bounds that by its share of it.
    pub(crate) fn count_in(self: &Arc<Self>, budget: &Arc<Budget>) {
        let address = budget.address();
        if self.counted_in.load(Ordering::Relaxed) == address {
            return;
        }
        self.counted_in.store(address, Ordering::Relaxed);
        // Before its limit is read: a change of that finds it.
        budget.count(self);
        if self.log.is_some() {
            budget.count(&self.unsettled);
        }
        self.follow(address, budget.limit());
    }

    /// What one room may keep that keeps `bytes` now, and never more than `limit`: all may exceed theirs by a sixteenth until others
    /// have given way.
    pub(super) fn room_for(&self, bytes: usize, limit: usize) -> usize {
        let most = self.most.load(Ordering::Relaxed);
        let others = self.bytes().saturating_sub(bytes);
        limit.min((most + most / 16).saturating_sub(others))
    }

    pub(super) fn bytes(&self) -> usize {
        self.figure.bytes()
    }

    pub(super) fn grow(&self, bytes: isize) {
        self.figure.grow(bytes);
    }

    /// `room` keeps something from now on.
    pub(super) fn keep(&self, room: Weak<RoomInner>) {
        self.keeping.lock().push_back(room);
    }

    /// Lets histories give way while all keep more than they may, in proportion to the `length` of what was just published.
    #[inline]
    pub(super) fn trim(&self, length: usize) {
        if self.bytes() > self.most.load(Ordering::Relaxed) {
            let is_over = |_: &usize| self.bytes() > self.most.load(Ordering::Relaxed) && self.one_gives_way();
            let looks = (LOOKS + length / LEAST_BYTES).min(MOST_LOOKS);
            let _ = (0..looks).take_while(is_over).count();
        }
    }

    /// Forgets rooms that are gone.
    pub(super) fn purge(&self) {
        self.keeping.lock().retain(|room| room.strong_count() > 0);
    }
}

impl Reclaim for Holding {
    fn follow(&self, budget: usize, limit: usize) {
        let mut budgets = self.budgets.lock();
        budgets.retain(|(known, _)| *known != budget);
        budgets.push((budget, limit));
        let least = budgets.iter().map(|(_, limit)| limit / SHARE).min().unwrap_or(usize::MAX);
        // Relaxed: a bound that guards no other memory. What is above it goes with the next publications.
        self.most.store(least.min(self.limits.all_history_bytes), Ordering::Relaxed);
    }

    fn figure(&self) -> &Figure {
        &self.figure
    }

    /// Rooms that keep something.
    fn pieces(&self) -> usize {
        self.keeping.lock().len()
    }

    fn one_gives_way(&self) -> bool {
        let Some(next) = self.keeping.lock().pop_front() else { return false };
        // It may be the last who has it: no lock is held.
        if let Some(room) = next.upgrade()
            && room.gives_way()
        {
            self.keep(next);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::door::announce;
    use crate::hub::room::{Room, RoomOptions};

    #[test]
    fn a_publication_looks_at_rooms_in_proportion_to_its_length() {
        let scene = || {
            let holding = Holding::new(HubLimits::default(), None, None);
            let room = |number| {
                let name = format!("r{number}").parse().unwrap();
                Room(RoomInner::new(Some(name), RoomOptions::default(), Arc::clone(&holding)))
            };
            let rooms: Vec<_> = (0..2 * MOST_LOOKS).map(room).collect();
            let looks_of = |length| {
                // Each keeps what it has at the first look behind a publication, and goes to the end of the queue.
                for room in &rooms {
                    announce(room, b"x");
                }
                let first = holding.keeping.lock().front().cloned().unwrap();
                holding.most.store(0, Ordering::Relaxed);
                holding.trim(length);
                holding.most.store(1 << 30, Ordering::Relaxed);
                let place = holding.keeping.lock().iter().position(|room| room.ptr_eq(&first)).unwrap();
                rooms.len() - place
            };
            assert_eq!(looks_of(0), LOOKS);
            assert_eq!(looks_of(10 * LEAST_BYTES), LOOKS + 10);
            assert_eq!(looks_of(1 << 20), MOST_LOOKS);
        };
        shuttle::check_random(scene, 1);
    }
}
