//! Rooms: what publishers send reaches every member of their room, once and in order. Over every protocol here.
//!
//! Before the run, publishers send messages without a number until each member has heard one: so all are there when it begins,
//! whatever a server says or does not say of a subscription.

mod missed;
mod notice;
mod showing;
mod window;

use crate::options::{Load, Plan};
use crate::payload::{MARK, Payloads, Stamp};
use crate::protocol::{Handshake, Mask, Protocol, Step};
use crate::random::Random;
use crate::schedule::{Pace, SECOND, Turns};
use crate::sequence::{Arrival, Sequences};
use crate::shared::Shared;
use crate::tally::Count;
use crate::worker::{End, Moment, Phase, Script};
use notice::Notice;
use showing::Showing;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes that one write carries, about.
const BATCH_BYTES: usize = 64 << 10;

/// For a server of lines to welcome whoever may give commands. Without a welcome, a line is a message and nothing else.
const WELCOME: u64 = 300_000_000;

/// For a server to take in whoever comes anew: what is due from then on must be heard.
const SETTLING: u64 = SECOND;

/// Between the messages that are sent until all have heard one.
const MARKERS: u64 = 100_000_000;

pub(crate) struct Rooms {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    protocol: Protocol,
    payloads: Payloads,
    names: Vec<String>,
    connections: Vec<Participant>,
    /// Connections of this thread that publish.
    publishers: Vec<usize>,
    sequences: Sequences,
    pace: Pace,
    /// Where each publisher, of any thread, stands in a round of the schedule.
    places: Vec<u64>,
    mask: Mask,
    random: Random,
    ready: usize,
    next_markers: u64,
    /// For each room, in a closed loop: what was outstanding, and since when.
    stalls: Vec<(i64, u64)>,
}

struct Participant {
    /// Among the connections of all threads.
    index: usize,
    room: usize,
    publisher: Option<Publisher>,
    is_slow: bool,
    /// On this connection.
    showing: Showing,
    state: State,
    /// Whether it counts as ready.
    is_ready: bool,
    has_heard: bool,
    /// What was due before is not missed by whoever was not there yet.
    hears_from: u64,
    /// Its first stream; there is one for each publisher in its room.
    streams: usize,
}

struct Publisher {
    number: usize,
    due: u32,
    sent: u32,
    marker_due: bool,
}

enum State {
    /// It is opened anew.
    Closed,
    /// Nobody is there to speak or to hear any more.
    Gone,
    /// The upgrade of a WebSocket.
    Upgrading(Handshake),
    /// Whether the server welcomes it is seen by then.
    Waiting {
        until: u64,
    },
    Joining,
    Joined,
}

impl Rooms {
    /// For thread `number` of the plan's.
    pub(crate) fn new(plan: &Arc<Plan>, shared: &Arc<Shared>, number: usize) -> Self {
        let threads = plan.threads;
        let mut sequences = Sequences::default();
        let connections: Vec<_> = (number..plan.all_connections())
            .step_by(threads)
            .map(|index| {
                let publisher = index.checked_sub(plan.connections);
                let room = publisher.unwrap_or(index) % plan.rooms;
                let publisher = publisher.map(|number| Publisher { number, due: 0, sent: 0, marker_due: false });
                let hears = publisher.is_none() || plan.protocol.publishers_are_members();
                let streams = if hears { publishers_in(plan, room) } else { 0 };
                Participant {
                    index,
                    room,
                    publisher,
                    is_slow: index < plan.slow_readers,
                    showing: Showing::default(),
                    state: State::Closed,
                    is_ready: false,
                    has_heard: false,
                    hears_from: 0,
                    streams: sequences.add(streams),
                }
            })
            .collect();
        let mut places = vec![0; plan.publishers];
        for (publisher, place) in Turns::new(plan.publishers, plan.seed, Some).places() {
            places[publisher] = place;
        }
        let mut random = Random::new(plan.seed ^ number as u64);
        Self {
            protocol: plan.protocol,
            payloads: Payloads::new(plan.size),
            names: (0..plan.rooms).map(|room| plan.room_name(room)).collect(),
            publishers: (0..connections.len())
                .filter(|connection| connections[*connection].publisher.is_some())
                .collect(),
            connections,
            sequences,
            pace: Pace { rate: plan.rate().unwrap_or(1), ramp: plan.phases.ramp },
            places,
            mask: Mask::new(random.next() as u32),
            random,
            ready: 0,
            next_markers: 0,
            stalls: vec![(0, 0); plan.rooms],
            plan: Arc::clone(plan),
            shared: Arc::clone(shared),
        }
    }

