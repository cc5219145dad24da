//! All rooms of a node, and everybody in them.
//!
//! The hub knows no sockets and no workers: a member brings its link, and the link brings the tick of its worker.
//!
//! Lock order: the hub's maps, a room, a worker's inbox; or a link, then a tick's dirty list, or a room whose past it is told.
//! Nothing is taken behind the last of each, and no room's lock is held while a link's is taken.

mod batch;
pub(crate) mod building;
mod claiming;
pub(crate) mod counts;
mod deliver;
pub(crate) mod door;
mod durable;
pub(crate) mod elsewhere;
pub(crate) mod encoding;
mod fanout;
mod faraway;
mod history;
mod holding;
mod inbox;
pub(crate) mod listing;
pub(crate) mod log;
pub(crate) mod membership;
mod names;
mod naming;
pub(crate) mod policy;
mod posting;
mod presence;
pub(crate) mod publication;
mod repeats;
mod replay;
mod review;
pub(crate) mod room;
mod seats;
pub(crate) mod session;
mod shown;
mod standing;
mod unsaid;
mod waiting;

use crate::link::Link;
use crate::link::budget::Budget;
use crate::sync::Mutex;
use bytes::Bytes;
use door::{Pass, RoomList};
use encoding::{Encodings, MemberEncoding};
use holding::Holding;
use log::StoredRoom;
use names::Names;
use policy::{Governance, Policy};
use room::{Room, RoomInner, RoomOptions};
use session::{NameRefused, Session, SessionInner};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use switchboard_proto::{Format, MessageId, NameError, RoomName, RoomSummary, UserName};
use tokio::time::Instant;

/// A room without members is kept this long, with its history, for members who return.
const EMPTY_ROOM_STAYS: Duration = Duration::from_mins(10);

/// Between the beginnings of two searches for rooms that have been empty for too long.
const PURGE_INTERVAL: Duration = Duration::from_mins(1);

/// Rooms that may be asleep for each that may be awake: about 100 bytes each.
const ASLEEP_FOR_EACH: usize = 10;

/// Rooms that are looked at together: 100,000 at once would hold up everybody for 20 ms.
const PURGED_TOGETHER: usize = 64;

/// How much a hub holds.
#[derive(Debug, Clone)]
pub struct HubLimits {
    /// Rooms. At the limit no new one is created ([`RoomError::TooManyRooms`]). Default 100,000.
    pub rooms: usize,
    /// Rooms that one connection may be in. At the limit it cannot join another
    /// ([`JoinError::TooManyRooms`](crate::JoinError)). Default 128.
    pub rooms_per_connection: usize,
    /// Messages that one room keeps. At the limit the oldest are dropped. Default 256.
    pub history_messages: usize,
    /// Bytes that one room keeps: payloads, and about 200 bytes of overhead per message. At the limit the oldest
    /// messages are dropped. Default 256 KiB.
    pub history_bytes: usize,
    /// Bytes that all rooms keep together. At the limit the room that has been quiet longest (roughly) drops the older
    /// half of its history. Default 256 MiB, and at most half of the server's [`Limits::memory_bytes`](crate::Limits),
    /// which counts histories too; there they give way before any connection does.
    pub all_history_bytes: usize,
}

impl Default for HubLimits {
    fn default() -> Self {
        Self {
            rooms: 100_000,
            rooms_per_connection: 128,
            history_messages: 256,
            history_bytes: 256 << 10,
            all_history_bytes: 256 << 20,
        }
    }
}

/// Why a room was not found or created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoomError {
    /// The text is not a room's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The hub already has the most rooms allowed.
    #[error("limit on rooms reached: {limit}")]
    TooManyRooms {
        /// The limit.
        limit: usize,
    },
    /// There is none, and the hub's policy does not let this session create it.
    #[error("there is no such room")]
    NoSuchRoom,
    /// The hub's policy lets this session do nothing there, whether or not the room exists.
    #[error("no right to do this")]
    NotAllowed,
}

/// All rooms, and the names of everybody in them. Cloning shares them.
///
/// A hub belongs to no server: several servers can share one, and the program can publish without any.
#[derive(Clone)]
pub struct Hub(Arc<HubInner>);

pub(crate) struct HubInner {
    rooms: Mutex<BTreeMap<RoomName, Arc<RoomInner>>>,
    /// Rooms that the log keeps and that nobody has been in for long: the last message of each. They wake when somebody asks for them.
    asleep: Mutex<BTreeMap<RoomName, MessageId>>,
    names: Mutex<Names>,
    next_guest: AtomicU64,
    purge: Mutex<Purge>,
    holding: Arc<Holding>,
    /// What is set of rooms by their names, if anything is.
    options: Mutex<Option<OptionsByName>>,
}

