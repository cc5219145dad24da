//! Rooms that several nodes publish to: nobody owns a room, its log does.
//!
//! Each node has a [`Replica`] of the rooms that it serves. Messages that it publishes become a [`LogEnvelope`], which is appended behind the
//! last one that the replica knows; the [`Engine`] takes at most one envelope behind each, and that is the order. Whoever comes second renumbers
//! and tries again. What is in the log is shown, and acknowledged; nothing else is.
//!
//! A replica is fed with what happens, and with the time, and says what is to be done; it waits for nothing and knows no engine. Everything
//! that an engine tells may be lost, doubled, late or out of date: positions say what is known already, tokens whether it is the same log.

mod chain;
mod checks;
mod ends;
mod engine;
mod envelope;
#[cfg(test)]
mod judge;
mod memory;
#[cfg(test)]
mod model_log;
mod past;
mod pending;
mod purging;
mod reading;
mod reports;
mod serving;
mod shared;
#[cfg(test)]
mod simulation;

pub use chain::HistoryBounds;
pub use engine::{
    AppendError, CHECKED_ROOMS, CheckedRooms, Engine, EngineAnswer, EngineError, EngineEvents, LogIdentity, Stored,
};
pub use envelope::{
    ENVELOPE_BYTES, ENVELOPE_ENTRIES, ENVELOPE_PAYLOAD, EnvelopeError, EnvelopeToken, FORMAT, Incarnation, LogEntry,
    LogEnvelope, Position, Tail,
};
pub use memory::{MemoryEngine, MemoryLog};
pub use pending::{PendingFull, Ticket};
pub use reading::LogEnd;
pub use shared::{ReplicatedLog, ReplicatedOptions};

use bytes::Bytes;
use chain::{Chain, Fit};
use pending::{Flight, Handed, Item, Pending};
use reading::LogReading;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use switchboard_proto::{Epoch, MessageId, RoomName};

/// An append that has another one in its way tries again after so long, at random.
const BUSY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(50));

/// What nobody has answered is tried again after so long, and so long at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// How long after its last envelope the last writer of a burst tells the others where the log ends.
const TAIL_AFTER: Duration = Duration::from_secs(1);

/// Live envelopes that are kept until those before them are read.
const KEPT_AHEAD: usize = 64;

/// What is to be done for a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplicaAction {
    /// Ask the engine to tell of the room's envelopes: [`Replica::followed`].
    Follow,
    /// Ask for the log's identity and the room's last envelope, that one first: [`Replica::ended`].
    AskLast,
    /// Read the room's envelopes from there on: [`Replica::fetched`].
    Fetch(Position),
    /// Append: [`Replica::appended`], with the token.
    Append {
        /// Behind this one.
        after: Position,
        /// Which.
        token: EnvelopeToken,
        /// Its bytes.
        envelope: Bytes,
    },
    /// Tell the others where the log ends.
    TellTail(Bytes),
    /// What is shown from now on is behind this point. Where other messages were shown before, of another incarnation, members are told so.
    Begin(MessageId),
    /// Show these, in this order. Where numbers are missing between them and what was shown before, those are gone.
    Show(Vec<ShownEntry>),
    /// Tell the publishers that they failed.
    Fail(Vec<Ticket>),
    /// Forget what was shown up to there.
    Purge {
        /// The last message of that.
        upto: MessageId,
        /// Where the log goes on: what it has of the room before this is to be dropped,
        before: Position,
        /// by this node, which was asked to.
        is_own: bool,
    },
    /// Tell whoever has asked for that that it failed.
    Unpurged,
    /// The room is open: its history is there, up to what the log had when it was asked.
    Opened,
    /// What the log had when [`Replica::look`] was called last is shown.
    Current,
    /// The log is not the one that was followed: an incarnation begins.
    Broken,
    /// The room's log has an envelope that cannot be read, for this reason: it is not gone past. Told once, until one is read again.
    Unreadable(EnvelopeError),
}

/// A message that is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownEntry {
    /// Its place in the order.
    pub id: MessageId,
    /// What it says.
    pub entry: LogEntry,
    /// The membership on this node that does not get it, or 0.
    pub except: u64,
    /// Whose it is: its publisher is told that it is shown.
    pub ticket: Option<Ticket>,
    /// Whether this node has published it, and it was not shown before.
    pub is_own: bool,
}

