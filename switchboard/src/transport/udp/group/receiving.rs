//! What comes from a group, until its server drains: heard, or dropped and counted; and interfaces that come and go meanwhile.
//!
//! Nothing is ever answered.

use super::super::batch::{BATCH, Fate, exchange, readable, take_rest, take_rest_now};
use super::super::ends::Family;
use super::super::interfaces::Interface;
use super::super::{Datagram, DatagramReply};
use super::ends::{GroupEnds, Receiving};
use super::{GroupSockets, Rules};
use crate::metrics::DatagramFate;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use switchboard_proto::{Bucket, Buckets, Rate};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often interfaces are looked at: whoever waits for one that comes back waits 6 s at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// After a connection has ended, and before the next one.
const REST: Duration = Duration::from_secs(1);

/// Buckets for sources, 32 KiB: hosts of one link, rather than of the whole network.
const BUCKETS: usize = 1 << 12;

/// How much is heard.
pub(super) struct GroupGate {
    sources: Vec<IpAddr>,
    from_one: Option<Buckets>,
    from_all: Option<(Bucket, Rate)>,
    key: RandomState,
    started: Instant,
}

impl GroupGate {
    pub(super) fn new(rules: &Rules) -> Self {
        let (from_one, from_all) = rules.received;
        Self {
            sources: rules.sources.clone(),
            from_one: from_one.map(|rate| Buckets::new(BUCKETS, rate)),
            from_all: from_all.map(|rate| (Bucket::default(), rate)),
            // Secret, so that nobody can choose whose bucket to empty.
            key: RandomState::new(),
            started: Instant::now(),
        }
    }

    /// Whether a datagram from there is heard. One that is not takes nothing of what there is for all.
    fn hears(&mut self, source: IpAddr) -> bool {
        if !self.sources.is_empty() && !self.sources.contains(&source) {
            return false;
        }
        let now = self.started.elapsed();
        let hash = self.key.hash_one(source);
        self.from_one.as_mut().is_none_or(|buckets| buckets.take(hash, now))
            && self.from_all.as_mut().is_none_or(|(bucket, rate)| bucket.take(now, *rate).is_ok())
    }
}

