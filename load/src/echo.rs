//! Echo: each message is answered with a prefix, the message, and its end. Over lines, WebSocket and datagrams.
//!
//! A connection's first message finds out the prefix, which must be the same for all. From then on a reply is compared byte for
//! byte with what it must be, and taken apart only if it differs.

use crate::options::{Load, Plan};
use crate::payload::Payloads;
use crate::protocol::{Handshake, Mask, Protocol, Step};
use crate::random::Random;
use crate::schedule::{Pace, SECOND, Turns};
use crate::sequence::{Arrival, Sequences};
use crate::tally::Count;
use crate::worker::{End, Moment, Phase, Script};
use std::ops::Range;

/// About how many bytes one write carries.
const BATCH_BYTES: usize = 64 << 10;

/// A datagram that has not been answered for this long gives its place to another.
const DATAGRAM_PATIENCE: u64 = SECOND;

/// How often to look for those.
const LOOK: u64 = SECOND / 5;

pub(crate) struct Echo {
    protocol: Protocol,
    payloads: Payloads,
    /// What surrounds a reply's payload, once it is known.
    frame: Option<Around>,
    connections: Vec<Caller>,
    sequences: Sequences,
    load: Load,
    pace: Pace,
    senders: u64,
    mask: Mask,
    random: Random,
    host: String,
    path: String,
    ready: usize,
    begun: bool,
    next_look: u64,
}

/// What a reply consists of besides the payload.
struct Around {
    /// All bytes before it, including the framing.
    head: Vec<u8>,
    /// How many of these are the server's own text.
    prefix: usize,
    tail: Vec<u8>,
}

struct Caller {
    index: u32,
    /// Its place in a round of the schedule.
    place: u64,
    state: State,
    is_slow: bool,
    due: u32,
    sent: u32,
    /// There is nobody left to send to.
    is_gone: bool,
    /// Messages that were sent and are no longer waited for.
    resolved: u32,
    /// In a closed loop: number and time of what is in flight, by number.
    in_flight: Vec<(u32, u64)>,
    /// When something last arrived, or was first sent.
    heard: u64,
}

enum State {
    Closed,
    /// The upgrade of a WebSocket.
    Upgrading(Handshake),
    /// The first message is not answered yet.
    Probing {
        probe_due: bool,
    },
    Ready,
}

impl Echo {
    /// For thread `number` of the plan's.
    pub(crate) fn new(plan: &Plan, number: usize) -> Self {
        let threads = plan.threads;
        let own = |index: usize| (index % threads == number).then_some(index / threads);
        let mut random = Random::new(plan.seed ^ number as u64);
        let window = match plan.load {
            Load::Closed { in_flight } => in_flight as usize,
            Load::Open { .. } => 0,
        };
        let mut connections: Vec<_> = (number..plan.connections)
            .step_by(threads)
            .map(|index| Caller {
                index: index as u32,
                place: 0,
                state: State::Closed,
                is_slow: index < plan.slow_readers,
                due: 0,
                sent: 0,
                is_gone: false,
                resolved: 0,
                in_flight: vec![(0, 0); window],
                heard: 0,
            })
            .collect();
        for (connection, place) in Turns::new(plan.connections, plan.seed, own).places() {
            connections[connection].place = place;
        }
        let mut sequences = Sequences::default();
        sequences.add(connections.len());
        Self {
            protocol: plan.protocol,
            payloads: Payloads::new(plan.size),
            frame: None,
            connections,
            sequences,
            load: plan.load,
            pace: Pace { rate: plan.rate().unwrap_or(1), ramp: plan.phases.ramp },
            senders: plan.connections as u64,
            mask: Mask::new(random.next() as u32),
            random,
            host: plan.url.http_host(),
            path: plan.url.path.clone(),
            ready: 0,
            begun: false,
            next_look: 0,
        }
    }

    fn put(&self, index: u32, number: u32, output: &mut Vec<u8>) {
        let put = |output: &mut Vec<u8>| self.payloads.put_echo(index, number, output);
        self.protocol.publish("", self.payloads.size(), self.mask, output, put);
    }

    /// Takes replies as long as they are what they must be; returns how many bytes.
    fn take_expected(&mut self, connection: usize, input: &[u8], moment: &mut Moment<'_>) -> usize {
        let Some(Around { head, tail, .. }) = &self.frame else { return 0 };
        let one = &mut self.connections[connection];
        let size = self.payloads.size();
        let length = head.len() + size + tail.len();
        if self.protocol == Protocol::Datagrams && input.len() != length {
            return 0;
        }
        let first = self.sequences.next(connection);
        let (mut used, mut number) = (0, first);
        while let Some(reply) = input.get(used..used + length) {
            let (front, rest) = reply.split_at(head.len());
            let (payload, end) = rest.split_at(size);
            let expected = front == *head && end == *tail && self.payloads.is_echo(payload, one.index, number);
            if !expected || number == 0 || number > one.sent {
                break;
            }
            number += 1;
            used += length;
        }
        if number > first {
            self.sequences.arrive_in_order(connection, number - first);
            one.resolve(number - first, moment.now);
            one.measure(first..number, &self.pace, self.senders, moment);
        }
        used
    }

