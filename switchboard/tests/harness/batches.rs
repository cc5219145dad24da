//! A codec of which one frame may be many of the protocol's messages.

use bytes::BytesMut;
use switchboard::prelude::*;
use switchboard::{FrameError, LineBatch, Output};

/// Lines, of which those that came together are one frame.
#[derive(Default)]
pub(crate) struct Batches(Lines);

impl Codec for Batches {
    type Frame = LineBatch;

    fn decode(
        &mut self,
        input: &mut BytesMut,
        frame_bytes: usize,
    ) -> std::result::Result<Option<LineBatch>, FrameError> {
        self.0.decode_batch(input, frame_bytes)
    }

    fn count(batch: &LineBatch) -> usize {
        batch.len()
    }

    fn encode(&mut self, batch: LineBatch, output: &mut Output) {
        output.share(batch.into_bytes());
    }
}
