//! What was received of rooms that a group tells, in order; and what has to be asked for. Knows no network and no clock but the times it is
//! given.

use super::super::told;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;
use switchboard::grammar::{Event, Message, MessageId, Notice};
use switchboard::{Format, RoomName};
use tokio::time::Instant;

/// Messages behind a gap that wait until it is filled: when there are more, the gap stands.
const HELD: usize = 16_384;

/// Between two requests for what was lost.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a loss waits, at least and at most: it may only be late, and not everybody is to ask at once.
const PAUSE: (u64, u64) = (20, 100);

/// What was received of one room.
#[derive(Debug, Default)]
pub(super) struct Missing {
    room: Option<Followed>,
    /// What is to be shown next, if whatever is lost is asked for.
    asks: bool,
    due: Option<Instant>,
    asked: Option<Instant>,
}

#[derive(Debug)]
struct Followed {
    room: RoomName,
    last: MessageId,
    /// The newest that there is, as far as is known.
    head: u64,
    held: BTreeMap<u64, Bytes>,
}

impl Missing {
    pub(super) fn new(asks: bool) -> Self {
        Self { asks, ..Self::default() }
    }

    /// Takes a datagram. Returns what is to be shown.
    pub(super) fn take(&mut self, datagram: Bytes, now: Instant, random: u64) -> Vec<Bytes> {
        let shown = match told::object(&datagram) {
            Some(Event::Message(message)) => self.message(&message, datagram),
            Some(Event::Notice(Notice::Head { room, id, .. })) => self.head(room, id),
            Some(Event::Notice(Notice::Gap { room, lost, from_seq })) => match &self.room {
                Some(followed) if self.asks && followed.room == room => {
                    let id = MessageId { epoch: followed.last.epoch, seq: (from_seq + lost).saturating_sub(1) };
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
        let mut shown = Vec::new();
        for line in answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match told::object(line) {
                Some(Event::Message(message)) => {
                    let Some(followed) = &mut self.room else { continue };
                    if message.id.epoch != followed.last.epoch || message.id.seq > followed.last.seq {
                        followed.last = message.id;
                        followed.head = followed.head.max(message.id.seq);
                        shown.push(Bytes::copy_from_slice(line));
                    }
                }
                Some(Event::Notice(Notice::Gap { .. } | Notice::Reset { .. })) => {
                    shown.push(Bytes::copy_from_slice(line));
                }
                _ => {}
            }
        }
        shown.extend(self.room.as_mut().map(Followed::flush).unwrap_or_default());
        if self.room.as_ref().is_some_and(|followed| followed.last.seq < followed.head) {
            self.unanswered(now);
        }
        shown
    }

    /// Nobody answers: what is lost is asked for again.
    pub(super) fn unanswered(&mut self, now: Instant) {
        self.due = Some(now + INTERVAL);
    }

    fn message(&mut self, message: &Message, datagram: Bytes) -> Vec<Bytes> {
        let (asks, Message { room, id, .. }) = (self.asks, message);
        let Ok((mut shown, followed)) = self.follow(room, *id, id.seq.saturating_sub(1)) else {
            return vec![datagram];
        };
        if id.seq <= followed.last.seq {
            return shown;
        }
        followed.head = followed.head.max(id.seq);
        let is_next = id.seq == followed.last.seq + 1;
        if is_next || !asks || followed.held.len() >= HELD {
            if !is_next {
                shown.extend(gap(room, followed.last.seq + 1, id.seq));
            }
            let Some(followed) = &mut self.room else { return shown };
            followed.last = *id;
            shown.push(datagram);
            shown.extend(followed.flush());
        } else if let Some(followed) = &mut self.room {
            followed.held.insert(id.seq, datagram);
        }
        shown
    }

    fn head(&mut self, room: RoomName, id: MessageId) -> Vec<Bytes> {
        let Ok((mut shown, followed)) = self.follow(&room, id, id.seq) else { return Vec::new() };
        followed.head = followed.head.max(id.seq);
        if !self.asks
            && let Some(followed) = &mut self.room
            && followed.last.seq < id.seq
        {
            shown.extend(gap(&room, followed.last.seq + 1, id.seq + 1));
            followed.last = id;
        }
        shown
    }

    /// The room that is followed, from `seq` on if it is new or has started over; the first one that is told of is the one.
    fn follow(&mut self, room: &RoomName, id: MessageId, seq: u64) -> Result<(Vec<Bytes>, &mut Followed), ()> {
        let anew = |room: &RoomName| Followed {
            room: room.clone(),
            last: MessageId { epoch: id.epoch, seq },
            head: seq,
            held: BTreeMap::new(),
        };
        let mut shown = Vec::new();
        let followed = self.room.get_or_insert_with(|| anew(room));
        if followed.room != *room {
            return Err(());
        }
        if followed.last.epoch != id.epoch {
            shown.extend(std::mem::take(&mut followed.held).into_values());
            shown.extend(Format::Json.notice(&Notice::Reset { room: room.clone(), epoch: id.epoch }));
            *followed = anew(room);
        }
        Ok((shown, followed))
    }
}

impl Followed {
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
    fn a_room_that_starts_over_is_followed_from_there() {
        let (mut missing, now) = (Missing::new(true), Instant::now());
        missing.take(message(5), now, 0);
        let anew = Bytes::from(r#"{"room":"r","seq":1,"id":"aaaa-1","from":"ann","text":"1"}"#);
        assert_eq!(told(&missing.take(anew, now, 0)), ["reset aaaa", "1"]);
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
