//! Members that behave badly, over memory and under a paused clock: they are late, stall, break off, finish halfway, come
//! back, and in the end the server drains.
//!
//! Everything follows from a seed: 50 of them in each run, `SIMULATION_SEEDS=N` runs N, and
//! `SIMULATION_SEED=N` that one alone and prints what happened.

use crate::harness::random::{Random, from_environment};
use crate::harness::seat::{Hearing, Order, seat};
use crate::harness::served::Served;
use parking_lot::Mutex;
use serde_json::Value;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{Handle, HubLimits, Memory};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

const SEEDS: u64 = 50;

#[test]
fn badly_behaved_members_cost_others_nothing_and_themselves_only_what_they_are_told() {
    let only: Option<u64> = from_environment("SIMULATION_SEED");
    let seeds = from_environment("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let mut happened = Happened::default();
    for seed in only.map_or(0..seeds, |seed| seed..seed + 1) {
        println!("SIMULATION_SEED={seed}");
        happened.add(&run(seed).happened);
    }
    println!("{happened:?}");
    if only.is_none() {
        happened.assert_all();
    }
}

#[test]
fn the_same_seed_does_the_same() {
    for seed in 0..5 {
        let (first, second) = (run(seed).trace, run(seed).trace);
        let differs = first.lines().zip(second.lines()).find(|(first, second)| first != second);
        assert_eq!(differs, None, "SIMULATION_SEED={seed}");
        assert_eq!(first.len(), second.len());
    }
    assert_ne!(run(0).trace, run(1).trace);
}

/// How often each fault came to pass, and what it led to.
#[derive(Debug, Default, Clone)]
struct Happened {
    delays: u64,
    stalls: u64,
    resets: u64,
    half_closes: u64,
    rejoins: u64,
    gaps_while_there: u64,
    gaps_on_return: u64,
    slow_consumers: u64,
    drained: u64,
    heard: u64,
}

impl Happened {
    fn counts(&self) -> [(&'static str, u64); 10] {
        [
            ("delays", self.delays),
            ("stalls", self.stalls),
            ("resets", self.resets),
            ("half closes", self.half_closes),
            ("rejoins", self.rejoins),
            ("gaps while there", self.gaps_while_there),
            ("gaps on return", self.gaps_on_return),
            ("slow consumers", self.slow_consumers),
            ("drained", self.drained),
            ("heard", self.heard),
        ]
    }

    fn add(&mut self, other: &Self) {
        self.delays += other.delays;
        self.stalls += other.stalls;
        self.resets += other.resets;
        self.half_closes += other.half_closes;
        self.rejoins += other.rejoins;
        self.gaps_while_there += other.gaps_while_there;
        self.gaps_on_return += other.gaps_on_return;
        self.slow_consumers += other.slow_consumers;
        self.drained += other.drained;
        self.heard += other.heard;
    }

    /// A simulation whose faults do not happen shows nothing.
    fn assert_all(&self) {
        for (what, count) in self.counts() {
            assert!(count > 0, "no {what}");
        }
    }
}

struct Run {
    trace: String,
    happened: Happened,
}

fn run(seed: u64) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(simulate(Random::new(seed)))
}

async fn simulate(mut random: Random) -> Run {
    let (world, drained) = World::open(&mut random).await;
    let mut members = JoinSet::new();
    for number in 0..random.within(3..10) {
        members.spawn(member(Arc::clone(&world), random.fork(), number));
    }
    sleep(Duration::from_millis(random.within(500..60_000))).await;
    world.note("drain");
    world.state.lock().published = world.room.last_id().seq;
    world.draining.cancel();
    world.handle.drain();
    while let Some(member) = members.join_next().await {
        member.unwrap();
    }
    let drained = drained.await.unwrap();
    assert_eq!(drained.aborted, 0, "everybody was read to its end");
    let metrics = world.handle.metrics();
    let closed: u64 = CloseReason::ALL.into_iter().map(|reason| metrics.closed(reason)).sum();
    assert_eq!(metrics.accepted.get(), closed, "each has ended once");
    let state = world.state.lock();
    Run { trace: state.trace.clone(), happened: state.happened.clone() }
}

/// A server with little memory for each member, and what came to pass there.
struct World {
    memory: Memory,
    room: Room,
    handle: Handle,
    /// Not a watch channel: that wakes in an order which no seed decides.
    draining: CancellationToken,
    order: Order,
    began: Instant,
    is_told: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    trace: String,
    happened: Happened,
    /// The last message before the drain, once it has begun.
    published: u64,
}

impl World {
    async fn open(random: &mut Random) -> (Arc<Self>, JoinHandle<Drained>) {
        let history_messages = random.within(1..64) as usize;
        let (hub, room) = loop {
            let hub = Hub::with_limits(HubLimits { history_messages, ..HubLimits::default() });
            let room = hub.room("lobby").unwrap();
            // The epoch is the one thing that no seed decides: at least it takes as many bytes of an outbox in each run.
            if room.last_id().epoch.to_string().len() == 7 {
                break (hub, room);
            }
        };
        let limits = Limits {
            outbox_frames: random.within(4..64) as usize,
            outbox_bytes: random.within(4 << 10..64 << 10) as usize,
            ..Limits::default()
        };
        let write = Some(Duration::from_secs(random.within(2..15)));
        let timeouts = Timeouts { write, idle: None, ..Timeouts::default() };
        let memory = Memory::new();
        let server = Server::new().limits(limits).timeouts(timeouts).memory(&memory, {
            let room = room.clone();
            move |conn: Connection<Lines>| seat(conn, hub.clone(), room.clone())
        });
        let Served { memory, handle, drained, .. } = Served::over(&memory, server).await;
        let world = Self {
            memory,
            room,
            handle,
            draining: CancellationToken::new(),
            order: Order::default(),
            began: Instant::now(),
            is_told: from_environment::<u64>("SIMULATION_SEED").is_some(),
            state: Mutex::default(),
        };
        (Arc::new(world), drained)
    }

    fn note(&self, what: &str) {
        let line = format!("{} {what}", self.began.elapsed().as_millis());
        // At once, since a run that fails has no trace.
        if self.is_told {
            println!("{line}");
        }
        self.state.lock().trace.push_str(&(line + "\n"));
    }

    fn happened(&self, what: impl Fn(&mut Happened) -> &mut u64) {
        *what(&mut self.state.lock().happened) += 1;
    }

    fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Waits, until the drain at most.
    async fn pause(&self, at_most: Duration) {
        // The time is what it waits for; the drain is what interrupts it.
        let _ = timeout(at_most, self.draining.cancelled()).await;
    }
}

async fn member(world: Arc<World>, mut random: Random, number: u64) {
    let mut member = Member::enter(world, &mut random, number).await;
    while !member.world.is_draining() {
        match random.within(0..15) {
            0..4 => member.say(&mut random).await,
            4..7 => {
                member.world.happened(|happened| &mut happened.delays);
                member.world.pause(Duration::from_millis(random.within(1..300))).await;
            }
            7..11 => member.listen().await,
            11 => {
                member.world.happened(|happened| &mut happened.stalls);
                member.world.pause(Duration::from_millis(random.within(1000..25_000))).await;
            }
            12 => member.rejoin().await,
            13 => {
                member.world.happened(|happened| &mut happened.half_closes);
                member.peer.finish();
                member.hear_out().await;
            }
            _ => {
                member.world.happened(|happened| &mut happened.resets);
                let peer = Peer::connect(&member.world.memory);
                std::mem::replace(&mut member.peer, peer).reset();
                member.ended = true;
            }
        }
        if member.ended && !member.world.is_draining() {
            member.come_back().await;
        }
    }
    member.drain().await;
}

#[expect(clippy::struct_excessive_bools, reason = "each is one thing that a member knows")]
struct Member {
    world: Arc<World>,
    number: u64,
    overflow: &'static str,
    peer: Peer,
    hearing: Hearing,
    said: u64,
    /// Whether it is in the room, as far as it knows.
    seated: bool,
    /// Nothing of the room has come since it came back.
    returning: bool,
    /// Whether anything has come over this connection.
    answered: bool,
    ended: bool,
}

impl Member {
    async fn enter(world: Arc<World>, random: &mut Random, number: u64) -> Self {
        let overflow = *random.pick::<&str>(&["", "drop-oldest", "drop-newest", "latest"]);
        let (peer, hearing) = (Peer::connect(&world.memory), Hearing::new(&world.order));
        let mut member = Self {
            world,
            number,
            overflow,
            peer,
            hearing,
            said: 0,
            seated: false,
            returning: false,
            answered: false,
            ended: false,
        };
        member.join().await;
        member
    }

    fn note(&self, what: &str) {
        self.world.note(&format!("{}{} {what}", self.number, self.overflow));
    }

    async fn say(&mut self, random: &mut Random) {
        let mut lines = String::new();
        for _ in 0..random.within(1..8) {
            let padding = "x".repeat(random.within(0..6000) as usize);
            writeln!(lines, "{}:{}:{padding}", self.number, self.said).unwrap();
            self.said += 1;
        }
        self.note(&format!("says up to {}", self.said));
        self.peer.send(lines).await;
    }

    /// Hears what is there.
    async fn listen(&mut self) {
        while !self.ended
            && let Ok(line) = timeout(Duration::from_millis(1), self.peer.line()).await
        {
            self.hear(&line);
        }
        self.tell_end().await;
    }

    /// Hears everything until the server ends the connection.
    async fn hear_out(&mut self) {
        while !self.ended {
            let line = self.peer.line().await;
            self.hear(&line);
        }
        self.tell_end().await;
    }

    fn hear(&mut self, line: &str) {
        let Some(line) = line.strip_suffix('\n') else {
            // What is left of a broken connection, if anything.
            self.ended = true;
            return;
        };
        self.answered = true;
        let gaps = self.hearing.account.gaps;
        self.hearing.hear(line);
        let heard = self.hearing.account.up_to();
        if self.hearing.account.gaps > gaps {
            let returning = self.returning;
            self.world.happened(
                |happened| {
                    if returning { &mut happened.gaps_on_return } else { &mut happened.gaps_while_there }
                },
            );
        }
        if line.contains("\"room\"") {
            self.returning = false;
            self.world.happened(|happened| &mut happened.heard);
        }
        let mut object: Value = serde_json::from_str(line).unwrap();
        // Chance from outside the seed, and much padding.
        for key in ["id", "time", "text"] {
            object.as_object_mut().unwrap().remove(key);
        }
        self.note(&format!("hears {object}, is told up to {heard}"));
    }

    /// Says why the connection ended, if it has.
    async fn tell_end(&mut self) {
        if !self.ended || !self.answered {
            return;
        }
        let reason = self.peer.closed().await;
        self.note(&format!("ended: {reason}"));
        match reason {
            CloseReason::SlowConsumer => self.world.happened(|happened| &mut happened.slow_consumers),
            CloseReason::Drained => self.world.happened(|happened| &mut happened.drained),
            CloseReason::PeerClosed => {}
            other => panic!("{} was not to end so: {other}", self.number),
        }
    }

    async fn join(&mut self) {
        self.hearing.forget();
        self.command(&format!("join {}", self.overflow)).await;
        self.seated = self.hearing.answered;
    }

    async fn command(&mut self, command: &str) {
        self.note(command.split(' ').next().unwrap());
        self.hearing.answered = false;
        self.peer.send(format!("{}\n", command.trim_end())).await;
        while !self.hearing.answered && !self.ended {
            let line = self.peer.line().await;
            self.hear(&line);
        }
        self.tell_end().await;
    }

    async fn rejoin(&mut self) {
        self.seated = false;
        self.command("leave").await;
        if !self.ended {
            self.world.happened(|happened| &mut happened.rejoins);
            self.join().await;
        }
    }

    /// Goes on where it was, over another connection.
    async fn come_back(&mut self) {
        self.peer = Peer::connect(&self.world.memory);
        (self.ended, self.answered) = (false, false);
        if !self.seated {
            self.hearing.break_off();
            return self.join().await;
        }
        self.returning = true;
        self.seated = false;
        let since = self.hearing.resume(self.world.room.last_id().epoch);
        self.command(&format!("join {since} {}", self.overflow)).await;
        // If not, it does not know what it has missed.
        self.seated = self.hearing.answered;
    }

    /// Whoever is there when the server drains is told everything that was published before.
    async fn drain(&mut self) {
        let before = self.world.state.lock().published;
        let was_there = self.seated && !self.ended;
        self.hear_out().await;
        if was_there && self.world.handle.metrics().closed(CloseReason::SlowConsumer) == 0 {
            let heard = self.hearing.account.up_to();
            assert!(heard >= before, "{} has heard up to {heard}, and {before} was published before", self.number);
        }
    }
}
