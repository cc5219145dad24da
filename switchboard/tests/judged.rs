//! A room's whole life, taken down and judged: members that come, go, come back and are slow, publications that the log keeps late or not at
//! all, processes that die in between. Nothing that the checker's rules forbid is seen, whatever keeps the rooms.
//!
//! Everything follows from a seed: `JUDGED_SEEDS=N` judges N of them with each log, and `JUDGED_SEED=N` that one alone.

use crate::harness::node::{Member, Node, told};
use crate::harness::paced_log::{Keeper, PacedLog};
use crate::harness::random::{Random, from_environment};
use serde_json::Value;
use std::sync::Arc;
use switchboard::grammar::Notice;
use switchboard::log::PageLimit;
use switchboard::prelude::*;
use switchboard::{Format, HubLimits, Join, Message, MessageId, Overflow, Page, Publication, Room};
use switchboard_checker::{Event, Id, Kept, Promise, Recorder, Told, judge};

const ROOMS: [&str; 2] = ["one", "two"];
const MEMBERS: usize = 5;
const STEPS: u64 = 250;

/// Little of a room is in memory, and little waits for a member, so that both are gone beyond.
const HISTORY: usize = 12;
const OUTBOX: usize = 10;

#[test]
fn no_rule_is_broken_where_nothing_is_kept() {
    let happened = judged(40, Promise::Volatile, |_| None);
    assert!(happened.resets > 0 && happened.gaps > 0, "{happened:?}");
}

#[test]
fn no_rule_is_broken_by_a_log_in_memory() {
    let happened = judged(40, Promise::Durable, |_| Some(Keeper::memory()));
    happened.assert_durable();
}

#[cfg(feature = "sqlite")]
#[test]
fn no_rule_is_broken_by_a_log_in_sqlite() {
    let happened = judged(8, Promise::Durable, |seed| Some(Keeper::disk(&format!("judged-{seed}"))));
    happened.assert_durable();
}

/// What came to pass: a run in which nothing does shows nothing.
#[derive(Debug, Default)]
struct Happened {
    gaps: u64,
    resets: u64,
    failed: u64,
    unknown: u64,
    deep: u64,
    returns: u64,
}

impl Happened {
    fn assert_durable(&self) {
        let Self { gaps, resets, failed, unknown, deep, returns } = *self;
        assert_eq!(resets, 0, "no process was the first");
        assert!(gaps.min(failed).min(unknown).min(deep).min(returns) > 0, "{self:?}");
    }
}

fn judged(seeds: u64, promise: Promise, keeper: impl Fn(u64) -> Option<Keeper>) -> Happened {
    let only: Option<u64> = from_environment("JUDGED_SEED");
    let seeds = from_environment("JUDGED_SEEDS").unwrap_or(seeds);
    let mut happened = Happened::default();
    for seed in only.map_or(0..seeds, |seed| seed..seed + 1) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let log = keeper(seed).map(PacedLog::new);
        let recorder;
        (recorder, happened) = runtime.block_on(life(Random::new(seed), log, happened));
        let faults = judge(&recorder.events(), promise);
        if !faults.is_empty() {
            let faults: Vec<_> = faults.iter().take(5).map(ToString::to_string).collect();
            panic!("JUDGED_SEED={seed}: {faults:#?}\n{}", recorder.to_ndjson());
        }
    }
    happened
}

/// What was taken down; and what has come to pass, behind what had before.
async fn life(mut random: Random, log: Option<Arc<PacedLog>>, happened: Happened) -> (Recorder, Happened) {
    let mut world = World::begin(log, happened).await;
    for _ in 0..STEPS {
        let who = random.within(0..MEMBERS as u64) as usize;
        match random.within(0..100) {
            0..40 => world.publish(who, random.one_in(3)),
            40..55 => world.answer(),
            55..60 => world.fail(),
            60..75 => world.hear(who).await,
            75..88 => world.come_or_go(who, &mut random).await,
            88..96 => world.read(&mut random).await,
            96..98 => world.restart(&mut random).await,
            // One that is slow for long has missed what its outbox does not hold.
            _ => (0..30).for_each(|_| world.publish(who, false)),
        }
    }
    world.end().await;
    (world.recorder, world.happened)
}