/// One room, as this node knows it.
///
/// Every method may leave [actions](Self::action) to be done; they are taken until there are none, before anything else is told. Times are
/// counted from any one moment.
pub struct Replica {
    room: RoomName,
    own: Incarnation,
    random: u64,
    chain: Chain,
    pending: Pending,
    flight: Option<Flight>,
    reading: LogReading,
    /// Live envelopes that do not fit yet.
    ahead: BTreeMap<Position, LogEnvelope>,
    is_open: bool,
    /// When the others are to be told where the log ends.
    tail_at: Option<Duration>,
    /// Since when all is to be forgotten.
    purges_since: Option<Duration>,
    failures: u32,
    actions: VecDeque<ReplicaAction>,
    /// A fault that a test has planted: what is published is shown before the log has it.
    #[cfg(test)]
    shows_early: bool,
}

impl Replica {
    /// A replica of `room` that knows nothing yet. `random` is what all that it draws is made of.
    pub fn new(room: RoomName, own: Incarnation, bounds: HistoryBounds, random: u64) -> Self {
        Self {
            room,
            own,
            random,
            chain: Chain::new(bounds),
            pending: Pending::default(),
            flight: None,
            reading: LogReading::default(),
            ahead: BTreeMap::new(),
            is_open: false,
            tail_at: None,
            purges_since: None,
            failures: 0,
            actions: VecDeque::new(),
            #[cfg(test)]
            shows_early: false,
        }
    }

    /// What is to be done next.
    pub fn action(&mut self) -> Option<ReplicaAction> {
        self.actions.pop_front()
    }

    /// The room, as it was called when it was opened.
    pub fn room(&self) -> &RoomName {
        &self.room
    }

    /// The last message that it has shown, once it knows the room.
    pub fn last(&self) -> Option<MessageId> {
        self.chain.at().map(|at| MessageId { epoch: at.epoch, seq: at.seq })
    }

    /// Where it is in the log.
    pub fn position(&self) -> Position {
        self.chain.position()
    }

