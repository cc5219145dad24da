//! What a room has shown: here each message gets its place, and the last ones are kept.
//!
//! Knows no members and takes no lock: whoever appends holds the room's. What it keeps is in memory, and gone with the room; what is
//! kept beyond that is a log's (`log.rs`).

use super::history::{History, kept_bytes};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;
use switchboard_proto::{Epoch, Message, MessageId, Notice, RoomName, UserName};

/// What one room has had published.
pub(super) struct Timeline {
    /// The incarnation that the numbers are of.
    epoch: Epoch,
    /// The number of the last message.
    seq: u64,
    history: History,
}

/// What a log may keep: of messages so many, and of bytes.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// Who publishes, as a message tells it.
#[derive(Debug, Clone)]
pub(super) struct Byline {
    /// What it calls itself.
    pub(super) from: UserName,
    /// Whom it is shown to be.
    pub(super) user: Option<UserName>,
}

/// Where a message gets its number: the one behind `last`.
#[inline]
pub(super) fn following(last: MessageId) -> MessageId {
    MessageId { seq: last.seq + 1, ..last }
}

impl Timeline {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self { epoch, seq: 0, history: History::default() }
    }

    /// What a log has kept: the newest messages without a hole up to `last`.
    pub(super) fn behind(last: MessageId, newest: Vec<Arc<Message>>) -> Self {
        let mut history = History::default();
        for message in newest {
            history.push(message, usize::MAX, usize::MAX);
        }
        Self { epoch: last.epoch, seq: last.seq, history }
    }

    /// The message that `payload` is if it comes next.
    #[inline]
    pub(super) fn next(&self, room: &RoomName, by: Option<Byline>, payload: Bytes, time: SystemTime) -> Arc<Message> {
        let (from, user) = by.map_or((None, None), |Byline { from, user }| (Some(from), user));
        let id = following(self.last());
        Arc::new(Message { room: room.clone(), id, time, from, user, payload })
    }

    /// Appends the message that comes next, and keeps it as far as `keep` allows. Says by how many bytes what is kept has grown.
    #[expect(clippy::inline_always, reason = "a call of its own is 0.5 % of a publication")]
    #[inline(always)]
    pub(super) fn push(&mut self, message: Arc<Message>, keep: Kept) -> isize {
        self.seq = message.id.seq;
        if keep.messages > 0 { self.history.push(message, keep.messages, keep.bytes) } else { 0 }
    }

    /// The last message, or the point before the first one.
    #[inline]
    pub(super) fn last(&self) -> MessageId {
        MessageId { epoch: self.epoch, seq: self.seq }
    }

    /// Where what is still kept begins for somebody who knows the messages up to `since`: behind which number, and what it is
    /// told of those that are gone.
    pub(super) fn missed(&self, since: MessageId, room: &RoomName) -> (u64, Option<Notice>) {
        let known = self.history.first(self.seq) - 1;
        if since.epoch != self.epoch {
            return (known, Some(Notice::Reset { room: room.clone(), epoch: self.epoch }));
        }
        // Behind one that was not published yet there is nothing to repeat, and nothing is gone.
        let since = since.seq.min(self.seq);
        let lost = known.saturating_sub(since);
        let gap = Notice::Gap { room: room.clone(), lost, from_seq: since + 1 };
        (known.max(since), (lost > 0).then_some(gap))
    }

    /// As [`missed`](Self::missed), for one that may read nothing of it: everything is gone, of another incarnation too what this one has had.
    pub(super) fn unread(&self, since: MessageId, room: &RoomName) -> (u64, Option<Notice>) {
        if since.epoch != self.epoch {
            return (0, Some(Notice::Reset { room: room.clone(), epoch: self.epoch }));
        }
        let lost = self.seq.saturating_sub(since.seq);
        let gap = Notice::Gap { room: room.clone(), lost, from_seq: since.seq.saturating_add(1) };
        (self.seq, (lost > 0).then_some(gap))
    }

    /// What it keeps behind number `seq`.
    pub(super) fn after(&self, seq: u64) -> impl Iterator<Item = &Arc<Message>> {
        self.history.since(seq)
    }

    /// Whether all of what follows `seq` is kept.
    pub(super) fn reaches(&self, seq: u64) -> bool {
        self.history.first(self.seq) <= seq + 1
    }

    /// What it keeps behind number `seq`, unless some of that is not kept.
    pub(super) fn next_to(&self, seq: u64) -> VecDeque<Arc<Message>> {
        if self.reaches(seq) { self.after(seq).cloned().collect() } else { VecDeque::new() }
    }

    /// What it keeps behind number `after` up to `until`: at least one message if there is any, and no more than have about
    /// `bytes`.
    pub(super) fn draw(&self, after: u64, until: u64, bytes: usize) -> VecDeque<Arc<Message>> {
        let mut drawn = 0;
        let within = |message: &&Arc<Message>| {
            let is_within = message.id.seq <= until && drawn <= bytes;
            drawn += kept_bytes(message);
            is_within
        };
        self.after(after).take_while(within).cloned().collect()
    }

    /// The last `count` messages that it keeps.
    pub(super) fn newest(&self, count: usize) -> impl Iterator<Item = &Arc<Message>> {
        self.history.last(count)
    }

    /// The point before those.
    pub(super) fn before_newest(&self, count: usize) -> MessageId {
        let first = self.history.first(self.seq) - 1;
        let seq = self.seq.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX)).max(first);
        MessageId { epoch: self.epoch, seq }
    }

    /// Drops the older half of what it keeps. Says by how many bytes that has shrunk.
    pub(super) fn halve(&mut self) -> usize {
        self.history.halve()
    }

    /// Drops what it keeps up to number `seq`. Says by how many bytes that has shrunk.
    pub(super) fn purge(&mut self, seq: u64) -> usize {
        self.history.purge(seq)
    }

    /// Drops what is older than `oldest`. Says by how many bytes that has shrunk.
    pub(super) fn forget_before(&mut self, oldest: SystemTime) -> usize {
        self.history.forget_before(oldest)
    }

    /// Drops the oldest of what it keeps beyond `keep`. Says by how many bytes that has shrunk.
    pub(super) fn trim(&mut self, keep: Kept) -> usize {
        self.history.trim(keep.messages, keep.bytes)
    }

    /// How many messages it keeps.
    pub(super) fn len(&self) -> usize {
        self.history.len()
    }

    /// Whether it keeps nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.history.is_empty()
    }

    /// Bytes that it keeps.
    pub(super) fn bytes(&self) -> usize {
        self.history.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> RoomName {
        RoomName::parse("ops").expect("a name")
    }

    fn append(log: &mut Timeline, payload: Bytes, time: SystemTime, messages: usize) -> MessageId {
        let message = log.next(&room(), None, payload, time);
        log.push(Arc::clone(&message), Kept { messages, bytes: 1 << 20 });
        message.id
    }

    fn log(messages: usize) -> Timeline {
        let mut log = Timeline::new(Epoch::new(7));
        for number in 1..=5 {
            let id = append(&mut log, Bytes::from(vec![b'x'; number]), SystemTime::UNIX_EPOCH, messages);
            assert_eq!(id, MessageId { epoch: Epoch::new(7), seq: number as u64 });
        }
        log
    }

    fn numbers<'a>(messages: impl IntoIterator<Item = &'a Arc<Message>>) -> Vec<u64> {
        messages.into_iter().map(|message| message.id.seq).collect()
    }

    #[test]
    fn numbers_have_no_holes_and_the_last_messages_are_kept() {
        let mut log = log(3);
        assert_eq!((log.last().seq, log.before_newest(2).seq, log.before_newest(9).seq), (5, 3, 2));
        assert_eq!((numbers(log.after(0)), numbers(log.newest(2))), (vec![3, 4, 5], vec![4, 5]));
        assert_eq!(numbers(&log.draw(2, 4, usize::MAX)), [3, 4]);
        assert_eq!(numbers(&log.draw(2, 5, 0)), [3], "one at least");
        assert!(log.bytes() > 0 && log.halve() > 0);
        assert_eq!(numbers(log.after(0)), [5]);
        assert_eq!(log.last().seq, 5, "what goes takes no number along");
    }

    #[test]
    fn what_is_purged_is_gone_and_told_and_its_numbers_are_not_used_again() {
        let mut log = log(5);
        let since = |log: &Timeline, seq| log.missed(MessageId { epoch: Epoch::new(7), seq }, &room());
        assert!(log.purge(3) > 0);
        assert_eq!((numbers(log.after(0)), log.purge(3)), (vec![4, 5], 0));
        log.purge(5);
        assert_eq!((log.bytes(), since(&log, 5)), (0, (5, None)));
        assert_eq!(since(&log, 2), (5, Some(Notice::Gap { room: room(), lost: 3, from_seq: 3 })));
        let id = append(&mut log, Bytes::from_static(b"x"), SystemTime::UNIX_EPOCH, 5);
        assert_eq!((id.seq, numbers(log.after(0))), (6, vec![6]));
    }

    #[test]
    fn what_nothing_is_kept_of_has_numbers_too() {
        let log = log(0);
        assert!(log.is_empty());
        assert_eq!((log.last().seq, log.before_newest(3).seq), (5, 5));
    }

    #[test]
    fn what_is_too_old_goes_and_is_told_to_be_gone() {
        let mut log = Timeline::new(Epoch::new(7));
        let at = |second| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second);
        for second in [10, 20, 20, 30] {
            append(&mut log, Bytes::from_static(b"x"), at(second), 9);
        }
        let before = log.bytes();
        assert_eq!((log.forget_before(at(10)), numbers(log.after(0))), (0, vec![1, 2, 3, 4]));
        assert_eq!((log.forget_before(at(20)), numbers(log.after(0))), (before / 4, vec![2, 3, 4]));
        assert_eq!((log.forget_before(at(31)), numbers(log.after(0))), (before / 4 * 3, vec![]));
        let since = log.missed(MessageId { epoch: Epoch::new(7), seq: 1 }, &room());
        assert_eq!(since, (4, Some(Notice::Gap { room: room(), lost: 3, from_seq: 2 })));
    }

    #[test]
    fn what_is_gone_is_told() {
        let log = log(3);
        let since = |epoch, seq| log.missed(MessageId { epoch: Epoch::new(epoch), seq }, &room());
        assert_eq!(since(7, 0), (2, Some(Notice::Gap { room: room(), lost: 2, from_seq: 1 })));
        for (seq, behind) in [(2, 2), (4, 4), (5, 5), (9, 5)] {
            assert_eq!(since(7, seq), (behind, None));
        }
        assert_eq!(since(8, 4), (2, Some(Notice::Reset { room: room(), epoch: Epoch::new(7) })));
    }
}
