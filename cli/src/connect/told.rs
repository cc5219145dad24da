//! What rooms tell, read back: an object of `json` is an event again, which any format can show.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use std::time::SystemTime;
use switchboard::grammar::{Authenticated, ErrorCode, Event, Failure, Message, MessageId, Notice, Reply, RoomSummary};
use switchboard::{CloseReason, Format, GroupName, Rights, RoomName, UserName};

/// The event in a frame of `json`; `None` for what is none, or is not known here.
pub(super) fn object(frame: &[u8]) -> Option<Event> {
    if !frame.starts_with(b"{") {
        return None;
    }
    let object = Object(serde_json::from_slice(frame).ok()?);
    if let Some(code) = object.text("error") {
        let code = ErrorCode::ALL.into_iter().find(|known| known.code() == code)?;
        return Some(Event::Failure(Failure::new(code, object.text("text")?)));
    }
    match object.text("event") {
        Some(event) => object.notice(event).map(Event::Notice).or_else(|| object.reply(event).map(Event::Reply)),
        None => object.message().map(Event::Message),
    }
}

/// The event in a line of `text`, if it tells where we are.
pub(super) fn line(frame: &[u8]) -> Option<Event> {
    let line = str::from_utf8(frame).ok()?.strip_prefix("* ")?;
    if let Some(reason) = line.strip_prefix("closed: ") {
        return Some(Event::Notice(Notice::Closed { reason: reason_named(reason)? }));
    }
    if let Some(told) = line.strip_prefix("authorized") {
        return authorized(told).map(Event::Reply);
    }
    if line == "bye" {
        return Some(Event::Reply(Reply::Bye));
    }
    if let Some(welcome) =
        line.strip_prefix("you are ").and_then(|rest| rest.strip_suffix("; /help lists the commands"))
    {
        let (name, room) = welcome.split_once(" in ")?;
        let (name, room) = (UserName::parse_any(name).ok()?, RoomName::parse(room).ok());
        return Some(Event::Reply(Reply::Welcome { name, room }));
    }
    let (room, told) = line.strip_prefix('[')?.split_once("] you ")?;
    let room = RoomName::parse(room).ok()?;
    if let Some(joined) = told.strip_prefix("joined at ") {
        let (id, members) = joined.split_once(": ")?;
        let (id, members) = (id.parse().ok()?, members.split(' ').next()?.parse().ok()?);
        return Some(Event::Reply(Reply::Joined { room, members, id, may: None }));
    }
    let current = RoomName::parse(told.strip_prefix("left; now in ")?).ok();
    Some(Event::Reply(Reply::Left { room, current }))
}

/// Whom a token shows, and until when, by what stands behind the word.
fn authorized(told: &str) -> Option<Reply> {
    let (name, expires) = told.split_once(" until ").map_or((told, None), |(name, until)| (name, Some(until)));
    let expires = expires.map(humantime::parse_rfc3339).transpose().ok()?;
    let name = if name.is_empty() { None } else { Some(UserName::parse(name.strip_prefix(" as ")?).ok()?) };
    Some(Reply::Authorized { name, expires })
}

/// The reason of this code.
pub(super) fn reason_named(code: &str) -> Option<CloseReason> {
    CloseReason::ALL.into_iter().find(|known| known.code() == code)
}

/// The frames that tell an event.
pub(super) fn frames(event: &Event, format: Format) -> Vec<Bytes> {
    match event {
        Event::Message(message) => {
            let mut frame = Vec::new();
            format.message(message, &mut frame);
            vec![frame.into()]
        }
        Event::Notice(notice) => Vec::from_iter(format.notice(notice)),
        Event::Reply(reply) => format.reply(reply),
        Event::Failure(failure) => Vec::from_iter(format.failure(failure)),
    }
}

struct Object(Value);

impl Object {
    fn text(&self, field: &str) -> Option<&str> {
        self.0[field].as_str()
    }

    fn number(&self, field: &str) -> Option<u64> {
        self.0[field].as_u64()
    }

    fn count(&self, field: &str) -> Option<usize> {
        self.number(field)?.try_into().ok()
    }

    fn list(&self, field: &str) -> Option<&Vec<Value>> {
        self.0[field].as_array()
    }

    fn room(&self) -> Option<RoomName> {
        RoomName::parse(self.text("room")?).ok()
    }

    fn name(&self, field: &str) -> Option<UserName> {
        UserName::parse_any(self.text(field)?).ok()
    }

    fn id(&self) -> Option<MessageId> {
        self.text("id")?.parse().ok()
    }

    fn payload(&self) -> Option<Bytes> {
        match self.text("text") {
            Some(text) => Some(text.to_owned().into()),
            None => STANDARD.decode(self.text("base64")?).ok().map(Bytes::from),
        }
    }

