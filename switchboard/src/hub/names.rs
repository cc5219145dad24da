//! Who is called what in a hub.
//!
//! Guests are found by their numbers: 16 bytes each, where a name in a hash table takes up to 56. Whoever is shown to be somebody
//! has the name of that one, and behind it a number where it has several connections, by which it is found in the same way.

use super::session::SessionInner;
use crate::link::roster::Roster;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;
use switchboard_proto::UserName;

/// Everybody by name; each has one.
#[derive(Default)]
pub(super) struct Names {
    guests: Roster<u64, Arc<SessionInner>>,
    /// In order, so that a review goes through them a few at a time.
    taken: BTreeMap<UserName, Arc<SessionInner>>,
    /// Of principals that have, or had, more than one connection at a time.
    numbers: BTreeMap<UserName, Numbers>,
}

/// Which numbers behind a principal's name are its connections'.
#[derive(Default)]
struct Numbers {
    given: Given,
    /// Those that have one of the numbers that were given as their name.
    sessions: Roster<u64, Arc<SessionInner>>,
}

/// Which numbers somebody has, or is about to have.
#[derive(Debug)]
struct Given {
    /// It and those above were never given.
    next: u64,
    /// Those below that were, and are not any more.
    freed: BTreeSet<u64>,
}

/// How far somebody is who goes through all of them.
#[derive(Debug)]
pub(super) enum Reached {
    Guests(Option<u64>),
    Taken(Option<UserName>),
    /// Behind this number of that name.
    Numbered(Option<(UserName, u64)>),
    End,
}

impl Default for Reached {
    fn default() -> Self {
        Self::Guests(None)
    }
}

/// The first number: the connection without one is number 1.
const SECOND: u64 = 2;

impl Default for Given {
    fn default() -> Self {
        Self { next: SECOND, freed: BTreeSet::new() }
    }
}

impl Given {
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

    /// Counts a number as given that somebody has chosen. Says whether it was given before, whoever had it.
    fn choose(&mut self, number: u64) -> bool {
        self.freed.remove(&number);
        (SECOND..self.next).contains(&number)
    }
}

impl Names {
    pub(super) fn get(&self, name: &UserName) -> Option<&Arc<SessionInner>> {
        if let Some(number) = name.guest_number() {
            return self.guests.get(number);
        }
        self.taken.get(name).or_else(|| {
            let (owner, number) = self.numbered(name)?;
            self.numbers.get(&owner)?.sessions.get(number)
        })
    }

    /// Whose name with a number it would be, if anybody has such ones.
    fn numbered(&self, name: &UserName) -> Option<(UserName, u64)> {
        if self.numbers.is_empty() { None } else { name.owner_and_number() }
    }

    /// Whether anybody may take this name: a guest's is for whoever gets its number.
    pub(super) fn is_free(&self, name: &UserName) -> bool {
        name.guest_number().is_none() && self.get(name).is_none()
    }

    /// At most `limit` of all, further ones the next time; none once all were given.
    pub(super) fn some(&self, after: &mut Reached, limit: usize) -> Vec<Arc<SessionInner>> {
        loop {
            let (found, next) = match &*after {
                Reached::Guests(number) => {
                    let behind = self
                        .guests
                        .entries_behind(*number)
                        .map(|(number, session)| (Reached::Guests(Some(number)), session));
                    (some(behind, limit), Reached::Taken(None))
                }
                Reached::Taken(name) => {
                    let behind =
                        self.taken.range::<UserName, _>((name.as_ref().map_or(Unbounded, Excluded), Unbounded));
                    let behind = behind.map(|(name, session)| (Reached::Taken(Some(name.clone())), session));
                    (some(behind, limit), Reached::Numbered(None))
                }
                Reached::Numbered(name) => {
                    let (owner, number) = name.as_ref().map_or((None, 0), |(owner, number)| (Some(owner), *number));
                    let owners = self.numbers.range::<UserName, _>((owner.map_or(Unbounded, Included), Unbounded));
                    let behind = owners.flat_map(|(name, numbers)| {
                        let behind = numbers.sessions.entries_behind((Some(name) == owner).then_some(number));
                        behind.map(|(number, session)| (Reached::Numbered(Some((name.clone(), number))), session))
                    });
                    (some(behind, limit), Reached::End)
                }
                Reached::End => return Vec::new(),
            };
            *after = found.1.unwrap_or(next);
            if !found.0.is_empty() {
                return found.0;
            }
        }
    }

