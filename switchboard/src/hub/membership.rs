//! A connection's place in a room.
//!
//! A member is a mailbox, not a loop: what others publish goes from the room to the connection's outbox by itself.

use super::door::{self, Parts, Pass, Publisher};
use super::encoding::Tells;
use super::fanout::Operation;
use super::policy::{NotAllowed, Ruling};
use super::posting::MembershipId;
use super::publication::Publication;
use super::room::{Overflow, Room, RoomInner, Speaker, Unjoined};
use super::session::Session;
use crate::error::contained;
use crate::link::Link;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use switchboard_proto::{Epoch, Format, MessageId, Rights, UserName};

/// How to join.
#[derive(Debug, Clone, Copy, Default)]
pub struct Join {
    /// The last message that the member has: what the room still keeps after it is sent first, and a gap is reported.
    /// After a message that was not published yet there is nothing; after number 0 there is everything that the room
    /// keeps.
    pub since: Option<MessageId>,
    /// Whether the member gets its own messages too.
    pub echo: bool,
    /// In place of the room's.
    pub overflow: Option<Overflow>,
    /// Whether the connection is there for this room alone: if it is removed from the room, it is closed ([`Closed`](crate::CloseReason)) after
    /// [`Notice::Removed`](crate::grammar::Notice).
    pub alone: bool,
}

/// Why a connection could not join or resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The connection is already in the most rooms allowed.
    #[error("limit on rooms of one connection reached: {limit}")]
    TooManyRooms {
        /// The limit.
        limit: usize,
    },
    /// The room has as many members as it may have.
    #[error("the room is full: it takes {limit} members")]
    RoomFull {
        /// The limit.
        limit: usize,
    },
    /// The hub's policy says no; or, to resume, it is no longer a member.
    #[error("no right to do this")]
    NotAllowed,
    /// The session has no connection to deliver to.
    #[error("there is no connection to deliver to")]
    NoConnection,
    /// The log that keeps the room has not reported the room yet, or not the message to resume from. It may later.
    #[error("the room is not there yet; try again later")]
    Unavailable,
    /// Messages after the one that it has are gone, and its encoding cannot report that, as with raw payloads.
    #[error("some messages after {since} are gone, and raw payloads cannot say so")]
    Gone {
        /// The one that it knows.
        since: MessageId,
    },
}

/// Why something was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The hub's policy says no, or the connection has expired.
    #[error("no right to do this")]
    NotAllowed,
    /// It is longer than the room allows ([`RoomOptions::payload_bytes`](crate::RoomOptions)).
    #[error("longer than the {limit} bytes that this room takes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// More is published than the room allows ([`RoomOptions::rate`](crate::RoomOptions)).
    #[error("more is published here than the room takes")]
    TooOften {
        /// Until when it takes one more.
        wait: Duration,
    },
    /// The [log](crate::log) that keeps the room takes nothing now, or could not keep it, or too much waits for it already. Nobody was shown
    /// it; later it may work again. Where other processes append to that log too, it may be shown after all: the log has not answered in time.
    #[error("it cannot be kept now; try again later")]
    Unavailable,
}

impl From<NotAllowed> for PublishError {
    fn from(_: NotAllowed) -> Self {
        Self::NotAllowed
    }
}

/// A connection's place in a room, until it is dropped.
#[must_use = "a membership ends when it is dropped"]
pub struct Membership {
    room: Room,
    id: MembershipId,
    link: Arc<Link>,
    /// The last message before it joined, in two fields that leave no hole between them.
    joined_seq: u64,
    joined_epoch: Epoch,
    echo: bool,
    tells: Tells,
    /// Boxed, since most have none.
    will: Option<Box<Bytes>>,
}

impl Membership {
    pub(super) fn new(
        pass: Pass,
        room: &Arc<RoomInner>,
        (session, link, encoding): Parts,
        join: Join,
        ruling: Option<&Ruling>,
    ) -> Result<Self, Unjoined> {
        let limit = room.limits().rooms_per_connection;
        if !link.subscribe(limit) {
            return Err(Unjoined::Refused(JoinError::TooManyRooms { limit }));
        }
        room.count_in(&link.tick.budget);
        if join.since.is_some() {
            link.expect_repeat();
        }
        let tells = encoding.tells();
        let (id, joined_at) = room.join(pass, &link, encoding, session, join, ruling).inspect_err(|_| {
            link.take_back();
            link.repeated();
        })?;
        let MessageId { epoch, seq } = joined_at;
        let room = Room(Arc::clone(room));
        Ok(Self { room, id, link, joined_seq: seq, joined_epoch: epoch, echo: join.echo, tells, will: None })
    }

