//! Messages that members with raw payloads were not sent, since their transport cannot carry them as one frame: nothing can be
//! told of that in raw, but it is once a member chooses a format that has words for it.

use super::encoding::MemberEncoding;
use super::posting::{Except, MembershipId};
use std::collections::BTreeMap;

/// What one delivery did not say to the members of one encoding, in the order of the numbers.
pub(super) struct Silence {
    pub(super) encoding: MemberEncoding,
    /// Their numbers, and the memberships that would not have got them.
    messages: Vec<(u64, Except)>,
    /// Of those the publishers' own, in order.
    excepted: Vec<MembershipId>,
    /// How many of them no group would have got that relays nothing.
    for_no_group: usize,
}

impl Silence {
    /// None if all was said.
    pub(super) fn new(encoding: &MemberEncoding, messages: &[(u64, Except)]) -> Option<Self> {
        if messages.is_empty() {
            return None;
        }
        let mut excepted: Vec<_> = messages.iter().filter_map(|(_, except)| except.own()).collect();
        excepted.sort_unstable();
        let for_no_group = messages.iter().filter(|(_, except)| except.is_for_no_group()).count();
        Some(Self { encoding: encoding.clone(), messages: messages.to_vec(), excepted, for_no_group })
    }

    /// The number of the first that `member` would have got, and how many those are.
    fn for_member(&self, member: MembershipId) -> Option<(u64, u64)> {
        let before = self.excepted.partition_point(|excepted| *excepted < member);
        // What a group has sent itself is among what none would have got.
        let own = if member.is_split() {
            self.for_no_group
        } else {
            self.excepted[before..].partition_point(|excepted| *excepted == member)
        };
        let first = self.messages.iter().find(|(_, except)| !except.holds(member))?.0;
        Some((first, (self.messages.len() - own) as u64))
    }
}

/// What each member of a room was not sent.
#[derive(Default)]
pub(super) struct Unsaid(BTreeMap<MembershipId, (u64, u64)>);

impl Unsaid {
    pub(super) fn count(&mut self, member: MembershipId, silence: &Silence) {
        if let Some((first, lost)) = silence.for_member(member) {
            self.0.entry(member).or_insert((first, 0)).1 += lost;
        }
    }

    /// Counts what a replay does not say: the number of the first, and how many.
    pub(super) fn add(&mut self, member: MembershipId, unsaid: Option<(u64, u64)>) {
        if let Some((first, lost)) = unsaid {
            let known = self.0.entry(member).or_insert((first, 0));
            *known = (known.0.min(first), known.1 + lost);
        }
    }

    /// The number of the first, and how many; it is told or gone.
    pub(super) fn take(&mut self, member: MembershipId) -> Option<(u64, u64)> {
        self.0.remove(&member)
    }
}
