//! Reading what a peer has sent: as input for the codec, or straight on to another connection's socket, without a copy.

use super::{BYTES_PER_BUDGET, Receiving, Until};
use crate::link::{Envelope, Link, reason_of, space};
use crate::turn::spend;
use std::any::TypeId;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use switchboard_proto::{Codec, Raw};
use tokio::io::ReadBuf;

/// Whether what a connection receives is what it is sent, byte for byte.
#[inline]
pub(super) fn is_bare<A: Codec, B: Codec>() -> bool {
    let raw = TypeId::of::<Raw>();
    TypeId::of::<A>() == raw && TypeId::of::<B>() == raw
}

impl<C: Codec> Receiving<C> {
    /// Reads once, about `most` bytes, of which `take` may take the first ones. Ready means that there is something new to look at.
    #[inline]
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        until: Until,
        most: usize,
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Poll<()> {
        let drains = self.is_drained(until);
        let Some(source) = self.source.as_deref_mut() else {
            unreachable!("the source leaves only with the connection")
        };
        let mut shared = self.link.tick.read_buffer.lock();
        let space = space(source, most, shared.bytes.len());
        let mut buffer = ReadBuf::new(&mut shared.bytes[..space]);
        let result = match source.poll_read(cx, &mut buffer) {
            Poll::Ready(result) => result.map(|()| buffer.filled().len()),
            Poll::Pending if drains => {
                // The kernel may hold more than the event loop has told us of, and more than a read that memory keeps short.
                let read = source.read_now(&mut shared.bytes[..space]);
                self.drained = !read.as_ref().is_ok_and(|count| *count == space && space < shared.bytes.len());
                match read {
                    Ok(count) => Ok(count),
                    Err(_) => return Poll::Ready(()),
                }
            }
            // Nothing wakes whoever waits for an end that a write has had.
            Poll::Pending if self.link.is_cut_off() => source.read_now(&mut shared.bytes[..space]),
            Poll::Pending => {
                let held = source.held_bytes() + self.codec.held_bytes();
                drop(shared);
                if let Some(rate) = self.link.listener.rate {
                    self.pace.give_back(rate, std::mem::take(&mut self.paid));
                }
                self.input.wait(&self.link, cx, held);
                // A drain, or an end, that came between the first look and the waker.
                let link = &self.link;
                let changed = self.is_drained(until) || link.is_cut_off() || link.closing().is_some();
                return if changed { Poll::Ready(()) } else { Poll::Pending };
            }
        };
        match result {
            Ok(0) => {
                (self.finished, self.peer_finished) = (true, true);
                if self.link.is_cut_off() {
                    self.link.received_all();
                }
            }
            Ok(count) => {
                // Whoever never stops sending would never be drained.
                self.drained |= drains && self.input.is_last(count, || source.socket_bytes());
                self.link.received(count - source.framing_bytes(count));
                let taken = take(&shared.bytes[..count]);
                if taken < count {
                    self.input.receive(&mut shared, taken..count);
                    drop(shared);
                    self.input.count(&self.link);
                }
            }
            Err(error) => {
                (self.finished, self.peer_finished) = (true, true);
                self.link.end(reason_of(&error));
            }
        }
        Poll::Ready(())
    }

    /// Reads once, and has `target` write it at once. Returns how many bytes that took; what it did not take, or whatever else there
    /// is instead, is received as ever. A message that is passed on costs 3,200 instructions by this, and 4,550 as a frame.
    #[inline]
    pub(super) fn poll_pass_on(&mut self, cx: &mut Context<'_>, target: &Arc<Link>) -> Poll<usize> {
        let is_plain = self.input.is_empty() && self.answer.is_none() && !self.finished && !self.drained;
        let link = &self.link;
        if !is_plain || link.listener.rate.is_some() || link.closing().is_some() || link.tick.budget.is_exceeded() {
            return Poll::Ready(0);
        }
        ready!(link.poll_caught_up(cx));
        let mut passed = 0;
        ready!(self.poll_read(cx, Until::End, usize::MAX, |bytes| {
            passed = target.pass(bytes);
            passed
        }));
        if passed > 0 {
            self.link.took_on();
            spend(cx, passed / BYTES_PER_BUDGET);
        }
        Poll::Ready(passed)
    }

    /// Whether frames go out as they are.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        matches!(self.envelope, Envelope::Bare)
    }

    /// Nothing that was received waits.
    #[inline]
    pub(super) fn has_passed_all(&self) -> bool {
        self.input.is_empty()
    }
}
