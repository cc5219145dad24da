//! Lines on a screen: nothing in them drives the terminal, and colours tell who speaks.

use switchboard::Escaped;

const DIM: &str = "2";
const BOLD: &str = "1";
const RED: &str = "31";

/// Of speakers: all that can be read on black and on white, and are not an error's.
const SPEAKERS: [&str; 6] = ["32", "33", "34", "35", "36", "94"];

/// Whether lines are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    On,
    Off,
}

impl Colours {
    /// Off where the environment says so (no-color.org), or the terminal has none.
    pub(super) fn from_environment() -> Self {
        let is_set = |variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
        if is_set("NO_COLOR") || dumb { Self::Off } else { Self::On }
    }

    fn paint(self, colour: &str, text: &str) -> String {
        match self {
            Self::On => format!("\x1b[{colour}m{text}\x1b[0m"),
            Self::Off => text.to_owned(),
        }
    }

    /// What is said of the connection itself.
    pub(super) fn status(self, text: &str) -> String {
        self.paint(DIM, &format!("-- {text}"))
    }

    /// A line of a server's, as rooms tell it or any other.
    pub(super) fn line(self, line: &[u8]) -> String {
        let line = shown(line);
        if line.starts_with("* ") {
            return self.paint(DIM, &line);
        }
        if line.starts_with("! ") {
            return self.paint(RED, &line);
        }
        if let Some((from, text)) = line.strip_prefix('@').and_then(|rest| rest.split_once(": "))
            && is_name(from)
        {
            return format!("{}: {text}", self.paint(BOLD, &format!("@{from}")));
        }
        let message = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
        match message.and_then(|(room, said)| Some((room, said.split_once(": ")?))) {
            Some((room, (from, text))) if is_name(room) && is_name(from) => {
                format!("{} {}: {text}", self.paint(DIM, &format!("[{room}]")), self.paint(speaker(from), from))
            }
            _ => line,
        }
    }
}

/// Whose line it is, as far as one of few colours tells: the same for the same name, whatever its case.
fn speaker(name: &str) -> &'static str {
    let sum = name.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.to_ascii_lowercase().into()));
    SPEAKERS[sum as usize % SPEAKERS.len()]
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// A line as a screen may show it: tabs are tabs.
fn shown(line: &[u8]) -> String {
    let parts: Vec<_> = line.split(|byte| *byte == b'\t').map(|part| Escaped(part).to_string()).collect();
    parts.join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_drives_the_terminal() {
        assert_eq!(shown(b"a\tb"), "a\tb");
        assert_eq!(shown(b"\x1b]0;title\x07\x9b2J\xff\r"), "\\u{1b}]0;title\\u{7}\\x9b2J\\xff\\r");
        assert_eq!(shown("\u{9b}2J\u{202e}".as_bytes()), "\\u{9b}2J\\u{202e}");
        assert!(!Colours::On.line(b"* \x1b[31m").contains("\x1b[31m"));
    }

    #[test]
    fn colours_tell_who_speaks_and_what_a_line_is() {
        assert_eq!(Colours::On.line(b"* bob joined"), "\x1b[2m* bob joined\x1b[0m");
        assert_eq!(Colours::On.line(b"! name-taken: x"), "\x1b[31m! name-taken: x\x1b[0m");
        assert_eq!(Colours::On.line(b"@bob: psst"), "\x1b[1m@bob\x1b[0m: psst");
        let alice = Colours::On.line(b"[lobby] alice: hi: there");
        assert!(
            alice.starts_with("\x1b[2m[lobby]\x1b[0m \x1b[") && alice.ends_with("malice\x1b[0m: hi: there"),
            "{alice}"
        );
        assert_eq!(speaker("Alice"), speaker("alice"));
    }

    #[test]
    fn what_no_room_has_said_stays_as_it_is() {
        for line in ["echo: hi", "[not a room] x: y", "[lobby] a message of the program's", "@ x: y", "*", ""] {
            assert_eq!(Colours::On.line(line.as_bytes()), line);
        }
    }

    #[test]
    fn without_colours_there_are_none() {
        for line in ["* bob joined", "! name-taken: x", "@bob: psst", "[lobby] alice: hi"] {
            assert_eq!(Colours::Off.line(line.as_bytes()), line);
        }
        assert_eq!(Colours::Off.status("connected"), "-- connected");
    }
}
