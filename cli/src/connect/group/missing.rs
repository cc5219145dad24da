//! What was received of rooms that a group tells, in order; and what has to be asked for. Knows no network and no clock but the times it is
//! given.
//!
//! Anybody can send a datagram with any number. As in RFC 3550 A.1, one far ahead of all that was heard is believed once the next one comes
//! behind it, and so are numbers that were given up, if it was somebody's who is not the room. Nor does whoever is heard first decide which room
//! it is, before a second one follows; and a room has started over when two in a row say so.

use super::super::told;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;
use switchboard::grammar::{Event, Message, MessageId, Notice};
use switchboard::{Format, RoomName};
use tokio::time::Instant;

/// Messages behind a gap that wait until it is filled: when there are more, the gap stands.
const HELD: usize = 16_384;

/// Between two requests for what was lost.
const INTERVAL: Duration = Duration::from_secs(1);

/// Requests in a row that brought nothing, after which what was lost is given up.
const FAILURES: u32 = 3;

/// How long a loss waits, at least and at most: it may only be late, and not everybody is to ask at once.
const PAUSE: (u64, u64) = (20, 100);

/// How far ahead of the newest number the next one may be that is believed at once (RFC 3550: `MAX_DROPOUT`).
const FAR: u64 = 3000;

/// How late a message may be that was given up, and is only late (`MAX_MISORDER`).
const LATE: u64 = 100;

/// Gaps whose numbers are known; older ones are known with all that is between them.
const GAPS: usize = 8;

/// What was received of one room.
#[derive(Debug, Default)]
pub(super) struct Missing {
    room: Option<Followed>,
    /// What another room was heard to tell last, while it is open which one it is.
    other: Option<(RoomName, MessageId)>,
    /// What is to be shown next, if whatever is lost is asked for.
    asks: bool,
    due: Option<Instant>,
    asked: Option<Instant>,
    /// Requests in a row that brought nothing.
    failures: u32,
}

#[derive(Debug)]
struct Followed {
    room: RoomName,
    last: MessageId,
    /// What was believed last, and whether one has ever followed another: before, the first may have been anybody's.
    heard: Option<u64>,
    is_sure: bool,
    /// The newest that there is, as far as is known.
    head: u64,
    held: BTreeMap<u64, Bytes>,
    /// What was given up, or never heard.
    gaps: VecDeque<Range<u64>>,
    /// What is believed if its successor is what comes next that is as odd, with its message if it was one.
    doubted: Option<(MessageId, Option<Bytes>)>,
}

impl Missing {
    pub(super) fn new(asks: bool) -> Self {
        Self { asks, ..Self::default() }
    }

    /// Takes a datagram. Returns what is to be shown.
    pub(super) fn take(&mut self, datagram: Bytes, now: Instant, random: u64) -> Vec<Bytes> {
        let shown = match told::object(&datagram) {
            Some(Event::Message(message)) if has_next(message.id) => self.message(&message, datagram),
            Some(Event::Notice(Notice::Head { room, id, .. })) if has_next(id) => self.head(room, id),
            Some(Event::Notice(Notice::Gap { room, lost, from_seq })) => match &self.room {
                Some(followed) if self.asks && followed.room == room => {
                    let id = MessageId { epoch: followed.last.epoch, seq: last_of(from_seq, lost) };
                    self.head(room, id)
                }
                _ => vec![datagram],
            },
            _ => vec![datagram],
        };
        let lacks = self.room.as_ref().is_some_and(|followed| followed.last.seq < followed.head);
        if self.asks && lacks && self.due.is_none() {
            let pause = now + Duration::from_millis(PAUSE.0 + random % (PAUSE.1 - PAUSE.0));
            self.due = Some(self.asked.map_or(pause, |asked| pause.max(asked + INTERVAL)));
        }
        shown
    }

    /// When something is to be asked for.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What is asked for now, below the URL of rooms.
    pub(super) fn ask(&mut self, now: Instant) -> Option<String> {
        (self.due, self.asked) = (None, Some(now));
        let Followed { room, last, head, .. } = self.room.as_ref()?;
        (last.seq < *head).then(|| format!("/rooms/{room}/messages?since={last}"))
    }

