//! The nodes that share rooms, as each knows of the others: who has how many members where, and whose a name is.
//!
//! The order of messages is none of its business: that is made by the [log](crate::log). Nothing here is kept beyond the process.

mod asking;
mod bus;
#[cfg(test)]
mod claims;
mod freed;
mod guests;
mod hubside;
mod keeping;
#[cfg(test)]
mod model;
mod names;
mod serving;
mod table;
mod together;
mod words;

pub use crate::hub::elsewhere::{
    Elsewhere, FromElsewhere, NameProof, NamesElsewhere, NotClaimed, NotTold, PeopleElsewhere, Unanswered,
};
pub use bus::{AskError, Bus, BusAnswer, BusEvents, NodeId, NodeRecord, NodeRecords, PutError, RecordsAway, ReplyTo};

use crate::Hub;
use crate::hub::elsewhere::HubHere;
use bytes::Bytes;
use guests::Guests;
use keeping::NameKeeping;
use names::NameRecords;
use parking_lot::Mutex;
use serving::NodeTask;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use switchboard_proto::RoomName;
use table::NodeTable;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Bytes of what was heard and waits to be looked at, and what each word takes beside them. What comes beyond it is dropped.
const HEARD_BYTES: usize = 16 << 20;
const BESIDE: usize = 128;

/// This node's part in a cluster. Dropping it ends that: the others hear no more of it.
pub struct Cluster {
    shared: Arc<Shared>,
    tasks: OnceLock<[AbortHandle; 2]>,
}

/// What a node knows of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterMetrics {
    /// Other nodes that are heard.
    pub nodes: usize,
    /// Rooms that they have and this one has not.
    pub rooms_elsewhere: usize,
    /// Names that this node has records of, guests' left out.
    pub names: usize,
    /// Whether it gives names.
    pub is_naming: bool,
}

struct Shared {
    own: NodeId,
    bus: Arc<dyn Bus>,
    table: Mutex<NodeTable>,
    /// Rooms of this node of which the others are to be told.
    changed: Mutex<Vec<RoomName>>,
    heard: Heard,
    names: NameRecords,
    guests: Guests,
    /// There is something to do about names.
    kept: Notify,
    /// The connection was lost since the lease was looked at.
    is_anew: AtomicBool,
    /// Names are given.
    is_ready: CancellationToken,
    /// Claims under way.
    claims: TaskTracker,
    serves: OnceLock<(HubHere, Handle)>,
    account: OnceLock<NodeAccount>,
    me: Weak<Shared>,
}

/// What a node says of itself when it is asked.
type NodeAccount = Box<dyn Fn() -> Bytes + Send + Sync>;

/// And who waits for an answer, if anybody does.
type HeardWord = (Bytes, Option<ReplyTo>);

/// What a node is asked by whoever looks at the cluster, and is none itself.
#[cfg(feature = "nats")]
pub(crate) fn account_question() -> Bytes {
    asking::NodeQuestion::Account.written(NodeId(0))
}

#[derive(Default)]
struct Heard {
    /// With their bytes.
    words: Mutex<(Vec<HeardWord>, usize)>,
    said: Notify,
}

impl Heard {
    fn take(&self) -> Vec<HeardWord> {
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
        let names = NameRecords::new(own, Arc::clone(&bus));
        let (guests, kept, is_anew, is_ready, claims, serves, account) = Default::default();
        let table = Mutex::new(NodeTable::new(own));
        let shared = Arc::new_cyclic(|me| Shared {
            own,
            bus,
            table,
            changed,
            heard,
            names,
            guests,
            kept,
            is_anew,
            is_ready,
            claims,
            serves,
            account,
            me: Weak::clone(me),
        });
        shared.bus.watch(own, Arc::clone(&shared) as _);
        Self { shared, tasks: OnceLock::new() }
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
        if self.shared.serves.set((hub.here(), runtime.clone())).is_err() {
            return;
        }
        let serving = NodeTask::new(Arc::clone(&self.shared), hub.here());
        let keeping = NameKeeping { shared: Arc::clone(&self.shared), hub: hub.here() };
        let tasks = [runtime.spawn(serving.run()).abort_handle(), runtime.spawn(keeping.run()).abort_handle()];
        // It was not set before.
        let _ = self.tasks.set(tasks);
    }

    /// Has `account` say what this node is, as bytes of its own choice, to whoever looks at the cluster
    /// ([`NatsEngine::status`](crate::log::NatsEngine::status)). It takes short locks alone. Called once.
    pub fn introduce(&self, account: impl Fn() -> Bytes + Send + Sync + 'static) {
        // The first one stays.
        let _ = self.shared.account.set(Box::new(account));
    }

    /// Waits until it gives names: guests have theirs of what it has got.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ready(&self) {
        self.shared.is_ready.cancelled().await;
    }

    /// Tells the others that this node ends, so that they need not wait for its beats.
    pub fn leave(&self) {
        self.end();
        let bye = self.shared.table.lock().bye();
        self.shared.bus.tell_all(bye);
    }

    /// What it knows of the others now.
    pub fn metrics(&self) -> ClusterMetrics {
        let table = self.shared.table.lock();
        ClusterMetrics {
            nodes: table.peers(),
            rooms_elsewhere: table.only_there(),
            names: self.shared.names.count(),
            is_naming: self.shared.names.is_leased(),
        }
    }

    fn end(&self) {
        self.tasks.get().into_iter().flatten().for_each(AbortHandle::abort);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}

impl BusEvents for Shared {
    fn told(&self, word: Bytes, asker: Option<ReplyTo>) {
        let mut words = self.heard.words.lock();
        let bytes = word.len() + BESIDE;
        let most = if asker.is_some() { asking::QUESTION_BYTES } else { words::WORD_BYTES };
        if word.len() > most || words.1 + bytes > HEARD_BYTES {
            return;
        }
        words.1 += bytes;
        words.0.push((word, asker));
        drop(words);
        self.heard.said.notify_one();
    }

    fn reconnected(&self) {
        self.names.doubt();
        // Relaxed: whoever is woken by it looks behind that.
        self.is_anew.store(true, Ordering::Relaxed);
        self.kept.notify_one();
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("own", &self.shared.own).finish_non_exhaustive()
    }
}
