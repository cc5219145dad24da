//! Nodes, rooms and their log, and what happens between them, in the order of a clock that only they have.

mod trouble;

use super::told::{answer, kept, links, one, payload, tell, told};
use super::{Losses, Mutant, from_environment};
use crate::log::replica::judge::Judge;
use crate::log::replica::model_log::{Dice, ModelLog};
use crate::log::replica::*;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::UNIX_EPOCH;

/// Times are in milliseconds. Nodes publish until then, and have so long to come to rest.
const BUSY_UNTIL: u64 = 20_000;
const RESTS: u64 = 15_000;

/// An engine gives up after so long.
const DEADLINE: u64 = 2_000;

#[derive(Debug, Clone)]
pub(super) enum LogReply {
    Followed,
    Ended(LogEnd),
    Fetched(Vec<Stored>),
    Appended(EnvelopeToken, Result<Position, AppendError>),
    ReadFailed(ReplicaAction),
}

enum Event {
    /// Reaches the log.
    Asked(usize, RoomName, ReplicaAction, Ask),
    /// Reaches the node.
    Answered(usize, RoomName, LogReply, Ask),
    Live(usize, RoomName, Stored),
    Tail(usize, RoomName, Bytes),
    Publish(usize),
    Tick(usize, RoomName),
    Check(usize),
    Trouble,
    Calm,
}

/// What a question is known by: it is answered once, however often it reaches the log.
type Ask = u64;

struct NodeHere {
    incarnation: u64,
    replicas: HashMap<RoomName, Replica>,
    /// What was known at the last check: which log, and where it ended.
    checked: (u128, u64),
    checked_at: u64,
}

pub(super) struct World {
    dice: Dice,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    what: HashMap<u64, Event>,
    next: u64,
    log: ModelLog,
    nodes: Vec<NodeHere>,
    rooms: Vec<RoomName>,
    pub(super) judge: Judge,
    gone: Vec<u64>,
    mutant: Option<Mutant>,
    losses: Losses,
    /// Of a hundred messages, so many are lost, and doubled.
    lost: u64,
    doubled: u64,
    delay: u64,
    payloads: u64,
    asks: Ask,
    unanswered: HashSet<Ask>,
    /// What nodes have shown of their own.
    own: HashSet<(RoomName, MessageId)>,
    is_calm: bool,
    emptied: bool,
    /// In some worlds nodes forget everything, after so many publications.
    purges_every: Option<u64>,
    /// One seed is run, and told step by step.
    is_told: bool,
}

impl World {
    pub(super) fn new(seed: u64, losses: Losses, mutant: Option<Mutant>) -> Self {
        let mut dice = Dice(seed);
        // What retention took from a log that went back, nobody can compare any more.
        let kept = if losses == Losses::None { [4, 20, 1000][dice.below(3) as usize] } else { 1000 };
        let rooms = (0..=dice.below(2)).map(|room| RoomName::parse(&format!("r{room}")).unwrap()).collect();
        let mut world = Self {
            now: 0,
            events: BinaryHeap::new(),
            what: HashMap::new(),
            next: 0,
            log: ModelLog::new(kept),
            nodes: Vec::new(),
            rooms,
            judge: Judge::default(),
            gone: Vec::new(),
            mutant,
            losses,
            lost: dice.below(20),
            doubled: dice.below(20),
            delay: 1 + dice.below(60),
            payloads: 0,
            asks: 0,
            unanswered: HashSet::new(),
            own: HashSet::new(),
            is_calm: false,
            emptied: false,
            // Where retention drops one that purges, whoever has not seen it takes what is behind it for another log's: a false alarm, but one.
            purges_every: (seed.is_multiple_of(2) && kept == 1000).then_some(8),
            is_told: from_environment("REPLICAS_SEED").is_some(),
            dice,
        };
        for _ in 0..2 + world.dice.below(3) {
            world.start_node();
        }
        for _ in 0..world.dice.below(12) {
            let at = world.dice.below(BUSY_UNTIL);
            world.at(at, Event::Trouble);
        }
        world.at(BUSY_UNTIL, Event::Calm);
        world
    }

