//! Lines that arrived together, as one frame: for a codec that treats all lines alike, so that a line costs no more
//! than copying it.

use super::{Line, Lines, Terminator, end};
use crate::FrameError;
use bytes::{Bytes, BytesMut};
use memchr::memrchr;

/// Of the input, what one batch is made of, as far as its lines are that short.
const BATCH_BYTES: usize = 4 << 10;

/// Lines in one batch: with more, what is done for a batch is nothing beside what is done for each line, and the bounds of an
/// outbox, which takes a batch whole, would mean less.
const BATCH_LINES: usize = 64;

/// Complete lines with their terminators, as they arrived: at least one, and at most 64.
#[derive(Debug, Clone)]
pub struct LineBatch {
    bytes: Bytes,
    lines: usize,
}

impl LineBatch {
    /// How many lines they are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    #[inline]
    pub fn len(&self) -> usize {
        self.lines
    }

    /// Each line, with its terminator.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            // Without an end, the last one of the input may be.
            let length = end::find(rest).map_or(rest.len(), |place| place + 1);
            let line = rest.split_off(..length)?;
            (!line.is_empty()).then_some(line)
        })
    }

    /// The text of each line.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.iter().map(|line| line.strip_suffix(b"\n").map_or(line, |text| text.strip_suffix(b"\r").unwrap_or(text)))
    }

    /// All lines, each with its terminator.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// One line, with the terminator that it is to be sent with.
impl From<Line> for LineBatch {
    fn from(line: Line) -> Self {
        let terminator = line.terminator;
        let bytes = if line.behind == terminator.len() {
            line.bytes
        } else {
            [line.as_bytes(), terminator.as_bytes()].concat().into()
        };
        Self { bytes, lines: 1 }
    }
}

impl Lines {
    /// Like [`Codec::decode`](crate::Codec::decode), but also takes the lines after the first.
    ///
    /// # Errors
    /// The next line is too long.
    #[inline]
    pub fn decode_batch(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<LineBatch>, FrameError> {
        let front = &input[..input.len().min(BATCH_BYTES)];
        let searched = self.searched.min(front.len());
        // What came together ends with a line as a rule.
        let end = match front.last() {
            Some(b'\n') => front.len(),
            _ => match memrchr(b'\n', &front[searched..]) {
                Some(last) => searched + last + 1,
                None => return self.decode_one(input, frame_bytes),
            },
        };
        let lines = end::count(&front[..end]);
        if lines > BATCH_LINES || end > frame_bytes {
            return self.decode_some(input, frame_bytes);
        }
        self.searched = 0;
        Ok(Some(LineBatch { bytes: input.split_to(end).freeze(), lines }))
    }

    /// A line that is longer than a batch, or has not come yet.
    #[cold]
    fn decode_one(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<LineBatch>, FrameError> {
        Ok(crate::Codec::decode(self, input, frame_bytes)?.map(LineBatch::from))
    }

    /// As many of the lines as a batch may have, up to the first that is too long.
    #[cold]
    fn decode_some(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<LineBatch>, FrameError> {
        let (mut end, mut lines) = (0, 0);
        for line in input[..input.len().min(BATCH_BYTES)].split_inclusive(|byte| *byte == b'\n') {
            let ending = if line.ends_with(b"\r\n") { Terminator::CrLf } else { Terminator::Lf };
            if lines == BATCH_LINES || !line.ends_with(b"\n") || line.len() - ending.as_bytes().len() > frame_bytes {
                break;
            }
            (end, lines) = (end + line.len(), lines + 1);
        }
        if lines == 0 {
            return self.decode_one(input, frame_bytes);
        }
        self.searched = 0;
        Ok(Some(LineBatch { bytes: input.split_to(end).freeze(), lines }))
    }
}
