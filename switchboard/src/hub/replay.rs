//! What a member is still to get of a room's past. It is drawn from the room when the member's socket takes it, and what the
//! room has turned over by then is a gap: whoever reads slowly keeps nothing alive.

use super::encoding::MemberEncoding;
use super::log::PageLimit;
use super::posting::Encoded;
use super::room::RoomInner;
use crate::link::Link;
use crate::sync::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use switchboard_proto::{CloseReason, Message, MessageId, Notice, Output, RoomName};

/// Bytes that are drawn at once: little is kept alive, and the room is locked for a moment only.
const DRAWN_BYTES: usize = 16 << 10;

/// A place in a room's past, and where it ends.
pub(crate) struct Replay {
    /// Who reads slowly keeps no room that is empty: once that is forgotten, what is left is a gap.
    room: Weak<RoomInner>,
    name: RoomName,
    /// What the room kept when it was asked for, until the member's socket has had a first chance to take it: else a lively
    /// room would have turned it over before the next tick.
    held: VecDeque<Arc<Message>>,
    /// The last message that was drawn, or told to be lost. Where another incarnation begins meanwhile, what is left of this one is a gap.
    after: MessageId,
    until: u64,
    /// Where a log has what the room does not keep in memory.
    deep: Option<Deep>,
}

/// What is read from the log, and who is told that it is there.
struct Deep {
    link: Weak<Link>,
    asked: Option<Arc<Asked>>,
}

/// A page that the log was asked for.
#[derive(Default)]
struct Asked(Mutex<Option<Vec<Arc<Message>>>>);

/// What a member is told that comes back.
#[derive(Default)]
pub(crate) struct Missed {
    /// Of what is gone.
    pub(crate) notice: Option<Notice>,
    pub(crate) replay: Option<Replay>,
    /// What of that its transport cannot carry in raw: the number of the first, and how many.
    pub(crate) unsaid: Option<(u64, u64)>,
}

impl Missed {
    /// What it alone keeps alive, about.
    pub(crate) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.replay.as_ref().map_or(0, Replay::held_bytes)
    }
}

impl Replay {
    pub(crate) fn new(room: &Arc<RoomInner>, held: VecDeque<Arc<Message>>, after: MessageId, until: u64) -> Self {
        Self { room: Arc::downgrade(room), name: room.name.clone(), held, after, until, deep: None }
    }

    /// The same as far back as the room's log goes, for this connection.
    pub(crate) fn deep(self, link: &Arc<Link>) -> Self {
        Self { deep: Some(Deep { link: Arc::downgrade(link), asked: None }), ..self }
    }

    /// Whether it waits for the log.
    pub(crate) fn is_fetching(&self) -> bool {
        self.deep.as_ref().is_some_and(|deep| deep.asked.is_some())
    }

    /// Takes what comes next from the room, or from its log. Says whether it is there: if not, the link is told once it is.
    fn fetch(&mut self) -> bool {
        let Some(room) = self.room.upgrade() else { return true };
        if let Some(deep) = &mut self.deep
            && let Some(asked) = &deep.asked
        {
            let Some(read) = asked.0.lock().take() else { return false };
            deep.asked = None;
            let read = read.into_iter().filter(|message| (self.after.seq + 1..=self.until).contains(&message.id.seq));
            self.held = read.collect();
            // What the log does not have any more either is gone.
            if self.held.is_empty() {
                self.held = room.draw(self.after, self.until, DRAWN_BYTES);
            }
            return true;
        }
        let kept = room.draw(self.after, self.until, DRAWN_BYTES);
        if let Some(deep) = &mut self.deep
            && kept.front().is_none_or(|first| first.id.seq > self.after.seq + 1)
        {
            let (asked, link) = (Arc::new(Asked::default()), Weak::clone(&deep.link));
            deep.asked = Some(Arc::clone(&asked));
            let limit = PageLimit { messages: usize::MAX, bytes: DRAWN_BYTES };
            room.read_from_log(self.after, limit, move |read| {
                *asked.0.lock() = Some(read.unwrap_or_default());
                if let Some(link) = link.upgrade() {
                    link.fetched();
                }
            });
            return false;
        }
        self.held = kept;
        true
    }

    /// For who may read nothing of it: all is told to be lost.
    pub(crate) fn of_nothing(room: &RoomName, after: MessageId, until: u64) -> Self {
        Self { room: Weak::new(), name: room.clone(), held: VecDeque::new(), after, until, deep: None }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.after.seq >= self.until
    }

    /// What it alone keeps alive, about. The messages count in the room's history, or in an inbox since they have left that:
    /// a crowd that comes back at once has them all in common.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.capacity() * size_of::<Arc<Message>>()
    }

    /// Keeps nothing alive any more.
    pub(crate) fn let_go(&mut self) {
        self.held = VecDeque::new();
    }

    /// Moves what comes next to `output`, until that has `full` bytes. Says how many frames that was; or the member has to end,
    /// and why: messages are gone of which it cannot be told, or a frame cannot be made.
    pub(crate) fn draw(
        &mut self,
        encoding: &MemberEncoding,
        full: usize,
        output: &mut Output,
    ) -> Result<usize, CloseReason> {
        let mut frames = 0;
        while !self.is_over() && output.len() < full {
            if self.held.is_empty() && !self.fetch() {
                return Ok(frames);
            }
            let message = self.held.pop_front();
            let next = message.as_ref().map_or(self.until + 1, |message| message.id.seq);
            let lost = next - self.after.seq - 1;
            if lost > 0 {
                let gap = Notice::Gap { room: self.name.clone(), lost, from_seq: self.after.seq + 1 };
                match encoding.notice(&gap) {
                    Encoded::Frame(bytes) => output.share(bytes),
                    Encoded::Silent => return Err(CloseReason::SlowConsumer),
                    Encoded::Panicked => return Err(CloseReason::HandlerPanic),
                }
                frames += 1;
                self.after.seq += lost;
            }
            let Some(message) = message else { continue };
            self.after = message.id;
            match encoding.message(&message) {
                Encoded::Frame(bytes) => output.share(bytes),
                Encoded::Silent => {}
                Encoded::Panicked => return Err(CloseReason::HandlerPanic),
            }
            frames += 1;
        }
        // The rest has had its chance.
        self.let_go();
        Ok(frames)
    }
}