type OptionsByName = Arc<dyn Fn(&RoomName) -> RoomOptions + Send + Sync>;

/// A search for rooms that have been empty for too long, a few at a time.
#[derive(Default)]
struct Purge {
    began: Option<Instant>,
    /// How far it is, until it is through.
    behind: Option<RoomName>,
}

impl Hub {
    /// A hub without rooms, with the default limits.
    pub fn new() -> Self {
        Self::with_limits(HubLimits::default())
    }

    /// A hub with limits of its own.
    pub fn with_limits(limits: HubLimits) -> Self {
        Self::of(Holding::new(limits, None, None))
    }

    /// A hub whose sessions and members may do what `policy` allows.
    pub fn with_policy(limits: HubLimits, policy: Arc<dyn Policy>) -> Self {
        Self::of(Holding::new(limits, Some(Governance::new(policy)), None))
    }

    fn of(holding: Arc<Holding>) -> Self {
        let (rooms, asleep, names, next_guest, purge, options) = Default::default();
        Self(Arc::new(HubInner { rooms, asleep, names, next_guest, purge, holding, options }))
    }

    /// Whether its rooms may be shared with other processes: then await [`Room::opened`] before joining or reading one.
    pub fn is_shared(&self) -> bool {
        self.0.holding.log.as_ref().is_some_and(|log| log.shared().is_some())
    }

    /// Its policy, if it has one.
    pub fn policy(&self) -> Option<&Arc<dyn Policy>> {
        self.governance().map(Governance::policy)
    }

    /// Takes the options of every room that has a name from `options`, instead of those it was or will be created with. Existing rooms
    /// follow at once: what they keep, and the overflow policy and notices of those who join from now on. `options` is called under the lock
    /// of all rooms, so it must be quick and must not use the hub.
    ///
    /// ```
    /// # use switchboard::{Hub, Overflow, RoomOptions};
    /// let hub = Hub::new();
    /// hub.set_room_options(|name| match name.as_str() {
    ///     "sensors" => RoomOptions { overflow: Overflow::Latest, history_messages: Some(1), ..RoomOptions::default() },
    ///     _ => RoomOptions::default(),
    /// });
    /// let sensors = hub.room("sensors")?;
    /// sensors.publish("21.5");
    /// sensors.publish("21.6");
    /// assert_eq!(sensors.history(10).len(), 1);
    /// # Ok::<(), switchboard::BoxError>(())
    /// ```
    pub fn set_room_options(&self, options: impl Fn(&RoomName) -> RoomOptions + Send + Sync + 'static) {
        use std::ops::Bound::{Excluded, Unbounded};
        let options: OptionsByName = Arc::new(options);
        *self.0.options.lock() = Some(Arc::clone(&options));
        let mut behind: Option<RoomName> = None;
        loop {
            // A few at a time, as for those that are over: others wait for this lock.
            let rooms = self.0.rooms.lock();
            let from = behind.as_ref().map_or(Unbounded, Excluded);
            let some = rooms.range::<RoomName, _>((from, Unbounded)).take(PURGED_TOGETHER);
            let some: Vec<_> = some.map(|(name, room)| (name.clone(), Arc::clone(room))).collect();
            drop(rooms);
            for (name, room) in &some {
                room.set_options(options(name));
            }
            let Some((last, _)) = some.last().cloned() else { return };
            behind = Some(last);
        }
    }

    /// The room of that name; creates it if it does not exist.
    ///
    /// A room exists while it has members or somebody holds a [`Room`], and for 10 minutes after; one that a [log](crate::log) keeps, for
    /// as long as the log has anything of it.
    ///
    /// # Errors
    /// `name` is not a valid room name, or the limit on rooms is reached.
    pub fn room(&self, name: &str) -> Result<Room, RoomError> {
        self.room_with(&RoomName::parse(name)?, RoomOptions::default())
    }

    /// The room of that name; creates it with `options` if it does not exist.
    ///
    /// # Errors
    /// The limit on rooms is reached.
    pub fn room_with(&self, name: &RoomName, options: RoomOptions) -> Result<Room, RoomError> {
        door::make(None, self, name, options)
    }

    /// The room of that name, if it exists.
    pub fn find(&self, name: &RoomName) -> Option<Room> {
        door::find(None, self, name)
    }

