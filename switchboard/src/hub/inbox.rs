//! What was posted to the rooms of one worker, until the worker's tick delivers it.

use super::fanout::{LocalRooms, Operation};
use super::repeats::Repeats;
use super::room::{RoomId, RoomInner};
use super::session::SessionInner;
use crate::link::delivery::{Delivery, Step};
use crate::link::tick::Tick;
use crate::sync::Mutex;
use crate::turn::{CALL_BYTES, Turn};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use tokio::time::Instant;

/// Bytes of postings that may wait for a worker that a handler holds up, and their share of the memory for messages; the next
/// ones are lost to its members. Whoever publishes by way of a connection waits long before.
const INBOX_BYTES: usize = 64 << 20;
const INBOX_SHARE: usize = 4;

/// What a look at one of those counts as in a turn: about 50 ns.
const LOOK_BYTES: usize = 32;

/// Memory that a list keeps from one tick to the next; what it grew by in a storm is given back.
const KEPT_BYTES: usize = 64 << 10;

/// One worker's, for all hubs that have members on it.
#[derive(Default)]
pub(super) struct Inbox {
    posted: Mutex<Posted>,
    /// Rooms whose members are to be told who came and went.
    presence: Mutex<Vec<Weak<RoomInner>>>,
    /// Who is to be told when what it was shown to be ends soon.
    ending: Mutex<Vec<Weak<SessionInner>>>,
    pub(super) repeats: Repeats,
}

#[derive(Default)]
struct Posted {
    entries: Vec<Operation>,
    /// Messages that came when it was full: for each room, the number of the first and how many.
    lost: HashMap<RoomId, (u64, u64)>,
    /// What a tick delivers to, while none does.
    round: Option<Box<Round>>,
    has_ended: bool,
    /// When the oldest message of those came.
    since: Option<Instant>,
}

/// What only the tick touches: lists of members, and what it delivers to them.
#[derive(Default)]
struct Round {
    rooms: LocalRooms,
    entries: Vec<Operation>,
    lost: HashMap<RoomId, (u64, u64)>,
}

impl Inbox {
    /// The one of that tick; one that takes nothing if the tick has ended.
    pub(super) fn of(tick: &Tick) -> Arc<Self> {
        tick.delivery().unwrap_or_else(|| {
            let ended = Self::default();
            ended.posted.lock().has_ended = true;
            Arc::new(ended)
        })
    }

    /// Has `entry` applied at the next tick, behind those before it. Says whether the worker is behind by that.
    pub(super) fn post(&self, tick: &Tick, entry: Operation) -> bool {
        let mut posted = self.posted.lock();
        if posted.has_ended {
            return false;
        }
        let is_first = posted.entries.is_empty();
        if let Operation::Post { room, posting } = &entry {
            let full = tick.backlog.bytes() > INBOX_BYTES.min(tick.budget.limit() / INBOX_SHARE);
            // Once a room has lost one it loses what follows too, or the gap would be told in the wrong place.
            if full || (!posted.lost.is_empty() && posted.lost.contains_key(room)) {
                if let Some(seq) = posting.seq() {
                    posted.lost.entry(*room).or_insert((seq, 0)).1 += 1;
                }
                // What fills it may be with the tick already, which would end its round and wait.
                tick.wake();
                return true;
            }
        } else if let Some(room) = entry.room()
            && let Some((from_seq, lost)) = posted.lost.remove(&room)
        {
            // Whoever joins behind a loss is told of none.
            posted.entries.push(Operation::Lost { room, from_seq, lost });
        }
        if posted.since.is_none() && matches!(entry, Operation::Post { .. }) {
            // Once a tick.
            posted.since = Some(Instant::now());
        }
        let bytes = entry.bytes();
        tick.budget.post(bytes);
        let is_behind = tick.backlog.add(bytes);
        posted.entries.push(entry);
        if is_first {
            drop(posted);
            tick.wake();
        }
        is_behind
    }

    /// Has `room` tell its members who came and went, at the next sweep.
    pub(super) fn present_later(&self, room: Weak<RoomInner>) {
        self.presence.lock().push(room);
    }

    /// Has the sweep tell `session` when its end is near.
    pub(super) fn watch(&self, session: Weak<SessionInner>) {
        self.ending.lock().push(session);
    }

    /// Tells whose end is near, and forgets who is gone.
    async fn warn(&self, turn: &mut Turn) {
        let watched = std::mem::take(&mut *self.ending.lock());
        let mut still = Vec::with_capacity(watched.len());
        for session in watched {
            if session.upgrade().is_some_and(|session| session.watch()) {
                still.push(session);
            }
            turn.spend(LOOK_BYTES).await;
        }
        let mut ending = self.ending.lock();
        still.append(&mut ending);
        // After a crowd has gone it would keep its size for good.
        if still.capacity() > 1024 && still.len() < still.capacity() / 8 {
            still.shrink_to(still.len() * 2);
        }
        *ending = still;
    }

    async fn apply(&self, mut round: Box<Round>, since: Option<Instant>, bytes: usize, tick: &Tick, turn: &mut Turn) {
        let Round { rooms, entries, lost } = &mut *round;
        rooms.apply(entries, lost, &self.repeats, turn).await;
        if let Some(since) = since {
            tick.counts.fanout_delay.record(since.elapsed());
        }
        lost.shrink_to_fit();
        entries.shrink_to(KEPT_BYTES / size_of::<Operation>());
        self.posted.lock().round = Some(round);
        tick.budget.delivered(bytes);
        turn.spend(CALL_BYTES * tick.backlog.delivered(bytes)).await;
    }
}

impl Delivery for Inbox {
    fn deliver<'a>(&'a self, tick: &'a Tick, turn: &'a mut Turn) -> Option<Step<'a>> {
        let mut posted = self.posted.lock();
        if posted.entries.is_empty() && posted.lost.is_empty() {
            return None;
        }
        let mut round = posted.round.take().unwrap_or_default();
        std::mem::swap(&mut round.entries, &mut posted.entries);
        std::mem::swap(&mut round.lost, &mut posted.lost);
        // Under the lock: what is counted is what was taken.
        let bytes = tick.backlog.bytes();
        let since = posted.since.take();
        drop(posted);
        // Below 1 KiB: the allocator has pieces of that size at hand.
        Some(Box::pin(self.apply(round, since, bytes, tick, turn)))
    }

    /// Lets rooms tell what they gathered in that second, and tells whose end is near.
    fn sweep<'a>(&'a self, turn: &'a mut Turn) -> Option<Step<'a>> {
        let rooms = std::mem::take(&mut *self.presence.lock());
        let present = async move {
            for room in rooms {
                if let Some(room) = room.upgrade() {
                    room.tell_presence();
                }
                turn.spend(CALL_BYTES).await;
            }
            self.warn(turn).await;
        };
        Some(Box::pin(present))
    }

    fn end(&self) {
        let posted = std::mem::replace(&mut *self.posted.lock(), Posted { has_ended: true, ..Posted::default() });
        // Dropped without its lock.
        drop(posted);
    }
}