    /// Takes an answer, a frame of `json` each; what it does not have is lost. Returns what is to be shown.
    pub(super) fn answered(&mut self, answer: &[u8], now: Instant) -> Vec<Bytes> {
        let Some(followed) = &mut self.room else { return Vec::new() };
        let (before, mut shown) = (followed.last, Vec::new());
        // One that says that the room has started over is shown already.
        let doubted = followed.doubted.as_ref().map(|(id, _)| *id).filter(|id| id.epoch != before.epoch);
        for line in answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match told::object(line) {
                Some(Event::Message(Message { id, .. })) if has_next(id) => {
                    if id.epoch != followed.last.epoch {
                        shown.extend(followed.start_over(MessageId { seq: 0, ..id }));
                    }
                    if id.seq > followed.last.seq {
                        followed.last = id;
                        followed.head = followed.head.max(id.seq);
                        shown.extend((doubted != Some(id)).then(|| Bytes::copy_from_slice(line)));
                    }
                }
                Some(Event::Notice(Notice::Gap { room, lost, from_seq })) if room == followed.room => {
                    let end = last_of(from_seq, lost);
                    followed.head = followed.head.max(end);
                    shown.extend(followed.lose(end));
                }
                Some(Event::Notice(Notice::Reset { room, epoch })) if room == followed.room => {
                    if epoch != followed.last.epoch {
                        shown.extend(followed.start_over(MessageId { epoch, seq: 0 }));
                    }
                    shown.push(Bytes::copy_from_slice(line));
                }
                _ => {}
            }
        }
        shown.extend(followed.flush());
        let (has_advanced, lacks) = (followed.last != before, followed.last.seq < followed.head);
        if has_advanced || !lacks {
            self.failures = 0;
            self.due = lacks.then(|| now + INTERVAL);
        } else {
            shown.extend(self.unanswered(now));
        }
        shown
    }

    /// Nobody answers: what is lost is asked for again, and given up if that was often enough. Returns what is to be shown.
    pub(super) fn unanswered(&mut self, now: Instant) -> Vec<Bytes> {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            return self.refused();
        }
        self.due = Some(now + INTERVAL);
        Vec::new()
    }

    /// Whether the last request brought nothing.
    pub(super) fn is_asking_in_vain(&self) -> bool {
        self.failures > 0
    }

    /// What is lost will not be had. Returns what is to be shown instead.
    pub(super) fn refused(&mut self) -> Vec<Bytes> {
        self.due = None;
        self.room.as_mut().map(|followed| followed.lose(followed.head)).unwrap_or_default()
    }

    fn message(&mut self, message: &Message, datagram: Bytes) -> Vec<Bytes> {
        let (asks, Message { room, id, .. }) = (self.asks, message);
        let Ok((mut shown, followed)) = self.follow(room, *id, id.seq.saturating_sub(1)) else {
            return vec![datagram];
        };
        let is_of_now = followed.last.epoch == id.epoch;
        let kept = is_of_now.then(|| datagram.clone());
        let Some(believed) = followed.weigh(*id, id.seq.checked_sub(1), kept, asks) else {
            // What another server says to the group is shown, as anything that anybody says.
            shown.extend((!is_of_now).then_some(datagram));
            return shown;
        };
        shown.extend(believed);
        if id.seq <= followed.last.seq {
            return shown;
        }
        followed.is_heard(id.seq, id.seq.checked_sub(1));
        followed.head = followed.head.max(id.seq);
        let is_next = id.seq == followed.last.seq + 1;
        if is_next || !asks {
            if !is_next {
                shown.extend(followed.lose(id.seq - 1));
            }
            followed.last = *id;
            shown.push(datagram);
            shown.extend(followed.flush());
        } else {
            followed.held.insert(id.seq, datagram);
            if followed.held.len() > HELD {
                let first = followed.held.keys().next().copied().unwrap_or(id.seq);
                shown.extend(followed.lose(first - 1));
            }
        }
        shown
    }

    fn head(&mut self, room: RoomName, id: MessageId) -> Vec<Bytes> {
        let asks = self.asks;
        let Ok((mut shown, followed)) = self.follow(&room, id, id.seq) else { return Vec::new() };
        let Some(believed) = followed.weigh(id, Some(id.seq), None, asks) else { return shown };
        shown.extend(believed);
        followed.is_heard(id.seq, Some(id.seq));
        followed.head = followed.head.max(id.seq);
        if !asks {
            shown.extend(followed.lose(id.seq));
        }
        shown
    }

    /// The room that is followed, from `seq` on if it is new. The first one of which two in a row are heard is the one.
    fn follow(&mut self, room: &RoomName, id: MessageId, seq: u64) -> Result<(Vec<Bytes>, &mut Followed), ()> {
        let (mut shown, last) = (Vec::new(), MessageId { epoch: id.epoch, seq });
        let anew = || Followed::new(room.clone(), last);
        let followed = self.room.get_or_insert_with(anew);
        if followed.room != *room {
            if followed.is_sure
                || !self.other.replace((room.clone(), id)).is_some_and(|before| follows(&before, room, id))
            {
                return Err(());
            }
            shown.extend(std::mem::replace(followed, anew()).held.into_values());
            followed.is_sure = true;
        }
        Ok((shown, followed))
    }
}

