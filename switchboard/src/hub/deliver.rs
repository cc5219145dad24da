//! What rooms and other connections send to one member. The worker's tick delivers; nothing here waits.

use super::batch::Batch;
use super::fanout::Subscriber;
use super::posting::{Encoded, Kind};
use super::repeats::Repeats;
use super::replay::Missed;
use super::room::Overflow;
use super::waiting::{Full, Gap, MemberCopy, Summary, Taken, Waiting};
use crate::link::outbox::{Flushed, Outbox};
use crate::link::{ConnectionId, Link};
use bytes::Bytes;
use std::sync::Arc;
use switchboard_proto::{CloseReason, Epoch, Notice, RoomName};

impl Subscriber {
    /// Delivers a batch of its room's: in one write if nothing is queued, else behind what is. Says whether something waits by
    /// that, and memory is short. Adds its messages to `delivered`, the lost ones left out.
    pub(super) fn deliver(&self, room: &RoomName, batch: &Batch, repeats: &Repeats, delivered: &mut u64) -> bool {
        if batch.frames.is_empty() {
            return false;
        }
        let Some(mut link) = self.link.delivering() else { return false };
        let (mut taken, mut offered) = (0, false);
        // A member of several rooms may get something from each in this tick, which leaves in one write at its end.
        if link.is_idle() && batch.is_whole_for(self.id) {
            let whole = |taken| batch.frames.iter().map(|frame| frame.end).find(|end| *end >= taken).unwrap_or(taken);
            let Some((cut, flushed)) = link.write_through(&batch.bytes, whole) else { return false };
            if flushed == Flushed::Clean {
                link.count(batch.frames.len());
                *delivered += batch.messages;
                return false;
            }
            let written = || batch.frames.iter().filter(|frame| frame.end <= cut);
            link.count(written().count());
            *delivered += written().filter(|frame| frame.kind.is_message()).count() as u64;
            (taken, offered) = (cut, flushed == Flushed::Blocked);
        }
        let (overflow, bounds) = (self.overflow(), link.bounds());
        let (member, encoding) = (self.id, &self.encoding);
        let is_repeated = link.expects_repeat() && repeats.covers(member);
        for (kind, bytes) in batch.frames_for(member, taken) {
            if is_repeated && matches!(kind, Kind::Message(_)) {
                continue;
            }
            let overflows = |outbox: &Outbox| overflows(outbox, &kind, bytes.len(), overflow, bounds);
            if !offered && overflows(link.outbox()) {
                let Some(has_space) = link.make_space(overflows) else { return false };
                offered = !has_space;
            }
            link.count(1);
            match kind {
                Kind::Notice(change) => {
                    let summary = || Summary { member, encoding: encoding.clone(), room: room.clone(), change };
                    link.outbox().deferred::<Waiting>().notify(bytes, member, change, summary);
                }
                Kind::Message(seq) => {
                    let is_told = overflow != Overflow::Conflate;
                    let gap = |from_seq| {
                        let (encoding, room) = (encoding.clone(), room.clone());
                        Gap { member, encoding, room, lost: 1, from_seq, is_told }
                    };
                    let publication = MemberCopy { bytes, member, seq };
                    let Ok(taken) = publish(link.outbox(), publication, overflow, bounds, gap) else {
                        link.end(CloseReason::SlowConsumer);
                        return false;
                    };
                    *delivered += taken.queued;
                    if taken.lost > 0 {
                        self.link.lost(overflow as usize, taken.lost);
                    }
                }
            }
        }
        link.queued();
        self.link.tick.budget.is_exceeded()
    }

    /// It gets nothing more, once it is told from where it is removed, if it is.
    pub(super) fn leave(&mut self, removed: Option<RoomName>) {
        if let Some(room) = removed {
            self.tell(&Notice::Removed { room });
            if self.alone {
                self.link.end(CloseReason::Closed);
            }
        }
        self.has_left = true;
    }

    /// Queues a notice for this member alone.
    pub(super) fn tell(&self, notice: &Notice) {
        let frame = match self.encoding.notice(notice) {
            Encoded::Frame(frame) => frame,
            Encoded::Silent => return,
            Encoded::Panicked => return self.link.end(CloseReason::HandlerPanic),
        };
        let Some(mut link) = self.link.delivering() else { return };
        link.outbox().deferred::<Waiting>().say(frame);
        link.queued();
    }

