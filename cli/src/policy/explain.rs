//! Whether somebody may do something in a room, and which lines of the file say so: `switchboard config can`.
//!
//! It asks the lines one by one, as they stand in the file; that the answer is the one that is enforced, a test sees to.

use super::rules::{At, Grant, NameSection, Rules, TokenSection};
use std::fmt;
use switchboard::rule::Who;
use switchboard::{GroupName, Rights, RoomName, UserName};

/// An answer, and its reasons.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What of that which was asked for may be done.
    pub(crate) granted: Rights,
    pub(crate) asked: Rights,
    /// The line that keeps the room for others, or each that grants something of what was asked for.
    pub(crate) lines: Vec<Reason>,
    pub(crate) is_closed: bool,
}

/// A line of the file, as one would look for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) at: At,
    pub(crate) text: String,
}

impl Verdict {
    pub(crate) fn is_yes(&self) -> bool {
        self.granted == self.asked
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_yes() { "yes" } else { "no" })?;
        if self.is_closed {
            f.write_str(": the room is reserved for others\n")?;
        } else if self.lines.is_empty() {
            f.write_str(": no line grants it\n")?;
        } else if self.is_yes() {
            f.write_str("\n")?;
        } else {
            let missing = self.asked.without(self.granted);
            writeln!(f, ": no line grants {missing}")?;
        }
        self.lines.iter().try_for_each(|line| writeln!(f, "  line {}: {}", line.at, line.text))
    }
}

/// Whether `who` may do what was `asked` for in `room`; nobody is whoever presents no credential.
pub(crate) fn explain(rules: &Rules, who: Option<&UserName>, asked: Rights, room: &RoomName) -> Verdict {
    let token = who.and_then(|who| rules.tokens.iter().find(|token| token.name == *who));
    let closed = rules.sections.iter().find_map(|section| {
        let (at, only) = section.only.as_ref()?;
        let by_name = |group: &GroupName| {
            token.is_none() && sections_of(rules, who).any(|section| section.groups.contains(group))
        };
        let is_one = |one: &Who| is(one, who, token) || matches!(one, Who::Group(group) if by_name(group));
        let is_for_others = !only.iter().any(is_one);
        let text = || format!("rooms.\"{}\".only", section.rooms.as_str());
        let applies = is_for_others && section.rooms.matches(room.as_str(), None);
        applies.then(|| Reason { at: *at, text: text() })
    });
    if let Some(line) = closed {
        return Verdict { granted: Rights::NONE, asked, lines: vec![line], is_closed: true };
    }
    let mut granted = Granted { rights: Rights::NONE, asked, lines: Vec::new() };
    for section in rules.sections.iter().filter(|section| section.rooms.matches(room.as_str(), None)) {
        let key = |key: &str| format!("rooms.\"{}\".{key}", section.rooms.as_str());
        if let Some((at, rights)) = section.anyone {
            granted.add(at, rights, || key("anyone"));
        }
        if let Some((at, rights)) = section.named.filter(|_| who.is_some()) {
            granted.add(at, rights, || key("named"));
        }
    }
    if let Some(anonymous) = &rules.anonymous {
        granted.add_all(&anonymous.grants, None, room, "anonymous");
    }
    if let Some(token) = token {
        granted.add_all(&token.grants, who, room, &format!("tokens.{}", token.name));
        for group in rules.groups.iter().filter(|group| token.groups.contains(&group.name)) {
            granted.add_all(&group.grants, who, room, &format!("groups.{}", group.name));
        }
    }
    for section in sections_of(rules, who).filter(|_| token.is_none()) {
        let table = format!("names.\"{}\"", section.names);
        granted.add_all(&section.grants, who, room, &table);
        for group in rules.groups.iter().filter(|group| section.groups.contains(&group.name)) {
            granted.add_all(&group.grants, who, room, &format!("groups.{}", group.name));
        }
    }
    let Granted { rights: granted, asked, lines } = granted;
    Verdict { granted, asked, lines, is_closed: false }
}

/// What is said of whoever is called so without a token.
fn sections_of<'a>(rules: &'a Rules, who: Option<&UserName>) -> impl Iterator<Item = &'a NameSection> {
    rules.names.iter().filter(move |section| who.is_some_and(|who| section.names.matches(who.as_str(), None)))
}

fn is(one: &Who, who: Option<&UserName>, token: Option<&TokenSection>) -> bool {
    match one {
        Who::Name(name) => who == Some(name),
        Who::Group(group) => token.is_some_and(|token| token.groups.contains(group)),
    }
}

struct Granted {
    rights: Rights,
    asked: Rights,
    lines: Vec<Reason>,
}

impl Granted {
    fn add(&mut self, at: At, rights: Rights, text: impl FnOnce() -> String) {
        let rights = rights & self.asked;
        if !rights.is_empty() {
            self.rights |= rights;
            self.lines.push(Reason { at, text: format!("{} grants {rights}", text()) });
        }
    }

