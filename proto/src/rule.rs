//! The rule: what somebody may do in a room, by the lines of a policy.
//!
//! Pure data and one question. Knows nothing of files, tokens or connections: whoever asks has shown who it is.
//!
//! Rights add up: a room gives some to anyone and some to whoever is known, and a person has its own and those of its groups. So the
//! order of lines does not matter, nobody has less for being known, and no line takes a right away, but for
//! [`only`](Section::only), which is there for that.

use crate::{Glob, GroupName, NameError, Rights, RoomName, UserName};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Which rights for which rooms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants(Vec<(Glob, Rights)>);

impl Grants {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Grants `rights` in the rooms of `glob` too.
    pub fn grant(&mut self, glob: Glob, rights: Rights) {
        self.0.push((glob, rights));
    }

    /// What they give in `room` to `name`, which is what `{name}` stands for.
    pub fn rights(&self, room: &RoomName, name: Option<&UserName>) -> Rights {
        self.matching(room, name).map(|(_, rights)| rights).collect()
    }

    /// Each of them, in the order in which they were granted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Glob, Rights)> {
        self.0.iter().map(|(glob, rights)| (glob, *rights))
    }

    fn matching(&self, room: &RoomName, name: Option<&UserName>) -> impl Iterator<Item = (&Glob, Rights)> {
        self.iter().filter(move |(glob, _)| glob.matches(room.as_str(), name))
    }
}

impl FromIterator<(Glob, Rights)> for Grants {
    fn from_iter<I: IntoIterator<Item = (Glob, Rights)>>(grants: I) -> Self {
        Self(grants.into_iter().collect())
    }
}

/// Grants that several people have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What it is called.
    pub name: GroupName,
    /// What its people may do.
    pub grants: Grants,
}

/// Whom a room is kept for: `alice`, or `@staff` for a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// One person.
    Name(UserName),
    /// All of a group.
    Group(GroupName),
}

impl FromStr for Who {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix('@') {
            Some(group) => GroupName::parse(group).map(Self::Group),
            None => UserName::parse(text).map(Self::Name),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.pad(name.as_str()),
            Self::Group(group) => write!(f, "@{group}"),
        }
    }
}

/// What a policy says of the rooms of a glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Which rooms. It has no `{name}`: a room is the same whoever asks, and such a section speaks of none.
    pub glob: Glob,
    /// If there is such a list, whoever is not in it may do nothing in these rooms, whatever else grants it.
    pub only: Option<Vec<Who>>,
    /// What everybody may do, known or not.
    pub anyone: Rights,
    /// What everybody may do who is known.
    pub named: Rights,
}

impl Section {
    /// Says nothing of the rooms of `glob` yet.
    pub const fn new(glob: Glob) -> Self {
        Self { glob, only: None, anyone: Rights::NONE, named: Rights::NONE }
    }

    /// Whether it speaks of `room`.
    pub fn matches(&self, room: &RoomName) -> bool {
        self.glob.matches(room.as_str(), None)
    }

    fn is_closed_to(&self, who: Option<Person<'_>>) -> bool {
        self.only.as_ref().is_some_and(|only| !who.is_some_and(|person| only.iter().any(|who| person.is(who))))
    }
}

/// Who asks, if it has shown who it is.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    /// Its name.
    pub name: &'a UserName,
    /// What it may do by itself.
    pub grants: &'a Grants,
    /// The groups that it is in.
    pub groups: &'a [Arc<Group>],
}

impl Person<'_> {
    fn is(&self, who: &Who) -> bool {
        match who {
            Who::Name(name) => name == self.name,
            Who::Group(name) => self.groups.iter().any(|group| group.name == *name),
        }
    }
}

/// A line that grants something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clause<'a> {
    /// What a section gives to anyone.
    Anyone(&'a Section),
    /// What a section gives to whoever is known.
    Named(&'a Section),
    /// A grant of those without a credential, which everybody has.
    Anonymous(&'a Glob),
    /// A grant of the person's own.
    Own(&'a Glob),
    /// A grant of one of its groups.
    Group(&'a GroupName, &'a Glob),
}

/// The lines of a policy that are not a person's own.
///
/// # Examples
/// ```
/// use switchboard_proto::{Glob, Grants, Rights, RoomName, Rule, Section};
///
/// let lobby = Section { anyone: Rights::READ, named: Rights::WRITE, ..Section::new(Glob::parse("lobby").unwrap()) };
/// let rule = Rule { sections: &[lobby], anonymous: &Grants::new() };
/// assert_eq!(rule.rights(None, &RoomName::parse("lobby").unwrap()), Rights::READ);
/// assert_eq!(rule.rights(None, &RoomName::parse("ops").unwrap()), Rights::NONE);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    /// What is said of rooms.
    pub sections: &'a [Section],
    /// What everybody may do, known or not.
    pub anonymous: &'a Grants,
}

impl<'a> Rule<'a> {
    /// What `who` may do in `room`; without a person, what whoever is not known may.
    pub fn rights(&self, who: Option<Person<'a>>, room: &RoomName) -> Rights {
        if self.closed_by(who, room).is_some() {
            return Rights::NONE;
        }
        self.clauses(who, room).map(|(_, rights)| rights).collect()
    }

    /// The first section that is kept for others.
    pub fn closed_by(&self, who: Option<Person<'a>>, room: &RoomName) -> Option<&'a Section> {
        self.sections.iter().find(|section| section.is_closed_to(who) && section.matches(room))
    }

    /// Each line that grants something in `room` to `who`, if no section is [kept for others](Self::closed_by).
    pub fn clauses(&self, who: Option<Person<'a>>, room: &RoomName) -> impl Iterator<Item = (Clause<'a>, Rights)> {
        let sections = self.sections.iter().filter(|section| section.matches(room));
        let of_rooms = sections.flat_map(move |section| {
            let named = if who.is_some() { section.named } else { Rights::NONE };
            [(Clause::Anyone(section), section.anyone), (Clause::Named(section), named)]
        });
        let name = who.map(|person| person.name);
        let anonymous = self.anonymous.matching(room, None).map(|(glob, rights)| (Clause::Anonymous(glob), rights));
        let of_person = who.into_iter().flat_map(move |person| {
            let own = person.grants.matching(room, name).map(|(glob, rights)| (Clause::Own(glob), rights));
            let of_groups = person.groups.iter().flat_map(move |group| {
                let grants = group.grants.matching(room, name);
                grants.map(|(glob, rights)| (Clause::Group(&group.name, glob), rights))
            });
            own.chain(of_groups)
        });
        of_rooms.chain(anonymous).chain(of_person).filter(|(_, rights)| !rights.is_empty())
    }
}
