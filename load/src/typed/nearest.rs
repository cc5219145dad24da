//! What somebody who mistyped a name probably meant.

/// The end of a sentence on `typed`, if it is nearly one of `known`.
pub fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let nearest = nearest(typed, known);
    nearest.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default()
}

/// The one of `known` with the fewest typing errors in between, if they are few: at most one in three letters.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = plain(typed);
    let slips = known.into_iter().map(|known| (distance(&typed, &plain(known)), known));
    slips.filter(|(slips, known)| slips * 3 <= known.len()).min_by_key(|(slips, _)| *slips).map(|(_, known)| known)
}

/// Case, and `-` or `_`, make no difference.
fn plain(name: &str) -> Vec<char> {
    name.chars().map(|character| if character == '_' { '-' } else { character.to_ascii_lowercase() }).take(64).collect()
}

/// Letters to add, leave out, change, or swap with their neighbours, between two words.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for (row, letter) in from.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let changed = rows[row][column] + usize::from(letter != other);
            let mut least = changed.min(rows[row][column + 1] + 1).min(next[column] + 1);
            if row > 0 && column > 0 && *letter == to[column - 1] && from[row - 1] == *other {
                least = least.min(rows[row - 1][column - 1] + 1);
            }
            next.push(least);
        }
        rows.push(next);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_another_word_is_not() {
        let known = ["max-frame", "max-memory", "workers", "log", "log-format"];
        let cases = [
            ("max-fram", Some("max-frame")),
            ("MAX_FRAME", Some("max-frame")),
            ("max-fraem", Some("max-frame")),
            ("wrokers", Some("workers")),
            ("lgo", Some("log")),
            ("port", None),
            ("", None),
            ("colour", None),
        ];
        for (typed, meant) in cases {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
        assert_eq!(did_you_mean("max-frame-size-that-nobody-knows", known), "");
    }
}
