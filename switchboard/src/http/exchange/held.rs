//! What an HTTP connection is charged for: requests and answers, what has been read of later requests, and what hyper holds
//! for all of them.

use super::{Exchange, Stage, State};
use crate::http::frames::Untaken;

/// Where hyper puts the head of an answer, from the first request on.
const WRITE_ROOM: usize = 8 << 10;

/// What h2 keeps for each of the most requests that there were at a time, until the connection closes; and for how many of them
/// that is part of what every connection is.
const PLACE_BYTES: usize = 1200;
const PLACES: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Held {
    /// Bytes of requests under way and of their answers.
    requests: usize,
    /// Bytes of an incomplete head.
    partial: usize,
    /// Bytes that have been read and that hyper does not have yet.
    surplus: usize,
    /// The size of hyper's buffers for reading, the last time it read, and for writing.
    room: usize,
    /// Over HTTP/2: bodies that hyper holds.
    untaken: Untaken,
    /// The most requests at a time, of HTTP/2.
    most: usize,
    /// hyper is gone, but for the tasks of requests.
    has_ended: bool,
}

impl Exchange {
    /// What requests and answers hold has changed from `before` to `now` bytes.
    pub(super) fn held(&self, before: usize, now: usize) {
        self.hold(|held| held.requests = (held.requests + now).saturating_sub(before));
    }

    /// What hyper takes whatever it reads, so that nobody need wait for it who has begun.
    pub(in crate::http) fn own_bytes(&self) -> usize {
        let state = self.state.lock();
        state.kept_bytes() + state.room()
    }

    /// This many bytes have been read that hyper has not taken yet: requests after the one that it answers.
    pub(in crate::http) fn keeps(&self, surplus: usize) {
        self.hold(|held| held.surplus = surplus);
    }

    /// hyper reads into a buffer of this size.
    pub(in crate::http) fn reads_into(&self, room: usize) {
        self.hold(|held| held.room = room + WRITE_ROOM);
    }

    /// hyper reads more of bodies.
    pub(in crate::http) fn bodies(&self, read: impl FnOnce(&mut Untaken)) {
        self.hold(|held| read(&mut held.untaken));
    }

    /// hyper no longer holds this many bytes of a body, or of a WebSocket.
    pub(in crate::http) fn taken(&self, bytes: usize) {
        self.hold(|held| held.untaken.remove(bytes));
    }

    /// hyper is gone, and what was read is given back. Tasks of requests of HTTP/2 count until they are gone too.
    pub(in crate::http) fn ended(&self) {
        let mut state = self.state.lock();
        let Held { requests, most, .. } = state.held;
        state.held = Held { requests, most, has_ended: true, ..Held::default() };
        if state.stage != Stage::Streams {
            state.end_requests();
        }
        self.link.holding(state.held_bytes());
    }

    /// It goes on as what is no HTTP any more, and is counted as that.
    pub(in crate::http) fn goes_on(&self) {
        self.hold(|held| *held = Held::default());
    }

    /// hyper has looked at everything it has read: without a request nobody waits for anything, and it has discarded what came.
    pub(in crate::http) fn settle(&self) {
        let mut state = self.state.lock();
        let before = state.held_bytes();
        state.held.untaken.begin_all();
        if state.open == 0 {
            state.held.untaken.clear();
        }
        self.count(&state, before);
    }

    fn hold(&self, change: impl FnOnce(&mut Held)) {
        let mut state = self.state.lock();
        let before = state.held_bytes();
        change(&mut state.held);
        self.count(&state, before);
    }

    /// Charges the connection with what it holds, if that is not `before` bytes still.
    pub(super) fn count(&self, state: &State, before: usize) {
        let now = state.held_bytes();
        if now != before {
            self.link.holding(now);
        }
    }
}

impl State {
    pub(super) fn held_bytes(&self) -> usize {
        let Held { requests, partial, surplus, untaken, .. } = &self.held;
        // An incomplete head may be among what hyper has not taken.
        requests + partial.max(surplus) + self.room() + untaken.cost() + self.kept_bytes()
    }

    /// Idle connections are not charged: what is kept for a connection without a request is the same for all.
    fn room(&self) -> usize {
        let is_idle = self.open == 0 && self.stage != Stage::Head;
        if is_idle { 0 } else { self.held.room }
    }

    /// What it goes on holding when nothing is under way.
    fn kept_bytes(&self) -> usize {
        let Held { most, has_ended, .. } = self.held;
        if most <= PLACES || (has_ended && self.open == 0) { 0 } else { most.next_power_of_two() * PLACE_BYTES }
    }

    /// One more request of HTTP/2 was begun.
    pub(super) fn begin_stream(&mut self) {
        self.held.most = self.held.most.max(self.open);
        self.held.untaken.begin();
    }

    /// This many bytes of a head have arrived.
    pub(super) fn add_partial(&mut self, bytes: usize) {
        self.held.partial += bytes;
    }

    /// The head is whole.
    pub(super) fn end_partial(&mut self) {
        self.held.partial = 0;
    }

    /// Nothing is under way any more. hyper keeps its room for the requests that it has read behind it.
    pub(super) fn end_requests(&mut self) {
        self.held.requests = 0;
    }
}