impl Followed {
    fn new(room: RoomName, last: MessageId) -> Self {
        // What was before is nobody's loss; but if the first that was heard was not the room's, what comes is behind it.
        let before = std::iter::once(0..last.seq.saturating_add(1)).collect();
        let (head, held) = (last.seq, BTreeMap::new());
        Self { room, last, heard: None, is_sure: false, head, held, gaps: before, doubted: None }
    }

    /// A number is believed, which follows another one if that was `before` it.
    fn is_heard(&mut self, seq: u64, before: Option<u64>) {
        self.is_sure |= self.heard.is_some() && self.heard == before;
        self.heard = Some(seq);
    }

    /// Begins anew behind `last`. Returns what was held.
    fn start_over(&mut self, last: MessageId) -> Vec<Bytes> {
        let before = std::mem::replace(self, Self::new(self.room.clone(), last));
        before.held.into_values().collect()
    }

    /// Whether a number is further ahead than what may have been lost.
    fn is_far(&self, seq: u64) -> bool {
        seq.saturating_sub(self.head) > FAR
    }

    /// Whether a number was given up long ago, so that whoever had it given up may not have been the room.
    fn is_given_up(&self, seq: u64) -> bool {
        let late = if self.is_sure { LATE } else { 0 };
        self.last.seq.saturating_sub(seq) > late && self.gaps.iter().any(|gap| gap.contains(&seq))
    }

    /// Returns what is to be shown before a message or a heartbeat, unless it is one to doubt. An odd one is believed if what was doubted last
    /// is the one before it, or as new as `newest`; otherwise it is the one that is doubted now, and `kept`.
    fn weigh(&mut self, id: MessageId, newest: Option<u64>, kept: Option<Bytes>, asks: bool) -> Option<Vec<Bytes>> {
        let is_of_now = self.last.epoch == id.epoch;
        if is_of_now && !self.is_far(id.seq) && !self.is_given_up(id.seq) {
            // The room goes on: whoever says that it has started over is somebody else.
            self.doubted.take_if(|(doubted, _)| doubted.epoch != id.epoch);
            return Some(Vec::new());
        }
        let speaks_for = |doubted: MessageId| {
            let are_before = newest.map(|newest| id.seq.saturating_sub(1)..=newest);
            doubted.epoch == id.epoch && are_before.is_some_and(|before| before.contains(&doubted.seq))
        };
        match self.doubted.take() {
            Some((doubted, _)) if !is_of_now && speaks_for(doubted) => {
                let mut shown = self.start_over(doubted);
                (self.heard, self.is_sure) = (Some(doubted.seq), true);
                shown.extend(Format::Json.notice(&Notice::Reset { room: self.room.clone(), epoch: id.epoch }));
                Some(shown)
            }
            Some((doubted, frame)) if speaks_for(doubted) => Some(self.believe(doubted.seq, frame, asks)),
            _ => {
                self.doubted = Some((id, kept));
                None
            }
        }
    }

