//! Text by runs: what passes is copied as it stands, and only what does not is looked at by itself.
//!
//! A peer chooses what has to be escaped, and 64 KiB of it are made for each reader's format: so it is told by a table, and
//! costs no allocation.

/// Bytes that are looked at together: the compiler makes a few vector instructions of that.
const TOGETHER: usize = 32;

/// By their first byte, which characters may not pass.
pub(super) struct Table([bool; 256]);

impl Table {
    /// Those of [`is_forbidden`](super::is_forbidden), and the ASCII characters in `others`.
    pub(super) const fn new(others: &[u8]) -> Self {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 0x20 {
            table[byte] = byte as u8 != b'\t';
            byte += 1;
        }
        table[0x7f] = true;
        // C1; U+061C; the rest are between U+200E and U+2069.
        (table[0xc2], table[0xd8], table[0xe2]) = (true, true, true);
        let mut other = 0;
        while other < others.len() {
            table[others[other] as usize] = true;
            other += 1;
        }
        Self(table)
    }

    /// Bytes of the character at the front of `text` if it may not pass, else 0. For a first byte that is in the table.
    fn special(text: &[u8]) -> usize {
        match *text {
            [0xc2, 0x80..=0x9f, ..] | [0xd8, 0x9c, ..] => 2,
            [0xe2, 0x80, 0x8e | 0x8f | 0xa8..=0xae, ..] | [0xe2, 0x81, 0xa6..=0xa9, ..] => 3,
            [0..=0x7f, ..] => 1,
            _ => 0,
        }
    }

    /// Gives `put` each run of `text` that passes, with the one character behind it that does not, which is empty at the end.
    pub(super) fn split<'a>(&self, text: &'a str, mut put: impl FnMut(&'a [u8], &'a [u8])) {
        let bytes = text.as_bytes();
        let (mut copied, mut at) = (0, 0);
        while at < bytes.len() {
            let end = bytes.len().min(at + TOGETHER);
            // What is outside of these has to be looked up, though most of it passes. Counted, since a search stops at each byte.
            let is_plain = |byte: &&u8| matches!(**byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
            if bytes[at..end].iter().filter(is_plain).count() == end - at {
                at = end;
                continue;
            }
            while at < end {
                let is_listed = self.0[usize::from(bytes[at])];
                let special = if is_listed { Self::special(&bytes[at..]) } else { 0 };
                if special == 0 {
                    at += 1;
                    continue;
                }
                put(&bytes[copied..at], &bytes[at..at + special]);
                at += special;
                copied = at;
            }
        }
        put(&bytes[copied..], &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::format::is_forbidden;

    /// Every character there is, beside others and across the bytes that are looked at together.
    #[test]
    fn the_table_knows_each_forbidden_character_and_no_other() {
        const TABLE: Table = Table::new(b"\"\\\t");
        for character in '\0'..=char::MAX {
            let text = format!("{}{character}{}", " ".repeat(character as usize % 40), "é".repeat(20));
            let mut specials = Vec::new();
            let mut whole = Vec::new();
            TABLE.split(&text, |run, special| {
                whole.extend_from_slice(run);
                whole.extend_from_slice(special);
                specials.extend_from_slice(special);
            });
            let is_special = is_forbidden(character) || matches!(character, '"' | '\\' | '\t');
            let expected = if is_special { character.to_string() } else { String::new() };
            assert_eq!(String::from_utf8(specials).unwrap_or_default(), expected, "{character:?}");
            assert_eq!(whole, text.as_bytes());
        }
    }
}