/// A member, what its stay is called, and up to which message it was told.
struct Seated {
    member: Member,
    stay: String,
    last: MessageId,
}

struct World {
    log: Option<Arc<PacedLog>>,
    node: Node,
    recorder: Recorder,
    /// Publications without an outcome.
    pending: Vec<(u64, Publication)>,
    seats: [Option<Seated>; MEMBERS],
    /// Where each goes on: in the room of its number.
    known: [Option<MessageId>; MEMBERS],
    calls: u64,
    stays: u64,
    happened: Happened,
}

impl World {
    async fn begin(log: Option<Arc<PacedLog>>, happened: Happened) -> Self {
        let node = start(log.as_ref()).await;
        let (recorder, pending, seats, known) = Default::default();
        Self { log, node, recorder, pending, seats, known, calls: 0, stays: 0, happened }
    }

    fn room(&self, number: usize) -> Room {
        self.node.quiet(ROOMS[number % ROOMS.len()])
    }

    /// A member says something, or the program does.
    fn publish(&mut self, who: usize, is_program: bool) {
        self.calls += 1;
        let (call, text, room) = (self.calls, format!("text {}", self.calls), self.room(who));
        let seat = self.seats[who].as_ref().filter(|_| !is_program);
        let (client, stay) = seat.map_or_else(
            || (format!("program in {}", room.name()), None),
            |seat| (seat.stay.clone(), Some(seat.stay.clone())),
        );
        let name = room.name().to_string();
        self.recorder.note(Event::Invoke { call, client, room: name, text: text.clone(), stay });
        match seat.map_or_else(|| Ok(room.publish(&text)), |seat| seat.member.seat.publish(&text)) {
            Ok(publication) => self.pending.push((call, publication)),
            Err(_) => self.recorder.note(Event::Fail { call }),
        }
        self.settle();
    }

    /// Takes down what is known by now.
    fn settle(&mut self) {
        for (call, publication) in std::mem::take(&mut self.pending) {
            match publication.known() {
                Some(Ok(published)) => self.recorder.note(Event::Ok { call, id: id(published.id) }),
                Some(Err(_)) => {
                    self.happened.failed += 1;
                    self.recorder.note(Event::Fail { call });
                }
                None => self.pending.push((call, publication)),
            }
        }
    }

    fn answer(&mut self) {
        if let Some(log) = &self.log {
            log.answer_one();
        }
        self.settle();
    }

    fn fail(&mut self) {
        if let Some(log) = &self.log {
            log.fail_one();
        }
        self.settle();
    }

    /// A member is told what there is for it.
    async fn hear(&mut self, who: usize) {
        let Some(mut seat) = self.seats[who].take() else { return };
        loop {
            let objects = told(&mut seat.member.peer).await;
            for object in &objects {
                self.note(&mut seat, object);
            }
            let is_deep = self.log.as_ref().is_some_and(|log| log.read_all());
            self.happened.deep += u64::from(is_deep);
            if objects.is_empty() && !is_deep {
                break;
            }
        }
        self.settle();
        self.seats[who] = Some(seat);
    }

    fn note(&mut self, seat: &mut Seated, object: &Value) {
        let number = |key: &str| object[key].as_u64().unwrap();
        let text = |key: &str| object[key].as_str().unwrap().to_owned();
        let told = match object["event"].as_str() {
            Some("gap") => {
                self.happened.gaps += 1;
                Told::Gap { from_seq: number("from_seq"), lost: number("lost") }
            }
            Some("reset") => {
                // Of a room that never had a message nothing is kept, not even which one it was.
                self.happened.resets += u64::from(seat.last.seq > 0);
                seat.last = MessageId { epoch: text("epoch").parse().unwrap(), seq: 0 };
                Told::Reset { epoch: text("epoch") }
            }
            Some(_) => return,
            None => {
                seat.last = text("id").parse().unwrap();
                Told::Message { id: text("id").parse().unwrap(), text: text("text") }
            }
        };
        self.recorder.note(Event::Told { stay: seat.stay.clone(), told });
    }

