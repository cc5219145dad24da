//! The nodes that share rooms, as each knows of the others: who has how many members where.
//!
//! The order of messages is none of its business: that is made by the [log](crate::log). Nothing here is kept beyond the process.

mod bus;
#[cfg(test)]
mod model;
mod serving;
mod table;
mod words;

pub use crate::hub::elsewhere::Elsewhere;
pub use bus::{Bus, BusEvents, NodeId};

use crate::Hub;
use bytes::Bytes;
use parking_lot::Mutex;
use serving::NodeTask;
use std::sync::{Arc, OnceLock};
use switchboard_proto::{RoomName, RoomSummary};
use table::NodeTable;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Bytes of what was heard and waits to be looked at, and what each word takes beside them. What comes beyond it is dropped.
const HEARD_BYTES: usize = 16 << 20;
const BESIDE: usize = 128;

/// This node's part in a cluster. Dropping it ends that: the others hear no more of it.
pub struct Cluster {
    shared: Arc<Shared>,
    task: OnceLock<AbortHandle>,
}

/// What a node knows of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterMetrics {
    /// Other nodes that are heard.
    pub nodes: usize,
    /// Rooms that they have and this one has not.
    pub rooms_elsewhere: usize,
}

struct Shared {
    own: NodeId,
    bus: Arc<dyn Bus>,
    table: Mutex<NodeTable>,
    /// Rooms of this node of which the others are to be told.
    changed: Mutex<Vec<RoomName>>,
    heard: Heard,
}

#[derive(Default)]
struct Heard {
    /// With their bytes.
    words: Mutex<(Vec<Bytes>, usize)>,
    said: Notify,
}

impl Heard {
    fn take(&self) -> Vec<Bytes> {
        std::mem::take(&mut *self.words.lock()).0
    }
}

impl Cluster {
    /// A node among others that `bus` reaches, which this one alone uses.
    ///
    /// # Panics
    /// The system gives no random numbers.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        let Ok(own) = getrandom::u64().map(NodeId) else { panic!("the system gives no random numbers") };
        let (changed, heard) = Default::default();
        let shared = Arc::new(Shared { own, bus, table: Mutex::new(NodeTable::new(own)), changed, heard });
        shared.bus.watch(own, Arc::clone(&shared) as _);
        Self { shared, task: OnceLock::new() }
    }

    /// This node, as the others know it.
    pub fn id(&self) -> NodeId {
        self.shared.own
    }

    /// The other nodes, for the [hub](crate::HubBuilder::elsewhere) whose rooms they share.
    pub fn elsewhere(&self) -> Arc<dyn Elsewhere> {
        Arc::clone(&self.shared) as _
    }

    /// Speaks for the rooms of `hub` from now on, on a task of `runtime`. Called once.
    pub fn serve(&self, hub: &Hub, runtime: &Handle) {
        let serving = NodeTask { shared: Arc::clone(&self.shared), hub: hub.here(), began: Instant::now() };
        let task = runtime.spawn(serving.run());
        if let Err(second) = self.task.set(task.abort_handle()) {
            second.abort();
        }
    }

    /// Tells the others that this node ends, so that they need not wait for its beats.
    pub fn leave(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
        let bye = self.shared.table.lock().bye();
        self.shared.bus.tell_all(bye);
    }

    /// What it knows of the others now.
    pub fn metrics(&self) -> ClusterMetrics {
        let table = self.shared.table.lock();
        ClusterMetrics { nodes: table.peers(), rooms_elsewhere: table.only_there() }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl BusEvents for Shared {
    fn told(&self, word: Bytes) {
        let mut words = self.heard.words.lock();
        let bytes = word.len() + BESIDE;
        if word.len() > words::WORD_BYTES || words.1 + bytes > HEARD_BYTES {
            return;
        }
        words.1 += bytes;
        words.0.push(word);
        drop(words);
        self.heard.said.notify_one();
    }
}

impl Elsewhere for Shared {
    fn members(&self, room: &RoomName) -> Option<usize> {
        self.table.lock().members(room)
    }

    fn rooms(&self, after: Option<&RoomName>, limit: usize) -> Vec<RoomSummary> {
        self.table.lock().behind(after, limit)
    }

    fn count(&self) -> usize {
        self.table.lock().only_there()
    }

    fn changed(&self, room: &RoomName) {
        let mut changed = self.changed.lock();
        changed.push(room.clone());
        if changed.len() == 1 {
            drop(changed);
            self.heard.said.notify_one();
        }
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("own", &self.shared.own).finish_non_exhaustive()
    }
}
