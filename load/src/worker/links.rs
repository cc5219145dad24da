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

/// Reads of one link before the others have their turn.
const READS: usize = 8;

/// Connections that one thread opens at a time: a listener's queue is short.
const OPENING: usize = 64;

/// Until a Unix socket whose queue is full is tried again.
const RETRY: u64 = 10_000_000;

/// Until a connection that does not come about has failed.
const CONNECT_TIMEOUT: u64 = 10 * SECOND;

/// How often slow readers read, and how much.
const SLOW_READS: u64 = 100_000_000;
const SLOW_BYTES: usize = 1024;

/// The connections of a thread, and memory that they share.
pub(super) struct Links {
    all: Vec<Link>,
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
    /// Connections that are not there when the run begins, and never will be.
    pub(super) failed: usize,
}

struct Link {
    /// Among the connections of all threads.
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
    /// When it was begun to be opened.
    since: u64,
}

/// How far a link is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// To the first read that gives less than it could: more is a new event.
    Short,
    /// To the end, which the server has set behind what can be read. No event tells it once more.
    End,
}

enum State {
    Closed,
    Opening(Stream),
    Open(Stream),
}

impl Links {
    /// Each with its number among those of all threads, and whether it reads slowly.
    pub(super) fn new(links: impl Iterator<Item = (usize, bool)>, connector: Connector) -> Self {
        let link = |(index, is_slow)| Link {
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
        let all: Vec<_> = links.map(link).collect();
        Self {
            waiting: (0..all.len()).collect(),
            slow: (0..all.len()).filter(|link| all[*link].is_slow).collect(),
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
        all.filter_map(|(link, one)| std::mem::take(&mut one.leaving).then_some(link)).collect()
    }

    /// Notes that a link has something to send; whether it had nothing before.
    pub(super) fn mark(&mut self, link: usize) -> bool {
        !std::mem::replace(&mut self.all[link].is_dirty, true)
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
        for _ in self.links.opening.len()..OPENING {
            let Some(&link) = self.links.waiting.front() else { break };
            let planned = match self.phase {
                Phase::Opening => opening(self.links.all[link].index, self.plan.links(), self.plan.opening),
                _ => 0,
            };
            let at = planned.max(self.links.not_before);
            if at > now {
                wake.at(Some(at));
                break;
            }
            self.links.waiting.pop_front();
            self.open(link);
            // Those behind it wait for the others to be looked at.
            wake.at(Some(now));
        }
        if let Some(&oldest) = self.links.opening.front() {
            let deadline = self.links.all[oldest].since + CONNECT_TIMEOUT;
            if now >= deadline {
                self.fail(oldest, "no connection within 10 s".to_owned());
            }
            wake.at(Some(deadline));
        }
    }

    fn open(&mut self, link: usize) {
        let now = self.now();
        let links = &mut self.links;
        let registry = self.pulse.poll.registry();
        let one = &mut links.all[link];
        let interest = Interest::READABLE | Interest::WRITABLE;
        let register = |source: &mut dyn Source| registry.register(source, Token(link), interest);
        match links.connector.connect(one.index, one.is_slow, register) {
            Ok(stream) => {
                (one.state, one.since, one.read) = (State::Opening(stream), now, Until::Short);
                links.opening.push_back(link);
                self.progress(link);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                links.waiting.push_front(link);
                links.not_before = now + RETRY;
            }
            Err(error) => self.fail(link, error.to_string()),
        }
    }

    /// Looks whether a link that is being opened is open now.
    fn progress(&mut self, link: usize) {
        let one = &mut self.links.all[link];
        let State::Opening(stream) = &mut one.state else { return };
        match stream.progress() {
            Ok(Progress::Pending) => return,
            Ok(Progress::Open) => {}
            Err(error) => return self.fail(link, error.to_string()),
        }
        if let State::Opening(stream) = std::mem::replace(&mut one.state, State::Closed) {
            one.state = State::Open(stream);
        }
        let since = one.since;
        self.links.opening.retain(|opening| *opening != link);
        let now = self.now();
        self.tally.counts[Count::Opened] += 1;
        self.tally.connect.saturating_record(now.saturating_sub(since));
        self.output.clear();
        let moment = &mut Moment { now, phase: self.phase, prompt: false, tally: &mut self.tally };
        self.script.opened(link, moment, &mut self.output);
        self.write(link);
        self.send(link, false);
        // What came together with the end of a handshake gives no event of its own.
        self.read(link);
    }

    /// A link could not be opened.
    fn fail(&mut self, link: usize, error: String) {
        self.links.opening.retain(|opening| *opening != link);
        self.links.all[link].state = State::Closed;
        self.links.failed += 1;
        self.tally.counts[Count::Failed] += 1;
        self.tally.error(&error);
        self.shared.report(error);
        let moment = &mut Moment { now: self.now(), phase: self.phase, prompt: false, tally: &mut self.tally };
        self.script.closed(link, End::Lost, moment);
    }

    /// An open link is lost: the server ended it, or says what it must not.
    fn lose(&mut self, link: usize, error: &str) {
        let one = &mut self.links.all[link];
        if self.phase == Phase::Opening {
            self.links.failed += 1;
        }
        let count = if one.is_slow { Count::SlowClosed } else { Count::Closed };
        self.tally.counts[count] += 1;
        if !one.is_slow {
            self.tally.error(error);
            self.shared.report(error.to_owned());
        }
        self.close(link, End::Lost);
    }

    fn close(&mut self, link: usize, end: End) {
        let now = self.now();
        let one = &mut self.links.all[link];
        one.state = State::Closed;
        one.unsent = Vec::new();
        one.partial = Vec::new();
        one.leaving = false;
        let moment = &mut Moment { now, phase: self.phase, prompt: false, tally: &mut self.tally };
        self.script.closed(link, end, moment);
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
                self.links.all[index / threads].leaving = true;
                self.replace_if_settled(index / threads);
            }
        }
    }

