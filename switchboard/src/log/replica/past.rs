//! A room's past as far as its log goes: read from the log itself, where nobody knows at which position a message is. So it is searched for, by
//! halves; then what is there is read.
//!
//! Goes on within each answer of the engine; nothing stays open behind it.

use super::{Engine, EngineAnswer, EngineError, LogEntry, LogEnvelope, Position, Stored};
use crate::log::{BESIDE, Cursor, Done, LogError, PageLimit};
use std::collections::VecDeque;
use std::sync::Arc;
use switchboard_proto::{Epoch, Message, MessageId, RoomName};

type Messages = Vec<Arc<Message>>;

/// Reads messages next to `from`, as [`RoomLog::read`](crate::log::RoomLog::read) says.
pub(super) fn read(engine: Arc<dyn Engine>, room: RoomName, from: Cursor, limit: PageLimit, done: Done<Messages>) {
    let (first, end, epoch) = match from {
        Cursor::After(id) => (id.seq.saturating_add(1), None, id.epoch),
        Cursor::Before(id) => {
            let most = u64::try_from(limit.messages).unwrap_or(u64::MAX);
            (id.seq.saturating_sub(most).max(1), Some(id.seq), id.epoch)
        }
    };
    let found = VecDeque::new();
    let past = Past { engine, room, epoch, first, end, limit, found, bytes: 0, done };
    past.ask_last();
}

struct Past {
    engine: Arc<dyn Engine>,
    room: RoomName,
    epoch: Epoch,
    /// The number of the first message that is wanted, and of the one before which all are.
    first: u64,
    end: Option<u64>,
    limit: PageLimit,
    found: VecDeque<Arc<Message>>,
    bytes: u64,
    done: Done<Messages>,
}

impl Past {
    fn ask_last(self) {
        let (engine, room) = (Arc::clone(&self.engine), self.room.clone());
        engine.last(&room, self.answer(Self::search));
    }