    /// Takes a reply that is not the next one, or is wrong.
    fn take_other(&mut self, connection: usize, text: &[u8], moment: &mut Moment<'_>) {
        let one = &mut self.connections[connection];
        let Some(Around { head, prefix, .. }) = &self.frame else { return };
        let payload = text.strip_prefix(&head[head.len() - prefix..]);
        let number = payload.and_then(|payload| self.payloads.echo_number(payload, one.index));
        let Some(number) = number.filter(|number| *number <= one.sent) else {
            return moment.tally.counts[Count::Corrupt] += 1;
        };
        if number == 0 {
            // The first message, which over UDP may be sent and answered more than once.
            return;
        }
        let resolved = match self.sequences.arrive(connection, number) {
            Arrival::Expected => 1,
            Arrival::Ahead(missing) => {
                moment.tally.skipped(missing, moment.now);
                missing + 1
            }
            Arrival::Late => {
                moment.tally.reordered(moment.now);
                0
            }
            Arrival::Duplicate => return moment.tally.counts[Count::Duplicated] += 1,
        };
        one.resolve(resolved, moment.now);
        one.measure(number..number + 1, &self.pace, self.senders, moment);
    }

    /// Finds out from the first reply what surrounds the payload.
    fn learn(&mut self, connection: usize, frame: &[u8], text: &[u8], moment: &mut Moment<'_>) -> Result<(), String> {
        let one = &mut self.connections[connection];
        let size = self.payloads.size();
        let prefix = text.len().checked_sub(size);
        let Some(prefix) = prefix.filter(|at| self.payloads.is_echo(&text[*at..], one.index, 0)) else {
            // A banner, or something else that is not for us.
            return Ok(());
        };
        // The text may have its own end, and its own header before it.
        let Some(start) = memchr::memmem::find(frame, &text[prefix..]) else { return Ok(()) };
        let around = Around { head: frame[..start].to_vec(), prefix, tail: frame[start + size..].to_vec() };
        let known = self.frame.get_or_insert(around);
        if known.head != frame[..start] || known.tail != frame[start + size..] {
            return Err("replies do not have the same prefix on all connections".to_owned());
        }
        (one.state, one.heard) = (State::Ready, moment.now);
        self.ready += 1;
        Ok(())
    }
}

impl Caller {
    fn due(&self, number: u32, pace: &Pace, senders: u64) -> u64 {
        pace.due(u64::from(number - 1) * senders + self.place)
    }

    /// This many messages are no longer waited for.
    fn resolve(&mut self, count: u32, now: u64) {
        self.resolved = (self.resolved + count).min(self.sent);
        self.heard = now;
    }

    /// Counts replies that came. Those whose messages left together are one entry of the histogram: an entry costs as much as verifying.
    fn measure(&self, replies: Range<u32>, pace: &Pace, senders: u64, moment: &mut Moment<'_>) {
        let mut replies = replies.map(|number| self.due_of(number, pace, senders)).peekable();
        while let Some(due) = replies.next() {
            let mut count = 1;
            while replies.next_if_eq(&due).is_some() {
                count += 1;
            }
            match due {
                Some(due) => moment.tally.received(due, moment.now, count),
                None => moment.tally.counts[Count::Received] += count,
            }
        }
    }

    /// When a message was due; `None` if that does not count, or is no longer known.
    fn due_of(&self, number: u32, pace: &Pace, senders: u64) -> Option<u64> {
        if self.is_slow {
            return None;
        }
        match self.in_flight.len() {
            0 => Some(self.due(number, pace, senders)),
            window => {
                let (same, at) = self.in_flight[number as usize % window];
                // Unless its place has been given to another.
                (same == number).then_some(at)
            }
        }
    }
}

impl Script for Echo {
    fn opened(&mut self, connection: usize, _: &mut Moment<'_>, output: &mut Vec<u8>) {
        let one = &mut self.connections[connection];
        if self.protocol == Protocol::Ws {
            let handshake = Handshake::new(self.random.nonce());
            output.extend_from_slice(handshake.request(&self.host, &self.path, None).as_bytes());
            one.state = State::Upgrading(handshake);
        } else {
            one.state = State::Probing { probe_due: true };
        }
    }

    fn receive(
        &mut self,
        connection: usize,
        input: &[u8],
        moment: &mut Moment<'_>,
        output: &mut Vec<u8>,
    ) -> Result<usize, String> {
        let mut used = 0;
        while used < input.len() {
            if let State::Upgrading(handshake) = &self.connections[connection].state {
                match handshake.answered(&input[used..])? {
                    Some(length) => used += length,
                    None => return Ok(used),
                }
                self.connections[connection].state = State::Probing { probe_due: true };
                continue;
            }
            let ready = matches!(self.connections[connection].state, State::Ready);
            if ready {
                used += self.take_expected(connection, &input[used..], moment);
                if used == input.len() {
                    break;
                }
            }
            match self.protocol.step(&input[used..]) {
                Step::Incomplete => break,
                Step::Message { text, used: length } => {
                    if ready {
                        self.take_other(connection, text, moment);
                    } else {
                        self.learn(connection, &input[used..used + length], text, moment)?;
                    }
                    used += length;
                }
                Step::Answer { answer, used: length } => {
                    output.extend_from_slice(&answer);
                    used += length;
                }
                Step::Complaint { text, .. } => return Err(text),
                Step::Other { used: length } => used += length,
            }
        }
        Ok(used)
    }

