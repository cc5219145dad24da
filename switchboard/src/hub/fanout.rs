//! One worker's members of each room, and the delivery of what was posted to them since the last tick.
//!
//! Rooms append to the worker's inbox; the worker's flush task alone owns the lists of members, so nothing here is
//! locked. Postings that stand behind each other are joined into one batch per encoding, and a member that owes nothing
//! gets the whole batch in one write, straight from the shared bytes: nothing is queued, allocated or copied for it.

use super::batch::Batch;
use super::deliver::tell;
use super::encoding::MemberEncoding;
use super::posting::{MembershipId, Posting};
use super::repeats::Repeats;
use super::replay::Missed;
use super::room::{Overflow, RoomId};
use super::unsaid::{Silence, Unsaid};
use crate::link::{ConnectionId, Link};
use crate::turn::{CALL_BYTES, Turn};
use bytes::Bytes;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use switchboard_proto::{CloseReason, Epoch, Format, Rights, RoomName};

/// Frames for one connection alone that keep their place in front of what is posted behind them, in each tick: before each of them
/// all rooms are delivered, as far as they have come. Those that follow come behind all.
const TOLD_IN_PLACE: usize = 8;

/// What happens to a room, in its order, as one worker hears of it.
pub(super) enum Operation {
    Post {
        room: RoomId,
        posting: Arc<Posting>,
    },
    Join {
        room: RoomId,
        name: RoomName,
        member: Subscriber,
        missed: Option<Box<Missed>>,
    },
    Leave {
        room: RoomId,
        member: MembershipId,
        /// It may not be there any more, and is told so.
        is_removed: bool,
    },
    /// Who came and went: those who came are not told of themselves.
    Presence {
        room: RoomId,
        joined: Arc<HashSet<MembershipId>>,
        to_others: Arc<Posting>,
        to_joined: Option<Arc<Posting>>,
    },
    /// Messages that found the inbox full.
    Lost {
        room: RoomId,
        from_seq: u64,
        lost: u64,
    },
    /// The room has another incarnation from here on.
    Reset {
        room: RoomId,
        epoch: Epoch,
    },
    Resume {
        room: RoomId,
        member: MembershipId,
        missed: Box<Missed>,
    },
    Reform {
        room: RoomId,
        member: MembershipId,
        format: Format,
    },
    /// A member is told who comes and goes from now on if that is among its rights.
    Hear {
        room: RoomId,
        member: MembershipId,
        rights: Rights,
    },
    /// A frame for one connection alone, behind what was posted before it.
    Direct {
        link: Arc<Link>,
        from: ConnectionId,
        frame: Bytes,
    },
}

impl Operation {
    /// Bytes that it keeps alive, about.
    pub(super) fn bytes(&self) -> usize {
        let behind = match self {
            Self::Post { posting, .. } => posting.bytes(),
            Self::Join { missed: Some(missed), .. } | Self::Resume { missed, .. } => missed.held_bytes(),
            Self::Direct { frame, .. } => frame.len(),
            _ => 0,
        };
        size_of::<Self>() + behind
    }

    /// The room whose order it is a point in.
    pub(super) fn room(&self) -> Option<RoomId> {
        match self {
            Self::Direct { .. } => None,
            Self::Post { room, .. }
            | Self::Join { room, .. }
            | Self::Leave { room, .. }
            | Self::Presence { room, .. }
            | Self::Lost { room, .. }
            | Self::Reset { room, .. }
            | Self::Resume { room, .. }
            | Self::Reform { room, .. }
            | Self::Hear { room, .. } => Some(*room),
        }
    }
}

/// A member on the worker that its connection is on.
pub(super) struct Subscriber {
    pub(super) id: MembershipId,
    pub(super) link: Arc<Link>,
    pub(super) encoding: MemberEncoding,
    pub(super) overflow: Overflow,
    /// Its connection ends when it is removed.
    pub(super) alone: bool,
    /// It left in this tick, and gets nothing any more.
    pub(super) has_left: bool,
}

impl Subscriber {
    /// Whoever would have to be told of a gap and cannot, as with raw payloads, cannot stay when there is one.
    pub(super) fn overflow(&self) -> Overflow {
        let can_lose = self.overflow == Overflow::Conflate || self.encoding.tells().gaps;
        if can_lose { self.overflow } else { Overflow::Disconnect }
    }
}

/// The rooms that have members on one worker.
#[derive(Default)]
pub(super) struct LocalRooms {
    rooms: HashMap<RoomId, LocalRoom>,
    /// Rooms with postings to deliver.
    active: Vec<RoomId>,
    /// Rooms that members have left in this tick.
    left: HashSet<RoomId>,
}

struct LocalRoom {
    name: RoomName,
    /// In the order of their numbers, since that is the one in which they come.
    members: Vec<Subscriber>,
    /// Posted and not delivered yet.
    pending: VecDeque<Arc<Posting>>,
    unsaid: Unsaid,
}

