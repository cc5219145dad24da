//! What waits behind the bytes that are being written, frame by frame: publications can still be dropped here.
//!
//! Never dropped are answers and notices. Where publications were dropped a gap stands in their place, which is told to
//! the member when its turn comes: how many, and from which number.

use crate::hub::posting::{Form, MembershipId};
use crate::hub::replay::Replay;
use crate::hub::room::Overflow;
use bytes::Bytes;
use std::collections::VecDeque;
use switchboard_proto::{Notice, Output, RoomName};

/// Bytes moved to the output at a time. What has been moved is no longer dropped, so this is how stale it may get.
const REFILL_BYTES: usize = 64 << 10;

/// Notices and answers that a full outbox takes on top; a member that reads so little is disconnected.
const KEPT_FRAMES: usize = 256;

/// One frame of a batch.
pub(crate) struct Frame {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The message's number; none for a notice.
    pub(crate) seq: Option<u64>,
    pub(crate) except: Option<MembershipId>,
}

/// One frame of a room's for one member.
pub(crate) struct Publication {
    pub(crate) bytes: Bytes,
    pub(crate) member: MembershipId,
    pub(crate) seq: Option<u64>,
}

/// Messages that a member lost: so many of those from a number on that it would have got.
pub(crate) struct Gap {
    pub(crate) member: MembershipId,
    pub(crate) form: Form,
    pub(crate) room: RoomName,
    pub(crate) lost: u64,
    pub(crate) from_seq: u64,
}

/// The member cannot stay: it lost a message, and nothing may be dropped for it.
#[derive(Debug)]
pub(crate) struct Full;

enum Entry {
    /// An answer, or a notice: never dropped.
    Kept(Bytes),
    Publication(Publication),
    /// Messages from the room's history, drawn and encoded only when their turn comes.
    Replay(Replay, Form),
    Gap(Box<Gap>),
}

/// Frames in order.
#[derive(Default)]
pub(crate) struct Waiting {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Replays, which the room holds anyway, and gaps, which stand for what is not there: neither counts as queued.
    uncounted: usize,
    kept: usize,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn entry_bytes(&self) -> usize {
        self.entries.len() * size_of::<Entry>()
    }

    pub(crate) fn frames(&self) -> usize {
        self.entries.len() - self.uncounted
    }

    /// Queues a frame that is never dropped.
    pub(crate) fn keep(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        self.kept += 1;
        self.entries.push_back(Entry::Kept(bytes));
    }

    pub(crate) fn replay(&mut self, replay: Replay, form: Form) {
        self.uncounted += 1;
        self.entries.push_back(Entry::Replay(replay, form));
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
        let Some(seq) = publication.seq else {
            if self.kept >= KEPT_FRAMES && full(self) {
                return Err(Full);
            }
            self.keep(publication.bytes);
            return Ok(());
        };
        let oldest = |waiting: &Self| {
            let is_one = |entry: &Entry| matches!(entry, Entry::Publication(other) if other.member == publication.member && other.seq.is_some());
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
            self.lose(gap(seq));
            return Ok(());
        }
        self.bytes += publication.bytes.len();
        self.entries.push_back(Entry::Publication(publication));
        Ok(())
    }

    /// Puts a gap where a publication stood.
    fn drop_at(&mut self, place: usize, gap: &impl Fn(u64) -> Gap) {
        let Entry::Publication(Publication { bytes, seq: Some(seq), member }) = &self.entries[place] else {
            unreachable!("only messages are dropped")
        };
        self.bytes -= bytes.len();
        let (seq, member) = (*seq, *member);
        if let Some(before) = self.gap_before(place, member) {
            before.lost += 1;
            self.entries.remove(place);
        } else {
            self.entries[place] = Entry::Gap(Box::new(gap(seq)));
            self.uncounted += 1;
        }
    }

    /// Counts a message that was not queued.
    pub(crate) fn lose(&mut self, gap: Gap) {
        if let Some(last) = self.gap_before(self.entries.len(), gap.member) {
            last.lost += gap.lost;
            return;
        }
        self.uncounted += 1;
        self.entries.push_back(Entry::Gap(Box::new(gap)));
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

    /// Moves frames to the empty `output`, replays or others. Says how many, and whether they are replays; or that the member
    /// cannot stay, since some are gone and it cannot be told.
    pub(crate) fn refill(&mut self, output: &mut Output) -> Result<(usize, bool), Full> {
        let mut frames = 0;
        while let Some(Entry::Replay(replay, form)) = self.entries.front_mut() {
            frames += replay.draw(*form, REFILL_BYTES, output).map_err(|_| Full)?;
            if replay.is_over() {
                self.uncounted -= 1;
                self.entries.pop_front();
            }
            if output.len() >= REFILL_BYTES {
                break;
            }
        }
        if !output.is_empty() {
            self.give_back();
            return Ok((frames, true));
        }
        let is_replay = |entry: &mut Entry| matches!(entry, Entry::Replay(..));
        while output.len() < REFILL_BYTES
            && let Some(entry) = self.entries.pop_front_if(|entry| !is_replay(entry))
        {
            frames += 1;
            match entry {
                Entry::Kept(bytes) => {
                    self.kept -= 1;
                    self.bytes -= bytes.len();
                    output.share(bytes);
                }
                Entry::Publication(Publication { bytes, .. }) => {
                    self.bytes -= bytes.len();
                    output.share(bytes);
                }
                Entry::Replay(..) => unreachable!("it is not taken here"),
                Entry::Gap(gap) => {
                    self.uncounted -= 1;
                    let notice = Notice::Gap { room: gap.room, lost: gap.lost, from_seq: gap.from_seq };
                    if let Some(bytes) = gap.form.notice(&notice) {
                        output.share(bytes);
                    }
                }
            }
        }
        self.give_back();
        Ok((frames, false))
    }

    fn give_back(&mut self) {
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }
}
