//! The doors to a hub's rooms. Everything that anybody does in rooms passes one of these functions, over any transport,
//! with or without a connection: finding and creating a room, joining, publishing, listing and reading, private
//! messages.
//!
//! Here it is decided whether somebody may, and nowhere else: the hub's policy is asked, if there is one. What these functions call asks
//! for a [`Pass`], which no other file can make.

use super::encoding::MemberEncoding;
use super::log::PageLimit;
use super::membership::{Join, JoinError, Membership, PublishError};
use super::policy::{ANONYMOUS, Governance, NotAllowed, Principal, Ruling};
use super::posting::MembershipId;
use super::publication::Publication;
use super::room::{Author, PastRead, Room, RoomInner, RoomOptions, Unjoined};
use super::session::{SessionInner, TellError};
use super::shown::Byline;
use super::standing::Objection;
use super::{Hub, RoomError};
use crate::link::Link;
use bytes::Bytes;
use std::sync::Arc;
use std::time::SystemTime;
use switchboard_proto::{Message, MessageId, Notice, Rights, RoomName, RoomSummary, UserName};

/// Where there is no policy.
pub(super) const EVERYTHING: Rights = Rights::from_bits(u8::MAX);

/// Rooms that are looked at for one list of those that somebody may join: with 64 grants, half a millisecond.
const LOOKED_AT: usize = 256;

/// Shows that somebody came by a door.
#[derive(Clone, Copy)]
pub(super) struct Pass(());

/// A message that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The message's id.
    pub id: MessageId,
    /// When that was.
    pub time: SystemTime,
}

/// Some rooms, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomList {
    /// By name.
    pub rooms: Vec<RoomSummary>,
    /// How many there are; of those that a session may join, how many were found.
    pub total: usize,
    /// Behind which one there may be more, if there may.
    pub next: Option<RoomName>,
}

/// What a room still keeps after a message, or the first page of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// If some of it is gone.
    pub notice: Option<Notice>,
    /// Oldest first.
    pub messages: Vec<Arc<Message>>,
}

