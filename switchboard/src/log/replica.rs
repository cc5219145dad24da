//! Rooms that several nodes publish to: nobody owns a room, its log does.
//!
//! Each node has a replica of the rooms that it serves. Messages that it publishes become an [`LogEnvelope`], which is appended behind the last one
//! that the replica knows; the [`Engine`] takes at most one envelope behind each, and that is the order. Whoever comes second renumbers
//! and tries again.

mod engine;
mod envelope;

pub use engine::{AppendError, CHECKED_ROOMS, Engine, EngineAnswer, EngineError, EngineEvents, LogIdentity, Stored};
pub use envelope::{
    ENVELOPE_BYTES, ENVELOPE_ENTRIES, EnvelopeError, EnvelopeToken, FORMAT, Incarnation, LogEntry, LogEnvelope,
    Position, Tail,
};
