//! How what a member is told is written: as text, as JSON, as events, or as bare payloads.
//!
//! Each frame is one line, or one event, whatever was published. Knows nothing of how frames are delimited.

mod events;
mod json;
mod runs;
mod text;
mod time;

use crate::{Failure, Message, Notice, Reply};
use bytes::Bytes;
use std::fmt;
use std::str::FromStr;

/// The form of what a member is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// For people: `[lobby] alice: hi`, notices and answers after `*`, errors after `!`. Control characters and invalid
    /// UTF-8 are replaced.
    Text,
    /// For programs: one object per frame, with nothing of a payload lost.
    Json,
    /// Bare payloads, unchanged. No notices; answers and errors, which only commands cause, are as in text.
    Raw,
    /// The objects of JSON as Server-Sent Events. It has no name: only a service that streams events chooses it.
    Events,
}

/// A text names no format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a format is text, json or raw")]
pub struct FormatError;

impl Format {
    /// Appends a message's frame to `out`, without any terminator.
    pub fn message(self, message: &Message, out: &mut Vec<u8>) {
        match self {
            Self::Text => text::message(message, out),
            Self::Json => json::message(message, out),
            Self::Raw => out.extend_from_slice(&message.payload),
            Self::Events => events::message(message, out),
        }
    }

    /// A notice's frame; `raw` has none.
    pub fn notice(self, notice: &Notice) -> Option<Bytes> {
        match self {
            Self::Text => Some(text::notice(notice)),
            Self::Json => Some(json::notice(notice)),
            Self::Raw => None,
            Self::Events => Some(events::notice(notice)),
        }
    }

    /// An answer's frames: more than one only for help. In `raw` a welcome has none, and a private message is its
    /// payload.
    pub fn reply(self, reply: &Reply) -> Vec<Bytes> {
        match (self, reply) {
            // The same in each format, and without the room: it may not be longer than three times `/join a`.
            (_, Reply::Challenge { cookie }) => vec![format!("cookie={cookie}").into()],
            (Self::Raw, Reply::Welcome { .. }) => Vec::new(),
            (Self::Raw, Reply::Direct { text, .. }) => vec![text.clone()],
            (Self::Text | Self::Raw, Reply::Help) => text::help(),
            (Self::Text | Self::Raw, _) => vec![text::reply(reply)],
            (Self::Json, _) => vec![json::reply(reply)],
            (Self::Events, _) => vec![events::reply(reply)],
        }
    }

    /// An error's frame; every format has one.
    pub fn failure(self, failure: &Failure) -> Option<Bytes> {
        match self {
            Self::Text | Self::Raw => Some(text::failure(failure)),
            Self::Json => Some(json::failure(failure)),
            Self::Events => Some(events::failure(failure)),
        }
    }

    /// The format's name, for those that can be typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Raw => "raw",
            Self::Events => "events",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        [Self::Text, Self::Json, Self::Raw].into_iter().find(|format| format.as_str() == text).ok_or(FormatError)
    }
}

/// Whether a character can control a terminal, end a line or reorder the text around it: C0 but tab, DEL, C1, the line
/// and paragraph separators, and the bidirectional controls (Unicode UAX #9).
pub(crate) fn is_forbidden(character: char) -> bool {
    match character {
        '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => character.is_control(),
    }
}
