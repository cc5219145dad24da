//! One connection's outbound queue.
//!
//! Whoever sends pushes and never writes; a flush takes as much as the socket does. What others deliver waits in
//! [`Deferred`], where it can still be dropped. Its bounds are for what the socket does not take: whoever finds that
//! something would be dropped ([`Outbox::lacks_space`]) flushes first, and looks again. Knows nothing of tasks or deadlines:
//! it is told the second, and says what happened. Bounded by its owner, see [`Outbox::is_full`].

mod shares;

use super::ConnectionId;
use super::Sink;
use super::budget::{Budget, Charge};
use super::delivery::Deferred;
use crate::turn::{CALL_BYTES, Turn};
use bytes::Bytes;
use shares::{Private, give_back};
use std::any::Any;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};
use switchboard_proto::{CloseReason, Output, Second, Stamp};

/// Slices given to one vectored write: 1 KiB of stack; more pieces take more writes.
const SLICES: usize = 64;

/// Writes and bytes in one flush before others get their turn.
const WRITES: usize = 16;
const FLUSH_BYTES: u64 = 256 << 10;

/// What is queued for one connection, and where it goes.
pub(crate) struct Outbox {
    /// None while it is empty: at any time most connections have nothing queued.
    queue: Option<Box<Queue>>,
    sink: Option<Box<dyn Sink>>,
    /// Whether the worker's tick has been told; it flushes once for all that was queued until then.
    pub(super) dirty: bool,
    /// The socket took no more: the connection's task goes on when it does, and since when it has not.
    blocked_since: Stamp,
    pub(super) charge: Charge,
    /// Bytes that were queued when it was shed.
    shed_bytes: u32,
    /// Private messages to this connection, as long as any of them wait.
    private: Option<Box<Private>>,
}

#[derive(Default)]
struct Queue {
    output: Output,
    /// Bytes and frames in `output` that count towards the bounds, about.
    counted: (usize, usize),
    /// Behind `output`, if there is anything that others delivered.
    deferred: Option<Box<dyn Deferred>>,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.output.is_empty() && !self.is_deferring()
    }

    fn is_deferring(&self) -> bool {
        self.deferred.as_ref().is_some_and(|deferred| !deferred.is_empty())
    }

    fn bytes(&self) -> usize {
        self.output.len() + self.deferred.as_ref().map_or(0, |deferred| deferred.bytes())
    }

    /// Bytes of memory.
    fn held_bytes(&self) -> usize {
        let deferred = self.deferred.as_ref().map_or(0, |deferred| deferred.bytes() + deferred.entry_bytes());
        self.output.held_bytes() + deferred
    }

    /// Bytes and frames that count towards the bounds.
    fn counted(&self) -> (usize, usize) {
        let deferred = self.deferred.as_ref().map_or((0, 0), |deferred| deferred.counted());
        (self.counted.0 + deferred.0, self.counted.1 + deferred.1)
    }
}

/// What waited cannot be sent, so the connection ends.
#[derive(Debug, thiserror::Error)]
#[error("cannot send what was queued: {0}")]
pub(super) struct Unsendable(pub(super) CloseReason);

/// What a flush came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// All is written that could be.
    Clean,
    /// The socket takes no more now.
    Blocked,
    /// The socket takes more, but others want to be written too.
    Again,
}

impl Outbox {
    pub(crate) fn new(sink: Box<dyn Sink>) -> Self {
        Self {
            queue: None,
            sink: Some(sink),
            dirty: false,
            blocked_since: Stamp::NONE,
            charge: Charge::default(),
            shed_bytes: 0,
            private: None,
        }
    }

    fn queue(&mut self) -> &mut Queue {
        self.queue.get_or_insert_default()
    }

    /// Queues one frame, which counts as `frames`, written by `encode`; nothing of it if `encode` unwinds.
    pub(crate) fn push(&mut self, frames: usize, encode: impl FnOnce(&mut Output)) {
        let queue = self.queue();
        if let Some(deferred) = queue.deferred.as_mut().filter(|deferred| !deferred.is_empty()) {
            let mut output = Output::default();
            push_whole(&mut output, encode);
            deferred.keep(output.into_bytes());
        } else {
            let before = queue.output.len();
            push_whole(&mut queue.output, encode);
            queue.counted.0 += queue.output.len() - before;
            queue.counted.1 += frames;
        }
    }