impl LocalRooms {
    /// Takes in what was posted since the last tick. Returns once all of it is delivered, having yielded now and then.
    ///
    /// `lost`: messages behind those that found the inbox full, as the number of the first and how many.
    pub(super) async fn apply(
        &mut self,
        entries: &mut Vec<Operation>,
        lost: &mut HashMap<RoomId, (u64, u64)>,
        repeats: &Repeats,
        turn: &mut Turn,
    ) {
        let (mut told, mut told_last) = (0, Vec::new());
        for entry in entries.drain(..) {
            turn.spend(size_of::<Operation>()).await;
            match entry {
                Operation::Post { room: id, posting } => {
                    if let Some(room) = self.rooms.get_mut(&id) {
                        if room.pending.is_empty() {
                            self.active.push(id);
                        }
                        room.pending.push_back(posting);
                    }
                }
                Operation::Direct { link, from, frame } if told < TOLD_IN_PLACE => {
                    // Where nothing is pending it costs nothing.
                    told += usize::from(!self.active.is_empty());
                    self.deliver(repeats, turn).await;
                    tell(&link, from, frame);
                }
                Operation::Direct { link, from, frame } => told_last.push((link, from, frame)),
                change => {
                    if let Some(room) = change.room().and_then(|id| self.rooms.get_mut(&id)) {
                        room.deliver(repeats, turn).await;
                    }
                    match change {
                        // Apart, since it is rare: what every tick allocates is to stay small.
                        Operation::Presence { room, joined, to_others, to_joined } => {
                            Box::pin(self.present(room, &joined, [Some(to_others), to_joined], repeats, turn)).await;
                        }
                        Operation::Lost { room, from_seq, lost } => {
                            self.lose(room, from_seq, lost, repeats, turn).await;
                        }
                        Operation::Reset { room, epoch } => Box::pin(self.reset(room, epoch, turn)).await,
                        change => self.change(change, repeats),
                    }
                }
            }
        }
        self.deliver(repeats, turn).await;
        for (link, from, frame) in told_last {
            tell(&link, from, frame);
            turn.spend(CALL_BYTES).await;
        }
        for (id, (from_seq, lost)) in lost.drain() {
            self.lose(id, from_seq, lost, repeats, turn).await;
        }
        for id in self.left.drain() {
            let Some(room) = self.rooms.get_mut(&id) else { continue };
            turn.spend(room.members.len() * size_of::<Subscriber>()).await;
            if room.forget_left() {
                self.rooms.remove(&id);
            }
        }
    }

    /// Delivers what is pending, in every room.
    async fn deliver(&mut self, repeats: &Repeats, turn: &mut Turn) {
        for id in std::mem::take(&mut self.active) {
            if let Some(room) = self.rooms.get_mut(&id) {
                room.deliver(repeats, turn).await;
            }
        }
    }

    async fn lose(&self, id: RoomId, from_seq: u64, lost: u64, repeats: &Repeats, turn: &mut Turn) {
        let Some(room) = self.rooms.get(&id) else { return };
        for member in room.present() {
            member.lose(&room.name, lost, from_seq, repeats);
            turn.spend(CALL_BYTES).await;
        }
    }

    async fn reset(&self, id: RoomId, epoch: Epoch, turn: &mut Turn) {
        let Some(room) = self.rooms.get(&id) else { return };
        for member in room.present() {
            member.reset(&room.name, epoch);
            turn.spend(CALL_BYTES).await;
        }
    }

    /// Tells the members who came and went: those who came something else than the others.
    async fn present(
        &self,
        id: RoomId,
        joined: &HashSet<MembershipId>,
        told: [Option<Arc<Posting>>; 2],
        repeats: &Repeats,
        turn: &mut Turn,
    ) {
        let Some(room) = self.rooms.get(&id) else { return };
        for (posting, has_joined) in told.into_iter().zip([false, true]) {
            let mut posting = posting.into_iter().collect();
            room.deliver_to(|member| joined.contains(&member) == has_joined, &mut posting, repeats, turn).await;
        }
    }

    /// Changes who is a member and how.
    fn change(&mut self, change: Operation, repeats: &Repeats) {
        match change {
            Operation::Join { room: id, name, member, missed } => {
                let room = self.rooms.entry(id).or_insert_with(|| LocalRoom::new(name));
                if let Some(missed) = missed {
                    room.unsaid.add(member.id, missed.unsaid);
                    member.link.repeated();
                    member.replay(*missed);
                }
                room.members.push(member);
            }
            Operation::Leave { room: id, member, is_removed } => {
                let removal = self.rooms.get(&id).filter(|_| is_removed).map(|room| room.name.clone());
                let Some(leaving) = self.member(id, member) else { return };
                leaving.leave(removal);
                repeats.left(id, leaving.link.id, member);
                leaving.link.unsubscribed();
                self.left.insert(id);
                if let Some(room) = self.rooms.get_mut(&id) {
                    room.unsaid.take(member);
                }
            }
            Operation::Resume { room: id, member, missed } => {
                repeats.resumed(member);
                // Looked up first: of one that is not there nothing is kept.
                let (Some(resuming), unsaid) = (self.member(id, member), missed.unsaid) else { return };
                resuming.link.repeated();
                resuming.replay(*missed);
                if let Some(room) = self.rooms.get_mut(&id) {
                    room.unsaid.add(member, unsaid);
                }
            }
            Operation::Reform { room: id, member, format } => {
                let Some(reformed) = self.member(id, member) else { return };
                reformed.encoding.set_format(format);
                if reformed.encoding.tells().gaps {
                    self.say(id, member, repeats);
                }
            }
            Operation::Hear { room: id, member, rights } => {
                let Some(hearing) = self.member(id, member) else { return };
                hearing.encoding.hear(rights);
            }
            Operation::Post { .. }
            | Operation::Direct { .. }
            | Operation::Presence { .. }
            | Operation::Lost { .. }
            | Operation::Reset { .. } => unreachable!("no member changes by that"),
        }
    }

