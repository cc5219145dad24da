//! From bytes of the file to lines and columns.

use crate::policy::rules::At;

/// Where the lines of a text begin.
pub(super) struct Places<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

/// What some editors put in front of a text; it takes no column.
const MARK: char = '\u{feff}';

impl<'a> Places<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let behind_ends = memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1);
        Self { text, starts: std::iter::once(0).chain(behind_ends).collect() }
    }

    /// The place of a byte; one beyond the end is the end.
    pub(super) fn at(&self, byte: usize) -> At {
        let byte = self.text.floor_char_boundary(byte);
        let line = self.starts.partition_point(|start| *start <= byte);
        let before = &self.text[self.starts[line - 1]..byte];
        At { line, column: before.trim_start_matches(MARK).chars().count() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_from_one() {
        let places = Places::of("\u{feff}a = 1\r\n\nß = é");
        let at = |byte| places.at(byte).to_string();
        assert_eq!((at(3), at(7), at(10)), ("1:1".to_owned(), "1:5".to_owned(), "2:1".to_owned()));
        assert_eq!((at(11), at(16)), ("3:1".to_owned(), "3:5".to_owned()));
        assert_eq!(at(999), "3:6");
    }
}
