//! What a session may do in the rooms that it is in, if the hub has a policy: its latest answers, and when they were given.
//!
//! Asks nobody: it is given the answers, under the lock of whoever keeps it.

use super::door::EVERYTHING;
use super::policy::{Principal, Ruling};
use super::posting::MembershipId;
use super::room::RoomInner;
use std::sync::{Arc, Weak};
use std::time::Duration;
use switchboard_proto::{NameSecret, Rights};

/// Who a session is shown to be, how it keeps its name, and its seats.
#[derive(Default)]
pub(super) struct Standing {
    /// `None`: nobody in particular.
    pub(super) principal: Option<Arc<Principal>>,
    /// With this another connection can take the name over.
    pub(super) secret: Option<NameSecret>,
    /// In the order of their numbers, which is the one in which they come.
    seats: Vec<Seat>,
}

/// What one membership may do.
pub(super) struct Seat {
    id: MembershipId,
    pub(super) room: Weak<RoomInner>,
    /// The policy's generation when it was asked.
    generation: u32,
    rights: Rights,
}

/// Why something may not be done, or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Objection {
    /// The policy, or the principal, has changed since it was asked: ask it again.
    Outdated,
    /// The membership is gone.
    Gone,
    Refused,
    /// The room takes no payload of more bytes.
    TooLong {
        limit: usize,
    },
    /// The room takes no more until then.
    TooOften {
        wait: Duration,
    },
}

/// What became of an answer.
pub(super) enum Settled {
    /// Taken: the rights now, and those before.
    Changed { from: Rights, to: Rights },
    /// There is a newer one, of this generation.
    Late(u32),
    /// It is about another principal than the session has now.
    Mistaken,
}

impl Seat {
    pub(super) fn new(id: MembershipId, room: Weak<RoomInner>, ruling: &Ruling) -> Self {
        Self { id, room, generation: ruling.generation, rights: ruling.rights }
    }

    pub(super) fn id(&self) -> MembershipId {
        self.id
    }

    /// What it may do, if the policy was asked in its `generation`.
    #[inline]
    pub(super) fn rights(&self, generation: u32) -> Result<Rights, Objection> {
        if self.generation == generation { Ok(self.rights) } else { Err(Objection::Outdated) }
    }

    /// Takes an answer, unless it has a newer one.
    pub(super) fn settle(&mut self, ruling: &Ruling) -> Settled {
        if (ruling.generation.wrapping_sub(self.generation)).cast_signed() < 0 {
            return Settled::Late(self.generation);
        }
        self.generation = ruling.generation;
        Settled::Changed { from: std::mem::replace(&mut self.rights, ruling.rights), to: ruling.rights }
    }
}

impl Standing {
    pub(super) fn sit(&mut self, seat: Seat) {
        // Most are in one room.
        if self.seats.capacity() == 0 {
            self.seats.reserve_exact(1);
        }
        self.seats.push(seat);
    }

    /// Without a policy; once for each, whenever it is noted.
    pub(super) fn sit_unasked(&mut self, id: MembershipId, room: &Arc<RoomInner>) {
        if let Err(place) = self.seats.binary_search_by_key(&id, |seat| seat.id) {
            let seat = Seat { id, room: Arc::downgrade(room), generation: 0, rights: EVERYTHING };
            self.seats.insert(place, seat);
        }
    }

    /// Where it is.
    pub(super) fn seats(&self) -> Vec<(Weak<RoomInner>, MembershipId)> {
        self.seats.iter().map(|seat| (Weak::clone(&seat.room), seat.id)).collect()
    }

    #[inline]
    pub(super) fn seat(&mut self, id: MembershipId) -> Result<&mut Seat, Objection> {
        let place = self.seats.binary_search_by_key(&id, |seat| seat.id).map_err(|_| Objection::Gone)?;
        self.seats.get_mut(place).ok_or(Objection::Gone)
    }

    pub(super) fn rise(&mut self, id: MembershipId) {
        self.seats.retain(|seat| seat.id != id);
    }

    /// The session is `principal` from now on: no answer about another one holds any more. Returns its seats.
    pub(super) fn show(&mut self, principal: Arc<Principal>) -> Vec<(Weak<RoomInner>, MembershipId)> {
        self.principal = Some(principal);
        let outdated = |seat: &mut Seat| {
            // The one before: generations grow, so it is none that comes.
            seat.generation = seat.generation.wrapping_sub(1);
            (Weak::clone(&seat.room), seat.id)
        };
        self.seats.iter_mut().map(outdated).collect()
    }
}