/// Receives from a group until the `drain`. `open` makes a connection of what it is given, unless there are too many, and has the token
/// cancelled when that is over.
pub(crate) async fn serve(ends: Arc<GroupEnds>, open: impl Fn(CancellationToken) -> bool, drain: CancellationToken) {
    ends.log_interfaces();
    let mut looks = interval_at(Instant::now() + LOOK_INTERVAL, LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut member = GroupEnds::open(&open);
    loop {
        // A copy of the descriptor: the one here is also read when its connection drains.
        let socket = ends.socket().and_then(|socket| socket.try_clone().ok()).map(readable);
        let until = until_something(&ends, socket.as_ref(), (&mut looks, &member));
        match drain.run_until_cancelled(until).await {
            None => break,
            Some(Happened::Looked) => {}
            Some(Happened::Ended) => {
                if drain.run_until_cancelled(sleep(REST)).await.is_some() {
                    member = GroupEnds::open(&open);
                }
            }
        }
    }
    if let Some(socket) = ends.socket() {
        take_rest(&ends.counts, || (ends.receive(&socket), Vec::new())).await;
    }
}

enum Happened {
    /// The interfaces are others, or may be.
    Looked,
    /// There is no connection any more.
    Ended,
}

/// Receives until there is something else to do.
///
/// # Cancel safety
/// Safe: what was received is where the connection reads it.
async fn until_something(
    ends: &GroupEnds,
    socket: Option<&AsyncFd<UdpSocket>>,
    (looks, member): (&mut Interval, &CancellationToken),
) -> Happened {
    tokio::select! {
        () = receive_all(ends, socket) => Happened::Looked,
        () = member.cancelled() => Happened::Ended,
        _ = looks.tick() => {
            ends.look();
            Happened::Looked
        }
    }
}

/// Receives for ever. Without a socket nothing comes.
async fn receive_all(ends: &GroupEnds, socket: Option<&AsyncFd<UdpSocket>>) {
    let Some(socket) = socket else { return std::future::pending().await };
    while let Ok(mut ready) = socket.readable().await {
        if ends.receive(socket.get_ref()) < BATCH {
            ready.clear_ready();
        }
        drop(ready);
        // The connection reads what has arrived before more comes.
        tokio::task::yield_now().await;
    }
}

impl GroupEnds {
    fn open(open: impl Fn(CancellationToken) -> bool) -> CancellationToken {
        let ended = CancellationToken::new();
        if !open(ended.clone()) {
            // Once more in a moment: there may be room by then.
            ended.cancel();
        }
        ended
    }

    fn socket(&self) -> Option<Arc<UdpSocket>> {
        self.receiving.lock().sockets.socket.clone()
    }

    /// Takes a batch from the kernel. Returns how many datagrams there were.
    pub(super) fn receive(&self, socket: &UdpSocket) -> usize {
        let mut receiving = self.receiving.lock();
        let hear = |datagram: Datagram<'_>, _, _: &mut DatagramReply<'_>| self.hear(&mut receiving, &datagram);
        exchange((socket, Family::of(self.address)), &self.counts, hear).0
    }

    /// Reads what the kernel has now.
    pub(super) fn receive_rest(&self) {
        if let Some(socket) = self.socket() {
            take_rest_now(|| self.receive(&socket));
        }
    }

    fn hear(&self, receiving: &mut Receiving, datagram: &Datagram<'_>) -> Fate {
        let Datagram { payload, source } = datagram;
        if self.own.holds(*source) {
            return Fate::Own;
        }
        // Relaxed: a bound that guards no other memory.
        let fits = payload.len() <= self.frame_bytes.load(Ordering::Relaxed);
        if !fits || self.bans.hold(source.ip()) || !receiving.gate.hears(source.ip()) {
            return Fate::Refused;
        }
        if !receiving.arrivals.as_ref().is_some_and(|arrivals| arrivals.put(payload, &self.tick)) {
            self.counts.add(DatagramFate::Dropped, 1);
        }
        Fate::Taken
    }

    /// Looks whether its interfaces are still what they were, and opens other sockets if not.
    fn look(&self) {
        let (interfaces, missing) = match self.group.chosen_now(self.address) {
            Ok(chosen) => chosen,
            Err(error) => return warn!(listener = self.name, %error, "interfaces of a group could not be looked at"),
        };
        if alike(&self.receiving.lock().sockets.interfaces, &interfaces, self.address) {
            return;
        }
        // What came before is heard before the other socket gets its copies of what comes from now on.
        self.receive_rest();
        match GroupSockets::open(self.address, &self.group.rules, &interfaces) {
            Ok(sockets) => {
                self.replace(sockets, missing);
                self.log_interfaces();
            }
            // It may be half way up.
            Err(error) => warn!(listener = self.name, %error, "a group could not be joined again"),
        }
    }

    fn log_interfaces(&self) {
        let receiving = self.receiving.lock();
        let names: Vec<_> = receiving.sockets.interfaces.iter().map(|one| one.name.as_str()).collect();
        let (names, missing) = (names.join(","), receiving.sockets.missing.join(","));
        if missing.is_empty() {
            info!(listener = self.name, interfaces = names, "opened a group");
        } else {
            warn!(listener = self.name, interfaces = names, missing, "opened a group");
        }
    }
}

/// Whether the same sockets do: interfaces that come back have other numbers.
fn alike(before: &[Interface], now: &[Interface], address: SocketAddr) -> bool {
    let key = |one: &Interface| (one.index, one.address_for(address));
    before.len() == now.len() && before.iter().zip(now).all(|(before, now)| key(before) == key(now))
}