    /// In whose name it publishes, as the door to its room asks.
    pub(super) fn speaker(&self, generation: Option<u32>) -> Speaker<'_> {
        Speaker { id: self.id, link: &self.link, echo: self.echo, generation }
    }

    pub(super) fn id(&self) -> MembershipId {
        self.id
    }

    pub(super) fn replay(&self, pass: Pass, since: MessageId, rights: Rights) -> Result<MessageId, JoinError> {
        // First: what is delivered from now on is looked at.
        self.link.expect_repeat();
        let member = (self.id, self.tells);
        self.room.0.resume(pass, member, &self.link, since, rights).inspect_err(|_| self.link.repeated())
    }

    /// Publishes `payload` to all other members, and to this one too if it asked for that ([`Join::echo`]). Never waits; the
    /// [`Publication`] resolves once the message is shown.
    ///
    /// # Errors
    /// It lacks the right, was removed, or its connection has [expired](crate::Session::expire_at); `payload` is too long for the room, or too
    /// much is published there; or too much waits for the room's log.
    pub fn publish(&self, payload: impl AsRef<[u8]>) -> Result<Publication, PublishError> {
        door::publish(Publisher::Member(self), &self.room, payload.as_ref())
    }

    /// Like [`publish`](Self::publish), but under the name of `session`, which need not be a member; this member gets no copy. For a
    /// connection that passes on what others say, such as a [group](crate::Udp::group).
    ///
    /// # Errors
    /// As for [`publish`](Self::publish); `session` needs the right.
    pub fn publish_as(&self, session: &Session, payload: impl AsRef<[u8]>) -> Result<Publication, PublishError> {
        door::publish(Publisher::Through(self, &session.0), &self.room, payload.as_ref())
    }

    /// Whether it has all of these rights here now. Without a policy it has every right.
    pub fn may(&self, rights: Rights) -> bool {
        door::rights_of(&self.room.0, self.id).contains(rights)
    }

    /// Whether it was removed, because the hub's policy no longer lets it be in the room, or by the program
    /// ([`Hub::remove_member`](crate::Hub::remove_member)). It gets nothing more and may do nothing.
    pub fn is_removed(&self) -> bool {
        self.room.0.has_lost(self.id)
    }

    /// Publishes `payload` when the membership ends, for whatever reason, unless the server is draining or it may not
    /// publish then.
    pub fn will(mut self, payload: impl Into<Bytes>) -> Self {
        self.will = Some(Box::new(payload.into()));
        self
    }

    /// The room.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// The last message before the join: this member gets every one after it.
    pub fn joined_at(&self) -> MessageId {
        MessageId { epoch: self.joined_epoch, seq: self.joined_seq }
    }

    /// Repeats to this member what the room still keeps after `since`, as a join does, and reports a gap. Returns the
    /// id of the last message repeated: this member gets every message after it. Messages that are already on their way
    /// to it are part of the repeat and come in their place: nothing from the room comes between an answer sent now and
    /// the repeat.
    ///
    /// # Errors
    /// Some of it is gone, and the member's encoding cannot report that, as with raw payloads. Then nothing is
    /// repeated.
    pub fn resume(&self, since: MessageId) -> Result<MessageId, JoinError> {
        door::resume(self, since)
    }

    /// Tells the other members that this one's name was `from` until now. If they have not been told yet that it
    /// joined, they are later told its new name only. If many members change names within a second, or the room has
    /// many members, they are only counted.
    pub fn renamed(&self, from: UserName) {
        self.room.0.renamed(self.id, from, &self.link.tick);
    }

    /// Changes this member's format from now on. A member with an encoding of its own keeps that.
    pub fn set_format(&self, format: Format) {
        let entry = Operation::Reform { room: self.room.0.id, member: self.id, format };
        self.room.0.post_to(&self.link.tick, entry);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // The server's own word: the connection hears of it a moment later.
        let draining = self.link.listener.drain.is_cancelled();
        let will = self.will.take();
        // Asked before it leaves. A policy's panic, perhaps behind another one, says no.
        let speaks = will.is_some() && !draining && contained(|| self.may(Rights::PUBLISH)).unwrap_or(false);
        let left = self.room.0.leave(self.id, &self.link, draining || speaks);
        if let Some(will) = will {
            if let Ok(by) = left
                && speaks
            {
                // It was asked for.
                let _ = door::publish(Publisher::Left(by), &self.room, &will);
            }
            // A value of the user's, perhaps dropped by a panic: one more would end the process.
            let _ = contained(|| drop(will));
        }
    }
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Membership").field("room", self.room.name()).field("id", &self.id).finish_non_exhaustive()
    }
}
