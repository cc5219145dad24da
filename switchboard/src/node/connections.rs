//! The live connections: list, look up, close.

use super::drain::{STEP, sleep_awake, steps};
use super::worker::Worker;
use crate::link::budget::Budget;
use crate::link::{ClosedInfo, ConnectionId, Link, PeerAddr, Tasks};
use crate::metrics::TransportTraffic;
use crate::turn::Turn;
use bytes::Bytes;
use parking_lot::Mutex;
use std::fmt;
use std::hash::RandomState;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use switchboard_proto::CloseReason;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

/// How often to wait for memory when nobody is left to close. A handler that blocks its worker may hold it for as long as it
/// likes, and the others must not wait for that.
const MOST_LOOKS: u32 = 10;

/// How long each of these times the workers have to run what was woken.
const ROUND_WAIT: Duration = Duration::from_millis(100);

/// What verifying a certificate counts as in a turn: it takes about 100 µs.
const CERTIFICATE_BYTES: usize = 128 << 10;

/// The live connections of one server. Cloning is cheap; clones show the same list.
#[derive(Clone, Default)]
pub struct Connections {
    /// None before the server serves.
    workers: Arc<Mutex<Vec<Arc<Worker>>>>,
}

/// One connection at the moment of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Its number.
    pub id: ConnectionId,
    /// Where the peer is; behind a proxy that says so, its client.
    pub peer: PeerAddr,
    /// The proxy that has said who the peer is, if there was one.
    pub via: Option<SocketAddr>,
    /// `tcp`, `tls`, `unix`, `udp` or `memory`; `http` or `https`, and `ws` or `wss` once it is a WebSocket.
    pub transport: &'static str,
    /// The listener it came to: its [name](crate::Transport::named), or `tcp://127.0.0.1:8080`. Of an outgoing one, where it leads.
    pub listener: String,
    /// Made by a [`Client`](crate::Client) of the server's own ([`Handle::client`](crate::Handle::client)), and not accepted.
    pub outgoing: bool,
    /// The time since it was accepted.
    pub age: Duration,
    /// The time since anything was received or sent, in whole seconds.
    pub quiet: Duration,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes that the socket has taken.
    pub bytes_out: u64,
    /// Frames given to the handler.
    pub frames_in: u64,
    /// Frames queued.
    pub frames_out: u64,
    /// Bytes that wait for the socket.
    pub outbox_bytes: usize,
    /// Frames that wait; all that is being written counts as one.
    pub outbox_frames: usize,
    /// How long the socket has taken nothing, in whole seconds; `None` while it takes something.
    pub blocked: Option<Duration>,
    /// Messages for it that it lost.
    pub lost: u64,
    /// How many subscriptions deliver to it.
    pub subscriptions: usize,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Connections {
    pub(super) fn add(&self, worker: Arc<Worker>) {
        self.workers.lock().push(worker);
    }

    /// The worker of the calling runtime, or a new one by `make`. Workers whose runtimes have ended are forgotten.
    ///
    /// # Panics
    /// Outside a runtime.
    pub(super) fn worker_of_caller(&self, make: impl FnOnce() -> Arc<Worker>) -> Arc<Worker> {
        let runtime = Handle::current().id();
        let mut workers = self.workers.lock();
        workers.retain(|worker| !worker.tick.has_ended());
        if let Some(worker) = workers.iter().find(|worker| worker.handle.id() == runtime) {
            return Arc::clone(worker);
        }
        let worker = make();
        workers.push(Arc::clone(&worker));
        worker
    }

    /// In the order in which they came. A copy, so that no list of connections is walked under two locks.
    pub(crate) fn workers(&self) -> Vec<Arc<Worker>> {
        self.workers.lock().clone()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.workers().iter().map(|worker| worker.link_count()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// At most `limit` connections with numbers above `after`, oldest first. For the next page, pass the last one's
    /// number.
    pub fn list(&self, after: Option<ConnectionId>, limit: usize) -> Vec<ConnectionInfo> {
        let mut links: Vec<_> = self.workers().iter().flat_map(|worker| worker.page(after, limit)).collect();
        links.sort_unstable_by_key(|link| link.id);
        links.truncate(limit);
        links.iter().map(|link| info(link)).collect()
    }

    /// One connection, if it is still there.
    pub fn get(&self, id: ConnectionId) -> Option<ConnectionInfo> {
        self.find(id).map(|link| info(&link))
    }

    /// Connections that have ended, newest first: at most `limit` of those that ended in an
    /// [orderly](CloseReason::is_orderly) way, and as many others. Each worker remembers its last 1,000 of both. Refused
    /// ones are not included.
    pub fn closed(&self, limit: usize) -> Vec<ClosedInfo> {
        let mut closed: Vec<_> = self.workers().iter().flat_map(|worker| worker.tick.closed.newest(limit)).collect();
        closed.sort_by_key(|ended| std::cmp::Reverse(ended.time));
        let mut left = [limit; 2];
        closed.retain(|ended| {
            let left = &mut left[usize::from(ended.reason.is_orderly())];
            let is_wanted = *left > 0;
            *left = left.saturating_sub(1);
            is_wanted
        });
        closed
    }

    /// Closes a connection politely ([`CloseReason::Closed`]). Says whether it was there.
    pub fn close(&self, id: ConnectionId) -> bool {
        let found = self.find(id);
        if let Some(link) = &found {
            link.end(CloseReason::Closed);
        }
        found.is_some()
    }

    /// Ends every connection whose client presented a certificate that `stands` rejects ([`CloseReason::Revoked`]): to be called once
    /// other authorities are trusted, or a revocation list has changed. `stands` gets the listener's name and the certificates, as in
    /// [`ConnectionInfo`] and [`TlsInfo`](crate::TlsInfo). Returns how many were ended. Yields about every millisecond.
    ///
    /// # Cancel safety
    /// Safe, but connections that were not checked yet stay open: call it again.
    pub async fn review_certificates(&self, mut stands: impl FnMut(&str, &[Bytes]) -> bool) -> usize {
        let (mut ended, mut turn) = (0, Turn::default());
        // Whoever comes from now on is verified by what is believed now.
        for link in self.links() {
            let Some(shown) = link.tls().map(|tls| tls.peer_certificates).filter(|shown| !shown.is_empty()) else {
                continue;
            };
            if !stands(&link.listener.name, &shown) {
                link.end(CloseReason::Revoked);
                ended += 1;
            }
            turn.spend(CERTIFICATE_BYTES).await;
        }
        ended
    }

    fn find(&self, id: ConnectionId) -> Option<Arc<Link>> {
        self.workers().iter().find_map(|worker| worker.link(id))
    }

    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.workers().iter().flat_map(|worker| worker.links()).collect()
    }

    /// Lets all connections finish, for at most `grace` or until `abort`. Returns how many had to be aborted then.
    /// Spawned tasks have the same time.
    pub(super) async fn drain(
        &self,
        tasks: &TaskTracker,
        spawned: &Tasks,
        grace: Duration,
        abort: &CancellationToken,
    ) -> usize {
        tasks.close();
        spawned.tracker.close();
        let drained = async {
            self.tell(grace).await;
            tasks.wait().await;
            spawned.tracker.wait().await;
        };
        tokio::select! {
            biased;
            () = drained => {}
            () = sleep_awake(grace) => {}
            () = abort.cancelled() => {}
        }
        let aborted = tasks.len();
        for link in self.links() {
            link.abort(CloseReason::Aborted);
        }
        if !spawned.tracker.is_empty() {
            warn!(tasks = spawned.tracker.len(), "tasks did not end with the drain and were aborted");
        }
        spawned.abort.cancel();
        // Aborted tasks end as soon as they run. One that never runs again is left behind with its worker.
        let ended = async { tokio::join!(tasks.wait(), spawned.tracker.wait()) };
        if tokio::time::timeout(Duration::from_secs(1), ended).await.is_err() {
            warn!(connections = tasks.len(), tasks = spawned.tracker.len(), "handlers or tasks block their workers");
        }
        aborted
    }

    /// Tells every connection of the drain: at once, except those whose clients come back by themselves.
    async fn tell(&self, grace: Duration) {
        let (coming_back, others): (Vec<_>, Vec<_>) = self.links().into_iter().partition(|link| link.comes_back());
        for link in others {
            link.drain();
        }
        let chance = RandomState::new();
        let steps = steps(coming_back.len(), grace, &chance);
        let mut told: Vec<_> = steps.zip(coming_back).collect();
        told.sort_unstable_by_key(|(step, _)| *step);
        let began = Instant::now();
        for (step, link) in told {
            if step > 0 {
                tokio::time::sleep_until(began + STEP * step).await;
            }
            link.drain();
        }
    }

    /// Whenever all together hold more than the budget, makes histories give way, and then closes the connections that hold most.
    /// Until then no connection that holds anything is read from. Never returns.
    pub(crate) async fn shed(&self, budget: &Budget) {
        loop {
            budget.pressure().await;
            if budget.has_written_off() {
                budget.keep_written_off(self.closable_bytes());
            }
            budget.reclaim().await;
            if budget.excess() > 0 {
                // Most of it may be about to be written, and no connection that holds any of it is read from.
                budget.relief().await;
            }
            if budget.excess() > 0 {
                self.close_largest(budget).await;
            }
            budget.relieve().await;
        }
    }

    /// What the connections hold that may still be closed.
    fn closable_bytes(&self) -> usize {
        self.links().iter().filter(|link| !link.is_aborted()).map(|link| link.charged_bytes()).sum()
    }

    /// Closes those that hold most until little enough is held, and waits until they have given it back.
    async fn close_largest(&self, budget: &Budget) {
        let mut looks = 0;
        while budget.surplus() > 0 {
            if looks == MOST_LOOKS {
                return budget.write_off();
            }
            let has_closed = self.close_some(budget.surplus());
            looks = if has_closed { 0 } else { looks + 1 };
            budget.relief().await;
            // What they hold is theirs until their tasks run, and a thread may wait for its turn on a busy machine.
            self.round().await;
        }
    }

    /// Waits until every worker has run what was woken, or for a moment: a handler may block its worker.
    async fn round(&self) {
        let rounds: Vec<_> = self.workers().iter().map(|worker| worker.round()).collect();
        let all = async {
            for round in rounds {
                // An error says that the runtime has ended: nothing of it is waited for.
                let _ = round.await;
            }
        };
        let _ = tokio::time::timeout(ROUND_WAIT, all).await;
    }

    /// Closes those that hold most until that makes up `surplus`. Returns whether there was anybody to close.
    fn close_some(&self, mut surplus: usize) -> bool {
        let mut links: Vec<_> = self.links().into_iter().map(|link| (link.charged_bytes(), link)).collect();
        // Those that are already closing give back what they hold, however much others hold.
        links.retain(|(bytes, link)| {
            let is_open = !link.is_aborted();
            surplus = if is_open { surplus } else { surplus.saturating_sub(*bytes) };
            is_open && *bytes > 0
        });
        links.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let mut has_closed = false;
        for (bytes, link) in links {
            if surplus == 0 {
                break;
            }
            surplus = surplus.saturating_sub(bytes);
            has_closed = true;
            link.shed();
        }
        has_closed
    }
}

pub(crate) fn info(link: &Link) -> ConnectionInfo {
    let TransportTraffic { bytes_in, bytes_out, frames_in, frames_out } = link.traffic.now();
    let held = link.held();
    ConnectionInfo {
        id: link.id,
        peer: link.client().clone(),
        via: link.via(),
        transport: link.transport(),
        listener: link.listener.name.clone(),
        outgoing: link.listener.counts.is_unlisted,
        age: link.opened.elapsed(),
        quiet: Duration::from_secs(link.quiet_seconds().into()),
        bytes_in,
        bytes_out,
        frames_in,
        frames_out,
        outbox_bytes: held.bytes,
        outbox_frames: held.frames,
        blocked: held.blocked_since.map(|since| Duration::from_secs(link.tick.now().saturating_sub(since).into())),
        lost: link.lost_count().into(),
        subscriptions: link.subscription_count(),
    }
}
