//! What we are on a server with rooms: a name, and places in rooms. It is what another connection takes up again.
//!
//! Ids are told in `json` alone, so that is what rooms are asked for, as soon as they greet; it is shown as what they would
//! have told. Lines of any other server pass as they are. Knows of no connection: it says what to send, and when.

mod connection_state;

use super::cookie::is_cookie;
use super::greeting::wants_token;
use super::said::Said;
use super::seat::{News, Seat};
use super::told;
use bytes::Bytes;
use connection_state::{ConnectionState, TokenAsked, answers};
use std::collections::VecDeque;
use std::time::Duration;
use switchboard::grammar::{Command, ErrorCode, Event, Input, Message, MessageId, Notice, Reply, parse};
use switchboard::{Format, RoomName, UserName};
use tokio::time::Instant;

/// How long a server has to greet as rooms do, before it is taken for another kind.
const GREETING: Duration = Duration::from_secs(1);

/// How long rooms have to answer. A datagram may have been lost.
const ANSWER: Duration = Duration::from_secs(10);
const DATAGRAM_ANSWER: Duration = Duration::from_secs(2);

/// Rooms take five joins and names a second.
const RATE_LIMITED: Duration = Duration::from_millis(250);

/// How long a cookie is good, at least, and a little less.
const PROOF: Duration = Duration::from_secs(50);

/// Between two attempts to get a name back: a server may take the lost connection for alive for a while.
const NAME_INTERVAL: Duration = Duration::from_secs(20);

/// What the server is, and what is wanted of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StandingOptions {
    /// To be taken up again.
    pub(super) resumes: bool,
    pub(super) is_datagrams: bool,
    /// Objects are shown as lines.
    pub(super) is_for_people: bool,
    /// By what a name is ours though the server still knows the last connection by it.
    pub(super) secret: Option<u128>,
}

#[derive(Debug)]
pub(super) struct Standing {
    options: StandingOptions,
    /// As what it is shown; `None` as it comes.
    shown: Option<Format>,
    /// Formats that were typed, and are shown once the server has come to them.
    formats: VecDeque<Format>,
    /// What we are called, and what we called ourselves.
    name: Option<UserName>,
    wanted: Option<UserName>,
    token: Option<Bytes>,
    /// The current one is the last.
    seats: Vec<Seat>,
    /// It has greeted as rooms do, now or before.
    has_rooms: bool,
    /// Of a room that takes no commands.
    followed: Option<MessageId>,
    /// Our own messages are no news.
    said: Said,
    /// Our own messages come to us too.
    echoes: bool,
    is_leaving: bool,
    on: ConnectionState,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Send(Bytes),
    /// Nothing that is typed is sent; look again then, or when something has come.
    Wait(Instant),
    /// What is typed is sent; look again then.
    Go(Option<Instant>),
    /// The server has finished.
    Left,
    /// The connection is of no use.
    Lost(&'static str),
}

/// What came of a frame.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ToShow {
    pub(super) shown: Vec<Bytes>,
    pub(super) status: Option<String>,
}

impl Standing {
    pub(super) fn new(options: StandingOptions, now: Instant) -> Self {
        Self {
            options,
            shown: options.is_for_people.then_some(Format::Text),
            formats: VecDeque::new(),
            name: None,
            wanted: None,
            token: None,
            seats: Vec::new(),
            has_rooms: false,
            followed: None,
            said: Said::default(),
            echoes: false,
            is_leaving: false,
            on: ConnectionState::new(
                now,
                if options.resumes && !options.is_datagrams { GREETING } else { Duration::ZERO },
            ),
        }
    }

    /// We said that we go.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// Behind which message to go on in a room that takes no commands: it tells where one comes in, or only what is said.
    pub(super) fn followed(&self) -> Option<MessageId> {
        let seat = self.seats.last().filter(|_| !self.has_rooms);
        seat.and_then(Seat::last).or(self.followed)
    }

    /// Over UDP: asks whether the server still knows us, which tells that what was said before has arrived.
    pub(super) fn confirm(&mut self, now: Instant) {
        if self.probe(now).is_some() && !self.on.beat.is_asking() {
            self.on.beat.due = now;
        }
    }

