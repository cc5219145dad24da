//! UDP listeners: with a handler for datagrams, or with one for connections to peers that were validated.

use super::Serving;
use super::accept::{BoundEntry, BoxFuture, Entry, faults};
use super::in_memory::{Door, MemoryDatagrams};
use super::settings::{Current, Located};
use crate::connection::{HandlerOutput, serve};
use crate::link::{Link, PeerAddr, Protocol, Sink, Source};
use crate::metrics::DatagramCounts;
use crate::node::{Node, Worker};
use crate::transport::configured::OwnSettings;
use crate::transport::names::NumericAddress;
use crate::transport::udp::in_memory::{Arriving, Network, SourceAndSink};
use crate::transport::udp::{
    self, Datagram, DatagramReply, Ends, Family, Gate, GateLimits, Peers, Sockets, Udp, Validation,
};
use std::future::Future;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::sync::mpsc::Receiver;

/// A datagram listener, and what runs at each of its addresses once the server does.
struct DatagramEntry<R, M> {
    udp: Udp,
    run: R,
    /// What does in memory.
    run_in_memory: M,
}

impl<R, M> Entry for DatagramEntry<R, M>
where
    R: Fn(Sockets, &Serving) -> Vec<BoxFuture<()>> + Send + 'static,
    M: FnOnce(Udp, Network, Receiver<Arriving>, &Serving) -> BoxFuture<()> + Send + 'static,
{
    fn url(&self) -> String {
        self.udp.url()
    }

    fn numeric_address(&self) -> Option<NumericAddress> {
        self.udp.numeric_address()
    }

    fn leave_ipv4(&mut self) {
        self.udp.leave_ipv4();
    }

    fn faults(&self) -> Vec<String> {
        faults(&self.udp.settings().1, &self.url())
    }

    fn bind(self: Box<Self>, workers: usize) -> BoxFuture<io::Result<Box<dyn BoundEntry>>> {
        Box::pin(async move {
            let sockets = self.udp.bind(workers).await?;
            Ok(Box::new(BoundDatagrams { sockets, run: self.run }) as Box<dyn BoundEntry>)
        })
    }

    fn in_memory(self: Box<Self>) -> (Box<dyn Entry>, Door) {
        let Self { udp, run_in_memory, .. } = *self;
        let (url, network) = (udp.url(), Network::new());
        let run = |network, waiting, serving: &Serving| run_in_memory(udp, network, waiting, serving);
        (Box::new(MemoryDatagrams { url, network: network.clone(), run }), Door::Datagrams(network))
    }
}

struct BoundDatagrams<R> {
    /// Of each address.
    sockets: Vec<Sockets>,
    run: R,
}

