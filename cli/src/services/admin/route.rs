//! What a request asks for: its method, path and query, parsed once into one enum; and what one has to be allowed for it.

use super::assets;
use super::pages::{ClosedPage, ConnectionPage, EventPage, RevocationPage, RoomPage};
use crate::web::assets::Asset;
use crate::web::query::{Query, decoded, number, parsed};
use http::Method;
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::{ConnectionId, IpNetwork, RoomName, UserName};

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    Index,
    /// Of the page.
    Part(&'static Asset),
    OpenApi,
    Metrics,
    Healthy,
    Ready,
    Stats {
        follow: bool,
    },
    Server,
    Upstreams,
    Connections(ConnectionPage),
    Connection(ConnectionId),
    CloseConnection(ConnectionId),
    Closed(ClosedPage),
    Rooms(RoomPage),
    Room(RoomName),
    Announce,
    Motd,
    SetMotd,
    ClearMotd,
    AnnounceIn(RoomName),
    Remove(RoomName, UserName),
    Purge(RoomName),
    Name(UserName),
    CloseName(UserName),
    Log,
    Events(EventPage, bool),
    Settings,
    Can,
    Revocations(RevocationPage),
    Revoke,
    /// By its id.
    Reinstate(String),
    Bans,
    Ban,
    Unban(IpNetwork),
    SetLog,
    Check,
    Reload,
    SetReady,
    Drain,
    Options {
        allow: &'static str,
    },
}

/// What somebody may do with a server, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Clearance {
    /// See sums, in which no name and no address is.
    Sums,
    /// See everything.
    View,
    /// And change it.
    Act,
}

impl Wanted {
    /// What it takes.
    pub(super) fn needs(&self) -> Clearance {
        match self {
            Self::Index
            | Self::Part(_)
            | Self::OpenApi
            | Self::Metrics
            | Self::Healthy
            | Self::Ready
            | Self::Stats { .. }
            | Self::Options { .. } => Clearance::Sums,
            Self::Server
            | Self::Upstreams
            | Self::Connections(_)
            | Self::Connection(_)
            | Self::Closed(_)
            | Self::Rooms(_)
            | Self::Room(_)
            | Self::Name(_)
            | Self::Log
            | Self::Events(..)
            | Self::Settings
            | Self::Can
            | Self::Motd
            | Self::Revocations(_)
            | Self::Bans => Clearance::View,
            Self::CloseConnection(_)
            | Self::CloseName(_)
            | Self::Announce
            | Self::SetMotd
            | Self::ClearMotd
            | Self::AnnounceIn(_)
            | Self::Remove(..)
            | Self::Purge(_)
            | Self::Revoke
            | Self::Reinstate(_)
            | Self::Ban
            | Self::Unban(_)
            | Self::SetLog
            | Self::Check
            | Self::Reload
            | Self::SetReady
            | Self::Drain => Clearance::Act,
        }
    }

    /// The room that it changes, if that is all: whoever moderates it may do that too.
    pub(super) fn room_alone(&self) -> Option<&RoomName> {
        match self {
            Self::AnnounceIn(room) | Self::Remove(room, _) | Self::Purge(room) => Some(room),
            _ => None,
        }
    }

    /// What its body is, if it has one.
    pub(super) fn body(&self) -> Option<&'static str> {
        match self {
            Self::Check => Some("application/toml"),
            Self::Can
            | Self::Announce
            | Self::SetMotd
            | Self::AnnounceIn(_)
            | Self::Revoke
            | Self::Ban
            | Self::SetLog
            | Self::Reload
            | Self::SetReady
            | Self::Drain => Some("application/json"),
            _ => None,
        }
    }
}

/// Every path, as it is described.
pub(super) const PATHS: &[&str] = &[
    "/",
    "/openapi.json",
    "/metrics",
    "/healthz",
    "/readyz",
    "/stats",
    "/server",
    "/upstreams",
    "/connections",
    "/connections/{id}",
    "/closed",
    "/rooms",
    "/rooms/{room}",
    "/rooms/{room}/announcements",
    "/rooms/{room}/history",
    "/rooms/{room}/members/{name}",
    "/announcements",
    "/motd",
    "/names/{name}",
    "/events",
    "/config",
    "/can",
    "/bans",
    "/bans/{network}",
    "/revocations",
    "/revocations/{id}",
    "/log",
    "/config/check",
    "/config/reload",
    "/ready",
    "/drain",
];

