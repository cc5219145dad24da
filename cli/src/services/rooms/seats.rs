//! A connection's places in rooms. Nearly always there is one, which takes no memory of its own.

use switchboard::{Membership, RoomName};

/// The current one, and those that were current before it.
#[derive(Default)]
pub(super) struct Seats {
    current: Option<Membership>,
    others: Option<Box<Others>>,
}

/// In the order in which they were current. Boxed, so that most connections have 8 bytes of it instead of 24.
#[derive(Default)]
struct Others(Vec<Membership>);

impl Seats {
    /// Of the current room.
    pub(super) fn current(&self) -> Option<&Membership> {
        self.current.as_ref()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Membership> {
        self.others().iter().chain(&self.current)
    }

    /// Of a room.
    pub(super) fn of(&self, room: &RoomName) -> Option<&Membership> {
        self.all().find(|seat| seat.room().name() == room)
    }

    /// Makes `seat` the current one.
    pub(super) fn sit(&mut self, seat: Membership) {
        if let Some(before) = self.current.replace(seat) {
            self.others.get_or_insert_default().0.push(before);
        }
    }

    /// Takes out the seat of a room, or the current one. The one that was current last is current then.
    pub(super) fn take(&mut self, room: Option<&RoomName>) -> Option<Membership> {
        let is_it = |seat: &Membership| room.is_none_or(|room| seat.room().name() == room);
        if self.current.as_ref().is_some_and(is_it) {
            let before = self.others.as_mut().and_then(|others| others.0.pop());
            return std::mem::replace(&mut self.current, before);
        }
        let place = self.others().iter().position(is_it)?;
        self.others.as_mut().map(|others| others.0.remove(place))
    }

    fn others(&self) -> &[Membership] {
        self.others.as_ref().map_or(&[], |others| &others.0)
    }
}
