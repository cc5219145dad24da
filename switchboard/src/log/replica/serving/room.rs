//! One room that a node has: its replica, what waits for it, and what is done when it says so.

use super::super::ends::RoomEnds;
use super::super::shared::{Key, Word, Words};
use super::super::{Engine, EngineError, LogEntry, Position, Replica, ReplicaAction, ShownEntry, Ticket};
use crate::log::{Done, LogError, SharedMessage, SharedRoom};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use switchboard_proto::{Message, MessageId, RoomName};
use tracing::{debug, warn};

/// Publications that were handed over together.
pub(super) struct HandedOver {
    pub(super) first: u64,
    pub(super) count: u64,
    /// How many of them are neither shown nor failed.
    pub(super) left: u64,
    pub(super) has_failed: bool,
    pub(super) done: Done<()>,
}

/// One room.
pub(super) struct ServedRoom {
    pub(super) key: Key,
    pub(super) replica: Replica,
    pub(super) sink: Arc<dyn SharedRoom>,
    pub(super) batches: VecDeque<HandedOver>,
    /// Who waits until all is shown that the log has.
    pub(super) waits: Vec<Done<()>>,
    /// Who waits until all that was shown is forgotten.
    pub(super) purges: Vec<Done<MessageId>>,
    pub(super) due: Option<Duration>,
    /// It waits for the log.
    pub(super) is_waiting: bool,
}

impl ServedRoom {
    /// Whether it is the room that was opened by this key.
    pub(super) fn is(&self, key: Key) -> bool {
        self.key == key
    }

    pub(super) fn act(
        &mut self,
        room: &RoomName,
        action: ReplicaAction,
        engine: &Arc<dyn Engine>,
        words: &Arc<Words>,
        ends: &mut RoomEnds,
    ) {
        let (words, name, key) = (Arc::clone(words), room.clone(), self.key);
        match action {
            ReplicaAction::Follow => {
                engine.follow(room, Box::new(move |result| words.say(Word::Followed(name, key, result))));
            }
            ReplicaAction::AskLast => ends.want(name, key),
            ReplicaAction::Fetch(from) => {
                engine.fetch(room, from, Box::new(move |result| words.say(Word::Fetched(name, key, result))));
            }
            ReplicaAction::Append { after, token, envelope } => {
                let done = move |result| words.say(Word::Appended(name, key, token, result));
                engine.append(room, after, envelope, Box::new(done));
            }
            ReplicaAction::TellTail(tail) => engine.tell_tail(room, tail),
            ReplicaAction::Begin(at) => self.sink.begins(at),
            ReplicaAction::Show(entries) => self.show(entries, engine),
            ReplicaAction::Fail(tickets) => {
                for ticket in tickets {
                    self.settle(ticket, true);
                }
                self.answer();
            }
            ReplicaAction::Purge { upto, before, is_own } => {
                self.sink.purged(upto);
                if is_own {
                    self.purge(room, upto, before, engine);
                }
            }
            ReplicaAction::Unpurged => {
                for done in std::mem::take(&mut self.purges) {
                    done(Err(LogError::unavailable("it has not answered in time")));
                }
            }
            ReplicaAction::Opened => {
                debug!(%room, "room was opened");
                self.sink.opened();
            }
            ReplicaAction::Current => {
                for done in std::mem::take(&mut self.waits) {
                    done(Ok(()));
                }
            }
            ReplicaAction::Unreadable(error) => {
                warn!(%room, %error, "log has an envelope that cannot be read; the room is unavailable from there on");
            }
            ReplicaAction::Broken => warn!(%room, "log has other messages than were shown; the room begins anew"),
        }
    }

    /// All nodes forget it: the log is to as well.
    fn purge(&mut self, room: &RoomName, upto: MessageId, before: Position, engine: &Arc<dyn Engine>) {
        let (name, waits) = (room.clone(), std::mem::take(&mut self.purges));
        let purged = move |result: Result<(), EngineError>| {
            if let Err(EngineError(reason)) = &result {
                warn!(room = %name, %reason, "log has not forgotten what all nodes have; purge the room again");
            }
            let answer = result.map(|()| upto).map_err(|EngineError(reason)| {
                LogError::unavailable(format!("the nodes have forgotten it, and the log has not: {reason}"))
            });
            for done in waits {
                done(answer.clone());
            }
        };
        engine.purge(room, before, Box::new(purged));
    }

    fn show(&mut self, entries: Vec<ShownEntry>, engine: &Arc<dyn Engine>) {
        // What comes unasked has the name as subjects have it.
        let room = self.replica.room().clone();
        let messages = entries.into_iter().map(|ShownEntry { id, entry, except, ticket, is_own }| {
            let LogEntry { time, from, user, payload, .. } = entry;
            let place = ticket.and_then(|ticket| self.settle(ticket, false));
            let message = Message { room: room.clone(), id, time, from, user, payload };
            if is_own {
                engine.shown(&message);
            }
            SharedMessage { message: Arc::new(message), membership: except, place }
        });
        let messages = messages.collect();
        self.sink.shows(messages);
        self.answer();
    }

    /// One publication is shown, or has failed. Says which one of its batch it is, if that is the one under way.
    fn settle(&mut self, Ticket(ticket): Ticket, has_failed: bool) -> Option<usize> {
        let place = self.batches.iter().position(|batch| (batch.first..batch.first + batch.count).contains(&ticket))?;
        let batch = &mut self.batches[place];
        batch.left -= 1;
        batch.has_failed |= has_failed;
        usize::try_from(ticket - batch.first).ok().filter(|_| place == 0)
    }

    /// Answers for what is all shown, or has failed.
    fn answer(&mut self) {
        while let Some(batch) = self.batches.pop_front_if(|batch| batch.left == 0) {
            let failed = LogError::unavailable("it has not answered in time");
            (batch.done)(if batch.has_failed { Err(failed) } else { Ok(()) });
        }
    }
}
