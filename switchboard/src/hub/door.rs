//! The doors to a hub's rooms. Whatever anybody does there passes one of these functions, by whatever transport it came and whether
//! or not it has a connection: finding and making a room, joining, publishing, listing and reading, telling one person.
//!
//! Here it is decided whether somebody may; today everybody may do everything. What these functions call asks for a [`Pass`], which
//! no other file can make.

use super::encoding::MemberEncoding;
use super::membership::{Join, JoinError, Membership};
use super::room::{Author, Room, RoomInner, RoomOptions};
use super::session::{SessionInner, TellError};
use super::{Hub, RoomError};
use crate::link::Link;
use bytes::Bytes;
use std::sync::Arc;
use std::time::SystemTime;
use switchboard_proto::{Message, MessageId, Notice, RoomName, RoomSummary, UserName};

/// Shows that somebody came by a door.
#[derive(Clone, Copy)]
pub(super) struct Pass(());

/// A message that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Its number and the room's incarnation.
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
    /// How many there are.
    pub total: usize,
}

/// What a room still keeps behind a message, or the first of that.
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
    /// The program that has the hub, in nobody's name.
    Program,
    /// Somebody who need not be a member.
    Session(&'a SessionInner),
    Member(&'a Membership),
    /// One that has left and was called this, if anything: its will.
    Left(Option<UserName>),
}

/// Who looks around; none is the program that has the hub.
pub(super) type Asker<'a> = Option<&'a SessionInner>;

/// The room of that name, if there is one.
pub(super) fn find(_asker: Asker<'_>, hub: &Hub, name: &RoomName) -> Option<Room> {
    hub.found(Pass(()), name)
}

/// The room of that name, which is made with `options` if there is none.
pub(super) fn make(_asker: Asker<'_>, hub: &Hub, name: &RoomName, options: RoomOptions) -> Result<Room, RoomError> {
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
type Parts = (Option<Arc<SessionInner>>, Arc<Link>, MemberEncoding);

impl Participant<'_> {
    pub(super) fn parts(self) -> Result<Parts, JoinError> {
        match self {
            Self::Session(session) => {
                let link = session.link().ok_or(JoinError::NoConnection)?;
                Ok((Some(Arc::clone(session)), Arc::clone(link), session.encoding()))
            }
            Self::Unnamed(link, encoding) => Ok((None, Arc::clone(link), encoding)),
        }
    }
}

/// Makes `participant` a member of `room`.
pub(crate) fn join(participant: Participant<'_>, room: &Room, join: Join) -> Result<Membership, JoinError> {
    Membership::new(Pass(()), &room.0, participant, join)
}

/// Publishes `payload` to all members of `room`, in the publisher's name. Never waits, and never fails.
pub(super) fn publish(publisher: Publisher<'_>, room: &Room, payload: &[u8]) -> Published {
    let author = match publisher {
        Publisher::Program => Author::Name { name: None, link: None },
        Publisher::Session(session) => session.author(),
        Publisher::Member(member) => member.author(),
        Publisher::Left(name) => Author::Name { name, link: None },
    };
    room.0.publish(Pass(()), author, payload)
}

/// What can be listed of a hub, or read.
pub(super) trait Listing {
    type List;

    fn list(self, pass: Pass) -> Self::List;
}

/// Lists rooms, members, or messages that were published before.
pub(super) fn list<L: Listing>(_asker: Asker<'_>, listing: L) -> L::List {
    listing.list(Pass(()))
}

/// Repeats to a member what came behind `since`.
pub(super) fn resume(member: &Membership, since: MessageId) -> Result<MessageId, JoinError> {
    member.replay(Pass(()), since)
}

/// Sends `text` to whoever is called `to`, and to nobody else.
pub(super) fn tell(session: &SessionInner, to: &UserName, text: Bytes) -> Result<(), TellError> {
    session.send(Pass(()), to, text)
}

/// Rooms behind one by name.
pub(super) struct Rooms<'a> {
    pub(super) hub: &'a Hub,
    pub(super) after: Option<&'a RoomName>,
    pub(super) limit: usize,
}

impl Listing for Rooms<'_> {
    type List = RoomList;

    fn list(self, pass: Pass) -> Self::List {
        self.hub.listed(pass, self.after, self.limit)
    }
}

/// Members past the first so many.
pub(super) struct Members<'a> {
    pub(super) room: &'a RoomInner,
    pub(super) skip: usize,
    pub(super) limit: usize,
}

impl Listing for Members<'_> {
    type List = Vec<UserName>;

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

    fn list(self, pass: Pass) -> Self::List {
        self.room.since(pass, self.since, self.limit)
    }
}
