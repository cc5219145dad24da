//! Globs: what is one matches what the shortest rule there is says, and is read back as it was written.
//!
//! An input is three lines: a glob, a text, and the name of whoever asks, which is nobody's if it is not a name.

use switchboard_proto::{Glob, UserName};

/// Panics if a glob does not mean what it says on `data`.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let (glob, text) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    check(glob, text, UserName::parse_any(lines.next().unwrap_or_default()).ok().as_ref());
}

/// Panics unless `glob` is refused, or matches `text` exactly when the rule says so.
pub(crate) fn check(glob: &str, text: &str, name: Option<&UserName>) {
    let Ok(parsed) = Glob::parse(glob) else { return };
    assert_eq!(parsed.to_string(), glob);
    assert!(glob.len() <= Glob::BYTES && parsed.literals() <= glob.len());
    if text.len() >= 128 {
        assert!(!parsed.matches(text, name), "longer than any name");
        return;
    }
    let found = parsed.matches(text, name);
    let inserted = match name {
        Some(name) => glob.replace("{name}", name.as_str()),
        None if glob.contains("{name}") => return assert!(!found, "{glob:?} {text:?}: nobody's"),
        None => glob.to_owned(),
    };
    let folded = (inserted.to_ascii_lowercase(), text.to_ascii_lowercase());
    assert_eq!(found, matches(folded.0.as_bytes(), folded.1.as_bytes()), "{glob:?} {text:?} {name:?}");
    assert!(!parsed.is_exact() || found == glob.eq_ignore_ascii_case(text));
}

/// The rule, as it is said: for each place in the glob and in the text, whether what follows there matches.
fn matches(glob: &[u8], text: &[u8]) -> bool {
    let (rows, columns) = (glob.len() + 1, text.len() + 1);
    let mut table = vec![vec![false; columns]; rows];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            let (glob, text) = (&glob[row..], &text[column..]);
            table[row][column] = match (glob, text) {
                ([], text) => text.is_empty(),
                ([b'*', b'*', ..], []) => table[row + 2][column],
                ([b'*', b'*', ..], _) => table[row + 2][column] || table[row][column + 1],
                ([b'*', ..], [] | [b'.', ..]) => table[row + 1][column],
                ([b'*', ..], _) => table[row + 1][column] || table[row][column + 1],
                ([literal, ..], [byte, ..]) => literal == byte && table[row + 1][column + 1],
                _ => false,
            };
        }
    }
    table[0][0]
}