    fn hears(&self, connection: usize) -> bool {
        self.connections[connection].publisher.is_none() || self.protocol.publishers_are_members()
    }

    /// Whether a connection is ready, which may have become so.
    fn note_ready(&mut self, connection: usize) {
        let alone = !self.hears(connection) || publishers_in(&self.plan, self.connections[connection].room) == 1;
        let hears = self.hears(connection);
        let one = &mut self.connections[connection];
        let is_in = match &one.publisher {
            // A publisher has no other publisher to hear if it is alone, and then is ready once it may speak.
            Some(_) => matches!(one.state, State::Joined) && (alone || one.has_heard),
            None => one.has_heard,
        };
        if is_in && !one.is_ready {
            one.is_ready = true;
            self.ready += 1;
            if hears && !one.is_slow {
                self.shared.rooms[one.room].members.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Takes one message; how many are not waited for any more.
    fn take(&mut self, connection: usize, text: &[u8], moment: &mut Moment<'_>, output: &mut Vec<u8>) -> u32 {
        let Some(stamp) = self.payloads.stamp(text) else {
            if memchr::memchr(MARK, text).is_some() {
                moment.tally.counts[Count::Corrupt] += 1;
            } else if self.protocol.publishers_are_members() {
                self.take_notice(connection, text, moment, output);
            }
            return 0;
        };
        let one = &mut self.connections[connection];
        let publisher = stamp.publisher as usize;
        if publisher >= self.plan.publishers || publisher % self.plan.rooms != one.room {
            // Of another run in the same room, or of another room.
            moment.tally.counts[Count::Corrupt] += 1;
            return 0;
        }
        if one.publisher.as_ref().is_some_and(|own| own.number == publisher) {
            return 0;
        }
        if stamp.number == 0 {
            one.has_heard = true;
            if moment.phase == Phase::Opening {
                self.note_ready(connection);
            }
            return 0;
        }
        let arrival = self.sequences.arrive(one.streams + publisher / self.plan.rooms, stamp.number);
        if one.is_slow {
            moment.tally.counts[Count::Received] += u64::from(arrival != Arrival::Duplicate);
            return 0;
        }
        match arrival {
            Arrival::Expected => {}
            Arrival::Ahead(missing) => moment.tally.skipped(missing, moment.now),
            Arrival::Late => moment.tally.reordered(moment.now),
            Arrival::Duplicate => {
                moment.tally.counts[Count::Duplicated] += 1;
                return 0;
            }
        }
        moment.tally.received(stamp.due, moment.now, 1);
        match arrival {
            Arrival::Expected => 1,
            Arrival::Ahead(missing) => missing + 1,
            Arrival::Late | Arrival::Duplicate => 0,
        }
    }

    fn take_notice(&mut self, connection: usize, text: &[u8], moment: &mut Moment<'_>, output: &mut Vec<u8>) {
        let one = &mut self.connections[connection];
        match notice::parse(text) {
            Some(Notice::Welcome) if matches!(one.state, State::Waiting { .. }) => {
                output.extend_from_slice(&one.showing.show(self.plan.token.as_ref()));
                // Whoever is in the room that the server puts them into is not to be troubled.
                output.extend_from_slice(format!("/leave\n/join {}\n", self.names[one.room]).as_bytes());
                one.state = State::Joining;
            }
            // It greets only whom it knows.
            Some(Notice::TokenWanted(_)) if one.showing.is_due(self.plan.token.as_ref()) => {
                output.extend_from_slice(&one.showing.show(self.plan.token.as_ref()));
            }
            // It was taken for a server without rooms, and is told what is none of theirs.
            Some(Notice::Welcome) => self.shared.report("the welcome came late: --room waits for it".to_owned()),
            Some(Notice::Joined) if matches!(one.state, State::Joining) => {
                one.state = State::Joined;
                self.note_ready(connection);
            }
            Some(Notice::Gap { lost }) => {
                moment.tally.counts[Count::Gaps] += 1;
                if !one.is_slow {
                    moment.tally.counts[Count::Announced] += lost;
                }
            }
            Some(Notice::Complaint(text) | Notice::TokenWanted(text)) => {
                moment.tally.counts[Count::Complaints] += 1;
                self.shared.report(text.clone());
                moment.tally.error(&text);
            }
            _ => {}
        }
    }

    fn put(&self, connection: usize, stamp: Stamp, output: &mut Vec<u8>) {
        let room = &self.names[self.connections[connection].room];
        let put = |output: &mut Vec<u8>| self.payloads.put_stamped(stamp, output);
        self.protocol.publish(room, self.payloads.size(), self.mask, output, put);
    }
}

/// Publishers are dealt out to the rooms in turn.
fn publishers_in(plan: &Plan, room: usize) -> usize {
    plan.publishers.saturating_sub(room).div_ceil(plan.rooms)
}

impl Script for Rooms {
    fn opened(&mut self, connection: usize, moment: &mut Moment<'_>, output: &mut Vec<u8>) {
        let hears = self.hears(connection);
        let one = &mut self.connections[connection];
        (one.has_heard, one.hears_from, one.showing) = (false, moment.now + SETTLING, Showing::default());
        let room = &self.names[one.room];
        one.state = match self.protocol {
            Protocol::Ws => {
                let handshake = Handshake::new(self.random.nonce());
                let path = self.plan.url.path.replace("{room}", room);
                output.extend_from_slice(
                    handshake.request(&self.plan.url.http_host(), &path, self.plan.token.as_ref()).as_bytes(),
                );
                State::Upgrading(handshake)
            }
            Protocol::Lines if self.plan.join => State::Waiting { until: u64::MAX },
            Protocol::Lines => State::Waiting { until: moment.now + WELCOME },
            protocol => {
                output.extend_from_slice(&protocol.hello(one.index, hears.then_some(room)));
                State::Joined
            }
        };
        self.note_ready(connection);
    }

    fn receive(
        &mut self,
        connection: usize,
        input: &[u8],
        moment: &mut Moment<'_>,
        output: &mut Vec<u8>,
    ) -> Result<usize, String> {
        let (mut used, mut resolved) = (0, 0);
        while used < input.len() {
            if let State::Upgrading(handshake) = &self.connections[connection].state {
                let Some(length) = handshake.answered(&input[used..])? else { break };
                self.connections[connection].state = State::Joined;
                self.note_ready(connection);
                used += length;
                continue;
            }
            match self.protocol.step(&input[used..]) {
                Step::Incomplete => break,
                Step::Message { text, used: length } => {
                    resolved += self.take(connection, text, moment, output);
                    used += length;
                }
                Step::Other { used: length } => used += length,
                Step::Answer { answer, used: length } => {
                    output.extend_from_slice(&answer);
                    used += length;
                }
                Step::Complaint { text, .. } => return Err(text),
            }
        }
        self.resolve(self.connections[connection].room, resolved);
        Ok(used)
    }

    fn due(&mut self, connection: usize) {
        if let Some(publisher) = &mut self.connections[connection].publisher {
            publisher.due += 1;
        }
    }

    fn all_is_due(&mut self) {
        for publisher in self.connections.iter().filter_map(|one| one.publisher.as_ref()) {
            let owed = match self.plan.load {
                Load::Open { .. } => publisher.due,
                Load::Closed { .. } => publisher.sent,
            };
            self.shared.owed[publisher.number].store(owed, Ordering::Relaxed);
        }
    }

    fn has_sent_all(&self) -> bool {
        let has_sent = |publisher: &Publisher| publisher.sent >= publisher.due;
        if matches!(self.plan.load, Load::Closed { .. }) {
            return true;
        }
        let mut left = self.connections.iter().filter(|one| !matches!(one.state, State::Gone));
        left.all(|one| one.publisher.as_ref().is_none_or(has_sent))
    }

    fn send(&mut self, connection: usize, moment: &mut Moment<'_>, output: &mut Vec<u8>) {
        let is_time = match moment.phase {
            Phase::Opening => false,
            Phase::Running => true,
            Phase::Draining => matches!(self.plan.load, Load::Open { .. }),
        };
        loop {
            let one = &mut self.connections[connection];
            let Some(publisher) = one.publisher.as_mut().filter(|_| matches!(one.state, State::Joined)) else { return };
            let number = publisher.number as u32;
            if std::mem::take(&mut publisher.marker_due) {
                self.put(connection, Stamp { publisher: number, number: 0, due: 0 }, output);
                return;
            }
            if !is_time || publisher.sent >= publisher.due || output.len() >= BATCH_BYTES {
                return;
            }
            publisher.sent += 1;
            moment.tally.counts[Count::Sent] += 1;
            let sent = publisher.sent;
            self.shared.published[publisher.number].store(sent, Ordering::Relaxed);
            let due = match self.plan.load {
                Load::Closed { .. } => moment.now,
                Load::Open { .. } => self.due_at(number as usize, sent),
            };
            if moment.prompt {
                moment.tally.left(due, moment.now);
            }
            let stamp = Stamp { publisher: number, number: sent, due };
            self.put(connection, stamp, output);
        }
    }

    fn turn(&mut self, moment: &mut Moment<'_>, dirty: &mut Vec<usize>) -> Option<u64> {
        if moment.phase == Phase::Running {
            self.admit(dirty, moment.now);
            return None;
        }
        if moment.phase == Phase::Draining || moment.now < self.next_markers {
            return Some(self.next_markers).filter(|_| moment.phase == Phase::Opening);
        }
        self.next_markers = moment.now + MARKERS;
        let (ready, failed) = self.shared.ready();
        let all_are = ready + failed >= self.plan.all_connections();
        for index in 0..self.publishers.len() {
            let connection = self.publishers[index];
            let one = &mut self.connections[connection];
            if matches!(one.state, State::Waiting { until } if moment.now >= until) {
                one.state = State::Joined;
                self.note_ready(connection);
            }
            let one = &mut self.connections[connection];
            if let (State::Joined, Some(publisher), false) = (&one.state, &mut one.publisher, all_are) {
                publisher.marker_due = true;
                dirty.push(connection);
            }
        }
        Some(self.next_markers)
    }

    fn closed(&mut self, connection: usize, end: End, moment: &mut Moment<'_>) {
        let waited_for: u32 = self.outstanding(connection).sum();
        let streams =
            if self.hears(connection) { publishers_in(&self.plan, self.connections[connection].room) } else { 0 };
        let one = &mut self.connections[connection];
        let is_lost = end == End::Lost;
        one.state = if is_lost { State::Gone } else { State::Closed };
        if std::mem::take(&mut one.is_ready) {
            self.ready -= 1;
            if streams > 0 && !one.is_slow {
                self.shared.rooms[one.room].members.fetch_sub(1, Ordering::Relaxed);
            }
        }
        one.hears_from = if is_lost { one.hears_from.min(moment.now) } else { moment.now };
        if end == End::Replaced {
            self.sequences.begin_anew(one.streams..one.streams + streams);
        } else {
            self.resolve(self.connections[connection].room, waited_for);
        }
    }

    fn is_settled(&self, connection: usize) -> bool {
        // A member may leave at any time, once it is in.
        !matches!(self.connections[connection].state, State::Upgrading(_) | State::Joining)
    }

    fn ready(&self) -> usize {
        self.ready
    }

    fn is_complete(&self) -> bool {
        let open = |connection: &usize| !matches!(self.connections[*connection].state, State::Closed | State::Gone);
        (0..self.connections.len()).filter(open).all(|connection| self.outstanding(connection).all(|count| count == 0))
    }

    fn finish(&mut self, moment: &mut Moment<'_>) -> u64 {
        let mut silent = 0;
        for connection in 0..self.connections.len() {
            self.count_missed(connection, moment);
            let one = &self.connections[connection];
            let streams = one.streams..one.streams + publishers_in(&self.plan, one.room);
            let is_silent = one.publisher.is_none() && !one.is_slow && self.sequences.are_new(streams);
            silent += u64::from(is_silent);
        }
        silent
    }
}
