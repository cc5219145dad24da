//! One thread of the load: an event loop over its connections.
//!
//! It opens, replaces and reads connections, and knows when messages are due; a [`Script`] knows what they are and whether the
//! answers are right. The aim is few system calls for each message: one read takes everything that has arrived, one write carries
//! everything that is due, and the clock is read once for each of them.

mod connections;
mod pulse;

use crate::clock::thread_time;
use crate::options::{Load, Plan};
use crate::schedule::{Churn, Pace, Turns};
use crate::shared::Shared;
use crate::stream::{Batch, Connector};
use crate::tally::{Rest, Snapshot, Tally};
use connections::Connections;
pub(crate) use pulse::Pulse;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

/// Time for answers to arrive after the last message was sent.
const GRACE: u64 = 5_000_000_000;

/// The same for datagrams, some of which never come.
const DATAGRAM_GRACE: u64 = 1_000_000_000;

/// How often to check whether all answers have arrived.
const LOOK: u64 = 10_000_000;

/// What connections say, and whether what they hear is right. Connections are numbered within the thread.
pub(crate) trait Script {
    /// A connection is open, perhaps not for the first time: it may say something first, and has something to say later.
    fn opened(&mut self, connection: usize, moment: &mut Moment<'_>, output: &mut Vec<u8>);

    /// Takes whole frames off the input, and returns how many bytes they are. Answers go to `output`.
    ///
    /// # Errors
    /// The server says something that it must not: the connection ends.
    fn receive(
        &mut self,
        connection: usize,
        input: &[u8],
        moment: &mut Moment<'_>,
        output: &mut Vec<u8>,
    ) -> Result<usize, String>;

    /// One more message of this connection is due.
    fn due(&mut self, connection: usize);

    /// Everything that will ever be due is due now.
    fn all_is_due(&mut self);

    /// Whether everything that was due has been sent, except what there is nobody left to send to.
    fn has_sent_all(&self) -> bool;

    /// Adds what this connection is to send now, a batch at most.
    fn send(&mut self, connection: usize, moment: &mut Moment<'_>, output: &mut Vec<u8>);

    /// Called once in each turn of the loop: connections that have something to send go to `dirty`. Returns the latest time to look again.
    fn turn(&mut self, moment: &mut Moment<'_>, dirty: &mut Vec<usize>) -> Option<u64>;

    /// A connection is closed, or could not be opened.
    fn closed(&mut self, connection: usize, end: End, moment: &mut Moment<'_>);

    /// Whether a connection waits for nothing, so that it can be replaced.
    fn is_settled(&self, connection: usize) -> bool;

    /// Connections that are ready for the run.
    fn ready(&self) -> usize;

    /// Whether everything that was sent, by all threads, has arrived.
    fn is_complete(&self) -> bool;

    /// Counts what has never arrived; returns how many connections received nothing.
    fn finish(&mut self, moment: &mut Moment<'_>) -> u64;
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By the server, or by an error.
    Lost,
    /// To be opened again.
    Replaced,
}

/// When something happens, and where it is counted.
#[derive(Debug)]
pub(crate) struct Moment<'a> {
    /// Since the run began; before that, since the process began to measure.
    pub(crate) now: u64,
    pub(crate) phase: Phase,
    /// Whether only this thread can have delayed what leaves now.
    pub(crate) prompt: bool,
    pub(crate) tally: &'a mut Tally,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Connections are opened.
    Opening,
    Running,
    /// Nothing more becomes due. What was is sent, and answers are waited for.
    Draining,
}

pub(crate) struct Worker<S> {
    script: S,
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    number: usize,
    snapshots: mpsc::Sender<(usize, Snapshot)>,
    pulse: Pulse,
    connections: Connections,
    turns: Option<(Turns, Pace)>,
    churn: Churn,
    tally: Tally,
    phase: Phase,
    /// The clock's time at which the run began.
    began: u64,
    /// CPU time of this thread until then: what connecting has cost does not belong to the load.
    cpu_before: u64,
    /// Whether the others know that this thread has sent everything.
    has_told: bool,
    last_cut: u64,
    next_cut: u64,
    /// Connections with something to send.
    dirty: Vec<usize>,
    output: Vec<u8>,
    batch: Batch,
}

impl<S: Script> Worker<S> {
    pub(crate) fn new(
        script: S,
        plan: Arc<Plan>,
        shared: Arc<Shared>,
        number: usize,
        (pulse, connector): (Pulse, Connector),
        snapshots: mpsc::Sender<(usize, Snapshot)>,
    ) -> Self {
        let threads = plan.threads;
        let own = |index: usize| (index % threads == number).then_some(index / threads);
        // Senders are the last connections: in rooms the members come first.
        let first = plan.all_connections() - plan.senders();
        let turns = match plan.load {
            Load::Open { rate } => {
                let turns = Turns::new(plan.senders(), plan.seed, |sender| own(first + sender));
                Some((turns, Pace { rate, ramp: plan.phases.ramp }))
            }
            Load::Closed { .. } => None,
        };
        let connections = (number..plan.all_connections()).step_by(threads);
        Self {
            connections: Connections::new(connections.map(|index| (index, index < plan.slow_readers)), connector),
            churn: Churn::new(plan.connections, plan.churn, plan.seed),
            tally: Tally::new(plan.phases.measured()),
            last_cut: 0,
            next_cut: plan.phases.next_cut(0),
            // Room for the longest prefix that anybody puts before a reply.
            batch: Batch::new(plan.size + 512),
            phase: Phase::Opening,
            began: 0,
            cpu_before: 0,
            has_told: false,
            dirty: Vec::new(),
            output: Vec::new(),
            script,
            plan,
            shared,
            number,
            snapshots,
            pulse,
            turns,
        }
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The event loop fails, which no server can cause.
    pub(crate) fn run(mut self) -> io::Result<(Snapshot, Rest)> {
        loop {
            let mut wake = self.follow();
            self.open_links(&mut wake);
            if self.phase == Phase::Running {
                self.replace_links(&mut wake);
                self.collect_due(self.now(), &mut wake);
            }
            let (mut dirty, now) = (std::mem::take(&mut self.dirty), self.now());
            let moment = &mut Moment { now, phase: self.phase, prompt: true, tally: &mut self.tally };
            wake.at(self.script.turn(moment, &mut dirty));
            for connection in dirty.drain(..) {
                self.send(connection, true);
            }
            self.dirty = dirty;
            self.read_slowly(&mut wake);
            self.tell();
            if self.phase == Phase::Draining && !self.has_told && self.script.has_sent_all() {
                self.has_told = true;
                self.shared.finish_sending();
            }
            if self.phase == Phase::Draining && self.is_done() {
                return Ok(self.finish());
            }
            let now = self.now();
            let wait =
                if self.connections.again.is_empty() { wake.0.map(|at| at.saturating_sub(now)) } else { Some(0) };
            self.pulse.wait(wait)?;
            self.take_events();
        }
    }

    fn now(&self) -> u64 {
        self.shared.clock.now().saturating_sub(self.began)
    }

    /// Moves on to the next phase when it is time.
    fn follow(&mut self) -> Wake {
        let mut wake = Wake(None);
        let end = self.plan.phases.measured().end;
        if self.phase == Phase::Opening {
            match self.shared.begins() {
                Some(start) if self.shared.clock.now() >= start => {
                    (self.phase, self.began, self.cpu_before) = (Phase::Running, start, thread_time());
                }
                start => wake.at(start),
            }
        }
        let now = self.now();
        if self.phase != Phase::Draining
            && let Some(stop) = self.shared.stops().filter(|stop| now >= *stop)
        {
            self.tally.end(now);
            if self.phase == Phase::Running {
                // All threads cut there, so that what was seen of the last second counts too.
                let last = stop.min(end);
                self.cut_until(last);
                if self.last_cut < last {
                    self.cut(last);
                }
                self.collect_due(stop, &mut wake);
            }
            self.drain();
        }
        if self.phase == Phase::Running {
            self.cut_until(now.min(end) + 1);
            wake.at(Some(self.next_cut));
            if now >= end {
                self.collect_due(now, &mut wake);
                self.drain();
            }
        }
        if self.phase == Phase::Draining {
            wake.at(Some(now + LOOK));
        }
        wake
    }

    fn drain(&mut self) {
        self.phase = Phase::Draining;
        self.script.all_is_due();
        for connection in self.connections.stay() {
            if self.connections.mark(connection) {
                self.dirty.push(connection);
            }
        }
    }

    /// Cuts where it is time to, before `limit`.
    fn cut_until(&mut self, limit: u64) {
        while self.next_cut < limit {
            self.cut(self.next_cut);
            self.next_cut = self.plan.phases.next_cut(self.next_cut);
        }
    }

    fn cut(&mut self, at: u64) {
        self.last_cut = at;
        let snapshot = self.tally.cut(at, self.cpu());
        // Nobody counts any more if the main thread is gone.
        let _ = self.snapshots.blocking_send((self.number, snapshot));
    }

    /// CPU time of this thread since the run began.
    fn cpu(&self) -> u64 {
        thread_time().saturating_sub(self.cpu_before)
    }

    fn is_done(&self) -> bool {
        let datagrams = self.plan.protocol == crate::protocol::Protocol::Datagrams;
        let grace = if datagrams { DATAGRAM_GRACE } else { GRACE };
        let end = self.plan.phases.measured().end.min(self.shared.stops().unwrap_or(u64::MAX));
        // Whoever is opening when it is stopped has nothing to wait for.
        let late = self.shared.begins().is_none() || self.now() > end + grace;
        late || (self.shared.all_is_sent() && self.script.is_complete())
    }

    fn finish(mut self) -> (Snapshot, Rest) {
        let now = self.now();
        let moment = &mut Moment { now, phase: self.phase, prompt: false, tally: &mut self.tally };
        let silent = self.script.finish(moment);
        let cpu = self.cpu();
        let snapshot = self.tally.cut(now, cpu);
        let Tally { counts, connect, errors, .. } = self.tally;
        (snapshot, Rest { counts, connect, errors, silent })
    }

    /// Tells the main thread how far the connections are.
    fn tell(&self) {
        let readiness = &self.shared.readiness[self.number];
        readiness.ready.store(self.script.ready(), Ordering::Relaxed);
        readiness.failed.store(self.connections.failed, Ordering::Relaxed);
    }

    /// Hands out what is due by `until`; what was due before the end counts, however late this thread looks.
    fn collect_due(&mut self, until: u64, wake: &mut Wake) {
        let Some((turns, pace)) = &mut self.turns else { return };
        let until = until.min(self.plan.phases.measured().end - 1);
        while let Some(due) = turns.next_due(pace) {
            if due > until {
                wake.at(Some(due));
                return;
            }
            if let Some(connection) = turns.take() {
                self.script.due(connection);
                // Who is at the end of the list is there already.
                if self.connections.mark(connection) {
                    self.dirty.push(connection);
                }
            }
        }
    }
}

/// When to look again, at the latest.
struct Wake(Option<u64>);

impl Wake {
    fn at(&mut self, time: Option<u64>) {
        self.0 = match (self.0, time) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}
