//! What the file sets of rooms. One section applies to a room: that of its name, else the glob that says most of it.

use crate::policy::rules::At;
use std::time::Duration;
use switchboard::{Glob, GroupName, Overflow, PresenceNotices, Rate, RoomClass, RoomName, RoomOptions};

/// Messages a second of one room: as many as of a connection.
pub(super) const MOST_RATE: u32 = 1_000_000_000;

/// What one section sets; nothing where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoomSettings {
    pub(super) at: At,
    pub(super) glob: Glob,
    pub(super) history_messages: Option<usize>,
    pub(super) history_bytes: Option<usize>,
    pub(super) overflow: Option<Overflow>,
    /// [`FOREVER`], where no age is too old.
    pub(super) history_age: Option<Duration>,
    pub(super) durable: Option<bool>,
    pub(super) presence: Option<PresenceNotices>,
    pub(super) members: Option<usize>,
    pub(super) rate: Option<u32>,
    pub(super) frame_bytes: Option<usize>,
    pub(super) class: Option<GroupName>,
    pub(super) kept: bool,
}

/// How long a room keeps messages where a section says that their age does not matter.
pub(super) const FOREVER: Duration = Duration::MAX;

/// All sections, the one that applies before those that it comes before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rooms {
    sections: Vec<RoomSettings>,
    /// What holds where they say nothing of it.
    defaults: RoomOptions,
}

impl RoomSettings {
    pub(super) fn of(at: At, glob: Glob) -> Self {
        Self {
            at,
            glob,
            history_messages: None,
            history_bytes: None,
            history_age: None,
            durable: None,
            overflow: None,
            presence: None,
            members: None,
            rate: None,
            frame_bytes: None,
            class: None,
            kept: false,
        }
    }

    /// What comes first applies: a name, then many literal characters, then the alphabet.
    fn rank(&self) -> (bool, std::cmp::Reverse<usize>, &Glob) {
        (!self.glob.is_exact(), std::cmp::Reverse(self.glob.literals()), &self.glob)
    }

    fn options(&self, classes: &Classes, default: RoomOptions) -> RoomOptions {
        RoomOptions {
            overflow: self.overflow.unwrap_or(default.overflow),
            presence: self.presence.unwrap_or(default.presence),
            history_messages: self.history_messages.or(default.history_messages),
            history_bytes: self.history_bytes.or(default.history_bytes),
            history_age: self.history_age.or(default.history_age).filter(|age| *age != FOREVER),
            durable: self.durable.unwrap_or(default.durable),
            members: self.members,
            // A second's may come at once.
            rate: self.rate.map(|rate| Rate::new(rate, rate)),
            payload_bytes: self.frame_bytes,
            class: self.class.as_ref().and_then(|class| classes.number(class)),
        }
    }
}

/// What members are told of who comes and goes.
pub(super) fn presence(word: &str) -> Option<PresenceNotices> {
    PRESENCE.into_iter().find(|(known, _)| *known == word).map(|(_, presence)| presence)
}

pub(super) const PRESENCE: [(&str, PresenceNotices); 3] =
    [("on", PresenceNotices::Names), ("counts", PresenceNotices::Counts), ("off", PresenceNotices::Off)];

/// Names of classes, each at the number that its rooms have. A number is never another class's, as long as the server runs: what
/// was counted would be that one's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Classes(Vec<GroupName>);

impl Classes {
    fn number(&self, class: &GroupName) -> Option<RoomClass> {
        RoomClass::new(self.0.iter().position(|known| known == class)?)
    }

    /// At their numbers.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// These, and behind them those of `rooms` that are new, unless there would be too many.
    pub(crate) fn with(&self, rooms: &Rooms) -> Option<Self> {
        let mut classes = self.clone();
        for class in rooms.sections.iter().filter_map(|section| section.class.as_ref()) {
            if !classes.0.contains(class) {
                classes.0.push(class.clone());
            }
        }
        (classes.0.len() <= RoomClass::MOST).then_some(classes)
    }
}

