//! The connections of one thread: opened, read, written, replaced, closed.

mod writing;

use super::pulse::happened;
use super::{End, Moment, Phase, Script, Wake, Worker};
use crate::protocol::FRAME_BYTES;
use crate::schedule::{SECOND, opening};
use crate::stream::{Connector, Progress, Stream};
use crate::tally::Count;
use mio::event::Source;
use mio::{Events, Interest, Token};
use std::collections::VecDeque;
use std::io;

/// What one read takes at most; a frame is shorter.
const READ_BYTES: usize = FRAME_BYTES + (16 << 10);

/// Reads of one connection before the others have their turn.
const READS: usize = 8;

/// Connections that one thread opens at a time: a listener's queue is short.
const OPENING: usize = 64;

/// How long to wait before a Unix socket whose queue is full is tried again.
const RETRY: u64 = 10_000_000;

/// How long opening a connection may take.
const CONNECT_TIMEOUT: u64 = 10 * SECOND;

/// How often slow readers read, and how much.
const SLOW_READS: u64 = 100_000_000;
const SLOW_BYTES: usize = 1024;

/// The connections of a thread, and the memory they share.
pub(super) struct Connections {
    all: Vec<Connection>,
    connector: Connector,
    /// Those still to be opened, in order.
    waiting: VecDeque<usize>,
    /// Those that are being opened, oldest first.
    opening: VecDeque<usize>,
    not_before: u64,
    buffer: Vec<u8>,
    /// Those that may have more to read.
    pub(super) again: Vec<usize>,
    slow: Vec<usize>,
    /// When the slow ones read next.
    next_slow: u64,
    /// Connections that could not be opened before the run, and never will be.
    pub(super) failed: usize,
}

struct Connection {
    /// Its number among the connections of all threads.
    index: usize,
    state: State,
    /// What the socket did not take.
    unsent: Vec<u8>,
    /// The beginning of a frame.
    partial: Vec<u8>,
    is_slow: bool,
    is_dirty: bool,
    /// To be replaced as soon as it waits for nothing.
    leaving: bool,
    /// How far to read.
    read: Until,
    /// When opening it began.
    since: u64,
}

/// How far a connection is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Up to the first read that returns less than it could: what follows is a new event.
    Short,
    /// To the end of input, which is already there: no further event will announce it.
    End,
}

enum State {
    Closed,
    Opening(Stream),
    Open(Stream),
}

impl Connections {
    /// Each with its number among those of all threads, and whether it reads slowly.
    pub(super) fn new(connections: impl Iterator<Item = (usize, bool)>, connector: Connector) -> Self {
        let connection = |(index, is_slow)| Connection {
            index,
            state: State::Closed,
            unsent: Vec::new(),
            partial: Vec::new(),
            is_slow,
            is_dirty: false,
            leaving: false,
            read: Until::Short,
            since: 0,
        };
        let all: Vec<_> = connections.map(connection).collect();
        Self {
            waiting: (0..all.len()).collect(),
            slow: (0..all.len()).filter(|connection| all[*connection].is_slow).collect(),
            all,
            connector,
            opening: VecDeque::new(),
            not_before: 0,
            buffer: vec![0; READ_BYTES],
            again: Vec::new(),
            next_slow: 0,
            failed: 0,
        }
    }

    /// Nobody is replaced any more; those that were to be, and may have something to send.
    pub(super) fn stay(&mut self) -> Vec<usize> {
        let all = self.all.iter_mut().enumerate();
        all.filter_map(|(connection, one)| std::mem::take(&mut one.leaving).then_some(connection)).collect()
    }

    /// Notes that a connection has something to send; whether it had nothing before.
    pub(super) fn mark(&mut self, connection: usize) -> bool {
        !std::mem::replace(&mut self.all[connection].is_dirty, true)
    }
}

impl<S: Script> Worker<S> {
    /// Begins to open what it is time for.
    pub(super) fn open_links(&mut self, wake: &mut Wake) {
        let now = self.now();
        // Who is being replaced at the end has still to send what was due; in a closed loop nothing was.
        if self.phase == Phase::Draining && (self.turns.is_none() || self.shared.begins().is_none()) {
            return;
        }
        for _ in self.connections.opening.len()..OPENING {
            let Some(&connection) = self.connections.waiting.front() else { break };
            let planned = match self.phase {
                Phase::Opening => {
                    opening(self.connections.all[connection].index, self.plan.all_connections(), self.plan.opening)
                }
                _ => 0,
            };
            let at = planned.max(self.connections.not_before);
            if at > now {
                wake.at(Some(at));
                break;
            }
            self.connections.waiting.pop_front();
            self.open(connection);
            // Those behind it wait for the others to be looked at.
            wake.at(Some(now));
        }
        if let Some(&oldest) = self.connections.opening.front() {
            let deadline = self.connections.all[oldest].since + CONNECT_TIMEOUT;
            if now >= deadline {
                self.fail(oldest, "no connection within 10 s".to_owned());
            }
            wake.at(Some(deadline));
        }
    }

