//! Rights of random files: a line more never takes one away.

use super::{file, sections};
use crate::policy::rules::Rules;
use crate::policy::snapshot::Snapshot;
use proptest::prelude::*;
use std::collections::BTreeMap;
use switchboard::policy::Principal;
use switchboard::{RoomName, UserName};

const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "alice.2"];
const ROOMS: [&str; 6] = ["ops", "ops.east", "desk.alice", "desk.bob", "lobby", "a"];

/// A line of a file: its table, its key and its value. What a token is good for, and what is set of rooms, is no right; `only` is the
/// one line that takes rights away.
type Line = (String, &'static str, String);

fn rights() -> impl Strategy<Value = String> {
    let words = ["join", "publish", "history", "presence", "create", "moderate", "read", "write", "all"];
    prop::sample::subsequence(words.to_vec(), 0..4).prop_map(|words| format!("{words:?}"))
}

fn glob() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["ops", "ops.*", "ops.**", "**", "*", "desk.{name}", "lobby", "*a*"])
}

fn line() -> impl Strategy<Value = Line> {
    let holder = prop::sample::select(vec!["tokens.alice", "tokens.bob", "groups.staff", "groups.guests", "anonymous"]);
    let grants = prop::collection::btree_map(glob(), rights(), 0..3).prop_map(|grants| {
        let grants: Vec<_> = grants.iter().map(|(glob, rights)| format!("\"{glob}\" = {rights}")).collect();
        format!("{{ {} }}", grants.join(", "))
    });
    let direct =
        prop::sample::subsequence(vec!["*", "bob", "{name}.*", "a**"], 0..3).prop_map(|globs| format!("{globs:?}"));
    let groups = prop::sample::subsequence(vec!["staff", "guests"], 0..3).prop_map(|groups| format!("{groups:?}"));
    let token = prop::sample::select(vec!["tokens.alice", "tokens.bob"]);
    let room =
        || glob().prop_filter("of rooms", |glob| !glob.contains('{')).prop_map(|glob| format!("rooms.\"{glob}\""));
    let only = prop::sample::subsequence(vec!["@staff", "alice", "bob"], 0..3).prop_map(|people| format!("{people:?}"));
    prop_oneof![
        3 => (holder.clone(), grants).prop_map(|(table, grants)| (table.to_owned(), "rooms", grants)),
        1 => (holder, direct).prop_map(|(table, direct)| (table.to_owned(), "direct", direct)),
        2 => (token, groups).prop_map(|(table, groups)| (table.to_owned(), "groups", groups)),
        2 => (room(), rights()).prop_map(|(table, rights)| (table, "anyone", rights)),
        2 => (room(), rights()).prop_map(|(table, rights)| (table, "named", rights)),
        1 => (room(), only).prop_map(|(table, only)| (table, "only", only)),
        1 => (room(), Just("\"off\"".to_owned())).prop_map(|(table, off)| (table, "presence", off)),
        1 => Just(("anonymous".to_owned(), "names", "[\"visitor-*\"]".to_owned())),
    ]
}

/// A file of these lines, of which a later one counts where two have one key.
fn read(lines: &[Line]) -> Rules {
    let hash = |number: u8| format!("\"sha256:{}\"", format!("{number:02x}").repeat(32));
    let mut tables: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    for (number, table) in ["tokens.alice", "tokens.bob"].into_iter().enumerate() {
        tables.entry(table).or_default().insert("hash", hash(number as u8));
    }
    for table in ["groups.staff", "groups.guests", "anonymous"] {
        tables.entry(table).or_default();
    }
    for (table, key, value) in lines {
        tables.entry(table).or_default().entry(key).or_insert_with(|| value.clone());
    }
    let table = |(table, keys): (&&str, &BTreeMap<&str, String>)| {
        let keys: Vec<_> = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        format!("[{table}]\n{}", keys.concat())
    };
    let text = tables.iter().map(table).collect::<Vec<_>>().concat();
    let mut content = file::parse(&text);
    let (rules, ..) = sections::understand(&mut content);
    assert!(content.faults.is_empty(), "{text}\n{:?}", content.faults);
    rules
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_line_more_than_only_never_takes_a_right_away(
        lines in prop::collection::vec(line(), 0..12),
        added in line().prop_filter("the one that takes", |(_, key, _)| *key != "only"),
        place in 0..12_usize,
    ) {
        let fewer = Snapshot::of(&read(&lines), &[]);
        let mut more = lines.clone();
        // Behind a line of the same key it would say nothing; in front of it, it would be in its place.
        let is_new = !lines.iter().any(|(table, key, _)| (table, key) == (&added.0, &added.1));
        prop_assume!(is_new);
        more.insert(place.min(lines.len()), added);
        let more = Snapshot::of(&read(&more), &[]);
        let known = PEOPLE.map(|name| Principal::named(UserName::parse(name).unwrap()));
        for who in known.iter().chain([&Principal::anonymous()]) {
            for room in ROOMS.map(|room| RoomName::parse(room).unwrap()) {
                let (before, after) = (fewer.rights(who, &room), more.rights(who, &room));
                prop_assert!(after.contains(before), "{:?} {}: {} after {}", who.name(), room, after, before);
            }
            for to in PEOPLE.map(|name| UserName::parse(name).unwrap()) {
                prop_assert!(more.may_tell(who, &to) || !fewer.may_tell(who, &to), "{:?} {}", who.name(), to);
            }
        }
    }
}
