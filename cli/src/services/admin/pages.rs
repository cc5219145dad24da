//! Which entries of a list are wanted, and in what order: parsed once, from the parameters of a request.

use crate::policy::audit::Recorded;
use crate::policy::proof::Proof;
use crate::web::query::{Query, number, one_of, parsed};
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::{
    CloseReason, ClosedInfo, ConnectionId, ConnectionInfo, Glob, IpNetwork, IpNetworkError, NamedConnection, PeerAddr,
    RoomName,
};

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
    pub(super) room: Option<RoomName>,
    name: Option<Glob>,
    source: Option<String>,
    pub(super) after: Option<ConnectionId>,
    pub(super) limit: usize,
}

/// Which of those who have left are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClosedPage {
    reason: Option<CloseReason>,
    network: Option<IpNetwork>,
    name: Option<Glob>,
    /// Those that ended before this one.
    pub(super) after: Option<ConnectionId>,
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

/// Which events of the audit are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EventPage {
    /// Behind this number.
    pub(super) since: Option<u64>,
    event: Option<String>,
    pub(super) limit: usize,
}

/// Which revocations are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RevocationPage {
    /// Behind the one with this id.
    pub(super) after: Option<String>,
    pub(super) limit: usize,
}

impl RevocationPage {
    pub(super) fn parse(query: &mut Query) -> Result<Self, Failure> {
        Ok(Self { after: query.take("after", |text| Ok(text.to_owned()))?, limit: query.page()? })
    }
}

impl EventPage {
    pub(super) fn parse(query: &mut Query) -> Result<Self, Failure> {
        Ok(Self {
            since: query.take("since", |text| Ok(number(text, 0, usize::MAX)? as u64))?,
            event: query.take("event", |text| Ok(text.to_owned()))?,
            limit: query.page()?,
        })
    }

    pub(super) fn takes(&self, event: &Recorded) -> bool {
        self.event.as_ref().is_none_or(|wanted| wanted == event.event)
    }
}

impl ConnectionPage {
    pub(super) fn parse(query: &mut Query) -> Result<Self, Failure> {
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
            room: query.take("room", parsed)?,
            name: query.take("name", parsed_glob)?,
            source: query.take("source", |text| Ok(text.to_owned()))?,
            after,
            limit: query.page()?,
        })
    }

    /// Whether it asks for what only those have who have a name.
    pub(super) fn is_of_named(&self) -> bool {
        self.room.is_some() || self.name.is_some() || self.source.is_some()
    }

    pub(super) fn takes_named(&self, named: &NamedConnection) -> bool {
        let source = || named.principal.as_deref().and_then(Proof::of).map(Proof::source);
        self.name.as_ref().is_none_or(|glob| glob.matches(named.name.as_str(), None))
            && self.source.as_ref().is_none_or(|wanted| source().as_ref() == Some(wanted))
    }

    pub(super) fn takes(&self, info: &ConnectionInfo) -> bool {
        self.transport.as_ref().is_none_or(|transport| transport == info.transport)
            && self.listener.as_ref().is_none_or(|listener| *listener == info.listener)
            && is_from(self.network, &info.peer)
    }
}

impl ClosedPage {
    /// Of those that ended in an orderly way, and of all others.
    pub(super) const LOOKED_AT: usize = 1000;

    pub(super) fn parse(query: &mut Query) -> Result<Self, Failure> {
        let reason = |text: &str| {
            let known = CloseReason::ALL.into_iter().find(|reason| reason.code() == text);
            known.ok_or_else(|| Failure::new(ErrorCode::BadArgument, "not a close reason"))
        };
        Ok(Self {
            reason: query.take("reason", reason)?,
            network: query.take("address", network)?,
            name: query.take("name", parsed_glob)?,
            after: query.take("after", |text| Ok((number(text, 0, usize::MAX)? as u64).into()))?,
            limit: query.page()?,
        })
    }

    pub(super) fn takes(&self, info: &ClosedInfo) -> bool {
        let is_called = |glob: &Glob| info.name.as_ref().is_some_and(|name| glob.matches(name, None));
        self.reason.is_none_or(|reason| reason == info.reason)
            && is_from(self.network, &info.peer)
            && self.name.as_ref().is_none_or(is_called)
    }
}

impl RoomPage {
    pub(super) fn parse(query: &mut Query) -> Result<Self, Failure> {
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