    async fn come_or_go(&mut self, who: usize, random: &mut Random) {
        if let Some(seat) = self.seats[who].take() {
            self.leave(who, seat);
            return;
        }
        let since = self.known[who].filter(|_| !random.one_in(4));
        let room = self.room(who);
        self.stays += 1;
        self.happened.returns += u64::from(since.is_some());
        let (stay, last) = (format!("member {who}, stay {}", self.stays), room.last_id());
        let joining =
            Event::Join { stay: stay.clone(), room: room.name().to_string(), since: since.map(id), last: id(last) };
        self.recorder.note(joining);
        let join = Join { since, overflow: Some(Overflow::DropOldest), ..Join::default() };
        let member = self.node.join(&room, Format::Json, join).await;
        self.seats[who] = Some(Seated { member, stay, last: since.unwrap_or(last) });
    }

    fn leave(&mut self, who: usize, seat: Seated) {
        self.recorder.note(Event::Leave { stay: seat.stay });
        self.known[who] = Some(seat.last);
    }

    /// Somebody reads a page.
    async fn read(&mut self, random: &mut Random) {
        let who = random.within(0..MEMBERS as u64) as usize;
        let room = self.room(who);
        let (last, messages) = (room.last_id(), random.within(1..40) as usize);
        let somewhere = MessageId { seq: random.within(0..last.seq + 1), ..last };
        let since = self.known[who].unwrap_or(somewhere);
        let reading = room.past(since, PageLimit { messages, bytes: usize::MAX });
        if let Some(log) = &self.log {
            log.read_all();
        }
        let Page { notice, messages: page, .. } = reading.await.unwrap();
        let notice = notice.map(|notice| match notice {
            Notice::Gap { lost, from_seq, .. } => Told::Gap { from_seq, lost },
            Notice::Reset { epoch, .. } => Told::Reset { epoch: epoch.to_string() },
            other => panic!("{other:?}"),
        });
        let text = |message: &Message| String::from_utf8(message.payload.to_vec()).unwrap();
        let page: Vec<_> = page.iter().map(|one| Told::Message { id: id(one.id), text: text(one) }).collect();
        let known = (page.len() < messages).then_some(id(last));
        let told = notice.into_iter().chain(page).collect();
        self.recorder.note(Event::Read { room: room.name().to_string(), since: Some(id(since)), told, known });
    }

    /// The process ends, in order or not, and another one begins.
    async fn restart(&mut self, random: &mut Random) {
        if let Some(log) = &self.log {
            if random.one_in(2) {
                for (call, _) in std::mem::take(&mut self.pending) {
                    self.happened.unknown += 1;
                    self.recorder.note(Event::Unknown { call });
                }
                log.crash(random.within(0..4) as usize);
            } else {
                log.answer();
            }
        }
        self.settle();
        for who in 0..MEMBERS {
            if let Some(seat) = self.seats[who].take() {
                self.leave(who, seat);
            }
        }
        self.node.handle.abort();
        self.node = start(self.log.as_ref()).await;
    }

    /// Nothing is under way any more.
    async fn end(&mut self) {
        if let Some(log) = &self.log {
            log.answer();
        }
        self.settle();
        assert!(self.pending.is_empty(), "each has an outcome");
        for who in 0..MEMBERS {
            self.hear(who).await;
        }
        self.recorder.note(Event::Quiet);
        for number in 0..ROOMS.len() {
            let room = self.room(number);
            let first = MessageId { seq: 0, ..room.last_id() };
            let kept = self.log.as_ref().map_or_else(|| room.history(HISTORY), |log| log.kept(room.name(), first));
            let gone = if self.log.is_some() { 0 } else { kept.first().map_or(0, |first| first.id.seq - 1) };
            let text = |message: &Message| String::from_utf8(message.payload.to_vec()).unwrap();
            let kept = kept.iter().map(|message| Kept { id: id(message.id), text: text(message) }).collect();
            self.recorder.note(Event::Final { room: room.name().to_string(), gone, kept });
        }
    }
}

async fn start(log: Option<&Arc<PacedLog>>) -> Node {
    let limits = HubLimits { history_messages: HISTORY, ..HubLimits::default() };
    let hub = log.map_or_else(|| Hub::with_limits(limits.clone()), |log| log.hub(limits.clone()));
    Node::with(hub, Server::new().limits(Limits { outbox_frames: OUTBOX, ..Limits::default() })).await
}

fn id(id: MessageId) -> Id {
    Id::new(id.epoch.to_string(), id.seq)
}
