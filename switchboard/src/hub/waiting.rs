//! What waits behind the bytes that are being written, frame by frame: publications can still be dropped here.
//!
//! Where messages were dropped a gap stands in their place, which is told to the member when its turn comes: how many, and from
//! which number. Notices of who came and went are counted instead of queued where there are many, and what others said to this
//! one alone is bounded by whoever queues it. Neither takes room from messages, so that neither ends a member that stays for
//! what it loses. Answers are never dropped.

use crate::hub::posting::{Form, Kind, MembershipId, Wire};
use crate::hub::presence::Change;
use crate::hub::replay::Replay;
use crate::hub::room::Overflow;
use crate::link::{ConnectionId, delivery};
use bytes::Bytes;
use std::collections::VecDeque;
use switchboard_proto::{CloseReason, Notice, Output, RoomName};

/// Bytes moved to the output at a time. What has been moved is no longer dropped, so this is how stale it may get.
const REFILL_BYTES: usize = 64 << 10;

/// Notices that wait, and their bytes; those that follow are counted.
const NOTICES: (usize, usize) = (256, 32 << 10);

/// One frame of a batch.
pub(crate) struct Frame {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: Kind,
    pub(crate) except: Option<MembershipId>,
}

/// One message of a room's for one member.
pub(crate) struct Publication {
    pub(crate) bytes: Bytes,
    pub(crate) member: MembershipId,
    pub(crate) seq: u64,
}

/// Messages that a member lost: so many of those from a number on that it would have got.
pub(crate) struct Gap {
    pub(crate) member: MembershipId,
    pub(crate) form: Form,
    pub(crate) room: RoomName,
    pub(crate) lost: u64,
    pub(crate) from_seq: u64,
}

/// What a member was not told of who came and went.
pub(crate) struct Summary {
    pub(crate) member: MembershipId,
    pub(crate) form: Form,
    pub(crate) room: RoomName,
    pub(crate) change: Change,
}

/// The member cannot stay: it lost a message, and nothing may be dropped for it.
#[derive(Debug)]
pub(crate) struct Full;

enum Entry {
    /// An answer: never dropped.
    Kept(Bytes),
    /// What another connection said to this one alone.
    Told(Bytes, ConnectionId),
    Publication(Publication),
    /// Messages from the room's history, drawn and encoded only when their turn comes.
    Replay(Box<(Replay, Form)>),
    Gap(Box<Gap>),
    Notice(Bytes),
    Summary(Box<Summary>),
}

/// Frames in order.
#[derive(Default)]
pub(crate) struct Waiting {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Entries, and bytes of theirs, that do not count towards the outbox's bounds: replays, which the room holds anyway, gaps
    /// and summaries, which stand for what is not there, and what has bounds of its own.
    uncounted: (usize, usize),
    /// Notices, and their bytes.
    notices: (usize, usize),
    summaries: usize,
    /// Some replay keeps alive what its room kept when it was asked for.
    is_holding: bool,
}

impl Waiting {
    /// Queues a frame that is never dropped.
    pub(crate) fn say(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        self.entries.push_back(Entry::Kept(bytes));
    }

    pub(crate) fn tell(&mut self, bytes: Bytes, from: ConnectionId) {
        let length = bytes.len();
        self.push_uncounted(Entry::Told(bytes, from), length);
    }

    pub(crate) fn replay(&mut self, replay: Replay, form: Form) {
        self.is_holding = true;
        self.push_uncounted(Entry::Replay(Box::new((replay, form))), 0);
    }

    fn push_uncounted(&mut self, entry: Entry, bytes: usize) {
        self.bytes += bytes;
        self.uncounted.0 += 1;
        self.uncounted.1 += bytes;
        self.entries.push_back(entry);
    }

    /// Whether one more notice is queued rather than counted.
    pub(crate) fn takes_notice(&self, size: usize) -> bool {
        self.notices.0 < NOTICES.0 && self.notices.1 + size <= NOTICES.1
    }

    /// Queues a notice, or counts it, if there are too many; and those behind it too, until that is told, or they would seem to
    /// come after it.
    pub(crate) fn notify(&mut self, bytes: Bytes, summary: Summary) {
        if let Some(earlier) = self.summary_of(summary.member) {
            return earlier.change.add(summary.change);
        }
        let length = bytes.len();
        if self.takes_notice(length) {
            self.notices.0 += 1;
            self.notices.1 += length;
            return self.push_uncounted(Entry::Notice(bytes), length);
        }
        self.summaries += 1;
        self.push_uncounted(Entry::Summary(Box::new(summary)), 0);
    }

    fn summary_of(&mut self, member: MembershipId) -> Option<&mut Summary> {
        if self.summaries == 0 {
            return None;
        }
        self.entries.iter_mut().rev().find_map(|entry| match entry {
            Entry::Summary(summary) if summary.member == member => Some(&mut **summary),
            _ => None,
        })
    }

    /// Queues a publication; if there is no room for it (`full`, asked again after each drop) something is dropped as
    /// `overflow` says, and counted in a gap.
    pub(crate) fn publish(
        &mut self,
        publication: Publication,
        overflow: Overflow,
        full: impl Fn(&Self) -> bool,
        gap: impl Fn(u64) -> Gap,
    ) -> Result<(), Full> {
        let oldest = |waiting: &Self| {
            let is_one =
                |entry: &Entry| matches!(entry, Entry::Publication(other) if other.member == publication.member);
            waiting.entries.iter().position(is_one)
        };
        if overflow == Overflow::Latest {
            while let Some(place) = oldest(self) {
                self.drop_at(place, &gap);
            }
        }
        if overflow == Overflow::DropOldest {
            while full(self) {
                let Some(place) = oldest(self) else { break };
                self.drop_at(place, &gap);
            }
        }
        if full(self) {
            if overflow == Overflow::Disconnect {
                return Err(Full);
            }
            self.lose(gap(publication.seq));
            return Ok(());
        }
        self.bytes += publication.bytes.len();
        self.entries.push_back(Entry::Publication(publication));
        Ok(())
    }

