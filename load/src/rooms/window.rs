//! The closed loop of rooms: how many messages of a room are on their way to its members.
//!
//! Counted in deliveries, over all threads: the members of a room and its publishers may be on different ones.

use super::{Rooms, State};
use crate::options::Load;
use crate::schedule::SECOND;
use std::sync::atomic::Ordering;

/// What has not come after so long does not come.
const PATIENCE: u64 = 5 * SECOND;

// Counts that guard no other memory: Relaxed is enough.
impl Rooms {
    /// So many deliveries in a room are not waited for any more.
    pub(super) fn resolve(&self, room: usize, deliveries: u32) {
        let Load::Closed { in_flight } = self.plan.load else { return };
        if deliveries == 0 {
            return;
        }
        let room = &self.shared.rooms[room];
        let deliveries = i64::from(deliveries);
        let left = room.outstanding.fetch_sub(deliveries, Ordering::Relaxed) - deliveries;
        let others_wait = left <= i64::from(in_flight - 1) * room.members.load(Ordering::Relaxed);
        if others_wait && self.plan.threads > 1 {
            self.shared.wake();
        }
    }

    /// Lets publishers take turns for as long as their rooms have room.
    pub(super) fn admit(&mut self, dirty: &mut Vec<usize>, now: u64) {
        let Load::Closed { in_flight } = self.plan.load else { return };
        let own_copies = i64::from(self.protocol.publishers_are_members());
        let mut admitted = true;
        while admitted {
            admitted = false;
            for connection in &self.publishers {
                let one = &mut self.connections[*connection];
                let Some(publisher) = one.publisher.as_mut().filter(|_| matches!(one.state, State::Joined)) else {
                    continue;
                };
                let room = &self.shared.rooms[one.room];
                let expected = room.members.load(Ordering::Relaxed) - own_copies;
                if expected <= 0 {
                    continue;
                }
                let before = room.outstanding.fetch_add(expected, Ordering::Relaxed);
                if before > i64::from(in_flight - 1) * expected {
                    room.outstanding.fetch_sub(expected, Ordering::Relaxed);
                    let stall = &mut self.stalls[one.room];
                    if stall.0 != before {
                        *stall = (before, now);
                    } else if now > stall.1 + PATIENCE {
                        room.outstanding.store(0, Ordering::Relaxed);
                    }
                    continue;
                }
                publisher.due += 1;
                dirty.push(*connection);
                admitted = true;
            }
        }
    }
}
