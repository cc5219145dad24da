//! Files of the program's: whatever stands in one, what is wrong with it is told at places that it has, in their order, and what
//! is understood means the same when it is printed and read again.
//!
//! Beside `cli/src/config/`, whose parts it is included with.

use super::show::{ShownTable, tables};
use super::{file, sections};

/// Faults of one file that are told, and how many there are beside them.
const MOST_FAULTS: usize = 101;

/// Panics if a rule is broken on `data`: the text of a file.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((tables, has_secrets)) = read(text) else { return };
    let printed: String = tables.iter().map(ShownTable::print).collect();
    // A hash is not printed.
    if !has_secrets {
        let (again, _) = read(&printed).unwrap_or_else(|| panic!("this was printed and is wrong:\n{printed}"));
        assert_eq!(tables, again, "{printed}");
    }
}

/// The tables of a text, if it is right, and whether there are secrets in them.
fn read(text: &str) -> Option<(Vec<ShownTable>, bool)> {
    let mut content = file::parse(text);
    let (rules, rooms, bans) = sections::understand(&mut content);
    let lines: Vec<_> = text.split('\n').collect();
    assert!(content.faults.len() <= MOST_FAULTS + 2 * text.len(), "{} faults", content.faults.len());
    let places: Vec<_> = content.faults.iter().map(|(at, _)| *at).collect();
    assert!(places.is_sorted());
    for at in places {
        let line = lines.get(at.line - 1).unwrap_or_else(|| panic!("there is no line {}", at.line));
        assert!((1..=line.chars().count() + 1).contains(&at.column), "{at} is not within its line");
    }
    let shown = || tables(&rules, &rooms).into_iter().chain(bans.values().map(ShownTable::of_ban)).collect();
    content.faults.is_empty().then(|| (shown(), !rules.tokens.is_empty() || rules.callout.is_some()))
}
