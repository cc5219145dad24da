//! A participant in rooms: a principal, a name, an encoding, and a connection if it has one.
//!
//! Everything it does goes through the doors (`door.rs`).

use super::door::{self, Behind, Members, Newest, Page, Participant, Pass, Past, Publisher, RoomList};
use super::encoding::MemberEncoding;
use super::fanout::Operation;
use super::inbox::Inbox;
use super::log::{LogError, PageLimit};
use super::membership::{Join, JoinError, Membership, PublishError};
use super::policy::{NotAllowed, Principal, Ruling};
use super::posting::{Encoded, MembershipId};
use super::publication::Publication;
use super::room::{Room, RoomInner, RoomOptions};
use super::shown::Byline;
use super::standing::{Objection, Seat, Settled, Standing};
use super::{Hub, RoomError};
use crate::link::{Called, ConnectionId, Link, TimeLeft, Undeliverable};
use crate::sync::Mutex;
use bytes::Bytes;
use std::sync::{Arc, Weak};
use std::time::SystemTime;
use switchboard_proto::{CloseReason, Format, Message, MessageId, NameSecret, Notice, Rights, RoomName, UserName};

/// A number that no connection has: all who say something to one person without a connection count as one.
const UNLINKED: ConnectionId = ConnectionId(0);

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameRefused {
    /// Somebody else has it now.
    #[error("name {0} is taken")]
    Taken(UserName),
    /// It is reserved, whether or not anybody has it now: for a guest or the server, or, by the hub's policy, for somebody who has to present
    /// a credential.
    #[error("name {0} is reserved")]
    Reserved(UserName),
    /// Nobody can say now whether somebody on another node has it.
    #[error("it is not known now whether name {0} is taken")]
    Unavailable(UserName),
}

/// Why a private message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TellError {
    /// Nobody has that name.
    #[error("no one is named {0}")]
    NoSuchMember(UserName),
    /// The recipient does not read what it is sent.
    #[error("{0} cannot receive more right now")]
    Full(UserName),
    /// The hub's policy says no, whether or not anybody has that name.
    #[error("no right to send {0} a private message")]
    NotAllowed(UserName),
    /// The recipient's protocol cannot carry it: it is on a line transport and gets raw payloads, and this payload
    /// holds a line end; or it has an encoding of its own, which cannot express it.
    #[error("{0} can only be sent a single line")]
    Uncarried(UserName),
    /// The node that the recipient is on does not answer: it may have been told or not.
    #[error("the node of {0} does not answer now")]
    Unavailable(UserName),
}

/// A participant in rooms, until it is dropped: a connection ([`Hub::enter`]), or somebody without one
/// ([`Hub::session`]).
///
/// Everything it does in rooms goes through this, in the same way on every transport. A connection has its name as long
/// as it has a session; memberships made by the session keep the name.
pub struct Session(pub(super) Arc<SessionInner>);

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Session").field(&self.name()).finish()
    }
}

/// A session as others in the hub know it.
pub(crate) struct SessionInner {
    hub: Hub,
    /// What is said to it goes here, if it has a connection.
    link: Option<Arc<Link>>,
    state: Mutex<SessionState>,
}

struct SessionState {
    name: Name,
    encoding: MemberEncoding,
    /// Boxed, since most hubs have no policy; none is nobody in particular.
    standing: Option<Box<Standing>>,
}

impl SessionState {
    fn new(name: Name, encoding: MemberEncoding) -> Mutex<Self> {
        Mutex::new(Self { name, encoding, standing: None })
    }

    #[inline]
    fn byline(&mut self) -> Byline {
        let user = self.owner().cloned();
        Byline { from: self.name.spoken(), user }
    }

    /// What its principal is called.
    #[inline]
    fn owner(&self) -> Option<&UserName> {
        self.standing.as_ref()?.principal.as_ref()?.name()
    }
}

enum Name {
    /// By its number, which is made a name when somebody asks: most of those who only listen are guests for good.
    Guest(u64),
    /// Its principal's with a number, the same for as long as it says nothing.
    Numbered(UserName, u32),
    Chosen(UserName),
}

impl Name {
    /// One that `owner`'s connection takes.
    fn of(name: UserName, owner: Option<&UserName>) -> Self {
        if let Some(number) = name.guest_number() {
            return Self::Guest(number);
        }
        if let Some(owner) = owner
            && let Some((start, number)) = name.owner_and_number()
            // As that session wrote it.
            && start.as_str() == owner.as_str()
            && let Ok(number) = number.try_into()
        {
            return Self::Numbered(owner.clone(), number);
        }
        Self::Chosen(name)
    }