    fn at(&mut self, time: u64, event: Event) {
        self.next += 1;
        // What happens at one time happens in an order of chance.
        let key = self.next | (self.dice.below(1 << 20) << 40);
        self.events.push(Reverse((time, key)));
        self.what.insert(key, event);
    }

    fn later(&mut self, event: Event) {
        let slow = if self.dice.happens(5) { 20 } else { 1 };
        let time = self.now + 1 + self.dice.below(self.delay * slow);
        self.at(time, event);
    }

    fn start_node(&mut self) {
        let node = self.nodes.len();
        let incarnation = self.dice.roll();
        let checked = self.log.identity();
        self.nodes.push(NodeHere { incarnation, replicas: HashMap::new(), checked, checked_at: self.now });
        for room in self.rooms.clone() {
            self.open(node, &room);
        }
        let first = self.now + self.dice.below(500);
        self.at(first, Event::Publish(node));
        self.at(self.now + 10_000, Event::Check(node));
    }

    fn open(&mut self, node: usize, room: &RoomName) {
        let bounds = HistoryBounds { messages: 64, bytes: 1 << 16 };
        let own = Incarnation(self.nodes[node].incarnation);
        let mut replica = Replica::new(room.clone(), own, bounds, self.dice.roll());
        replica.shows_early = self.mutant == Some(Mutant::ShownBeforeTheLog);
        replica.chain.ignores_prev = self.mutant == Some(Mutant::PrevIgnored);
        self.nodes[node].replicas.insert(room.clone(), replica);
        self.with(node, room, Replica::open);
    }

    /// Does something with a replica, and what it asks for then.
    fn with(&mut self, node: usize, room: &RoomName, act: impl FnOnce(&mut Replica, Duration)) {
        let now = Duration::from_millis(self.now);
        let Some(replica) = self.nodes[node].replicas.get_mut(room) else { return };
        act(replica, now);
        let actions: Vec<_> = std::iter::from_fn(|| replica.action()).collect();
        let due = replica.due();
        for action in actions {
            self.act(node, room, action);
        }
        if let Some(due) = due {
            let due = u64::try_from(due.as_millis()).unwrap() + 1;
            self.at(due.max(self.now + 1), Event::Tick(node, room.clone()));
        }
    }

    fn act(&mut self, node: usize, room: &RoomName, action: ReplicaAction) {
        if self.is_told {
            println!("{} {room} node {node}: {}", self.now, told(&action));
        }
        match action {
            ReplicaAction::Begin(id) => self.judge.begins(node, room, id),
            ReplicaAction::Show(entries) => {
                for ShownEntry { id, entry, ticket, is_own, .. } in entries {
                    let payload = payload(&entry);
                    // By one node, and once; where the log went back, an id may come again.
                    if is_own && !self.own.insert((room.clone(), id)) && self.losses == Losses::None {
                        self.judge.faults.push(format!("{room} {id} is told twice to programs that are no nodes"));
                    }
                    let first = self.log.first(room).map_or(u64::MAX, |first| first.first);
                    let may_lack = self.losses == Losses::Some || self.emptied;
                    self.judge.shows(node, room, id, payload, |seq| may_lack || seq < first);
                    if let Some(Ticket(ticket)) = ticket {
                        assert_eq!(ticket, payload);
                        self.judge.acknowledged(payload, id);
                    }
                }
            }
            ReplicaAction::Purge { upto, before, is_own } => {
                self.judge.purges(node, room, upto);
                // A node may end before it has the log drop anything.
                if is_own && !self.is_lost() {
                    self.log.purge(room, before);
                }
            }
            ReplicaAction::Fail(tickets) => tickets.iter().for_each(|ticket| self.judge.failed(ticket.0)),
            ReplicaAction::Unpurged | ReplicaAction::Opened | ReplicaAction::Current | ReplicaAction::Broken => {}
            ReplicaAction::Unreadable(error) => self.judge.faults.push(format!("{room} cannot be read: {error}")),
            ReplicaAction::TellTail(tail) => {
                for other in 0..self.nodes.len() {
                    if self.mutant != Some(Mutant::NoTailCheck) && !self.is_lost() {
                        self.later(Event::Tail(other, room.clone(), tail.clone()));
                    }
                }
            }
            ask => self.ask(node, room, ask),
        }
    }

