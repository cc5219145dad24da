//! Datagrams between a connection and its transport: each is preceded by its length, four bytes, so that it keeps its boundaries
//! among bytes that are read and written like those of a stream.
//!
//! The codec on the connection's side is [`Datagrams`](switchboard_proto::Datagrams). The lengths never leave the process.

use std::io::IoSlice;

pub(super) const HEADER_BYTES: usize = 4;

/// What precedes a payload of `length` bytes.
pub(super) fn header(length: usize) -> [u8; HEADER_BYTES] {
    let Ok(length) = u32::try_from(length) else { unreachable!("a datagram is below 64 KiB") };
    length.to_be_bytes()
}

/// What a connection writes, in pieces that need not end where frames do.
pub(super) struct FramedSlices<'a> {
    slices: &'a [IoSlice<'a>],
    /// In the first slice.
    offset: usize,
}

impl<'a> FramedSlices<'a> {
    pub(super) fn new(slices: &'a [IoSlice<'a>]) -> Self {
        Self { slices, offset: 0 }
    }

    /// Appends the next frame's payload to `text`, if all of it is there. Returns its length.
    pub(super) fn next(&mut self, text: &mut Vec<u8>) -> Option<usize> {
        let mut header = [0; HEADER_BYTES];
        let mut length = 0;
        while length < HEADER_BYTES {
            let piece = self.piece(HEADER_BYTES - length)?;
            header[length..length + piece.len()].copy_from_slice(piece);
            length += piece.len();
        }
        let payload = u32::from_be_bytes(header) as usize;
        let start = text.len();
        while text.len() < start + payload {
            let missing = start + payload - text.len();
            let Some(piece) = self.piece(missing) else {
                text.truncate(start);
                return None;
            };
            text.extend_from_slice(piece);
        }
        Some(payload)
    }

    /// The next contiguous bytes, at most `most`.
    fn piece(&mut self, most: usize) -> Option<&[u8]> {
        loop {
            let (first, rest) = self.slices.split_first()?;
            let piece = &first[self.offset..];
            if piece.is_empty() {
                (self.slices, self.offset) = (rest, 0);
                continue;
            }
            let count = piece.len().min(most);
            self.offset += count;
            return Some(&piece[..count]);
        }
    }
}
