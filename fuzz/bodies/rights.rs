//! Rights: in whatever order the lines of a policy stand, they mean the same; a line more takes nothing away; and nobody has less
//! for being known.
//!
//! An input is lines. The first is the room that is asked for; each other one begins with what it is:
//! `a GLOB BITS` and `n GLOB BITS`: what anyone and whoever is known may do; `o GLOB WHO…`: whom a room is kept for; `? GLOB BITS`,
//! `p GLOB BITS` and `g GROUP GLOB BITS`: a grant of those without a credential, of the person, who is called `ann`, and of one of its
//! groups. What cannot be read is left out.

use std::sync::Arc;
use switchboard_proto::{Glob, Grants, Group, Person, Rights, RoomName, Rule, Section, UserName};

/// One line that could be read.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    Section(Section),
    Anonymous(Glob, Rights),
    Own(Glob, Rights),
    Group(Group),
}

impl Line {
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let kind = words.next()?;
        if kind == "g" {
            let (name, glob) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let grants = Grants::from_iter([(glob, bits(words.next()?)?)]);
            return Some(Self::Group(Group { name, grants }));
        }
        let glob = Glob::parse(words.next()?).ok()?;
        Some(match kind {
            "a" => Self::Section(Section { anyone: bits(words.next()?)?, ..Section::new(glob) }),
            "n" => Self::Section(Section { named: bits(words.next()?)?, ..Section::new(glob) }),
            "o" => {
                let only = Some(words.filter_map(|who| who.parse().ok()).collect());
                Self::Section(Section { only, ..Section::new(glob) })
            }
            "?" => Self::Anonymous(glob, bits(words.next()?)?),
            "p" => Self::Own(glob, bits(words.next()?)?),
            _ => return None,
        })
    }

    fn takes(&self) -> bool {
        matches!(self, Self::Section(Section { only: Some(_), .. }))
    }
}

fn bits(text: &str) -> Option<Rights> {
    text.parse().ok().map(Rights::from_bits)
}

/// Panics if the rule is broken on `data`.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let Ok(room) = RoomName::parse(lines.next().unwrap_or_default()) else { return };
    // More than there are kinds of, and few enough that each is left out once.
    let lines: Vec<_> = lines.filter_map(Line::parse).take(32).collect();
    check(&room, &lines);
}

/// Panics if the rule is broken on these lines.
pub(crate) fn check(room: &RoomName, lines: &[Line]) {
    let (anonymous, known) = ask(room, lines);
    assert!(known.contains(anonymous), "{known} is less than {anonymous}: {lines:?}");
    let backwards: Vec<_> = lines.iter().rev().cloned().collect();
    assert_eq!(ask(room, &backwards), (anonymous, known), "{lines:?}");
    for left_out in 0..lines.len() {
        if lines[left_out].takes() {
            continue;
        }
        let mut fewer = lines.to_vec();
        fewer.remove(left_out);
        let less = ask(room, &fewer);
        assert!(anonymous.contains(less.0) && known.contains(less.1), "{left_out} takes away: {lines:?}");
    }
}

/// What nobody in particular may do, and what `ann` may.
fn ask(room: &RoomName, lines: &[Line]) -> (Rights, Rights) {
    let (mut sections, mut anonymous, mut grants, mut groups) = (Vec::new(), Grants::new(), Grants::new(), Vec::new());
    for line in lines.iter().cloned() {
        match line {
            Line::Section(section) => sections.push(section),
            Line::Anonymous(glob, rights) => anonymous.grant(glob, rights),
            Line::Own(glob, rights) => grants.grant(glob, rights),
            Line::Group(group) => groups.push(Arc::new(group)),
        }
    }
    let Ok(name) = UserName::parse("ann") else { unreachable!("a name") };
    let rule = Rule { sections: &sections, anonymous: &anonymous };
    let person = Person { name: &name, grants: &grants, groups: &groups };
    let (nobody, known) = (rule.rights(None, room), rule.rights(Some(person), room));
    for (who, rights) in [(None, nobody), (Some(person), known)] {
        let is_closed = rule.closed_by(who, room).is_some();
        let union = rule.clauses(who, room).map(|(_, rights)| rights).collect();
        assert_eq!(rights, if is_closed { Rights::NONE } else { union }, "why says something else than what");
    }
    (nobody, known)
}
