//! What an operator sees of rooms and of those who take part: a few at a time, as whoever asks goes on.

use super::Hub;
use super::names::Reached;
use super::policy::Principal;
use super::posting::MembershipId;
use super::room::RoomClass;
use super::session::SessionInner;
use crate::link::ConnectionId;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use switchboard_proto::{MessageId, RoomName, UserName};

/// One room at the moment of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomInfo {
    /// What it is called.
    pub name: RoomName,
    /// How many members it has.
    pub members: usize,
    /// The id of its last message.
    pub last: MessageId,
    /// Messages that it keeps.
    pub history_messages: usize,
    /// Bytes that those take.
    pub history_bytes: usize,
    /// Whether a [log](crate::log) keeps it.
    pub is_durable: bool,
    /// With which others it is counted.
    pub class: Option<RoomClass>,
}

/// A connection with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedConnection {
    /// Its number.
    pub id: ConnectionId,
    /// What it calls itself.
    pub name: UserName,
    /// Its principal, in a hub with a policy.
    pub principal: Option<Arc<Principal>>,
}

/// Where the next page of connections with names begins.
#[derive(Debug, Default)]
pub struct NamedAfter(Reached);

/// Where the next page of a room's connections with names begins.
#[derive(Debug, Default)]
pub struct MemberAfter(Option<MembershipId>);

impl Hub {
    /// At most `limit` rooms after `after`, by name, whatever the policy says.
    pub fn room_infos(&self, after: Option<&RoomName>, limit: usize) -> Vec<RoomInfo> {
        let rooms = self.0.rooms.lock();
        let behind = rooms.range::<RoomName, _>((after.map_or(Unbounded, Excluded), Unbounded)).take(limit);
        let some: Vec<_> = behind.map(|(_, room)| Arc::clone(room)).collect();
        // Each has a lock of its own.
        drop(rooms);
        some.iter().map(|room| room.info()).collect()
    }

    /// The room of that name, whatever the policy says.
    pub fn room_info(&self, name: &RoomName) -> Option<RoomInfo> {
        let room = self.0.rooms.lock().get(name).cloned();
        room.map(|room| room.info())
    }

    /// The next `limit` connections with names at most; none once all were listed.
    pub fn named(&self, after: &mut NamedAfter, limit: usize) -> Vec<NamedConnection> {
        connections(|| self.0.names.lock().some(&mut after.0, limit))
    }

    /// The next `limit` connections with names at most that are in a room, in the order in which they joined, whatever the policy
    /// says; none once all were listed, or if there is no such room.
    pub fn named_in(&self, room: &RoomName, after: &mut MemberAfter, limit: usize) -> Vec<NamedConnection> {
        let Some(room) = self.0.rooms.lock().get(room).cloned() else { return Vec::new() };
        connections(|| room.sessions_behind(&mut after.0, limit))
    }

    /// The connection with that name, if there is one.
    pub fn connection(&self, name: &UserName) -> Option<NamedConnection> {
        self.0.called(name)?.named()
    }
}

/// Those of the next sessions that have a connection; none once there are no more.
fn connections(mut next: impl FnMut() -> Vec<Arc<SessionInner>>) -> Vec<NamedConnection> {
    loop {
        let sessions = next();
        let named: Vec<_> = sessions.iter().filter_map(|session| session.named()).collect();
        if sessions.is_empty() || !named.is_empty() {
            return named;
        }
    }
}

impl SessionInner {
    fn named(&self) -> Option<NamedConnection> {
        Some(NamedConnection { id: self.link()?.id, name: self.name(), principal: self.principal() })
    }
}
