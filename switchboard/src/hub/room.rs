//! A named group: its members get what is published to it, all in the same order.
//!
//! Publishing takes the room's short lock: it gives the message its number, keeps it in the history, and appends one
//! entry to the inbox of each worker that has members. Joining takes the same lock and goes through the same inboxes, so
//! that it is a point in the order. The lock covers workers, never members.

mod keeping;
mod members;
mod options;
mod past;
mod sharing;

pub(super) use past::PastRead;

pub use options::{Overflow, PresenceNotices, RoomClass, RoomOptions};

use super::HubLimits;
use super::door::{self, Behind, Members, Newest, Page, Pass, Published};
use super::durable::Durable;
use super::encoding::{Encodings, MemberEncoding, Tells};
use super::fanout::Operation;
use super::holding::Holding;
use super::inbox::Inbox;
use super::log::StoredRoom;
use super::membership::JoinError;
use super::posting::{Except, MembershipId, News, Posting};
use super::presence::Presence;
use super::publication::Publication;
use super::replay::{Missed, Replay};
use super::seats::Stranger;
use super::session::SessionInner;
use super::shown::{Byline, Timeline};
use super::standing::Objection;
use crate::link::Link;
use crate::link::budget::Budget;
use crate::link::roster::Roster;
use crate::link::tick::Tick;
use crate::sync::Mutex;
use bytes::Bytes;
use options::Allowance;
use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use switchboard_proto::{Epoch, Message, MessageId, Notice, Rights, RoomName, UserName};
use tokio::time::Instant;

/// A handle to a room. Cloning is cheap; the room is kept as long as any handle exists.
#[derive(Clone)]
pub struct Room(pub(crate) Arc<RoomInner>);

pub(crate) struct RoomInner {
    pub(super) id: RoomId,
    pub(super) name: RoomName,
    /// There is a policy to ask what is done here.
    pub(super) is_governed: bool,
    pub(super) holding: Arc<Holding>,
    pub(super) state: Mutex<RoomState>,
}