    fn due(&mut self, connection: usize) {
        self.connections[connection].due += 1;
    }

    fn all_is_due(&mut self) {}

    fn has_sent_all(&self) -> bool {
        self.connections.iter().all(|one| one.sent >= one.due || one.is_gone || one.is_slow)
    }

    fn send(&mut self, connection: usize, moment: &mut Moment<'_>, output: &mut Vec<u8>) {
        match &mut self.connections[connection].state {
            State::Probing { probe_due } => {
                if std::mem::take(probe_due) {
                    self.put(self.connections[connection].index, 0, output);
                }
                return;
            }
            State::Ready if moment.phase == Phase::Running => {}
            State::Ready if moment.phase == Phase::Draining && matches!(self.load, Load::Open { .. }) => {}
            _ => return,
        }
        loop {
            let one = &mut self.connections[connection];
            let allowed = match self.load {
                Load::Open { .. } => one.due,
                Load::Closed { in_flight } => one.resolved + in_flight,
            };
            if one.sent >= allowed || output.len() >= BATCH_BYTES {
                return;
            }
            one.sent += 1;
            moment.tally.counts[Count::Sent] += 1;
            let (index, number) = (one.index, one.sent);
            match one.in_flight.len() {
                0 if moment.prompt => moment.tally.left(one.due(number, &self.pace, self.senders), moment.now),
                0 => {}
                window => one.in_flight[number as usize % window] = (number, moment.now),
            }
            self.put(index, number, output);
        }
    }

    fn turn(&mut self, moment: &mut Moment<'_>, dirty: &mut Vec<usize>) -> Option<u64> {
        let datagrams = self.protocol == Protocol::Datagrams;
        let closed = matches!(self.load, Load::Closed { .. });
        if moment.phase == Phase::Running && !self.begun {
            // Nothing is due in a closed loop, so somebody has to begin.
            (self.begun, self.next_look) = (true, 0);
            self.connections.iter_mut().for_each(|one| one.heard = moment.now);
            dirty.extend(0..self.connections.len());
        }
        let look = match moment.phase {
            Phase::Opening => datagrams,
            Phase::Running => closed,
            Phase::Draining => false,
        };
        if !look {
            return None;
        }
        if moment.now >= self.next_look {
            self.next_look = moment.now + LOOK;
            for (connection, one) in self.connections.iter_mut().enumerate() {
                match &mut one.state {
                    State::Probing { probe_due } if datagrams => {
                        *probe_due = true;
                        dirty.push(connection);
                    }
                    State::Ready
                        if datagrams
                            && one.resolved < one.sent
                            && moment.now >= one.heard.saturating_add(DATAGRAM_PATIENCE) =>
                    {
                        (one.resolved, one.heard) = (one.sent, moment.now);
                        dirty.push(connection);
                    }
                    _ => {}
                }
            }
        }
        Some(self.next_look)
    }

    fn closed(&mut self, connection: usize, end: End, _: &mut Moment<'_>) {
        let one = &mut self.connections[connection];
        if matches!(one.state, State::Ready) {
            self.ready -= 1;
        }
        one.state = State::Closed;
        if end == End::Lost {
            // What is in flight is lost, as is what will become due; nothing more is waited for.
            (one.resolved, one.is_gone) = (one.sent, true);
        }
    }

    fn is_settled(&self, connection: usize) -> bool {
        let one = &self.connections[connection];
        matches!(one.state, State::Ready) && one.resolved == one.sent
    }

    fn ready(&self) -> usize {
        self.ready
    }

    fn is_complete(&self) -> bool {
        self.has_sent_all() && self.connections.iter().all(|one| one.resolved == one.sent || one.is_slow)
    }

    fn finish(&mut self, moment: &mut Moment<'_>) -> u64 {
        let mut silent = 0;
        for (connection, one) in self.connections.iter().enumerate().filter(|(_, one)| !one.is_slow) {
            let due = |number| one.due(number, &self.pace, self.senders);
            let unanswered = self.sequences.next(connection)..one.sent + 1;
            match self.load {
                Load::Open { .. } => {
                    moment.tally.missed(Count::Unanswered, unanswered, due);
                    moment.tally.missed(Count::Unsent, one.sent + 1..one.due + 1, due);
                }
                Load::Closed { .. } => {
                    for number in unanswered {
                        let at = one.due_of(number, &self.pace, self.senders);
                        let at = at.unwrap_or(moment.tally.measured_from());
                        moment.tally.missed(Count::Unanswered, number..number + 1, |_| at);
                    }
                }
            }
            silent += u64::from(one.sent > 0 && self.sequences.next(connection) <= 1);
        }
        silent
    }
}
