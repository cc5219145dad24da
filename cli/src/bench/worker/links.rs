//! The connections of one thread: opened, read, written, replaced, closed.

use super::pulse::happened;
use super::{End, Moment, Phase, Scenario, Wake, Worker};
use crate::bench::protocol::FRAME_BYTES;
use crate::bench::schedule::{SECOND, opening};
use crate::bench::stream::{Connector, Progress, Stream};
use crate::bench::tally::Count;
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
    /// When it was begun to be opened.
    since: u64,
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

    /// Notes that a link has something to send; whether it had nothing before.
    pub(super) fn mark(&mut self, link: usize) -> bool {
        !std::mem::replace(&mut self.all[link].is_dirty, true)
    }
}

impl<S: Scenario> Worker<S> {
    /// Begins to open what it is time for.
    pub(super) fn open_links(&mut self, wake: &mut Wake) {
        let now = self.now();
        if self.phase == Phase::Draining {
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
                self.fail(oldest, "the connection did not come about in 10 s".to_owned());
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
                (one.state, one.since) = (State::Opening(stream), now);
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
        self.scenario.opened(link, moment, &mut self.output);
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
        self.shared.report(error.clone());
        self.tally.error(error);
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
            self.tally.error(error.to_owned());
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
        self.scenario.closed(link, end, moment);
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
        if !one.leaving || (open && !self.scenario.is_settled(link)) {
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
        let more = (read == limit - held || !stream.short_reads_are_last()) && !one.is_slow;
        self.tally.counts[Count::BytesReceived] += read as u64;
        let now = self.shared.clock.now().saturating_sub(self.began);
        self.output.clear();
        let moment = &mut Moment { now, phase: self.phase, prompt: false, tally: &mut self.tally };
        let input = &self.links.buffer[..held + read];
        let used = match self.scenario.receive(link, input, moment, &mut self.output) {
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
            let _ = self.scenario.receive(link, datagram, moment, &mut self.output);
        }
        self.send(link, false);
        more
    }

    /// An error on a datagram socket is about an earlier datagram; others may get through.
    fn refused(&mut self, error: &io::Error) {
        self.shared.report(error.to_string());
        self.tally.error(error.to_string());
    }

    /// Sends what the scenario has for a link. `prompt` if nothing but this thread can have delayed it.
    pub(super) fn send(&mut self, link: usize, prompt: bool) {
        let now = self.now();
        loop {
            let one = &mut self.links.all[link];
            one.is_dirty = false;
            if !matches!(one.state, State::Open(_)) || !one.unsent.is_empty() || one.leaving {
                return;
            }
            self.output.clear();
            let moment = &mut Moment { now, phase: self.phase, prompt, tally: &mut self.tally };
            self.scenario.send(link, moment, &mut self.output);
            if self.output.is_empty() {
                return;
            }
            self.write(link);
        }
    }

    /// Writes the output; what the socket does not take waits.
    fn write(&mut self, link: usize) {
        if !self.links.all[link].unsent.is_empty() {
            self.links.all[link].unsent.extend_from_slice(&self.output);
            return;
        }
        let output = std::mem::take(&mut self.output);
        let sent = self.write_some(link, &output);
        self.links.all[link].unsent.extend_from_slice(&output[sent..]);
        self.output = output;
    }

    /// A socket takes something again.
    fn resume(&mut self, link: usize) {
        let one = &mut self.links.all[link];
        if let State::Open(stream) = &mut one.state
            && let Err(error) = stream.flush()
        {
            return self.lose(link, &error.to_string());
        }
        if one.unsent.is_empty() {
            return;
        }
        let mut unsent = std::mem::take(&mut one.unsent);
        let sent = self.write_some(link, &unsent);
        unsent.drain(..sent);
        self.links.all[link].unsent = unsent;
        self.send(link, false);
    }

    /// Writes until all is written or the socket takes no more. How much is done with.
    fn write_some(&mut self, link: usize, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            let State::Open(stream) = &mut self.links.all[link].state else { return bytes.len() };
            let result = match stream {
                Stream::Udp(socket) => self.batch.send(socket, &bytes[sent..], self.plan.size),
                stream => stream.write(&bytes[sent..]),
            };
            match result {
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(self.links.all[link].state, State::Open(Stream::Udp(_))) => {
                    // What was refused counts as sent, and is found to be lost.
                    self.refused(&error);
                    sent += self.plan.size;
                }
                Err(error) => {
                    self.lose(link, &error.to_string());
                    return bytes.len();
                }
            }
        }
        self.tally.counts[Count::BytesSent] += sent as u64;
        sent
    }
}
