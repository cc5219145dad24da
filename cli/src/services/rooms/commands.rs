//! What each command does, and what is answered. `docs/protocol.md` says it to those who type them.

use super::listing;
use super::member::Member;
use std::time::SystemTime;
use switchboard::grammar::{Command, ErrorCode, Failure, Input, NameSecret, Reply};
use switchboard::policy::NotAllowed;
use switchboard::{
    Codec, Format, JoinError, Membership, MessageId, NameRefused, PublishError, Rate, Rights, Room, RoomError,
    RoomList, RoomName, Session, TellError, UserName,
};

/// Names in one answer: with the longest ones, below 16 KiB.
const LISTED: usize = 100;

/// Joins, leaves and names a second, and at once: others are told of each.
const CHANGES: (u32, u32) = (5, 20);

/// What is told to whoever asked.
pub(super) enum Answer {
    Nothing,
    Reply(Reply),
    /// The same, and long.
    List(Reply),
    History(Past),
    /// And then the end.
    Goodbye,
}

/// Messages of a room to be told again: so many, from behind one up to another.
pub(super) struct Past {
    pub(super) room: Room,
    pub(super) count: usize,
    pub(super) after: MessageId,
    pub(super) until: u64,
    /// Only the room's log has all of them, if it still does.
    pub(super) is_deep: bool,
}

impl<C: Codec> Member<C> {
    /// Does what a frame asks for.
    pub(super) async fn answer(&mut self, input: Input) -> Result<Answer, Failure> {
        let published = match input {
            Input::Text(text) => self.current()?.publish(&text),
            Input::Command(Command::Pub { room, text }) => self.seat(&room)?.publish(&text),
            Input::Command(command) => return self.command(command).await,
        };
        let publication = published.map_err(unpublished)?;
        self.unconfirmed.await_one(publication);
        Ok(Answer::Nothing)
    }

    /// Other nodes may have to be asked for what is about names.
    async fn command(&mut self, command: Command) -> Result<Answer, Failure> {
        let reply = match command {
            Command::Join { room, since, cookie: _ } => self.join(&room, since)?,
            Command::Leave { room } => self.leave(room.as_ref())?,
            Command::Name { name, secret } => self.rename(name, secret).await?,
            Command::Who { room } => return self.who(room.as_ref()).await.map(Answer::List),
            Command::Rooms => unreachable!("it gives way to others while it looks"),
            Command::Msg { to, text } => {
                self.session.tell_anywhere(&to, text).await.map_err(untold)?;
                return Ok(Answer::Nothing);
            }
            Command::History { count } => return self.history(count),
            Command::Format(format) => self.reform(format),
            Command::Auth(_) => unreachable!("it waits for an answer"),
            Command::Whoami => self.you(),
            Command::Clock => clock(SystemTime::now()),
            Command::Ping => Reply::Pong,
            Command::Help => return Ok(Answer::List(Reply::Help)),
            Command::Quit => return Ok(Answer::Goodbye),
            Command::Pub { .. } => unreachable!("it is published like text"),
        };
        Ok(Answer::Reply(reply))
    }

    /// The rooms that it may join.
    pub(super) async fn rooms(&self) -> Reply {
        let RoomList { rooms, total, .. } = listing::rooms(&self.listener.hub, &self.session, None, LISTED).await;
        Reply::Rooms { rooms, total }
    }

    fn join(&mut self, name: &RoomName, since: Option<MessageId>) -> Result<Reply, Failure> {
        self.change()?;
        if self.seats.of(name).is_some_and(Membership::is_removed) {
            // It was told so, and comes anew.
            drop(self.seats.take(Some(name)));
        }
        let (seat, id) = if let Some(seat) = self.seats.of(name) {
            let id = match since {
                Some(since) => seat.resume(since).map_err(unjoined)?,
                None => seat.room().last_id(),
            };
            let Some(seat) = self.seats.take(Some(name)) else { unreachable!("it was found") };
            (seat, id)
        } else {
            let room = self.room_to_join(name)?;
            let seat = self.session.join(&room, self.joining(since));
            let seat = seat.map_err(unjoined)?;
            let id = seat.joined_at();
            (seat, id)
        };
        let reply = self.joined(&seat, id);
        self.seats.sit(seat);
        Ok(reply)
    }