    fn name(&self) -> UserName {
        match self {
            Self::Guest(number) => UserName::guest(*number),
            Self::Numbered(owner, number) => {
                let Some(name) = owner.numbered(u64::from(*number)) else { unreachable!("it was a name") };
                name
            }
            Self::Chosen(name) => name.clone(),
        }
    }

    /// By which it says something, and probably will again.
    #[inline]
    fn spoken(&mut self) -> UserName {
        if let Self::Numbered(..) = self {
            *self = Self::Chosen(self.name());
        }
        self.name()
    }
}

impl SessionInner {
    pub(super) fn name(&self) -> UserName {
        self.state.lock().name.name()
    }

    /// What its messages say of it.
    pub(super) fn byline(&self) -> Byline {
        self.state.lock().byline()
    }

    /// Returns the name until now.
    pub(super) fn take_name(&self, to: UserName) -> UserName {
        let mut state = self.state.lock();
        let to = Name::of(to, state.owner());
        std::mem::replace(&mut state.name, to).name()
    }

    /// Has its name kept for whoever tells `secret`.
    pub(super) fn keep_by(&self, secret: Option<NameSecret>) {
        let mut state = self.state.lock();
        if secret.is_some() || state.standing.is_some() {
            state.standing.get_or_insert_default().keep_by(secret);
        }
    }

    pub(super) fn is_kept_by(&self, secret: NameSecret) -> bool {
        self.state.lock().standing.as_ref().and_then(|standing| standing.secret()) == Some(secret)
    }

    /// Another one has taken its name over, which was `from` until now: it is told, and so are the rooms that it is in.
    pub(super) fn displaced(&self, by: &Self, from: &UserName) {
        self.keep_by(None);
        let Some(link) = &self.link else { return };
        match self.encoding().notice(&Notice::Named { name: self.name() }) {
            // Who does not read is not told.
            Encoded::Frame(frame) => _ = by.send_to(link, frame),
            Encoded::Silent => {}
            Encoded::Panicked => link.end(CloseReason::HandlerPanic),
        }
        let seats = self.state.lock().standing.as_mut().map(|standing| standing.seats());
        for (room, id) in seats.unwrap_or_default() {
            if let Some(room) = room.upgrade() {
                room.renamed(id, from.clone(), &link.tick);
            }
        }
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Where things are delivered to it, if it has a connection.
    pub(super) fn link(&self) -> Option<&Arc<Link>> {
        self.link.as_ref()
    }

    pub(super) fn encoding(&self) -> MemberEncoding {
        self.state.lock().encoding.clone()
    }
}

/// What it may do, as the doors and the rooms that it is in have found out.
impl SessionInner {
    /// None is nobody in particular.
    pub(super) fn principal(&self) -> Option<Arc<Principal>> {
        self.state.lock().standing.as_ref()?.principal.clone()
    }

    /// Is shown to be `principal`; what it may do where it is a member is asked for again.
    fn show(self: &Arc<Self>, principal: Arc<Principal>) {
        let expires = principal.expires();
        let mut state = self.state.lock();
        let was_somebody = state.owner().is_some();
        let seats = state.standing.get_or_insert_default().show(principal);
        if self.link.is_some() {
            self.hub.0.holding.counts.shown(was_somebody, state.owner().is_some());
        }
        drop(state);
        reconsider(seats);
        self.expire_at(expires);
        // Behind it all: a review finds this principal, or its change is found here.
        door::check_standing(self);
    }

    /// Whether it is shown to be somebody by this very value.
    pub(super) fn is_shown_by(&self, principal: &Arc<Principal>) -> bool {
        self.principal().is_some_and(|shown| Arc::ptr_eq(&shown, principal))
    }

    /// Is shown to be what `principal` has become, unless it is meanwhile shown to be another one.
    pub(super) fn update(self: &Arc<Self>, principal: &Arc<Principal>, updated: &Arc<Principal>) {
        let mut state = self.state.lock();
        let Some(standing) = &mut state.standing else { return };
        if !standing.principal.as_ref().is_some_and(|shown| Arc::ptr_eq(shown, principal)) {
            return;
        }
        let seats = standing.show(Arc::clone(updated));
        drop(state);
        reconsider(seats);
        if updated.expires() != principal.expires() {
            self.expire_at(updated.expires());
        }
    }

    fn expire_at(self: &Arc<Self>, end: Option<SystemTime>) {
        let Some(link) = &self.link else { return };
        link.ends_at(end);
        // Behind it: whoever watches already looks at it from now on.
        if end.is_some() && link.watch() {
            Inbox::of(&link.tick).watch(Arc::downgrade(self));
        }
    }