    fn replace_if_settled(&mut self, link: usize) {
        let one = &mut self.links.all[link];
        let open = matches!(one.state, State::Open(_));
        if !one.leaving || (open && !self.script.is_settled(link)) {
            return;
        }
        one.leaving = false;
        if open {
            self.tally.counts[Count::Replaced] += 1;
            self.close(link, End::Replaced);
            self.links.waiting.push_back(link);
        }
    }

    pub(super) fn take_events(&mut self) {
        let mut again = std::mem::take(&mut self.links.again);
        for link in again.drain(..) {
            self.read(link);
        }
        let events = std::mem::replace(&mut self.pulse.events, Events::with_capacity(1));
        for (link, happened) in happened(&events) {
            if happened.ended {
                self.links.all[link].read = Until::End;
            }
            match &self.links.all[link].state {
                State::Closed => {}
                State::Opening(_) => self.progress(link),
                State::Open(_) => {
                    if happened.writable {
                        self.resume(link);
                    }
                    if happened.readable && !self.links.all[link].is_slow {
                        self.read(link);
                    }
                }
            }
        }
        self.pulse.events = events;
    }

    /// Reads a little from each slow reader.
    pub(super) fn read_slowly(&mut self, wake: &mut Wake) {
        if self.links.slow.is_empty() {
            return;
        }
        let now = self.now();
        if now >= self.links.next_slow {
            self.links.next_slow = now + SLOW_READS;
            let slow = std::mem::take(&mut self.links.slow);
            for link in &slow {
                self.read(*link);
            }
            self.links.slow = slow;
        }
        wake.at(Some(self.links.next_slow));
    }

    /// Reads what is there, and sends what that asks for.
    fn read(&mut self, link: usize) {
        for _ in 0..READS {
            let more = match &self.links.all[link].state {
                State::Open(Stream::Udp(_)) => self.read_datagrams(link),
                State::Open(_) => self.read_stream(link),
                _ => return,
            };
            if !more {
                return;
            }
        }
        self.links.again.push(link);
    }

    /// Reads once; whether more may be there.
    fn read_stream(&mut self, link: usize) -> bool {
        let one = &mut self.links.all[link];
        let State::Open(stream) = &mut one.state else { return false };
        let held = one.partial.len();
        if held == READ_BYTES {
            self.lose(link, "a frame is longer than any that was sent");
            return false;
        }
        let limit = if one.is_slow { (held + SLOW_BYTES).min(READ_BYTES) } else { READ_BYTES };
        let buffer = &mut self.links.buffer[..limit];
        buffer[..held].copy_from_slice(&one.partial);
        let read = match stream.read(&mut buffer[held..]) {
            Ok(read) if read > 0 => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            end => {
                let error = end.err().map_or_else(|| "closed by the server".to_owned(), |error| error.to_string());
                self.lose(link, &error);
                return false;
            }
        };
        let may_be_more = read == limit - held || one.read == Until::End || !stream.short_reads_are_last();
        let more = may_be_more && !one.is_slow;
        self.tally.counts[Count::BytesReceived] += read as u64;
        let now = self.shared.clock.now().saturating_sub(self.began);
        self.output.clear();
        let moment = &mut Moment { now, phase: self.phase, prompt: false, tally: &mut self.tally };
        let input = &self.links.buffer[..held + read];
        let used = match self.script.receive(link, input, moment, &mut self.output) {
            Ok(used) => used,
            Err(error) => {
                self.lose(link, &error);
                return false;
            }
        };
        one.partial.clear();
        one.partial.extend_from_slice(&input[used..]);
        self.write(link);
        self.send(link, false);
        if self.links.all[link].leaving {
            self.replace_if_settled(link);
        }
        more
    }

    /// Reads a batch of datagrams; whether more may be there.
    fn read_datagrams(&mut self, link: usize) -> bool {
        let State::Open(Stream::Udp(socket)) = &self.links.all[link].state else { return false };
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
            let _ = self.script.receive(link, datagram, moment, &mut self.output);
        }
        self.send(link, false);
        more
    }
}
