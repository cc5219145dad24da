//! What a connection has received and not yet taken.
//!
//! Frames are slices of it, without a copy. So that none keeps much more alive than itself, what is left behind them is
//! copied before more is waited for; and all of it is what the memory budget is told.

use crate::link::Link;
use crate::link::budget::STEP_BYTES;
use crate::link::read_buffer::ReadBuffer;
use bytes::BytesMut;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use std::task::Context;

#[derive(Default)]
pub(super) struct InputBuffer {
    /// Without memory whenever the peer owes us nothing.
    pub(super) bytes: BytesMut,
    /// The memory is that of frames too, which were taken from it, or larger than what is in it.
    pub(super) is_shared: bool,
    /// The budget counts it.
    is_counted: bool,
    /// It may be as large as the longest frame, where one read is at most as large as a read buffer.
    is_grown: bool,
    /// Bytes that may still be read while the server drains, once some were.
    rest: Option<NonZeroU32>,
}

impl InputBuffer {
    /// What was read already.
    pub(super) fn begun(bytes: BytesMut) -> Self {
        Self { bytes, is_shared: true, is_grown: true, ..Self::default() }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Lets the worker have the memory, all of which was taken: for its next read, if no frame keeps it alive then.
    #[inline]
    pub(super) fn give_back(&mut self, link: &Link) {
        let bytes = std::mem::take(&mut self.bytes);
        if !self.is_grown {
            link.tick.read_buffer.lock().give_back(bytes);
        }
    }

    /// Drops it, and its memory. The budget hears of that when more is waited for.
    pub(super) fn clear(&mut self) {
        self.bytes = BytesMut::new();
    }

    /// Whether the `count` bytes that were just read, while the server drains, are the last: no more can have come before the
    /// drain than the `socket` holds.
    pub(super) fn is_last(&mut self, count: usize, socket: impl FnOnce() -> usize) -> bool {
        let rest = self.rest.map_or_else(socket, |rest| rest.get() as usize).saturating_sub(count);
        self.rest = NonZeroU32::new(u32::try_from(rest).unwrap_or(u32::MAX));
        self.rest.is_none()
    }

    /// Takes these bytes of what was read.
    #[inline]
    pub(super) fn receive(&mut self, read: &mut ReadBuffer, part: Range<usize>) {
        let count = part.len();
        if self.bytes.is_empty() {
            self.bytes = read.memory(count);
            // What a read leaves untaken is all that an idle connection may own.
            (self.is_shared, self.is_grown) = (self.bytes.capacity() > count, false);
        } else {
            if self.is_shared {
                // To grow where frames were taken from would keep their place as well, which `capacity` does not tell.
                let mut bytes = BytesMut::with_capacity(self.bytes.len() + count);
                bytes.extend_from_slice(&self.bytes);
                (self.bytes, self.is_shared) = (bytes, false);
            }
            self.is_grown = true;
        }
        self.bytes.extend_from_slice(&read.bytes[part]);
    }

    /// Has it counted, if it is much or memory is short: a rate, or a slow handler, may have its frames wait.
    #[inline]
    pub(super) fn count(&mut self, link: &Link) {
        if self.bytes.capacity() >= STEP_BYTES || link.tick.budget.is_exceeded() {
            self.is_counted = true;
            link.holding(self.bytes.capacity());
        }
    }

    /// The same where nothing more of it is taken for now: it may be little that was read before memory was short.
    pub(super) fn rest(&mut self, link: &Link) {
        if !self.is_counted {
            self.count(link);
        }
    }

    /// Waits for more, while `held` bytes are held beside it.
    #[inline]
    pub(super) fn wait(&mut self, link: &Arc<Link>, cx: &mut Context<'_>, held: usize) {
        if self.is_shared && !self.bytes.is_empty() {
            // A byte behind whole frames would keep all that came with them.
            (self.bytes, self.is_shared) = (BytesMut::from(&self.bytes[..]), false);
        }
        let held = held + self.bytes.capacity();
        link.waiting(cx, held, std::mem::replace(&mut self.is_counted, held > 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_behind_frames_keeps_no_place_of_theirs() {
        let (mut read, mut input) = (ReadBuffer::default(), InputBuffer::default());
        let whole = read.bytes.len();
        input.receive(&mut read, 0..whole);
        drop(input.bytes.split_to(whole - 1));
        input.is_shared = true;
        input.receive(&mut read, 0..whole);
        let counted = input.bytes.capacity();
        input.bytes.clear();
        assert!(!input.bytes.try_reclaim(counted + 1), "more is there than is counted");
    }
}
