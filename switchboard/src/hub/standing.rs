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

/// Who a session is shown to be, its seats, and how it keeps its name.
#[derive(Default)]
pub(super) struct Standing {
    /// `None`: nobody in particular.
    pub(super) principal: Option<Arc<Principal>>,
    /// The one with the lowest number. Most have no other, so that this takes no memory of its own and is found at once.
    first: Option<Seat>,
    /// Boxed: 8 bytes for whoever has none of it.
    rest: Option<Box<Rest>>,
}

/// What few have.
#[derive(Default)]
struct Rest {
    /// With this another connection can take the name over.
    secret: Option<NameSecret>,
    /// Behind the first, in the order of their numbers, since that is the one in which they come.
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
    /// The log takes no more.
    Unavailable,
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
    /// With this another connection can take the name over.
    pub(super) fn secret(&self) -> Option<NameSecret> {
        self.rest.as_ref()?.secret
    }

    pub(super) fn keep_by(&mut self, secret: Option<NameSecret>) {
        if secret.is_some() || self.rest.is_some() {
            self.rest.get_or_insert_default().secret = secret;
        }
    }

    pub(super) fn sit(&mut self, seat: Seat) {
        match self.first {
            None => self.first = Some(seat),
            Some(_) => self.rest.get_or_insert_default().seats.push(seat),
        }
    }

    /// Without a policy; once for each, whenever it is noted.
    pub(super) fn sit_unasked(&mut self, id: MembershipId, room: &Arc<RoomInner>) {
        let seat = Seat { id, room: Arc::downgrade(room), generation: 0, rights: EVERYTHING };
        match &mut self.first {
            None => self.first = Some(seat),
            Some(first) if first.id == id => {}
            Some(first) => {
                let seat = if id < first.id { std::mem::replace(first, seat) } else { seat };
                let seats = &mut self.rest.get_or_insert_default().seats;
                if let Err(place) = seats.binary_search_by_key(&seat.id, |seat| seat.id) {
                    seats.insert(place, seat);
                }
            }
        }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Seat> {
        self.first.iter_mut().chain(self.rest.iter_mut().flat_map(|rest| &mut rest.seats))
    }

    /// Where it is.
    pub(super) fn seats(&mut self) -> Vec<(Weak<RoomInner>, MembershipId)> {
        self.all().map(|seat| (Weak::clone(&seat.room), seat.id)).collect()
    }

    #[inline]
    pub(super) fn seat(&mut self, id: MembershipId) -> Result<&mut Seat, Objection> {
        match &mut self.first {
            Some(first) if first.id == id => Ok(first),
            _ => self.rest.as_mut().and_then(|rest| rest.seat(id)).ok_or(Objection::Gone),
        }
    }

    pub(super) fn rise(&mut self, id: MembershipId) {
        if self.first.as_ref().is_some_and(|first| first.id == id) {
            let seats = self.rest.as_mut().map(|rest| &mut rest.seats).filter(|seats| !seats.is_empty());
            self.first = seats.map(|seats| seats.remove(0));
        } else if let Some(rest) = &mut self.rest {
            rest.seats.retain(|seat| seat.id != id);
        }
    }

    /// The session is `principal` from now on: no answer about another one holds any more. Returns its seats.
    pub(super) fn show(&mut self, principal: Arc<Principal>) -> Vec<(Weak<RoomInner>, MembershipId)> {
        self.principal = Some(principal);
        let outdated = |seat: &mut Seat| {
            // The one before: generations grow, so it is none that comes.
            seat.generation = seat.generation.wrapping_sub(1);
            (Weak::clone(&seat.room), seat.id)
        };
        self.all().map(outdated).collect()
    }
}

impl Rest {
    fn seat(&mut self, id: MembershipId) -> Option<&mut Seat> {
        let place = self.seats.binary_search_by_key(&id, |seat| seat.id).ok()?;
        self.seats.get_mut(place)
    }
}
