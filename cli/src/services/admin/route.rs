//! What a request asks for: its method, path and query, parsed once into one enum; and what one has to be allowed for it.

use crate::web::query::{Query, decoded, number, one_of, parsed};
use http::Method;
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::{
    CloseReason, ClosedInfo, ConnectionId, ConnectionInfo, Glob, IpNetwork, IpNetworkError, PeerAddr, RoomName,
    UserName,
};

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    Index,
    OpenApi,
    Metrics,
    Healthy,
    Ready,
    Stats { follow: bool },
    Server,
    Connections(ConnectionPage),
    Connection(ConnectionId),
    CloseConnection(ConnectionId),
    Closed(ClosedPage),
    Rooms(RoomPage),
    Room(RoomName),
    Name(UserName),
    CloseName(UserName),
    Log,
    SetLog,
    Reload,
    SetReady,
    Drain,
    Options { allow: &'static str },
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

/// What comes first in a list of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionOrder {
    Age,
    Outbox,
    Lost,
    Quiet,
    In,
    Out,
}

/// Which connections are listed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConnectionPage {
    pub(super) order: ConnectionOrder,
    pub(super) transport: Option<String>,
    pub(super) listener: Option<String>,
    pub(super) network: Option<IpNetwork>,
    pub(super) name: Option<Glob>,
    pub(super) after: Option<ConnectionId>,
    pub(super) limit: usize,
}

/// Which of those who have left are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClosedPage {
    reason: Option<CloseReason>,
    network: Option<IpNetwork>,
    pub(super) limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RoomOrder {
    Name,
    Members,
    History,
    Publications,
}

/// Which rooms are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RoomPage {
    pub(super) order: RoomOrder,
    pub(super) glob: Option<Glob>,
    pub(super) after: Option<RoomName>,
    pub(super) limit: usize,
}

impl Wanted {
    /// What it takes.
    pub(super) fn needs(&self) -> Clearance {
        match self {
            Self::Index
            | Self::OpenApi
            | Self::Metrics
            | Self::Healthy
            | Self::Ready
            | Self::Stats { .. }
            | Self::Options { .. } => Clearance::Sums,
            Self::Server
            | Self::Connections(_)
            | Self::Connection(_)
            | Self::Closed(_)
            | Self::Rooms(_)
            | Self::Room(_)
            | Self::Name(_)
            | Self::Log => Clearance::View,
            Self::CloseConnection(_)
            | Self::CloseName(_)
            | Self::SetLog
            | Self::Reload
            | Self::SetReady
            | Self::Drain => Clearance::Act,
        }
    }

    /// Whether it has a body, which is an object.
    pub(super) fn has_body(&self) -> bool {
        matches!(self, Self::SetLog | Self::Reload | Self::SetReady | Self::Drain)
    }
}

impl ConnectionPage {
    fn parse(query: &mut Query) -> Result<Self, Failure> {
        let orders = [
            ("age", ConnectionOrder::Age),
            ("outbox", ConnectionOrder::Outbox),
            ("lost", ConnectionOrder::Lost),
            ("quiet", ConnectionOrder::Quiet),
            ("in", ConnectionOrder::In),
            ("out", ConnectionOrder::Out),
        ];
        let order = query.take("sort", |text| one_of(text, orders))?.unwrap_or(ConnectionOrder::Age);
        let after = query.take("after", |text| Ok((number(text, 0, usize::MAX)? as u64).into()))?;
        paged_by(after.is_some(), order == ConnectionOrder::Age, "age")?;
        Ok(Self {
            order,
            transport: query.take("transport", |text| Ok(text.to_owned()))?,
            listener: query.take("listener", |text| Ok(text.to_owned()))?,
            network: query.take("address", network)?,
            name: query.take("name", parsed_glob)?,
            after,
            limit: query.page()?,
        })
    }

    pub(super) fn takes(&self, info: &ConnectionInfo) -> bool {
        self.transport.as_ref().is_none_or(|transport| transport == info.transport)
            && self.listener.as_ref().is_none_or(|listener| *listener == info.listener)
            && is_from(self.network, &info.peer)
    }
}

impl ClosedPage {
    /// As many as there can be with the most workers that do anything.
    pub(super) const LOOKED_AT: usize = 1000;

    fn parse(query: &mut Query) -> Result<Self, Failure> {
        let reason = |text: &str| {
            let known = CloseReason::ALL.into_iter().find(|reason| reason.code() == text);
            known.ok_or_else(|| Failure::new(ErrorCode::BadArgument, "not a close reason"))
        };
        Ok(Self {
            reason: query.take("reason", reason)?,
            network: query.take("address", network)?,
            limit: query.page()?,
        })
    }

    pub(super) fn takes(&self, info: &ClosedInfo) -> bool {
        self.reason.is_none_or(|reason| reason == info.reason) && is_from(self.network, &info.peer)
    }
}