/// Who publishes.
pub(super) enum Publisher<'a> {
    /// Somebody who need not be a member.
    Session(&'a SessionInner),
    Member(&'a Membership),
    /// A member passes on what this one says.
    Through(&'a Membership, &'a SessionInner),
    /// One that has left and was called this, if anything: its will, which it might publish when it left.
    Left(Option<Byline>),
}

/// Who looks around; none is the program that has the hub, which may do everything.
pub(super) type Caller<'a> = Option<&'a SessionInner>;

/// What `session` may do in `room` now.
fn rights(session: &SessionInner, room: &RoomInner) -> Rights {
    room.governance().map_or(EVERYTHING, |governance| governance.ask(session.principal(), &room.name).rights)
}

fn check(session: &SessionInner, room: &RoomInner, right: Rights) -> Result<(), NotAllowed> {
    if rights(session, room).contains(right) { Ok(()) } else { Err(NotAllowed) }
}

/// What a member may do now: nothing once it is none.
pub(super) fn rights_of(room: &Arc<RoomInner>, member: MembershipId) -> Rights {
    let Some(governance) = room.governance() else { return EVERYTHING };
    let mut generation = governance.generation();
    loop {
        match room.rights(Pass(()), member, generation) {
            Ok(rights) => return rights,
            Err(Objection::Outdated) => match reconsider(room, member) {
                Some(newer) => generation = newer,
                None => return Rights::NONE,
            },
            Err(_) => return Rights::NONE,
        }
    }
}

/// Asks again what a member may do, and has it follow. Returns the policy's generation then, unless it is no member any more.
#[cold]
pub(super) fn reconsider(room: &Arc<RoomInner>, member: MembershipId) -> Option<u32> {
    let governance = room.governance()?;
    loop {
        let ruling = governance.ask(room.principal(Pass(()), member).ok()?, &room.name);
        match room.settle(Pass(()), member, &ruling) {
            Ok(generation) => return Some(generation),
            Err(Objection::Outdated) => {}
            Err(_) => return None,
        }
    }
}

/// The same in a review: `known` is what was said last of somebody in this room.
pub(super) fn review(
    room: &Arc<RoomInner>,
    member: MembershipId,
    principal: Option<Arc<Principal>>,
    known: &mut Option<Ruling>,
) {
    let Some(governance) = room.governance() else { return };
    if !known.as_ref().is_some_and(|known| known.is_of(principal.as_ref())) {
        *known = Some(governance.ask(principal, &room.name));
    }
    let settled = known.as_ref().map(|ruling| room.settle(Pass(()), member, ruling));
    if settled == Some(Err(Objection::Outdated)) {
        // It is shown to be another one by now.
        reconsider(room, member);
    }
}

/// Closes who is shown to be somebody that no longer stands, or may not come from where it is; whoever does is shown to be what that one
/// is by now. Says whether it stands.
pub(super) fn check_standing(session: &Arc<SessionInner>) -> bool {
    let (Some(governance), Some(principal)) = (session.hub().governance(), session.principal()) else { return true };
    let policy = governance.policy();
    let may_come = || session.link().is_none_or(|link| policy.may_come_from(&principal, link.client()));
    if !policy.stands(&principal) || !may_come() {
        session.revoke();
        return false;
    }
    if let Some(updated) = policy.updated(&principal).filter(|updated| **updated != *principal) {
        session.update(&principal, &updated);
    }
    true
}

/// The room of that name, if there is one in which the caller may do anything.
pub(super) fn find(caller: Caller<'_>, hub: &Hub, name: &RoomName) -> Option<Room> {
    // First: another node's room is opened by it.
    if let (Some(session), Some(governance)) = (caller, hub.governance())
        && governance.ask(session.principal(), name).rights.is_empty()
    {
        return None;
    }
    hub.found(Pass(()), name)
}

/// The room of that name, which is made with `options` if there is none.
pub(super) fn make(caller: Caller<'_>, hub: &Hub, name: &RoomName, options: RoomOptions) -> Result<Room, RoomError> {
    if let (Some(session), Some(governance)) = (caller, hub.governance()) {
        let rights = governance.ask(session.principal(), name).rights;
        // The same whether or not it is there.
        if rights.is_empty() {
            return Err(RoomError::NotAllowed);
        }
        if !rights.contains(Rights::CREATE) {
            return hub.found(Pass(()), name).ok_or(RoomError::NoSuchRoom);
        }
    }
    hub.made(Pass(()), name, options)
}

/// Who joins.
pub(crate) enum Participant<'a> {
    /// By its name, if it has a connection.
    Session(&'a Arc<SessionInner>),
    /// A connection without a name, and how it is written to.
    Unnamed(&'a Arc<Link>, MemberEncoding),
}

/// What a room needs of one: its session, if it has one, where things are delivered to it, and how they are encoded.
pub(super) type Parts = (Option<Arc<SessionInner>>, Arc<Link>, MemberEncoding);

impl Participant<'_> {
    fn parts(&self) -> Result<Parts, JoinError> {
        match self {
            Self::Session(session) => {
                let link = session.link().ok_or(JoinError::NoConnection)?;
                Ok((Some(Arc::clone(session)), Arc::clone(link), session.encoding()))
            }
            Self::Unnamed(link, encoding) => Ok((None, Arc::clone(link), encoding.clone())),
        }
    }
}

/// Makes `participant` a member of `room`.
pub(crate) fn join(participant: &Participant<'_>, room: &Room, join: Join) -> Result<Membership, JoinError> {
    loop {
        let parts = participant.parts()?;
        let principal = parts.0.as_ref().and_then(|session| session.principal());
        let ruling = room.0.governance().map(|governance| governance.ask(principal, room.name()));
        if ruling.as_ref().is_some_and(|ruling| !ruling.rights.contains(Rights::JOIN)) {
            return Err(JoinError::NotAllowed);
        }
        match Membership::new(Pass(()), &room.0, parts, join, ruling.as_ref()) {
            Ok(membership) => return Ok(membership),
            Err(Unjoined::Refused(error)) => return Err(error),
            Err(Unjoined::Outdated) => {}
        }
    }
}

/// Removes a session from `room`, for the program.
pub(super) fn expel(room: &Room, session: &Arc<SessionInner>) -> bool {
    room.0.expel(Pass(()), session)
}

/// Publishes `payload` to all members of `room`, from the program, in nobody's name. Never waits, and fails only by the room's log.
pub(super) fn announce(room: &Room, payload: &[u8]) -> Publication {
    room.0.publish(Pass(()), Author::Program, payload).unwrap_or_else(|objection| {
        let error = unpublished(objection);
        room.0.holding.counts.refused(&error);
        Publication::failed(error)
    })
}

/// Publishes `payload` to all members of `room`, in the publisher's name. Never waits.
pub(super) fn publish(publisher: Publisher<'_>, room: &Room, payload: &[u8]) -> Result<Publication, PublishError> {
    publish_as(publisher, room, payload).inspect_err(|error| room.0.holding.counts.refused(error))
}

fn publish_as(publisher: Publisher<'_>, room: &Room, payload: &[u8]) -> Result<Publication, PublishError> {
    let author = match publisher {
        Publisher::Session(session) => {
            check(session, &room.0, Rights::PUBLISH)?;
            in_time(session.link())?;
            Author::Name { by: Some(session.byline()), link: session.link() }
        }
        Publisher::Member(member) => {
            let speaker = member.speaker(room.0.governance().map(Governance::generation));
            in_time(Some(speaker.link))?;
            Author::Member(speaker)
        }
        Publisher::Through(member, session) => {
            check(session, &room.0, Rights::PUBLISH)?;
            let speaker = member.speaker(None);
            in_time(Some(speaker.link))?;
            if member.is_removed() {
                return Err(PublishError::NotAllowed);
            }
            Author::Through { by: session.byline(), member: speaker }
        }
        Publisher::Left(ref by) => Author::Name { by: by.clone(), link: None },
    };
    match room.0.publish(Pass(()), author, payload) {
        Ok(published) => Ok(published),
        Err(Objection::Outdated) => match publisher {
            Publisher::Member(member) => publish_anew(member, payload),
            _ => Err(PublishError::NotAllowed),
        },
        Err(objection) => Err(unpublished(objection)),
    }
}

fn unpublished(objection: Objection) -> PublishError {
    match objection {
        Objection::TooLong { limit } => PublishError::TooLong { limit },
        Objection::TooOften { wait } => PublishError::TooOften { wait },
        Objection::Unavailable => PublishError::Unavailable,
        Objection::Outdated | Objection::Gone | Objection::Refused => PublishError::NotAllowed,
    }
}

/// What a connection was shown to be may have come to its end, though a task that speaks for it has not heard of that.
#[inline]
fn in_time(link: Option<&Arc<Link>>) -> Result<(), NotAllowed> {
    if link.is_some_and(|link| link.is_over()) { Err(NotAllowed) } else { Ok(()) }
}

/// Publishes as a member of whom the policy is to be asked first.
#[cold]
fn publish_anew(member: &Membership, payload: &[u8]) -> Result<Publication, PublishError> {
    let room = &member.room().0;
    loop {
        let speaker = member.speaker(Some(reconsider(room, member.id()).ok_or(NotAllowed)?));
        match room.publish(Pass(()), Author::Member(speaker), payload) {
            Ok(published) => return Ok(published),
            Err(Objection::Outdated) => {}
            Err(objection) => return Err(unpublished(objection)),
        }
    }
}

/// What can be listed of a room, or read.
pub(super) trait Listing {
    type List;
    /// Who has it may have that.
    const RIGHT: Rights;

    fn room(&self) -> &RoomInner;
    fn list(self, pass: Pass) -> Self::List;
}

/// Lists members, or messages that were published before, for the program.
pub(super) fn list<L: Listing>(listing: L) -> L::List {
    listing.list(Pass(()))
}

/// The same for a session.
pub(super) fn read<L: Listing>(session: &SessionInner, listing: L) -> Result<L::List, NotAllowed> {
    check(session, listing.room(), L::RIGHT)?;
    Ok(listing.list(Pass(())))
}

/// At most `limit` rooms behind `after`.
pub(super) fn rooms(caller: Caller<'_>, hub: &Hub, after: Option<&RoomName>, limit: usize) -> RoomList {
    let (Some(session), Some(governance)) = (caller, hub.governance()) else {
        let (rooms, total) = hub.listed(Pass(()), after, limit);
        let last = rooms.last().filter(|_| rooms.len() == limit);
        let next = last.map(|room| room.name.clone());
        return RoomList { rooms, total, next };
    };
    // All of them, if they are not too many: the total of a page is that of the first one.
    let (mut rooms, total) = hub.listed(Pass(()), None, LOOKED_AT);
    if total > LOOKED_AT {
        (rooms, _) = hub.listed(Pass(()), after, LOOKED_AT);
    }
    let mut next = rooms.last().filter(|_| total > LOOKED_AT && rooms.len() == LOOKED_AT).map(|room| room.name.clone());
    let principal = session.principal();
    rooms.retain(|room| governance.ask(principal.clone(), &room.name).rights.contains(Rights::JOIN));
    let total = rooms.len();
    rooms.retain(|room| after.is_none_or(|after| room.name > *after));
    if rooms.len() > limit {
        rooms.truncate(limit);
        next = rooms.last().map(|room| room.name.clone());
    }
    RoomList { rooms, total, next }
}

/// Repeats to a member what came behind `since`.
pub(super) fn resume(member: &Membership, since: MessageId) -> Result<MessageId, JoinError> {
    member.replay(Pass(()), since, rights_of(&member.room().0, member.id()))
}

/// Sends `text` to whoever is called `to`, and to nobody else.
pub(super) fn tell(session: &SessionInner, to: &UserName, text: Bytes) -> Result<(), TellError> {
    if let Some(governance) = session.hub().governance() {
        let (principal, policy) = (session.principal(), governance.policy());
        let who = principal.as_deref().unwrap_or(&ANONYMOUS);
        // The same whether or not somebody has the name.
        if !policy.stands(who) || !policy.may_tell(who, to) {
            return Err(TellError::NotAllowed(to.clone()));
        }
    }
    session.send(Pass(()), to, text)
}

/// Sends `text` to whoever is called `to` from a session of another node, which has found out that it may.
pub(super) fn pass_on(session: &SessionInner, to: &UserName, text: Bytes) -> Result<(), TellError> {
    session.send(Pass(()), to, text)
}

/// Members past the first so many.
pub(super) struct Members<'a> {
    pub(super) room: &'a RoomInner,
    pub(super) skip: usize,
    pub(super) limit: usize,
}