    /// All that have a name of `owner`'s; and guests, if it is too long for a second connection to have one.
    pub(super) fn of(&self, owner: &UserName) -> Vec<Arc<SessionInner>> {
        let numbered = self.numbers.get(owner).into_iter().flat_map(|numbers| numbers.sessions.values());
        let mut found: Vec<_> = self.taken.get(owner).into_iter().chain(numbered).cloned().collect();
        if let Ok(dotted) = UserName::parse(&format!("{owner}.")) {
            // In the order of names, all that is behind that dot is together.
            let behind = self.taken.range::<UserName, _>((Included(dotted), Unbounded));
            found.extend(behind.map_while(|(name, session)| name.is_of(owner).then_some(session)).cloned());
        }
        if owner.numbered(SECOND).is_none() {
            found.extend(self.guests.values().cloned());
        }
        found
    }

    /// `owner` with the lowest number behind it that is free, which counts as given then. None if it would be longer than names may be.
    pub(super) fn number(&mut self, owner: &UserName) -> Option<UserName> {
        // Of one that is too long nothing is kept.
        owner.numbered(SECOND)?;
        loop {
            let name = owner.numbered(self.numbers.entry(owner.clone()).or_default().given.give())?;
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
        if let Some((owner, number)) = self.numbered(name)
            && self.numbers.get_mut(&owner).is_some_and(|numbers| numbers.given.take(number))
        {
            self.numbers.remove(&owner);
        }
    }

    /// Whether a guest has one of these numbers.
    pub(super) fn has_guests(&self, from: u64, to: u64) -> bool {
        self.guests.entries_behind(from.checked_sub(1)).next().is_some_and(|(number, _)| number < to)
    }

    pub(super) fn enter_guest(&mut self, number: u64, session: Arc<SessionInner>) {
        self.guests.insert(number, session);
    }

    /// Enters a name that nobody has.
    pub(super) fn insert(&mut self, name: UserName, session: Arc<SessionInner>) {
        if let Some(number) = name.guest_number() {
            return self.enter_guest(number, session);
        }
        if let Some((owner, number)) = self.numbered(&name)
            && let Some(numbers) = self.numbers.get_mut(&owner)
            && numbers.given.choose(number)
        {
            return numbers.sessions.insert(number, session);
        }
        self.taken.insert(name, session);
    }

    pub(super) fn remove(&mut self, name: &UserName) {
        if let Some(number) = name.guest_number() {
            self.guests.remove(number);
        } else if self.taken.remove(name).is_none()
            && let Some((owner, number)) = self.numbered(name)
            && let Some(numbers) = self.numbers.get_mut(&owner)
        {
            numbers.sessions.remove(number);
        }
        self.free(name);
    }
}

/// The first `limit` of them, and where the last of those is.
fn some<'a>(
    all: impl Iterator<Item = (Reached, &'a Arc<SessionInner>)>,
    limit: usize,
) -> (Vec<Arc<SessionInner>>, Option<Reached>) {
    let mut last = None;
    let found = all.take(limit).map(|(place, session)| {
        last = Some(place);
        Arc::clone(session)
    });
    (found.collect(), last)
}

#[cfg(test)]
mod tests {
    use super::{Given, SECOND};

    #[test]
    fn the_lowest_number_that_is_free_is_given() {
        let mut numbers = Given::default();
        assert_eq!([numbers.give(), numbers.give(), numbers.give()], [2, 3, 4]);
        assert!(!numbers.take(3) && !numbers.take(2));
        assert_eq!([numbers.give(), numbers.give(), numbers.give()], [2, 3, 5]);
    }

    #[test]
    fn what_was_never_given_is_not_taken_back() {
        let mut numbers = Given::default();
        numbers.give();
        for foreign in [0, 1, 3, 999_999, u64::MAX] {
            assert!(!numbers.take(foreign), "{foreign}");
        }
        assert_eq!(numbers.give(), 3);
    }

    #[test]
    fn one_that_is_taken_back_twice_is_given_once() {
        let mut numbers = Given::default();
        let given = [numbers.give(), numbers.give()];
        numbers.take(given[0]);
        numbers.take(given[0]);
        assert_eq!([numbers.give(), numbers.give()], [2, 4]);
    }

    #[test]
    fn one_that_somebody_chooses_is_not_given_to_another() {
        let mut numbers = Given::default();
        assert!(!numbers.choose(2), "it was never given");
        let given = [numbers.give(), numbers.give()];
        numbers.take(given[0]);
        assert!(numbers.choose(given[0]));
        assert_eq!(numbers.give(), 4);
    }

    #[test]
    fn nothing_is_kept_once_all_are_back() {
        let mut numbers = Given::default();
        for _ in 0..1000 {
            numbers.give();
        }
        let last = (SECOND..SECOND + 1000).map(|number| numbers.take(number)).collect::<Vec<_>>();
        assert_eq!(last.iter().filter(|all| **all).count(), 1);
        assert_eq!(last.last(), Some(&true));
    }
}