    /// Over UDP: a join with its cookie is sent.
    pub(super) fn proved(&mut self, join: Bytes, now: Instant) {
        self.on.proof = Some((join, now));
    }

    /// The join by which we ask whether we are still a member. A relay, which greets nobody, would publish any but the one
    /// that it has taken, and that only for as long as its cookie is good.
    fn probe(&self, now: Instant) -> Option<Bytes> {
        let seat = self.seats.last()?;
        if self.has_rooms {
            return Some(format!("/join {}", seat.room).into());
        }
        let (join, at) = self.on.proof.as_ref()?;
        (now < *at + PROOF).then(|| join.clone())
    }

    /// Over UDP: whether we are a member of a room.
    pub(super) fn has_seat(&self) -> bool {
        !self.seats.is_empty()
    }

    /// There is another connection. Whatever was asked on the one before is not answered any more.
    pub(super) fn begin_again(&mut self, now: Instant) -> Option<String> {
        self.on = ConnectionState::new(now, if self.has_rooms { ANSWER } else { Duration::ZERO });
        self.shown = self.formats.drain(..).next_back().or(self.shown);
        self.seats.iter_mut().for_each(Seat::interrupt);
        let opening =
            self.seats.last().filter(|_| self.options.is_datagrams).map(|seat| format!("/join {}", seat.room));
        self.on.is_settled = if self.options.is_datagrams { opening.is_none() } else { !self.has_rooms };
        self.on.todo.extend(opening.map(Bytes::from));
        self.on.is_settled.then(|| "reconnected".to_owned())
    }

