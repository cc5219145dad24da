//! Frames that are datagrams, one each.
//!
//! The network keeps a datagram's length; between the socket and the codec that length is a prefix, so that a
//! connection reads and writes bytes as on any other transport.

use crate::{Codec, FrameError, Length, Output};
use bytes::{Bytes, BytesMut};

/// The longest payload of a datagram: IPv4's 65,535 bytes less the two headers. A longer frame is never cut.
pub const DATAGRAM_BYTES: usize = 65_507;

/// The codec of datagram peers: each datagram is a frame, whatever its bytes, even an empty one.
#[derive(Debug, Default)]
pub struct Datagrams(Length);

impl Codec for Datagrams {
    type Frame = Bytes;

    const TEXT_END: &'static [u8] = b"\n";

    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Bytes>, FrameError> {
        self.0.decode(input, frame_bytes)
    }

    fn carries(payload: &[u8]) -> bool {
        payload.len() <= DATAGRAM_BYTES
    }

    fn encode(&mut self, payload: Bytes, output: &mut Output) {
        self.0.encode(payload, output);
    }
}