    /// Goes where `seq` is, as the room is there. Returns what is to be shown.
    fn believe(&mut self, seq: u64, frame: Option<Bytes>, asks: bool) -> Vec<Bytes> {
        (self.heard, self.is_sure) = (Some(seq), true);
        if seq <= self.last.seq {
            self.gaps.retain_mut(|gap| {
                gap.end = gap.end.min(seq);
                !gap.is_empty()
            });
            (self.last.seq, self.head) = (seq, seq);
            return frame.into_iter().collect();
        }
        if asks {
            self.held.extend(frame.map(|frame| (seq, frame)));
            self.head = seq;
            return Vec::new();
        }
        let mut shown = self.lose(seq - 1);
        if let Some(frame) = frame {
            (self.last.seq, self.head) = (seq, seq);
            shown.push(frame);
        }
        shown
    }

    /// Goes on behind `end`: what was not received until there is lost, and what was held is shown.
    fn lose(&mut self, end: u64) -> Vec<Bytes> {
        let mut shown = self.flush();
        while self.last.seq < end {
            let behind = end.saturating_add(1);
            let next = self.held.keys().next().map_or(behind, |held| behind.min(*held));
            shown.extend(gap(&self.room, self.last.seq + 1, next));
            self.given_up(self.last.seq + 1..next);
            self.last.seq = next - 1;
            shown.extend(self.flush());
        }
        shown
    }

    fn given_up(&mut self, gap: Range<u64>) {
        self.gaps.push_back(gap);
        if self.gaps.len() > GAPS
            && let Some(oldest) = self.gaps.pop_front()
            && let Some(next) = self.gaps.front_mut()
        {
            next.start = oldest.start;
        }
    }

    /// What can be shown of what was held.
    fn flush(&mut self) -> Vec<Bytes> {
        self.held = self.held.split_off(&(self.last.seq + 1));
        let mut shown = Vec::new();
        while let Some(entry) = self.held.first_entry().filter(|entry| *entry.key() == self.last.seq + 1) {
            self.last.seq = *entry.key();
            shown.push(entry.remove());
        }
        shown
    }
}

/// Whether a room, which has told of something before, goes on there: with the next message, or with a heartbeat that tells of the same one.
fn follows((room, before): &(RoomName, MessageId), told: &RoomName, id: MessageId) -> bool {
    room == told && before.epoch == id.epoch && (before.seq..=before.seq.saturating_add(1)).contains(&id.seq)
}

/// Whether another message can be behind it: no room's numbers come this far, but anybody's datagram says what it likes.
fn has_next(id: MessageId) -> bool {
    id.seq < u64::MAX
}

/// The last number of a gap.
fn last_of(from_seq: u64, lost: u64) -> u64 {
    from_seq.saturating_add(lost).saturating_sub(1)
}