    /// A new room without a name, which nobody can join by name and no list shows: for a lobby, a topic within a
    /// program, or the watchers of a key. It is gone, with its history, once the last [`Room`] and the last member are.
    /// It does not count towards [`HubLimits::rooms`], and takes about 500 bytes until something is published.
    ///
    /// ```
    /// # use switchboard::{Hub, Overflow, PresenceNotices, RoomOptions};
    /// let hub = Hub::new();
    /// let quiet = RoomOptions { presence: PresenceNotices::Off, ..RoomOptions::default() };
    /// let game = hub.unnamed(RoomOptions { overflow: Overflow::Latest, ..quiet });
    /// game.publish("tick 1");
    /// assert_eq!(hub.rooms(None, 10).total, 0);
    /// ```
    pub fn unnamed(&self, options: RoomOptions) -> Room {
        Room(RoomInner::new(None, options, Arc::clone(&self.0.holding)))
    }

    /// At most `limit` rooms after `after`, by name, with their numbers of members; and how many rooms there are in
    /// total.
    pub fn rooms(&self, after: Option<&RoomName>, limit: usize) -> RoomList {
        door::rooms(None, self, after, limit)
    }

    /// Whether the name is taken now.
    pub fn has(&self, name: &UserName) -> bool {
        self.0.names.lock().get(name).is_some()
    }

    /// Closes the connection with that name ([`Closed`](crate::CloseReason::Closed)). Returns whether there was one.
    pub fn close(&self, name: &UserName) -> bool {
        self.0.called(name).is_some_and(|session| session.close(None))
    }

    /// Like [`close`](Self::close), but first sends the peer `word`, after what is already queued for it: in its
    /// format, as [`Session::tell`] does, from `server`. A peer that does not read, or whose encoding cannot express
    /// it, is closed without it.
    ///
    /// ```
    /// # use switchboard::{Hub, UserName};
    /// # fn kick(hub: &Hub, name: UserName) {
    /// hub.close_with(&name, "an operator removed you");
    /// # }
    /// ```
    pub fn close_with(&self, name: &UserName, word: impl Into<Bytes>) -> bool {
        self.0.called(name).is_some_and(|session| session.close(Some(word.into())))
    }

    /// Removes the connection with that name from `room`. It is told so, after everything that was published before, and stays connected unless
    /// it is there for this room alone ([`Join::alone`](crate::Join)). It may join again, if it has the right to. Returns whether it was a member.
    pub fn remove_member(&self, room: &Room, name: &UserName) -> bool {
        self.0.called(name).is_some_and(|session| door::expel(room, &session))
    }

    /// A session without a connection, named `name`: for the sender of a request or a datagram, or for the program
    /// itself, to publish under that name. It cannot join rooms, and does not reserve the name: a connection may take
    /// it meanwhile.
    ///
    /// ```
    /// # use switchboard::{Format, Hub, UserName};
    /// let hub = Hub::new();
    /// let (room, clock) = (hub.room("lobby")?, hub.session(UserName::parse("clock")?, Format::Text)?);
    /// clock.publish(&room, "it is noon")?;
    /// # Ok::<(), switchboard::BoxError>(())
    /// ```
    ///
    /// # Errors
    /// Somebody has the name, it is a guest's, or the hub's policy reserves it for somebody who has to present a credential.
    pub fn session(&self, name: UserName, format: Format) -> Result<Session, NameRefused> {
        if name.guest_number().is_some() || !self.may_be_named(None, &name) {
            Err(NameRefused::Reserved(name))
        } else if !self.0.names.lock().is_free(&name) {
            Err(NameRefused::Taken(name))
        } else {
            Ok(Session::unlinked(self.clone(), name, format))
        }
    }

    fn made(&self, _: Pass, name: &RoomName, options: RoomOptions) -> Result<Room, RoomError> {
        self.purge();
        let mut rooms = self.0.rooms.lock();
        if let Some(room) = rooms.get(name) {
            return Ok(Room(Arc::clone(room)));
        }
        if let Some(room) = self.woken(&mut rooms, name, options) {
            return Ok(room);
        }
        let limit = self.0.holding.limits.rooms;
        if rooms.len() >= limit || self.0.asleep.lock().len() >= ASLEEP_FOR_EACH.saturating_mul(limit) {
            return Err(RoomError::TooManyRooms { limit });
        }
        let room = RoomInner::new(Some(name.clone()), self.options_of(name, options), Arc::clone(&self.0.holding));
        rooms.insert(name.clone(), Arc::clone(&room));
        Ok(Room(room))
    }

    fn options_of(&self, name: &RoomName, given: RoomOptions) -> RoomOptions {
        let by_name = self.0.options.lock().clone();
        by_name.map_or(given, |by_name| by_name(name))
    }