    /// What it is told that it is in.
    pub(super) fn joined(&self, seat: &Membership, id: MessageId) -> Reply {
        let room = seat.room();
        let may = self.listener.told_rights(&self.session.principal(), room.name());
        Reply::Joined { room: room.name().clone(), members: room.member_count(), id, may }
    }

    fn leave(&mut self, room: Option<&RoomName>) -> Result<Reply, Failure> {
        // Found out before it is counted.
        match room {
            Some(room) => self.seat(room)?,
            None => self.current()?,
        };
        self.change()?;
        let Some(seat) = self.seats.take(room) else { unreachable!("it was found") };
        let current = self.seats.current().map(|seat| seat.room().name().clone());
        Ok(Reply::Left { room: seat.room().name().clone(), current })
    }

    async fn rename(&mut self, name: UserName, secret: Option<NameSecret>) -> Result<Reply, Failure> {
        self.listener.may_be_called(&self.session.principal(), &name)?;
        self.change()?;
        let before = self.session.rename_anywhere(name.clone(), secret).await.map_err(misnamed)?;
        for seat in self.seats.all() {
            seat.renamed(before.clone());
        }
        Ok(Reply::Named { name })
    }

    async fn who(&self, name: Option<&RoomName>) -> Result<Reply, Failure> {
        let room = match name {
            Some(name) => {
                self.listener.may(&self.session.principal(), name, Rights::PRESENCE)?;
                self.session.find(name).ok_or_else(|| {
                    Failure::new(ErrorCode::NoSuchRoom, format!("there is no room {name}; /join creates it"))
                })?
            }
            None => self.current()?.room().clone(),
        };
        let members = self.session.members_anywhere(&room, 0, LISTED).await.map_err(refused)?;
        // Some may have left meanwhile.
        let total = room.member_count().max(members.len());
        Ok(Reply::Who { room: room.name().clone(), members, total })
    }

    /// The current room's last messages, as far as they can be sent.
    fn history(&self, count: Option<usize>) -> Result<Answer, Failure> {
        let room = self.current()?.room().clone();
        let (is_raw, end) = (self.session.format() == Format::Raw, room.last_id());
        let after = before_newest(&room, end, count);
        if is_logged(&self.session, &room, after, count)? {
            let count = usize::try_from(end.seq - after.seq).unwrap_or(usize::MAX);
            return Ok(Answer::History(Past { room, count, after, until: end.seq, is_deep: true }));
        }
        let messages = self.session.history(&room, count.unwrap_or(usize::MAX)).map_err(refused)?;
        let (first, last) = (messages.first().map(|first| first.id), messages.last().map(|last| last.id));
        let until = last.unwrap_or(room.last_id());
        let after = first.map_or(until, |first| MessageId { seq: first.seq - 1, ..first });
        let count = messages.iter().filter(|message| !is_raw || C::carries(&message.payload)).count();
        Ok(Answer::History(Past { room, count, after, until: until.seq, is_deep: false }))
    }

    fn reform(&self, format: Format) -> Reply {
        self.session.set_format(format);
        for seat in self.seats.all() {
            seat.set_format(format);
        }
        Reply::Formatted { format }
    }

    /// Takes a token for what others are told of.
    fn change(&mut self) -> Result<(), Failure> {
        let (per_second, burst) = CHANGES;
        let taken = self.changes.take(self.listener.started.elapsed(), Rate::new(per_second, burst));
        taken.map_err(|wait| {
            let milliseconds = wait.as_millis().max(1);
            let text = format!("too many joins, leaves and name changes; try again in {milliseconds} ms");
            Failure::new(ErrorCode::RateLimited, text)
        })
    }