/// What is told of numbers that are not there, up to `end`.
fn gap(room: &RoomName, from_seq: u64, end: u64) -> Option<Bytes> {
    Format::Json.notice(&Notice::Gap { room: room.clone(), lost: end - from_seq, from_seq })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: u64) -> Bytes {
        format!(r#"{{"room":"r","seq":{seq},"id":"k3f9-{seq}","from":"ann","text":"{seq}"}}"#).into()
    }

    fn head(seq: u64) -> Bytes {
        format!(r#"{{"event":"head","room":"r","id":"k3f9-{seq}"}}"#).into()
    }

    /// A message and a heartbeat of the room once it has started over.
    fn anew(seq: u64) -> [Bytes; 2] {
        [message(seq), head(seq)].map(|frame| String::from_utf8_lossy(&frame).replace("k3f9", "aaaa").into())
    }

    /// The numbers of messages, and what else there is.
    fn told(shown: &[Bytes]) -> Vec<String> {
        let text = |frame: &Bytes| match told::object(frame) {
            Some(Event::Message(message)) => message.id.seq.to_string(),
            Some(Event::Notice(Notice::Gap { lost, from_seq, .. })) => format!("gap {from_seq}+{lost}"),
            Some(Event::Notice(Notice::Reset { epoch, .. })) => format!("reset {epoch}"),
            _ => String::from_utf8_lossy(frame).into_owned(),
        };
        shown.iter().map(text).collect()
    }

    #[test]
    fn what_is_lost_is_asked_for_once_and_shown_in_its_place() {
        let (mut missing, now) = (Missing::new(true), Instant::now());
        assert_eq!(told(&missing.take(message(5), now, 0)), ["5"], "what was before is not missed");
        assert!(missing.take(message(8), now, 30).is_empty());
        assert!(missing.take(message(9), now, 0).is_empty());
        assert_eq!(missing.due(), Some(now + Duration::from_millis(50)));
        assert_eq!(missing.ask(now).unwrap(), "/rooms/r/messages?since=k3f9-5");
        let answer = [message(6), message(7), message(8)].join(&b'\n');
        assert_eq!(told(&missing.answered(&answer, now)), ["6", "7", "8", "9"]);
        assert!(missing.take(message(7), now, 0).is_empty(), "it came late");
        assert_eq!(told(&missing.take(message(10), now, 0)), ["10"]);
        assert_eq!(missing.due(), None);
        missing.take(message(12), now, 0);
        assert_eq!(missing.due(), Some(now + INTERVAL), "once a second");
    }

    #[test]
    fn the_last_message_is_missed_by_the_heartbeat_behind_it() {
        let (mut missing, now) = (Missing::new(true), Instant::now());
        missing.take(head(3), now, 0);
        assert_eq!(missing.due(), None, "nothing is missed that was before");
        missing.take(head(4), now, 0);
        assert!(missing.due().is_some());
        missing.unanswered(now);
        assert_eq!(missing.due(), Some(now + INTERVAL));
        assert_eq!(missing.ask(now).unwrap(), "/rooms/r/messages?since=k3f9-3");
        assert_eq!(told(&missing.answered(&message(4), now)), ["4"]);
        let gone = [&br#"{"event":"gap","room":"r","lost":1,"from_seq":5}"#[..], &message(6)].join(&b'\n');
        missing.take(message(6), now, 0);
        assert_eq!(told(&missing.answered(&gone, now)), ["gap 5+1", "6"]);
    }

    #[test]
    fn what_is_refused_is_a_gap_and_what_is_behind_it_is_shown() {
        let (mut missing, now) = (Missing::new(true), Instant::now());
        for seq in [1, 3, 4, 7] {
            missing.take(message(seq), now, 0);
        }
        missing.take(head(9), now, 0);
        missing.ask(now);
        assert_eq!(told(&missing.refused()), ["gap 2+1", "3", "4", "gap 5+2", "7", "gap 8+2"]);
        assert_eq!(missing.due(), None);
        assert_eq!(told(&missing.take(message(10), now, 0)), ["10"]);
    }

    #[test]
    fn what_nobody_has_is_given_up_and_after_that_at_once() {
        let (mut missing, now) = (Missing::new(true), Instant::now());
        missing.take(message(1), now, 0);
        missing.take(message(3), now, 0);
        assert!(missing.unanswered(now).is_empty());
        assert!(missing.answered(b"<p>Welcome to nginx!", now).is_empty(), "this is no answer either");
        assert_eq!(missing.due(), Some(now + INTERVAL));
        assert_eq!(told(&missing.answered(b"", now)), ["gap 2+1", "3"]);
        missing.take(message(5), now, 0);
        assert_eq!(told(&missing.unanswered(now)), ["gap 4+1", "5"]);
        missing.take(message(7), now, 0);
        assert_eq!(told(&missing.answered(&message(6), now)), ["6", "7"]);
        missing.take(message(9), now, 0);
        assert!(missing.unanswered(now).is_empty(), "somebody is there again");
    }

    #[test]
    fn a_gap_that_was_answered_is_not_asked_for_again() {
        let (mut missing, now) = (Missing::new(true), Instant::now());
        missing.take(message(1), now, 0);
        missing.take(message(3), now, 0);
        missing.take(head(5), now, 0);
        missing.ask(now);
        let purged = br#"{"event":"gap","room":"r","lost":4,"from_seq":2}"#;
        assert_eq!(told(&missing.answered(purged, now)), ["gap 2+1", "3", "gap 4+2"], "what was received is shown");
        assert_eq!(missing.due(), None);
        assert_eq!(missing.ask(now), None);
        assert_eq!(told(&missing.take(message(6), now, 0)), ["6"]);
    }

    #[test]
    fn a_room_that_the_answer_says_started_over_is_followed_from_there() {
        let (mut missing, now) = (Missing::new(true), Instant::now());
        missing.take(message(5), now, 0);
        missing.take(message(7), now, 0);
        missing.ask(now);
        let reset = br#"{"event":"reset","room":"r","epoch":"aaaa"}"#;
        assert_eq!(told(&missing.answered(reset, now)), ["7", "reset aaaa"]);
        assert_eq!(missing.due(), None);
        let anew = Bytes::from(r#"{"room":"r","seq":1,"id":"aaaa-1","from":"ann","text":"1"}"#);
        assert_eq!(told(&missing.take(anew, now, 0)), ["1"]);
    }

    #[test]
    fn of_more_than_can_be_held_only_what_is_missing_is_lost() {
        let (mut missing, now) = (Missing::new(true), Instant::now());
        missing.take(message(1), now, 0);
        let held = HELD as u64;
        for seq in 3..3 + held {
            assert!(missing.take(message(seq), now, 0).is_empty());
        }
        let shown = told(&missing.take(message(3 + held), now, 0));
        assert_eq!((shown.len(), &*shown[0], &*shown[1]), (HELD + 2, "gap 2+1", "3"));
    }

    #[test]
    fn one_forged_datagram_with_a_far_number_silences_nobody() {
        let far = 9_000_000_000;
        for asks in [false, true] {
            for forged in [message(far), head(far)] {
                let (mut missing, now) = (Missing::new(asks), Instant::now());
                assert_eq!(told(&missing.take(message(5), now, 0)), ["5"]);
                assert!(missing.take(forged.clone(), now, 0).is_empty());
                for seq in 6..9 {
                    assert_eq!(told(&missing.take(message(seq), now, 0)), [seq.to_string()]);
                }
                assert_eq!(missing.due(), None, "nothing is asked for that one datagram alone says");
            }
        }
    }

    #[test]
    fn a_listener_that_believed_forgers_comes_back_with_the_second_message_of_the_room() {
        for asks in [false, true] {
            // Of a far number with its successor, of a near one, and of the first one that is heard.
            for forged in [vec![message(9_000_000), message(9_000_001)], vec![message(2000)], vec![head(2000)]] {
                for heard in [None, Some(message(5))] {
                    let (mut missing, now) = (Missing::new(asks), Instant::now());
                    for datagram in heard.iter().chain(&forged) {
                        missing.take(datagram.clone(), now, 0);
                    }
                    if missing.due().is_some() {
                        missing.ask(now);
                        missing.refused();
                    }
                    assert!(missing.take(message(6), now, 0).is_empty());
                    assert_eq!(told(&missing.take(message(7), now, 0)), ["6", "7"]);
                    assert_eq!(told(&missing.take(message(8), now, 0)), ["8"]);
                    missing.take(message(10), now, 0);
                    assert_eq!(missing.due().is_some(), asks, "what is lost from now on is asked for");
                }
            }
        }
    }

    #[test]
    fn whoever_was_away_for_long_goes_on_with_the_second_message_or_heartbeat() {
        for (second, shown) in
            [(message(9001), ["gap 6+8994", "9000", "9001"].as_slice()), (head(9000), &["gap 6+8994", "9000"])]
        {
            let (mut missing, now) = (Missing::new(false), Instant::now());
            missing.take(message(5), now, 0);
            assert!(missing.take(message(9000), now, 0).is_empty());
            assert_eq!(told(&missing.take(second.clone(), now, 0)), shown);
            let mut asking = Missing::new(true);
            asking.take(message(5), now, 0);
            asking.take(message(9000), now, 0);
            assert!(asking.take(second, now, 0).is_empty() && asking.due().is_some());
            assert_eq!(told(&asking.refused())[..2], shown[..2]);
        }
    }

    #[test]
    fn what_was_repaired_and_comes_late_is_not_shown_again() {
        let (mut missing, now) = (Missing::new(true), Instant::now());
        missing.take(message(1), now, 0);
        missing.take(message(1000), now, 0);
        missing.ask(now);
        let answer: Vec<_> = (2..1000).map(message).collect();
        assert_eq!(missing.answered(&answer.join(&b'\n'), now).len(), 999);
        for seq in 2..1000 {
            assert!(missing.take(message(seq), now, 0).is_empty(), "{seq}");
        }
    }

    /// Of another room, which anybody may make up.
    fn forged(seq: u64) -> Bytes {
        format!(r#"{{"room":"forged","seq":{seq},"id":"zzzz-{seq}","from":"eve","text":"forged"}}"#).into()
    }

    #[test]
    fn whoever_is_heard_first_does_not_decide_which_room_it_is() {
        for first in [forged(7), Bytes::from(r#"{"event":"head","room":"forged","id":"zzzz-7"}"#)] {
            let (mut missing, now) = (Missing::new(true), Instant::now());
            missing.take(first, now, 0);
            assert_eq!(told(&missing.take(message(5), now, 0)), ["5"]);
            assert_eq!(told(&missing.take(message(6), now, 0)), ["6"], "the second in a row is the room's");
            assert!(missing.take(message(8), now, 0).is_empty(), "so what is missing is missed");
            assert_eq!(missing.ask(now).as_deref(), Some("/rooms/r/messages?since=k3f9-6"));
        }
    }

    #[test]
    fn a_room_that_was_heard_twice_in_a_row_stays_the_one() {
        for second in [message(6), head(5)] {
            let (mut missing, now) = (Missing::new(true), Instant::now());
            missing.take(message(5), now, 0);
            missing.take(second, now, 0);
            for seq in 7..10 {
                assert_eq!(missing.take(forged(seq), now, 0).len(), 1, "shown, as anything that anybody says");
            }
            assert!(missing.take(message(9), now, 0).is_empty());
            assert!(missing.ask(now).unwrap().starts_with("/rooms/r/"));
        }
    }

    #[test]
    fn a_first_number_a_little_ahead_costs_one_message_and_heartbeats_alone_find_back() {
        for asks in [false, true] {
            let (mut missing, now) = (Missing::new(asks), Instant::now());
            missing.take(message(120), now, 0);
            assert!(missing.take(message(51), now, 0).is_empty());
            assert_eq!(told(&missing.take(message(52), now, 0)), ["51", "52"]);

            let (mut missing, now) = (Missing::new(asks), Instant::now());
            missing.take(message(120), now, 0);
            missing.take(head(50), now, 0);
            missing.take(head(50), now, 0);
            assert_eq!(told(&missing.take(message(51), now, 0)), ["51"]);
        }
    }

    #[test]
    fn gaps_that_are_remembered_are_few_and_those_before_them_are_in_the_oldest() {
        let (mut missing, now) = (Missing::new(false), Instant::now());
        missing.take(message(1), now, 0);
        for seq in 1..100 {
            missing.take(message(seq * 1000), now, 0);
        }
        assert_eq!(missing.room.as_ref().unwrap().gaps.len(), GAPS);
        assert!(missing.take(message(2500), now, 0).is_empty());
        assert_eq!(told(&missing.take(message(2501), now, 0)), ["2500", "2501"]);
    }

    #[test]
    fn the_largest_numbers_there_are_end_nothing() {
        for asks in [false, true] {
            for first in [message(5), message(u64::MAX), message(u64::MAX - 1), head(u64::MAX), head(u64::MAX - 1)] {
                let (mut missing, now) = (Missing::new(asks), Instant::now());
                let gap = |from_seq: u64, lost: u64| {
                    Bytes::from(format!(r#"{{"event":"gap","room":"r","lost":{lost},"from_seq":{from_seq}}}"#))
                };
                let all =
                    [message(u64::MAX), head(u64::MAX), gap(u64::MAX, u64::MAX), gap(0, 0), message(u64::MAX - 1)];
                missing.take(first, now, 0);
                for frame in &all {
                    missing.take(frame.clone(), now, 0);
                    missing.ask(now);
                    missing.answered(frame, now);
                }
                missing.refused();
            }
        }
    }

    #[test]
    fn a_room_that_starts_over_is_followed_with_its_second_message_or_heartbeat() {
        for asks in [false, true] {
            let [[first, beat], [second, _], [third, _]] = [1, 2, 3].map(anew);
            for (behind, shown) in [(second.clone(), &["reset aaaa", "2"][..]), (beat, &["reset aaaa"])] {
                let (mut missing, now) = (Missing::new(asks), Instant::now());
                missing.take(message(5), now, 0);
                assert_eq!(told(&missing.take(first.clone(), now, 0)), ["1"]);
                assert_eq!(told(&missing.take(behind, now, 0)), shown);
                assert_eq!(missing.due(), None);
                missing.take(third.clone(), now, 0);
                assert_eq!(missing.due().is_some(), asks && shown.len() == 1, "from now on it is this one");
            }
        }
    }

    #[test]
    fn one_forged_datagram_of_another_epoch_starts_nothing_over() {
        for asks in [false, true] {
            let [[forged, beat], [next, _]] = [700, 701].map(anew);
            let (mut missing, now) = (Missing::new(asks), Instant::now());
            assert_eq!(told(&missing.take(message(5), now, 0)), ["5"]);
            for seq in 6..9 {
                assert!(missing.take(beat.clone(), now, 0).is_empty());
                assert_eq!(told(&missing.take(message(seq), now, 0)), [seq.to_string()]);
            }
            assert_eq!(told(&missing.take(forged.clone(), now, 0)), ["700"], "shown, as anything that anybody says");
            missing.take(message(10), now, 0);
            assert_eq!(told(&missing.take(next.clone(), now, 0)), ["701"], "the room has gone on meanwhile");
            assert_eq!(missing.due().is_some(), asks, "what is lost of the room is still asked for");
        }
    }

    #[test]
    fn the_message_that_says_that_a_room_has_started_over_is_shown_once() {
        let (mut missing, now) = (Missing::new(true), Instant::now());
        missing.take(message(5), now, 0);
        missing.take(message(7), now, 0);
        let [[first, _], [second, _]] = [1, 2].map(anew);
        assert_eq!(told(&missing.take(first.clone(), now, 0)), ["1"]);
        missing.ask(now);
        let answer = [&br#"{"event":"reset","room":"r","epoch":"aaaa"}"#[..], &first, &second].join(&b'\n');
        assert_eq!(told(&missing.answered(&answer, now)), ["7", "reset aaaa", "2"]);
    }

    #[test]
    fn without_anybody_to_ask_a_gap_is_told() {
        let (mut missing, now) = (Missing::new(false), Instant::now());
        missing.take(message(5), now, 0);
        assert_eq!(told(&missing.take(message(8), now, 0)), ["gap 6+2", "8"]);
        assert_eq!(told(&missing.take(head(9), now, 0)), ["gap 9+1"]);
        assert_eq!(told(&missing.take(Bytes::from("21.5"), now, 0)), ["21.5"]);
        assert_eq!(missing.due(), None);
    }
}
