//! What waits behind the bytes that are being written, frame by frame: publications can still be dropped here.
//!
//! Where messages were dropped a gap stands in their place, which is told to the member when its turn comes: how many, and from
//! which number. Notices of who came and went are counted instead of queued where there are many, and what others said to this
//! one alone is bounded by whoever queues it. Neither takes room from messages, so that neither ends a member that stays for
//! what it loses. Answers are never dropped.

use crate::hub::encoding::MemberEncoding;
use crate::hub::posting::{Encoded, Except, Kind, MembershipId};
use crate::hub::presence::Change;
use crate::hub::replay::Replay;
use crate::hub::room::Overflow;
use crate::link::ConnectionId;
use crate::link::delivery::Deferred;
use bytes::Bytes;
use std::collections::VecDeque;
use switchboard_proto::{CloseReason, Notice, Output, RoomName};

/// Bytes moved to the output at a time. What has been moved is no longer dropped, so this is how stale it may get.
const REFILL_BYTES: usize = 64 << 10;

/// Notices that wait, and their bytes; those that follow are counted.
const NOTICES: (usize, usize) = (256, 32 << 10);

/// What a frame takes beside its bytes and its entry: a count of those who share it, and what the allocator adds to each piece. A
/// gap and a replay take about as much.
const BESIDE: usize = 64;

/// Entries below which there is nothing to give back.
const FEW: usize = 64;

/// One frame of a batch.
pub(crate) struct Frame {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: Kind,
    pub(crate) except: Except,
}

/// One message of a room's for one member.
pub(crate) struct MemberCopy {
    pub(crate) bytes: Bytes,
    pub(crate) member: MembershipId,
    pub(crate) seq: u64,
}

/// Messages that a member lost: so many of those from a number on that it would have got.
pub(crate) struct Gap {
    pub(crate) member: MembershipId,
    pub(crate) encoding: MemberEncoding,
    pub(crate) room: RoomName,
    pub(crate) lost: u64,
    pub(crate) from_seq: u64,
    /// Or else it is only kept count of.
    pub(crate) is_told: bool,
}

/// What a member was not told of who came and went.
pub(crate) struct Summary {
    pub(crate) member: MembershipId,
    pub(crate) encoding: MemberEncoding,
    pub(crate) room: RoomName,
    pub(crate) change: Change,
}

/// What became of a message, and of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) queued: u64,
    pub(crate) lost: u64,
}

/// The member cannot stay: it lost a message, and nothing may be dropped for it.
#[derive(Debug)]
pub(crate) struct Full;

enum Item {
    /// An answer: never dropped.
    Kept(Bytes),
    /// What another connection said to this one alone.
    Private(Bytes, ConnectionId),
    Publication(MemberCopy),
    /// Messages from the room's history, drawn and encoded only when their turn comes.
    Replay(Box<(Replay, MemberEncoding)>),
    Gap(Box<Gap>),
    Notice(Bytes),
    Summary(Box<Summary>),
}

/// Frames in order.
#[derive(Default)]
pub(crate) struct Waiting {
    entries: VecDeque<Item>,
    bytes: usize,
    /// Entries, and bytes of theirs, that do not count towards the outbox's bounds: replays, which the room holds anyway, gaps
    /// and summaries, which stand for what is not there, and what has bounds of its own.
    uncounted: (usize, usize),
    /// Notices, and their bytes.
    notices: (usize, usize),
    summaries: usize,
    /// Some replay keeps alive what its room kept when it was asked for.
    is_holding: bool,
    /// The first of them waits for its room's log.
    is_fetching: bool,
}

impl Waiting {
    /// Queues a frame that is never dropped.
    pub(crate) fn say(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        self.entries.push_back(Item::Kept(bytes));
    }

    pub(crate) fn tell(&mut self, bytes: Bytes, from: ConnectionId) {
        let length = bytes.len();
        self.push_uncounted(Item::Private(bytes, from), length);
    }

    pub(crate) fn replay(&mut self, replay: Replay, encoding: MemberEncoding) {
        self.is_holding = true;
        self.push_uncounted(Item::Replay(Box::new((replay, encoding))), 0);
    }