    fn is_lost(&mut self) -> bool {
        !self.is_calm && self.dice.happens(self.lost)
    }

    /// Sends what a replica asks for to the log, or not.
    fn ask(&mut self, node: usize, room: &RoomName, ask: ReplicaAction) {
        let is_routine = ask == ReplicaAction::AskLast && self.nodes[node].replicas[room].is_open();
        if is_routine && self.mutant == Some(Mutant::NoTailCheck) {
            return;
        }
        self.asks += 1;
        let number = self.asks;
        self.unanswered.insert(number);
        if self.is_lost() {
            return self.give_up(node, room, ask, number);
        }
        if self.dice.happens(self.doubled) {
            self.later(Event::Asked(node, room.clone(), ask.clone(), number));
        }
        self.later(Event::Asked(node, room.clone(), ask, number));
    }

    /// Nobody answers, which is known only later.
    fn give_up(&mut self, node: usize, room: &RoomName, ask: ReplicaAction, number: Ask) {
        let reply = match ask {
            ReplicaAction::Append { token, .. } => {
                LogReply::Appended(token, Err(AppendError::Unknown("nobody answers".into())))
            }
            other => LogReply::ReadFailed(other),
        };
        self.at(self.now + DEADLINE, Event::Answered(node, room.clone(), reply, number));
    }

    /// The log answers.
    fn answer(&mut self, node: usize, room: &RoomName, ask: ReplicaAction, number: Ask) {
        if self.log.is_away {
            return self.give_up(node, room, ask, number);
        }
        let reply = match &ask {
            ReplicaAction::Follow => LogReply::Followed,
            ReplicaAction::AskLast => LogReply::Ended(self.log.end(room)),
            ReplicaAction::Fetch(from) => {
                let lacks = self.dice.below(3) as usize;
                LogReply::Fetched(self.log.fetch(room, *from, lacks))
            }
            ReplicaAction::Append { after, token, envelope } => {
                let after = (self.mutant != Some(Mutant::NoExpectation)).then_some(*after);
                let is_busy = self.dice.happens(5);
                let result = if is_busy { Err(AppendError::Busy) } else { self.log.append(room, after, envelope) };
                if let Ok(stored) = &result {
                    self.tell_all(room, stored);
                }
                LogReply::Appended(*token, result.map(|stored| stored.position))
            }
            other => unreachable!("{other:?} is nothing to ask"),
        };
        if self.is_lost() {
            return self.give_up(node, room, ask, number);
        }
        self.later(Event::Answered(node, room.clone(), reply, number));
    }

    fn tell_all(&mut self, room: &RoomName, stored: &Stored) {
        for node in 0..self.nodes.len() {
            if !self.is_lost() {
                self.later(Event::Live(node, room.clone(), stored.clone()));
            }
            if self.dice.happens(self.doubled) {
                self.later(Event::Live(node, room.clone(), stored.clone()));
            }
        }
    }

