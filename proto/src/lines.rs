//! Lines of text: bytes up to LF, or CR LF.
//!
//! A line need not be UTF-8. Its terminator is kept, so that a reply can end in the same way.

mod batch;
mod end;

pub use batch::LineBatch;

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

    #[inline]
    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Line>, FrameError> {
        let Some(found) = end::find(&input[self.searched..]) else {
            return self.await_end(input, frame_bytes);
        };
        let end = self.searched + found + 1;
        let bytes = input.split_to(end).freeze();
        self.searched = 0;
        // By a pattern: to compare slices is a call of its own, of 33 instructions, where there is no LTO.
        let terminator = if let [.., b'\r', b'\n'] = *bytes { Terminator::CrLf } else { Terminator::Lf };
        let line = Line { bytes, behind: terminator.len(), terminator };
        if line.as_bytes().len() > frame_bytes {
            return Err(FrameError::TooLong { limit: frame_bytes });
        }
        Ok(Some(line))
    }

    fn decode_end(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Line>, FrameError> {
        self.searched = 0;
        if input.is_empty() {
            return Ok(None);
        }
        if input.len() > frame_bytes {
            return Err(FrameError::TooLong { limit: frame_bytes });
        }
        Ok(Some(Line { bytes: input.split().freeze(), behind: 0, terminator: Terminator::None }))
    }

    fn carries(payload: &[u8]) -> bool {
        memchr::memchr2(b'\r', b'\n', payload).is_none()
    }

    #[inline]
    fn encode(&mut self, line: Line, output: &mut Output) {
        let terminator = line.terminator;
        if line.behind == terminator.len() { output.share(line.bytes) } else { encode_otherwise(line, output) }
    }
}

impl Lines {
    /// Waits for the end of a line, unless it is too long already. Apart: it comes once a read, and lines come by the dozen.
    #[cold]
    fn await_end(&mut self, input: &[u8], frame_bytes: usize) -> Result<Option<Line>, FrameError> {
        self.searched = input.len();
        // A CR one past the limit may still belong to the terminator.
        let text = input.strip_suffix(b"\r").unwrap_or(input);
        if text.len() > frame_bytes { Err(FrameError::TooLong { limit: frame_bytes }) } else { Ok(None) }
    }
}

/// A line that does not end as it arrived.
#[inline(never)]
fn encode_otherwise(line: Line, output: &mut Output) {
    let terminator = line.terminator;
    output.share(line.into_bytes());
    output.put(terminator.as_bytes());
}

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum Terminator {
    /// With the end of input: the peer finished sending without a line end.
    None,
    /// With a line feed, as do lines made from text.
    #[default]
    Lf,
    /// With a carriage return and a line feed.
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

    /// Bytes on the wire, which tell one from another.
    fn len(self) -> u32 {
        self.as_bytes().len() as u32
    }
}

/// One line: its bytes, and how it ended. Cloning it or passing it on copies no text.
///
/// It dereferences to the bytes without the terminator, displays them with U+FFFD for invalid UTF-8, and compares with
/// strings. A line made from text ends with LF; an LF inside that text starts another line at the peer.
///
/// A received line shares the memory of the read that it arrived with: to keep it for long, copy it.
#[derive(Clone, Default)]
pub struct Line {
    /// The text, and if it was received what it ended with: most lines are sent on as they came.
    bytes: Bytes,
    /// Bytes behind the text. As wide as what follows: padding would be moved by itself each time that a line is.
    behind: u32,
    /// What it is sent with.
    terminator: Terminator,
}

impl Line {
    /// The text, terminator excluded.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.bytes.len() - self.behind as usize]
    }

    /// The text without its terminator, without a copy.
    pub fn into_bytes(mut self) -> Bytes {
        self.bytes.truncate(self.bytes.len() - self.behind as usize);
        self.bytes
    }

    /// The text, with U+FFFD for invalid UTF-8.
    pub fn to_str_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self)
    }

    /// How it ends.
    pub fn terminator(&self) -> Terminator {
        self.terminator
    }

    /// The same text, ending with `terminator`.
    pub fn with_terminator(self, terminator: Terminator) -> Self {
        Self { terminator, ..self }
    }
}

impl Deref for Line {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<[u8]> for Line {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_str_lossy().fmt(f)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({:?}, {:?})", self.bytes.slice_ref(self), self.terminator)
    }
}

impl PartialEq<str> for Line {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
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
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Line {}

impl From<Bytes> for Line {
    fn from(text: Bytes) -> Self {
        Self { bytes: text, behind: 0, terminator: Terminator::Lf }
    }
}

impl From<Line> for Bytes {
    fn from(line: Line) -> Self {
        line.into_bytes()
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
