//! What a handler sends within one poll, on its way to the outbox.
//!
//! The first frame takes the outbox's lock; those that follow in the same poll of the same task are encoded here, and
//! handed over under one lock when the poll ends, which is before the worker's tick can run. With 16 lines in one read
//! that is 2 locks instead of 16 (docs/decisions/0003).
//!
//! The place is per thread, because a task is polled by one thread at a time; nothing outlives a poll but the buffer.

use super::outbox::push_whole;
use super::peer::Peer;
use std::cell::Cell;
use std::sync::Arc;
use switchboard_proto::Output;

/// Staged frames are handed over beyond this, so that limits and the memory budget see them.
const MOST_BYTES: usize = 16 << 10;

thread_local! {
    static STAGED: Cell<Option<Box<Staged>>> = const { Cell::new(None) };
}

#[derive(Default)]
struct Staged {
    /// The address of the peer whose task is being polled; only compared, never followed.
    owner: usize,
    output: Output,
    frames: usize,
    /// Frames and bytes that the outbox had room for when it was last locked; none before the first frame.
    room: (usize, usize),
}

fn address(peer: &Arc<Peer>) -> usize {
    Arc::as_ptr(peer).addr()
}

/// Whether it is `peer`'s own task that is being polled.
pub(super) fn is_polling(peer: &Arc<Peer>) -> bool {
    let staged = STAGED.take();
    let polling = staged.as_ref().is_some_and(|staged| staged.owner == address(peer));
    STAGED.set(staged);
    polling
}

/// Starts a poll of `peer`'s task.
pub(super) fn begin(peer: &Arc<Peer>) {
    let mut staged = STAGED.take().unwrap_or_default();
    (staged.owner, staged.room) = (address(peer), (0, 0));
    STAGED.set(Some(staged));
}

/// Ends a poll of `peer`'s task, and hands over what was staged.
pub(super) fn end(peer: &Arc<Peer>, hand_over: impl FnOnce(&mut Output, usize)) {
    take(peer, hand_over);
    if let Some(mut staged) = STAGED.take() {
        staged.owner = 0;
        STAGED.set(Some(staged));
    }
}

/// Stages a frame, or gives `encode` back if the outbox must be asked.
pub(super) fn push<E: FnOnce(&mut Output)>(peer: &Arc<Peer>, encode: E) -> Option<E> {
    let Some(mut staged) = STAGED.take() else { return Some(encode) };
    let (bytes, frames) = staged.room;
    let refused = if staged.owner == address(peer) && staged.output.len() < bytes && staged.frames < frames {
        push_whole(&mut staged.output, encode);
        staged.frames += 1;
        None
    } else {
        Some(encode)
    };
    STAGED.set(Some(staged));
    refused
}

/// Lets the frames that follow in this poll be staged, as far as there is room.
pub(super) fn open(peer: &Arc<Peer>, (bytes, frames): (usize, usize)) {
    let Some(mut staged) = STAGED.take() else { return };
    if staged.owner == address(peer) {
        staged.room = (bytes.min(MOST_BYTES), frames);
    }
    STAGED.set(Some(staged));
}

/// Hands over what was staged for `peer`, if anything.
pub(super) fn take(peer: &Arc<Peer>, hand_over: impl FnOnce(&mut Output, usize)) {
    let Some(mut staged) = STAGED.take() else { return };
    if staged.frames > 0 && staged.owner == address(peer) {
        hand_over(&mut staged.output, staged.frames);
        staged.frames = 0;
    }
    staged.room = (0, 0);
    STAGED.set(Some(staged));
}
