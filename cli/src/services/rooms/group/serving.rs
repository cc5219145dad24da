//! A group's connection, from its start to its end: it joins the room, publishes what comes, and tells a quiet group how far the room is.

use super::relayed::Came;
use super::{GroupListener, received};
use crate::services::rooms::strangers::trimmed;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use switchboard::grammar::Notice;
use switchboard::{
    CloseReason, Connection, ConnectionError, Datagrams, Format, Join, Membership, MessageId, PublishError, Result,
    Session, UserName,
};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

/// What a group is called in lists, unless it has a name.
const LAN: &str = "lan";

/// Names that are tried, with a number behind them, where there are several groups.
const MOST_NAMES: usize = 64;

/// Between two tries to join a room that it may not join: what may be done is changed by a reload.
const JOIN_INTERVAL: Duration = Duration::from_secs(5);

/// Between leaving the room and saying goodbye: a tick begins behind one, and delivers behind the next.
const YIELDS: usize = 3;

/// In how many steps a heartbeat finds out that nothing is said: its end comes this much later at most.
const STEPS: u32 = 8;

pub(super) async fn serve(mut conn: Connection<Datagrams>, listener: Arc<GroupListener>) -> Result {
    listener.counts.belongs_to(conn.claimant().listener());
    let session = listener.hub.enter_as(&conn, listener.encoding.clone());
    listener.name(&session).await;
    let Some(seat) = join(&mut conn, &session, &listener).await? else { return Ok(()) };
    let mut quiet = Quiet::new(&listener);
    loop {
        let received = match quiet.next_look() {
            None => conn.recv().await,
            Some(until) => {
                let Ok(received) = timeout_at(until, conn.recv()).await else {
                    if let Some(head) = quiet.look(&listener, || conn.local_addr().map(|address| address.ip())) {
                        conn.send(head).await?;
                    }
                    continue;
                };
                received
            }
        };
        match received? {
            Some(datagram) => listener.publish(&conn, &seat, datagram),
            None => return listener.say_goodbye(&mut conn, seat).await.map_err(Into::into),
        }
    }
}

/// Joins the room, if need be later. `None` is the end.
async fn join(
    conn: &mut Connection<Datagrams>,
    session: &Session,
    listener: &GroupListener,
) -> Result<Option<Membership>, ConnectionError> {
    let join = Join { overflow: Some(listener.options.overflow), alone: true, ..Join::default() };
    let mut is_told = false;
    loop {
        match session.join(&listener.room, join) {
            Ok(seat) => return Ok(Some(seat)),
            Err(error) if !is_told => {
                warn!(peer.addr = %conn.peer(), %error, "a group may not join its room");
                is_told = true;
            }
            Err(_) => {}
        }
        // What comes meanwhile is heard by nobody.
        let until = Instant::now() + JOIN_INTERVAL;
        while let Ok(received) = timeout_at(until, conn.recv()).await {
            if received?.is_none() {
                return Ok(None);
            }
        }
    }
}

impl GroupListener {
    /// Gives a group its name, or the next one that is free.
    async fn name(&self, session: &Session) {
        let name = self.options.name.as_ref().map_or(LAN, UserName::as_str);
        let numbered = (2..=MOST_NAMES).map(|number| format!("{name}-{number}"));
        for name in std::iter::once(name.to_owned()).chain(numbered) {
            // A guest's name does, if none is free.
            if let Ok(name) = UserName::parse(&name)
                && session.rename_anywhere(name, None).await.is_ok()
            {
                return;
            }
        }
    }

    fn publish(&self, conn: &Connection<Datagrams>, seat: &Membership, datagram: Bytes) {
        received::log(conn.peer(), &datagram);
        let datagram = if self.options.format == Format::Raw { datagram } else { trimmed(datagram) };
        if self.options.format == Format::Json {
            let came = self.relays.look(&datagram, &self.seen);
            self.counts.add(came);
            match came {
                Came::New | Came::Unreadable => {}
                Came::Again | Came::Notice => return debug!(peer.addr = %conn.peer(), "left out what was here before"),
            }
        }
        let published = match self.options.name {
            Some(_) => seat.publish(&datagram),
            None => seat.publish_as(&self.stranger, &datagram),
        };
        // Nobody is answered, and the hub counts it.
        if let Err(error @ PublishError::NotAllowed) = published {
            debug!(peer.addr = %conn.peer(), %error, "a group's datagram was not published");
        }
    }

    /// Tells that nothing more comes, to those who would understand it.
    async fn say_goodbye(&self, conn: &mut Connection<Datagrams>, seat: Membership) -> Result<(), ConnectionError> {
        drop(seat);
        // What was published before goes out first, and nothing after it.
        for _ in 0..YIELDS {
            tokio::task::yield_now().await;
        }
        let says = self.options.format == Format::Json && !self.encoding.is_deaf && conn.is_draining();
        let goodbye = Notice::Closed { reason: CloseReason::Drained };
        match self.options.format.notice(&goodbye).filter(|_| says) {
            Some(goodbye) => conn.send(goodbye).await,
            None => Ok(()),
        }
    }
}

/// How long a group has not been sent anything, looked at now and then: what the room delivers does not pass by here.
struct Quiet {
    heartbeat: Option<Duration>,
    last: MessageId,
    since: Instant,
    looked: Instant,
}

impl Quiet {
    fn new(listener: &GroupListener) -> Self {
        let heartbeat = listener.options.heartbeat.filter(|_| !listener.encoding.is_deaf);
        let now = Instant::now();
        Self { heartbeat, last: listener.room.last_id(), since: now, looked: now }
    }

    fn next_look(&self) -> Option<Instant> {
        Some(self.looked + self.heartbeat? / STEPS)
    }

    /// What the group is told now, if it is time.
    fn look(&mut self, listener: &GroupListener, own: impl FnOnce() -> Option<std::net::IpAddr>) -> Option<Bytes> {
        let (now, id) = (Instant::now(), listener.room.last_id());
        self.looked = now;
        if id != self.last {
            (self.last, self.since) = (id, now);
        }
        if now.duration_since(self.since) < self.heartbeat? {
            return None;
        }
        self.since = now;
        let repair = listener.repair.url(own);
        listener.options.format.notice(&Notice::Head { room: listener.room.name().clone(), id, repair })
    }
}