    fn add_all(&mut self, grants: &[Grant], who: Option<&UserName>, room: &RoomName, table: &str) {
        for grant in grants.iter().filter(|grant| grant.rooms.matches(room.as_str(), who)) {
            self.add(grant.at, grant.rights, || format!("{table}.rooms.\"{}\"", grant.rooms.as_str()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::rules::{AnonymousSection, GroupSection, RoomSection};
    use crate::policy::snapshot::Snapshot;
    use proptest::prelude::*;
    use switchboard::policy::Principal;
    use switchboard::{Glob, GroupName};

    const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
    const GROUPS: [&str; 2] = ["staff", "guests"];
    const ROOMS: [&str; 5] = ["ops", "ops.east", "desk.alice", "desk.bob", "lobby"];
    const GLOBS: [&str; 6] = ["ops", "ops.*", "ops.**", "desk.{name}", "**", "lobby"];

    fn name(text: &str) -> UserName {
        UserName::parse(text).expect("it is a name")
    }

    fn group(index: usize) -> GroupName {
        GroupName::parse(GROUPS[index]).expect("it is a name")
    }

    fn grants(line: usize) -> impl Strategy<Value = Vec<Grant>> {
        let grant = (0..GLOBS.len(), 0..64_u8).prop_map(move |(glob, bits)| Grant {
            at: At { line, column: 1 },
            rooms: Glob::parse(GLOBS[glob]).expect("it is a glob"),
            rights: Rights::from_bits(bits),
        });
        prop::collection::vec(grant, 0..3)
    }

    fn who() -> impl Strategy<Value = Who> {
        let named = (0..PEOPLE.len()).prop_map(|index| Who::Name(name(PEOPLE[index])));
        prop_oneof![named, (0..GROUPS.len()).prop_map(|index| Who::Group(group(index)))]
    }

    prop_compose! {
        fn section()(
            // No section has `{name}`.
            glob in prop_oneof![Just(0), Just(1), Just(2), Just(4), Just(5)],
            only in prop::option::weighted(0.2, prop::collection::vec(who(), 0..3)),
            [anyone, named] in prop::array::uniform2(prop::option::of(0..64_u8)),
        ) -> RoomSection {
            let at = At { line: 9, column: 1 };
            let rights = |bits: Option<u8>| bits.map(|bits| (at, Rights::from_bits(bits)));
            RoomSection {
                at,
                rooms: Glob::parse(GLOBS[glob]).expect("it is a glob"),
                only: only.map(|only| (at, only)),
                anyone: rights(anyone),
                named: rights(named),
            }
        }
    }

    prop_compose! {
        fn rules()(
            own in prop::collection::vec((grants(1), prop::collection::vec(0..GROUPS.len(), 0..2)), 2),
            groups in prop::collection::vec(grants(2), GROUPS.len()),
            anonymous in prop::option::of(grants(3)),
            sections in prop::collection::vec(section(), 0..4),
        ) -> Rules {
            let at = At { line: 8, column: 1 };
            // Carol is known without a token.
            let tokens = own.into_iter().zip(PEOPLE).map(|((grants, groups), person)| TokenSection {
                at,
                groups: groups.into_iter().map(group).collect(),
                grants,
                ..TokenSection::of(person, &[])
            });
            let groups = groups.into_iter().enumerate().map(|(index, grants)| {
                GroupSection { at, name: group(index), grants, direct: Vec::new(), admin: None }
            });
            let anonymous = anonymous.map(|grants| AnonymousSection { at, grants, direct: Vec::new(), names: Vec::new() });
            Rules { tokens: tokens.collect(), groups: groups.collect(), anonymous, sections, ..Rules::default() }
        }
    }

    proptest! {
        #[test]
        fn what_is_explained_is_what_is_enforced(rules in rules()) {
            let snapshot = Snapshot::of(&rules, &[]);
            for who in PEOPLE.map(|person| Some(name(person))).into_iter().chain([None]) {
                let principal = who.clone().map_or_else(Principal::anonymous, Principal::named);
                for room in ROOMS {
                    let room = RoomName::parse(room).expect("it is a room");
                    let every = Rights::ALL | Rights::MODERATE;
                    let verdict = explain(&rules, who.as_ref(), every, &room);
                    prop_assert_eq!(verdict.granted, snapshot.rights(&principal, &room), "{:?} {}", who, room);
                    prop_assert_eq!(verdict.granted.is_empty(), verdict.is_closed || verdict.lines.is_empty());
                }
            }
        }
    }

    #[test]
    fn an_answer_names_its_lines() {
        let at = |line| At { line, column: 1 };
        let glob = |text| Glob::parse(text).expect("it is a glob");
        let section = |rooms, only| RoomSection {
            at: at(1),
            rooms: glob(rooms),
            only,
            anyone: Some((at(2), Rights::JOIN)),
            named: None,
        };
        let rules = Rules {
            tokens: Vec::new(),
            groups: Vec::new(),
            anonymous: None,
            jwt: Vec::new(),
            callout: None,
            names: Vec::new(),
            logins: std::collections::BTreeMap::new(),
            sections: vec![section("ops.*", None), section("board.**", Some((at(7), vec![Who::Name(name("bob"))])))],
        };
        let told = |who: Option<&str>, asked: Rights, room: &str| {
            let room = RoomName::parse(room).expect("it is a room");
            explain(&rules, who.map(name).as_ref(), asked, &room).to_string()
        };
        assert_eq!(told(None, Rights::JOIN, "ops.east"), "yes\n  line 2:1: rooms.\"ops.*\".anyone grants join\n");
        let partly = "no: no line grants history, presence\n  line 2:1: rooms.\"ops.*\".anyone grants join\n";
        assert_eq!(told(None, Rights::READ, "ops.east"), partly);
        let closed = "no: the room is reserved for others\n  line 7:1: rooms.\"board.**\".only\n";
        assert_eq!(told(Some("alice"), Rights::JOIN, "board.room"), closed);
        assert_eq!(told(Some("alice"), Rights::JOIN, "lobby"), "no: no line grants it\n");
        let bob = "yes\n  line 2:1: rooms.\"board.**\".anyone grants join\n";
        assert_eq!(told(Some("bob"), Rights::JOIN, "board.room"), bob);
    }
}