    fn time(&self, field: &str) -> Option<SystemTime> {
        humantime::parse_rfc3339(self.text(field)?).ok()
    }

    fn may(&self) -> Option<Rights> {
        // A right that is not known here is none that could be shown.
        Some(self.list("may")?.iter().filter_map(|word| word.as_str()?.parse::<Rights>().ok()).collect())
    }

    fn you(&self) -> Option<Reply> {
        let name = self.name("name")?;
        if !self.0["authenticated"].as_bool()? {
            return Some(Reply::You { name, authenticated: None });
        }
        let groups = self.list("groups")?.iter().map(|group| GroupName::parse(group.as_str()?).ok());
        let authenticated = Authenticated { groups: groups.collect::<Option<_>>()?, expires: self.time("expires") };
        Some(Reply::You { name, authenticated: Some(authenticated) })
    }

    fn message(&self) -> Option<Message> {
        let from = match self.0.get("from")? {
            Value::Null => None,
            _ => Some(self.name("from")?),
        };
        // No format but `json` itself tells the time.
        let time = SystemTime::UNIX_EPOCH;
        let (room, id, user, payload) = (self.room()?, self.id()?, self.name("user"), self.payload()?);
        Some(Message { room, id, time, from, user, payload })
    }

    fn notice(&self, event: &str) -> Option<Notice> {
        Some(match event {
            "joined" => Notice::Joined { room: self.room()?, name: self.name("name")? },
            "left" => Notice::Left { room: self.room()?, name: self.name("name")? },
            "presence" => Notice::Presence {
                room: self.room()?,
                joined: self.count("joined")?,
                left: self.count("left")?,
                // Only where there were any.
                renamed: self.count("renamed").unwrap_or(0),
                members: self.count("members")?,
            },
            "renamed" => Notice::Renamed { room: self.room()?, from: self.name("from")?, to: self.name("to")? },
            "gap" => Notice::Gap { room: self.room()?, lost: self.number("lost")?, from_seq: self.number("from_seq")? },
            "reset" => Notice::Reset { room: self.room()?, epoch: self.text("epoch")?.parse().ok()? },
            "removed" => Notice::Removed { room: self.room()? },
            "head" => {
                Notice::Head { room: self.room()?, id: self.id()?, repair: self.text("repair").map(str::to_owned) }
            }
            "announcement" => Notice::Announcement { text: self.payload()? },
            "expiring" => Notice::Expiring { seconds: self.number("seconds")?.try_into().ok()? },
            "closed" => Notice::Closed { reason: reason_named(self.text("reason")?)? },
            _ => return None,
        })
    }

