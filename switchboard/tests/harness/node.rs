//! A server in the test's runtime that hands each connection to the test, which then speaks for both sides.

use super::served::Served;
use serde_json::Value;
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{
    BoxError, Format, Handle, HubLimits, Join, Membership, Memory, MessageId, Overflow, PresenceNotices, Publication,
    RoomOptions, Session, UserName,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) const QUIET: RoomOptions = RoomOptions {
    overflow: Overflow::Disconnect,
    presence: PresenceNotices::Off,
    history_messages: None,
    history_bytes: None,
    history_age: None,
    members: None,
    rate: None,
    payload_bytes: None,
    class: None,
    durable: true,
};

/// The id of what was published where no log is.
#[track_caller]
pub(crate) fn shown(publication: Publication) -> MessageId {
    publication.published().expect("there is no log").id
}

pub(crate) struct Node {
    pub(crate) hub: Hub,
    pub(crate) memory: Memory,
    pub(crate) handle: Handle,
    pub(crate) drained: JoinHandle<Drained>,
    accepted: mpsc::Receiver<Connection<Lines>>,
}

/// Both sides of a connection, and its place in a room.
pub(crate) struct Member {
    pub(crate) peer: Peer,
    pub(crate) seat: Membership,
    pub(crate) me: Session,
    pub(crate) conn: Connection<Lines>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::on(Hub::new()).await
    }

    pub(crate) async fn limited(limits: HubLimits) -> Self {
        Self::on(Hub::with_limits(limits)).await
    }

    pub(crate) async fn on(hub: Hub) -> Self {
        Self::with(hub, Server::new()).await
    }

    pub(crate) async fn with(hub: Hub, server: Server) -> Self {
        let memory = Memory::new();
        let (hand_over, accepted) = mpsc::channel(1000);
        let server = server.memory(&memory, move |conn: Connection<Lines>| {
            let hand_over = hand_over.clone();
            async move { hand_over.send(conn).await.map_err(|_| BoxError::from("the test is over")) }
        });
        let Served { memory, handle, drained, .. } = Served::over(&memory, server).await;
        Self { hub, memory, handle, drained, accepted }
    }

    pub(crate) async fn connect(&mut self) -> (Peer, Connection<Lines>) {
        let peer = Peer::connect(&self.memory);
        (peer, self.accepted.recv().await.unwrap())
    }

    /// A member of a quiet room who gets lines for people.
    pub(crate) async fn member(&mut self, room: &str) -> Member {
        self.join(&self.quiet(room), Format::Text, Join::default()).await
    }

    pub(crate) async fn join(&mut self, room: &Room, format: Format, join: Join) -> Member {
        let (peer, conn) = self.connect().await;
        let me = self.hub.enter(&conn, format);
        let seat = me.join(room, join).unwrap();
        Member { peer, seat, me, conn }
    }

    pub(crate) fn quiet(&self, room: &str) -> Room {
        self.hub.room_with(&room.parse().unwrap(), QUIET).unwrap()
    }
}

impl Member {
    pub(crate) async fn heard(&mut self) -> Vec<String> {
        heard(&mut self.peer).await
    }
}

/// Every line that has come by the time nobody has anything left to do.
pub(crate) async fn heard(peer: &mut Peer) -> Vec<String> {
    let mut lines = Vec::new();
    while let Ok(line) = timeout(Duration::from_millis(1), peer.line()).await {
        if line.is_empty() {
            break;
        }
        lines.push(line.trim_end_matches('\n').to_owned());
    }
    lines
}

/// As [`heard`], of objects.
pub(crate) async fn told(peer: &mut Peer) -> Vec<Value> {
    heard(peer).await.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn user(name: &str) -> UserName {
    UserName::parse_any(name).unwrap()
}