    fn push_uncounted(&mut self, entry: Item, bytes: usize) {
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
    pub(crate) fn notify(
        &mut self,
        bytes: Bytes,
        member: MembershipId,
        change: Change,
        summary: impl FnOnce() -> Summary,
    ) {
        if let Some(earlier) = self.summary_of(member) {
            return earlier.change.add(change);
        }
        let length = bytes.len();
        if self.takes_notice(length) {
            self.notices.0 += 1;
            self.notices.1 += length;
            return self.push_uncounted(Item::Notice(bytes), length);
        }
        self.summaries += 1;
        self.push_uncounted(Item::Summary(Box::new(summary())), 0);
    }

    fn summary_of(&mut self, member: MembershipId) -> Option<&mut Summary> {
        if self.summaries == 0 {
            return None;
        }
        self.entries.iter_mut().rev().find_map(|entry| match entry {
            Item::Summary(summary) if summary.member == member => Some(&mut **summary),
            _ => None,
        })
    }

    /// Queues a publication; if there is no room for it (what counts is `full`, asked again after each drop) something is dropped as
    /// `overflow` says, and counted in a gap.
    pub(crate) fn publish(
        &mut self,
        publication: MemberCopy,
        overflow: Overflow,
        full: impl Fn((usize, usize)) -> bool,
        gap: impl Fn(u64) -> Gap,
    ) -> Result<Taken, Full> {
        let lost = match overflow {
            Overflow::Latest | Overflow::Conflate => self.drop_oldest(publication.member, |_| true, &gap),
            Overflow::DropOldest => self.drop_oldest(publication.member, &full, &gap),
            Overflow::Disconnect | Overflow::DropNewest => 0,
        };
        if full(self.counted()) {
            if overflow == Overflow::Disconnect {
                return Err(Full);
            }
            self.lose(gap(publication.seq));
            return Ok(Taken { queued: 0, lost: lost + 1 });
        }
        self.bytes += publication.bytes.len();
        self.entries.push_back(Item::Publication(publication));
        Ok(Taken { queued: 1, lost })
    }

    /// Drops what was published to one member, the oldest first, as long as what counts `is_too_much`, and has gaps in its place.
    /// Goes over what waits once, however many go: a long message may take the place of thousands. Says how many have gone.
    fn drop_oldest(
        &mut self,
        member: MembershipId,
        is_too_much: impl Fn((usize, usize)) -> bool,
        gap: &impl Fn(u64) -> Gap,
    ) -> u64 {
        let is_one = |entry: &Item| matches!(entry, Item::Publication(other) if other.member == member);
        if !is_too_much(self.counted()) {
            return 0;
        }
        let Some(first) = self.entries.iter().position(is_one) else { return 0 };
        let mut lost = 0;
        let mut before = self.gap_before(first, member);
        // Between the two is what has gone.
        let (mut kept, mut place) = (first, first);
        while place < self.entries.len() {
            let (bytes, frames) = self.counted();
            if !is_too_much((bytes, frames - (place - kept))) {
                break;
            }
            match &self.entries[place] {
                Item::Publication(MemberCopy { bytes, seq, member: whose }) if *whose == member => {
                    self.bytes -= bytes.len();
                    lost += 1;
                    let seq = *seq;
                    if let Some(before) = before {
                        self.widen(before, 1);
                        place += 1;
                        continue;
                    }
                    self.entries[place] = Item::Gap(Box::new(gap(seq)));
                    self.uncounted.0 += 1;
                    before = Some(kept);
                }
                Item::Gap(other) if other.member == member => before = Some(kept),
                Item::Replay(..) => before = None,
                _ => {}
            }
            self.entries.swap(kept, place);
            (kept, place) = (kept + 1, place + 1);
        }
        self.entries.drain(kept..place);
        self.give_back();
        lost
    }

    /// Gives back the room for entries that have gone, where that is most of it.
    fn give_back(&mut self) {
        if self.entries.capacity() > FEW && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// Counts a message that was not queued.
    pub(crate) fn lose(&mut self, gap: Gap) {
        if let Some(last) = self.gap_before(self.entries.len(), gap.member) {
            return self.widen(last, gap.lost);
        }
        self.push_uncounted(Item::Gap(Box::new(gap)), 0);
    }

    /// Where the gap is that takes in what `member` loses at `place`: its last one, if it gets nothing of the room's in between. So
    /// there is one for each run of losses, whatever other rooms lose meanwhile and the member publishes itself.
    fn gap_before(&self, place: usize, member: MembershipId) -> Option<usize> {
        for (place, entry) in self.entries.range(..place).enumerate().rev() {
            match entry {
                Item::Gap(gap) if gap.member == member => return Some(place),
                Item::Publication(other) if other.member == member => return None,
                Item::Replay(..) => return None,
                _ => {}
            }
        }
        None
    }

    /// Counts so many more messages in the gap at `place`.
    fn widen(&mut self, place: usize, lost: u64) {
        let Item::Gap(gap) = &mut self.entries[place] else { unreachable!("a gap was found there") };
        gap.lost += lost;
    }

    /// Moves one frame to `output`, and says how long it is if it counts.
    fn move_out(
        &mut self,
        entry: Item,
        output: &mut Output,
        told: &mut dyn FnMut(ConnectionId, usize),
    ) -> Result<Option<usize>, CloseReason> {
        let (bytes, is_counted) = match entry {
            Item::Kept(bytes) | Item::Publication(MemberCopy { bytes, .. }) => (Some(bytes), true),
            Item::Private(bytes, from) => {
                told(from, bytes.len());
                (Some(bytes), false)
            }
            Item::Notice(bytes) => {
                self.notices.0 -= 1;
                self.notices.1 -= bytes.len();
                (Some(bytes), false)
            }
            Item::Summary(summary) => {
                self.summaries -= 1;
                return self.move_notice(&summary.encoding, &summary.change.notice(summary.room), output);
            }
            Item::Gap(gap) if !gap.is_told => (None, false),
            Item::Gap(gap) => {
                let notice = Notice::Gap { room: gap.room, lost: gap.lost, from_seq: gap.from_seq };
                return self.move_notice(&gap.encoding, &notice, output);
            }
            Item::Replay(_) => (None, false),
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
    fn move_notice(
        &mut self,
        encoding: &MemberEncoding,
        notice: &Notice,
        output: &mut Output,
    ) -> Result<Option<usize>, CloseReason> {
        self.uncounted.0 -= 1;
        match encoding.notice(notice) {
            Encoded::Frame(bytes) => output.share(bytes),
            Encoded::Silent => {}
            Encoded::Panicked => return Err(CloseReason::HandlerPanic),
        }
        Ok(None)
    }
}

impl Deferred for Waiting {
    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn entry_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Item>() + self.entries.len() * BESIDE
    }

    fn counted(&self) -> (usize, usize) {
        (self.bytes - self.uncounted.1, self.entries.len() - self.uncounted.0)
    }

    fn keep(&mut self, frames: Bytes) {
        self.say(frames);
    }

    fn is_fetching(&self) -> bool {
        self.is_fetching
    }

    /// What replays are to say is left to their rooms.
    fn let_go(&mut self) {
        if !std::mem::take(&mut self.is_holding) {
            return;
        }
        for entry in &mut self.entries {
            if let Item::Replay(behind) = entry {
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
        self.is_fetching = false;
        while output.len() < REFILL_BYTES
            && let Some(entry) = self.entries.front_mut()
        {
            if let Item::Replay(behind) = entry {
                let (replay, encoding) = &mut **behind;
                replay.draw(encoding, REFILL_BYTES, output)?;
                if !replay.is_over() {
                    self.is_fetching = replay.is_fetching();
                    break;
                }
            }
            let Some(entry) = self.entries.pop_front() else { break };
            let length = self.move_out(entry, output, told)?;
            if let Some(length) = length {
                counted = (counted.0 + length, counted.1 + 1);
            }
        }
        self.give_back();
        Ok(counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::encoding::Encodings;
    use crate::link::Envelope;
    use proptest::prelude::*;
    use std::cell::Cell;
    use switchboard_proto::{Format, Lines};

    const MOST: (usize, usize) = (60_000, 5000);

    fn publish(waiting: &mut Waiting, member: u64, seq: u64, size: usize, overflow: Overflow) -> usize {
        let (looks, member) = (Cell::new(0), MembershipId(member));
        let full = |(bytes, frames)| {
            looks.set(looks.get() + 1);
            bytes + size > MOST.0 || frames >= MOST.1
        };
        let encoding = Encodings::default().of_format::<Lines>(Format::Text, 0, Envelope::Bare);
        let gap = |from_seq| Gap {
            member,
            encoding: encoding.clone(),
            room: "r".parse().unwrap(),
            lost: 1,
            from_seq,
            is_told: true,
        };
        let publication = MemberCopy { bytes: vec![b'x'; size].into(), member, seq };
        _ = waiting.publish(publication, overflow, full, gap);
        looks.get()
    }

    /// Of each entry, whose it is, from which number and how many.
    fn entries(waiting: &Waiting) -> Vec<(u64, u64, u64)> {
        let entry = |entry: &Item| match entry {
            Item::Publication(one) => (one.member.0, one.seq, 0),
            Item::Gap(gap) => (gap.member.0, gap.from_seq, gap.lost),
            _ => (0, 0, 0),
        };
        waiting.entries.iter().map(entry).collect()
    }

    #[test]
    fn a_long_message_takes_the_place_of_thousands_in_one_pass() {
        for overflow in [Overflow::DropOldest, Overflow::Latest] {
            let mut waiting = Waiting::default();
            for seq in 1..=2000 {
                publish(&mut waiting, 1, seq, 10, Overflow::Disconnect);
                publish(&mut waiting, 2, seq, 10, Overflow::DropOldest);
            }
            let looks = publish(&mut waiting, 2, 2001, 40_000, overflow);
            assert!(looks <= 4003, "{looks} looks at 4000 entries");
            let left = entries(&waiting);
            assert_eq!((left.len(), left[1].0, left[1].1), (2002, 2, 1), "a gap in place of all");
            assert_eq!(left.iter().filter(|entry| entry.0 == 1).count(), 2000);
        }
    }

    /// What was dropped one by one, each sought from the front.
    fn drop_one(model: &mut Vec<(u64, u64, u64)>, member: u64) -> bool {
        let Some(place) = model.iter().position(|entry| entry.0 == member && entry.2 == 0) else { return false };
        let before = model[..place].iter().rposition(|entry| entry.0 == member);
        match before {
            Some(before) => {
                model[before].2 += 1;
                model.remove(place);
            }
            None => model[place].2 = 1,
        }
        true
    }

    proptest! {
        #[test]
        fn what_goes_at_once_is_what_would_go_one_by_one(steps in prop::collection::vec((1..4_u64, 0..4_u8, 1..40_u8), 1..60)) {
            let (mut waiting, mut model) = (Waiting::default(), Vec::new());
            let mut sizes = std::collections::HashMap::new();
            for (seq, (member, how, size)) in (1..).zip(steps) {
                let size = usize::from(size) * 1000;
                sizes.insert(seq, size);
                let overflow =
                    [Overflow::DropOldest, Overflow::DropNewest, Overflow::Latest, Overflow::DropOldest][usize::from(how)];
                publish(&mut waiting, member, seq, size, overflow);
                let full = |model: &[(u64, u64, u64)]| {
                    let held = |(_, seq, lost): &(u64, u64, u64)| if *lost == 0 { sizes[seq] } else { 0 };
                    model.iter().map(held).sum::<usize>() + size > MOST.0
                };
                while overflow == Overflow::Latest || (overflow == Overflow::DropOldest && full(&model)) {
                    if !drop_one(&mut model, member) {
                        break;
                    }
                }
                if !full(&model) {
                    model.push((member, seq, 0));
                } else if let Some(last) = model.iter().rposition(|entry| entry.0 == member)
                    && model[last].2 > 0
                {
                    model[last].2 += 1;
                } else {
                    model.push((member, seq, 1));
                }
                prop_assert_eq!(&entries(&waiting), &model);
            }
        }
    }
}
