//! One worker's tick: what was posted to its rooms since the last one is delivered, and the outboxes that became dirty are
//! flushed.
//!
//! Nobody writes to a socket when a frame is queued. The first dirty outbox notifies the tick, which lets everything
//! else run and hear of new input first, so that what arrives together leaves in one system call per connection.
//! Also the worker's clock: whole seconds, stepped by its sweep.

use super::Gathering;
use super::Peer;
use super::backlog::Backlog;
use super::budget::Budget;
use crate::hub::fanout::{Entry, LocalRooms};
use crate::hub::room::{RoomId, RoomInner};
use crate::sync::Mutex;
use crate::turn::{CALL_BYTES, Turn};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use switchboard_proto::Second;
use tokio::sync::Notify;

/// One read takes at most this: it drains a socket of a thousand short lines, and fits the second-level cache.
const READ_BYTES: usize = 64 << 10;

/// Bytes of postings that may wait for a worker that a handler holds up, and their share of the memory for messages; the next
/// ones are lost to its members. Whoever publishes by way of a connection waits long before.
const INBOX_BYTES: usize = 64 << 20;
const INBOX_SHARE: usize = 4;

/// Memory that a list keeps from one tick to the next; what it grew by in a storm is given back.
const KEPT_BYTES: usize = 64 << 10;

pub(crate) struct Tick {
    dirty: Mutex<Vec<Arc<Peer>>>,
    inbox: Mutex<Inbox>,
    pub(crate) backlog: Backlog,
    notify: Notify,
    /// Nobody delivers or flushes any more. What came now would keep its peers, and they the tick, for ever.
    ended: AtomicBool,
    now: AtomicU32,
    pub(crate) budget: Arc<Budget>,
    /// Where every read of the worker's goes first, so that an idle connection owns no buffer.
    pub(crate) read_buffer: Mutex<Box<[u8]>>,
    /// Rooms whose members are to be told who came and went.
    presence: Mutex<Vec<Weak<RoomInner>>>,
    /// What sinks have gathered in this tick.
    gathered: Mutex<Vec<Arc<dyn Gathering>>>,
}

#[derive(Default)]
struct Inbox {
    entries: Vec<Entry>,
    /// Messages that came when it was full: for each room, the number of the first and how many.
    lost: HashMap<RoomId, (u64, u64)>,
}