impl RoomPage {
    fn parse(query: &mut Query) -> Result<Self, Failure> {
        let orders = [
            ("name", RoomOrder::Name),
            ("members", RoomOrder::Members),
            ("history", RoomOrder::History),
            ("publications", RoomOrder::Publications),
        ];
        let order = query.take("sort", |text| one_of(text, orders))?.unwrap_or(RoomOrder::Name);
        let after = query.take("after", parsed)?;
        paged_by(after.is_some(), order == RoomOrder::Name, "name")?;
        Ok(Self { order, glob: query.take("glob", parsed_glob)?, after, limit: query.page()? })
    }
}

/// A list that changes its order from one look to the next has no next page.
fn paged_by(goes_on: bool, is_in_order: bool, order: &str) -> Result<(), Failure> {
    if goes_on && !is_in_order {
        return Err(Failure::new(ErrorCode::BadArgument, format!("after: only with sort={order}")));
    }
    Ok(())
}

fn parsed_glob(text: &str) -> Result<Glob, Failure> {
    Glob::parse(text).map_err(|error| Failure::new(ErrorCode::BadArgument, error.to_string()))
}

/// An address with a prefix stands for the network around it.
fn network(text: &str) -> Result<IpNetwork, Failure> {
    match text.parse() {
        Ok(network) | Err(IpNetworkError::BitsBehind(network)) => Ok(network),
        Err(_) => Err(Failure::new(ErrorCode::BadArgument, "not an address or a network, as in 10.0.0.0/8")),
    }
}

fn is_from(network: Option<IpNetwork>, peer: &PeerAddr) -> bool {
    network.is_none_or(|network| peer.ip().is_some_and(|peer| network.contains(peer.ip())))
}

#[cfg(test)]
pub(super) fn is_of(text: &str, peer: &PeerAddr) -> bool {
    is_from(Some(network(text).expect("a network")), peer)
}

/// Every path, as it is described.
#[cfg(test)]
pub(super) const PATHS: &[&str] = &[
    "/",
    "/openapi.json",
    "/metrics",
    "/healthz",
    "/readyz",
    "/stats",
    "/server",
    "/connections",
    "/connections/{id}",
    "/closed",
    "/rooms",
    "/rooms/{room}",
    "/names/{name}",
    "/log",
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
            "/" | "/openapi.json" | "/metrics" | "/healthz" | "/readyz" | "/stats" | "/server" | "/connections"
            | "/closed" | "/rooms" | "*",
            _,
        )
        | (_, ["rooms", _]) => Some(READ),
        (_, ["connections" | "names", _]) => Some("DELETE, GET, HEAD, OPTIONS"),
        ("/log", _) => Some("GET, HEAD, OPTIONS, PUT"),
        ("/ready", _) => Some("PUT, OPTIONS"),
        ("/drain" | "/config/reload", _) => Some("POST, OPTIONS"),
        _ => None,
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

fn wanted(method: &Method, path: &str, query: &mut Query) -> Result<Wanted, Failure> {
    let parts: Vec<_> = path.split('/').skip(1).collect();
    let is_delete = method == Method::DELETE;
    Ok(match (path, &parts[..]) {
        ("/", _) => Wanted::Index,
        ("/openapi.json", _) => Wanted::OpenApi,
        ("/metrics", _) => Wanted::Metrics,
        ("/healthz", _) => Wanted::Healthy,
        ("/readyz", _) => Wanted::Ready,
        ("/stats", _) => {
            let follow = query.take("follow", |text| one_of(text, [("0", false), ("1", true)]))?;
            Wanted::Stats { follow: follow.unwrap_or(false) }
        }
        ("/connections", _) => Wanted::Connections(ConnectionPage::parse(query)?),
        ("/closed", _) => Wanted::Closed(ClosedPage::parse(query)?),
        ("/rooms", _) => Wanted::Rooms(RoomPage::parse(query)?),
        ("/server", _) => Wanted::Server,
        ("/log", _) if method == Method::PUT => Wanted::SetLog,
        ("/log", _) => Wanted::Log,
        ("/config/reload", _) => Wanted::Reload,
        ("/ready", _) => Wanted::SetReady,
        ("/drain", _) => Wanted::Drain,
        (_, ["connections", id]) => {
            let id = (number(id, 0, usize::MAX)? as u64).into();
            if is_delete { Wanted::CloseConnection(id) } else { Wanted::Connection(id) }
        }
        (_, ["rooms", room]) => Wanted::Room(parsed(&decoded(room)?)?),
        (_, ["names", name]) => {
            let name = UserName::parse_any(&decoded(name)?);
            let name = name.map_err(|error| Failure::new(ErrorCode::BadName, error.to_string()))?;
            if is_delete { Wanted::CloseName(name) } else { Wanted::Name(name) }
        }
        _ => return Err(none()),
    })
}