impl Rooms {
    pub(super) fn of(mut sections: Vec<RoomSettings>) -> Self {
        sections.sort_by(|one, other| one.rank().cmp(&other.rank()));
        Self { sections, defaults: RoomOptions::default() }
    }

    /// The same, with what holds where they say nothing.
    pub(super) fn with_defaults(self, defaults: RoomOptions) -> Self {
        Self { defaults, ..self }
    }

    fn applying(&self, room: &RoomName) -> Option<&RoomSettings> {
        self.sections.iter().find(|section| section.glob.matches(room.as_str(), None))
    }

    /// The one section that applies to this room, if one does.
    pub(crate) fn section(&self, room: &RoomName) -> Option<&Glob> {
        self.applying(room).map(|section| &section.glob)
    }

    /// What is set of this room.
    pub(crate) fn options(&self, room: &RoomName, classes: &Classes) -> RoomOptions {
        self.applying(room).map_or(self.defaults, |section| section.options(classes, self.defaults))
    }

    /// The most messages that any of them may keep.
    pub(crate) fn most_messages(&self) -> usize {
        let own = self.sections.iter().filter_map(|section| section.history_messages);
        own.chain(self.defaults.history_messages).max().unwrap_or_default()
    }

    /// Those that are there without members.
    pub(crate) fn kept(&self) -> impl Iterator<Item = RoomName> {
        let kept = self.sections.iter().filter(|section| section.kept);
        kept.filter_map(|section| RoomName::parse(section.glob.as_str()).ok())
    }

    /// Pairs that are equally specific about rooms that match both, so that the alphabet decides.
    pub(super) fn ties(&self) -> Vec<String> {
        let mut ties = Vec::new();
        let classes = Classes::default().with(self).unwrap_or_default();
        let options = |section: &RoomSettings| section.options(&classes, RoomOptions::default());
        for (index, first) in self.sections.iter().enumerate() {
            let alike = self.sections[index + 1..].iter();
            let alike = alike.take_while(|other| other.glob.literals() == first.glob.literals());
            for other in alike.filter(|other| !first.glob.is_exact() && options(other) != options(first)) {
                if overlap(first.glob.as_str().as_bytes(), other.glob.as_str().as_bytes()) {
                    ties.push(format!(
                        "{}: [rooms.\"{}\"] and [rooms.\"{}\"] of {} are equally specific: where both match, the first applies",
                        first.at, first.glob, other.glob, other.at
                    ));
                }
            }
        }
        ties
    }

    pub(super) fn sections(&self) -> &[RoomSettings] {
        &self.sections
    }
}

/// Whether some text matches both globs, which have no `{name}`: carries the pairs of places that both can have come to.
fn overlap(one: &[u8], other: &[u8]) -> bool {
    let mut seen = std::collections::HashSet::new();
    let mut left = vec![(0, 0)];
    while let Some((at, beside)) = left.pop() {
        if !seen.insert((at, beside)) {
            continue;
        }
        match (step(one, at), step(other, beside)) {
            (None, None) => return true,
            (one_step, other_step) => left.extend(next(one_step, other_step, (at, beside))),
        }
    }
    false
}

/// What a glob takes next.
#[derive(Clone, Copy)]
enum Step {
    /// This character, and is then one further.
    Literal(u8),
    /// Any number of characters, dots too or not; behind it, it is further.
    Run { dots: bool, behind: usize },
}

fn step(glob: &[u8], at: usize) -> Option<Step> {
    match glob.get(at..)? {
        [] => None,
        [b'*', b'*', ..] => Some(Step::Run { dots: true, behind: at + 2 }),
        [b'*', ..] => Some(Step::Run { dots: false, behind: at + 1 }),
        [literal, ..] => Some(Step::Literal(literal.to_ascii_lowercase())),
    }
}

