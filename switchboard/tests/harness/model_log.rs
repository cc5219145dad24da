//! A log in memory that answers when the test says so: it keeps what it is asked to, fails, or is never heard of again.

use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use switchboard::grammar::Message;
use switchboard::log::{Cursor, Done, LogError, PageLimit, Retention, RoomLog, StoredRoom};
use switchboard::{Hub, MessageId, RoomName};

/// What the log has of each room, in order.
type Kept = BTreeMap<RoomName, Vec<Arc<Message>>>;

#[derive(Default)]
pub(crate) struct ModelLog {
    kept: Mutex<Kept>,
    asked: Mutex<VecDeque<Asked>>,
    /// What it was told to keep of rooms.
    pub(crate) retained: Mutex<BTreeMap<RoomName, Retention>>,
}

/// What a log was asked for and has not done.
pub(crate) enum Asked {
    Append { room: RoomName, after: MessageId, batch: Vec<Arc<Message>>, done: Done<MessageId> },
    Read { room: RoomName, from: Cursor, limit: PageLimit, done: Done<Vec<Arc<Message>>> },
    Forget { room: RoomName, done: Done<()> },
    Purge { room: RoomName, upto: MessageId, done: Done<()> },
}

impl Asked {
    pub(crate) fn fail(self) {
        let error = LogError::unavailable("the disk is full");
        match self {
            Self::Append { done, .. } => done(Err(error)),
            Self::Read { done, .. } => done(Err(error)),
            Self::Forget { done, .. } | Self::Purge { done, .. } => done(Err(error)),
        }
    }
}

impl ModelLog {
    /// A hub that it keeps, with the rooms that it has.
    pub(crate) fn hub(self: &Arc<Self>) -> Hub {
        Hub::builder().log(Arc::clone(self) as Arc<dyn RoomLog>).build().unwrap()
    }

    /// Has it do all that it was asked for, also meanwhile. Says how many things that were.
    pub(crate) fn answer(&self) -> usize {
        std::iter::from_fn(|| self.answer_one()).count()
    }

    /// The next thing that it was asked for.
    pub(crate) fn answer_one(&self) -> Option<()> {
        let next = self.asked.lock().pop_front()?;
        match next {
            Asked::Append { room, after, batch, done } => done(self.append_now(&room, after, &batch)),
            Asked::Read { room, from, limit, done } => done(Ok(self.read_now(&room, from, limit))),
            Asked::Forget { room, done } => {
                self.kept.lock().remove(&room);
                done(Ok(()));
            }
            Asked::Purge { room, upto, done } => {
                let mut kept = self.kept.lock();
                let messages = kept.get_mut(&room).into_iter();
                messages
                    .for_each(|all| all.retain(|message| message.id.epoch != upto.epoch || message.id.seq > upto.seq));
                drop(kept);
                done(Ok(()));
            }
        }
        Some(())
    }

    /// Fails the next thing that it was asked for.
    pub(crate) fn fail_one(&self) {
        let next = self.asked.lock().pop_front().unwrap();
        next.fail();
    }

    /// Is never heard of again about what it was asked for.
    pub(crate) fn drop_all(&self) {
        let asked = std::mem::take(&mut *self.asked.lock());
        drop(asked);
    }

    /// How many things it was asked for and has not done.
    pub(crate) fn is_asked(&self) -> usize {
        self.asked.lock().len()
    }

    /// The numbers that it has of a room.
    pub(crate) fn numbers(&self, room: &str) -> Vec<u64> {
        let kept = self.kept.lock();
        kept.get(&room.parse().unwrap()).into_iter().flatten().map(|message| message.id.seq).collect()
    }

    /// Drops the oldest of a room, as retention does.
    pub(crate) fn drop_oldest(&self, room: &str, count: usize) {
        self.kept.lock().get_mut(&room.parse().unwrap()).unwrap().drain(..count);
    }

    fn append_now(&self, room: &RoomName, after: MessageId, batch: &[Arc<Message>]) -> Result<MessageId, LogError> {
        let mut kept = self.kept.lock();
        let messages = kept.entry(room.clone()).or_default();
        if after.seq == 0 {
            messages.clear();
        } else if let Some(last) = messages.last().map(|last| last.id).filter(|last| *last != after) {
            return Err(LogError::Conflict { last });
        }
        let numbered = (after.seq + 1..).zip(batch);
        assert!(
            numbered.clone().all(|(seq, message)| message.id == MessageId { seq, ..after } && message.room == *room)
        );
        messages.extend(batch.iter().cloned());
        Ok(messages.last().unwrap().id)
    }

    fn read_now(&self, room: &RoomName, from: Cursor, limit: PageLimit) -> Vec<Arc<Message>> {
        let kept = self.kept.lock();
        let (Cursor::After(id) | Cursor::Before(id)) = from;
        let messages = kept.get(room).into_iter().flatten().filter(|message| message.id.epoch == id.epoch);
        match from {
            Cursor::After(id) => within(messages.filter(|message| message.id.seq > id.seq), limit),
            Cursor::Before(id) => {
                let mut newest = within(messages.rev().filter(|message| message.id.seq < id.seq), limit);
                newest.reverse();
                newest
            }
        }
    }
}

fn within<'a>(messages: impl Iterator<Item = &'a Arc<Message>>, limit: PageLimit) -> Vec<Arc<Message>> {
    let mut bytes = 0;
    let fits = |message: &&Arc<Message>| {
        let fits = bytes < limit.bytes;
        bytes += message.payload.len() + 256;
        fits
    };
    messages.take(limit.messages).take_while(fits).cloned().collect()
}

impl RoomLog for ModelLog {
    fn rooms(&self, newest: &dyn Fn(&RoomName) -> PageLimit, each: &mut dyn FnMut(StoredRoom)) -> Result<(), LogError> {
        let kept = self.kept.lock().clone();
        for (name, messages) in kept {
            let (Some(first), Some(last)) = (messages.first(), messages.last()) else { continue };
            let (first, last) = (first.id.seq, last.id);
            let mut newest = within(messages.iter().rev(), newest(&name));
            newest.reverse();
            each(StoredRoom { name, last, first, newest });
        }
        Ok(())
    }

    fn append(&self, room: &RoomName, after: MessageId, batch: Vec<Arc<Message>>, done: Done<MessageId>) {
        self.asked.lock().push_back(Asked::Append { room: room.clone(), after, batch, done });
    }

    fn read(&self, room: &RoomName, from: Cursor, limit: PageLimit, done: Done<Vec<Arc<Message>>>) {
        self.asked.lock().push_back(Asked::Read { room: room.clone(), from, limit, done });
    }

    fn keep(&self, room: &RoomName, retention: Retention) {
        self.retained.lock().insert(room.clone(), retention);
    }

    fn forget(&self, room: &RoomName, done: Done<()>) {
        self.asked.lock().push_back(Asked::Forget { room: room.clone(), done });
    }

    fn purge(&self, room: &RoomName, upto: MessageId, done: Done<()>) {
        self.asked.lock().push_back(Asked::Purge { room: room.clone(), upto, done });
    }

    fn health(&self) -> Result<(), LogError> {
        Ok(())
    }
}
