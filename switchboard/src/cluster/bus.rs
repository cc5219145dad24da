//! What nodes of a cluster need of the service that carries their words.
//!
//! A bus knows words as bytes. Any of them may be lost, come twice, or late: what nodes make of them allows for that.

use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// A node of a cluster, from its start to its end: drawn at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Carries words between nodes. Nothing here waits: what cannot be said is lost.
pub trait Bus: Send + Sync + 'static {
    /// Has `events` told of what is said to all nodes and to this one. Called once, before anything else.
    fn watch(&self, own: NodeId, events: Arc<dyn BusEvents>);

    /// Says something to all nodes.
    fn tell_all(&self, word: Bytes);

    /// Says something to one node.
    fn tell(&self, node: NodeId, word: Bytes);
}

/// What a bus brings. None of these waits.
pub trait BusEvents: Send + Sync + 'static {
    /// Somebody has said something; what a node says to all may come back to itself.
    fn told(&self, word: Bytes);
}