    /// What it is shown by is taken back.
    pub(super) fn revoke(&self) {
        if let Some(link) = &self.link {
            link.end(CloseReason::Revoked);
        }
    }

    /// Takes a seat, unless it is meanwhile shown to be another one than the ruling is about.
    pub(super) fn sit(&self, ruling: &Ruling, seat: Seat) -> Result<(), Objection> {
        let mut state = self.state.lock();
        let standing = state.standing.get_or_insert_default();
        if !ruling.is_of(standing.principal.as_ref()) {
            return Err(Objection::Outdated);
        }
        standing.sit(seat);
        Ok(())
    }

    /// Notes a seat in a room that nobody is asked about, if it may lose its name to another connection.
    pub(super) fn sit_unasked(&self, id: MembershipId, room: &Arc<RoomInner>) {
        if let Some(standing) = &mut self.state.lock().standing
            && (standing.secret().is_some() || standing.principal.is_some())
        {
            standing.sit_unasked(id, room);
        }
    }

    pub(super) fn rise(&self, id: MembershipId) {
        if let Some(standing) = &mut self.state.lock().standing {
            standing.rise(id);
        }
    }

    /// What a membership of its may do.
    pub(super) fn rights(&self, id: MembershipId, generation: u32) -> Result<Rights, Objection> {
        self.state.lock().standing.as_mut().ok_or(Objection::Gone)?.seat(id)?.rights(generation)
    }

    /// What the messages of a membership say of it, which may publish if the policy was asked in its `generation`. There always is
    /// something: with a policy and without, it is written where the message has it, which saves 20 instructions of 60.
    #[inline]
    pub(super) fn byline_of(&self, id: MembershipId, generation: Option<u32>) -> Result<Option<Byline>, Objection> {
        let mut state = self.state.lock();
        if let Some(generation) = generation {
            let rights = state.standing.as_mut().ok_or(Objection::Gone)?.seat(id)?.rights(generation)?;
            if !rights.contains(Rights::PUBLISH) {
                return Err(Objection::Refused);
            }
        }
        Ok(Some(state.byline()))
    }

    /// Takes an answer about a membership of its.
    pub(super) fn settle(&self, id: MembershipId, ruling: &Ruling) -> Result<Settled, Objection> {
        let mut state = self.state.lock();
        let standing = state.standing.as_mut().ok_or(Objection::Gone)?;
        if !ruling.is_of(standing.principal.as_ref()) {
            return Ok(Settled::Mistaken);
        }
        Ok(standing.seat(id)?.settle(ruling))
    }
}

/// Has what may be done in these seats asked again.
fn reconsider(seats: Vec<(Weak<RoomInner>, MembershipId)>) {
    for (room, id) in seats {
        if let Some(room) = room.upgrade() {
            door::reconsider(&room, id);
        }
    }
}

impl Session {
    /// A connection, entered as a guest.
    pub(super) fn of_link(hub: Hub, link: Arc<Link>, encoding: MemberEncoding) -> Self {
        let entered = Arc::clone(&hub.0);
        let session = entered.enter_guest(|number| {
            let state = SessionState::new(Name::Guest(number), encoding);
            Arc::new(SessionInner { hub, link: Some(link), state })
        });
        Self(session)
    }

    /// Somebody without a connection, called by a name that is free.
    pub(super) fn unlinked(hub: Hub, name: UserName, format: Format) -> Self {
        let state = SessionState::new(Name::Chosen(name), MemberEncoding::unlinked(format));
        Self(Arc::new(SessionInner { hub, link: None, state }))
    }

    /// Its principal: anonymous until it is [authorized](Self::authorize).
    pub fn principal(&self) -> Arc<Principal> {
        self.0.principal().unwrap_or_default()
    }

    /// Makes `principal` its principal, until that [expires](Principal::expires), as with [`expire_at`](Self::expire_at). Its rights in the rooms
    /// that it is in follow at once. If the policy says that `principal` is not [valid](crate::policy::Policy::stands) any more, the connection
    /// is closed ([`Revoked`](CloseReason::Revoked)).
    ///
    /// It takes the principal's name, or `NAME.2`, `NAME.3`, … while other connections of the principal have the ones before. If its name
    /// belongs to the principal already, or the new one would be too long, it keeps its name. Returns the previous name, if it changed:
    /// tell each room by [`Membership::renamed`].
    pub fn authorize(&self, principal: Arc<Principal>) -> Option<UserName> {
        self.0.show(principal);
        self.0.hub.name_as_shown(&self.0)
    }

