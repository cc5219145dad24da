//! What an operator sees of rooms and of those who take part: a few at a time, as whoever asks goes on.

use super::Hub;
use super::names::Reached;
use super::policy::Principal;
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
    /// Its last message: how many there were, and in which incarnation of the room.
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

/// A connection that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedConnection {
    /// Its number.
    pub id: ConnectionId,
    /// What it calls itself.
    pub name: UserName,
    /// Who it is shown to be, in a hub with a policy.
    pub principal: Option<Arc<Principal>>,
}

/// How far a list of connections with names is.
#[derive(Debug, Default)]
pub struct NamedAfter(Reached);

impl Hub {
    /// At most `limit` rooms behind `after`, by name, whoever may see them.
    pub fn room_infos(&self, after: Option<&RoomName>, limit: usize) -> Vec<RoomInfo> {
        let rooms = self.0.rooms.lock();
        let behind = rooms.range::<RoomName, _>((after.map_or(Unbounded, Excluded), Unbounded)).take(limit);
        let some: Vec<_> = behind.map(|(_, room)| Arc::clone(room)).collect();
        // Each has a lock of its own.
        drop(rooms);
        some.iter().map(|room| room.info()).collect()
    }

    /// The room of that name, whoever may see it.
    pub fn room_info(&self, name: &RoomName) -> Option<RoomInfo> {
        let room = self.0.rooms.lock().get(name).cloned();
        room.map(|room| room.info())
    }

    /// At most `limit` connections that have names, and further ones the next time; none once all were listed.
    pub fn named(&self, after: &mut NamedAfter, limit: usize) -> Vec<NamedConnection> {
        loop {
            let sessions = self.0.names.lock().some(&mut after.0, limit);
            if sessions.is_empty() {
                return Vec::new();
            }
            let named: Vec<_> = sessions.iter().filter_map(|session| session.named()).collect();
            if !named.is_empty() {
                return named;
            }
        }
    }

    /// The connection of that name, if somebody has it.
    pub fn connection(&self, name: &UserName) -> Option<NamedConnection> {
        self.0.called(name)?.named()
    }
}

impl SessionInner {
    fn named(&self) -> Option<NamedConnection> {
        Some(NamedConnection { id: self.link()?.id, name: self.name(), principal: self.principal() })
    }
}