    fn happen(&mut self, event: Event) {
        if self.is_told {
            match &event {
                Event::Asked(node, room, ask, _) => println!("{} {room} log, from {node}: {}", self.now, told(ask)),
                Event::Answered(node, room, reply, _) => println!("{} {room} to {node}: {}", self.now, answer(reply)),
                Event::Live(node, room, stored) => println!("{} {room} to {node}: live {}", self.now, one(stored)),
                _ => {}
            }
        }
        match event {
            Event::Asked(node, room, ask, number) => self.answer(node, &room, ask, number),
            Event::Answered(node, room, reply, number) => {
                if self.unanswered.remove(&number) {
                    self.with(node, &room, |replica, now| tell(replica, reply, now));
                }
            }
            Event::Live(node, room, stored) => self.with(node, &room, |replica, now| replica.live(&stored, now)),
            Event::Tail(node, room, tail) => {
                let tail = Tail::parse(&tail).unwrap();
                self.with(node, &room, |replica, now| replica.tail(&tail, now));
            }
            Event::Tick(node, room) => self.with(node, &room, Replica::tick),
            Event::Publish(node) => self.publish(node),
            Event::Check(node) => self.check(node),
            Event::Trouble => self.trouble(),
            Event::Calm => {
                (self.is_calm, self.log.is_away) = (true, false);
                for node in 0..self.nodes.len() {
                    self.check(node);
                    for room in self.rooms.clone() {
                        if self.nodes[node].replicas.contains_key(&room) {
                            self.publish_to(node, &room);
                        }
                    }
                }
            }
        }
    }

    fn publish(&mut self, node: usize) {
        if self.nodes[node].replicas.is_empty() || self.is_calm {
            return;
        }
        let room = self.rooms[self.dice.below(self.rooms.len() as u64) as usize].clone();
        self.publish_to(node, &room);
        let pause = if self.dice.happens(70) { self.dice.below(300) } else { self.dice.below(4_000) };
        self.at(self.now + 1 + pause, Event::Publish(node));
    }

    fn publish_to(&mut self, node: usize, room: &RoomName) {
        let mut entries = Vec::new();
        for _ in 0..=self.dice.below(3) {
            self.payloads += 1;
            self.judge.publishes(room, node, self.payloads);
            let payload = self.payloads.to_be_bytes().to_vec().into();
            let entry = LogEntry { membership: 0, time: UNIX_EPOCH, from: None, user: None, payload };
            entries.push((Ticket(self.payloads), entry));
        }
        self.with(node, room, |replica, now| replica.publish(entries, now).unwrap());
        if self.purges_every.is_some_and(|every| self.payloads.is_multiple_of(every)) {
            self.with(node, room, Replica::purge);
        }
    }

    pub(super) fn run(&mut self) {
        while let Some(Reverse((time, key))) = self.events.pop() {
            if time > BUSY_UNTIL + RESTS {
                break;
            }
            self.now = time;
            let Some(event) = self.what.remove(&key) else { unreachable!("each has its key") };
            self.happen(event);
        }
        self.rest();
    }

    /// What must hold in the end.
    fn rest(&mut self) {
        let gone = std::mem::take(&mut self.gone);
        let unanswered = self.judge.unanswered(|node| gone.contains(&(node as u64)));
        if !unanswered.is_empty() {
            self.judge.faults.push(format!("nobody was told of {unanswered:?}"));
        }
        for room in self.rooms.clone() {
            let end = self.log.last(&room).cloned();
            for (number, node) in self.nodes.iter().enumerate() {
                let Some(replica) = node.replicas.get(&room) else { continue };
                let last = end.as_ref().map(|end| LogEnvelope::parse(&end.envelope).unwrap());
                let last = last.map(|last| MessageId { epoch: last.epoch, seq: last.last() });
                if replica.last() != last || !replica.is_settled() || !replica.is_open() {
                    let fault = format!("{number} rests at {:?} in {room}, the log at {last:?}", replica.last());
                    self.judge.faults.push(fault);
                }
            }
        }
        match self.losses {
            Losses::None if !self.emptied => self.judge.of_all(&kept(&self.log)),
            _ => {
                self.judge.of_each();
                self.judge.of_branches(&links(&self.log));
                let alive: Vec<_> =
                    (0..self.nodes.len()).filter(|node| !self.nodes[*node].replicas.is_empty()).collect();
                for room in &self.rooms {
                    if let Some(last) = self.nodes[alive[0]].replicas[room].last() {
                        self.judge.agree(&alive, room, last.epoch);
                    }
                }
            }
        }
    }
}