    /// Its current name; a connection's is `guest-N` at first.
    pub fn name(&self) -> UserName {
        self.0.name()
    }

    /// The format of what is published and of answers. `Raw` if it has an encoding of its own.
    pub fn format(&self) -> Format {
        self.0.encoding().format()
    }

    /// Takes another name, and returns the previous one. To tell a room, use [`Membership::renamed`].
    ///
    /// If another connection of the same principal has it, that one gets `NAME.2` or so instead. It is told so, and so are its rooms.
    ///
    /// # Errors
    /// Somebody else has it, it is reserved for guests or the server, or the policy reserves it for somebody else.
    pub fn rename(&self, to: UserName) -> Result<UserName, NameRefused> {
        self.0.hub.rename(&self.0, &to, None)
    }

    /// Like [`rename`](Self::rename), but also takes the name over from a connection that took it with the same `secret`: for a client that
    /// reconnects before the server knows that its last connection is lost. That one becomes a guest again, and is told so.
    ///
    /// # Errors
    /// As for [`rename`](Self::rename); also if somebody has it with another secret, or without one.
    pub fn rename_by(&self, to: UserName, secret: NameSecret) -> Result<UserName, NameRefused> {
        self.0.hub.rename(&self.0, &to, Some(secret))
    }

    /// Changes the format of memberships made from now on, unless it has an encoding of its own. To change an existing
    /// one, use [`Membership::set_format`].
    pub fn set_format(&self, format: Format) {
        self.0.state.lock().encoding.set_format(format);
    }

    /// Ends its connection at `end` ([`Expired`](CloseReason::Expired)), when its credential ends; `None` cancels that. As
    /// [`Connection::expire_at`](crate::Connection::expire_at), and the peer is warned a minute before ([`Notice::Expiring`]), once for each call.
    pub fn expire_at(&self, end: Option<SystemTime>) {
        self.0.expire_at(end);
    }

    /// The room of that name, if there is one in which it may do anything.
    pub fn find(&self, name: &RoomName) -> Option<Room> {
        door::find(Some(&self.0), &self.0.hub, name)
    }

    /// The room of that name; creates it if it does not exist.
    ///
    /// # Errors
    /// The limit on rooms is reached, it has no right there, or it may not create the room.
    pub fn room(&self, name: &RoomName) -> Result<Room, RoomError> {
        door::make(Some(&self.0), &self.0.hub, name, RoomOptions::default())
    }

    /// Joins `room`.
    ///
    /// # Errors
    /// It lacks the right, has no connection, or is in the most rooms allowed; or some messages after [`Join::since`] are gone, and it gets raw
    /// payloads, which cannot say so.
    pub fn join(&self, room: &Room, join: Join) -> Result<Membership, JoinError> {
        door::join(&Participant::Session(&self.0), room, join)
    }

    /// Publishes `payload` to every member of `room` under this session's name, without being a member. Never waits;
    /// code that publishes unlimited input without a connection should await [`Room::ready`] first. Members publish
    /// through their [`Membership`].
    ///
    /// # Errors
    /// It lacks the right, in a hub with a policy, or its connection has expired; `payload` is too long for the room, or too much is published
    /// there; or too much waits for the room's log.
    pub fn publish(&self, room: &Room, payload: impl AsRef<[u8]>) -> Result<Publication, PublishError> {
        door::publish(Publisher::Session(&self.0), room, payload.as_ref())
    }

    /// As [`Hub::rooms`], but only those that it may join. In a hub with a policy, a page goes through at most 256 rooms after `after`.
    pub fn rooms(&self, after: Option<&RoomName>, limit: usize) -> RoomList {
        door::rooms(Some(&self.0), &self.0.hub, after, limit)
    }

    /// As [`Room::members`].
    ///
    /// # Errors
    /// It lacks the right, in a hub with a policy.
    pub fn members(&self, room: &Room, skip: usize, limit: usize) -> Result<Vec<UserName>, NotAllowed> {
        door::read(&self.0, Members { room: &room.0, skip, limit })
    }

    /// As [`Room::history`].
    ///
    /// # Errors
    /// It lacks the right, in a hub with a policy.
    pub fn history(&self, room: &Room, count: usize) -> Result<Vec<Arc<Message>>, NotAllowed> {
        door::read(&self.0, Newest { room: &room.0, count })
    }

    /// As [`Room::page`].
    ///
    /// # Errors
    /// It lacks the right, in a hub with a policy.
    pub fn page(&self, room: &Room, since: MessageId, limit: usize) -> Result<Page, NotAllowed> {
        door::read(&self.0, Behind { room: &room.0, since, limit })
    }

