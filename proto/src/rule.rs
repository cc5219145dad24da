//! The rule: what somebody may do in a room, by the lines of a policy.
//!
//! Pure data and one question. Knows nothing of files, tokens or connections: it is given who asks.
//!
//! Rights add up: a room gives some to anyone and some to everybody with a name, and a person has their own and those of their groups.
//! So the order of lines does not matter, nobody has fewer rights for being known, and no line takes a right away, except
//! [`only`](Section::only), which exists for that.

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

    /// Also grants `rights` in the rooms of `glob`.
    pub fn grant(&mut self, glob: Glob, rights: Rights) {
        self.0.push((glob, rights));
    }

    /// What they give in `room` to `name`, which `{name}` stands for.
    pub fn rights(&self, room: &RoomName, name: Option<&UserName>) -> Rights {
        self.matching(room, name).map(|(_, rights)| rights).collect()
    }

    /// Each of them, in the order in which they were added.
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

/// Grants that several people share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What it is called.
    pub name: GroupName,
    /// What its members may do.
    pub grants: Grants,
}

/// Who a room is reserved for: `alice`, or `@staff` for a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// One person.
    Name(UserName),
    /// Everybody in a group.
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

/// What a policy says about the rooms of a glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Which rooms. Without `{name}`: a room is the same whoever asks, so a section with it matches none.
    pub glob: Glob,
    /// If this is set, whoever is not listed may do nothing in these rooms, whatever else grants it.
    pub only: Option<Vec<Who>>,
    /// What everybody may do, known or not.
    pub anyone: Rights,
    /// What everybody who is known may do.
    pub named: Rights,
}

impl Section {
    /// An empty section for the rooms of `glob`.
    pub const fn new(glob: Glob) -> Self {
        Self { glob, only: None, anyone: Rights::NONE, named: Rights::NONE }
    }

    /// Whether it is about `room`.
    pub fn matches(&self, room: &RoomName) -> bool {
        self.glob.matches(room.as_str(), None)
    }

    fn is_closed_to(&self, who: Option<Person<'_>>) -> bool {
        self.only.as_ref().is_some_and(|only| !who.is_some_and(|person| only.iter().any(|who| person.is(who))))
    }
}

/// Who asks, if that is known.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    /// Its name.
    pub name: &'a UserName,
    /// Its own grants.
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
    /// What a section gives to everybody who is known.
    Named(&'a Section),
    /// A grant of those without a credential; everybody has these.
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
    /// The sections for rooms.
    pub sections: &'a [Section],
    /// What everybody may do, known or not.
    pub anonymous: &'a Grants,
}

impl<'a> Rule<'a> {
    /// What `who` may do in `room`; `None` is somebody who is not known.
    pub fn rights(&self, who: Option<Person<'a>>, room: &RoomName) -> Rights {
        if self.closed_by(who, room).is_some() {
            return Rights::NONE;
        }
        self.clauses(who, room).map(|(_, rights)| rights).collect()
    }

    /// The first section that is reserved for others.
    pub fn closed_by(&self, who: Option<Person<'a>>, room: &RoomName) -> Option<&'a Section> {
        self.sections.iter().find(|section| section.is_closed_to(who) && section.matches(room))
    }

    /// Each line that grants something in `room` to `who`, if no section is [reserved for others](Self::closed_by).
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
