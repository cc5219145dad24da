//! What a hub should hold, and what each of its members should be told: by the shortest rules there are.
//!
//! Knows nothing of outboxes: a member that is behind so far that one may be full may lose what its overflow lets it lose,
//! if it is told so, or be disconnected. Everybody else gets everything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use switchboard::grammar::{Message, MessageId, Notice};
use switchboard::{Format, Overflow, RoomName};
use tokio::time::Instant;

/// Messages that a room keeps.
pub(crate) const HISTORY: usize = 8;
/// Frames that a member's outbox takes.
pub(crate) const OUTBOX_FRAMES: usize = 32;
/// New names that all are told within a second.
const NAMED_RENAMES: usize = 10;
/// Bytes that are on their way to a member without being in its outbox.
const PIPE_BYTES: usize = 64 << 10;

/// A room that should be there.
pub(crate) struct Room {
    pub(crate) name: RoomName,
    pub(crate) last: MessageId,
    pub(crate) history: VecDeque<Arc<Message>>,
    /// In the order in which they came.
    pub(crate) seats: Vec<Seat>,
    /// When members took other names, of late.
    renames: Vec<Instant>,
}

/// Somebody's place in a room.
pub(crate) struct Seat {
    pub(crate) slot: usize,
    pub(crate) overflow: Overflow,
    pub(crate) echo: bool,
    pub(crate) will: Option<String>,
}

impl Room {
    pub(crate) fn new(name: RoomName, last: MessageId) -> Self {
        Self { name, last, history: VecDeque::new(), seats: Vec::new(), renames: Vec::new() }
    }

    /// Whether all are told one more new name. If not, it is counted, which tells nobody whose it is.
    pub(crate) fn names(&mut self) -> bool {
        let now = Instant::now();
        self.renames.retain(|renamed| now - *renamed < Duration::from_secs(2));
        self.renames.push(now);
        self.renames.len() <= NAMED_RENAMES
    }

    pub(crate) fn keep(&mut self, message: Arc<Message>) {
        self.last = message.id;
        self.history.push_back(message);
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    /// What a member is told that knows the messages up to `since`.
    pub(crate) fn missed(&self, since: MessageId) -> (Option<Notice>, Vec<Arc<Message>>) {
        let room = self.name.clone();
        if since.epoch != self.last.epoch {
            let reset = Notice::Reset { room, epoch: self.last.epoch };
            return (Some(reset), self.history.iter().cloned().collect());
        }
        let kept: Vec<_> = self.history.iter().filter(|message| message.id.seq > since.seq).cloned().collect();
        let lost = self.last.seq.saturating_sub(since.seq) - kept.len() as u64;
        let gap = Notice::Gap { room, lost, from_seq: since.seq + 1 };
        ((lost > 0).then_some(gap), kept)
    }
}

/// One line that a member should get.
struct Expected {
    /// None for what it is told alone, which comes behind what all rooms were told before.
    room: Option<RoomName>,
    /// What was published behind it does not come before it.
    keeps_place: bool,
    /// The number of a message that may be lost.
    droppable: Option<u64>,
    /// It is drawn from the room's past when its turn comes, and may be gone by then.
    repeated: bool,
    /// A message that was published while the member was there.
    live: bool,
    line: String,
}

/// What one member has not been told yet.
#[derive(Default)]
pub(crate) struct Hearing {
    expected: Vec<Expected>,
    /// What it was told alone while it was leaving.
    perhaps: Vec<String>,
    bytes: usize,
    frames: usize,
    /// Its outbox may have been full.
    pressed: bool,
}

impl Hearing {
    pub(crate) fn message(&mut self, message: &Message, format: Format, overflow: Overflow) {
        // Raw payloads leave no place to tell of a loss, but they may be lost when the format has changed.
        let droppable = overflow != Overflow::Disconnect;
        // One is enough where only the newest is queued.
        self.pressed |= overflow == Overflow::Latest && self.frames > 0;
        self.expect(Some(message.room.clone()), droppable.then_some(message.id.seq), line(message, format));
        self.expected.last_mut().unwrap().live = true;
    }

    /// It asks for what came behind a message: what is on its way to it is part of that.
    pub(crate) fn repeat(&mut self, missed: (Option<Notice>, Vec<Arc<Message>>), room: &RoomName, format: Format) {
        let on_their_way = self.expected.len().saturating_sub(self.frames);
        let is_part = |expected: &mut Expected| expected.live && expected.room.as_ref() == Some(room);
        self.frames -= self.expected.extract_if(on_their_way.., is_part).count();
        if let Some(notice) = missed.0 {
            self.notice(&notice, room, format);
        }
        for message in missed.1 {
            self.expect(Some(room.clone()), Some(message.id.seq), line(&message, format));
            self.expected.last_mut().unwrap().repeated = true;
        }
    }

