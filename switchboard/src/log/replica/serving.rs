//! The task that has a node's replicas: tells them what happens and what time it is, and does what they say.

mod room;

use self::room::{HandedOver, ServedRoom};
use super::checks::{Checks, Verdict};
use super::ends::{CHECKS_AT_ONCE, RoomEnd, RoomEnds};
use super::past;
use super::reports::LogReport;
use super::shared::{Key, Word, Words};
use super::{
    AppendError, CHECKED_ROOMS, CheckedRooms, Engine, EngineError, HistoryBounds, Incarnation, LogEnd, LogEntry,
    LogIdentity, Position, Replica, ReplicaAction, Stored, Tail, Ticket,
};
use crate::log::{Done, LogError, SharedRoom, Submission};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use switchboard_proto::{Message, RoomName};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

/// Words that are looked at before other tasks have their turn.
const WORDS_AT_ONCE: usize = 256;

/// So many wait of one room until all is shown that the log has; more are refused. While the log is away, nobody is answered.
const MOST_WAITING: usize = 1024;

/// A check of all rooms, a part at a time.
#[derive(Default)]
struct RoomCheck {
    number: u64,
    after: Position,
    unchecked: VecDeque<Vec<RoomName>>,
}

pub(super) struct ReplicaTask {
    engine: Arc<dyn Engine>,
    words: Arc<Words>,
    own: Incarnation,
    history: HistoryBounds,
    seed: u64,
    began: Instant,
    rooms: HashMap<RoomName, ServedRoom>,
    due: BTreeSet<(Duration, RoomName)>,
    next_ticket: u64,
    checks: Checks,
    check: RoomCheck,
    ends: RoomEnds,
    /// Since when the connection is there again, until all rooms were checked behind it.
    reconnected: Option<Duration>,
}

impl ReplicaTask {
    pub(super) fn new(
        engine: Arc<dyn Engine>,
        words: Arc<Words>,
        own: Incarnation,
        history: HistoryBounds,
        seed: u64,
    ) -> Self {
        Self {
            ends: RoomEnds::new(engine.checks_are_exact()),
            engine,
            words,
            own,
            history,
            seed,
            began: Instant::now(),
            rooms: HashMap::new(),
            due: BTreeSet::new(),
            next_ticket: 0,
            checks: Checks::default(),
            check: RoomCheck::default(),
            reconnected: None,
        }
    }

