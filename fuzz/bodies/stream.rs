//! A stream that arrives in pieces, and what a codec makes of it.
//!
//! Knows nothing of the rules of a codec: the bodies beside it compare what comes out with what should.

use bytes::BytesMut;
use std::io::IoSlice;
use switchboard_proto::{Codec, FrameError, Output};

/// A stream, how it was split on its way, and the longest payload the receiver accepts.
///
/// As bytes: the limit (one byte), how many piece sizes follow (one byte), the sizes (a byte each, taken in turn and
/// over again; zero is all that is left), the stream. No sizes: it arrives whole.
#[derive(Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) frame_bytes: usize,
    pub(crate) stream: &'a [u8],
    pub(crate) pieces: Vec<&'a [u8]>,
}

impl<'a> Arrival<'a> {
    /// `None` if the bytes end before the stream begins.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&[frame_bytes, sizes], rest) = bytes.split_first_chunk()?;
        let (sizes, stream) = rest.split_at_checked(sizes.into())?;
        let mut sizes = sizes.iter().cycle();
        let mut pieces = Vec::new();
        let mut left = stream;
        while !left.is_empty() {
            let size = match sizes.next() {
                None | Some(0) => left.len(),
                Some(&size) => left.len().min(size.into()),
            };
            let (piece, behind) = left.split_at(size);
            pieces.push(piece);
            left = behind;
        }
        Some(Self { frame_bytes: frame_bytes.into(), stream, pieces })
    }
}

/// Everything a codec finds in `pieces`, up to their end or the first error.
pub(crate) fn read<'a, C: Codec>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    frame_bytes: usize,
) -> (Vec<C::Frame>, Option<FrameError>) {
    let mut frames = Vec::new();
    let error = read_into::<C>(&mut frames, pieces, frame_bytes).err();
    (frames, error)
}

fn read_into<'a, C: Codec>(
    frames: &mut Vec<C::Frame>,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    frame_bytes: usize,
) -> Result<(), FrameError> {
    let mut codec = C::default();
    let mut input = BytesMut::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        let mut before = input.len();
        while let Some(frame) = codec.decode(&mut input, frame_bytes)? {
            assert!(input.len() < before, "a frame was made of nothing");
            before = input.len();
            frames.push(frame);
        }
        assert_eq!(input.len(), before, "bytes were taken and no frame was given");
    }
    while let Some(frame) = codec.decode_end(&mut input, frame_bytes)? {
        frames.push(frame);
    }
    assert!(input.is_empty(), "bytes were left behind without an error");
    Ok(())
}

/// The bytes a codec sends for `frames`.
pub(crate) fn write<C: Codec>(frames: Vec<C::Frame>) -> Vec<u8> {
    let mut codec = C::default();
    let mut output = Output::default();
    for frame in frames {
        codec.encode(frame, &mut output);
    }
    let mut bytes = Vec::new();
    while !output.is_empty() {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = output.slices(&mut slices);
        assert!(filled > 0, "bytes are queued and none can be written");
        let before = bytes.len();
        slices[..filled].iter().for_each(|slice| bytes.extend_from_slice(slice));
        output.advance(bytes.len() - before);
    }
    bytes
}
