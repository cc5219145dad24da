//! What a connection of HTTP is charged with: requests and answers, what was read of those behind them, and what hyper holds for
//! both.

use super::{Exchange, Stage, State};
use crate::http::frames::Untaken;

/// Where hyper puts the head of an answer, from the first request on.
const WRITE_ROOM: usize = 8 << 10;

#[derive(Debug, Default)]
pub(super) struct Held {
    /// Bytes of requests under way and of their answers.
    requests: usize,
    /// Bytes of a head that is not whole.
    partial: usize,
    /// Bytes that were read and are not hyper's yet.
    surplus: usize,
    /// Room that hyper had for the last of what it read, and has for what it writes.
    room: usize,
    /// Bodies that hyper has, of HTTP/2.
    untaken: Untaken,
}

impl Exchange {
    /// What requests and answers hold has changed from `before` to `now` bytes.
    pub(super) fn held(&self, before: usize, now: usize) {
        self.hold(|held| held.requests = (held.requests + now).saturating_sub(before));
    }

    /// So many bytes were read that hyper has not taken yet: requests behind the one that it answers.
    pub(in crate::http) fn keeps(&self, surplus: usize) {
        self.hold(|held| held.surplus = surplus);
    }

    /// hyper reads into a buffer that has so much room.
    pub(in crate::http) fn reads_into(&self, room: usize) {
        self.hold(|held| held.room = room + WRITE_ROOM);
    }

    /// hyper reads more of bodies.
    pub(in crate::http) fn bodies(&self, read: impl FnOnce(&mut Untaken)) {
        self.hold(|held| read(&mut held.untaken));
    }

    /// So many bytes of a body, or of a WebSocket, are hyper's no more.
    pub(in crate::http) fn taken(&self, bytes: usize) {
        self.hold(|held| held.untaken.remove(bytes));
    }

    /// hyper has looked at all that it has read: without a request nobody waits for anything, and it has discarded what came.
    pub(in crate::http) fn settle(&self) {
        let mut state = self.state.lock();
        if state.open == 0 {
            let before = state.held_bytes();
            state.held.untaken.clear();
            self.count(&state, before);
        }
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
        let Held { requests, partial, surplus, room, untaken } = &self.held;
        // Who is idle is not charged: what is kept for a connection without a request is the same for all.
        let is_idle = self.open == 0 && self.stage != Stage::Head;
        // A head that is not whole may lie in what hyper has not taken.
        requests + partial.max(surplus) + if is_idle { &0 } else { room } + untaken.cost()
    }

    /// So many bytes of a head came.
    pub(super) fn add_partial(&mut self, bytes: usize) {
        self.held.partial += bytes;
    }

    /// The head is whole.
    pub(super) fn end_partial(&mut self) {
        self.held.partial = 0;
    }

    /// Nothing is under way any more, and what hyper had read of it is gone.
    pub(super) fn end_requests(&mut self) {
        (self.held.requests, self.held.room) = (0, 0);
    }
}