    fn current(&self) -> Result<&Membership, Failure> {
        self.seats.current().ok_or_else(no_room)
    }

    fn seat(&self, room: &RoomName) -> Result<&Membership, Failure> {
        let seat = self.seats.of(room);
        seat.ok_or_else(|| Failure::new(ErrorCode::NotAMember, format!("you are not in {room}; /join {room} first")))
    }
}

fn clock(now: SystemTime) -> Reply {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Reply::Clock { milliseconds: since.as_millis().try_into().unwrap_or(u64::MAX) }
}

/// The point before the last `count` messages of a room up to `end`; or before as many as memory may keep.
pub(super) fn before_newest(room: &Room, end: MessageId, count: Option<usize>) -> MessageId {
    let kept = || {
        let recent = room.before_recent();
        room.last_id().seq - recent.seq
    };
    let count = count.map_or_else(kept, |count| count as u64);
    MessageId { seq: end.seq.saturating_sub(count), ..end }
}

/// Whether what there is behind a message has to be read from the room's log, since memory does not have all of it.
pub(super) fn is_logged(
    session: &Session,
    room: &Room,
    behind: MessageId,
    count: Option<usize>,
) -> Result<bool, Failure> {
    if !room.is_durable() || count == Some(0) {
        return Ok(false);
    }
    Ok(session.page(room, behind, 0).map_err(refused)?.notice.is_some())
}

pub(super) fn no_room() -> Failure {
    Failure::new(ErrorCode::NoRoom, "you are in no room; /join ROOM first")
}

pub(super) fn refused(error: NotAllowed) -> Failure {
    Failure::new(ErrorCode::NotAllowed, error.to_string())
}

/// Waits for what other nodes have published in the room, up to `since` if that is further on.
pub(super) async fn there(room: &Room, since: Option<MessageId>) -> Result<(), Failure> {
    room.opened(since).await.map_err(|error| Failure::new(ErrorCode::Unavailable, error.to_string()))
}

pub(super) fn unpublished(error: PublishError) -> Failure {
    let code = match error {
        PublishError::TooLong { .. } => ErrorCode::FrameTooLong,
        PublishError::TooOften { .. } => ErrorCode::RateLimited,
        PublishError::Unavailable => ErrorCode::Unavailable,
        _ => ErrorCode::NotAllowed,
    };
    Failure::new(code, error.to_string())
}

pub(super) fn misnamed(error: NameRefused) -> Failure {
    let code = match &error {
        NameRefused::Reserved(_) => ErrorCode::NameReserved,
        NameRefused::Unavailable(_) => ErrorCode::Unavailable,
        _ => ErrorCode::NameTaken,
    };
    Failure::new(code, error.to_string())
}

pub(super) fn unmade(error: RoomError) -> Failure {
    let code = match &error {
        RoomError::NoSuchRoom => ErrorCode::NoSuchRoom,
        RoomError::NotAllowed => ErrorCode::NotAllowed,
        _ => ErrorCode::TooManyRooms,
    };
    Failure::new(code, error.to_string())
}

pub(super) fn unjoined(error: JoinError) -> Failure {
    let code = match &error {
        JoinError::Gone { .. } => ErrorCode::Gone,
        JoinError::RoomFull { .. } => ErrorCode::RoomFull,
        JoinError::NotAllowed => ErrorCode::NotAllowed,
        JoinError::Unavailable => ErrorCode::Unavailable,
        _ => ErrorCode::TooManyRooms,
    };
    Failure::new(code, error.to_string())
}

fn untold(error: TellError) -> Failure {
    let code = match &error {
        TellError::NoSuchMember(_) => ErrorCode::NoSuchMember,
        TellError::NotAllowed(_) => ErrorCode::NotAllowed,
        TellError::Uncarried(_) => ErrorCode::BadArgument,
        TellError::Unavailable(_) => ErrorCode::Unavailable,
        _ => ErrorCode::RateLimited,
    };
    Failure::new(code, error.to_string())
}
