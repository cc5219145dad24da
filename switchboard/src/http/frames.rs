//! What hyper does not report about HTTP/2: how much of the requests has arrived that nobody has read yet.
//!
//! Follows what a client sends from frame to frame, next to hyper, and counts the bodies in them and what is incomplete.
//! hyper refuses whatever is not a frame.

use super::http2::PREFACE;
use super::task::MOST_HEAD_BYTES;

/// The head of a frame (RFC 9113 §4.1).
const HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// What a waiting frame costs in addition to its bytes: h2 keeps each one separately.
const FRAME_BYTES: usize = 128;

/// What a continued head costs in addition to its bytes: h2 keeps the fields it has decoded, and one byte may become dozens.
const HALF_HEAD_BYTES: usize = 2 * MOST_HEAD_BYTES;

/// What a request costs as soon as it is begun. h2 reads all that there is before hyper begins the first of them, so this is what keeps
/// it from reading on.
const REQUEST_BYTES: usize = 8 << 10;

/// How far a client is with its frames.
#[derive(Debug)]
pub(super) struct FrameProgress {
    head: [u8; HEAD_BYTES],
    /// Bytes of the head that have arrived.
    has: usize,
    /// Bytes of a frame, or of the preface, to skip.
    left: usize,
    kind: u8,
    /// Bytes of a frame that is not whole, but of a body's; and of a head that goes on in the next.
    half: usize,
    goes_on: bool,
    /// The next byte says how many of the frame are no body.
    is_padded: bool,
}

impl FrameProgress {
    pub(super) fn new() -> Self {
        Self {
            head: [0; HEAD_BYTES],
            has: 0,
            left: PREFACE.len(),
            kind: DATA,
            half: 0,
            goes_on: false,
            is_padded: false,
        }
    }

    /// Reads on, and adds what begins in these bytes to `untaken`.
    pub(super) fn read(&mut self, mut bytes: &[u8], untaken: &mut Untaken) {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.is_padded) {
                untaken.remove(usize::from(*first) + 1);
            }
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                (self.left, bytes) = (self.left - passed, &bytes[passed..]);
                self.half += if self.kind == DATA { 0 } else { passed };
                self.end_frame();
                continue;
            }
            self.head[self.has] = *first;
            (self.has, bytes) = (self.has + 1, &bytes[1..]);
            if self.has == HEAD_BYTES {
                self.has = 0;
                let [a, b, c, kind, flags, ..] = self.head;
                self.left = u32::from_be_bytes([0, a, b, c]) as usize;
                self.kind = kind;
                if kind == DATA && self.left > 0 {
                    self.is_padded = flags & PADDED != 0;
                    untaken.add(self.left);
                }
                if kind == HEADERS {
                    untaken.heads += 1;
                }
                if matches!(kind, HEADERS | CONTINUATION) {
                    self.goes_on = flags & END_HEADERS == 0;
                }
                self.end_frame();
            }
        }
        untaken.half = self.half + if self.goes_on { HALF_HEAD_BYTES } else { 0 };
    }

    fn end_frame(&mut self) {
        if self.left == 0 && !self.goes_on {
            self.half = 0;
        }
    }
}

/// The parts of bodies and WebSockets that have arrived and wait inside hyper.
#[derive(Debug, Default)]
pub(super) struct Untaken {
    bytes: usize,
    /// Including all that they cost.
    cost: usize,
    /// What is not whole costs so much.
    half: usize,
    /// Requests that hyper has not begun.
    heads: usize,
}

impl Untaken {
    pub(super) fn cost(&self) -> usize {
        self.cost + self.half + self.heads * REQUEST_BYTES
    }

    /// hyper has begun one more request.
    pub(super) fn begin(&mut self) {
        self.heads = self.heads.saturating_sub(1);
    }

    /// hyper has begun, or refused, all that came.
    pub(super) fn begin_all(&mut self) {
        self.heads = 0;
    }

    /// No part of a body waits any more.
    pub(super) fn clear(&mut self) {
        (self.bytes, self.cost) = (0, 0);
    }

    fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.cost += bytes + FRAME_BYTES;
    }

    /// This many bytes no longer wait; with their share of the cost, since whoever reads them does not see frames.
    pub(super) fn remove(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            return self.clear();
        }
        self.cost -= (self.cost as u64 * bytes as u64 / self.bytes as u64) as usize;
        self.bytes -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// In pieces of each size.
    #[test]
    fn bodies_are_counted_and_nothing_else_is() {
        let (headers, data) = (frame(1, 4, b"a head"), frame(DATA, 0, b"abc"));
        let padded = frame(DATA, PADDED, b"\x02xy\0\0");
        let text = [PREFACE, &headers, &data, &frame(DATA, 1, b""), &padded, &headers].concat();
        for size in 1..=text.len() {
            let (mut frames, mut untaken) = (FrameProgress::new(), Untaken::default());
            text.chunks(size).for_each(|piece| frames.read(piece, &mut untaken));
            assert_eq!(untaken.bytes, 5, "{size}");
            assert!(untaken.cost >= 5 + FRAME_BYTES, "{size}");
        }
    }

    #[test]
    fn what_is_not_whole_is_counted_until_it_is() {
        let (mut frames, mut untaken) = (FrameProgress::new(), Untaken::default());
        frames.read(PREFACE, &mut untaken);
        for (kind, flags) in [(HEADERS, END_HEADERS), (0x42, 0)] {
            let whole = frame(kind, flags, &[0; 100]);
            frames.read(&whole[..100], &mut untaken);
            untaken.begin();
            assert_eq!(untaken.cost(), 100 - HEAD_BYTES);
            frames.read(&whole[100..], &mut untaken);
            assert_eq!(untaken.cost(), 0);
        }
        frames.read(&frame(HEADERS, 0, &[0; 100]), &mut untaken);
        untaken.begin();
        assert_eq!(untaken.cost(), 100 + HALF_HEAD_BYTES);
        frames.read(&frame(CONTINUATION, END_HEADERS, b""), &mut untaken);
        assert_eq!(untaken.cost(), 0);
    }

    #[test]
    fn a_request_that_has_come_is_counted_until_it_is_begun() {
        let (mut frames, mut untaken) = (FrameProgress::new(), Untaken::default());
        frames.read(PREFACE, &mut untaken);
        frames.read(&frame(HEADERS, END_HEADERS, b"a head").repeat(3), &mut untaken);
        assert_eq!(untaken.cost(), 3 * REQUEST_BYTES);
        untaken.begin();
        assert_eq!(untaken.cost(), 2 * REQUEST_BYTES);
        untaken.begin_all();
        assert_eq!(untaken.cost(), 0);
    }

    #[test]
    fn what_is_taken_takes_its_share_of_the_cost() {
        let mut untaken = Untaken::default();
        (0..100).for_each(|_| untaken.add(6));
        untaken.remove(300);
        assert_eq!(untaken.cost(), 50 * (6 + FRAME_BYTES));
        untaken.remove(301);
        assert_eq!((untaken.bytes, untaken.cost()), (0, 0));
    }
}