/// In whose name something is published. A connection that does so may have to wait for others afterwards.
pub(super) enum Author<'a> {
    /// Nobody's: the room takes whatever it is.
    Program,
    /// This one's, or nobody's.
    Name { by: Option<Byline>, link: Option<&'a Arc<Link>> },
    /// The one that a member has then.
    Member(Speaker<'a>),
    /// Another one's, that a member passes on.
    Through { by: Byline, member: Speaker<'a> },
}

/// A member that publishes.
#[derive(Clone, Copy)]
pub(super) struct Speaker<'a> {
    pub(super) id: MembershipId,
    pub(super) link: &'a Arc<Link>,
    pub(super) echo: bool,
    /// The policy's, if there is one.
    pub(super) generation: Option<u32>,
}

/// Why somebody is no member, or not yet.
pub(super) enum Unjoined {
    /// The policy is to be asked again.
    Outdated,
    Refused(JoinError),
}

impl From<JoinError> for Unjoined {
    fn from(error: JoinError) -> Self {
        Self::Refused(error)
    }
}

/// Identifies a room's incarnation among all of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RoomId(u64);

pub(super) struct RoomState {
    options: RoomOptions,
    shown: Timeline,
    /// What waits for the log, if one keeps it.
    durable: Option<Box<Durable>>,
    /// It keeps something, and [`Holding`] knows that.
    is_keeping: bool,
    /// There was a publication since it was asked to give way.
    is_recent: bool,
    /// Members who have a name: they are listed.
    pub(super) named: Roster<MembershipId, Arc<SessionInner>>,
    /// How many others there are.
    unnamed: usize,
    /// Who they are, where there is a policy.
    pub(super) strangers: Option<Box<Roster<MembershipId, Stranger>>>,
    /// Members that were removed and have not noticed yet, where there is no policy.
    removed: BTreeSet<MembershipId>,
    /// Workers with members.
    workers: Vec<Reached>,
    emptied: Instant,
    presence: Presence,
    /// How much is published, where that is limited.
    allowance: Option<Box<Allowance>>,
}

/// A worker that has members of a room.
struct Reached {
    tick: Arc<Tick>,
    inbox: Arc<Inbox>,
    members: usize,
}

impl Reached {
    fn post(&self, entry: Operation) -> bool {
        self.inbox.post(&self.tick, entry)
    }
}

/// Unique in the process: a worker may serve several hubs.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl RoomInner {
    /// Without a name it gets one that nobody can say.
    pub(super) fn new(name: Option<RoomName>, options: RoomOptions, holding: Arc<Holding>) -> Arc<Self> {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        // The hasher's key is random, so an incarnation's name is not repeated after a restart.
        let random = RandomState::new().hash_one(id);
        Self::made(name, options, holding, Timeline::new(Epoch::new((random >> 32) as u32)), id)
    }

    /// One that a log has kept.
    pub(super) fn restored(stored: StoredRoom, options: RoomOptions, holding: Arc<Holding>) -> Arc<Self> {
        let StoredRoom { name, last, newest, .. } = stored;
        let room = Self::made(
            Some(name),
            options,
            holding,
            Timeline::behind(last, newest),
            NEXT.fetch_add(1, Ordering::Relaxed),
        );
        let mut state = room.state.lock();
        let (bytes, count) = (state.shown.bytes(), state.shown.len());
        room.kept(&mut state, count > 0, bytes.cast_signed(), 0);
        drop(state);
        room
    }

    fn made(
        name: Option<RoomName>,
        options: RoomOptions,
        holding: Arc<Holding>,
        shown: Timeline,
        id: u64,
    ) -> Arc<Self> {
        holding.counts.made(options.class);
        let durable = match (&holding.log, &name) {
            (Some(log), Some(name)) if options.durable => {
                options.tell(&**log, name);
                Some(Box::default())
            }
            _ => None,
        };
        let room = Arc::new(Self {
            id: RoomId(id),
            // Nobody comes by a name that it has not: whoever has it may do everything.
            is_governed: name.is_some() && holding.governance.is_some(),
            name: name.unwrap_or_else(|| RoomName::unnamed(id)),
            holding,
            state: Mutex::new(RoomState {
                options,
                shown,
                durable,
                is_keeping: false,
                is_recent: false,
                named: Roster::default(),
                unnamed: 0,
                strangers: None,
                removed: BTreeSet::new(),
                workers: Vec::new(),
                emptied: Instant::now(),
                presence: Presence::default(),
                allowance: None,
            }),
        });
        room.share();
        room
    }

    /// Gives `payload` its place in the order, and sends it on its way to every member but its author, unless that one wants an
    /// echo.
    ///
    /// # Errors
    /// A member may not, or it is not known whether it may: where there is no policy, and to others, none.
    pub(super) fn publish(
        self: &Arc<Self>,
        _: Pass,
        author: Author<'_>,
        payload: &[u8],
    ) -> Result<Publication, Objection> {
        // A received frame shares the memory of the read that it came with, which a history must not keep.
        let (payload, length) = (Bytes::copy_from_slice(payload), payload.len());
        let mut state = self.state.lock();
        let (by, except, link, own) = match author {
            Author::Program => (None, Except::Nobody, None, None),
            Author::Name { by, link } => {
                state.takes(length)?;
                (by, Except::without_membership(link), link, None)
            }
            Author::Through { by, member: Speaker { id, link, echo, .. } } => {
                state.takes(length)?;
                (Some(by), Except::of(id, link, echo), Some(link), Some(&link.tick))
            }
            // Its own worker a member looks at anyway.
            Author::Member(Speaker { id, link, echo, generation }) => {
                let by = state.byline(id, generation)?;
                state.takes(length)?;
                (by, Except::of(id, link, echo), Some(link), Some(&link.tick))
            }
        };
        if state.durable.is_some() {
            return self.publish_durably(state, by, payload, except, link);
        }
        let (published, behind) = self.append(&mut state, by, payload, except);
        let behind = behind.filter(|tick| own.is_none_or(|own| !Arc::ptr_eq(tick, own)));
        let waits = link.and_then(|link| Some((link, Arc::clone(behind?))));
        let class = state.options.class;
        drop(state);
        self.holding.counts.published(class);
        self.holding.trim(length);
        if let Some((link, tick)) = waits {
            link.fall_behind(tick);
        }
        Ok(Publication::shown(published))
    }

    fn append<'a>(
        self: &Arc<Self>,
        state: &'a mut RoomState,
        by: Option<Byline>,
        payload: Bytes,
        except: Except,
    ) -> (Published, Option<&'a Arc<Tick>>) {
        let message = state.shown.next(&self.name, by, payload, SystemTime::now());
        let published = Published { id: message.id, time: message.time };
        (published, self.show(state, message, except))
    }

    /// Shows everybody a message that has its number.
    #[expect(clippy::inline_always, reason = "a call of its own, and one for what it calls, is 1 % of a publication")]
    #[inline(always)]
    fn show<'a>(
        self: &Arc<Self>,
        state: &'a mut RoomState,
        message: Arc<Message>,
        except: Except,
    ) -> Option<&'a Arc<Tick>> {
        let keep = self.keep(state);
        let before = state.shown.len();
        let grown = state.shown.push(Arc::clone(&message), keep);
        self.kept(state, keep.messages > 0, grown, before);
        self.post(state, &Posting::new(News::Message(message), except))
    }

    /// Counts what has been appended, where anything is kept.
    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn kept(self: &Arc<Self>, state: &mut RoomState, is_kept: bool, grown: isize, before: usize) {
        if is_kept {
            self.holding.grow(grown);
            self.holding.counts.kept(before, state.shown.len());
            self.forget_old(state);
            state.is_recent = true;
            if !std::mem::replace(&mut state.is_keeping, true) {
                self.holding.keep(Arc::downgrade(self));
            }
        }
    }

    /// Has its history give up what `drop` takes from it, which says how many bytes that are.
    fn shrink(&self, state: &mut RoomState, drop: impl FnOnce(&mut Timeline) -> usize) {
        let before = state.shown.len();
        self.holding.grow(-drop(&mut state.shown).cast_signed());
        self.holding.counts.kept(before, state.shown.len());
    }

    /// Drops the older half of its history, unless there was a publication since it was last asked to. Says whether it still
    /// keeps something.
    pub(super) fn gives_way(&self) -> bool {
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.is_recent) {
            self.shrink(&mut state, Timeline::halve);
        }
        state.is_keeping = !state.shown.is_empty();
        state.is_keeping
    }

    /// Has `budget` count what the hub's rooms keep.
    pub(super) fn count_in(&self, budget: &Arc<Budget>) {
        self.holding.count_in(budget);
    }

    /// Posts to each worker with members. Gives one that is behind by that, if there is any.
    fn post<'a>(&self, state: &'a RoomState, posting: &Arc<Posting>) -> Option<&'a Arc<Tick>> {
        let mut behind = None;
        for worker in &state.workers {
            if worker.post(Operation::Post { room: self.id, posting: Arc::clone(posting) }) {
                behind = Some(&worker.tick);
            }
        }
        behind
    }

    /// A worker that cannot take what is published here, if there is any.
    fn behind(&self) -> Option<Arc<Tick>> {
        let state = self.state.lock();
        state.workers.iter().map(|worker| &worker.tick).find(|tick| tick.is_behind()).cloned()
    }

    /// What a member is told that knows the messages up to `since`, up to the last one there is; unless nothing tells it that some
    /// are gone: `tells` is what its encoding has words for. Whoever knows none misses none.
    fn replay(
        self: &Arc<Self>,
        state: &RoomState,
        link: &Arc<Link>,
        since: MessageId,
        encoding: Option<&MemberEncoding>,
        tells: Tells,
        rights: Rights,
    ) -> Result<Missed, JoinError> {
        let may_read = rights.contains(Rights::HISTORY);
        // Whoever cannot be told of gaps goes back as far as memory, where it is known that there are none.
        let deep = (state.is_deep() && tells.gaps).then_some(link);
        let (after, notice) = match (may_read, deep) {
            (false, _) => state.shown.unread(since, &self.name),
            (true, None) => state.shown.missed(since, &self.name),
            (true, Some(_)) => self.missed_in_log(state, since),
        };
        let mut unsaid = None;
        let is_told = match notice {
            None => true,
            Some(Notice::Reset { .. }) => tells.resets,
            Some(_) => tells.gaps,
        };
        if since.seq > 0 && !is_told {
            return Err(JoinError::Gone { since });
        }
        if may_read && !tells.gaps {
            let is_silent = |message: &&Arc<Message>| {
                encoding.is_some_and(|encoding| matches!(encoding.carries(&message.payload), Ok(false)))
            };
            let mut silent = state.shown.after(after).filter(is_silent);
            unsaid = silent.next().map(|first| (first.id.seq, 1 + silent.count() as u64));
        }
        let MessageId { epoch, seq: until } = state.shown.last();
        let is_owed = after < until && (may_read || tells.gaps);
        let replay = is_owed.then(|| {
            let behind = MessageId { epoch, seq: after };
            if let (true, Some(link)) = (may_read, deep) {
                Replay::new(self, state.shown.next_to(after), behind, until).deep(link)
            } else if may_read {
                Replay::new(self, state.shown.after(after).cloned().collect(), behind, until)
            } else {
                Replay::of_nothing(&self.name, behind, until)
            }
        });
        Ok(Missed { notice, replay, unsaid })
    }

    /// What it still keeps behind `after` up to number `until`, a piece of about `bytes`; nothing if another incarnation has begun.
    pub(super) fn draw(&self, after: MessageId, until: u64, bytes: usize) -> VecDeque<Arc<Message>> {
        let state = self.state.lock();
        let is_same = state.shown.last().epoch == after.epoch;
        if is_same { state.shown.draw(after.seq, until, bytes) } else { VecDeque::new() }
    }

    /// Has a member written to in another encoding from this point in the order on.
    pub(super) fn post_to(&self, tick: &Tick, entry: Operation) {
        let state = self.state.lock();
        state.inbox(tick).post(tick, entry);
    }

    /// How long it has had no member, if it has none.
    pub(super) fn empty_for(&self, now: Instant) -> Option<Duration> {
        let state = self.state.lock();
        (state.members_here() == 0).then(|| now.saturating_duration_since(state.emptied))
    }

    pub(crate) fn encodings(&self) -> &Encodings {
        &self.holding.encodings
    }

    pub(super) fn limits(&self) -> &HubLimits {
        &self.holding.limits
    }
}