    /// What goes on with an answer, or ends with its error.
    fn answer<T: 'static>(self, next: impl FnOnce(Self, T) + Send + 'static) -> EngineAnswer<T> {
        Box::new(move |answer: Result<T, EngineError>| match answer {
            Ok(answer) => next(self, answer),
            Err(error) => (self.done)(Err(LogError::unavailable(error))),
        })
    }

    /// The log ends with this envelope: what is wanted is at its position at the latest, or nowhere.
    fn search(self, last: Option<Stored>) {
        match last {
            Some(last) if !self.is_before(&last) => self.halve(Position(1), last.position, Position(1)),
            _ => self.end(),
        }
    }

    /// Whether all that is wanted is behind this envelope.
    fn is_before(&self, stored: &Stored) -> bool {
        LogEnvelope::parse(&stored.envelope)
            .is_ok_and(|envelope| envelope.epoch != self.epoch || envelope.last() < self.first)
    }

    /// The first envelope that is not before what is wanted is at `low` or behind it, and at `high` or before it; what is at `middle` shows more.
    fn halve(self, low: Position, high: Position, middle: Position) {
        if low >= high {
            return self.fetch(low);
        }
        let (engine, room) = (Arc::clone(&self.engine), self.room.clone());
        let next = move |past: Self, there: Option<Stored>| {
            let (low, high) = match there {
                Some(stored) if past.is_before(&stored) => (Position(stored.position.0.saturating_add(1)), high),
                _ => (low, middle),
            };
            past.halve(low, high, Position(low.0 + high.0.saturating_sub(low.0) / 2));
        };
        engine.next(&room, middle, self.answer(next));
    }

    fn fetch(self, from: Position) {
        let (engine, room) = (Arc::clone(&self.engine), self.room.clone());
        engine.fetch(&room, from, self.answer(Self::take));
    }

    fn take(mut self, stored: Vec<Stored>) {
        let last = stored.last().map(|last| last.position);
        for stored in stored {
            let Ok(envelope) = LogEnvelope::parse(&stored.envelope) else { return self.end() };
            if envelope.epoch != self.epoch {
                continue;
            }
            for (entry, seq) in envelope.entries.into_iter().zip(envelope.first..) {
                if seq >= self.first && self.end.is_none_or(|end| seq < end) && !self.push(entry, seq) {
                    return self.end();
                }
            }
        }
        let reached = self.found.back().map(|message| message.id.seq + 1);
        match (last, self.end) {
            (Some(last), Some(end)) if reached.is_none_or(|reached| reached < end) => {
                self.fetch(Position(last.0.saturating_add(1)));
            }
            _ => self.end(),
        }
    }

    /// Takes a message, which is the next one. Says whether more may be taken.
    fn push(&mut self, entry: LogEntry, seq: u64) -> bool {
        if self.found.back().is_some_and(|last| last.id.seq + 1 != seq) {
            // None is left out.
            if self.end.is_none() {
                return false;
            }
            self.found.clear();
            self.bytes = 0;
        }
        let LogEntry { time, from, user, payload, .. } = entry;
        self.bytes += payload.len() as u64 + BESIDE;
        let id = MessageId { epoch: self.epoch, seq };
        self.found.push_back(Arc::new(Message { room: self.room.clone(), id, time, from, user, payload }));
        if self.end.is_none() {
            return self.found.len() < self.limit.messages && self.bytes < self.limit.bytes as u64;
        }
        // The newest are wanted: the one that goes beyond the limit is the last.
        let bytes = |message: &Arc<Message>| message.payload.len() as u64 + BESIDE;
        while let Some(oldest) =
            self.found.front().map(bytes).filter(|oldest| self.bytes - oldest >= self.limit.bytes as u64)
        {
            self.found.pop_front();
            self.bytes -= oldest;
        }
        true
    }

    fn end(self) {
        (self.done)(Ok(self.found.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EnvelopeToken, Incarnation, MemoryLog};
    use super::*;
    use parking_lot::Mutex;
    use std::time::UNIX_EPOCH;

    /// A log of two incarnations with envelopes of three messages, and another room's between them.
    fn log(room: &RoomName) -> Arc<dyn Engine> {
        let engine: Arc<dyn Engine> = MemoryLog::new().engine();
        let other = RoomName::parse("other").expect("a name");
        let mut after = Position(0);
        for (epoch, first) in [(6, 1), (6, 4), (7, 1), (7, 4), (7, 7), (7, 10)] {
            let entry =
                LogEntry { membership: 0, time: UNIX_EPOCH, from: None, user: None, payload: "0123456789".into() };
            let envelope = LogEnvelope {
                room: room.clone(),
                epoch: Epoch::new(epoch),
                first,
                token: EnvelopeToken(1),
                prev: None,
                origin: Incarnation(1),
                back: Position(0),
                entries: vec![entry; 3],
            };
            let appended = Arc::new(Mutex::new(Position(0)));
            let told = Arc::clone(&appended);
            let done = move |position: Result<Position, _>| *told.lock() = position.expect("it is there");
            engine.append(room, after, envelope.encode(), Box::new(done));
            after = *appended.lock();
            engine.append(&other, Position(after.0 - after.0 % 2), envelope.encode(), Box::new(|_| {}));
        }
        engine
    }

    fn told(from: Cursor, messages: usize, bytes: usize) -> Vec<u64> {
        let room = RoomName::parse("ops").expect("a name");
        let told = Arc::new(Mutex::new(None));
        let answer = Arc::clone(&told);
        let done = move |read: Result<Messages, LogError>| *answer.lock() = Some(read.expect("it is there"));
        read(log(&room), room, from, PageLimit { messages, bytes }, Box::new(done));
        let told = told.lock().take().expect("it has answered");
        told.iter().map(|message| message.id.seq).collect()
    }

    #[test]
    fn pages_are_next_to_where_they_are_read_from_and_within_their_limits() {
        let id = |epoch, seq| MessageId { epoch: Epoch::new(epoch), seq };
        let all = usize::MAX;
        assert_eq!(told(Cursor::After(id(7, 0)), all, all), (1..=12).collect::<Vec<_>>());
        assert_eq!(told(Cursor::After(id(7, 4)), 4, all), [5, 6, 7, 8]);
        assert_eq!(told(Cursor::After(id(7, 8)), all, 300), [9, 10], "the one that goes beyond it is the last");
        assert_eq!(told(Cursor::After(id(7, 12)), all, all), [0; 0]);
        assert_eq!(told(Cursor::Before(id(7, 6)), 3, all), [3, 4, 5]);
        assert_eq!(told(Cursor::Before(id(7, 12)), 9, 300), [10, 11]);
        assert_eq!(told(Cursor::Before(id(7, 3)), all, all), [1, 2]);
        for other in [id(6, 2), id(8, 2)] {
            assert_eq!(told(Cursor::After(other), all, all), [0; 0], "that incarnation is over, or never was");
        }
    }
}