    /// Puts a gap where a publication stood.
    fn drop_at(&mut self, place: usize, gap: &impl Fn(u64) -> Gap) {
        let Entry::Publication(Publication { bytes, seq, member }) = &self.entries[place] else {
            unreachable!("only messages are dropped")
        };
        self.bytes -= bytes.len();
        let (seq, member) = (*seq, *member);
        if let Some(before) = self.gap_before(place, member) {
            before.lost += 1;
            self.entries.remove(place);
        } else {
            self.entries[place] = Entry::Gap(Box::new(gap(seq)));
            self.uncounted.0 += 1;
        }
    }

    /// Counts a message that was not queued.
    pub(crate) fn lose(&mut self, gap: Gap) {
        if let Some(last) = self.gap_before(self.entries.len(), gap.member) {
            last.lost += gap.lost;
            return;
        }
        self.push_uncounted(Entry::Gap(Box::new(gap)), 0);
    }

    /// The gap that takes in what `member` loses at `place`: its last one, if it gets nothing of the room's in between. So
    /// there is one for each run of losses, whatever other rooms lose meanwhile and the member publishes itself.
    fn gap_before(&mut self, place: usize, member: MembershipId) -> Option<&mut Gap> {
        for entry in self.entries.range_mut(..place).rev() {
            match entry {
                Entry::Gap(gap) if gap.member == member => return Some(gap),
                Entry::Publication(other) if other.member == member => return None,
                Entry::Replay(..) => return None,
                _ => {}
            }
        }
        None
    }

    /// Moves one frame to `output`, and says how long it is if it counts.
    fn move_out(
        &mut self,
        entry: Entry,
        output: &mut Output,
        told: &mut dyn FnMut(ConnectionId, usize),
    ) -> Result<Option<usize>, CloseReason> {
        let (bytes, is_counted) = match entry {
            Entry::Kept(bytes) | Entry::Publication(Publication { bytes, .. }) => (Some(bytes), true),
            Entry::Told(bytes, from) => {
                told(from, bytes.len());
                (Some(bytes), false)
            }
            Entry::Notice(bytes) => {
                self.notices.0 -= 1;
                self.notices.1 -= bytes.len();
                (Some(bytes), false)
            }
            Entry::Summary(summary) => {
                self.summaries -= 1;
                return self.move_notice(summary.form, &summary.change.notice(summary.room), output);
            }
            Entry::Gap(gap) => {
                let notice = Notice::Gap { room: gap.room, lost: gap.lost, from_seq: gap.from_seq };
                return self.move_notice(gap.form, &notice, output);
            }
            Entry::Replay(_) => (None, false),
        };
        let length = bytes.as_ref().map_or(0, Bytes::len);
        self.bytes -= length;
        if !is_counted {
            self.uncounted.0 -= 1;
            self.uncounted.1 -= length;
        }
        if let Some(bytes) = bytes {
            output.share(bytes);
        }
        Ok(is_counted.then_some(length))
    }

    /// Moves what stands for something that is not there.
    fn move_notice(&mut self, form: Form, notice: &Notice, output: &mut Output) -> Result<Option<usize>, CloseReason> {
        self.uncounted.0 -= 1;
        match form.notice(notice) {
            Wire::Frame(bytes) => output.share(bytes),
            Wire::Silent => {}
            Wire::Panicked => return Err(CloseReason::HandlerPanic),
        }
        Ok(None)
    }
}

impl delivery::Waiting for Waiting {
    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn entry_bytes(&self) -> usize {
        self.entries.len() * size_of::<Entry>()
    }

    fn counted(&self) -> (usize, usize) {
        (self.bytes - self.uncounted.1, self.entries.len() - self.uncounted.0)
    }

    fn keep(&mut self, frames: Bytes) {
        self.say(frames);
    }

    /// What replays are to say is left to their rooms.
    fn let_go(&mut self) {
        if !std::mem::take(&mut self.is_holding) {
            return;
        }
        for entry in &mut self.entries {
            if let Entry::Replay(behind) = entry {
                behind.0.let_go();
            }
        }
    }

    /// The member cannot stay if messages are gone and it cannot be told, or if a frame cannot be made.
    fn refill(
        &mut self,
        output: &mut Output,
        told: &mut dyn FnMut(ConnectionId, usize),
    ) -> Result<(usize, usize), CloseReason> {
        let mut counted = (0, 0);
        while output.len() < REFILL_BYTES
            && let Some(entry) = self.entries.front_mut()
        {
            if let Entry::Replay(behind) = entry {
                let (replay, form) = &mut **behind;
                replay.draw(*form, REFILL_BYTES, output)?;
                if !replay.is_over() {
                    break;
                }
            }
            let Some(entry) = self.entries.pop_front() else { break };
            let length = self.move_out(entry, output, told)?;
            if let Some(length) = length {
                counted = (counted.0 + length, counted.1 + 1);
            }
        }
        Ok(counted)
    }
}
