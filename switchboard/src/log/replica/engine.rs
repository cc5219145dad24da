//! What replicas of rooms need of the service that keeps their logs: one append behind a position, and reading.
//!
//! An engine knows envelopes as bytes. It orders nothing itself, but that it keeps at most one envelope behind each other one of a room.

use super::envelope::Position;
use bytes::Bytes;
use std::sync::Arc;
use switchboard_proto::{Message, RoomName};

/// What an engine calls when it has answered, perhaps within the call that asked. It is called exactly once, within the engine's own deadline; it
/// takes a short lock and never waits, so the engine holds none that is asked for elsewhere.
pub type EngineAnswer<T, E = EngineError> = Box<dyn FnOnce(Result<T, E>) + Send>;

/// Keeps the logs of rooms that several nodes append to.
///
/// Nothing here waits: what is asked for is queued, and what cannot be is answered at once with an error. What is in flight is bounded by the
/// engine.
pub trait Engine: Send + Sync + 'static {
    /// Has `events` told of what happens from now on. Called once, before anything else.
    fn watch(&self, events: Arc<dyn EngineEvents>);

    /// Keeps `envelope` as the room's next one if its last one is at `after`; 0 if it has none. Says where it is then.
    fn append(&self, room: &RoomName, after: Position, envelope: Bytes, done: EngineAnswer<Position, AppendError>);

    /// The room's last envelope, as whoever orders the log has it now. None if the log has none.
    fn last(&self, room: &RoomName, done: EngineAnswer<Option<Stored>>);

    /// The room's envelopes from `from` on, the oldest first and none left out, as many as the engine reads at once. It may be asked of a copy
    /// that is behind: the newest may be missing, so whoever needs them asks again.
    fn fetch(&self, room: &RoomName, from: Position, done: EngineAnswer<Vec<Stored>>);

    /// The room's first envelope at `from` or behind it, as [`fetch`](Self::fetch) reads it.
    fn next(&self, room: &RoomName, from: Position, done: EngineAnswer<Option<Stored>>) {
        self.fetch(room, from, Box::new(move |read| done(read.map(|read| read.into_iter().next()))));
    }

    /// Drops the room's envelopes before `before` for good.
    fn purge(&self, room: &RoomName, before: Position, done: EngineAnswer<()>);

    /// Has `events` told of each envelope of the room from now on, whoever appends it. Answers once that holds, as far as the engine can
    /// tell; after a lost connection it holds again by itself.
    fn follow(&self, room: &RoomName, done: EngineAnswer<()>);

    /// Nobody needs to be told of the room's envelopes any more.
    fn unfollow(&self, room: &RoomName);

    /// Tells all nodes that follow the room where its log ends. May be lost.
    fn tell_tail(&self, room: &RoomName, tail: Bytes);

    /// Tells all nodes how far this one knows the log, this one too. May be lost.
    fn tell_nodes(&self, report: Bytes);

    /// A message that this node has published is in the log, and shown: for whoever follows rooms by the engine and is no node. Told once; it may
    /// be lost. By default nobody does.
    fn shown(&self, message: &Message) {
        let _ = message;
    }

    /// Which log this is, and where it ends.
    fn identity(&self, done: EngineAnswer<LogIdentity>);

    /// The last envelopes of those of `rooms` that have one behind `after`, or some of them, as many as the engine reads at once. Asked for at
    /// most [`CHECKED_ROOMS`] at once.
    fn check(&self, rooms: Vec<RoomName>, after: Position, done: EngineAnswer<CheckedRooms>);

    /// Whether [`check`](Self::check) reads what whoever orders the log has, as [`last`](Self::last) does, and no copy that may be behind.
    fn checks_are_exact(&self) -> bool {
        false
    }

    /// Whether it takes what is appended, as far as it knows.
    ///
    /// # Errors
    /// It does not, and why.
    fn health(&self) -> Result<(), EngineError>;
}

/// Rooms that are [checked](Engine::check) at once.
pub const CHECKED_ROOMS: usize = 1024;

/// What [`Engine::check`] has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckedRooms {
    /// Rooms with their last envelopes.
    pub found: Vec<(RoomName, Stored)>,
    /// Others may have one too: they are to be asked for again.
    pub has_more: bool,
}

/// What an engine tells unasked. None of these waits.
///
/// All of them may be lost, come twice, or late: replicas find out.
pub trait EngineEvents: Send + Sync + 'static {
    /// An envelope was appended, by anybody.
    fn live(&self, room: &RoomName, stored: Stored);

    /// A node has told where the room's log ends, by [`Engine::tell_tail`].
    fn tail(&self, room: &RoomName, tail: &[u8]);

    /// A node has told how far it knows the log, by [`Engine::tell_nodes`].
    fn reported(&self, report: &[u8]);

    /// The connection is there again: something may have been missed, and what is there may be another log. Told before anything can be asked by
    /// it; takes a short lock, and asks the engine nothing.
    fn reconnected(&self);
}

/// An envelope as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where.
    pub position: Position,
    /// Its bytes.
    pub envelope: Bytes,
}

/// Which log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogIdentity {
    /// Random, drawn when the log was made: another one is another log.
    pub log: u128,
    /// Where its last envelope of any room is.
    pub last: Position,
}

/// Why an envelope was not appended, or is not known to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The room's last envelope is another one: this one was not appended.
    #[error("the room's last envelope is at {}", last.0)]
    Stale {
        /// Where; 0 if there is none.
        last: Position,
    },
    /// Another append to the room is under way: this one was not appended.
    #[error("another append to the room is under way")]
    Busy,
    /// Nobody has answered: it may be appended, now or later.
    #[error("the log has not answered: {0}")]
    Unknown(Arc<str>),
    /// It was not appended, and is not taken as it is.
    #[error("the log refuses it: {0}")]
    Refused(Arc<str>),
}

/// Why an engine has not answered what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log is away: {0}")]
pub struct EngineError(pub Arc<str>);
