//! What a request asks for: its method, path and query, parsed once into one enum.
//!
//! `cli/assets/openapi.json` describes the same to programs; a test holds each to the other.

use super::page;
use crate::web::assets::Asset;
use crate::web::query::{Query, decoded, number, one_of, parsed};
use http::Method;
use switchboard::grammar::{Epoch, ErrorCode, Failure, MessageId};
use switchboard::{Format, NameError, Rights, RoomName, UserName};

/// In the place of a path: all of the server, of which one may only ask what it takes (RFC 9110 §9.3.7).
const SERVER: &str = "*";

/// What a request asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Route {
    /// A file of the page, or the description of all this.
    Asset(&'static Asset),
    Publish {
        room: RoomName,
        name: Option<UserName>,
    },
    Socket(Socket),
    /// Server-Sent Events.
    Events {
        room: RoomName,
        since: Option<MessageId>,
    },
    /// What a room still has, one object a line.
    Messages {
        room: RoomName,
        span: Span,
    },
    /// And then what is published from now on.
    Follow {
        room: RoomName,
        begin: Begin,
    },
    Rooms {
        after: Option<RoomName>,
        limit: usize,
    },
    Members {
        room: RoomName,
        skip: usize,
        limit: usize,
    },
    /// Who asks.
    Me,
    /// What stands for a token in one URL.
    Ticket,
    /// Which methods there are, or whether a page of another origin may ask.
    Options {
        allow: &'static str,
    },
}

impl Route {
    /// What somebody may have to be allowed before it is looked at whether the room is there.
    pub(super) fn needs(&self) -> Option<(&RoomName, Rights)> {
        match self {
            Self::Publish { room, .. } => Some((room, Rights::PUBLISH)),
            Self::Messages { room, .. } => Some((room, Rights::HISTORY)),
            Self::Members { room, .. } => Some((room, Rights::PRESENCE)),
            Self::Events { room, .. } | Self::Follow { room, .. } => Some((room, Rights::JOIN)),
            // It is told as a frame, which a browser can see.
            Self::Socket(_) | Self::Asset(_) | Self::Rooms { .. } | Self::Me | Self::Ticket | Self::Options { .. } => {
                None
            }
        }
    }

    /// The name that it chooses. What is wrong with a WebSocket's is told as a frame, too.
    pub(super) fn name(&self) -> Option<&UserName> {
        match self {
            Self::Publish { name, .. } => name.as_ref(),
            _ => None,
        }
    }

    /// Whether it is answered by what has no end.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(self, Self::Socket(_) | Self::Events { .. } | Self::Follow { .. })
    }
}

/// Which messages of a room: all that it has, if nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// Behind this one, the oldest first come.
    pub(super) since: Option<MessageId>,
    /// Before this one.
    pub(super) before: Option<MessageId>,
    /// No more than so many: the first behind `since`, or else the last.
    pub(super) limit: Option<usize>,
}

/// Where a follower begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Begin {
    /// Behind this message.
    Since(MessageId),
    /// With the last so many, or all that memory may keep.
    Last(Option<usize>),
}

/// A WebSocket as it is asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Socket {
    pub(super) kind: SocketKind,
    pub(super) name: Option<UserName>,
    pub(super) since: Option<MessageId>,
    /// In place of the listener's.
    pub(super) format: Option<Format>,
    /// In place of the listener's.
    pub(super) echo: Option<bool>,
}

#[derive(Debug, PartialEq)]
pub(super) enum SocketKind {
    /// In one room for good: every frame is text.
    Room(RoomName),
    /// Speaks the grammar; its first room, if not the listener's.
    Grammar(Option<RoomName>),
}

