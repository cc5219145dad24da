//! A peer's bytes for a log.

use proptest::prelude::*;
use switchboard_proto::Escaped;

/// What must never reach a log: what drives a terminal, what ends a line, what reorders the text around it.
fn is_dangerous(character: char) -> bool {
    let separators = ['\u{2028}', '\u{2029}'];
    // Unicode UAX #9, table 2: ALM, LRM, RLM; LRE, RLE, PDF, LRO, RLO; LRI, RLI, FSI, PDI.
    let bidi = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
    character.is_control() || separators.contains(&character) || bidi.contains(character)
}

/// Any bytes, most of them dangerous or broken: whole characters, and their encodings cut short.
fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let character = any::<char>().prop_map(|character| character.to_string().into_bytes());
    let dangerous =
        prop::sample::select(('\0'..='\u{2100}').filter(|character| is_dangerous(*character)).collect::<Vec<_>>());
    let dangerous = dangerous.prop_map(|character| character.to_string().into_bytes());
    let cut = dangerous.clone().prop_map(|bytes| bytes[..bytes.len() - 1].to_vec());
    let piece = prop_oneof![character, dangerous, cut, any::<u8>().prop_map(|byte| vec![byte])];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_dangerous_gets_through(bytes in hostile_bytes()) {
        let escaped = Escaped(&bytes).to_string();
        prop_assert!(!escaped.contains(is_dangerous), "{escaped:?}");
    }
}

#[test]
fn no_dangerous_character_gets_through() {
    let all: String = ('\0'..=char::MAX).collect();
    assert!(!Escaped(all.as_bytes()).to_string().contains(is_dangerous));
}

#[test]
fn plain_text_is_untouched() {
    let plain: String = ('\0'..=char::MAX).filter(|character| !is_dangerous(*character)).collect();
    // Not `assert_eq`, which would print a million characters twice.
    assert!(Escaped(plain.as_bytes()).to_string() == plain);
}

#[test]
fn a_line_end_is_shown_and_forges_no_line() {
    assert_eq!(Escaped(b"hi\r\nlevel=error\n").to_string(), r"hi\r\nlevel=error\n");
}

#[test]
fn a_terminal_escape_is_shown() {
    assert_eq!(Escaped(b"\x1b[2J\x07").to_string(), r"\u{1b}[2J\u{7}");
}

#[test]
fn a_bidirectional_control_is_shown() {
    assert_eq!(Escaped("a\u{202e}b".as_bytes()).to_string(), r"a\u{202e}b");
}

#[test]
fn bytes_that_are_not_utf_8_are_shown() {
    assert_eq!(Escaped(b"a\xff\xc3\x28").to_string(), r"a\xff\xc3(");
}

#[test]
fn no_bytes_are_no_text() {
    assert_eq!(Escaped(b"").to_string(), "");
}
