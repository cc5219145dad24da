//! Encoded bytes on their way out, in order.
//!
//! Small pieces are copied behind each other, so that many small frames leave as one slice; large ones are shared.
//! Knows nothing of sockets or limits: the outbox bounds it, a sink empties it.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::IoSlice;

/// From this size on a shared piece is kept by reference: below it a copy is cheaper than an entry of its own.
pub(crate) const SHARE_BYTES: usize = 1024;

/// Up to so much is copied when it has to wait, so that it keeps no memory alive that is much larger: less than copying costs
/// what a write does.
const LITTLE_BYTES: usize = 8 << 10;

/// The first allocation for copied pieces: one for most ticks, and small enough to give back each time.
const FIRST_BYTES: usize = 512;

/// A queue of bytes to be written, filled by [`Codec::encode`](crate::Codec::encode).
#[derive(Debug, Default)]
pub struct Output {
    /// Closed pieces, oldest first; the front one may be partly written.
    pieces: VecDeque<Bytes>,
    /// Copied bytes behind `pieces`, still growing.
    tail: Vec<u8>,
    /// Bytes of `tail` that are written already; not zero only while `pieces` is empty.
    tail_written: usize,
    len: usize,
}

impl Output {
    /// Copies `bytes` to the end.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        if self.tail.capacity() - self.tail.len() < bytes.len() {
            self.make_room(bytes.len());
        }
        self.tail.extend_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Appends `bytes`, without copying them if they are large enough for that to pay off.
    #[inline]
    pub fn share(&mut self, bytes: Bytes) {
        if bytes.len() < SHARE_BYTES { self.put(&bytes) } else { self.keep(bytes) }
    }

    /// Apart, and so is [`make_room`](Self::make_room): what is done for each small frame is no call.
    #[inline(never)]
    fn keep(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        self.seal_tail();
        self.pieces.push_back(bytes);
    }

    /// Moves everything from `other` to the end, in order. `other` keeps the memory of its copied pieces for reuse.
    pub fn append(&mut self, other: &mut Self) {
        for piece in other.pieces.drain(..) {
            self.len += piece.len();
            self.seal_tail();
            self.pieces.push_back(piece);
        }
        let tail = &other.tail[other.tail_written..];
        if !tail.is_empty() {
            self.put(tail);
        }
        other.tail.clear();
        (other.tail_written, other.len) = (0, 0);
    }

    /// Everything as one piece of memory that is not much larger.
    pub fn into_bytes(mut self) -> Bytes {
        if self.pieces.is_empty() {
            if self.tail.len() < self.tail.capacity() / 2 {
                self.tail.shrink_to_fit();
            }
            return Bytes::from(self.tail).slice(self.tail_written..);
        }
        self.seal_tail();
        if self.pieces.len() == 1 {
            return self.pieces.swap_remove_front(0).unwrap_or_default();
        }
        let mut bytes = Vec::with_capacity(self.len);
        self.pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        bytes.into()
    }

    /// Bytes not yet written.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory behind those, including space reserved for copies.
    pub fn held_bytes(&self) -> usize {
        self.len + (self.tail.capacity() - self.tail.len()) + self.tail_written
    }

    /// Whether everything is written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts the front of the queue into `slices` and returns how many were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = &self.tail[self.tail_written..];
        let tail = (!tail.is_empty()).then_some(tail);
        let all = self.pieces.iter().map(Bytes::as_ref).chain(tail);
        let mut filled = 0;
        for (slot, piece) in slices.iter_mut().zip(all) {
            *slot = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    /// The front of the queue, empty when all is written.
    #[inline]
    pub fn front(&self) -> &[u8] {
        self.pieces.front().map_or(&self.tail[self.tail_written..], Bytes::as_ref)
    }

    /// Drops the first `written` bytes. Memory is given back once the queue is empty.
    ///
    /// # Panics
    /// If `written` is more than [`len`](Self::len).
    pub fn advance(&mut self, written: usize) {
        self.consume(written);
        if self.len == 0 {
            self.clear();
        }
    }

    /// Drops the first `written` bytes, and keeps the memory of copied pieces for later ones.
    ///
    /// # Panics
    /// If `written` is more than [`len`](Self::len).
    #[inline]
    pub fn consume(&mut self, mut written: usize) {
        assert!(written <= self.len, "more written than queued");
        self.len -= written;
        if self.len == 0 {
            // To clear what is empty costs a call.
            if !self.pieces.is_empty() {
                self.pieces.clear();
            }
            self.tail.clear();
            self.tail_written = 0;
            return;
        }
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
        self.tail_written += written;
    }

    /// Copies what is left, if that is little: shared pieces may be parts of something large, which they keep alive.
    /// For output that has to wait.
    pub fn let_go(&mut self) {
        if self.pieces.is_empty() || self.len > LITTLE_BYTES {
            return;
        }
        let mut rest = Vec::with_capacity(self.len);
        self.pieces.iter().for_each(|piece| rest.extend_from_slice(piece));
        rest.extend_from_slice(&self.tail[self.tail_written..]);
        (self.pieces, self.tail, self.tail_written) = (VecDeque::new(), rest, 0);
    }

    /// Drops everything, and its memory.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Cuts the end off, back to a length that [`len`](Self::len) gave before; for an encoder that failed. Memory is
    /// given back once the queue is empty.
    ///
    /// # Panics
    /// If `len` is more than there is.
    pub fn truncate(&mut self, len: usize) {
        assert!(len <= self.len, "an output grows only at its end");
        if len == 0 {
            return self.clear();
        }
        let mut surplus = self.len - len;
        self.len = len;
        let from_tail = surplus.min(self.tail.len() - self.tail_written);
        self.tail.truncate(self.tail.len() - from_tail);
        surplus -= from_tail;
        while surplus > 0 {
            let Some(piece) = self.pieces.back_mut() else { unreachable!("the length counts every piece") };
            let cut = surplus.min(piece.len());
            piece.truncate(piece.len() - cut);
            surplus -= cut;
            if piece.is_empty() {
                self.pieces.pop_back();
            }
        }
    }

    /// Room for `bytes` more in the tail, in place of what is written of it where that is enough.
    #[cold]
    fn make_room(&mut self, bytes: usize) {
        // A queue that never empties must not keep all that it ever held. Only from half the tail on, so that each byte
        // written pays for at most one byte moved.
        if self.tail_written >= self.tail.len() - self.tail_written {
            self.tail.drain(..self.tail_written);
            self.tail_written = 0;
        }
        self.tail.reserve(FIRST_BYTES.max(bytes));
    }

    fn seal_tail(&mut self) {
        if self.tail.len() > self.tail_written {
            let tail = Bytes::from(std::mem::take(&mut self.tail));
            self.pieces.push_back(tail.slice(self.tail_written..));
        }
        self.tail_written = 0;
        self.tail.clear();
    }
}

