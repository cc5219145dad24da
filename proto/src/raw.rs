//! Bytes as they arrive, for code that passes them on or parses them itself.

use crate::{Codec, FrameError, Output};
use bytes::{Bytes, BytesMut};

/// The codec without framing: a frame is what one read returned, or a piece of it, and what is sent is sent as it is.
///
/// A frame has at least one byte and at most the frame limit; longer reads are split. So frame boundaries mean nothing,
/// and no input is invalid.
#[derive(Debug, Default)]
pub struct Raw;

impl Codec for Raw {
    type Frame = Bytes;

    #[inline]
    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Bytes>, FrameError> {
        // A limit of nothing would never come to an end.
        let length = input.len().min(frame_bytes.max(1));
        Ok((length > 0).then(|| input.split_to(length).freeze()))
    }

    #[inline]
    fn encode(&mut self, bytes: Bytes, output: &mut Output) {
        output.share(bytes);
    }
}