impl Listing for Members<'_> {
    type List = Vec<UserName>;
    const RIGHT: Rights = Rights::PRESENCE;

    fn room(&self) -> &RoomInner {
        self.room
    }

    fn list(self, pass: Pass) -> Self::List {
        self.room.members(pass, self.skip, self.limit)
    }
}

/// The last so many messages that a room keeps.
pub(super) struct Newest<'a> {
    pub(super) room: &'a RoomInner,
    pub(super) count: usize,
}

impl Listing for Newest<'_> {
    type List = Vec<Arc<Message>>;
    const RIGHT: Rights = Rights::HISTORY;

    fn room(&self) -> &RoomInner {
        self.room
    }

    fn list(self, pass: Pass) -> Self::List {
        self.room.newest(pass, self.count)
    }
}

/// What a room keeps behind a message.
pub(super) struct Behind<'a> {
    pub(super) room: &'a RoomInner,
    pub(super) since: MessageId,
    pub(super) limit: usize,
}

impl Listing for Behind<'_> {
    type List = Page;
    const RIGHT: Rights = Rights::HISTORY;

    fn room(&self) -> &RoomInner {
        self.room
    }

    fn list(self, pass: Pass) -> Self::List {
        self.room.since(pass, self.since, self.limit)
    }
}

/// What a room has behind a message, in memory or in its log.
pub(super) struct Past<'a> {
    pub(super) room: &'a Arc<RoomInner>,
    pub(super) since: MessageId,
    pub(super) limit: PageLimit,
}

impl Listing for Past<'_> {
    type List = PastRead;
    const RIGHT: Rights = Rights::HISTORY;

    fn room(&self) -> &RoomInner {
        self.room
    }

    fn list(self, pass: Pass) -> Self::List {
        self.room.past(pass, self.since, self.limit)
    }
}
