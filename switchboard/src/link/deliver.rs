//! What rooms and other connections send to a peer. The worker's tick delivers; nothing here waits.

use super::outbox::{Flushed, Outbox};
use super::{CLOSING, ConnectionId, FINISHED, Peer, State, bump, wake};
use crate::hub::fanout::Batch;
use crate::hub::posting::{Form, Kind, MembershipId};
use crate::hub::replay::Missed;
use crate::hub::room::Overflow;
use crate::hub::waiting::{Gap, Publication, Summary};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use switchboard_proto::{CloseReason, Format, RoomName};

/// Of the outbox's bounds, the part that is for what others say to one connection alone.
const TOLD_PART: usize = 4;

/// Why a frame from elsewhere was not taken.
pub(crate) enum Untold {
    /// The connection is as good as gone.
    Closing,
    /// The outbox is.
    Full,
}

impl Peer {
    /// Delivers a batch of a room's: in one write if nothing is queued, else behind what is.
    pub(crate) fn deliver(self: &Arc<Self>, member: MembershipId, overflow: Overflow, room: &RoomName, batch: &Batch) {
        let mut state = self.state.lock();
        if self.is(CLOSING | FINISHED) || batch.frames.is_empty() {
            return;
        }
        let (mut taken, mut offered) = (0, false);
        // A member of several rooms may get something from each in this tick, which leaves in one write at its end.
        if self.rooms.load(Ordering::Relaxed) == 1 && state.outbox.is_idle() && batch.is_whole_for(member) {
            let whole = |taken| batch.frames.iter().map(|frame| frame.end).find(|end| *end >= taken).unwrap_or(taken);
            let mut written = 0;
            let flushed = match state.outbox.write_through(self.tick.now(), &batch.bytes, &mut written, whole) {
                Ok((cut, flushed)) => {
                    taken = cut;
                    flushed
                }
                Err(error) => return self.stop_hearing(&mut state, &error),
            };
            self.wrote(&mut state, written);
            if flushed == Flushed::Clean {
                bump(&self.traffic.frames_out, batch.frames.len() as u64);
                return;
            }
            bump(&self.traffic.frames_out, batch.frames.iter().filter(|frame| frame.end <= taken).count() as u64);
            offered = flushed == Flushed::Blocked;
            self.flushed(&mut state, Ok(flushed));
        }
        let limits = &self.listener.limits;
        let bounds = (limits.outbox_bytes, limits.outbox_frames);
        let form = batch.form;
        for (kind, bytes) in batch.frames_for(member, taken) {
            let overflows = |outbox: &Outbox| outbox.overflows(&kind, bytes.len(), overflow, bounds);
            if !offered && overflows(&state.outbox) {
                match self.make_room(&mut state, overflows) {
                    Ok(has_room) => offered = !has_room,
                    Err(error) => return self.stop_hearing(&mut state, &error),
                }
            }
            bump(&self.traffic.frames_out, 1);
            match kind {
                Kind::Notice(change) => {
                    state.outbox.waiting().notify(bytes, Summary { member, form, room: room.clone(), change });
                }
                Kind::Message(seq) => {
                    let gap = |from_seq| Gap { member, form, room: room.clone(), lost: 1, from_seq };
                    let publication = Publication { bytes, member, seq };
                    if state.outbox.publish(publication, overflow, bounds, gap).is_err() {
                        return self.end_locked(&mut state, CloseReason::SlowConsumer);
                    }
                }
            }
        }
        self.queued(&mut state);
    }