    /// What to do, and when to ask again.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        if let Some(end) = &self.on.end {
            return end.clone();
        }
        if let Some((_, asked_at)) = self.on.asked {
            let until = asked_at + if self.options.is_datagrams { DATAGRAM_ANSWER } else { ANSWER };
            if now < until {
                return Step::Wait(until);
            }
            if !self.on.is_settled {
                return Step::Lost("no answer");
            }
            // It may be no server with rooms after all.
            (self.on.asked, self.on.todo) = (None, VecDeque::new());
        }
        if let Some(until) = self.on.not_before.filter(|until| now < *until) {
            return Step::Wait(until);
        }
        if let Some(command) = self.on.todo.pop_front() {
            self.on.asked = Some((command.clone(), now));
            return Step::Send(command);
        }
        if self.options.is_datagrams { self.beat(now) } else { self.greeted(now) }
    }

    fn greeted(&mut self, now: Instant) -> Step {
        if !self.on.has_greeted {
            if now < self.on.greeted_by {
                return Step::Wait(self.on.greeted_by);
            }
            if !self.on.is_settled {
                return Step::Lost("no greeting");
            }
        }
        match (self.on.claim, &self.wanted) {
            (Some(due), Some(name)) if now >= due => {
                (self.on.claim, self.on.is_claiming) = (Some(now + NAME_INTERVAL), true);
                Step::Send(self.options.naming(name).into())
            }
            (claim, _) => Step::Go(claim),
        }
    }

    fn beat(&mut self, now: Instant) -> Step {
        let Some(probe) = self.probe(now) else { return Step::Go(None) };
        let beat = &mut self.on.beat;
        if now >= beat.due {
            if beat.is_silent() {
                return Step::Lost("no answer");
            }
            beat.asked(now);
            return Step::Send(probe);
        }
        if beat.is_asking() && self.options.resumes { Step::Wait(beat.due) } else { Step::Go(Some(beat.due)) }
    }

    /// Whether a cookie that comes now is an answer to nothing that was typed.
    pub(super) fn is_probing(&self) -> bool {
        self.on.beat.is_asking()
    }

    /// Whether what was typed waits until it is known that somebody hears it.
    pub(super) fn holds_back(&mut self, now: Instant) -> bool {
        self.options.resumes && self.options.is_datagrams && !self.seats.is_empty() && self.on.beat.doubts(now)
    }

    /// What to send for a frame that was typed.
    pub(super) fn typed(&mut self, frame: Bytes) -> Bytes {
        if !self.options.resumes {
            return frame;
        }
        match parse(frame.clone()) {
            // Also of a server that greets only whom it knows.
            Ok(Input::Command(Command::Auth(_))) => self.token = Some(frame.clone()),
            _ if !self.on.has_greeted => {}
            Ok(Input::Text(text)) => {
                if let Some(seat) = self.seats.last() {
                    self.said.note(&seat.room, self.name.as_ref(), &text);
                }
            }
            Ok(Input::Command(Command::Pub { room, text })) => self.said.note(&room, self.name.as_ref(), &text),
            Ok(Input::Command(Command::Format(format))) => {
                self.formats.push_back(format);
                return Bytes::from_static(b"/format json");
            }
            Ok(Input::Command(Command::Name { name, secret: None })) => return self.options.naming(&name).into(),
            Ok(Input::Command(Command::Quit)) => self.is_leaving = true,
            _ => {}
        }
        frame
    }

    /// Takes a frame.
    pub(super) fn handle_frame(&mut self, frame: Bytes, now: Instant) -> ToShow {
        self.on.beat.hear(now);
        if self.is_probing() && is_cookie(&frame) {
            self.on.end = Some(Step::Lost("the server no longer knows us"));
            return ToShow::default();
        }
        let object = told::object(&frame);
        let is_object = object.is_some();
        if !self.on.has_greeted && wants_token(object.as_ref(), &frame) && !self.asked_for_token(now) {
            return ToShow::default();
        }
        let Some(mut event) = object.or_else(|| told::line(&frame)) else {
            // A message that comes again, as an object.
            let is_hidden = !self.on.is_settled && self.on.is_taking_up() && frame.starts_with(b"[");
            return ToShow { shown: if is_hidden { Vec::new() } else { vec![frame] }, status: None };
        };
        let (is_shown, status) = match &mut event {
            Event::Message(message) => (self.takes(message), None),
            Event::Notice(notice) => (self.notice(notice), None),
            Event::Reply(Reply::Welcome { name, room }) => (self.greet(name, room.as_ref(), is_object, now), None),
            Event::Reply(Reply::Joined { id, .. }) if is_object && self.is_following() => {
                // It is told each time that we come, and is where to go on until a message has come.
                (self.followed.replace(*id).is_none(), None)
            }
            Event::Reply(reply) => self.reply(reply, now),
            Event::Failure(failure) => self.refused(failure.code, now),
        };
        let shown = match self.shown {
            _ if !is_shown => Vec::new(),
            Some(format) if is_object && format != Format::Json => told::frames(&event, format),
            _ => vec![frame],
        };
        ToShow { shown, status: status.or_else(|| self.settled()) }
    }

    /// The server greets only whom it knows. Says whether to show that.
    fn asked_for_token(&mut self, now: Instant) -> bool {
        let token = self.token.clone().filter(|_| !self.on.is_settled && self.on.token == TokenAsked::No);
        let Some(token) = token else {
            // Whoever has none, or a wrong one, need not wait for it to say anything else.
            self.on.greeted_by = self.on.greeted_by.min(now);
            return true;
        };
        self.on.token = TokenAsked::Told;
        self.on.todo.push_back(token);
        false
    }

    /// Whether this is a room that takes no commands, and greets nobody.
    fn is_following(&self) -> bool {
        self.options.resumes && !self.options.is_datagrams && !self.on.has_greeted
    }

    fn takes(&mut self, message: &Message) -> bool {
        let is_own = message.from == self.name;
        let Some(seat) = self.seat(&message.room) else {
            if !self.on.has_greeted {
                self.followed = Some(message.id);
            }
            return self.on.is_settled;
        };
        match seat.take(message.id) {
            News::None => false,
            News::Repeated => true,
            News::Live => {
                self.echoes |= is_own;
                true
            }
            News::Missed => {
                let Message { room, from, payload, .. } = message;
                !self.said.knows(room, from.as_ref(), payload) || self.echoes
            }
        }
    }

    fn notice(&mut self, notice: &Notice) -> bool {
        match notice {
            Notice::Gap { room, lost, from_seq } => {
                if let Some(seat) = self.seat(room) {
                    seat.skip(*from_seq, *lost);
                }
            }
            Notice::Reset { room, epoch } => {
                if let Some(seat) = self.seat(room) {
                    seat.reset(*epoch);
                }
            }
            Notice::Closed { .. } => self.says_goodbye(),
            _ => {}
        }
        true
    }

    /// Rooms have put us into `room`. Says whether to show it.
    fn greet(&mut self, name: &UserName, room: Option<&RoomName>, is_object: bool, now: Instant) -> bool {
        let is_late = now > self.on.greeted_by;
        (self.has_rooms, self.on.has_greeted) = (true, true);
        self.name = Some(name.clone());
        if !self.options.resumes {
            return true;
        }
        let mut todo = Vec::new();
        if !is_object {
            todo.push("/format json".to_owned());
        }
        if self.on.is_settled {
            if !is_object {
                self.shown = Some(Format::Text);
            }
            // In it already: that tells the id of the last message. What was typed may have led elsewhere meanwhile.
            if let Some(room) = room.filter(|_| !is_late) {
                self.seats.push(Seat::new(room.clone()));
                todo.push(format!("/join {room}"));
            }
        } else {
            if let Some(name) = self.wanted.as_ref().filter(|wanted| *wanted != name) {
                todo.push(self.options.naming(name));
            }
            if let Some(room) = room.filter(|room| self.seats.iter().all(|seat| seat.room != **room)) {
                todo.push(format!("/leave {room}"));
            }
            todo.extend(self.seats.iter().map(Seat::join));
        }
        let token = self.token.clone().filter(|_| !self.on.is_settled && self.on.token == TokenAsked::No);
        self.on.todo.extend(token.into_iter().chain(todo.into_iter().map(Bytes::from)));
        self.on.is_settled
    }

    /// An answer. Says whether to show it, and what to say of it.
    fn reply(&mut self, reply: &mut Reply, now: Instant) -> (bool, Option<String>) {
        let asked = self.on.asked.take_if(|(command, _)| answers(reply, command)).map(|(command, _)| command);
        let mut is_shown = asked.is_none();
        let mut status = None;
        match reply {
            Reply::Joined { room, id, .. } => {
                if self.on.beat.is_asking() {
                    self.on.beat.answered(now);
                    is_shown = false;
                }
                self.sit(room, *id, asked);
            }
            Reply::Left { room, current } => {
                self.seats.retain(|seat| seat.room != *room);
                if let Some(at) = self.seats.iter().position(|seat| Some(&seat.room) == current.as_ref()) {
                    let seat = self.seats.remove(at);
                    self.seats.push(seat);
                }
            }
            Reply::Named { name } => {
                if std::mem::take(&mut self.on.is_claiming) {
                    (is_shown, status) = (false, Some(format!("{name} again")));
                }
                (self.name, self.wanted, self.on.claim) = (Some(name.clone()), Some(name.clone()), None);
            }
            Reply::History { room, count } => {
                let count = *count;
                if let Some(seat) = self.seat(room) {
                    seat.repeat(count);
                }
            }
            Reply::Formatted { format } if is_shown => {
                // It was asked for `json` in the place of what was typed.
                *format = self.formats.pop_front().unwrap_or(*format);
                self.shown = Some(*format);
            }
            Reply::Bye => {
                self.is_leaving = true;
                self.says_goodbye();
            }
            _ => {}
        }
        (is_shown, status)
    }

    fn says_goodbye(&mut self) {
        self.on.end = self.options.is_datagrams.then_some(Step::Left);
    }

    fn sit(&mut self, room: &RoomName, id: MessageId, asked: Option<Bytes>) {
        let known = self.seats.iter().position(|seat| seat.room == *room);
        let mut seat = known.map_or_else(|| Seat::new(room.clone()), |at| self.seats.remove(at));
        // With a cookie alone we came to be a member at all, and not to go on.
        if seat.last().is_none() || asked.is_none_or(|command| command.contains(&b'=')) {
            seat.enter(id);
        }
        self.seats.push(seat);
    }

    /// Something cannot be done. Says whether to show it, and what to say of it.
    fn refused(&mut self, code: ErrorCode, now: Instant) -> (bool, Option<String>) {
        if let Some((command, _)) = self.on.asked.take() {
            match (code, &self.wanted) {
                (ErrorCode::RateLimited, _) => {
                    self.on.todo.push_front(command);
                    self.on.not_before = Some(now + RATE_LIMITED);
                    return (false, None);
                }
                (ErrorCode::NameTaken, Some(wanted)) => {
                    self.on.claim = Some(now + NAME_INTERVAL);
                    return (false, Some(format!("{wanted} is taken; will ask for it again")));
                }
                _ => self.seats.retain(|seat| command != seat.join()),
            }
            return (true, None);
        }
        let is_own = matches!(code, ErrorCode::NameTaken | ErrorCode::RateLimited) && self.on.is_claiming;
        self.on.is_claiming &= !is_own;
        (!is_own, None)
    }

    /// What to say once all is taken up again.
    fn settled(&mut self) -> Option<String> {
        let is_greeted = self.on.has_greeted || self.options.is_datagrams;
        if self.on.is_settled || !is_greeted || self.on.is_taking_up() {
            return None;
        }
        // Once.
        self.on.is_settled = true;
        let rooms: Vec<_> = self.seats.iter().rev().map(|seat| seat.room.to_string()).collect();
        let rooms = if rooms.is_empty() { "no room".to_owned() } else { rooms.join(", ") };
        let name = self.name.as_ref().map_or(String::new(), |name| format!(" as {name}"));
        Some(format!("reconnected{name}, in {rooms}"))
    }

    fn seat(&mut self, room: &RoomName) -> Option<&mut Seat> {
        self.seats.iter_mut().find(|seat| seat.room == *room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELCOME: &str = "* you are guest-1 in lobby; /help lists the commands";
    const FORMAT: &str = r#"{"event":"format","format":"json"}"#;

    const RESUMES: StandingOptions =
        StandingOptions { resumes: true, is_datagrams: false, is_for_people: false, secret: None };

    /// A standing, and a clock that others move.
    struct Server(Standing, Instant);

    impl Server {
        fn new(options: StandingOptions) -> Self {
            let now = Instant::now();
            Self(Standing::new(options, now), now)
        }

        /// What is shown of a frame.
        fn tells(&mut self, frame: &str) -> Vec<String> {
            let to_show = self.0.handle_frame(Bytes::copy_from_slice(frame.as_bytes()), self.1);
            let shown = to_show.shown.iter().map(|line| String::from_utf8_lossy(line).into_owned());
            shown.chain(to_show.status.map(|status| format!("-- {status}"))).collect()
        }

        fn joined(&mut self, room: &str, id: &str) -> Vec<String> {
            self.tells(&format!(r#"{{"event":"you-joined","room":"{room}","members":1,"id":"{id}"}}"#))
        }

        fn says(&mut self, room: &str, seq: u64, from: &str, text: &str) -> Vec<String> {
            let id = format!("k3f9-{seq}");
            self.tells(&format!(
                r#"{{"room":"{room}","seq":{seq},"id":"{id}","time":"","from":"{from}","text":"{text}"}}"#
            ))
        }

        fn step(&mut self) -> Step {
            self.0.step(self.1)
        }

        /// The command that it is sent next.
        fn is_sent(&mut self) -> String {
            match self.step() {
                Step::Send(command) => String::from_utf8_lossy(&command).into_owned(),
                step => panic!("{step:?}"),
            }
        }

        fn is_lost(&mut self) {
            assert_eq!(self.0.begin_again(self.1), None);
        }

        fn after(&mut self, seconds: u64) -> &mut Self {
            self.1 += Duration::from_secs(seconds);
            self
        }

        /// In the lobby as alice, where 7 was the last message.
        fn of_alice() -> Self {
            let mut server = Self::new(RESUMES);
            assert_eq!(server.tells(WELCOME), [WELCOME]);
            assert_eq!(server.is_sent(), "/format json");
            assert!(server.tells(FORMAT).is_empty());
            assert_eq!(server.is_sent(), "/join lobby");
            assert!(server.joined("lobby", "k3f9-5").is_empty());
            assert_eq!(server.says("lobby", 7, "bob", "hi"), ["[lobby] bob: hi"]);
            assert_eq!(server.tells(r#"{"event":"named","name":"alice"}"#), ["* you are alice"]);
            server
        }
    }

    fn nothing() -> Vec<String> {
        Vec::new()
    }

    #[test]
    fn what_was_is_taken_up_one_after_the_other_and_told_at_the_end() {
        let mut server = Server::of_alice();
        server.0.typed(Bytes::from_static(b"/auth s3cret"));
        assert_eq!(server.joined("ops", "k3f9-3"), ["* [ops] you joined at k3f9-3: 1 member"]);
        server.is_lost();
        assert!(matches!(server.step(), Step::Wait(_)));
        assert_eq!(server.tells(WELCOME), nothing());
        // It comes again in its place.
        assert_eq!(server.tells("[lobby] bob: early"), nothing());
        for (command, answer) in [
            ("/auth s3cret", r#"{"event":"authorized"}"#),
            ("/format json", FORMAT),
            ("/name alice", r#"{"event":"named","name":"alice"}"#),
            ("/join lobby since=k3f9-7", r#"{"event":"you-joined","room":"lobby","members":2,"id":"k3f9-8"}"#),
        ] {
            assert_eq!(server.is_sent(), command);
            assert!(matches!(server.step(), Step::Wait(_)));
            assert_eq!(server.tells(answer), nothing());
        }
        assert_eq!(server.says("lobby", 8, "bob", "early"), ["[lobby] bob: early"]);
        assert_eq!(server.is_sent(), "/join ops since=k3f9-3");
        assert_eq!(server.joined("ops", "k3f9-3"), ["-- reconnected as alice, in ops, lobby"]);
        assert_eq!(server.step(), Step::Go(None));
    }

    #[test]
    fn a_server_that_greets_only_whom_it_knows_is_shown_the_token_again() {
        const ASKED: &str = "! not-authorized: a token is needed here";
        let mut server = Server::new(RESUMES);
        assert_eq!(server.tells(ASKED), [ASKED]);
        assert_eq!(server.step(), Step::Go(None), "nothing is waited for");
        server.0.typed(Bytes::from_static(b"/auth s3cret"));
        assert_eq!(server.tells("* authorized"), ["* authorized"]);
        assert_eq!(server.tells(WELCOME), [WELCOME]);
        for answer in [FORMAT, r#"{"event":"you-joined","room":"lobby","members":1,"id":"k3f9-5"}"#] {
            server.is_sent();
            server.tells(answer);
        }
        server.is_lost();
        assert_eq!(server.tells(ASKED), nothing());
        assert_eq!(server.is_sent(), "/auth s3cret");
        assert_eq!(server.tells("* authorized"), nothing());
        assert_eq!(server.tells(WELCOME), nothing());
        assert_eq!(server.is_sent(), "/format json");
    }

    #[test]
    fn a_name_is_asked_for_with_what_keeps_it_for_the_next_connection() {
        let mut server = Server::new(StandingOptions { secret: Some(0xabc), ..RESUMES });
        server.tells(WELCOME);
        let kept = "/name alice secret=00000000000000000000000000000abc";
        assert_eq!(server.0.typed(Bytes::from_static(b"/name alice")), kept);
        let own = "/name alice secret=000000000000000000000000000000ff";
        assert_eq!(server.0.typed(Bytes::from(own)), own, "whoever has one of its own");
        for answer in [FORMAT, r#"{"event":"you-joined","room":"lobby","members":1,"id":"k3f9-5"}"#] {
            server.is_sent();
            server.tells(answer);
        }
        server.tells(r#"{"event":"named","name":"alice"}"#);
        server.is_lost();
        server.tells(WELCOME);
        server.is_sent();
        server.tells(FORMAT);
        assert_eq!(server.is_sent(), kept);
    }

    #[test]
    fn our_own_messages_are_no_news() {
        let mut server = Server::of_alice();
        for text in ["one", "/pub lobby two"] {
            assert_eq!(server.0.typed(Bytes::from(text)), text);
        }
        server.is_lost();
        server.tells(WELCOME);
        for answer in [FORMAT, r#"{"event":"named","name":"alice"}"#] {
            server.is_sent();
            server.tells(answer);
        }
        assert_eq!(server.is_sent(), "/join lobby since=k3f9-7");
        server.joined("lobby", "k3f9-11");
        assert_eq!(server.says("lobby", 8, "alice", "one"), nothing());
        assert_eq!(server.says("lobby", 9, "alice", "two"), nothing());
        assert_eq!(server.says("lobby", 10, "alice", "one"), ["[lobby] alice: one"], "said by another alice");
        assert_eq!(server.says("lobby", 11, "bob", "one"), ["[lobby] bob: one"]);
    }

    #[test]
    fn too_much_at_once_and_a_name_that_is_taken_are_asked_for_again() {
        let mut server = Server::of_alice();
        server.is_lost();
        server.tells(WELCOME);
        server.is_sent();
        server.tells(FORMAT);
        assert_eq!(server.is_sent(), "/name alice");
        assert_eq!(server.tells(r#"{"error":"rate-limited","text":""}"#), nothing());
        assert!(matches!(server.step(), Step::Wait(_)));
        assert_eq!(server.after(1).is_sent(), "/name alice");
        let taken = r#"{"error":"name-taken","text":""}"#;
        assert_eq!(server.tells(taken), ["-- alice is taken; will ask for it again"]);
        assert_eq!(server.is_sent(), "/join lobby since=k3f9-7");
        assert_eq!(server.joined("lobby", "k3f9-7"), ["-- reconnected as guest-1, in lobby"]);
        assert!(matches!(server.step(), Step::Go(Some(_))));
        assert_eq!(server.after(20).is_sent(), "/name alice");
        assert_eq!(server.tells(taken), nothing());
        assert_eq!(server.tells(taken), ["! name-taken: "], "this is not ours");
        assert_eq!(server.after(20).is_sent(), "/name alice");
        assert_eq!(server.tells(r#"{"event":"named","name":"alice"}"#), ["-- alice again"]);
        assert_eq!(server.after(100).step(), Step::Go(None));
    }

    #[test]
    fn rooms_that_do_not_answer_are_lost_and_another_server_is_asked_nothing() {
        let mut server = Server::of_alice();
        server.is_lost();
        assert_eq!(server.after(10).step(), Step::Lost("no greeting"));
        let mut server = Server::of_alice();
        server.is_lost();
        server.tells(WELCOME);
        server.is_sent();
        assert_eq!(server.after(10).step(), Step::Lost("no answer"));
        let mut server = Server::new(RESUMES);
        assert!(matches!(server.step(), Step::Wait(_)));
        for line in ["echo: hi", "", "* you are here", "{", "[1] x", r#"{"some":"object"}"#] {
            assert_eq!(server.tells(line), [line]);
        }
        assert_eq!(server.after(1).step(), Step::Go(None));
        assert_eq!(server.0.typed(Bytes::from_static(b"/format text")), "/format text");
        assert_eq!(server.0.begin_again(server.1).as_deref(), Some("reconnected"));
        assert_eq!(server.step(), Step::Go(None));
    }

    #[test]
    fn a_person_is_shown_lines_and_a_pipe_what_comes() {
        let object = r#"{"event":"you-joined","room":"lobby","members":1,"id":"k3f9-5"}"#;
        let mut server = Server::new(StandingOptions { is_for_people: true, ..StandingOptions::default() });
        assert_eq!(server.tells(object), ["* [lobby] you joined at k3f9-5: 1 member"]);
        assert_eq!(server.tells(FORMAT), [FORMAT], "a person who asks for objects gets them");
        assert_eq!(server.tells(object), [object]);
        let mut server = Server::new(RESUMES);
        assert_eq!(server.tells(r#"{"event":"welcome","name":"guest-1","room":null}"#).len(), 1);
        assert_eq!(server.tells(object), [object]);
    }

    #[test]
    fn a_room_that_takes_no_commands_is_followed_from_where_it_took_us() {
        let mut server = Server::new(RESUMES);
        let joined = |id: &str| format!(r#"{{"event":"you-joined","room":"ops","members":1,"id":"{id}"}}"#);
        let message = |id: &str| format!(r#"{{"room":"ops","seq":1,"id":"{id}","time":"","from":null,"text":"hi"}}"#);
        let followed = |server: &Server| server.0.followed().expect("it is known").to_string();
        assert_eq!(server.tells(&joined("k3f9-0")), [joined("k3f9-0")]);
        assert_eq!(followed(&server), "k3f9-0");
        // Cut off before the first message, and again after one; then the room started over.
        for (id, next) in [("k3f9-0", "k3f9-1"), ("k3f9-1", "k3f9-2"), ("p01z-0", "p01z-1")] {
            server.0.begin_again(server.1);
            assert_eq!(server.tells(&joined(id)), nothing());
            assert_eq!(followed(&server), id);
            assert_eq!(server.tells(&message(next)).len(), 1);
            assert_eq!(followed(&server), next);
        }
    }

    /// A member over UDP, in a room that tells text.
    fn datagrams(resumes: bool) -> Server {
        let mut server = Server::new(StandingOptions { resumes, is_datagrams: true, ..StandingOptions::default() });
        assert_eq!(server.step(), Step::Go(None));
        server.0.has_rooms = true;
        assert_eq!(server.tells("* [ops] you joined at k3f9-3: 1 member").len(), 1);
        server
    }

    #[test]
    fn a_relay_is_only_asked_by_what_it_does_not_publish() {
        let mut server = Server::new(StandingOptions { is_datagrams: true, ..StandingOptions::default() });
        let join = Bytes::from_static(b"/join relay cookie=5ee47a1cd3b099");
        server.0.proved(join.clone(), server.1);
        server.tells("* [relay] you joined at k3f9-3: 1 member");
        assert_eq!(server.after(20).is_sent(), "/join relay cookie=5ee47a1cd3b099");
        server.tells("* [relay] you joined at k3f9-9: 1 member");
        assert_eq!(server.after(40).step(), Step::Go(None));
        server.0.confirm(server.1);
        assert_eq!(server.step(), Step::Go(None));
    }

    #[test]
    fn a_room_of_its_own_websocket_goes_on_behind_where_one_came_in() {
        let mut server = Server::new(RESUMES);
        server.tells(r#"{"event":"you-joined","room":"ops","members":1,"id":"k3f9-3"}"#);
        assert_eq!(server.0.followed(), Some("k3f9-3".parse().unwrap()));
        server.tells(
            r#"{"room":"ops","seq":4,"id":"k3f9-4","time":"2026-01-02T03:04:05.678Z","from":"bob","text":"hi"}"#,
        );
        assert_eq!(server.0.followed(), Some("k3f9-4".parse().unwrap()));
    }

    #[test]
    fn a_seat_over_udp_is_kept_however_long_nothing_is_said() {
        let mut server = datagrams(false);
        for _ in 0..30 {
            assert!(matches!(server.step(), Step::Go(Some(_))));
            assert_eq!(server.after(20).is_sent(), "/join ops");
            assert_eq!(server.tells("* [ops] you joined at k3f9-9: 1 member"), nothing());
        }
        // Once it is left there is none to keep.
        server.tells("* [ops] you left; now in no room");
        assert_eq!(server.after(1000).step(), Step::Go(None));
    }

    #[test]
    fn a_server_that_has_forgotten_a_seat_or_says_nothing_is_lost() {
        let mut server = datagrams(false);
        server.after(20).is_sent();
        assert_eq!(server.tells("cookie=5ee47a1cd3b099"), nothing());
        assert_eq!(server.step(), Step::Lost("the server no longer knows us"));
        let mut server = datagrams(false);
        server.after(20).is_sent();
        for _ in 0..3 {
            assert_eq!(server.after(2).is_sent(), "/join ops");
        }
        assert_eq!(server.after(2).step(), Step::Lost("no answer"));
        let mut server = datagrams(false);
        assert_eq!(server.tells("* closed: drained"), ["* closed: drained"]);
        assert_eq!(server.step(), Step::Left);
    }

    #[test]
    fn before_something_is_said_over_udp_it_is_made_sure_that_it_is_heard() {
        let mut server = datagrams(true);
        assert!(!server.0.holds_back(server.1));
        server.after(2);
        assert!(server.0.holds_back(server.1));
        assert_eq!(server.is_sent(), "/join ops");
        assert!(matches!(server.step(), Step::Wait(_)));
        assert_eq!(server.tells("* [ops] you joined at k3f9-9: 1 member"), nothing());
        assert!(!server.0.holds_back(server.1));
        assert!(matches!(server.step(), Step::Go(_)));
    }
}