    /// As [`Room::past`].
    ///
    /// # Errors
    /// It lacks the right, in a hub with a policy; or as for [`Room::past`].
    pub fn past(
        &self,
        room: &Room,
        since: MessageId,
        limit: PageLimit,
    ) -> Result<impl Future<Output = Result<Page, LogError>> + Send + use<>, NotAllowed> {
        door::read(&self.0, Past { room: &room.0, since, limit })
    }

    /// Sends `text` privately to the session named `to`. Never waits.
    ///
    /// # Errors
    /// It lacks the right; nobody has that name; as much from this session as may wait for the recipient does; or the recipient's transport
    /// cannot carry `text` as one frame.
    pub fn tell(&self, to: &UserName, text: impl Into<Bytes>) -> Result<(), TellError> {
        door::tell(&self.0, to, text.into())
    }
}

impl SessionInner {
    /// Sends `text` to whoever is called `to`, and to nobody else.
    pub(super) fn send(&self, _: Pass, to: &UserName, text: Bytes) -> Result<(), TellError> {
        let nobody = || TellError::NoSuchMember(to.clone());
        let session = self.hub.0.called(to).ok_or_else(nobody)?;
        let link = session.link.as_ref().ok_or_else(nobody)?;
        let encoding = session.encoding();
        // The codec is the other's, whose end its panic is.
        let frame = match encoding.direct(&self.name(), &text) {
            Encoded::Frame(frame) => frame,
            Encoded::Silent => return Err(TellError::Uncarried(to.clone())),
            Encoded::Panicked => {
                link.end(CloseReason::HandlerPanic);
                return Err(nobody());
            }
        };
        self.send_to(link, frame).map_err(|error| match error {
            Undeliverable::Closing => nobody(),
            Undeliverable::Full => TellError::Full(to.clone()),
        })
    }

    /// Sends one frame to a connection alone, behind what was published before it.
    fn send_to(&self, link: &Arc<Link>, frame: Bytes) -> Result<(), Undeliverable> {
        let from = self.link.as_ref().map_or(UNLINKED, |own| own.id);
        link.expect(from, frame.len())?;
        Inbox::of(&link.tick).post(&link.tick, Operation::Direct { link: Arc::clone(link), from, frame });
        Ok(())
    }

    /// Tells the peer if its end is near. Says whether it is to be watched further.
    pub(super) fn watch(&self) -> bool {
        let Some(link) = &self.link else { return false };
        // Before the look: an end that is set from now on is watched by whoever sets it.
        link.unwatch();
        match link.left() {
            TimeLeft::Nothing => false,
            TimeLeft::Long => link.watch(),
            TimeLeft::Short(seconds) => {
                match self.encoding().notice(&Notice::Expiring { seconds }) {
                    Encoded::Frame(frame) => link.tell_aside(|output| output.share(frame)),
                    // Raw payloads have no words for it.
                    Encoded::Silent => {}
                    Encoded::Panicked => link.end(CloseReason::HandlerPanic),
                }
                false
            }
        }
    }

    /// Closes its connection, if it has one. It is told `word` before, behind all else that is queued.
    pub(super) fn close(&self, word: Option<Bytes>) -> bool {
        let Some(link) = &self.link else { return false };
        let said = word.map_or(Encoded::Silent, |word| self.encoding().direct(&UserName::server(), &word));
        match said {
            Encoded::Panicked => link.end(CloseReason::HandlerPanic),
            // Whoever was told a last word already needs no other.
            Encoded::Frame(frame) if link.closing().is_none() => link.send_last(1, |output| output.share(frame)),
            Encoded::Frame(_) | Encoded::Silent => {}
        }
        link.end(CloseReason::Closed);
        true
    }

    /// Whether others find it by its name.
    pub(super) fn is_entered(&self) -> bool {
        self.link.is_some()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(link) = &self.0.link {
            // That the memory which it holds is needed.
            let (encoding, reason) = (self.0.encoding(), CloseReason::OutOfMemory);
            link.tell_reset(reason, || match encoding.notice(&Notice::Closed { reason }) {
                Encoded::Frame(frame) => Some(frame),
                Encoded::Silent | Encoded::Panicked => None,
            });
            let user: Option<Box<str>> =
                self.0.principal().and_then(|principal| Some(principal.name()?.as_str().into()));
            self.0.hub.0.holding.counts.shown(user.is_some(), false);
            link.tick.closed.was_called(link.id, Called { name: Some(self.0.name().as_str().into()), user });
            self.0.hub.0.forget(&self.0);
        }
    }
}