    fn open(&mut self, connection: usize) {
        let now = self.now();
        let connections = &mut self.connections;
        let registry = self.pulse.poll.registry();
        let one = &mut connections.all[connection];
        let interest = Interest::READABLE | Interest::WRITABLE;
        let register = |source: &mut dyn Source| registry.register(source, Token(connection), interest);
        match connections.connector.connect(one.index, one.is_slow, register) {
            Ok(stream) => {
                (one.state, one.since, one.read) = (State::Opening(stream), now, Until::Short);
                connections.opening.push_back(connection);
                self.progress(connection);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connections.waiting.push_front(connection);
                connections.not_before = now + RETRY;
            }
            Err(error) => self.fail(connection, error.to_string()),
        }
    }

    /// Looks whether a connection that is being opened is open now.
    fn progress(&mut self, connection: usize) {
        let one = &mut self.connections.all[connection];
        let State::Opening(stream) = &mut one.state else { return };
        match stream.progress() {
            Ok(Progress::Pending) => return,
            Ok(Progress::Open) => {}
            Err(error) => return self.fail(connection, error.to_string()),
        }
        if let State::Opening(stream) = std::mem::replace(&mut one.state, State::Closed) {
            one.state = State::Open(stream);
        }
        let since = one.since;
        self.connections.opening.retain(|opening| *opening != connection);
        let now = self.now();
        self.tally.counts[Count::Opened] += 1;
        self.tally.connect.saturating_record(now.saturating_sub(since));
        self.output.clear();
        let moment = &mut Moment { now, phase: self.phase, prompt: false, tally: &mut self.tally };
        self.script.opened(connection, moment, &mut self.output);
        self.write(connection);
        self.send(connection, false);
        // What came together with the end of a handshake gives no event of its own.
        self.read(connection);
    }

    /// A connection could not be opened.
    fn fail(&mut self, connection: usize, error: String) {
        self.connections.opening.retain(|opening| *opening != connection);
        self.connections.all[connection].state = State::Closed;
        self.connections.failed += 1;
        self.tally.counts[Count::Failed] += 1;
        self.tally.error(&error);
        self.shared.report(error);
        let moment = &mut Moment { now: self.now(), phase: self.phase, prompt: false, tally: &mut self.tally };
        self.script.closed(connection, End::Lost, moment);
    }

    /// An open connection is lost: the server ended it, or says what it must not.
    fn lose(&mut self, connection: usize, error: &str) {
        let one = &mut self.connections.all[connection];
        if self.phase == Phase::Opening {
            self.connections.failed += 1;
        }
        let count = if one.is_slow { Count::SlowClosed } else { Count::Closed };
        self.tally.counts[count] += 1;
        if !one.is_slow {
            self.tally.error(error);
            self.shared.report(error.to_owned());
        }
        self.close(connection, End::Lost);
    }

    fn close(&mut self, connection: usize, end: End) {
        let now = self.now();
        let one = &mut self.connections.all[connection];
        one.state = State::Closed;
        one.unsent = Vec::new();
        one.partial = Vec::new();
        one.leaving = false;
        let moment = &mut Moment { now, phase: self.phase, prompt: false, tally: &mut self.tally };
        self.script.closed(connection, end, moment);
    }

    /// Closes what it is time to replace.
    pub(super) fn replace_links(&mut self, wake: &mut Wake) {
        let (now, threads) = (self.now(), self.plan.threads);
        while let Some(due) = self.churn.next_due() {
            if due > now {
                wake.at(Some(due));
                return;
            }
            let Some(index) = self.churn.take() else { return };
            if index % threads == self.number {
                self.connections.all[index / threads].leaving = true;
                self.replace_if_settled(index / threads);
            }
        }
    }

