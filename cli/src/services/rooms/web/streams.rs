//! Answers without an end: events, and messages that are followed. Whoever reads one is a member that says nothing.
//!
//! The first thing that is told is from where on messages come, so that who is cut off before the first one can go on there.

use super::super::commands::there;
use super::super::credentials::is_nobody;
use super::messages::before_last;
use super::route::{Begin, last_event};
use super::{Listener, Member, MemberOptions, Web, turn_away};
use crate::web::answer::{self, EVENTS, OBJECTS};
use bytes::Bytes;
use http::HeaderName;
use std::hash::BuildHasher as _;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use switchboard::grammar::{Failure, Reply};
use switchboard::http::{Request, Response};
use switchboard::policy::Principal;
use switchboard::{Codec, Connection, EventStream, Format, Lines, MessageId, PeerAddr, Rights, Room, RoomName};

/// Where `EventSource` keeps the id of the last event.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Browsers come back this long after the end of a stream of events, and up to as much as that later, each at a time of
/// its own: a server that starts again is not overrun.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_SPREAD: Duration = Duration::from_secs(4);

/// Proxies take who says nothing for dead, and an empty line would be no object.
static PONG: LazyLock<Bytes> = LazyLock::new(|| Format::Json.reply(&Reply::Pong).concat().into());

impl Web {
    pub(super) async fn follow(
        &self,
        who: &Arc<Principal>,
        room: &RoomName,
        begin: Begin,
        peer: &PeerAddr,
    ) -> Result<Response, Failure> {
        let session = self.session(who, None)?;
        let room = self.listener.make(&session, room, peer)?;
        let known = match &begin {
            Begin::Since(since) => Some(*since),
            Begin::Last(_) => None,
        };
        there(&room, known).await?;
        let since = match begin {
            Begin::Since(since) => since,
            Begin::Last(count) => before_last(&session, &room, count).await,
        };
        let listener = Arc::clone(&self.listener);
        let follower = self.follower(who, room, Some(since));
        Ok(Response::stream(answer::endless(OBJECTS), move |conn: Connection<Lines>| {
            // Boxed, since it is over soon, and the member stays.
            let settling = Box::pin(settle(conn, listener, Format::Json, follower, None));
            async { settling.await?.follow(PONG.clone()).await }
        }))
    }

    pub(super) async fn events(
        &self,
        who: &Arc<Principal>,
        room: &RoomName,
        since: Option<MessageId>,
        request: &Request,
    ) -> Result<Response, Failure> {
        // What the browser has seen since is newer than what the page asked for.
        let last = request.headers().get(LAST_EVENT_ID).filter(|last| !last.is_empty());
        let since = last.map(|last| last_event(last.to_str().unwrap_or_default())).or(since);
        let room = self.listener.make(&self.session(who, None)?, room, request.peer())?;
        there(&room, since).await?;
        let spread = self.hasher.hash_one(request.id()) % RETRY_SPREAD.as_millis() as u64;
        let retry = EventStream::retry(RETRY + Duration::from_millis(spread));
        let listener = Arc::clone(&self.listener);
        let follower = self.follower(who, room, since);
        Ok(Response::stream(answer::endless(EVENTS), move |conn: Connection<EventStream>| {
            // One event, so that whoever has read the one field has read the other.
            let settling = Box::pin(settle(conn, listener, Format::Events, follower, Some(retry)));
            async { settling.await?.follow(EventStream::KEEPALIVE).await }
        }))
    }
}

impl Web {
    fn follower(&self, who: &Arc<Principal>, room: Room, since: Option<MessageId>) -> Follower {
        Follower { who: Arc::clone(who), may: self.listener.told_rights(who, room.name()), room, since }
    }
}

/// Who is about to join, what it may do there, where, and behind which message it begins.
struct Follower {
    who: Arc<Principal>,
    may: Option<Rights>,
    room: Room,
    since: Option<MessageId>,
}

/// Behind which message somebody begins who is about to join, and how it is told.
pub(super) fn beginning(room: &Room, since: Option<MessageId>, may: Option<Rights>) -> (MessageId, Reply) {
    let last = room.last_id();
    let since = since.unwrap_or(last);
    // Of another incarnation, it is about to be told that the room has begun anew, and gets all that is kept.
    let seq = if since.epoch == last.epoch { since.seq.min(last.seq) } else { 0 };
    let id = MessageId { seq, ..last };
    (since, Reply::Joined { room: room.name().clone(), members: room.member_count() + 1, id, may })
}

/// Makes it a member that sends nothing, once it is told behind `fields` where it begins.
async fn settle<C>(
    mut conn: Connection<C>,
    listener: Arc<Listener>,
    format: Format,
    follower: Follower,
    fields: Option<Bytes>,
) -> switchboard::Result<Box<Member<C>>>
where
    C: Codec,
    C::Frame: From<Bytes> + Into<Bytes>,
{
    let Follower { who, may, room, since } = follower;
    let (since, joined) = beginning(&room, since, may);
    let first: Vec<_> = fields.into_iter().chain(format.reply(&joined)).collect();
    conn.send(Bytes::from(first.join(&b'\n'))).await?;
    let mut member = Box::new(Member::enter(conn, listener, MemberOptions { format, commands: false, echo: false }));
    if !is_nobody(&who) {
        member.session.authorize_anywhere(who).await;
    }
    // By a limit of no room at all, or because it may not be there any more: its format can tell of what is gone.
    if let Err(failure) = member.sit(&room, Some(since)) {
        turn_away(&mut member, failure).await?;
    }
    Ok(member)
}
