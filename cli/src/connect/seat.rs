//! How far we have come in one room: which of its messages are new, and behind which one to go on.
//!
//! The server puts every new connection into a room before it can be told where to go on. What is said there meanwhile comes
//! a second time, in its place.

use switchboard::RoomName;
use switchboard::grammar::{Epoch, MessageId};

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Not for showing: it has come, or comes again in its place.
    None,
    /// Asked for.
    Repeated,
    /// Said while we were away.
    Missed,
    Live,
}

#[derive(Debug)]
pub(super) struct Seat {
    pub(super) room: RoomName,
    /// The last message that was shown or is lost, or the last one before we were there.
    last: Option<MessageId>,
    /// We go on behind `last` from here; until then, what comes will come again.
    has_entered: bool,
    /// Up to this number, messages follow each other without a hole.
    until: u64,
    /// The room has begun anew, and its first message has not come.
    is_anew: bool,
    /// Messages that come because they were asked for, whatever their numbers.
    repeated: usize,
}

impl Seat {
    /// A place that is new to us.
    pub(super) fn new(room: RoomName) -> Self {
        Self { room, last: None, has_entered: true, until: 0, is_anew: false, repeated: 0 }
    }

    /// The connection is lost.
    pub(super) fn interrupt(&mut self) {
        *self = Self { last: self.last, has_entered: false, ..Self::new(self.room.clone()) };
    }

    /// The command by which we come back.
    pub(super) fn join(&self) -> String {
        let since = self.last.map_or(String::new(), |last| format!(" since={last}"));
        format!("/join {}{since}", self.room)
    }

    /// The room had `id` as its last message when it took us.
    pub(super) fn enter(&mut self, id: MessageId) {
        if self.has_entered {
            self.last = self.last.or(Some(id));
            return;
        }
        self.until = id.seq;
        // Of another incarnation, it is about to tell so.
        self.has_entered = self.last.get_or_insert(id).epoch == id.epoch;
    }

    /// The room has begun anew, and tells all that it has.
    pub(super) fn reset(&mut self, epoch: Epoch) {
        self.last = Some(MessageId { epoch, seq: 0 });
        (self.has_entered, self.is_anew) = (true, true);
    }

    /// So many messages, from that number, cannot be had any more.
    pub(super) fn skip(&mut self, from_seq: u64, lost: u64) {
        if let Some(last) = &mut self.last {
            last.seq = last.seq.max(from_seq.saturating_add(lost).saturating_sub(1));
        }
    }

    /// The next so many messages were asked for.
    pub(super) fn repeat(&mut self, count: usize) {
        self.repeated = count;
    }

    /// The last message that has come, if any.
    pub(super) fn last(&self) -> Option<MessageId> {
        self.last
    }

    /// What a message is to us.
    pub(super) fn take(&mut self, id: MessageId) -> News {
        if self.repeated > 0 {
            self.repeated -= 1;
            return News::Repeated;
        }
        if !self.has_entered {
            return News::None;
        }
        if let Some(last) = self.last.filter(|last| last.epoch == id.epoch) {
            if id.seq <= last.seq {
                // Behind all that was missed, only what was asked for has an old number.
                return if id.seq > self.until { News::Repeated } else { News::None };
            }
            if id.seq <= self.until && id.seq > last.seq + 1 && !self.is_anew {
                return News::None;
            }
        }
        self.last = Some(id);
        self.is_anew = false;
        if id.seq <= self.until { News::Missed } else { News::Live }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> MessageId {
        text.parse().unwrap()
    }

    fn taken(seat: &mut Seat, numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
        numbers.into_iter().filter(|seq| seat.take(MessageId { seq: *seq, ..id("k3f9-0") }) != News::None).collect()
    }

    /// A seat that has seen message 7 and has lost its connection.
    fn interrupted() -> Seat {
        let mut seat = Seat::new(RoomName::parse("lobby").unwrap());
        seat.enter(id("k3f9-5"));
        // Our own come to others alone, so numbers are missing.
        assert_eq!(taken(&mut seat, [7]), [7]);
        seat.interrupt();
        assert_eq!(seat.join(), "/join lobby since=k3f9-7");
        seat
    }

    #[test]
    fn what_was_missed_comes_once_and_in_order() {
        let mut seat = interrupted();
        assert!(taken(&mut seat, [10]).is_empty(), "it comes again");
        seat.enter(id("k3f9-10"));
        assert_eq!(taken(&mut seat, [10, 8, 9, 10, 12, 14]), [8, 9, 10, 12, 14]);
        // It was said before we came back, and is told by both ways.
        let mut seat = interrupted();
        seat.enter(id("k3f9-9"));
        assert_eq!(taken(&mut seat, [8, 9, 8, 9, 11]), [8, 9, 11]);
    }

    #[test]
    fn what_is_lost_is_passed_over() {
        let mut seat = interrupted();
        seat.enter(id("k3f9-12"));
        seat.skip(8, 3);
        assert_eq!(taken(&mut seat, [11, 12]), [11, 12]);
        assert_eq!(seat.join(), "/join lobby since=k3f9-12");
    }

    #[test]
    fn a_room_that_began_anew_tells_all_that_it_has() {
        let mut seat = interrupted();
        seat.enter(id("p01z-40"));
        assert_eq!(seat.take(id("p01z-40")), News::None, "it comes again");
        seat.reset(id("p01z-0").epoch);
        let all = ["p01z-39", "p01z-40", "p01z-42"];
        assert_eq!(all.map(|text| seat.take(id(text))), [News::Missed, News::Missed, News::Live]);
        assert_eq!(seat.join(), "/join lobby since=p01z-42");
    }

    #[test]
    fn history_is_shown_and_changes_nothing() {
        let mut seat = interrupted();
        seat.enter(id("k3f9-7"));
        seat.repeat(3);
        assert_eq!(taken(&mut seat, [6, 7, 8]), [6, 7, 8]);
        assert_eq!(seat.join(), "/join lobby since=k3f9-7");
    }

    #[test]
    fn a_room_that_told_nothing_has_no_message_to_go_on_behind() {
        let mut seat = Seat::new(RoomName::parse("lobby").unwrap());
        seat.interrupt();
        assert_eq!(seat.join(), "/join lobby");
        seat.enter(id("k3f9-5"));
        assert_eq!(taken(&mut seat, [6]), [6]);
    }
}
