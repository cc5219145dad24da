//! Frames with a length prefix: four bytes, big-endian, then that many bytes of payload.

use crate::{Codec, FrameError, Output};
use bytes::{Buf, Bytes, BytesMut};

const HEADER_BYTES: usize = 4;

/// The codec for payloads of any bytes, each prefixed with its length as an unsigned 32-bit big-endian number.
///
/// An announced length above the limit is refused from the header alone, before any payload is kept.
#[derive(Debug, Default)]
pub struct Length;

impl Codec for Length {
    type Frame = Bytes;

    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Bytes>, FrameError> {
        let Some(header) = input.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*header) as usize;
        FrameError::if_longer(length, frame_bytes)?;
        if input.len() - HEADER_BYTES < length {
            return Ok(None);
        }
        input.advance(HEADER_BYTES);
        Ok(Some(input.split_to(length).freeze()))
    }

    /// # Panics
    /// If the payload is 4 GiB or longer, as no header can announce it.
    fn encode(&mut self, payload: Bytes, output: &mut Output) {
        let Ok(length) = u32::try_from(payload.len()) else { panic!("a length-delimited payload is below 4 GiB") };
        output.put(&length.to_be_bytes());
        output.share(payload);
    }
}