    /// The room of that name, if it was asleep: it goes on behind its last message, and what the log has of it is its past.
    fn woken(
        &self,
        rooms: &mut BTreeMap<RoomName, Arc<RoomInner>>,
        name: &RoomName,
        options: RoomOptions,
    ) -> Option<Room> {
        let (name, last) = self.0.asleep.lock().remove_entry(name)?;
        let stored = StoredRoom { name: name.clone(), last, first: 1, newest: Vec::new() };
        let options = RoomOptions { durable: true, ..self.options_of(&name, options) };
        let room = RoomInner::restored(stored, options, Arc::clone(&self.0.holding));
        rooms.insert(name, Arc::clone(&room));
        Some(Room(room))
    }

    fn found(&self, pass: Pass, name: &RoomName) -> Option<Room> {
        let mut rooms = self.0.rooms.lock();
        let room = rooms.get(name).cloned().map(Room);
        let room = room.or_else(|| self.woken(&mut rooms, name, RoomOptions::default()));
        drop(rooms);
        // Another node's is opened here.
        let is_elsewhere =
            room.is_none() && self.elsewhere().is_some_and(|elsewhere| elsewhere.members(name).is_some());
        if is_elsewhere { self.made(pass, name, RoomOptions::default()).ok() } else { room }
    }

    /// At most `limit` of them, and how many there are; those of other nodes too.
    fn listed(&self, _: Pass, after: Option<&RoomName>, limit: usize) -> (Vec<RoomSummary>, usize) {
        use std::ops::Bound::{Excluded, Unbounded};
        self.purge();
        let rooms = self.0.rooms.lock();
        let from = after.map_or(Unbounded, Excluded);
        let behind = rooms.range::<RoomName, _>((from, Unbounded)).take(limit);
        let (here, count) = (behind.map(|(_, room)| Room(Arc::clone(room))).collect::<Vec<_>>(), rooms.len());
        drop(rooms);
        (self.summaries(&here, after, limit), self.room_count(count))
    }

    /// Forgets rooms that have been empty for too long: looks at a few more, and at none twice within a minute.
    fn purge(&self) {
        use std::ops::Bound::{Excluded, Unbounded};
        let now = Instant::now();
        let mut purge = self.0.purge.lock();
        if purge.behind.is_none() {
            if purge.began.is_some_and(|began| now - began < PURGE_INTERVAL) {
                return;
            }
            purge.began = Some(now);
            self.0.holding.purge();
        }
        let mut rooms = self.0.rooms.lock();
        let from = purge.behind.as_ref().map_or(Unbounded, Excluded);
        let looked: Vec<_> = rooms.range::<RoomName, _>((from, Unbounded)).take(PURGED_TOGETHER).collect();
        for (_, room) in &looked {
            room.grow_older();
        }
        let last = looked.last().filter(|_| looked.len() == PURGED_TOGETHER).map(|(name, _)| (*name).clone());
        // Anybody else who holds it may still publish to it.
        let is_over = |room: &&Arc<RoomInner>| {
            Arc::strong_count(room) == 1 && room.empty_for(now).is_some_and(|empty| empty >= EMPTY_ROOM_STAYS)
        };
        let over: Vec<RoomName> =
            looked.into_iter().filter(|(_, room)| is_over(room)).map(|(name, _)| name.clone()).collect();
        purge.behind = last;
        for name in over {
            if let Some(last) = rooms.remove(&name).and_then(|room| room.sleeps()) {
                self.0.asleep.lock().insert(name, last);
            }
        }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hub")
    }
}

impl HubInner {
    /// Enters whom `session` makes of the next number as the guest of that number.
    pub(crate) fn enter_guest(&self, session: impl FnOnce(u64) -> Arc<SessionInner>) -> Arc<SessionInner> {
        let number = self.next_guest();
        let session = session(number);
        self.names.lock().enter_guest(number, Arc::clone(&session));
        session
    }

    /// Whoever has this name now.
    pub(crate) fn called(&self, name: &UserName) -> Option<Arc<SessionInner>> {
        self.names.lock().get(name).cloned()
    }
}

impl Hub {
    /// Has `budget` count what the rooms keep.
    pub(crate) fn count_in(&self, budget: &Arc<Budget>) {
        self.0.holding.count_in(budget);
    }

    fn governance(&self) -> Option<&Governance> {
        self.0.holding.governance.as_ref()
    }

    pub(crate) fn encodings(&self) -> &Encodings {
        &self.0.holding.encodings
    }

    /// Enters a connection under a name of its own: `guest-N`.
    pub(crate) fn identify(&self, link: &Arc<Link>, encoding: MemberEncoding) -> Session {
        self.count_in(&link.tick.budget);
        Session::of_link(self.clone(), Arc::clone(link), encoding)
    }
}
