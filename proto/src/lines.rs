//! Lines of text: bytes up to LF, or CR LF.
//!
//! A line need not be UTF-8. What it was ended with is kept, so that a reply can be ended alike.

use crate::{Codec, FrameError, Output};
use bytes::{Bytes, BytesMut};
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// The codec for lines that end with LF or CR LF; the last one may end with the input instead.
#[derive(Debug, Default)]
pub struct Lines {
    /// Bytes at the front of the input known to hold no LF.
    searched: usize,
}

impl Codec for Lines {
    type Frame = Line;

    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Line>, FrameError> {
        let Some(found) = memchr::memchr(b'\n', &input[self.searched..]) else {
            self.searched = input.len();
            // A CR one past the limit may still belong to the terminator.
            let text = input.strip_suffix(b"\r").unwrap_or(input);
            return if text.len() > frame_bytes { Err(FrameError::TooLong { limit: frame_bytes }) } else { Ok(None) };
        };
        let end = self.searched + found + 1;
        // The last line takes the memory along, instead of sharing it with nothing.
        let mut text = if end == input.len() { std::mem::take(input) } else { input.split_to(end) }.freeze();
        self.searched = 0;
        let terminator = if text.ends_with(b"\r\n") { Terminator::CrLf } else { Terminator::Lf };
        text.truncate(text.len() - terminator.as_bytes().len());
        if text.len() > frame_bytes {
            return Err(FrameError::TooLong { limit: frame_bytes });
        }
        Ok(Some(Line { text, terminator }))
    }

    fn decode_end(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Line>, FrameError> {
        self.searched = 0;
        if input.is_empty() {
            return Ok(None);
        }
        if input.len() > frame_bytes {
            return Err(FrameError::TooLong { limit: frame_bytes });
        }
        Ok(Some(Line { text: input.split().freeze(), terminator: Terminator::None }))
    }

    fn carries(payload: &[u8]) -> bool {
        memchr::memchr2(b'\r', b'\n', payload).is_none()
    }

    fn encode(&mut self, line: Line, output: &mut Output) {
        output.share(line.text);
        output.put(line.terminator.as_bytes());
    }
}

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Terminator {
    /// With the input: the peer finished sending without a line end.
    None,
    /// With a line feed. Lines made from text end so.
    #[default]
    Lf,
    /// With carriage return and line feed.
    CrLf,
}

impl Terminator {
    /// The bytes on the wire.
    pub fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::None => b"",
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
        }
    }
}

/// One line: bytes, and how they ended. Cloning and passing on copy no text.
///
/// It dereferences to the bytes without the terminator, displays them with U+FFFD for what is not UTF-8, and compares
/// with strings. Made from text it ends with LF; an LF inside that text starts another line at the peer.
///
/// A received line shares the memory of the read that it came with: to keep one for long, copy it.
#[derive(Clone, Default)]
pub struct Line {
    text: Bytes,
    terminator: Terminator,
}

impl Line {
    /// The text, terminator excluded.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// The text, terminator excluded, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.text
    }

    /// The text, with U+FFFD for what is not UTF-8.
    pub fn to_str_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.text)
    }

    /// How it ended, or will end.
    pub fn terminator(&self) -> Terminator {
        self.terminator
    }

    /// The same text, ended by `terminator`.
    pub fn with_terminator(self, terminator: Terminator) -> Self {
        Self { terminator, ..self }
    }
}

impl Deref for Line {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.text
    }
}

impl AsRef<[u8]> for Line {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_str_lossy().fmt(f)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({:?}, {:?})", self.text, self.terminator)
    }
}

impl PartialEq<str> for Line {
    fn eq(&self, other: &str) -> bool {
        self.text == other.as_bytes()
    }
}

impl PartialEq<&str> for Line {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

/// Lines are equal when their texts are: how they ended is transport.
impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Line {}

impl From<Bytes> for Line {
    fn from(text: Bytes) -> Self {
        Self { text, terminator: Terminator::Lf }
    }
}

impl From<Line> for Bytes {
    fn from(line: Line) -> Self {
        line.text
    }
}

impl From<BytesMut> for Line {
    fn from(text: BytesMut) -> Self {
        text.freeze().into()
    }
}

impl From<Vec<u8>> for Line {
    fn from(text: Vec<u8>) -> Self {
        Bytes::from(text).into()
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Bytes::copy_from_slice(text.as_bytes()).into()
    }
}