impl RoomState {
    /// Where what is posted to the members on one worker goes.
    pub(super) fn inbox(&self, tick: &Tick) -> Arc<Inbox> {
        let known = self.workers.iter().find(|worker| std::ptr::eq(Arc::as_ptr(&worker.tick), tick));
        known.map_or_else(|| Inbox::of(tick), |worker| Arc::clone(&worker.inbox))
    }
}

impl Drop for RoomInner {
    fn drop(&mut self) {
        self.unshare();
        let RoomState { shown: log, options, .. } = self.state.get_mut();
        self.holding.counts.unmade(options.class);
        self.holding.grow(-log.bytes().cast_signed());
        self.holding.counts.kept(log.len(), 0);
    }
}

impl Room {
    /// Its name, as it was first written. An [unnamed](crate::Hub::unnamed) room has a number that no text parses as:
    /// `~7`.
    pub fn name(&self) -> &RoomName {
        &self.0.name
    }

    /// Publishes to every member, without a sender's name. Never waits for members, and fails only if the room is kept in a
    /// [log](crate::log) that cannot keep it; code that publishes for unlimited input should await [`ready`](Self::ready) first. To publish
    /// under a name, use [`Session::publish`](crate::Session::publish).
    ///
    /// A line connection that gets bare payloads, as by [`Connection::join`](crate::Connection::join), does not get
    /// payloads that contain LF or CR, not even at the end: a line cannot carry them, and such a member cannot be told
    /// of a gap. Payloads are bytes: a WebSocket message is text to others if it is UTF-8.
    pub fn publish(&self, payload: impl AsRef<[u8]>) -> Publication {
        door::announce(self, payload.as_ref())
    }

