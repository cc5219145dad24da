//! Who came to a room, went, or took another name since its members were last told of it: the first is told at once, and those
//! who follow within a second together at its end.
//!
//! Knows no clock and no members: it is told the time, and says what whom is to be told.

use super::posting::MembershipId;
use super::room::PresenceNotices;
use std::collections::HashSet;
use std::time::Duration;
use switchboard_proto::{Notice, RoomName, UserName};
use tokio::time::Instant;

/// Above this many members notices name nobody: they only count.
const NAMED_MEMBERS: usize = 50;

impl PresenceNotices {
    /// So many `members`, and up to how many of them notices name. Where nobody is told who comes and goes, members are told of other
    /// names all the same: they see those speak.
    pub(super) fn crowd(self, members: usize) -> Crowd {
        Crowd { members, named: if self == Self::Counts { 0 } else { NAMED_MEMBERS } }
    }
}

/// How many members there are, and up to how many are named.
#[derive(Clone, Copy)]
pub(super) struct Crowd {
    members: usize,
    named: usize,
}

impl Crowd {
    pub(super) fn is_named(self) -> bool {
        self.members <= self.named
    }
}

/// Join and leave notices come at most this often.
const INTERVAL: Duration = Duration::from_secs(1);

/// And within that time, at most so many of other names: what follows is counted.
const NAMED_RENAMES: u32 = 10;

/// How many came, went and took other names, and how many there were then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    joined: usize,
    left: usize,
    renamed: usize,
    members: usize,
}

impl Change {
    /// What `notice` tells, when there were so many `members`.
    pub(super) fn of(notice: &Notice, members: usize) -> Self {
        let (joined, left, renamed) = match notice {
            Notice::Joined { .. } => (1, 0, 0),
            Notice::Left { .. } => (0, 1, 0),
            Notice::Renamed { .. } => (0, 0, 1),
            Notice::Presence { joined, left, renamed, .. } => (*joined, *left, *renamed),
            Notice::Gap { .. }
            | Notice::Reset { .. }
            | Notice::Removed { .. }
            | Notice::Head { .. }
            | Notice::Announcement { .. }
            | Notice::Expiring { .. }
            | Notice::Named { .. }
            | Notice::Closed { .. } => (0, 0, 0),
        };
        Self { joined, left, renamed, members }
    }

    /// Counts what came after it too.
    pub(super) fn add(&mut self, later: Self) {
        self.joined += later.joined;
        self.left += later.left;
        self.renamed += later.renamed;
        self.members = later.members;
    }

    pub(super) fn notice(self, room: RoomName) -> Notice {
        let Self { joined, left, renamed, members } = self;
        Notice::Presence { room, joined, left, renamed, members }
    }
}

/// What nobody was told yet, and when somebody was last.
#[derive(Default)]
pub(super) struct Presence {
    told: Option<Instant>,
    joined: HashSet<MembershipId>,
    /// Who came to other nodes.
    joined_abroad: usize,
    left: usize,
    renamed: usize,
    /// The only one, if it was only one.
    only: Option<Notice>,
    /// Since when names are counted, and how many others were told at once.
    naming: Option<(Instant, u32)>,
    /// Since when a sweep is to tell.
    due: Option<Instant>,
}

/// When it is told that somebody came or went.
pub(super) enum When {
    Now(Notice),
    /// By a sweep that is to be asked for it.
    AtSweep,
    /// By one that has been asked.
    Later,
}

/// What a sweep tells.
pub(super) struct SweepNotices {
    /// Those who came themselves.
    pub(super) joined: HashSet<MembershipId>,
    pub(super) to_others: Notice,
    /// What those who came are told of all but themselves, if there was anything else.
    pub(super) to_joined: Option<Notice>,
}

impl Presence {
    /// Somebody came or went, as `notice` says; then there is this `crowd`.
    pub(super) fn note(&mut self, notice: Notice, member: MembershipId, crowd: Crowd, now: Instant) -> When {
        let recent = self.told.is_some_and(|told| now - told < INTERVAL);
        if !recent && self.due.is_none() && crowd.is_named() {
            self.told = Some(now);
            return When::Now(notice);
        }
        match &notice {
            Notice::Joined { .. } => _ = self.joined.insert(member),
            _ => self.left += 1,
        }
        self.only = (self.noted() == 1).then_some(notice);
        self.later(now)
    }

    fn noted(&self) -> usize {
        self.joined.len() + self.joined_abroad + self.left + self.renamed
    }

    /// Another node has told what `notice` says, which counts so many who came, went, and took other names.
    pub(super) fn note_abroad(
        &mut self,
        notice: Notice,
        (joined, left, renamed): (usize, usize, usize),
        crowd: Crowd,
        now: Instant,
    ) -> When {
        let recent = self.told.is_some_and(|told| now - told < INTERVAL);
        let is_summary = matches!(notice, Notice::Presence { .. });
        if !recent && self.due.is_none() && (is_summary || crowd.is_named()) {
            self.told = Some(now);
            return When::Now(notice);
        }
        self.joined_abroad = self.joined_abroad.saturating_add(joined);
        self.left = self.left.saturating_add(left);
        self.renamed = self.renamed.saturating_add(renamed);
        self.only = (self.noted() == 1 && !is_summary).then_some(notice);
        self.later(now)
    }

    /// What was noted is told by a sweep.
    fn later(&mut self, now: Instant) -> When {
        // The sweep that was asked may have ended with its server.
        if self.due.is_none_or(|due| now - due > 2 * INTERVAL) {
            self.due = Some(now);
            return When::AtSweep;
        }
        When::Later
    }

    /// A member took another name, as `notice` says that has `to`; then there is this `crowd`. None if the others were
    /// not told yet that it came: they will be by its new one.
    pub(super) fn rename(
        &mut self,
        notice: Notice,
        to: &UserName,
        member: MembershipId,
        crowd: Crowd,
        now: Instant,
    ) -> Option<When> {
        let is_known = !self.joined.contains(&member);
        match &mut self.only {
            Some(Notice::Joined { name, .. }) if !is_known => name.clone_from(to),
            // Told behind this, it would seem to be this one who left: so it is only counted.
            Some(Notice::Left { name, .. }) if name == to => self.only = None,
            _ => {}
        }
        if !is_known {
            return None;
        }
        let (since, named) = self.naming.filter(|(since, _)| now - *since < INTERVAL).unwrap_or((now, 0));
        if crowd.is_named() && named < NAMED_RENAMES {
            self.naming = Some((since, named + 1));
            return Some(When::Now(notice));
        }
        self.renamed += 1;
        self.only = None;
        Some(self.later(now))
    }

    /// Gives out what is to be told, if anything is, to the members of `room`.
    pub(super) fn take(&mut self, room: &RoomName, crowd: Crowd, now: Instant) -> Option<SweepNotices> {
        self.due?;
        let Self { joined, joined_abroad, left, renamed, only, naming, .. } = std::mem::take(self);
        (self.told, self.naming) = (Some(now), naming);
        let count = |joined| Notice::Presence { room: room.clone(), joined, left, renamed, members: crowd.members };
        let to_others = only.filter(|_| crowd.is_named()).unwrap_or_else(|| count(joined.len() + joined_abroad));
        let others = joined.len().saturating_sub(1) + joined_abroad;
        let to_joined = (!joined.is_empty() && others + left + renamed > 0).then(|| count(others));
        Some(SweepNotices { joined, to_others, to_joined })
    }
}
