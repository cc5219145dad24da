//! An engine in memory, which several hubs of one process share: for tests of what they do together.

use super::{
    AppendError, CheckedRooms, Engine, EngineAnswer, EngineError, EngineEvents, LogIdentity, Position, Stored,
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use switchboard_proto::RoomName;

/// Envelopes of a room that it keeps.
const KEPT: usize = 256;

/// A check reads envelopes until it has so many bytes of them: few, so that one is often answered in parts.
const CHECKED_BYTES: usize = 4 << 10;

/// The log that the nodes of one process have in common. Cloning shares it.
#[derive(Clone, Default)]
pub struct MemoryLog(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    log: u128,
    last: u64,
    rooms: HashMap<RoomName, Vec<Stored>>,
    nodes: Vec<Weak<MemoryEngine>>,
    is_away: bool,
}

/// One node's way to a [`MemoryLog`]. It answers within the call that asks.
pub struct MemoryEngine {
    log: MemoryLog,
    events: Mutex<Option<Arc<dyn EngineEvents>>>,
    followed: Mutex<HashSet<RoomName>>,
    /// What is told of others' envelopes is dropped.
    is_deaf: Mutex<bool>,
}

impl MemoryLog {
    /// A log without rooms.
    pub fn new() -> Self {
        Self::default()
    }

    /// A node's engine on it.
    pub fn engine(&self) -> Arc<MemoryEngine> {
        let (events, followed, is_deaf) = Default::default();
        let engine = Arc::new(MemoryEngine { log: self.clone(), events, followed, is_deaf });
        self.0.lock().nodes.push(Arc::downgrade(&engine));
        engine
    }

    /// Answers nobody, until it is there again.
    pub fn go_away(&self) {
        self.0.lock().is_away = true;
    }

    /// Answers again, and tells every node that it does.
    pub fn come_back(&self) {
        let nodes = self.nodes();
        let mut kept = self.0.lock();
        for node in nodes {
            let events = node.events.lock().clone();
            if let Some(events) = events {
                events.reconnected();
            }
        }
        // Nobody asks it anything before all are told.
        kept.is_away = false;
    }

    /// Loses everything: it is another log from now on.
    pub fn lose_all(&self) {
        let mut kept = self.0.lock();
        (kept.log, kept.last) = (kept.log + 1, 0);
        kept.rooms.clear();
    }

    /// Goes back to where it was when it had so many envelopes: as an older copy that was put back.
    pub fn go_back(&self, envelopes: u64) {
        let mut kept = self.0.lock();
        kept.last = kept.last.min(envelopes);
        kept.rooms.values_mut().for_each(|room| room.retain(|stored| stored.position.0 <= envelopes));
    }

    fn nodes(&self) -> Vec<Arc<MemoryEngine>> {
        self.0.lock().nodes.iter().filter_map(Weak::upgrade).collect()
    }

    fn look<T>(&self, look: impl FnOnce(&mut Kept) -> T) -> Result<T, EngineError> {
        let mut kept = self.0.lock();
        if kept.is_away { Err(EngineError("it is away".into())) } else { Ok(look(&mut kept)) }
    }

    /// Has each node that follows the room be told.
    fn tell(&self, room: &RoomName, tell: impl Fn(&dyn EngineEvents)) {
        for node in self.nodes() {
            let is_told = node.followed.lock().contains(room) && !*node.is_deaf.lock();
            let events = node.events.lock().clone().filter(|_| is_told);
            if let Some(events) = events {
                tell(&*events);
            }
        }
    }
}

impl MemoryEngine {
    /// Whether its node hears nothing of what is appended, while what it asks is answered.
    pub fn set_deaf(&self, is_deaf: bool) {
        *self.is_deaf.lock() = is_deaf;
    }
}

impl Engine for MemoryEngine {
    fn watch(&self, events: Arc<dyn EngineEvents>) {
        *self.events.lock() = Some(events);
    }

    fn append(&self, room: &RoomName, after: Position, envelope: Bytes, done: EngineAnswer<Position, AppendError>) {
        let appended = self.log.look(|kept| {
            let envelopes = kept.rooms.entry(room.clone()).or_default();
            let last = envelopes.last().map_or(Position(0), |last| last.position);
            if last != after {
                return Err(AppendError::Stale { last });
            }
            kept.last += 1;
            let stored = Stored { position: Position(kept.last), envelope };
            envelopes.push(stored.clone());
            let spare = envelopes.len().saturating_sub(KEPT);
            envelopes.drain(..spare);
            Ok(stored)
        });
        let appended = appended.unwrap_or_else(|EngineError(reason)| Err(AppendError::Unknown(reason)));
        if let Ok(stored) = &appended {
            self.log.tell(room, |events| events.live(room, stored.clone()));
        }
        done(appended.map(|stored| stored.position));
    }

    fn last(&self, room: &RoomName, done: EngineAnswer<Option<Stored>>) {
        done(self.log.look(|kept| kept.rooms.get(room).and_then(|envelopes| envelopes.last().cloned())));
    }

    fn fetch(&self, room: &RoomName, from: Position, done: EngineAnswer<Vec<Stored>>) {
        let behind = |envelopes: &Vec<Stored>| {
            envelopes.iter().filter(|stored| stored.position >= from).cloned().collect::<Vec<_>>()
        };
        done(self.log.look(|kept| kept.rooms.get(room).map(behind).unwrap_or_default()));
    }

    fn purge(&self, room: &RoomName, before: Position, done: EngineAnswer<()>) {
        done(self.log.look(|kept| {
            kept.rooms.entry(room.clone()).or_default().retain(|stored| stored.position >= before);
        }));
    }

    fn follow(&self, room: &RoomName, done: EngineAnswer<()>) {
        self.followed.lock().insert(room.clone());
        done(self.log.look(|_| ()));
    }

    fn unfollow(&self, room: &RoomName) {
        self.followed.lock().remove(room);
    }

    fn tell_tail(&self, room: &RoomName, tail: Bytes) {
        if self.health().is_ok() {
            self.log.tell(room, |events| events.tail(room, &tail));
        }
    }

    fn tell_nodes(&self, report: Bytes) {
        if self.health().is_ok() {
            for node in self.log.nodes() {
                let events = node.events.lock().clone();
                events.inspect(|events| events.reported(&report));
            }
        }
    }

    fn identity(&self, done: EngineAnswer<LogIdentity>) {
        done(self.log.look(|kept| LogIdentity { log: kept.log, last: Position(kept.last) }));
    }

    fn check(&self, rooms: Vec<RoomName>, after: Position, done: EngineAnswer<CheckedRooms>) {
        done(self.log.look(|kept| {
            let last = |room: RoomName| {
                let last = kept.rooms.get(&room)?.last()?;
                (last.position > after).then(|| (room, last.clone()))
            };
            let mut behind = rooms.into_iter().filter_map(last);
            let mut checked = CheckedRooms::default();
            let mut bytes = 0;
            while bytes < CHECKED_BYTES
                && let Some((room, stored)) = behind.next()
            {
                bytes += stored.envelope.len();
                checked.found.push((room, stored));
            }
            checked.has_more = behind.next().is_some();
            checked
        }));
    }

    fn checks_are_exact(&self) -> bool {
        true
    }

    fn health(&self) -> Result<(), EngineError> {
        self.log.look(|_| ())
    }
}

impl std::fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryLog").field("last", &self.0.lock().last).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryEngine").field("log", &self.log).finish_non_exhaustive()
    }
}
