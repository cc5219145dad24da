//! Where a worker's reads go first, and memory for what they bring, which it keeps from one read to the next.

use super::budget::STEP_BYTES;
use bytes::BytesMut;

/// One read takes at most this: it drains a socket of a thousand short lines, and fits the second-level cache.
const READ_BYTES: usize = 64 << 10;

pub(crate) struct ReadBuffer {
    pub(crate) bytes: Box<[u8]>,
    /// What the last read stood in that was taken whole. Frames may still be in it.
    spare: BytesMut,
}

impl Default for ReadBuffer {
    fn default() -> Self {
        Self { bytes: vec![0; READ_BYTES].into(), spare: BytesMut::new() }
    }
}

impl ReadBuffer {
    /// Memory for `count` bytes: the spare one, unless a frame is left in it, or it is so large that a frame which is kept of
    /// these would keep much more alive. To allocate costs as much as two lines do, or more (glibc, above 1,032 bytes).
    #[inline]
    pub(crate) fn memory(&mut self, count: usize) -> BytesMut {
        // What is read while memory is short is less than a step, and must not be charged as one.
        let most = if count < STEP_BYTES { (2 * count).min(STEP_BYTES - 1) } else { 2 * count };
        let mut spare = std::mem::take(&mut self.spare);
        // One byte more than is free behind what was read, so that it begins anew at its front: else its capacity would be `count`,
        // however large it is.
        if spare.try_reclaim(count.max(spare.capacity() + 1)) && spare.capacity() <= most {
            return spare;
        }
        BytesMut::with_capacity(count)
    }

    /// Takes the memory of a read back, all of which was taken.
    #[inline]
    pub(crate) fn give_back(&mut self, memory: BytesMut) {
        self.spare = memory;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `count` bytes and takes them as one frame, which is in the memory whose address is given as well.
    fn read(buffer: &mut ReadBuffer, count: usize) -> (BytesMut, usize) {
        let mut memory = buffer.memory(count);
        memory.extend_from_slice(&buffer.bytes[..count]);
        let frame = memory.split();
        buffer.give_back(memory);
        let address = frame.as_ptr().addr();
        (frame, address)
    }

    #[test]
    fn memory_is_used_again_once_no_frame_is_in_it() {
        let mut buffer = ReadBuffer::default();
        let (kept, first) = read(&mut buffer, 1000);
        let (frame, second) = read(&mut buffer, 1000);
        assert_ne!(second, first, "a frame was kept");
        drop(frame);
        let (_, third) = read(&mut buffer, 600);
        assert_eq!(third, second);
        drop(kept);
    }

    #[test]
    fn a_frame_keeps_no_memory_alive_that_is_much_larger_than_its_read() {
        let mut buffer = ReadBuffer::default();
        drop(read(&mut buffer, READ_BYTES));
        assert_eq!(buffer.memory(100).capacity(), 100);
        // Nor if the last read did not fill it.
        drop(read(&mut buffer, READ_BYTES));
        drop(read(&mut buffer, READ_BYTES - 3500));
        assert!(!buffer.memory(3000).try_reclaim(3001), "more is there than is told");
        // And it is not kept for a read that may come.
        assert_eq!(buffer.memory(READ_BYTES / 2).capacity(), READ_BYTES / 2);
    }
}
