//! Who is called what in a hub.
//!
//! Guests are found by their numbers: 16 bytes each, where a name in a hash table takes up to 56.

use super::session::SessionInner;
use crate::link::roster::Roster;
use std::collections::HashMap;
use std::sync::Arc;
use switchboard_proto::UserName;

/// Everybody by name; each has one.
#[derive(Default)]
pub(super) struct Names {
    guests: Roster<u64, Arc<SessionInner>>,
    taken: HashMap<UserName, Arc<SessionInner>>,
}

impl Names {
    pub(super) fn get(&self, name: &UserName) -> Option<&Arc<SessionInner>> {
        match name.guest_number() {
            Some(number) => self.guests.get(number),
            None => self.taken.get(name),
        }
    }

    /// Whether anybody may take this name: a guest's is for whoever gets its number.
    pub(super) fn is_free(&self, name: &UserName) -> bool {
        name.guest_number().is_none() && !self.taken.contains_key(name)
    }

    /// At most `limit` guests behind one by their numbers.
    pub(super) fn guests_behind(&self, number: Option<u64>, limit: usize) -> Vec<(u64, Arc<SessionInner>)> {
        let behind = self.guests.entries_behind(number).take(limit);
        behind.map(|(number, session)| (number, Arc::clone(session))).collect()
    }

    /// Everybody who is no guest.
    pub(super) fn taken(&self) -> Vec<Arc<SessionInner>> {
        self.taken.values().cloned().collect()
    }

    pub(super) fn enter_guest(&mut self, number: u64, session: Arc<SessionInner>) {
        self.guests.insert(number, session);
    }

    /// Enters a name that nobody has.
    pub(super) fn insert(&mut self, name: UserName, session: Arc<SessionInner>) {
        match name.guest_number() {
            Some(number) => self.enter_guest(number, session),
            None => drop(self.taken.insert(name, session)),
        }
    }

    pub(super) fn remove(&mut self, name: &UserName) {
        match name.guest_number() {
            Some(number) => drop(self.guests.remove(number)),
            None => drop(self.taken.remove(name)),
        }
        // After a storm the table would keep its size for good.
        if self.taken.capacity() > 1024 && self.taken.len() < self.taken.capacity() / 8 {
            self.taken.shrink_to(self.taken.len() * 2);
        }
    }
}