    pub(super) async fn run(mut self) {
        let words = Arc::clone(&self.words);
        loop {
            for (count, word) in words.take().into_iter().enumerate() {
                self.hear(word);
                if count % WORDS_AT_ONCE == WORDS_AT_ONCE - 1 {
                    tokio::task::yield_now().await;
                }
            }
            let now = self.now();
            while let Some((_, room)) = self.due.first().filter(|(due, _)| *due <= now).cloned() {
                self.with(&room, None, Replica::tick);
            }
            if self.checks.at() <= now {
                self.look();
            }
            let next = self.due.first().map_or(self.checks.at(), |(due, _)| (*due).min(self.checks.at()));
            // Both may be dropped at any time.
            tokio::select! {
                () = words.said.notified() => {}
                () = sleep_until(self.began + next) => {}
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Open(room, key, sink) => self.open(room, key, sink),
            Word::Close(room, key) => self.close(&room, key),
            Word::Publish(room, key, batch, done) => self.publish(&room, key, batch, done),
            Word::CatchUp(room, key, done) => {
                self.has_wait(&room, key, done, |served| &mut served.waits, Replica::look);
            }
            Word::Purge(room, key, done) => {
                self.has_wait(&room, key, done, |served| &mut served.purges, Replica::purge);
            }
            Word::Read(room, from, limit, done) => past::read(Arc::clone(&self.engine), room, from, limit, done),
            Word::Live(room, stored) => self.with(&room, None, |replica, now| replica.live(&stored, now)),
            Word::Tail(room, tail) => {
                if let Ok(tail) = Tail::parse(&tail) {
                    self.with(&room, None, |replica, now| replica.tail(&tail, now));
                }
            }
            Word::Reported(report) => self.reported(&report),
            Word::Reconnected => {
                self.checks.reconnected(self.now());
                self.reconnected = Some(self.now()).filter(|_| !self.rooms.is_empty());
                self.report(true);
                self.look();
            }
            Word::Followed(room, key, result) => {
                self.with(&room, Some(key), |replica, now| replica.followed(result, now));
            }
            Word::Lasts(rooms, result) => self.lasts_told(rooms, result),
            Word::Ended(ends, result) => self.ended(ends, &result),
            Word::Fetched(room, key, result) => {
                self.with(&room, Some(key), |replica, now| replica.fetched(result, now));
            }
            Word::Appended(room, key, token, result) => {
                if let Ok(position) = &result {
                    self.checks.appended(*position, self.began.elapsed());
                }
                self.with(&room, Some(key), |replica, now| replica.appended(token, result, now));
            }
            Word::Identity(connection, result) => self.identified(connection, result),
            Word::Checked(number, rooms, result) => self.checked(number, rooms, result),
        }
    }

    /// Has somebody wait in one of a room's lists for what a replica is told to do.
    fn has_wait<T>(
        &mut self,
        room: &RoomName,
        key: Key,
        done: Done<T>,
        list: fn(&mut ServedRoom) -> &mut Vec<Done<T>>,
        tell: fn(&mut Replica, Duration),
    ) {
        match self.rooms.get_mut(room).filter(|served| served.is(key)).map(list) {
            Some(waits) if waits.len() >= MOST_WAITING => {
                done(Err(LogError::unavailable("too many wait for it already")));
            }
            Some(waits) => {
                waits.push(done);
                self.with(room, Some(key), tell);
            }
            None => done(Err(LogError::unavailable("the room is closed"))),
        }
    }

    fn open(&mut self, room: RoomName, key: Key, sink: Arc<dyn SharedRoom>) {
        // Another one for each room: what it draws must not repeat.
        self.seed = self.seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(key | 1);
        let replica = Replica::new(room.clone(), self.own, self.history, self.seed);
        let (batches, waits, purges, due, is_waiting) = Default::default();
        let served = ServedRoom { key, replica, sink, batches, waits, purges, due, is_waiting };
        if let Some(before) = self.rooms.insert(room.clone(), served) {
            self.end(&room, before);
        }
        self.with(&room, Some(key), Replica::open);
    }

    fn close(&mut self, room: &RoomName, key: Key) {
        if self.rooms.get(room).is_some_and(|served| served.is(key))
            && let Some(served) = self.rooms.remove(room)
        {
            self.engine.unfollow(room);
            self.end(room, served);
        }
    }

    /// Nobody is told anything of it any more.
    fn end(&mut self, room: &RoomName, served: ServedRoom) {
        if let Some(due) = served.due {
            self.due.remove(&(due, room.clone()));
        }
        if served.is_waiting {
            self.words.waits(false);
        }
        let closed = || LogError::unavailable("the room is closed");
        let batches = served.batches.into_iter().map(|batch| batch.done);
        for done in batches.chain(served.waits) {
            done(Err(closed()));
        }
        for done in served.purges {
            done(Err(closed()));
        }
    }

    fn publish(&mut self, room: &RoomName, key: Key, batch: Vec<Submission>, done: Done<()>) {
        let now = self.now();
        let Some(served) = self.rooms.get_mut(room).filter(|served| served.is(key)) else {
            return done(Err(LogError::unavailable("the room is closed")));
        };
        let first = self.next_ticket;
        let count = batch.len() as u64;
        self.next_ticket += count;
        let entries = batch.into_iter().zip(first..).map(|(Submission { message, membership }, ticket)| {
            let Message { time, from, user, payload, .. } = &*message;
            let (time, from, user, payload) = (*time, from.clone(), user.clone(), payload.clone());
            (Ticket(ticket), LogEntry { membership, time, from, user, payload })
        });
        if let Err(error) = served.replica.publish(entries.collect(), now) {
            return done(Err(LogError::unavailable(error)));
        }
        served.batches.push_back(HandedOver { first, count, left: count, has_failed: false, done });
        self.with(room, Some(key), |_, _| {});
    }

    /// Tells a replica something, and does what it says.
    fn with(&mut self, room: &RoomName, key: Option<Key>, tell: impl FnOnce(&mut Replica, Duration)) {
        let now = self.now();
        let Some(served) = self.rooms.get_mut(room) else { return };
        if key.is_some_and(|key| !served.is(key)) {
            return;
        }
        tell(&mut served.replica, now);
        while let Some(action) = served.replica.action() {
            match action {
                // What it would be appended behind may be gone, and what others were shown behind that too.
                ReplicaAction::Append { token, .. } if self.checks.is_doubtful(self.words.connection()) => {
                    served.replica.appended(token, Err(AppendError::Busy), now);
                }
                action => served.act(room, action, &self.engine, &self.words, &mut self.ends),
            }
        }
        let is_waiting = !served.replica.is_open() || !served.replica.is_settled();
        if std::mem::replace(&mut served.is_waiting, is_waiting) != is_waiting {
            self.words.waits(is_waiting);
        }
        let due = served.replica.due();
        if due != served.due {
            if let Some(before) = std::mem::replace(&mut served.due, due) {
                self.due.remove(&(before, room.clone()));
            }
            if let Some(due) = due {
                self.due.insert((due, room.clone()));
            }
        }
        self.ask_ends();
    }

    /// Asks for rooms' last envelopes, and behind those that are known which log they are in.
    fn ask_ends(&mut self) {
        while let Some(rooms) = self.ends.next() {
            let words = Arc::clone(&self.words);
            if let [(room, _)] = &rooms[..] {
                let name = room.clone();
                let only = move |last: Option<Stored>| CheckedRooms {
                    found: last.into_iter().map(|last| (name.clone(), last)).collect(),
                    has_more: false,
                };
                let room = room.clone();
                self.engine.last(&room, Box::new(move |last| words.say(Word::Lasts(rooms, last.map(only)))));
            } else {
                let names = rooms.iter().map(|(room, _)| room.clone()).collect();
                self.engine.check(names, Position(0), Box::new(move |found| words.say(Word::Lasts(rooms, found))));
            }
        }
        if let Some(ends) = self.ends.identify() {
            let words = Arc::clone(&self.words);
            self.engine.identity(Box::new(move |identity| words.say(Word::Ended(ends, identity))));
        }
    }

    fn lasts_told(&mut self, rooms: Vec<(RoomName, Key)>, result: Result<CheckedRooms, EngineError>) {
        match result {
            Ok(CheckedRooms { found, has_more }) => {
                let has_more = has_more && !found.is_empty();
                let mut found: HashMap<_, _> = found.into_iter().collect();
                let mut ends = Vec::new();
                for (room, key) in rooms {
                    match found.remove(&room) {
                        None if has_more => self.ends.want(room, key),
                        last => ends.push((room, key, last)),
                    }
                }
                self.ends.answered(ends);
            }
            Err(error) => {
                self.ends.answered(Vec::new());
                for (room, key) in rooms {
                    self.with(&room, Some(key), |replica, now| replica.ended(Err(error.clone()), now));
                }
            }
        }
        self.ask_ends();
    }

    fn ended(&mut self, ends: Vec<RoomEnd>, result: &Result<LogIdentity, EngineError>) {
        self.ends.identified();
        for (room, key, last) in ends {
            let end = result.clone().map(|LogIdentity { log, .. }| LogEnd { log, last });
            self.with(&room, Some(key), |replica, now| replica.ended(end, now));
        }
        self.ask_ends();
    }

    /// Asks which log it is, and then what has changed since the last check.
    fn look(&mut self) {
        self.checks.begin(self.now());
        let connection = self.words.connection();
        if !self.rooms.is_empty() || self.checks.is_doubtful(connection) {
            let words = Arc::clone(&self.words);
            self.engine.identity(Box::new(move |identity| words.say(Word::Identity(connection, identity))));
        }
    }

    /// Tells the other nodes how far this one knows the log.
    fn report(&self, is_asking: bool) {
        if let Some(report) = self.checks.report(self.own, is_asking, self.now()) {
            self.engine.tell_nodes(report.encode());
        }
    }

    fn reported(&mut self, report: &[u8]) {
        let Some(report) = LogReport::parse(report).filter(|report| report.node != self.own) else { return };
        self.checks.reported(&report, self.now());
        if report.is_asking {
            self.report(false);
        }
    }

    fn identified(&mut self, connection: u64, result: Result<LogIdentity, EngineError>) {
        let now = self.now();
        let Ok(identity) = result else { return self.checks.failed(now) };
        let rooms: Vec<_> = self.rooms.keys().cloned().collect();
        match self.checks.identified((identity, connection), rooms.len().div_ceil(CHECKED_ROOMS), now) {
            Verdict::Unsure => {}
            Verdict::Lost { since } => {
                self.reconnected = None;
                warn!(rooms = rooms.len(), "log is another one than before, or has lost something");
                for room in rooms {
                    self.with(&room, None, |replica, now| replica.suspect(since, now));
                }
            }
            Verdict::Same { after, number } => {
                // Who has just come does not know yet who is there.
                self.report(number == 1);
                let unchecked = rooms.chunks(CHECKED_ROOMS).map(<[_]>::to_vec).collect();
                self.check = RoomCheck { number, after, unchecked };
                (0..CHECKS_AT_ONCE).for_each(|_| self.check_some());
            }
        }
    }

    fn check_some(&mut self) {
        if let Some(some) = self.check.unchecked.pop_front() {
            self.check_rooms(some);
        }
    }

    fn check_rooms(&self, rooms: Vec<RoomName>) {
        let RoomCheck { number, after, .. } = self.check;
        let (words, asked) = (Arc::clone(&self.words), rooms.clone());
        let answered = move |checked| words.say(Word::Checked(number, asked, checked));
        self.engine.check(rooms, after, Box::new(answered));
    }

    /// These rooms were asked for, and some of them found. The others are asked for again where not all that the log has was told.
    fn checked(&mut self, number: u64, mut rooms: Vec<RoomName>, result: Result<CheckedRooms, EngineError>) {
        let is_answered = result.is_ok();
        let CheckedRooms { found, has_more } = result.unwrap_or_default();
        let asked = rooms.len();
        let is_first = is_answered && !has_more && number == self.check.number && self.reconnected.is_some();
        if has_more || is_first {
            let known: HashSet<_> = found.iter().map(|(room, _)| room).collect();
            rooms.retain(|room| !known.contains(room));
        }
        let absent = if is_first { std::mem::take(&mut rooms) } else { Vec::new() };
        // Fewer each time, so it ends.
        let is_part = has_more && number == self.check.number && rooms.len() < asked;
        if is_part {
            self.check_rooms(rooms);
        } else if number == self.check.number {
            self.check_some();
        }
        let is_over = !is_part && self.checks.answered(number, is_answered, self.now());
        for room in absent {
            self.with(&room, None, Replica::absent);
        }
        for (room, stored) in found {
            self.with(&room, None, |replica, now| replica.checked(&stored, now));
        }
        if let Some(since) = self.reconnected.take_if(|_| is_over) {
            let elapsed_ms = self.now().saturating_sub(since).as_millis() as u64;
            info!(rooms = self.rooms.len(), elapsed_ms, "rooms were checked behind a new connection");
        }
    }
}
