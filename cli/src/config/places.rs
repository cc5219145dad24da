//! From bytes of the file to lines and columns.

use crate::policy::rules::At;

/// Where the lines of a text begin, and how many characters are before each piece of it: places are found in constant time, or a file
/// of one long line with many mistakes would take minutes.
pub(super) struct Places<'a> {
    text: &'a str,
    starts: Vec<usize>,
    before: Vec<usize>,
}

const PIECE: usize = 256;

/// What some editors put in front of a text; it takes no column.
const MARK: char = '\u{feff}';

impl<'a> Places<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let behind_ends = memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1);
        let mut before = vec![0];
        for piece in text.as_bytes().chunks(PIECE) {
            before.push(before.last().unwrap_or(&0) + characters(piece));
        }
        Self { text, starts: std::iter::once(0).chain(behind_ends).collect(), before }
    }

    /// The place of a byte; one beyond the end is the end.
    pub(super) fn at(&self, byte: usize) -> At {
        let byte = self.text.floor_char_boundary(byte);
        let line = self.starts.partition_point(|start| *start <= byte);
        let has_mark = line == 1 && byte > 0 && self.text.starts_with(MARK);
        let column = self.characters_before(byte) - self.characters_before(self.starts[line - 1]);
        At { line, column: column + 1 - usize::from(has_mark) }
    }

    fn characters_before(&self, byte: usize) -> usize {
        let piece = byte / PIECE;
        self.before[piece] + characters(&self.text.as_bytes()[piece * PIECE..byte])
    }
}

/// How many characters begin in these bytes of UTF-8.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
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
        let long = format!("{}x", "é".repeat(1000));
        assert_eq!(Places::of(&long).at(2000).to_string(), "1:1001");
    }
}
