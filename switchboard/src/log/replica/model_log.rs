//! A log of the simplest kind, and all that can go wrong between it and its nodes: what it is asked for and what it answers is late, lost or
//! doubled; copies are behind; for a while nobody answers; it loses its end, goes back to an older state, or is another one.

use super::envelope::{LogEnvelope, Position};
use super::{AppendError, LogEnd, Stored, drawn};
use bytes::Bytes;
use std::collections::BTreeMap;
use switchboard_proto::RoomName;

/// Chance, by a seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        drawn(&mut self.0)
    }

    pub(super) fn below(&mut self, most: u64) -> u64 {
        self.roll() % most
    }

    /// So many times of a hundred.
    pub(super) fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What the log is at one time.
#[derive(Clone)]
pub(super) struct State {
    log: u128,
    last: u64,
    rooms: BTreeMap<RoomName, Vec<Stored>>,
}

pub(super) struct ModelLog {
    state: State,
    /// An older state.
    earlier: Option<State>,
    /// Envelopes of a room that it keeps.
    kept: usize,
    /// All that it ever took, in order.
    pub(super) taken: Vec<(RoomName, LogEnvelope)>,
    /// Nobody answers.
    pub(super) is_away: bool,
}

impl ModelLog {
    pub(super) fn new(kept: usize) -> Self {
        let state = State { log: 1, last: 0, rooms: BTreeMap::new() };
        Self { state, earlier: None, kept, taken: Vec::new(), is_away: false }
    }

    /// Appends behind `after`, or behind anything.
    pub(super) fn append(
        &mut self,
        room: &RoomName,
        after: Option<Position>,
        envelope: &Bytes,
    ) -> Result<Stored, AppendError> {
        let envelopes = self.state.rooms.entry(room.clone()).or_default();
        let last = envelopes.last().map_or(Position(0), |last| last.position);
        if after.is_some_and(|after| after != last) {
            return Err(AppendError::Stale { last });
        }
        self.state.last += 1;
        let stored = Stored { position: Position(self.state.last), envelope: envelope.clone() };
        envelopes.push(stored.clone());
        let spare = envelopes.len().saturating_sub(self.kept);
        envelopes.drain(..spare);
        let read = LogEnvelope::parse(envelope);
        self.taken.push((room.clone(), read.unwrap_or_else(|error| panic!("a replica appended no envelope: {error}"))));
        Ok(stored)
    }

    pub(super) fn last(&self, room: &RoomName) -> Option<&Stored> {
        self.state.rooms.get(room)?.last()
    }

    pub(super) fn end(&self, room: &RoomName) -> LogEnd {
        LogEnd { log: self.state.log, last: self.last(room).cloned() }
    }

    /// Which log it is, and where it ends.
    pub(super) fn identity(&self) -> (u128, u64) {
        (self.state.log, self.state.last)
    }

    /// From `from` on, as a copy has it that lacks the newest few.
    pub(super) fn fetch(&self, room: &RoomName, from: Position, lacks: usize) -> Vec<Stored> {
        let all = self.state.rooms.get(room).map_or(&[][..], Vec::as_slice);
        let there = &all[..all.len().saturating_sub(lacks)];
        there.iter().filter(|stored| stored.position >= from).take(8).cloned().collect()
    }

    /// The first message of the room that is still there.
    pub(super) fn first(&self, room: &RoomName) -> Option<LogEnvelope> {
        LogEnvelope::parse(&self.state.rooms.get(room)?.first()?.envelope).ok()
    }

    /// Retention takes all of a room.
    pub(super) fn empty(&mut self, room: &RoomName) {
        self.state.rooms.remove(room);
    }

    /// Drops what is before that.
    pub(super) fn purge(&mut self, room: &RoomName, before: Position) {
        self.state.rooms.entry(room.clone()).or_default().retain(|stored| stored.position >= before);
    }

    /// Remembers how it is now.
    pub(super) fn remember(&mut self) {
        self.earlier = Some(self.state.clone());
    }

    /// Is as it was when it was last remembered.
    pub(super) fn go_back(&mut self) {
        if let Some(earlier) = self.earlier.take() {
            self.state = earlier;
        }
    }

    /// Loses its last few envelopes; their places are taken by others, or are left empty.
    pub(super) fn truncate(&mut self, lost: u64, are_places_left: bool) {
        let last = Position(self.state.last.saturating_sub(lost));
        for envelopes in self.state.rooms.values_mut() {
            envelopes.retain(|stored| stored.position <= last);
        }
        if !are_places_left {
            self.state.last = last.0;
        }
    }

    /// Is another one, with nothing in it.
    pub(super) fn swap(&mut self, log: u128) {
        self.state = State { log, last: 0, rooms: BTreeMap::new() };
    }
}
