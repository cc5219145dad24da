//! What a handler sends within one poll.
//!
//! Frames are encoded here without a lock, and leave when the poll ends: straight from here to the socket if nothing is
//! queued before them, else behind what is. A batch of lines costs one lock and one system call, and its bytes are still
//! in the cache when they are written (docs/decisions/0003).
//!
//! It is thread-local, because one thread polls a task at a time; nothing outlives a poll except the buffer.

use super::Link;
use super::outbox::push_whole;
use std::cell::Cell;
use std::sync::Arc;
use switchboard_proto::Output;

/// Beyond this the outbox is asked, so that limits and the memory budget see what is sent.
pub(super) const MOST_BYTES: usize = 16 << 10;

crate::sync::thread_local! {
    /// the address of the link whose task is being polled; only compared, never followed.
    static OWNER: Cell<usize> = const { Cell::new(0) };
    static STAGED: Cell<Option<Box<Staged>>> = const { Cell::new(None) };
}

#[derive(Default)]
struct Staged {
    output: Output,
    frames: usize,
    /// Bytes and frames that may be staged.
    space: (usize, usize),
}

/// What is staged, taken for one call and put back after it, also if that unwinds.
struct Taken(Option<Box<Staged>>);

impl Taken {
    /// Taken, if it is `link`'s own task that is being polled.
    #[inline]
    fn by(link: &Arc<Link>) -> Option<Self> {
        if !is_polling(link) {
            return None;
        }
        let staged = STAGED.with(Cell::take)?;
        Some(Self(Some(staged)))
    }

    #[inline]
    fn staged(&mut self) -> &mut Staged {
        let Some(staged) = &mut self.0 else { unreachable!("until it is put back") };
        staged
    }

    /// Has so many bytes and frames be staged, at most.
    #[inline]
    fn opens(&mut self, (bytes, frames): (usize, usize)) {
        self.staged().space = (bytes.min(MOST_BYTES), frames);
    }

    /// Like dropping it, where nothing unwinds. It runs for every frame, so it avoids drop code for what cannot be
    /// there.
    #[inline]
    fn put_back(mut self) {
        let staged = self.0.take();
        std::mem::forget((STAGED.with(|place| place.replace(staged)), self));
    }
}

impl Drop for Taken {
    #[inline]
    fn drop(&mut self) {
        STAGED.with(|place| place.set(self.0.take()));
    }
}

#[inline]
fn address(link: &Arc<Link>) -> usize {
    Arc::as_ptr(link).addr()
}

/// Whether it is `link`'s own task that is being polled.
#[inline]
pub(super) fn is_polling(link: &Arc<Link>) -> bool {
    OWNER.with(Cell::get) == address(link)
}

/// Starts a poll of `link`'s task, in which `space` bytes and frames may be staged.
#[inline]
pub(super) fn begin(link: &Arc<Link>, space: (usize, usize)) {
    OWNER.with(|owner| owner.set(address(link)));
    let mut taken = Taken(Some(STAGED.with(Cell::take).unwrap_or_default()));
    taken.opens(space);
    taken.put_back();
}

/// Ends a poll of `link`'s task, and hands over what was staged.
#[inline]
pub(super) fn end(link: &Arc<Link>, hand_over: impl FnOnce(&mut Output, usize)) {
    take(link, hand_over);
    if is_polling(link) {
        OWNER.with(|owner| owner.set(0));
    }
}

/// Stages a frame, which counts as `count`, or gives `encode` back if the outbox must be asked.
#[inline]
pub(super) fn push<E: FnOnce(&mut Output)>(link: &Arc<Link>, count: usize, encode: E) -> Option<E> {
    let Some(mut taken) = Taken::by(link) else { return Some(encode) };
    let staged = taken.staged();
    let (bytes, frames) = staged.space;
    let has_space = staged.output.len() < bytes && staged.frames < frames;
    let refused = if has_space {
        push_whole(&mut staged.output, encode);
        staged.frames += count;
        None
    } else {
        Some(encode)
    };
    taken.put_back();
    refused
}

/// Lets frames that follow in this poll be staged, as far as there is space.
#[inline]
pub(super) fn open(link: &Arc<Link>, space: (usize, usize)) {
    if let Some(mut taken) = Taken::by(link) {
        taken.opens(space);
        taken.put_back();
    }
}

/// Hands over what was staged for `link`, if anything, and lets nothing more be staged.
#[inline]
pub(super) fn take(link: &Arc<Link>, hand_over: impl FnOnce(&mut Output, usize)) {
    let Some(mut taken) = Taken::by(link) else { return };
    taken.staged().space = (0, 0);
    // In any case: what cannot be handed over ends with its connection, and must not reach the next one.
    if let Some(mut staged) = taken.0.take_if(|staged| staged.frames > 0) {
        let frames = std::mem::take(&mut staged.frames);
        hand_over(&mut staged.output, frames);
        let rest = staged.output.len();
        if rest > 0 {
            staged.output.consume(rest);
        }
        taken.0 = Some(staged);
    }
    taken.put_back();
}
