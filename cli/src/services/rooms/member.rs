//! One connection in rooms: what it sends goes to its current room, or is obeyed.
//!
//! Nothing here delivers: what is published reaches members by itself.

use super::asked;
use super::commands::{Answer, misnamed, there, unjoined, unpublished};
use super::confirming::Unconfirmed;
use super::credentials::FirstSeat;
use super::seats::Seats;
use super::strangers::{Sought, trimmed, uncovered, unmarked};
use super::{Heard, Listener, MemberOptions};
use crate::services::received;
use crate::web::work::Account;
use bytes::Bytes;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use switchboard::grammar::{Command, ErrorCode, Failure, Input, Notice, Reply, Signed, parse};
use switchboard::{
    Bucket, CloseReason, Codec, Connection, ConnectionError, Format, FrameError, Join, MessageId, PublishError, Result,
    Rights, Room, RoomName, Session, UserName,
};

/// The one interval that followed streams promise (docs/protocol.md): their clients cannot ask, so they tell a quiet room from a dead
/// connection by it, and proxies give up after a minute without a byte, some after half of one. What the library sends by itself,
/// after 30 s without output (`Timeouts::ping`), therefore never comes here.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// A connection and its places in rooms.
pub(super) struct Member<C: Codec> {
    pub(super) conn: Connection<C>,
    pub(super) listener: Arc<Listener>,
    pub(super) session: Session,
    pub(super) seats: Seats,
    commands: bool,
    echo: bool,
    /// It has sent nothing yet.
    is_new: bool,
    /// Where its listener puts everybody.
    pub(super) first_seat: FirstSeat,
    /// Tokens that it has shown and that were nobody's.
    pub(super) wrong_tokens: u8,
    /// What it sends.
    frames: Bucket,
    /// What it does that others are told of.
    pub(super) changes: Bucket,
    /// What it has published that nobody has confirmed yet: only where a log keeps rooms.
    pub(super) unconfirmed: Unconfirmed,
}

/// What was received, and is not text for a room.
enum Rest {
    Frame(Bytes),
    End,
    Error(ConnectionError),
    /// A text that it may not publish.
    Refused(PublishError),
}

impl<C: Codec> Member<C> {
    /// How it joins a room.
    pub(super) fn joining(&self, since: Option<MessageId>) -> Join {
        // Whoever gives no commands can go nowhere else.
        Join { since, echo: self.echo, overflow: self.listener.overflow, alone: !self.commands }
    }

    /// The room of that name, if it may join it; which is made if there is none and it may make one.
    pub(super) fn room_to_join(&self, name: &RoomName) -> Result<Room, Failure> {
        // First: whoever may not is told the same whether or not it is there.
        self.listener.may(&self.session.principal(), name, Rights::JOIN)?;
        self.listener.make(&self.session, name, self.conn.peer())
    }
}