    /// Queues what a new member missed.
    pub(super) fn replay(&self, missed: Missed) {
        let Missed { notice, replay, .. } = missed;
        let notice = match notice.map_or(Encoded::Silent, |notice| self.encoding.notice(&notice)) {
            Encoded::Frame(notice) => Some(notice),
            Encoded::Silent => None,
            Encoded::Panicked => return self.link.end(CloseReason::HandlerPanic),
        };
        if notice.is_none() && replay.is_none() {
            return;
        }
        let Some(mut link) = self.link.delivering() else { return };
        let is_blocked = link.outbox().is_blocked();
        let waiting = link.outbox().deferred::<Waiting>();
        if let Some(notice) = notice {
            waiting.say(notice);
        }
        if let Some(mut replay) = replay {
            // Its turn will not come soon.
            if is_blocked {
                replay.let_go();
            }
            waiting.replay(replay, self.encoding.clone());
        }
        link.queued();
    }

    /// Tells the member that its room has another incarnation; ends it if that cannot be told.
    pub(super) fn reset(&self, room: &RoomName, epoch: Epoch) {
        if self.encoding.tells().resets {
            self.tell(&Notice::Reset { room: room.clone(), epoch });
        } else if self.overflow != Overflow::Conflate {
            self.link.end(CloseReason::SlowConsumer);
        }
    }

    /// Tells the member of messages that it lost; ends it if that cannot be told.
    pub(super) fn lose(&self, room: &RoomName, lost: u64, from_seq: u64, repeats: &Repeats) {
        let Some(mut link) = self.link.delivering() else { return };
        if link.expects_repeat() && repeats.covers(self.id) {
            return;
        }
        match self.overflow() {
            Overflow::Conflate => return self.link.lost(Overflow::Conflate as usize, lost),
            _ if !self.encoding.tells().gaps => return link.end(CloseReason::SlowConsumer),
            _ => {}
        }
        self.link.lost(self.overflow() as usize, lost);
        let (member, encoding) = (self.id, self.encoding.clone());
        let gap = Gap { member, encoding, room: room.clone(), lost, from_seq, is_told: true };
        link.outbox().deferred::<Waiting>().lose(gap);
        link.queued();
    }
}

/// Queues one frame that another connection has sent to this one alone.
pub(super) fn tell(link: &Arc<Link>, from: ConnectionId, frame: Bytes) {
    link.arrives(from, frame.len(), |outbox| outbox.deferred::<Waiting>().tell(frame, from));
}

/// Whether something would be dropped, or the member be disconnected, for one more frame of `size` bytes. Nothing is as long
/// as the socket may take what is queued, however much that is.
fn overflows(outbox: &Outbox, kind: &Kind, size: usize, overflow: Overflow, bounds: (usize, usize)) -> bool {
    let waiting = outbox.known_deferred::<Waiting>();
    match kind {
        Kind::Notice(_) => waiting.is_some_and(|waiting| !waiting.takes_notice(size)),
        Kind::Message(_) => {
            let is_replaced = overflow.is_latest() && outbox.is_blocked() && waiting.is_some();
            is_replaced || outbox.lacks_space(size, bounds)
        }
    }
}

/// Queues a message behind everything else, within `(bytes, frames)`; else something is dropped as `overflow` says. What a
/// socket may take at once has room.
fn publish(
    outbox: &mut Outbox,
    publication: MemberCopy,
    overflow: Overflow,
    (bytes, frames): (usize, usize),
    gap: impl Fn(u64) -> Gap,
) -> Result<Taken, Full> {
    let is_blocked = outbox.is_blocked();
    let is_first = !is_blocked && outbox.is_empty();
    let (moved, size) = (outbox.moved(), publication.bytes.len());
    let full =
        |counted: (usize, usize)| !is_first && (moved.0 + counted.0 + size > bytes || moved.1 + counted.1 >= frames);
    // What is old goes for what is new once the socket takes no more, and not before.
    let overflow = if is_blocked || !overflow.is_latest() { overflow } else { Overflow::DropOldest };
    outbox.deferred::<Waiting>().publish(publication, overflow, full, gap)
}