    /// Offers the socket what is queued, since something would be dropped else: overflow is for members whose socket takes no
    /// more. Says whether the outbox does not overflow now; if it does, the socket need not be asked again in this call.
    pub(super) fn make_room(
        self: &Arc<Self>,
        state: &mut State,
        overflows: impl Fn(&Outbox) -> bool,
    ) -> io::Result<bool> {
        while overflows(&state.outbox) {
            let was_blocked = state.outbox.blocked_since().is_some();
            let mut written = 0;
            let flushed = state.outbox.try_flush(self.tick.now(), &mut written)?;
            self.wrote(state, written);
            if flushed == Flushed::Blocked {
                // The task of one that was blocked before waits for the socket already.
                if !was_blocked {
                    self.flushed(state, Ok(flushed));
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Queues what a new member missed.
    pub(crate) fn replay(self: &Arc<Self>, form: Form, missed: Missed) {
        let Missed { notice, replay, .. } = missed;
        let notice = notice.and_then(|notice| form.notice(&notice));
        if notice.is_none() && replay.is_none() {
            return;
        }
        let mut state = self.state.lock();
        if self.is(CLOSING | FINISHED) {
            return;
        }
        if let Some(notice) = notice {
            state.outbox.waiting().keep(notice);
        }
        if let Some(mut replay) = replay {
            // Its turn will not come soon.
            if state.outbox.blocked_since().is_some() {
                replay.let_go();
            }
            state.outbox.waiting().replay(replay, form);
        }
        self.queued(&mut state);
    }

    /// Tells the member of messages that it lost; ends it if that cannot be told.
    pub(crate) fn lose(self: &Arc<Self>, gap: Gap) {
        let mut state = self.state.lock();
        if self.is(CLOSING | FINISHED) {
            return;
        }
        if gap.form.format == Format::Raw {
            return self.end_locked(&mut state, CloseReason::SlowConsumer);
        }
        state.outbox.waiting().lose(gap);
        self.queued(&mut state);
    }

    /// Expects a frame of `length` bytes of another connection's, to be [queued](Self::queue) by the tick. What is taken is sent,
    /// however soon the handler finishes. All that is said so has a part of the outbox's bounds for itself: it ends nobody, and
    /// takes the place of no message.
    pub(crate) fn expect(&self, from: ConnectionId, length: usize) -> Result<(), Untold> {
        let limits = &self.listener.limits;
        let bounds = (limits.outbox_bytes.div_ceil(TOLD_PART), limits.outbox_frames.div_ceil(TOLD_PART));
        let mut state = self.state.lock();
        if self.is(CLOSING) {
            return Err(Untold::Closing);
        }
        if self.is(FINISHED) || !state.outbox.expect(from, length, bounds) {
            return Err(Untold::Full);
        }
        Ok(())
    }

    /// Queues one frame that was told.
    pub(crate) fn queue(self: &Arc<Self>, from: ConnectionId, frame: Bytes) {
        let mut state = self.state.lock();
        let is_open = !self.is(CLOSING | FINISHED);
        state.outbox.tell(from, frame, is_open);
        if !is_open {
            return;
        }
        self.queued(&mut state);
        bump(&self.traffic.frames_out, 1);
        if !state.outbox.expects() {
            wake(state.driver.as_ref());
        }
    }

    /// Counts one more room, unless that were more than `limit`.
    pub(crate) fn enter_room(&self, limit: usize) -> bool {
        // Relaxed: a count that guards no other memory.
        let entered = self.rooms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |rooms| {
            ((rooms as usize) < limit).then_some(rooms + 1)
        });
        entered.is_ok()
    }

    /// Takes that back: it does not become a member.
    pub(crate) fn stay_out(&self) {
        self.rooms.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn leave_room(&self) {
        self.rooms.fetch_sub(1, Ordering::Relaxed);
        self.leaving.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything that was published before it left a room is delivered.
    pub(crate) fn left_room(&self) {
        // Release: what was delivered is in the outbox before the task sees that nothing more will come.
        if self.leaving.fetch_sub(1, Ordering::Release) == 1 {
            wake(self.state.lock().driver.as_ref());
        }
    }

    /// Whether something may still be delivered: from a room that it has left, or from somebody who was told that it will be.
    pub(crate) fn is_owed(&self) -> bool {
        !self.is(CLOSING) && (self.leaving.load(Ordering::Acquire) > 0 || self.state.lock().outbox.expects())
    }
}