/// The methods that a path takes, if there is something.
pub(super) fn allowed(path: &str) -> Option<&'static str> {
    const READ: &str = "GET, HEAD, OPTIONS";
    let parts: Vec<_> = path.split('/').skip(1).collect();
    match (path, &parts[..]) {
        (
            "/" | "/openapi.json" | "/metrics" | "/healthz" | "/readyz" | "/stats" | "/server" | "/upstreams"
            | "/connections" | "/closed" | "/config" | "/events" | "/rooms" | "*",
            _,
        )
        | (_, ["rooms", _]) => Some(READ),
        (_, ["connections" | "names", _]) => Some("DELETE, GET, HEAD, OPTIONS"),
        ("/motd", _) => Some("DELETE, GET, HEAD, OPTIONS, PUT"),
        ("/log", _) => Some("GET, HEAD, OPTIONS, PUT"),
        ("/bans" | "/revocations", _) => Some("GET, HEAD, OPTIONS, POST"),
        (_, ["bans" | "revocations", _] | ["rooms", _, "members", _] | ["rooms", _, "history"]) => {
            Some("DELETE, OPTIONS")
        }
        ("/ready", _) => Some("PUT, OPTIONS"),
        ("/drain" | "/can" | "/announcements" | "/config/check" | "/config/reload", _)
        | (_, ["rooms", _, "announcements"]) => Some("POST, OPTIONS"),
        _ => assets::part(path).map(|_| READ),
    }
}

pub(super) fn route(method: &Method, path: &str, query: Option<&str>) -> Result<Wanted, Failure> {
    let allow = allowed(path).ok_or_else(none)?;
    if method == Method::OPTIONS {
        return Ok(Wanted::Options { allow });
    }
    if path == "*" || !allow.split(", ").any(|allowed| allowed == method.as_str()) {
        return Err(Failure::new(ErrorCode::BadMethod, format!("{path} takes {allow}")));
    }
    let mut query = Query::parse(query)?;
    let wanted = wanted(method, path, &mut query)?;
    // Probes may bring along anything.
    if !matches!(wanted, Wanted::Healthy | Wanted::Ready) {
        query.end()?;
    }
    Ok(wanted)
}

fn none() -> Failure {
    Failure::new(ErrorCode::NoSuchPath, "there is nothing here; /openapi.json lists the paths")
}

/// Somebody's name, as a part of a path.
fn named(part: &str) -> Result<UserName, Failure> {
    UserName::parse_any(&decoded(part)?).map_err(|error| Failure::new(ErrorCode::BadName, error.to_string()))
}

fn wanted(method: &Method, path: &str, query: &mut Query) -> Result<Wanted, Failure> {
    let parts: Vec<_> = path.split('/').skip(1).collect();
    let is_delete = method == Method::DELETE;
    Ok(match (path, &parts[..]) {
        ("/", _) => Wanted::Index,
        ("/openapi.json", _) => Wanted::OpenApi,
        ("/metrics", _) => Wanted::Metrics,
        ("/healthz", _) => Wanted::Healthy,
        ("/readyz", _) => Wanted::Ready,
        ("/stats", _) => Wanted::Stats { follow: query.follow()? },
        ("/connections", _) => Wanted::Connections(ConnectionPage::parse(query)?),
        ("/closed", _) => Wanted::Closed(ClosedPage::parse(query)?),
        ("/rooms", _) => Wanted::Rooms(RoomPage::parse(query)?),
        ("/config", _) => Wanted::Settings,
        ("/can", _) => Wanted::Can,
        ("/announcements", _) => Wanted::Announce,
        ("/motd", _) if is_delete => Wanted::ClearMotd,
        ("/motd", _) if method == Method::PUT => Wanted::SetMotd,
        ("/motd", _) => Wanted::Motd,
        ("/events", _) => Wanted::Events(EventPage::parse(query)?, query.follow()?),
        ("/server", _) => Wanted::Server,
        ("/upstreams", _) => Wanted::Upstreams,
        ("/log", _) if method == Method::PUT => Wanted::SetLog,
        ("/log", _) => Wanted::Log,
        ("/bans", _) if method == Method::POST => Wanted::Ban,
        ("/bans", _) => Wanted::Bans,
        ("/revocations", _) if method == Method::POST => Wanted::Revoke,
        ("/revocations", _) => Wanted::Revocations(RevocationPage::parse(query)?),
        (_, ["revocations", id]) => Wanted::Reinstate(decoded(id)?),
        (_, ["bans", network]) => Wanted::Unban(parsed(&decoded(network)?)?),
        ("/config/check", _) => Wanted::Check,
        ("/config/reload", _) => Wanted::Reload,
        ("/ready", _) => Wanted::SetReady,
        ("/drain", _) => Wanted::Drain,
        (_, ["connections", id]) => {
            let id = (number(id, 0, usize::MAX)? as u64).into();
            if is_delete { Wanted::CloseConnection(id) } else { Wanted::Connection(id) }
        }
        (_, ["rooms", room]) => Wanted::Room(parsed(&decoded(room)?)?),
        (_, ["rooms", room, "announcements"]) => Wanted::AnnounceIn(parsed(&decoded(room)?)?),
        (_, ["rooms", room, "history"]) => Wanted::Purge(parsed(&decoded(room)?)?),
        (_, ["rooms", room, "members", name]) => Wanted::Remove(parsed(&decoded(room)?)?, named(name)?),
        (_, ["names", name]) => {
            let name = named(name)?;
            if is_delete { Wanted::CloseName(name) } else { Wanted::Name(name) }
        }
        _ => Wanted::Part(assets::part(path).ok_or_else(none)?),
    })
}