    /// Waits while a worker is behind in delivering what was published here, or while connections hold more memory than
    /// allowed. Anything published meanwhile waits in memory, and is lost to members if there is too much of it.
    /// Members' connections wait like this in [`recv`](crate::Connection::recv); this is for other publishers. Slow
    /// members are not waited for.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ready(&self) {
        while let Some(tick) = self.0.behind() {
            tick.caught_up().await;
        }
    }

    /// Whether [`ready`](Self::ready) would not wait.
    pub fn is_ready(&self) -> bool {
        self.0.behind().is_none()
    }

    /// The class that it is counted in, as its [options](RoomOptions) say.
    pub fn class(&self) -> Option<RoomClass> {
        self.0.state.lock().options.class
    }

    /// How many members it has, including those without a name; on all nodes, as far as those have told.
    pub fn member_count(&self) -> usize {
        self.0.state.lock().member_count()
    }

    /// The names of at most `limit` members after the first `skip`, in the order in which they joined.
    pub fn members(&self, skip: usize, limit: usize) -> Vec<UserName> {
        door::list(Members { room: &self.0, skip, limit })
    }

    /// The last `count` messages that it keeps, oldest first.
    pub fn history(&self, count: usize) -> Vec<Arc<Message>> {
        door::list(Newest { room: &self.0, count })
    }

    /// What was missed after `since`: a notice, if some of it is gone, and the messages that the room still keeps.
    pub fn since(&self, since: MessageId) -> Page {
        self.page(since, usize::MAX)
    }

    /// Like [`since`](Self::since), but at most `limit` messages; pass the last one's id for the next page. A slow
    /// reader of pages does not keep messages alive: some may be gone by the next page, and its notice says so.
    ///
    /// ```
    /// # use switchboard::Hub;
    /// # let room = Hub::new().room("lobby").unwrap();
    /// # for number in 1..=5 { room.publish(number.to_string()); }
    /// let mut at = room.before_last(4);
    /// let mut numbers = Vec::new();
    /// loop {
    ///     let page = room.page(at, 3);
    ///     assert_eq!(page.notice, None);
    ///     let Some(last) = page.messages.last() else { break };
    ///     at = last.id;
    ///     numbers.extend(page.messages.iter().map(|message| message.id.seq));
    /// }
    /// assert_eq!(numbers, [2, 3, 4, 5]);
    /// ```
    pub fn page(&self, since: MessageId, limit: usize) -> Page {
        door::list(Behind { room: &self.0, since, limit })
    }

    /// The point before the last `count` messages that it keeps; [`page`](Self::page) gets them from there.
    pub fn before_last(&self, count: usize) -> MessageId {
        let mut state = self.0.state.lock();
        self.0.forget_old(&mut state);
        state.shown.before_newest(count)
    }

    /// The id of its last message, to resume from.
    pub fn last_id(&self) -> MessageId {
        self.0.state.lock().shown.last()
    }
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Room").field(&self.0.name).finish()
    }
}