impl<R> BoundEntry for BoundDatagrams<R>
where
    R: Fn(Sockets, &Serving) -> Vec<BoxFuture<()>> + Send + 'static,
{
    fn urls(&self) -> Vec<String> {
        self.sockets.iter().map(Sockets::url).collect()
    }

    fn listen(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn run(self: Box<Self>, serving: &Serving) -> Vec<BoxFuture<()>> {
        self.sockets.into_iter().flat_map(|sockets| (self.run)(sockets, serving)).collect()
    }
}

/// A listener that answers datagrams.
pub(super) fn answering<H>(udp: Udp, handler: H) -> Box<dyn Entry>
where
    H: Fn(Datagram<'_>, &mut DatagramReply<'_>) + Send + Sync + 'static,
{
    let handler = Arc::new(handler);
    let same = Arc::clone(&handler);
    let run_in_memory = move |udp: Udp, _, waiting, serving: &Serving| {
        let gate = gate_of(udp.settings().0, serving.node.frame_bytes(), serving);
        let (url, own) = (udp.url(), udp.settings().1);
        let (counts, drain) = (counts(&own.name.unwrap_or(url), serving), serving.node.stop.drain.clone());
        Box::pin(udp::in_memory::answer(waiting, gate, same, counts, drain)) as BoxFuture<()>
    };
    let run = move |sockets: Sockets, serving: &Serving| {
        let (url, Sockets { address, bound, limits, own }) = (sockets.url(), sockets);
        let counts = counts(&own.name.unwrap_or(url), serving);
        let gate = gate_of(limits, serving.node.frame_bytes(), serving);
        let answer = |socket| {
            let (gate, handler, counts) = (Arc::clone(&gate), Arc::clone(&handler), counts.clone());
            let drain = serving.node.stop.drain.clone();
            Box::pin(udp::answer((socket, Family::of(address)), gate, handler, counts, drain)) as BoxFuture<()>
        };
        bound.into_iter().map(answer).collect()
    };
    Box::new(DatagramEntry { udp, run, run_in_memory })
}

/// A listener whose validated peers are connections.
pub(super) fn connecting<S, H, F>(udp: Udp, strangers: S, handler: H) -> Box<dyn Entry>
where
    S: Fn(Datagram<'_>, &mut DatagramReply<'_>) -> Validation + Send + Sync + 'static,
    H: Fn(Arc<Link>, Box<dyn Source>) -> F + Send + Sync + 'static,
    F: Future<Output: HandlerOutput> + Send + 'static,
{
    let (strangers, handler) = (Arc::new(strangers), Arc::new(handler));
    let same = (Arc::clone(&strangers), Arc::clone(&handler));
    let run_in_memory = move |udp: Udp, network, waiting, serving: &Serving| {
        let (limits, own) = udp.settings();
        let Some(worker) = serving.workers.first() else { unreachable!("a server has a worker") };
        let gate = gate_of(limits, frame_bytes(&own, serving), serving);
        let (node, settings) = (Arc::clone(&serving.node), settings(udp.url(), true, own, serving));
        let counts = settings.datagram_counts();
        let (inward, (strangers, handler)) = (Inward { worker: Arc::clone(worker), node, settings }, same);
        let open = move |source, enter: &dyn Fn() -> SourceAndSink| inward.open::<H, F>(source, enter, &handler);
        let drain = serving.node.stop.drain.clone();
        Box::pin(udp::in_memory::receive(network, waiting, gate, strangers, counts, open, drain)) as BoxFuture<()>
    };
    let run = move |sockets: Sockets, serving: &Serving| connect(sockets, &strangers, &handler, serving);
    Box::new(DatagramEntry { udp, run, run_in_memory })
}

/// What receives at one address, for each worker.
fn connect<S, H, F>(sockets: Sockets, strangers: &Arc<S>, handler: &Arc<H>, serving: &Serving) -> Vec<BoxFuture<()>>
where
    S: Fn(Datagram<'_>, &mut DatagramReply<'_>) -> Validation + Send + Sync + 'static,
    H: Fn(Arc<Link>, Box<dyn Source>) -> F + Send + Sync + 'static,
    F: Future<Output: HandlerOutput> + Send + 'static,
{
    let (url, Sockets { address, bound, limits, own }) = (sockets.url(), sockets);
    let gate = gate_of(limits, frame_bytes(&own, serving), serving);
    let settings = settings(url, address.ip().is_loopback(), own, serving);
    let counts = settings.datagram_counts();
    let (count, sockets): (usize, Arc<[UdpSocket]>) = (bound.len(), bound.into());
    let receive = |(index, worker): (usize, &Arc<Worker>)| {
        let tick = Arc::clone(&worker.tick);
        let peers = Peers::new((Arc::clone(&sockets), Family::of(address)), index, tick, counts.clone());
        let inward =
            Inward { worker: Arc::clone(worker), node: Arc::clone(&serving.node), settings: Arc::clone(&settings) };
        let (handler, entered) = (Arc::clone(handler), Arc::clone(&peers));
        let open = move |datagram: Datagram<'_>, ends: Ends| {
            inward.open::<H, F>(datagram.source, || entered.enter(&datagram, ends), &handler)
        };
        let drain = serving.node.stop.drain.clone();
        Box::pin(udp::receive(peers, Arc::clone(&gate), Arc::clone(strangers), open, drain)) as BoxFuture<()>
    };
    // A socket that was open already is the only one.
    serving.workers.iter().enumerate().take(count).map(receive).collect()
}

/// What a listener's datagrams pass before they are looked at.
fn gate_of(limits: GateLimits, frame_bytes: Arc<AtomicUsize>, serving: &Serving) -> Arc<Gate> {
    Arc::new(Gate::new(limits, frame_bytes, Arc::clone(&serving.node.bans)))
}

/// The longest datagram of a listener that has connections: its own limit, or its server's at any time.
pub(super) fn frame_bytes(own: &OwnSettings, serving: &Serving) -> Arc<AtomicUsize> {
    own.limits.as_ref().map_or_else(|| serving.node.frame_bytes(), |limits| Arc::new(limits.frame_bytes.into()))
}

/// Where one counts that has no connections.
fn counts(name: &str, serving: &Serving) -> DatagramCounts {
    let metrics = Arc::clone(&serving.node.metrics);
    DatagramCounts { listener: metrics.listener(name, "udp", false), metrics }
}

pub(super) fn settings(url: String, is_local: bool, own: OwnSettings, serving: &Serving) -> Arc<Current> {
    Arc::new(Current::new(own, Located { url, transport: "udp", is_secure: false, is_local }, serving))
}

/// What makes connections of one socket's validated peers. They stay on its worker: the kernel gives it all that they send.
struct Inward {
    worker: Arc<Worker>,
    node: Arc<Node>,
    settings: Arc<Current>,
}

impl Inward {
    /// Makes a connection of whoever is at `source`, unless there are too many. Says whether it did.
    fn open<H, F>(
        &self,
        source: SocketAddr,
        enter: impl FnOnce() -> (Box<dyn Source>, Box<dyn Sink>),
        handler: &H,
    ) -> bool
    where
        H: Fn(Arc<Link>, Box<dyn Source>) -> F,
        F: Future<Output: HandlerOutput> + Send + 'static,
    {
        let Self { worker, node, settings } = self;
        let Ok(opening) = node.admit(worker, PeerAddr::Ip(source).into(), &settings.now()) else { return false };
        let (source, sink) = enter();
        node.tasks.spawn(serve(opening.enter(sink, Protocol::Frames), source, handler));
        true
    }
}