impl Extend<u8> for Output {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, bytes: T) {
        for byte in bytes {
            self.put(&[byte]);
        }
    }
}

#[cfg(test)]
mod tests {
    //! What memory is held, which nobody outside can see; what bytes are, is in `tests/output.rs`.

    use super::*;

    fn filled() -> Output {
        let mut output = Output::default();
        output.put(b"copied");
        output.share(vec![b'x'; SHARE_BYTES].into());
        output.put(b"copied too");
        output
    }

    #[test]
    fn an_output_that_is_all_written_holds_no_memory() {
        let mut output = filled();
        output.advance(output.len());
        assert_eq!(output.held_bytes(), 0);
    }

    #[test]
    fn an_output_that_is_cleared_holds_no_memory() {
        let mut output = filled();
        output.clear();
        assert_eq!(output.held_bytes(), 0);
    }

    #[test]
    fn an_output_that_is_cut_to_nothing_holds_no_memory() {
        let mut output = filled();
        output.truncate(0);
        assert_eq!(output.held_bytes(), 0);
    }

    #[test]
    fn an_output_that_was_appended_keeps_the_memory_of_its_tail_alone() {
        let (mut output, mut staged) = (Output::default(), filled());
        let tail = staged.tail.capacity();
        output.append(&mut staged);
        assert_eq!(staged.held_bytes(), tail);
    }

    #[test]
    fn little_that_waits_keeps_nothing_large_alive() {
        let read = Bytes::from(vec![b'x'; 64 << 10]);
        let mut output = Output::default();
        output.share(read.slice(..60 << 10));
        output.put(b"copied");
        output.share(read.slice(60 << 10..));
        output.put(b"copied too");
        output.let_go();
        assert!(!read.is_unique(), "it is much, and stays what it is");
        output.advance(60 << 10);
        output.let_go();
        assert!(read.is_unique());
        assert_eq!((output.len(), output.held_bytes()), (16 + (4 << 10), 16 + (4 << 10)));
        assert_eq!(
            (&output.front()[..7], &output.front()[output.len() - 11..]),
            (&b"copiedx"[..], &b"xcopied too"[..])
        );
        // What was written of it stays written.
        output.advance(6);
        output.let_go();
        assert_eq!(&output.front()[..2], b"xx");
    }

    #[test]
    fn nothing_takes_no_memory() {
        let mut output = Output::default();
        output.put(b"");
        output.share(Bytes::new());
        assert_eq!(output.held_bytes(), 0);
    }

    /// A peer that reads a little slower than others send never empties its queue; the written part must not pile up.
    #[test]
    fn an_output_that_is_never_empty_does_not_grow() {
        let mut output = Output::default();
        output.put(&[b'x'; 1000]);
        for _ in 0..10_000 {
            output.put(&[b'x'; 100]);
            output.advance(100);
        }
        assert!(output.held_bytes() <= 4 * 1100, "{} bytes are held for 1000", output.held_bytes());
    }
}