    fn replace_if_settled(&mut self, connection: usize) {
        let one = &mut self.connections.all[connection];
        let open = matches!(one.state, State::Open(_));
        if !one.leaving || (open && !self.script.is_settled(connection)) {
            return;
        }
        one.leaving = false;
        if open {
            self.tally.counts[Count::Replaced] += 1;
            self.close(connection, End::Replaced);
            self.connections.waiting.push_back(connection);
        }
    }

    pub(super) fn take_events(&mut self) {
        let mut again = std::mem::take(&mut self.connections.again);
        for connection in again.drain(..) {
            self.read(connection);
        }
        let events = std::mem::replace(&mut self.pulse.events, Events::with_capacity(1));
        for (connection, happened) in happened(&events) {
            if happened.ended {
                self.connections.all[connection].read = Until::End;
            }
            match &self.connections.all[connection].state {
                State::Closed => {}
                State::Opening(_) => self.progress(connection),
                State::Open(_) => {
                    if happened.writable {
                        self.resume(connection);
                    }
                    if happened.readable && !self.connections.all[connection].is_slow {
                        self.read(connection);
                    }
                }
            }
        }
        self.pulse.events = events;
    }

    /// Reads a little from each slow reader.
    pub(super) fn read_slowly(&mut self, wake: &mut Wake) {
        if self.connections.slow.is_empty() {
            return;
        }
        let now = self.now();
        if now >= self.connections.next_slow {
            self.connections.next_slow = now + SLOW_READS;
            let slow = std::mem::take(&mut self.connections.slow);
            for connection in &slow {
                self.read(*connection);
            }
            self.connections.slow = slow;
        }
        wake.at(Some(self.connections.next_slow));
    }

    /// Reads what is there, and sends what that asks for.
    fn read(&mut self, connection: usize) {
        for _ in 0..READS {
            let more = match &self.connections.all[connection].state {
                State::Open(Stream::Udp(_)) => self.read_datagrams(connection),
                State::Open(_) => self.read_stream(connection),
                _ => return,
            };
            if !more {
                return;
            }
        }
        self.connections.again.push(connection);
    }

    /// Reads once; whether more may be there.
    fn read_stream(&mut self, connection: usize) -> bool {
        let one = &mut self.connections.all[connection];
        let State::Open(stream) = &mut one.state else { return false };
        let held = one.partial.len();
        if held == READ_BYTES {
            self.lose(connection, "a frame is longer than any that was sent");
            return false;
        }
        let limit = if one.is_slow { (held + SLOW_BYTES).min(READ_BYTES) } else { READ_BYTES };
        let buffer = &mut self.connections.buffer[..limit];
        buffer[..held].copy_from_slice(&one.partial);
        let read = match stream.read(&mut buffer[held..]) {
            Ok(read) if read > 0 => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            end => {
                let error = end.err().map_or_else(|| "closed by the server".to_owned(), |error| error.to_string());
                self.lose(connection, &error);
                return false;
            }
        };
        let may_be_more = read == limit - held || one.read == Until::End || !stream.short_reads_are_last();
        let more = may_be_more && !one.is_slow;
        self.tally.counts[Count::BytesReceived] += read as u64;
        let now = self.shared.clock.now().saturating_sub(self.began);
        self.output.clear();
        let moment = &mut Moment { now, phase: self.phase, prompt: false, tally: &mut self.tally };
        let input = &self.connections.buffer[..held + read];
        let used = match self.script.receive(connection, input, moment, &mut self.output) {
            Ok(used) => used,
            Err(error) => {
                self.lose(connection, &error);
                return false;
            }
        };
        one.partial.clear();
        one.partial.extend_from_slice(&input[used..]);
        self.write(connection);
        self.send(connection, false);
        if self.connections.all[connection].leaving {
            self.replace_if_settled(connection);
        }
        more
    }

    /// Reads a batch of datagrams; whether more may be there.
    fn read_datagrams(&mut self, connection: usize) -> bool {
        let State::Open(Stream::Udp(socket)) = &self.connections.all[connection].state else { return false };
        let more = match self.batch.receive(socket) {
            Ok(more) => more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => {
                self.refused(&error);
                return false;
            }
        };
        let now = self.now();
        self.output.clear();
        for datagram in self.batch.datagrams() {
            self.tally.counts[Count::BytesReceived] += datagram.len() as u64;
            let moment = &mut Moment { now, phase: self.phase, prompt: false, tally: &mut self.tally };
            // A datagram is whole, and a wrong one ends nothing.
            let _ = self.script.receive(connection, datagram, moment, &mut self.output);
        }
        self.send(connection, false);
        more
    }
}
