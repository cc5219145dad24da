//! Who is called what in a hub.
//!
//! Guests are found by their numbers: 16 bytes each, where a name in a hash table takes up to 56. Whoever is shown to be somebody
//! has the name of that one, and behind it a number where it has several connections.

use super::session::SessionInner;
use crate::link::roster::Roster;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use switchboard_proto::UserName;

/// Everybody by name; each has one.
#[derive(Default)]
pub(super) struct Names {
    guests: Roster<u64, Arc<SessionInner>>,
    /// In order, so that a review goes through them a few at a time.
    taken: BTreeMap<UserName, Arc<SessionInner>>,
    /// Of principals that have, or had, more than one connection at a time.
    numbers: HashMap<UserName, Numbers>,
}

/// Which numbers behind a principal's name are its connections'.
#[derive(Debug)]
struct Numbers {
    /// It and those above were never given.
    next: u64,
    /// Those below that were, and are not any more.
    freed: BTreeSet<u64>,
}

/// The first number: the connection without one is number 1.
const SECOND: u64 = 2;

impl Numbers {
    const NEW: Self = Self { next: SECOND, freed: BTreeSet::new() };

    fn give(&mut self) -> u64 {
        self.freed.pop_first().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    /// Takes a number back. Says whether none is given any more.
    fn take(&mut self, number: u64) -> bool {
        if (SECOND..self.next).contains(&number) {
            self.freed.insert(number);
        }
        self.freed.len() as u64 == self.next - SECOND
    }
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

    /// At most `limit` of those who are no guests, behind a name.
    pub(super) fn taken_behind(&self, name: Option<&UserName>, limit: usize) -> Vec<(UserName, Arc<SessionInner>)> {
        let behind = self.taken.range::<UserName, _>((name.map_or(Unbounded, Excluded), Unbounded));
        behind.take(limit).map(|(name, session)| (name.clone(), Arc::clone(session))).collect()
    }

    /// `owner` with the lowest number behind it that is free, which counts as given then. None if it would be longer than names may be.
    pub(super) fn number(&mut self, owner: &UserName) -> Option<UserName> {
        // Of one that is too long nothing is kept.
        owner.numbered(SECOND)?;
        loop {
            let name = owner.numbered(self.numbers.entry(owner.clone()).or_insert(Numbers::NEW).give())?;
            // Somebody may have chosen it.
            if self.is_free(&name) {
                return Some(name);
            }
        }
    }

    /// Takes back numbers that were given and not used.
    pub(super) fn give_back(&mut self, names: impl IntoIterator<Item = UserName>) {
        names.into_iter().for_each(|name| self.free(&name));
    }

    /// The number of that name, if it has one, is nobody's now.
    fn free(&mut self, name: &UserName) {
        if !self.numbers.is_empty()
            && let Some((owner, number)) = name.owner_and_number()
            && self.numbers.get_mut(&owner).is_some_and(|numbers| numbers.take(number))
        {
            self.numbers.remove(&owner);
        }
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
        self.free(name);
    }
}

#[cfg(test)]
mod tests {
    use super::{Numbers, SECOND};

    #[test]
    fn the_lowest_number_that_is_free_is_given() {
        let mut numbers = Numbers::NEW;
        assert_eq!([numbers.give(), numbers.give(), numbers.give()], [2, 3, 4]);
        assert!(!numbers.take(3) && !numbers.take(2));
        assert_eq!([numbers.give(), numbers.give(), numbers.give()], [2, 3, 5]);
    }

    #[test]
    fn what_was_never_given_is_not_taken_back() {
        let mut numbers = Numbers::NEW;
        numbers.give();
        for foreign in [0, 1, 3, 999_999, u64::MAX] {
            assert!(!numbers.take(foreign), "{foreign}");
        }
        assert_eq!(numbers.give(), 3);
    }

    #[test]
    fn one_that_is_taken_back_twice_is_given_once() {
        let mut numbers = Numbers::NEW;
        let given = [numbers.give(), numbers.give()];
        numbers.take(given[0]);
        numbers.take(given[0]);
        assert_eq!([numbers.give(), numbers.give()], [2, 4]);
    }

    #[test]
    fn nothing_is_kept_once_all_are_back() {
        let mut numbers = Numbers::NEW;
        for _ in 0..1000 {
            numbers.give();
        }
        let last = (SECOND..SECOND + 1000).map(|number| numbers.take(number)).collect::<Vec<_>>();
        assert_eq!(last.iter().filter(|all| **all).count(), 1);
        assert_eq!(last.last(), Some(&true));
    }
}
