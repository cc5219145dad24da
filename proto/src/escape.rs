//! A peer's bytes for a log: nothing that drives a terminal or forges a line gets through.

use std::fmt::{self, Write as _};

/// Displays bytes as text, with control characters and whatever is not UTF-8 escaped (`\n`, `\u{1b}`, `\xff`).
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() || is_format(character) {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    f.write_char(character)?;
                }
            }
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

/// Line and paragraph separators, and the bidirectional controls (Unicode UAX #9), which reorder what stands around them.
fn is_format(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