/// Where both can be after nothing, or after one character that both take.
fn next(one: Option<Step>, other: Option<Step>, (at, beside): (usize, usize)) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    if let Some(Step::Run { behind, .. }) = one {
        places.push((behind, beside));
    }
    if let Some(Step::Run { behind, .. }) = other {
        places.push((at, behind));
    }
    match (one, other) {
        (Some(Step::Literal(one)), Some(Step::Literal(other))) if one == other => places.push((at + 1, beside + 1)),
        (Some(Step::Literal(one)), Some(Step::Run { dots, .. })) if dots || one != b'.' => {
            places.push((at + 1, beside));
        }
        (Some(Step::Run { dots, .. }), Some(Step::Literal(other))) if dots || other != b'.' => {
            places.push((at, beside + 1));
        }
        _ => {}
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(globs: &[&str]) -> Rooms {
        let at = At { line: 1, column: 1 };
        let sections = globs.iter().enumerate().map(|(number, glob)| RoomSettings {
            history_messages: Some(number),
            ..RoomSettings::of(at, Glob::parse(glob).expect("a glob"))
        });
        Rooms::of(sections.collect())
    }

    /// The place among `globs` of the section that applies.
    fn applies(globs: &[&str], room: &str) -> Option<usize> {
        rooms(globs).options(&RoomName::parse(room).expect("a name"), &Classes::default()).history_messages
    }

    #[test]
    fn the_section_that_says_most_of_a_room_applies() {
        let globs = ["**", "ops.*", "Ops.East", "ops.e*", "b*", "*b"];
        assert_eq!(applies(&globs, "ops.east"), Some(2));
        assert_eq!(applies(&globs, "ops.east.2"), Some(0));
        assert_eq!(applies(&globs, "OPS.eu"), Some(3));
        assert_eq!(applies(&globs, "ops.west"), Some(1));
        assert_eq!(applies(&globs, "bob"), Some(5), "by alphabet");
        assert_eq!(applies(&globs[1..], "lobby"), None);
    }

    #[test]
    fn a_class_keeps_its_number_and_there_are_no_more_than_can_be_counted() {
        let of = |classes: &mut dyn Iterator<Item = String>| {
            let section = |class: String| {
                let glob = Glob::parse(&class).expect("a glob");
                let class = Some(GroupName::parse(&class).expect("a name"));
                RoomSettings { class, ..RoomSettings::of(At { line: 1, column: 1 }, glob) }
            };
            Rooms::of(classes.map(section).collect())
        };
        let some = |names: &[&str]| of(&mut names.iter().map(|name| (*name).to_owned()));
        let number = |classes: &Classes, class: &str| classes.number(&GroupName::parse(class).unwrap());
        let first = Classes::default().with(&some(&["b", "c"])).unwrap();
        let second = first.with(&some(&["a", "C"])).unwrap();
        assert_eq!(number(&second, "b"), number(&first, "b"));
        assert_eq!((number(&second, "c"), number(&second, "a")), (RoomClass::new(1), RoomClass::new(2)));
        let many = |count| of(&mut (0..count).map(|number| format!("c{number}")));
        assert!(Classes::default().with(&many(32)).is_some() && first.with(&many(31)).is_none());
        let room = RoomName::parse("c").unwrap();
        assert_eq!(some(&["c"]).options(&room, &second).class, RoomClass::new(1));
    }

    #[test]
    fn equal_sections_are_told_where_some_room_is_in_both() {
        let ties = |globs: &[&str]| rooms(globs).ties().len();
        assert_eq!(ties(&["b*", "*b"]), 1);
        assert_eq!(ties(&["a*", "b*"]), 0);
        assert_eq!(ties(&["a.*", "*.b"]), 1);
        assert_eq!(ties(&["a.*x", "a**."]), 0);
        assert_eq!(ties(&["a*b.", "**.x"]), 0);
        assert_eq!(ties(&["ops", "op*"]), 0);
    }
}