    /// Tells a member what it was not sent while nothing could be told of it.
    fn say(&mut self, id: RoomId, member: MembershipId, repeats: &Repeats) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let Some((from_seq, lost)) = room.unsaid.take(member) else { return };
        let name = room.name.clone();
        let Some(member) = self.member(id, member) else { return };
        member.lose(&name, lost, from_seq, repeats);
    }

    fn member(&mut self, room: RoomId, member: MembershipId) -> Option<&mut Subscriber> {
        let members = &mut self.rooms.get_mut(&room)?.members;
        let place = members.binary_search_by_key(&member, |member| member.id).ok()?;
        members.get_mut(place)
    }
}

impl LocalRoom {
    fn new(name: RoomName) -> Self {
        Self { name, members: Vec::new(), pending: VecDeque::new(), unsaid: Unsaid::default() }
    }

    fn present(&self) -> impl Iterator<Item = &Subscriber> {
        self.members.iter().filter(|member| !member.has_left)
    }

    /// Forgets who has left: at the end of a tick, since thousands may leave in one. Says whether nobody is left.
    fn forget_left(&mut self) -> bool {
        self.members.retain(|member| !member.has_left);
        if self.members.capacity() > 64 && self.members.len() < self.members.capacity() / 8 {
            self.members.shrink_to(self.members.len() * 2);
        }
        self.members.is_empty()
    }

    async fn deliver(&mut self, repeats: &Repeats, turn: &mut Turn) {
        let mut pending = std::mem::take(&mut self.pending);
        for silence in self.deliver_to(|_| true, &mut pending, repeats, turn).await {
            let is_one = |member: &&Subscriber| {
                !member.has_left && member.encoding.is(&silence.encoding) && !repeats.covers(member.id)
            };
            for member in self.members.iter().filter(is_one) {
                self.unsaid.count(member.id, &silence);
                turn.spend(size_of::<Subscriber>()).await;
            }
        }
        // Its memory serves the next tick, unless it grew in a storm.
        if pending.capacity() <= 1024 {
            self.pending = pending;
        }
    }

    /// Delivers all of `rest` to the members that `is_one` takes, and lets go of each posting once it is delivered. Gives what
    /// could not be said to some.
    async fn deliver_to(
        &self,
        is_one: impl Fn(MembershipId) -> bool,
        rest: &mut VecDeque<Arc<Posting>>,
        repeats: &Repeats,
        turn: &mut Turn,
    ) -> Vec<Silence> {
        let mut silences = Vec::new();
        while !rest.is_empty() {
            let mut batches: Vec<Batch> = Vec::new();
            let mut taken = rest.len();
            for member in self.present() {
                if !batches.iter().any(|batch| batch.encoding.is(&member.encoding)) {
                    // The first encoding decides how far the batches of this round go.
                    let batch = Batch::new(member.encoding.clone(), rest.range(..taken));
                    taken = taken.min(batch.postings);
                    let work = batch.work();
                    batches.push(batch);
                    turn.spend(work).await;
                }
            }
            // An encoding that takes more bytes goes less far, and nobody may get what is behind that twice.
            for batch in batches.iter_mut().filter(|batch| batch.postings > taken) {
                *batch = Batch::new(batch.encoding.clone(), rest.range(..taken));
                turn.spend(batch.work()).await;
            }
            let mut delivered = 0;
            for member in self.present().filter(|member| is_one(member.id)) {
                let Some(batch) = batches.iter().find(|batch| batch.encoding.is(&member.encoding)) else { continue };
                let is_short = member.deliver(&self.name, batch, repeats, &mut delivered);
                if batch.panicked.as_ref().is_some_and(|posting| !posting.except.holds(member.id)) {
                    member.link.end(CloseReason::HandlerPanic);
                }
                // Not `spend`, whose future would be made for each member.
                if turn.is_over(CALL_BYTES + batch.bytes.len()) {
                    tokio::task::yield_now().await;
                }
                if is_short {
                    // A little that was posted may be much for all members together. Apart, since it is rare.
                    Box::pin(member.link.tick.relieved(turn)).await;
                }
            }
            if let Some(member) = self.members.first() {
                member.link.tick.counts.delivered(delivered);
            }
            silences.extend(batches.iter().filter_map(|batch| Silence::new(&batch.encoding, &batch.unsaid)));
            rest.drain(..taken);
        }
        silences
    }
}
