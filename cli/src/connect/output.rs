//! Where what comes goes: bytes to a pipe, or lines to a screen that they cannot drive.

use super::paint::Colours;
use super::plain::PlainCodec;
use super::terminal::Terminal;
use std::io::{self, IsTerminal as _};
use switchboard_load::print;

pub(super) enum Display {
    /// Byte for byte.
    Verbatim,
    /// A line for each frame, byte for byte.
    Lines,
    /// A line for each frame, in which nothing drives the terminal; with an editor, above the line that is typed.
    Screen(Colours, Option<Terminal>),
}

impl Display {
    /// For a pipe; what reaches a terminal behind it is to be harmless there.
    pub(super) fn choose<C: PlainCodec>() -> Self {
        match io::stdout().is_terminal() {
            true => Self::Screen(Colours::from_environment(), None),
            false if C::IS_VERBATIM => Self::Verbatim,
            false => Self::Lines,
        }
    }

    /// Writes a frame at once.
    pub(super) fn frame(&mut self, payload: &[u8]) -> io::Result<()> {
        match self {
            Self::Verbatim => write(&[payload]),
            Self::Lines => write(&[payload, b"\n"]),
            Self::Screen(colours, None) => write(&[colours.line(payload).as_bytes(), b"\n"]),
            Self::Screen(colours, Some(terminal)) => terminal.print(colours.line(payload)),
        }
    }

    /// Lets the terminal be as it was found, below all that was shown.
    pub(super) async fn leave(&mut self) {
        if let Self::Screen(_, Some(terminal)) = self {
            terminal.leave().await;
        }
    }

    /// Says how it is with the connection, to a person at the terminal alone.
    pub(super) fn status(&mut self, text: &str) -> io::Result<()> {
        match self {
            Self::Screen(colours, Some(terminal)) => terminal.print(colours.status(text)),
            _ => Ok(()),
        }
    }
}

fn write(parts: &[&[u8]]) -> io::Result<()> {
    match parts {
        [one] => print::write(one),
        several => print::write(&several.concat()),
    }
}