    /// Whether its history is there.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether nothing of its own waits for the log.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.flight.is_none() && self.purges_since.is_none()
    }

    /// Publishes entries, in this order.
    ///
    /// # Errors
    /// Too much waits, or one of them is too long; then none is taken.
    pub fn publish(&mut self, entries: Vec<(Ticket, LogEntry)>, now: Duration) -> Result<(), PendingFull> {
        let items = entries.into_iter().map(|(ticket, entry)| Item { ticket, entry, since: now }).collect();
        self.pending.push(items, self.flight.as_ref().map_or((0, 0), Flight::size))?;
        self.go_on(now);
        Ok(())
    }

    /// The engine has answered an append.
    pub fn appended(&mut self, token: EnvelopeToken, result: Result<Position, AppendError>, now: Duration) {
        let flight = self.flight.take_if(|flight| flight.envelope.token == token);
        match (flight, result) {
            (Some(flight), Ok(position)) => self.arrived(flight, position, now),
            (Some(flight), Err(error)) => self.came_back(flight, error, now),
            // One that was given up: whatever stands there is read.
            (None, Ok(position)) => self.reading.reach(position),
            (None, Err(_)) => {}
        }
        self.go_on(now);
    }

    fn arrived(&mut self, flight: Flight, position: Position, now: Duration) {
        self.failures = 0;
        if position > self.position() || flight.envelope.begins_epoch() {
            let envelope = flight.envelope.clone();
            self.flight = Some(flight);
            self.apply(position, envelope, now);
        } else {
            // It was appended behind an envelope that is not before it: the log is another one.
            self.give_up(flight);
            self.reading.doubt();
        }
    }

    fn came_back(&mut self, mut flight: Flight, error: AppendError, now: Duration) {
        let begins_epoch = flight.envelope.begins_epoch();
        flight.sent = match error {
            AppendError::Stale { last } => {
                self.failures = 0;
                if last > self.position() && !begins_epoch {
                    self.reading.reach(last);
                } else {
                    // What is there is not what it was appended behind.
                    self.reading.doubt();
                }
                Handed::Passed
            }
            AppendError::Busy => Handed::Again(now + self.between(BUSY)),
            AppendError::Refused(_) if !begins_epoch => return self.give_up(flight),
            AppendError::Unknown(_) | AppendError::Refused(_) => Handed::Again(now + self.pause()),
        };
        // Where its publishers were told that it failed, nobody waits for it.
        let is_awaited = begins_epoch || flight.envelope.purges() && self.purges_since.is_some();
        self.flight = (!flight.items.is_empty() || is_awaited).then_some(flight);
    }

    /// The engine tells of an envelope.
    pub fn live(&mut self, stored: &Stored, now: Duration) {
        match self.read(stored) {
            Ok(envelope) => self.heard(stored.position, envelope, now),
            Err(_) => self.reading.reach(stored.position),
        }
        self.go_on(now);
    }

    fn heard(&mut self, position: Position, envelope: LogEnvelope, now: Duration) {
        if self.flight.as_ref().is_some_and(|flight| flight.envelope.token == envelope.token) {
            // Its place was the one that it was appended to; where that is no more, the log is another one.
            if position > self.position() || envelope.begins_epoch() {
                return self.apply(position, envelope, now);
            }
            return self.reading.doubt();
        }
        match self.chain.fit(position, &envelope) {
            Fit::Known => {}
            Fit::Next | Fit::Begins if self.is_trusting() => self.apply(position, envelope, now),
            _ => {
                self.reading.reach(position);
                self.ahead.insert(position, envelope);
                while self.ahead.len() > KEPT_AHEAD {
                    self.ahead.pop_last();
                }
            }
        }
    }

    /// A node tells where the log ends.
    pub fn tail(&mut self, tail: &Tail, now: Duration) {
        let at = self.chain.at();
        if tail.position > self.position() {
            self.reading.reach(tail.position);
        } else if at.is_some_and(|at| at.position == tail.position && at.token != tail.token) {
            self.reading.doubt();
        }
        self.go_on(now);
    }

    /// Time has passed. Is called at [`due`](Self::due) at the latest.
    pub fn tick(&mut self, now: Duration) {
        let mut overdue = self.flight.as_mut().map(|flight| flight.overdue(now)).unwrap_or_default();
        if !overdue.is_empty() {
            // Whether it is in the log or will be, the next one behind its place shows. One that is not answered yet stays until it is.
            self.flight.take_if(|flight| flight.sent != Handed::Asked);
        }
        overdue.extend(self.pending.overdue(now));
        self.fail(overdue);
        self.give_up_purging(now);
        if self.tail_at.is_some_and(|at| at <= now) {
            self.tail_at = None;
            self.tell_tail();
        }
        self.go_on(now);
    }

    /// When it is to be told the time again, unless something else happens before.
    pub fn due(&self) -> Option<Duration> {
        let flight = self.flight.as_ref().and_then(|flight| match flight.sent {
            Handed::Again(at) => Some(at),
            Handed::Asked | Handed::Passed => None,
        });
        let oldest = self.flight.as_ref().and_then(|flight| flight.items.first()).map(|item| item.since);
        let patience = oldest.or(self.pending.oldest()).map(|since| since + pending::PATIENCE);
        [flight, patience, self.tail_at, self.purge_due(), self.reading.due()].into_iter().flatten().min()
    }

    /// Does what can be done now.
    fn go_on(&mut self, now: Duration) {
        self.apply_ahead(now);
        self.read_on(now);
        if let Some(flight) = &mut self.flight {
            if matches!(flight.sent, Handed::Again(at) if at <= now) {
                flight.sent = Handed::Asked;
                self.actions.push_back(append(flight));
            }
        } else if self.is_current() && !self.is_settled() {
            if self.chain.lacks_numbers {
                self.begin_behind(None);
            } else if self.purges_since.is_some() {
                self.send_purge();
            } else {
                let items = self.pending.next();
                self.send(items);
            }
        }
    }

    /// Whether what fits is taken: nothing shows that the log is another one.
    fn is_trusting(&self) -> bool {
        !self.reading.is_doubtful() && !self.is_beginning()
    }

    /// Whether it has shown all that it has heard of.
    fn is_current(&self) -> bool {
        self.chain.at().is_some() && !self.reading.is_doubtful() && !self.reading.is_behind(self.position())
    }

    fn send(&mut self, items: Vec<Item>) {
        let Some(at) = self.chain.at() else { return self.pending.take_back(items) };
        let envelope = LogEnvelope {
            room: self.room.clone(),
            epoch: at.epoch,
            first: at.seq + 1,
            token: EnvelopeToken(self.draw().max(1)),
            prev: Some(at.token),
            origin: self.own,
            back: self.chain.back(),
            entries: items.iter().map(|item| item.entry.clone()).collect(),
        };
        #[cfg(test)]
        if self.shows_early {
            self.show(&envelope, items.iter().map(|item| item.ticket));
        }
        self.hand_over(envelope, self.chain.end(), items);
    }

    /// Has an incarnation begin behind `after`, whose token is `prev`.
    fn begin_epoch(&mut self, after: Position, prev: Option<EnvelopeToken>) {
        let epoch = loop {
            let epoch = Epoch::new((self.draw() >> 32) as u32);
            if !self.chain.has_been_in(epoch) {
                break epoch;
            }
        };
        let envelope = LogEnvelope {
            room: self.room.clone(),
            epoch,
            first: 1,
            token: EnvelopeToken(self.draw().max(1)),
            prev,
            origin: self.own,
            back: Position(0),
            entries: Vec::new(),
        };
        self.hand_over(envelope, after, Vec::new());
    }

    fn hand_over(&mut self, envelope: LogEnvelope, after: Position, items: Vec<Item>) {
        let bytes = envelope.encode();
        let flight = Flight { envelope, bytes, after, items, sent: Handed::Asked };
        self.actions.push_back(append(&flight));
        self.flight = Some(flight);
    }

    /// Shows what an envelope says, which is the next one.
    fn apply(&mut self, position: Position, envelope: LogEnvelope, now: Duration) {
        let flight = self.flight.take();
        let (own, other) = match flight {
            Some(flight) if flight.envelope.token == envelope.token => (Some(flight), None),
            other => (None, other),
        };
        if let Some(begins) = self.chain.step(position, &envelope) {
            self.actions.push_back(ReplicaAction::Begin(begins));
            self.reading.entered(now);
        }
        self.reading.stepped(position);
        self.tail_at = own.is_some().then_some(now + TAIL_AFTER);
        self.purge_by(&envelope, position, own.is_some());
        // Its place is taken: it is numbered anew.
        if let Some(flight) = other {
            self.pending.take_back(flight.items);
        }
        #[cfg(test)]
        if self.shows_early && envelope.origin == self.own {
            return;
        }
        self.show(&envelope, own.into_iter().flat_map(|flight| flight.items).map(|item| item.ticket));
    }

    fn show(&mut self, envelope: &LogEnvelope, mut tickets: impl Iterator<Item = Ticket>) {
        let is_own = envelope.origin == self.own;
        let ids = (envelope.first..).map(|seq| MessageId { epoch: envelope.epoch, seq });
        let shown = |(entry, id): (&LogEntry, MessageId)| {
            let except = if is_own { entry.membership } else { 0 };
            let ticket = tickets.next();
            // What is read when the room is opened was shown before.
            let is_own = is_own && (ticket.is_some() || self.is_open);
            ShownEntry { id, entry: entry.clone(), except, ticket, is_own }
        };
        let shown: Vec<_> = envelope.entries.iter().zip(ids).map(shown).collect();
        if !shown.is_empty() {
            self.actions.push_back(ReplicaAction::Show(shown));
        }
    }

    /// Gives up an envelope whose place is lost: it may have been in the log, so it has failed and is not published anew.
    fn give_up(&mut self, flight: Flight) {
        self.fail(flight.items.into_iter().map(|item| item.ticket).collect());
    }

    fn apply_ahead(&mut self, now: Duration) {
        while let Some((position, envelope)) = self.ahead.pop_first() {
            match self.chain.fit(position, &envelope) {
                Fit::Known => {}
                Fit::Next | Fit::Begins if self.is_trusting() => self.apply(position, envelope, now),
                _ => {
                    self.ahead.insert(position, envelope);
                    return;
                }
            }
        }
    }

    fn fail(&mut self, tickets: Vec<Ticket>) {
        if !tickets.is_empty() {
            self.actions.push_back(ReplicaAction::Fail(tickets));
        }
    }

    fn tell_tail(&mut self) {
        if let Some(at) = self.chain.at() {
            let tail = Tail { position: at.position, epoch: at.epoch, last: at.seq, token: at.token };
            self.actions.push_back(ReplicaAction::TellTail(tail.encode()));
        }
    }

    /// An envelope of this room.
    fn read(&self, stored: &Stored) -> Result<LogEnvelope, EnvelopeError> {
        let envelope = LogEnvelope::parse(&stored.envelope)?;
        if envelope.room == self.room { Ok(envelope) } else { Err(EnvelopeError::Elsewhere) }
    }

    /// How long to wait before what failed is tried again: longer each time.
    fn pause(&mut self) -> Duration {
        let longest = RETRY.0.saturating_mul(1 << self.failures.min(4)).min(RETRY.1);
        self.failures += 1;
        self.between((longest / 2, longest))
    }

    fn between(&mut self, (least, most): (Duration, Duration)) -> Duration {
        least + most.saturating_sub(least).mul_f64(self.draw() as f64 / u64::MAX as f64)
    }

    fn draw(&mut self) -> u64 {
        drawn(&mut self.random)
    }
}

/// A number that is drawn (`SplitMix64`: a permutation of a counter, with nothing to keep beside it).
fn drawn(counter: &mut u64) -> u64 {
    *counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*counter ^ (*counter >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn append(flight: &Flight) -> ReplicaAction {
    ReplicaAction::Append { after: flight.after, token: flight.envelope.token, envelope: flight.bytes.clone() }
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica").field("room", &self.room).field("last", &self.last()).finish_non_exhaustive()
    }
}
