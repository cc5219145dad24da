//! What nodes of a cluster need of the service that carries their words and keeps their records.
//!
//! A bus knows words and values as bytes. A word may be lost, come twice, or late: what nodes make of them allows for that. A record has one
//! order: at most one value is put behind each other one.

use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A node of a cluster, from its start to its end: drawn at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a bus calls when it knows, perhaps within the call that asked. It is called exactly once, within the bus's own deadline; it takes a short
/// lock and never waits.
pub type BusAnswer<T, E> = Box<dyn FnOnce(Result<T, E>) + Send>;

/// Carries words between nodes. Nothing here waits: what cannot be said is lost.
pub trait Bus: NodeRecords {
    /// Has `events` told of what is said to all nodes and to this one. Called once, before anything else.
    fn watch(&self, own: NodeId, events: Arc<dyn BusEvents>);

    /// Says something to all nodes.
    fn tell_all(&self, word: Bytes);

    /// Says something to one node.
    fn tell(&self, node: NodeId, word: Bytes);

    /// Asks one node; `done` gets its answer, if that comes in `time`.
    fn ask(&self, node: NodeId, word: Bytes, time: Duration, done: BusAnswer<Bytes, AskError>);

    /// Answers somebody who has asked.
    fn answer(&self, to: &ReplyTo, word: Bytes);
}

/// Keeps records by their keys, which have letters, digits, `-`, `_`, `=` and `.`.
pub trait NodeRecords: Send + Sync + 'static {
    /// Puts `value` if the record's last value was put as `expected`, 0 if it has none; it is gone after `lives`. Says as which it was put:
    /// never one that was before.
    fn put(&self, key: &str, expected: u64, value: Bytes, lives: Option<Duration>, done: BusAnswer<u64, PutError>);

    /// The record, as whoever orders it has it now; none if it has no value.
    fn record(&self, key: &str, done: BusAnswer<Option<NodeRecord>, RecordsAway>);
}

/// A value, and as which it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// As which.
    pub revision: u64,
    /// Its bytes.
    pub value: Bytes,
}

/// Whoever has asked, by the bus's own word for where the answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo(pub Bytes);

/// Why a value was not put, or is not known to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// The last value is another one: this one was not put.
    #[error("the record's last value is another one")]
    Stale,
    /// Nobody has said: it may be put, now or later.
    #[error("the record may or may not be put: {0}")]
    Unknown(Arc<str>),
}

/// Why a record could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("records are away: {0}")]
pub struct RecordsAway(pub Arc<str>);

/// Why a node has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// There is no such node.
    #[error("there is no such node")]
    NobodyThere,
    /// Nobody has said anything in time.
    #[error("the node has not answered in time")]
    Unanswered,
}

/// What a bus brings. None of these waits.
pub trait BusEvents: Send + Sync + 'static {
    /// Somebody has said something, and may wait for an answer. What a node says to all may come back to itself.
    fn told(&self, word: Bytes, asker: Option<ReplyTo>);

    /// The connection is there again: what was said meanwhile is lost, and records may be gone.
    fn reconnected(&self);
}