impl Tick {
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self {
            dirty: Mutex::default(),
            inbox: Mutex::default(),
            backlog: Backlog::default(),
            notify: Notify::new(),
            ended: AtomicBool::new(false),
            now: AtomicU32::new(0),
            budget,
            read_buffer: Mutex::new(vec![0; READ_BYTES].into()),
            presence: Mutex::default(),
            gathered: Mutex::default(),
        }
    }

    /// The second of the last sweep.
    pub(crate) fn now(&self) -> Second {
        // Relaxed: a stamp that is a sweep old is as good as any other within its second.
        self.now.load(Ordering::Relaxed)
    }

    /// Steps the clock, once a second.
    pub(crate) fn set_now(&self, now: Second) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// Lets rooms tell what they gathered in that second.
    pub(crate) async fn present(&self, turn: &mut Turn) {
        // Not in the head of the loop, where the lock would be held to its end: a room that notes something takes it last.
        let rooms = std::mem::take(&mut *self.presence.lock());
        for room in rooms {
            if let Some(room) = room.upgrade() {
                room.tell_presence();
            }
            turn.spend(CALL_BYTES).await;
        }
    }

    /// Has `room` tell its members who came and went, at the next sweep.
    pub(crate) fn present_later(&self, room: Weak<RoomInner>) {
        self.presence.lock().push(room);
    }

    /// Has `peer` flushed at the next tick. Called once per peer and tick.
    pub(crate) fn mark(&self, peer: Arc<Peer>) {
        let mut dirty = self.dirty.lock();
        if self.has_ended() {
            return;
        }
        dirty.push(peer);
        if dirty.len() == 1 {
            drop(dirty);
            self.notify.notify_one();
        }
    }

    /// Has what sinks gather flushed at the end of this tick, or of the next one.
    pub(crate) fn flush_later(&self, gathering: Arc<dyn Gathering>) {
        self.gathered.lock().push(gathering);
        self.notify.notify_one();
    }

    /// Has `entry` applied at the next tick, behind those before it. Says whether the worker is behind by that.
    pub(crate) fn post(&self, entry: Entry) -> bool {
        let mut inbox = self.inbox.lock();
        if self.has_ended() {
            return false;
        }
        let is_first = inbox.entries.is_empty();
        if let Entry::Post { room, posting } = &entry {
            let full = self.backlog.bytes() > INBOX_BYTES.min(self.budget.limit() / INBOX_SHARE);
            // Once a room has lost one it loses what follows too, or the gap would be told in the wrong place.
            if full || (!inbox.lost.is_empty() && inbox.lost.contains_key(room)) {
                if let Some(seq) = posting.seq() {
                    inbox.lost.entry(*room).or_insert((seq, 0)).1 += 1;
                }
                // What fills it may be with the tick already, which would end its round and wait.
                self.notify.notify_one();
                return true;
            }
        } else if let Some(room) = entry.room()
            && let Some((from_seq, lost)) = inbox.lost.remove(&room)
        {
            // Whoever joins behind a loss is told of none.
            inbox.entries.push(Entry::Lost { room, from_seq, lost });
        }
        let bytes = entry.bytes();
        self.budget.post(bytes);
        let is_behind = self.backlog.add(bytes);
        inbox.entries.push(entry);
        if is_first {
            drop(inbox);
            self.notify.notify_one();
        }
        is_behind
    }

    /// Whether nothing that is sent here leaves any more.
    pub(crate) fn has_ended(&self) -> bool {
        // Relaxed: whoever asks holds a lock that the end takes after this is set.
        self.ended.load(Ordering::Relaxed)
    }

    /// Runs for as long as its worker does.
    pub(crate) fn run(self: Arc<Self>) -> impl Future<Output = ()> + Send {
        // Its end is its end also if it was never polled.
        Running(self).run()
    }
}

/// A tick that has not ended. Dropped, it lets go of what waits for the tick.
struct Running(Arc<Tick>);

impl Running {
    async fn run(self) {
        let tick = &*self.0;
        let mut rooms = LocalRooms::default();
        let (mut entries, mut batch) = (Vec::new(), Vec::new());
        loop {
            tick.notify.notified().await;
            // Everything that is ready runs, and the driver is polled, before the first write.
            tokio::task::yield_now().await;
            let mut turn = Turn::default();
            let (posted, lost) = {
                let mut inbox = tick.inbox.lock();
                std::mem::swap(&mut entries, &mut inbox.entries);
                (tick.backlog.bytes(), std::mem::take(&mut inbox.lost))
            };
            if !entries.is_empty() || !lost.is_empty() {
                rooms.apply(&mut entries, lost, &mut turn).await;
                entries.shrink_to(KEPT_BYTES / size_of::<Entry>());
                tick.budget.delivered(posted);
                turn.spend(CALL_BYTES * tick.backlog.delivered(posted)).await;
            }
            std::mem::swap(&mut batch, &mut tick.dirty.lock());
            for peer in batch.drain(..) {
                turn.spend(CALL_BYTES + peer.flush()).await;
            }
            batch.shrink_to(KEPT_BYTES / size_of::<Arc<Peer>>());
            let gathered = std::mem::take(&mut *tick.gathered.lock());
            for gathering in gathered {
                gathering.flush();
                turn.spend(CALL_BYTES).await;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
        // Each is dropped without its lock.
        let dirty = std::mem::take(&mut *self.0.dirty.lock());
        let inbox = std::mem::take(&mut *self.0.inbox.lock());
        let gathered = std::mem::take(&mut *self.0.gathered.lock());
        drop((dirty, inbox, gathered));
        self.0.budget.delivered(self.0.backlog.bytes());
        self.0.backlog.end();
    }
}