    /// Queues frames that were encoded elsewhere.
    pub(crate) fn append(&mut self, output: &mut Output, frames: usize) {
        let queue = self.queue();
        if let Some(deferred) = queue.deferred.as_mut().filter(|deferred| !deferred.is_empty()) {
            deferred.keep(std::mem::take(output).into_bytes());
        } else {
            queue.counted.0 += output.len();
            queue.counted.1 += frames;
            queue.output.append(output);
        }
    }

    /// Whether all that could be written is, and what comes next is fetched first.
    pub(super) fn is_fetching(&self) -> bool {
        let Some(queue) = &self.queue else { return false };
        queue.output.is_empty() && queue.deferred.as_ref().is_some_and(|deferred| deferred.is_fetching())
    }

    /// Whether there is no space within `(bytes, frames)` for one more frame of `size` bytes.
    pub(crate) fn lacks_space(&self, size: usize, (bytes, frames): (usize, usize)) -> bool {
        // A socket that may take it at once has space.
        let Some(queue) = &self.queue else { return self.is_blocked() && size > bytes };
        let counted = queue.counted();
        counted.0 + size > bytes || counted.1 >= frames
    }

    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked_since.get().is_some()
    }

    /// Bytes and frames that count and cannot be dropped any more.
    pub(crate) fn moved(&self) -> (usize, usize) {
        self.queue.as_ref().map_or((0, 0), |queue| queue.counted)
    }

    /// Counts a frame of `length` bytes that `from` says to this one alone, unless it has as much waiting as it may have of
    /// `bounds`.
    pub(super) fn expect(&mut self, from: ConnectionId, length: usize, bounds: (usize, usize)) -> bool {
        let private = self.private.get_or_insert_default();
        let is_taken = private.shares.take(from, length, bounds);
        private.under_way += usize::from(is_taken);
        is_taken
    }

    /// A frame that was expected is here; it is not queued unless the connection `is_open`. Says whether it is to be.
    pub(super) fn arrived(&mut self, from: ConnectionId, length: usize, is_open: bool) -> bool {
        // None if it was closed meanwhile.
        let Some(private) = &mut self.private else { return false };
        private.under_way -= 1;
        if !is_open {
            give_back(&mut self.private, from, length);
        }
        is_open
    }

    /// Whether a frame that was expected is still on its way.
    pub(super) fn expects(&self) -> bool {
        self.private.as_ref().is_some_and(|private| private.under_way > 0)
    }

    /// What waits behind everything else, if anything does.
    pub(crate) fn known_deferred<W: Deferred>(&self) -> Option<&W> {
        let deferred: &dyn Any = self.queue.as_ref()?.deferred.as_deref()?;
        deferred.downcast_ref()
    }

    /// What waits behind everything else, made if nothing does.
    pub(crate) fn deferred<W: Deferred + Default>(&mut self) -> &mut W {
        let deferred: &mut dyn Any = &mut **self.queue().deferred.get_or_insert_with(|| Box::new(W::default()));
        let Some(deferred) = deferred.downcast_mut() else { unreachable!("all that waits is of one type") };
        deferred
    }

    /// Bytes and frames that may still be queued.
    pub(crate) fn space(&self, bytes: usize, frames: usize) -> (usize, usize) {
        let counted = self.counted();
        (bytes.saturating_sub(counted.0), frames.saturating_sub(counted.1))
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.is_empty())
    }

    /// What the budget counts: the bytes, the space that small ones are put in, an entry for each frame that can still be dropped,
    /// each replay and gap, and what the sink has on its way to a socket that takes no more. Most have none of it.
    #[inline]
    pub(crate) fn held_bytes(&self) -> usize {
        if self.queue.is_none() && !self.is_blocked() { 0 } else { self.held_somewhere() }
    }

    /// Has the budget count it: to the last byte while the socket takes no more, which may be for long.
    #[inline]
    pub(super) fn recount(&mut self, budget: &Budget) {
        let held = self.held_bytes();
        if self.is_blocked() { self.charge.keep(held, budget) } else { self.charge.set(held, budget) }
    }

    fn held_somewhere(&self) -> usize {
        let queued = self.queue.as_ref().map_or(0, |queue| queue.held_bytes());
        let blocked = self.sink.as_ref().filter(|_| self.blocked_since.get().is_some());
        queued + blocked.map_or(0, |sink| sink.held_bytes())
    }

    fn queued_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes())
    }

    fn counted(&self) -> (usize, usize) {
        self.queue.as_ref().map_or((0, 0), |queue| queue.counted())
    }

    /// Bytes and frames that wait for the socket, of which some do not count towards its bounds.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let (bytes, frames) = self.counted();
        (bytes.max(self.queued_bytes()), frames)
    }

    pub(crate) fn is_full(&self, bytes: usize, frames: usize) -> bool {
        let counted = self.counted();
        counted.0 >= bytes || counted.1 >= frames
    }

    /// Whether a sender that waited for space should go on: half empty, so that it does not wake for each frame.
    pub(crate) fn has_space(&self, bytes: usize, frames: usize) -> bool {
        let counted = self.counted();
        counted.0 <= bytes / 2 && counted.1 <= frames / 2
    }

    /// Whether shared bytes may be written past the queue, because there is nothing in it.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        !self.dirty && !self.is_blocked() && self.is_empty()
    }

    /// Writes `output` past the empty queue; what the socket does not take is queued.
    #[inline]
    pub(crate) fn write_staged(
        &mut self,
        now: Second,
        output: &mut Output,
        frames: usize,
        written: &mut u64,
    ) -> io::Result<Flushed> {
        for _ in 0..WRITES {
            let Some(sink) = self.sink.as_deref_mut() else { return Err(io::ErrorKind::BrokenPipe.into()) };
            match write_front(output, |slices| sink.try_write(slices)) {
                Ok(count) => {
                    *written += count as u64;
                    output.consume(count);
                    if output.is_empty() {
                        return Ok(Flushed::Clean);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.append(output, frames);
                    self.block(now);
                    return Ok(Flushed::Blocked);
                }
                Err(error) => return Err(error),
            }
        }
        self.append(output, frames);
        Ok(Flushed::Again)
    }

    /// Writes shared bytes past the empty queue, and says how many are taken, and whether the socket takes more. If they are
    /// not all, those up to `whole(taken)` count as taken too, and are queued: the rest of what was cut.
    #[inline]
    pub(crate) fn write_through(
        &mut self,
        now: Second,
        bytes: &Bytes,
        written: &mut u64,
        whole: impl FnOnce(usize) -> usize,
    ) -> io::Result<(usize, Flushed)> {
        let Some(sink) = self.sink.as_deref_mut() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let (mut taken, mut flushed) = (0, Flushed::Again);
        for _ in 0..WRITES {
            match sink.try_write(&[IoSlice::new(&bytes[taken..])]) {
                Ok(count) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    flushed = Flushed::Blocked;
                    break;
                }
                Err(error) => return Err(error),
            }
            if taken == bytes.len() {
                *written += taken as u64;
                return Ok((taken, Flushed::Clean));
            }
        }
        *written += taken as u64;
        let cut = whole(taken + sink.committed_bytes());
        if flushed == Flushed::Blocked {
            self.block(now);
        }
        if cut > taken {
            // A small rest must not keep all of it alive.
            let rest = bytes.slice(taken..cut);
            let rest = if rest.len() < bytes.len() / 2 { Bytes::copy_from_slice(&rest) } else { rest };
            let queue = self.queue();
            queue.output.share(rest);
            queue.counted = (cut - taken, 1);
        }
        Ok((cut, flushed))
    }

    /// The second of the last progress, if the socket takes no more.
    pub(crate) fn blocked_since(&self) -> Option<Second> {
        self.blocked_since.get()
    }

    /// Notes that the socket takes no more, for the deadline. A little that is left must not keep all of a read alive.
    pub(super) fn block(&mut self, now: Second) {
        if let Some(queue) = &mut self.queue {
            queue.output.let_go();
        }
        if self.blocked_since.get().is_none() {
            self.blocked_since = Stamp::at(now);
            if let Some(deferred) = self.queue.as_mut().and_then(|queue| queue.deferred.as_mut()) {
                deferred.let_go();
            }
        }
    }

    /// Drops what is queued, for a socket that takes nothing more, ever: no deadline runs for it.
    pub(super) fn discard(&mut self, budget: &Budget) {
        drop(self.take(budget));
    }

    /// Gives up what is queued for the memory that it takes; it counts as unwritten, and is the caller's to drop: values of the
    /// user's may be in it.
    #[must_use]
    pub(super) fn shed(&mut self, budget: &Budget) -> impl Sized + use<> {
        self.shed_bytes = u32::try_from(self.queued_bytes()).unwrap_or(u32::MAX);
        self.take(budget)
    }

    fn take(&mut self, budget: &Budget) -> Option<Box<Queue>> {
        self.blocked_since = Stamp::NONE;
        let queue = self.queue.take();
        // What the sink has on its way goes with it.
        self.charge.keep(self.sink.as_ref().map_or(0, |sink| sink.held_bytes()), budget);
        queue
    }

    /// Writes what the socket takes at once.
    pub(crate) fn try_flush(&mut self, now: Second, written: &mut u64) -> io::Result<Flushed> {
        for _ in 0..WRITES {
            match self.write_some(now, written, |sink, slices| Poll::Ready(sink.try_write(slices))) {
                Poll::Ready(Ok(())) if self.is_empty() || self.is_fetching() => {
                    self.blocked_since = Stamp::NONE;
                    return Ok(Flushed::Clean);
                }
                Poll::Ready(Ok(())) if *written >= FLUSH_BYTES => break,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.block(now);
                    return Ok(Flushed::Blocked);
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => unreachable!("try_write does not wait"),
            }
        }
        Ok(Flushed::Again)
    }

    /// Writes everything, or wakes the task when the socket takes more.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>, now: Second, written: &mut u64) -> Poll<io::Result<()>> {
        let mut turn = Turn::default();
        while !self.is_empty() {
            let before = *written;
            match self.write_some(now, written, |sink, slices| sink.poll_write(cx, slices)) {
                Poll::Ready(Ok(())) if self.is_fetching() => break,
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    self.block(now);
                    return Poll::Pending;
                }
            }
            // A reader as fast as the server would otherwise keep the worker to itself.
            if turn.is_over(CALL_BYTES + (*written - before) as usize) && !self.is_empty() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        self.blocked_since = Stamp::NONE;
        Poll::Ready(Ok(()))
    }

    /// One write from the front of the queue. Progress renews the deadline of a blocked outbox.
    fn write_some(
        &mut self,
        now: Second,
        written: &mut u64,
        write: impl FnOnce(&mut dyn Sink, &[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        let (Some(sink), Some(queue)) = (self.sink.as_deref_mut(), self.queue.as_deref_mut()) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if queue.output.is_empty() {
            queue.counted = (0, 0);
            if let Some(deferred) = &mut queue.deferred {
                let private = &mut self.private;
                let refilled = deferred.refill(&mut queue.output, &mut |from, length| give_back(private, from, length));
                queue.counted = refilled.map_err(|reason| io::Error::other(Unsendable(reason)))?;
                if deferred.is_empty() {
                    queue.deferred = None;
                }
            }
            if queue.output.is_empty() {
                // Nothing that could be told.
                if queue.deferred.is_none() {
                    self.queue = None;
                }
                return Poll::Ready(Ok(()));
            }
        }
        let result = write_front(&queue.output, |slices| write(sink, slices));
        let Poll::Ready(result) = result else { return Poll::Pending };
        let count = match result {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => count,
            Err(error) => return Poll::Ready(Err(error)),
        };
        *written += count as u64;
        if self.blocked_since.get().is_some() {
            self.blocked_since = Stamp::at(now);
        }
        let before = queue.output.len();
        queue.output.advance(count);
        if queue.is_empty() {
            self.queue = None;
        } else {
            // In proportion, since nothing looks for frames in what was written: 0 when the output is empty.
            let rest = |counted: usize| (counted * queue.output.len()).div_ceil(before);
            queue.counted = (rest(queue.counted.0), rest(queue.counted.1));
        }
        Poll::Ready(Ok(()))
    }

    /// The sink, until the outbox is closed.
    pub(crate) fn sink(&mut self) -> Option<&mut (dyn Sink + 'static)> {
        self.sink.as_deref_mut()
    }

    /// Drops what is queued, and the socket's write side with it. Says how many bytes were not written.
    pub(crate) fn close(&mut self) -> usize {
        let unwritten = self.queued_bytes() + self.shed_bytes as usize;
        self.queue = None;
        self.blocked_since = Stamp::NONE;
        self.sink = None;
        self.private = None;
        unwritten
    }
}

/// Encodes one frame to the end of `output`, or nothing if `encode` unwinds: half a frame would corrupt all that follow.
#[inline]
pub(super) fn push_whole(output: &mut Output, encode: impl FnOnce(&mut Output)) {
    struct Whole<'a>(&'a mut Output, Option<usize>);
    impl Drop for Whole<'_> {
        fn drop(&mut self) {
            if let Some(length) = self.1 {
                self.0.truncate(length);
            }
        }
    }
    let length = output.len();
    let mut whole = Whole(output, Some(length));
    encode(whole.0);
    whole.1 = None;
}

/// Writes from the front of `output`, as much as one call takes.
#[inline]
fn write_front<T>(output: &Output, write: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
    let front = output.front();
    if front.len() == output.len() {
        return write(&[IoSlice::new(front)]);
    }
    let mut slices = [IoSlice::new(&[]); SLICES];
    let filled = output.slices(&mut slices);
    write(&slices[..filled])
}