    pub(crate) fn notice(&mut self, notice: &Notice, room: &RoomName, format: Format) {
        if let Some(text) = format.notice(notice) {
            self.expect(Some(room.clone()), None, String::from_utf8(text.to_vec()).unwrap());
        }
    }

    /// One of the first of a tick `keeps_place`.
    pub(crate) fn alone(&mut self, line: String, keeps_place: bool) {
        self.expect(None, None, line);
        self.expected.last_mut().unwrap().keeps_place = keeps_place;
    }

    fn expect(&mut self, room: Option<RoomName>, droppable: Option<u64>, line: String) {
        self.bytes += line.len() + 1;
        self.frames += 1;
        self.pressed |= self.bytes > PIPE_BYTES || self.frames > OUTBOX_FRAMES;
        self.expected.push(Expected { room, keeps_place: true, droppable, repeated: false, live: false, line });
    }

    /// Everything that was posted has been delivered, as far as its socket takes it.
    pub(crate) fn settle(&mut self) {
        self.frames = 0;
    }

    /// It leaves. What is on its way to it from a room still comes, what somebody tells it alone may be too late.
    pub(crate) fn leave(&mut self) {
        let on_their_way = self.expected.len().saturating_sub(self.frames);
        for late in self.expected.extract_if(on_their_way.., |expected| expected.room.is_none()) {
            self.perhaps.push(late.line);
        }
    }

    /// Whether it may be told no more just now: of a quarter of its outbox, one sender may have half.
    pub(crate) fn is_crowded(&self) -> bool {
        self.pressed || self.frames >= OUTBOX_FRAMES / 8
    }

    pub(crate) fn is_pressed(&self) -> bool {
        self.pressed
    }

    /// Whether it has been told everything, by what it has read.
    pub(crate) fn is_complete(&mut self) -> bool {
        if self.expected.is_empty() {
            (self.bytes, self.pressed) = (0, false);
        }
        self.expected.is_empty()
    }

    /// Takes in a line: the next one of some room, or a gap in place of it.
    pub(crate) fn hear(&mut self, line: &str) {
        let mut asked: Vec<&RoomName> = Vec::new();
        let mut found = None;
        for (place, expected) in self.expected.iter().enumerate() {
            let Some(room) = &expected.room else {
                // Behind everything before it.
                found = (place == 0 && expected.line == line).then_some((place, 0));
                if found.is_some() || expected.keeps_place {
                    break;
                }
                continue;
            };
            if asked.contains(&room) {
                continue;
            }
            if expected.line == line {
                found = Some((place, 0));
                break;
            }
            if let Some(lost) = self.lost(line, room, expected.droppable) {
                found = Some((place, lost));
                break;
            }
            asked.push(room);
        }
        match found {
            Some((place, 0)) => _ = self.expected.remove(place),
            Some((place, lost)) => self.lose(place, lost),
            None if self.perhaps.iter().any(|late| late == line) => {}
            None => panic!("{line:.200} is not what comes next: {}", self.describe()),
        }
    }

    /// How many messages `line` says were lost from this one on, if that is what it says.
    fn lost(&self, line: &str, room: &RoomName, droppable: Option<u64>) -> Option<usize> {
        let from_seq = droppable?;
        let says = |lost: usize| {
            let gap = Notice::Gap { room: room.clone(), lost: lost as u64, from_seq };
            // In the format of the time at which it was lost.
            [Format::Text, Format::Json]
                .iter()
                .any(|format| format.notice(&gap).is_some_and(|text| *text == *line.as_bytes()))
        };
        (1..=self.expected.len()).find(|lost| says(*lost))
    }

    /// Takes out messages of one room that were lost; what is never lost stays where it is among them.
    fn lose(&mut self, place: usize, lost: usize) {
        let room = self.expected[place].room.clone();
        let (mut left, pressed) = (lost, self.pressed);
        self.expected.retain(|expected| {
            let is_one = left > 0 && expected.room == room && expected.droppable.is_some();
            assert!(!is_one || pressed || expected.repeated, "a member that is not behind has lost {lost}");
            left -= usize::from(is_one);
            !is_one
        });
        assert_eq!(left, 0, "more were lost than were published");
    }

    pub(crate) fn describe(&self) -> String {
        let lines = self.expected.iter().take(10).map(|expected| format!("{:.60}", expected.line));
        format!("{:#?} of {}", lines.collect::<Vec<_>>(), self.expected.len())
    }
}

fn line(message: &Message, format: Format) -> String {
    let mut line = Vec::new();
    format.message(message, &mut line);
    String::from_utf8(line).unwrap()
}