impl<C> Member<C>
where
    C: Codec,
    C::Frame: From<Bytes> + Into<Bytes>,
{
    /// Takes a guest's name, and no place in any room yet.
    pub(super) fn enter(conn: Connection<C>, listener: Arc<Listener>, options: MemberOptions) -> Self {
        let MemberOptions { format, commands, echo } = options;
        let session = listener.hub.enter(&conn, format);
        let (seats, frames, changes) = Default::default();
        let (first_seat, wrong_tokens, unconfirmed) = Default::default();
        Self {
            conn,
            listener,
            session,
            seats,
            commands,
            echo,
            is_new: true,
            first_seat,
            wrong_tokens,
            frames,
            changes,
            unconfirmed,
        }
    }

    /// Takes its first place in a room. It may be one room too many, or could not be told what is gone of those behind `since`.
    pub(super) fn sit(&mut self, room: &Room, since: Option<MessageId>) -> Result<(), Failure> {
        let seat = self.session.join(room, self.joining(since)).map_err(unjoined)?;
        self.seats.sit(seat);
        Ok(())
    }

    /// Takes a name, before others know it by the one that it has.
    pub(super) async fn take_name(&self, name: UserName) -> Result<(), Failure> {
        self.listener.may_be_called(&self.session.principal(), &name)?;
        let renamed = self.session.rename_anywhere(name, None).await.map(drop);
        renamed.map_err(misnamed)
    }

    /// Waits for what other nodes have published in a room that it asks to join.
    async fn is_there(&self, input: &Input) -> Result<(), Failure> {
        let Input::Command(Command::Join { room: name, since, .. }) = input else { return Ok(()) };
        if !self.listener.hub.is_shared() {
            return Ok(());
        }
        let seat = self.seats.of(name).filter(|seat| !seat.is_removed());
        let room = seat.map_or_else(|| self.room_to_join(name), |seat| Ok(seat.room().clone()))?;
        there(&room, *since).await
    }

    /// Tells it what it does not get.
    pub(super) async fn refuse(&mut self, failure: &Failure) -> Result<(), ConnectionError> {
        self.send(self.session.format().failure(failure)).await
    }

    /// Tells it what is published, to its end, and listens to nothing. `keepalive` is sent now and then, so that those
    /// between do not take the connection for dead.
    pub(super) async fn follow(mut self: Box<Self>, keepalive: Bytes) -> Result {
        loop {
            match tokio::time::timeout(KEEPALIVE_INTERVAL, self.conn.recv()).await {
                Err(_) => self.send([keepalive.clone()]).await?,
                Ok(Ok(Some(_))) => {}
                Ok(Ok(None)) => return self.say_goodbye().await,
                Ok(Err(error)) => return self.explain(error),
            }
        }
    }

    /// Serves it to its end. There are thousands of these futures, which wait in `recv`: whatever is rare has a box of
    /// its own while it lasts, and takes no place in them.
    pub(super) async fn serve(mut self: Box<Self>) -> Result {
        if self.first_seat == FirstSeat::TurnedAway {
            return Box::pin(self.be_refused()).await;
        }
        if Box::pin(self.begin()).await?.is_break() {
            return Ok(());
        }
        if self.listener.datagrams == Heard::Signed {
            return Box::pin(self.serve_signed()).await;
        }
        loop {
            // Without reading, so that the peer's own send buffer fills up.
            while let Some(pause) = self.pause() {
                Box::pin(tokio::time::sleep(pause)).await;
            }
            let received = match &self.unconfirmed {
                Unconfirmed(None) => self.conn.recv().await,
                Unconfirmed(Some(_)) => Box::pin(self.recv_beside()).await?,
            };
            let Some(rest) = self.publish(received) else { continue };
            if Box::pin(self.handle_rest(rest)).await?.is_break() {
                return Ok(());
            }
        }
    }

    /// Serves it where nothing is looked at but what is signed.
    async fn serve_signed(&mut self) -> Result {
        loop {
            while let Some(pause) = self.pause() {
                tokio::time::sleep(pause).await;
            }
            let frame = match self.conn.recv().await {
                Ok(Some(frame)) => unmarked(trimmed(frame.into())),
                Ok(None) => return self.say_goodbye().await,
                Err(error) => return self.explain(error),
            };
            if Signed::is_one(&frame) && self.hand_on(&frame).await?.is_break() {
                return Ok(());
            }
        }
    }

    /// How long the rate demands to wait.
    fn pause(&mut self) -> Option<Duration> {
        self.frames.take(self.listener.started.elapsed(), self.listener.rate.now()?).err()
    }

    /// Publishes text to the current room, and gives back what is anything else.
    fn publish(&mut self, received: Result<Option<C::Frame>, ConnectionError>) -> Option<Rest> {
        let frame: Bytes = match received {
            Ok(Some(frame)) => frame.into(),
            Ok(None) => return Some(Rest::End),
            Err(error) => return Some(Rest::Error(error)),
        };
        received::log(self.conn.peer(), &frame);
        let frame = if self.is_new { self.first(frame) } else { frame };
        let frame = if self.commands { uncovered(frame) } else { frame };
        let is_repeated = !self.commands && frame.starts_with(b"/") && self.repeats_join(&frame);
        let frame = if is_repeated || self.listener.trims() { trimmed(frame) } else { frame };
        let is_command = is_repeated || (self.commands && frame.starts_with(b"/"));
        match self.seats.current() {
            Some(seat) if !is_command => {
                let published = seat.publish(&frame);
                published.map(|publication| self.unconfirmed.await_one(publication)).err().map(Rest::Refused)
            }
            _ => Some(Rest::Frame(frame)),
        }
    }

    /// The first frame, without what editors and shells put before a text.
    fn first(&mut self, frame: Bytes) -> Bytes {
        self.is_new = false;
        if self.listener.is_relay() { frame } else { unmarked(frame) }
    }

    /// Does what comes seldom.
    async fn handle_rest(&mut self, rest: Rest) -> Result<ControlFlow<()>> {
        match rest {
            Rest::Frame(frame) => self.handle_frame(frame).await,
            Rest::Refused(error) => {
                let failure = unpublished(error);
                self.note(&failure, b"");
                Ok(ControlFlow::Continue(self.refuse(&failure).await?))
            }
            Rest::End => self.say_goodbye().await.map(ControlFlow::Break),
            Rest::Error(error) => self.explain(error).map(ControlFlow::Break),
        }
    }

    /// Whether a datagram peer joins once more, because it has not heard that it did.
    fn repeats_join(&self, frame: &Bytes) -> bool {
        self.conn.peer().ip().is_some_and(|source| self.listener.is_proof(frame.clone(), source))
    }

    /// What comes before anything else.
    async fn begin(&mut self) -> Result<ControlFlow<()>, ConnectionError> {
        if self.listener.cookies.is_some() {
            return self.arrive().await;
        }
        if self.commands {
            self.welcome().await?;
        } else if self.first_seat == FirstSeat::Refused {
            return self.turn_away().await;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Ends a connection without commands that may not be where its listener puts everybody: it could go nowhere else.
    async fn turn_away(&mut self) -> Result<ControlFlow<()>, ConnectionError> {
        let room = self.listener.room.clone();
        if let Err(failure) = self.sit(&room, None) {
            // Payloads and nothing else is what a relay promises.
            if !self.listener.is_relay() {
                self.refuse(&failure).await?;
            }
            self.listener.hub.close(&self.session.name());
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Joins the room that a datagram peer has asked for. It is in no other, and gets nothing else.
    async fn arrive(&mut self) -> Result<ControlFlow<()>, ConnectionError> {
        let Some(frame) = self.conn.recv().await? else { return Ok(ControlFlow::Break(())) };
        let frame = unmarked(trimmed(frame.into()));
        let frame = if self.commands && Signed::is_one(&frame) {
            match Signed::parse(&frame) {
                Some(signed) => self.be_signer(signed).await,
                None => None,
            }
        } else {
            Some(frame)
        };
        // Whoever sends again what somebody has signed is told nothing.
        let Some(frame) = frame else { return Ok(ControlFlow::Break(())) };
        let answer = match parse(frame) {
            Ok(input) => match self.is_there(&input).await {
                Ok(()) => self.answer(input).await,
                Err(failure) => Err(failure),
            },
            Err(failure) => Err(failure),
        };
        let joined = match answer {
            Ok(Answer::Reply(joined)) => joined,
            Ok(_) => unreachable!("it was a join"),
            Err(failure) => {
                self.send(self.session.format().failure(&failure)).await?;
                return Ok(ControlFlow::Break(()));
            }
        };
        if self.commands {
            self.welcome().await?;
        }
        self.reply(&joined).await?;
        Ok(ControlFlow::Continue(()))
    }

    async fn welcome(&mut self) -> Result<(), ConnectionError> {
        let room = self.seats.current().map(|seat| seat.room().name().clone());
        self.send(self.listener.welcome(&self.session, room)).await
    }

    /// Does what a frame asks for, and tells what came of it.
    async fn handle_frame(&mut self, frame: Bytes) -> Result<ControlFlow<()>> {
        if self.commands && self.listener.cookies.is_some() && Signed::is_one(&frame) {
            return self.hand_on(&frame).await;
        }
        let asked = frame.clone();
        // Without commands only a datagram peer's join that it repeats is one.
        let input = if self.commands || self.repeats_join(&frame) { parse(frame) } else { Ok(Input::Text(frame)) };
        let answer = match input {
            Ok(Input::Command(Command::Auth(token))) => return self.show(token).await,
            Ok(input @ Input::Command(Command::Rooms)) => match self.begin_listing(&input).await {
                Ok(()) => Ok(Answer::List(self.rooms().await)),
                Err(failure) => Err(failure),
            },
            Ok(input) => {
                if let Input::Command(Command::Join { since: Some(_), .. }) = input {
                    // The past waits for nobody, and the answer is to come before it.
                    let writable = self.conn.writable();
                    writable.await;
                }
                match self.is_there(&input).await.and(self.begin_listing(&input).await) {
                    Ok(()) => self.answer(input).await,
                    Err(failure) => Err(failure),
                }
            }
            Err(failure) => Err(failure),
        };
        match answer {
            Ok(Answer::Nothing) => {}
            Ok(Answer::Reply(reply)) => self.reply(&reply).await?,
            Ok(Answer::List(list)) => {
                let frames = self.session.format().reply(&list);
                self.account().owe(frames.iter().map(Bytes::len).sum());
                self.send(frames).await?;
            }
            Ok(Answer::History(past)) => self.repeat(past).await?,
            Ok(Answer::Goodbye) => {
                self.reply(&Reply::Bye).await?;
                return Ok(ControlFlow::Break(()));
            }
            Err(failure) => {
                self.note(&failure, &asked);
                self.refuse(&failure).await?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Is whoever has signed what it came with, if that counts; then this is what it says.
    async fn be_signer(&mut self, signed: Signed) -> Option<Bytes> {
        let policy = self.listener.policy.as_ref()?;
        self.session.authorize_anywhere(policy.sender(&signed, self.conn.peer())?).await;
        Some(signed.command)
    }

    /// Does what a member has signed; or somebody who may be another, as for whoever is no member.
    async fn hand_on(&mut self, frame: &Bytes) -> Result<ControlFlow<()>> {
        let is_own = |signed: &Signed| self.session.principal().name() == Some(&signed.name);
        if let Some(signed) = Signed::parse(frame).filter(is_own) {
            // Nothing is signed twice over.
            let is_plain = !Signed::is_one(&signed.command);
            return match self.be_signer(signed).await.filter(|_| is_plain) {
                Some(command) => Box::pin(self.handle_frame(command)).await,
                None => Ok(ControlFlow::Continue(())),
            };
        }
        let Some(source) = self.conn.peer().ip() else { unreachable!("a datagram comes from an address") };
        match self.listener.handle_signed(frame, source) {
            Ok(Sought::Ping) => self.reply(&Reply::Pong).await?,
            Ok(_) => {}
            Err(failure) => self.refuse(&failure).await?,
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Lists are long beside what asks for them: one is all that is made in a turn, and an address gets so much of them.
    async fn begin_listing(&mut self, input: &Input) -> Result<(), Failure> {
        let Input::Command(Command::Who { .. } | Command::Rooms | Command::History { .. } | Command::Help) = input
        else {
            return Ok(());
        };
        tokio::task::yield_now().await;
        self.account().begin().await
    }

    /// Of the address that it comes from.
    pub(super) fn account(&self) -> Account {
        self.listener.work.account(self.conn.peer())
    }

    /// The end of input: the peer's, or the server's.
    async fn say_goodbye(&mut self) -> Result {
        Box::pin(self.confirm_all()).await?;
        if self.conn.is_draining() {
            let goodbye = Notice::Closed { reason: CloseReason::Drained };
            self.send(self.session.format().notice(&goodbye)).await?;
        }
        Ok(())
    }

    /// Says why the connection ends, if it can still be told.
    fn explain(&mut self, error: ConnectionError) -> Result {
        let format = self.session.format();
        let last_word = match error {
            // Payloads and nothing else is what a relay promises.
            _ if format == Format::Raw && !self.commands => None,
            ConnectionError::Frame(error @ FrameError::TooLong { .. }) => {
                format.failure(&Failure::new(ErrorCode::FrameTooLong, error.to_string()))
            }
            ConnectionError::Frame(error @ FrameError::Foreign { .. }) => {
                format.failure(&Failure::new(ErrorCode::WrongProtocol, error.to_string()))
            }
            ConnectionError::Frame(_) => format.notice(&Notice::Closed { reason: CloseReason::BadFrame }),
            ConnectionError::Closed(reason) => {
                self.note_expired(reason);
                format.notice(&Notice::Closed { reason })
            }
            _ => None,
        };
        if let Some(last_word) = last_word {
            let last_word = self.ended(last_word);
            self.conn.last_word(last_word);
        }
        Err(error.into())
    }

    /// Has it told to whoever looks after the server, if it may not do this.
    fn note(&self, failure: &Failure, frame: &[u8]) {
        let here = || Some(self.seats.current()?.room().name().clone());
        let room = asked::room(frame).or_else(here);
        self.listener.note(
            failure,
            &self.session.principal(),
            || self.conn.claimant(),
            (asked::action(frame), room.as_ref()),
        );
    }

    /// Tells an audit if that is why it ends.
    fn note_expired(&self, reason: CloseReason) {
        if let Some(policy) = self.listener.policy.as_ref().filter(|_| reason == CloseReason::Expired) {
            policy.audit.expired(&self.session.principal(), &self.conn.claimant());
        }
    }

    pub(super) async fn reply(&mut self, reply: &Reply) -> Result<(), ConnectionError> {
        self.send(self.session.format().reply(reply)).await
    }

    pub(super) async fn send(&mut self, frames: impl IntoIterator<Item = Bytes>) -> Result<(), ConnectionError> {
        for frame in frames {
            let frame = self.ended(frame);
            self.conn.send(frame).await?;
        }
        Ok(())
    }

    fn ended(&self, frame: Bytes) -> Bytes {
        ended::<C>(self.session.format(), frame)
    }
}

/// A frame that tells something, with the end that a line has where nothing else gives it one.
pub(super) fn ended<C: Codec>(format: Format, frame: Bytes) -> Bytes {
    let end = if format == Format::Text { C::TEXT_END } else { b"" };
    if end.is_empty() { frame } else { [&frame, end].concat().into() }
}