    fn reply(&self, event: &str) -> Option<Reply> {
        let room = || self.room();
        Some(match event {
            "welcome" => Reply::Welcome { name: self.name("name")?, room: room() },
            "you-joined" => {
                Reply::Joined { room: room()?, members: self.count("members")?, id: self.id()?, may: self.may() }
            }
            "you-left" => {
                let current = self.text("current").and_then(|current| RoomName::parse(current).ok());
                Reply::Left { room: room()?, current }
            }
            "named" => Reply::Named { name: self.name("name")? },
            "who" => {
                let name = |name: &Value| UserName::parse_any(name.as_str()?).ok();
                let members = self.list("members")?.iter().map(name).collect::<Option<_>>()?;
                Reply::Who { room: room()?, members, total: self.count("total")? }
            }
            "rooms" => {
                let room = |room: &Value| {
                    let members = room["members"].as_u64()?.try_into().ok()?;
                    Some(RoomSummary { name: RoomName::parse(room["room"].as_str()?).ok()?, members })
                };
                let rooms = self.list("rooms")?.iter().map(room).collect::<Option<_>>()?;
                Reply::Rooms { rooms, total: self.count("total")? }
            }
            "direct" => Reply::Direct { from: self.name("from")?, text: self.payload()? },
            "history" => Reply::History { room: room()?, count: self.count("count")? },
            "format" => Reply::Formatted { format: self.text("format")?.parse().ok()? },
            "authorized" => Reply::Authorized { name: self.name("name"), expires: self.time("expires") },
            "you" => self.you()?,
            "clock" => Reply::Clock { milliseconds: self.number("milliseconds")? },
            "pong" => Reply::Pong,
            "help" => Reply::Help,
            "bye" => Reply::Bye,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> RoomName {
        RoomName::parse("lobby").unwrap()
    }

    fn name(name: &str) -> UserName {
        UserName::parse_any(name).unwrap()
    }

    fn id() -> MessageId {
        "k3f9-7".parse().unwrap()
    }

    #[test]
    fn every_object_is_the_event_that_it_tells() {
        let time = SystemTime::UNIX_EPOCH;
        let user = Some(name("alice"));
        let message = |from, payload| Message { room: room(), id: id(), time, from, user: None, payload };
        let replies = [
            Reply::Welcome { name: name("guest-7"), room: Some(room()) },
            Reply::Welcome { name: name("guest-7"), room: None },
            Reply::Joined { room: room(), members: 1, id: id(), may: None },
            Reply::Joined { room: room(), members: 1, id: id(), may: Some(Rights::HISTORY) },
            Reply::Left { room: room(), current: None },
            Reply::Left { room: room(), current: Some(room()) },
            Reply::Named { name: name("bob") },
            Reply::Who { room: room(), members: vec![name("bob"), name("guest-7")], total: 9 },
            Reply::Rooms { rooms: vec![RoomSummary { name: room(), members: 3 }], total: 1 },
            Reply::Direct { from: name("bob"), text: Bytes::from_static(b"\"psst\"") },
            Reply::History { room: room(), count: 2 },
            Reply::Formatted { format: Format::Raw },
            Reply::Authorized { name: None, expires: None },
            Reply::Authorized { name: user.clone(), expires: Some(time) },
            Reply::You { name: name("guest-7"), authenticated: None },
            Reply::You { name: name("alice"), authenticated: Some(Authenticated::default()) },
            Reply::You {
                name: name("alice"),
                authenticated: Some(Authenticated { groups: vec!["a".parse().unwrap()], expires: Some(time) }),
            },
            Reply::Clock { milliseconds: 1_764_322_271_123 },
            Reply::Pong,
            Reply::Help,
            Reply::Bye,
        ];
        let notices = [
            Notice::Joined { room: room(), name: name("bob") },
            Notice::Left { room: room(), name: name("bob") },
            Notice::Presence { room: room(), joined: 12, left: 3, renamed: 0, members: 60 },
            Notice::Presence { room: room(), joined: 0, left: 1, renamed: 2, members: 60 },
            Notice::Renamed { room: room(), from: name("guest-7"), to: name("bob") },
            Notice::Gap { room: room(), lost: 1, from_seq: 5 },
            Notice::Reset { room: room(), epoch: id().epoch },
            Notice::Removed { room: room() },
            Notice::Head { room: room(), id: "k3f9-7".parse().unwrap(), repair: Some("http://[::1]:1".to_owned()) },
            Notice::Head { room: room(), id: "k3f9-7".parse().unwrap(), repair: None },
            Notice::Announcement { text: "back at \"noon\"".into() },
            Notice::Expiring { seconds: 60 },
            Notice::Closed { reason: CloseReason::SlowConsumer },
        ];
        let events = replies.map(Event::Reply).into_iter().chain(notices.map(Event::Notice)).chain([
            Event::Failure(Failure::new(ErrorCode::NameTaken, "somebody has it")),
            Event::Message(message(Some(name("bob")), Bytes::from_static("\"hi\" \u{e4}\u{1b}".as_bytes()))),
            Event::Message(Message { user, ..message(Some(name("alice.2")), Bytes::new()) }),
            Event::Message(message(None, Bytes::from_static(b"\xff"))),
        ]);
        for event in events {
            let [frame] = &frames(&event, Format::Json)[..] else { panic!("one object: {event:?}") };
            assert_eq!(object(frame).as_ref(), Some(&event), "{frame:?}");
        }
    }

    #[test]
    fn lines_tell_where_we_are() {
        for reply in [
            Reply::Welcome { name: name("guest-7"), room: Some(room()) },
            Reply::Welcome { name: name("guest-7"), room: None },
            Reply::Joined { room: room(), members: 12, id: id(), may: None },
            Reply::Left { room: room(), current: None },
            Reply::Left { room: room(), current: Some(room()) },
            Reply::Authorized { name: None, expires: None },
            Reply::Authorized { name: Some(name("alice")), expires: None },
            Reply::Authorized { name: Some(name("alice")), expires: Some(SystemTime::UNIX_EPOCH) },
            Reply::Bye,
        ] {
            let [told] = &Format::Text.reply(&reply)[..] else { panic!("one line: {reply:?}") };
            assert_eq!(line(told), Some(Event::Reply(reply)));
        }
        let closed = Notice::Closed { reason: CloseReason::Drained };
        assert_eq!(line(b"* closed: drained"), Some(Event::Notice(closed)));
    }

    #[test]
    fn what_rooms_do_not_tell_is_nothing() {
        for other in
            ["{}", "{", "1", "null", "[]", r#"{"event":1}"#, r#"{"error":"x"}"#, r#"{"seq":1}"#, "echo: hi", ""]
        {
            assert_eq!((object(other.as_bytes()), line(other.as_bytes())), (None, None), "{other}");
        }
        for other in
            ["* you are here", "* [a b] you joined at k3f9-7: 1 member", "* [lobby] bob joined", "[lobby] you left"]
        {
            assert_eq!(line(other.as_bytes()), None, "{other}");
        }
    }
}