/// What stands at a path.
#[derive(Debug, Clone, Copy)]
enum Resource<'a> {
    Asset(&'static Asset),
    Rooms,
    Me,
    Tickets,
    Room(&'a str),
    RoomSocket(&'a str),
    Events(&'a str),
    Messages(&'a str),
    Members(&'a str),
    Socket,
}

impl Resource<'_> {
    fn allow(self) -> &'static str {
        match self {
            Self::Room(_) | Self::Tickets => "POST, OPTIONS",
            Self::Socket | Self::RoomSocket(_) => "GET, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }
}

/// Says what a request asks for.
pub(super) fn route(method: &Method, path: &str, query: Option<&str>) -> Result<Route, Failure> {
    if (method, path) == (&Method::OPTIONS, SERVER) {
        return Ok(Route::Options { allow: "GET, HEAD, POST, OPTIONS" });
    }
    let resource = resource(path)
        .ok_or_else(|| Failure::new(ErrorCode::NoSuchPath, "nothing is at this path; /openapi.json lists the paths"))?;
    let allow = resource.allow();
    match *method {
        Method::OPTIONS => Ok(Route::Options { allow }),
        Method::POST if allow.starts_with("POST") => parse(resource, query),
        Method::GET if allow.starts_with("GET") => parse(resource, query),
        Method::HEAD if allow.contains("HEAD") => parse(resource, query),
        _ => {
            let elsewhere = match resource {
                Resource::Room(_) => "; read messages at /rooms/ROOM/messages or /rooms/ROOM/events",
                Resource::Messages(_) | Resource::Events(_) => "; publish to /rooms/ROOM",
                _ => "",
            };
            Err(Failure::new(ErrorCode::BadMethod, format!("this path takes {allow}{elsewhere}")))
        }
    }
}

/// Every path, as `openapi.json` writes it: those of files are the first, which is the page, and the last, which is all others.
pub(super) const PATHS: &[&str] = &[
    "/",
    "/ws",
    "/me",
    "/tickets",
    "/rooms",
    "/rooms/{room}",
    "/rooms/{room}/ws",
    "/rooms/{room}/events",
    "/rooms/{room}/messages",
    "/rooms/{room}/members",
    "/{file}",
];

/// The methods that a path takes, if there is something.
pub(super) fn allowed(path: &str) -> Option<&'static str> {
    resource(path).map(Resource::allow)
}

fn resource(path: &str) -> Option<Resource<'_>> {
    if let Some(asset) = page::find(path) {
        return Some(Resource::Asset(asset));
    }
    let segments: Vec<_> = path.strip_prefix('/')?.splitn(4, '/').collect();
    Some(match segments[..] {
        ["ws"] => Resource::Socket,
        ["me"] => Resource::Me,
        ["tickets"] => Resource::Tickets,
        ["rooms"] => Resource::Rooms,
        ["rooms", "", ..] => return None,
        ["rooms", room] => Resource::Room(room),
        ["rooms", room, "ws"] => Resource::RoomSocket(room),
        ["rooms", room, "events"] => Resource::Events(room),
        ["rooms", room, "messages"] => Resource::Messages(room),
        ["rooms", room, "members"] => Resource::Members(room),
        _ => return None,
    })
}

fn parse(resource: Resource<'_>, query: Option<&str>) -> Result<Route, Failure> {
    if let Resource::Asset(asset) = resource {
        // A link to the page may carry what others put behind links.
        return Ok(Route::Asset(asset));
    }
    let mut query = Query::parse(query)?;
    let route = match resource {
        Resource::Asset(_) => unreachable!("returned above"),
        Resource::Rooms => Route::Rooms { after: query.take("after", room)?, limit: query.page()? },
        Resource::Me => Route::Me,
        Resource::Tickets => Route::Ticket,
        Resource::Room(name) => Route::Publish { room: segment(name)?, name: query.take("name", user)? },
        Resource::RoomSocket(name) => Route::Socket(socket(&mut query, SocketKind::Room(segment(name)?))?),
        Resource::Socket => {
            let room = query.take("room", room)?;
            Route::Socket(socket(&mut query, SocketKind::Grammar(room))?)
        }
        Resource::Events(name) => {
            let since = query.take("since", id)?;
            // Where libraries in the place of `EventSource` put what it has a header for.
            let last = query.take("lastEventId", |text| Ok(Some(last_event(text)).filter(|_| !text.is_empty())))?;
            Route::Events { room: segment(name)?, since: last.flatten().or(since) }
        }
        Resource::Messages(name) => messages(&mut query, segment(name)?)?,
        Resource::Members(name) => {
            let skip = query.take("skip", |text| number(text, 0, u32::MAX as usize))?.unwrap_or(0);
            Route::Members { room: segment(name)?, skip, limit: query.page()? }
        }
    };
    query.end()?;
    Ok(route)
}

/// The room that a person wants to see: its path takes publications alone, but its name is what one passes on.
pub(super) fn room_to_see(method: &Method, path: &str) -> Option<RoomName> {
    match resource(path)? {
        Resource::Room(name) if [Method::GET, Method::HEAD].contains(method) => segment(name).ok(),
        _ => None,
    }
}

/// A room's name as part of a path.
fn segment(text: &str) -> Result<RoomName, Failure> {
    let decoded = decoded(text)?;
    RoomName::parse(&decoded).map_err(bad_name)
}

fn socket(query: &mut Query, kind: SocketKind) -> Result<Socket, Failure> {
    Ok(Socket {
        kind,
        name: query.take("name", user)?,
        since: query.take("since", id)?,
        format: query.take("format", parsed)?,
        echo: query.take("echo", |text| one_of(text, [("on", true), ("off", false)]))?,
    })
}

fn messages(query: &mut Query, room: RoomName) -> Result<Route, Failure> {
    let (since, before) = (query.take("since", id)?, query.take("before", id)?);
    let limit = query.take("limit", |text| number(text, 0, u32::MAX as usize))?;
    match (query.follow()?, since, limit) {
        (false, ..) => Ok(Route::Messages { room, span: Span { since, before, limit } }),
        (true, ..) if before.is_some() => {
            Err(Failure::new(ErrorCode::BadArgument, "what is followed has no end: give follow or before, not both"))
        }
        (true, None, _) => Ok(Route::Follow { room, begin: Begin::Last(limit) }),
        (true, Some(since), None) => Ok(Route::Follow { room, begin: Begin::Since(since) }),
        // Some messages would be missing between what is limited and what is followed.
        (true, Some(_), Some(_)) => {
            Err(Failure::new(ErrorCode::BadArgument, "with follow, give since or limit, not both"))
        }
    }
}

fn room(text: &str) -> Result<RoomName, Failure> {
    RoomName::parse(text).map_err(bad_name)
}

fn user(text: &str) -> Result<UserName, Failure> {
    UserName::parse(text).map_err(bad_name)
}

fn id(text: &str) -> Result<MessageId, Failure> {
    parsed(text)
}

/// The message that somebody saw last, as libraries keep it. What is no id of ours is of an incarnation that nobody knows
/// any more: who sends it cannot do better, and would ask for ever.
pub(super) fn last_event(text: &str) -> MessageId {
    text.parse().unwrap_or(MessageId { epoch: Epoch::new(0), seq: 0 })
}

fn bad_name(error: NameError) -> Failure {
    Failure::new(ErrorCode::BadName, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Result<Route, Failure> {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        route(&Method::GET, path, query)
    }

    fn room_name(name: &str) -> RoomName {
        RoomName::parse(name).expect("a name")
    }

    fn id(text: &str) -> MessageId {
        text.parse().expect("an id")
    }

    #[track_caller]
    fn refused(result: Result<Route, Failure>, code: ErrorCode) {
        assert_eq!(result.expect_err("it is wrong").code, code);
    }

    #[test]
    fn a_path_and_its_parameters_are_one_route() {
        let ops = || room_name("ops");
        assert_eq!(get("/rooms"), Ok(Route::Rooms { after: None, limit: 100 }));
        assert_eq!(get("/rooms?limit=1&after=ops"), Ok(Route::Rooms { after: Some(ops()), limit: 1 }));
        assert_eq!(get("/rooms/ops/members?skip=7"), Ok(Route::Members { room: ops(), skip: 7, limit: 100 }));
        assert_eq!(get("/rooms/ops/events?since=k3f9-7"), Ok(Route::Events { room: ops(), since: Some(id("k3f9-7")) }));
        for (query, since) in [
            ("lastEventId=k3f9-7", Some("k3f9-7")),
            ("since=k3f9-1&lastEventId=k3f9-7", Some("k3f9-7")),
            ("since=k3f9-1&lastEventId=", Some("k3f9-1")),
            ("lastEventId=", None),
            ("lastEventId=7", Some("0-0")),
        ] {
            let since = since.map(id);
            assert_eq!(get(&format!("/rooms/ops/events?{query}")), Ok(Route::Events { room: ops(), since }), "{query}");
        }
        let name = Some(UserName::parse("alice").expect("a name"));
        let publish = route(&Method::POST, "/rooms/o%70s", Some("name=%61lice"));
        assert_eq!(publish, Ok(Route::Publish { room: ops(), name: name.clone() }));
        let socket = Socket {
            kind: SocketKind::Room(ops()),
            name: name.clone(),
            since: Some(id("k3f9-7")),
            format: Some(Format::Raw),
            echo: Some(true),
        };
        assert_eq!(get("/rooms/ops/ws?name=alice&since=k3f9-7&format=raw&echo=on"), Ok(Route::Socket(socket)));
        let (since, format, echo) = (None, None, Some(false));
        let socket = Socket { kind: SocketKind::Grammar(Some(ops())), name: None, since, format, echo };
        assert_eq!(get("/ws?room=ops&echo=off"), Ok(Route::Socket(socket)));
    }

    #[test]
    fn messages_are_read_to_an_end_or_followed() {
        let ops = || room_name("ops");
        let read = |since: Option<&str>, before: Option<&str>, limit| {
            Ok(Route::Messages { room: ops(), span: Span { since: since.map(id), before: before.map(id), limit } })
        };
        assert_eq!(get("/rooms/ops/messages"), read(None, None, None));
        assert_eq!(get("/rooms/ops/messages?since=k3f9-7&limit=0&follow=0"), read(Some("k3f9-7"), None, Some(0)));
        assert_eq!(get("/rooms/ops/messages?before=k3f9-7&limit=5"), read(None, Some("k3f9-7"), Some(5)));
        assert_eq!(get("/rooms/ops/messages?since=k3f9-2&before=k3f9-7"), read(Some("k3f9-2"), Some("k3f9-7"), None));
        let follow = |begin| Ok(Route::Follow { room: ops(), begin });
        assert_eq!(get("/rooms/ops/messages?follow=1"), follow(Begin::Last(None)));
        assert_eq!(get("/rooms/ops/messages?follow=1&limit=5"), follow(Begin::Last(Some(5))));
        assert_eq!(get("/rooms/ops/messages?follow=1&since=k3f9-7"), follow(Begin::Since(id("k3f9-7"))));
        refused(get("/rooms/ops/messages?follow=1&since=k3f9-7&limit=5"), ErrorCode::BadArgument);
        refused(get("/rooms/ops/messages?follow=1&before=k3f9-7"), ErrorCode::BadArgument);
    }

    #[test]
    fn what_has_another_path_is_told_which() {
        let text = |method, path| route(&method, path, None).expect_err("it is wrong").text;
        assert!(
            text(Method::GET, "/rooms/ops").ends_with("; read messages at /rooms/ROOM/messages or /rooms/ROOM/events")
        );
        for path in ["/rooms/ops/messages", "/rooms/ops/events"] {
            assert!(text(Method::POST, path).ends_with("; publish to /rooms/ROOM"), "{path}");
        }
        let id = get("/rooms/ops/messages?since=").expect_err("it is wrong").text;
        assert_eq!(id, "since: not a message id such as k3f9-7 (0-0 is before all that is kept)");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for path in ["/rooms/", "/rooms//ws", "/rooms//messages"] {
            refused(get(path), ErrorCode::NoSuchPath);
        }
        for path in ["/rooms/a%20b/events", "/ws?name=http", "/ws?room=", "/rooms?after=%C3%A4"] {
            refused(get(path), ErrorCode::BadName);
        }
        for path in [
            "/rooms?limit=0",
            "/rooms?limit=1001",
            "/rooms?limit=+1",
            "/rooms?limit=99999999999999999999",
            "/rooms?limit=1&limit=1",
            "/rooms?skip=1",
            "/rooms?%",
            "/rooms/%zz/events",
            "/rooms/%ff/events",
            "/rooms/ops/events?since=",
            "/rooms/ops/events?since=7",
            "/rooms/ops/events?before=k3f9-7",
            "/rooms/ops/messages?before=7",
            "/rooms/ops/events?name=alice",
            "/rooms/ops/messages?lastEventId=k3f9-7",
            "/rooms/ops/messages?follow=yes",
            "/rooms/ops/ws?room=ops",
            "/ws?format=events",
            "/ws?echo=1",
        ] {
            refused(get(path), ErrorCode::BadArgument);
        }
        for (path, named) in
            [("/rooms?foo=1", "foo"), ("/rooms?limit=1&limit=1", "limit"), ("/rooms?limit=no", "limit")]
        {
            let text = get(path).expect_err("it is wrong").text;
            assert!(text.contains(named), "{text}");
        }
        let many: Vec<_> = (0..20_000).map(|number| number.to_string()).collect();
        refused(get(&format!("/rooms?{}", many.join("&"))), ErrorCode::BadArgument);
        for path in ["", "rooms", "/room", "/rooms/a/b", "/rooms/a/ws/b", "/ws/", "//", "/WS", "*"] {
            refused(get(path), ErrorCode::NoSuchPath);
        }
    }

    #[test]
    fn each_path_takes_its_methods() {
        let methods = |path: &str| {
            let all = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS];
            all.into_iter()
                .filter(
                    |method| !matches!(route(method, path, None), Err(failure) if failure.code == ErrorCode::BadMethod),
                )
                .collect::<Vec<_>>()
        };
        assert_eq!(methods("/rooms/ops"), [Method::POST, Method::OPTIONS]);
        for path in ["/ws", "/rooms/ops/ws"] {
            assert_eq!(methods(path), [Method::GET, Method::OPTIONS], "{path}");
        }
        for path in ["/", "/rooms", "/rooms/ops/events", "/rooms/ops/messages", "/rooms/ops/members"] {
            assert_eq!(methods(path), [Method::GET, Method::HEAD, Method::OPTIONS], "{path}");
        }
        assert_eq!(allowed("/rooms/ops"), Some("POST, OPTIONS"));
        assert_eq!(route(&Method::OPTIONS, "/rooms/ops", Some("any")), Ok(Route::Options { allow: "POST, OPTIONS" }));
        assert_eq!(route(&Method::OPTIONS, "*", None), Ok(Route::Options { allow: "GET, HEAD, POST, OPTIONS" }));
        refused(route(&Method::POST, "*", None), ErrorCode::NoSuchPath);
        assert_eq!(allowed("/nowhere"), None);
    }

    #[test]
    fn the_page_ignores_what_stands_behind_a_link_to_it() {
        let asset =
            |route: Result<Route, Failure>| matches!(route, Ok(Route::Asset(asset)) if asset.name == "index.html");
        assert!(asset(get("/")) && asset(get("/?from=elsewhere")));
    }
}
