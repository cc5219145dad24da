//! UDP listeners: with a handler for datagrams, or with one for connections to peers that were validated.

use super::Serving;
use super::accept::{BoundEntry, BoxFuture, Entry, until_drain};
use crate::connection::{HandlerOutput, serve};
use crate::link::{Link, ListenerSettings, PeerAddr, Protocol, Source};
use crate::node::{Node, Worker};
use crate::transport::names::NumericAddress;
use crate::transport::udp::{self, Datagram, DatagramReply, Ends, Family, Gate, Peers, Sockets, Udp, Validation};
use std::future::Future;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

/// A datagram listener, and what runs at each of its addresses once the server does.
struct DatagramEntry<R> {
    udp: Udp,
    run: R,
}

impl<R> Entry for DatagramEntry<R>
where
    R: Fn(Sockets, &Serving) -> Vec<BoxFuture<()>> + Send + 'static,
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

    fn bind(self: Box<Self>, workers: usize) -> BoxFuture<io::Result<Box<dyn BoundEntry>>> {
        Box::pin(async move {
            let sockets = self.udp.bind(workers).await?;
            Ok(Box::new(BoundDatagrams { sockets, run: self.run }) as Box<dyn BoundEntry>)
        })
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
    let run = move |Sockets { address, bound, limits, .. }: Sockets, serving: &Serving| {
        let gate = Arc::new(Gate::new(limits, serving.limits.frame_bytes));
        let answer = |socket| {
            let (gate, handler, metrics) = (Arc::clone(&gate), Arc::clone(&handler), Arc::clone(&serving.node.metrics));
            until_drain(serving, udp::answer((socket, Family::of(address)), gate, handler, metrics))
        };
        bound.into_iter().map(answer).collect()
    };
    Box::new(DatagramEntry { udp, run })
}

/// A listener whose validated peers are connections.
pub(super) fn connecting<S, H, F>(udp: Udp, strangers: S, handler: H) -> Box<dyn Entry>
where
    S: Fn(Datagram<'_>, &mut DatagramReply<'_>) -> Validation + Send + Sync + 'static,
    H: Fn(Arc<Link>, Box<dyn Source>) -> F + Send + Sync + 'static,
    F: Future<Output: HandlerOutput> + Send + 'static,
{
    let (strangers, handler) = (Arc::new(strangers), Arc::new(handler));
    let run = move |sockets: Sockets, serving: &Serving| connect(sockets, &strangers, &handler, serving);
    Box::new(DatagramEntry { udp, run })
}

/// What receives at one address, for each worker.
fn connect<S, H, F>(sockets: Sockets, strangers: &Arc<S>, handler: &Arc<H>, serving: &Serving) -> Vec<BoxFuture<()>>
where
    S: Fn(Datagram<'_>, &mut DatagramReply<'_>) -> Validation + Send + Sync + 'static,
    H: Fn(Arc<Link>, Box<dyn Source>) -> F + Send + Sync + 'static,
    F: Future<Output: HandlerOutput> + Send + 'static,
{
    let settings = Arc::new(ListenerSettings {
        name: sockets.url(),
        transport: "udp",
        is_secure: false,
        is_local: sockets.address.ip().is_loopback(),
        timeouts: sockets.timeouts.unwrap_or(serving.timeouts),
        limits: Arc::clone(&serving.limits),
        metrics: Arc::clone(&serving.node.metrics),
        drain: serving.node.stop.drain.clone(),
    });
    let Sockets { address, bound, limits, .. } = sockets;
    let gate = Arc::new(Gate::new(limits, serving.limits.frame_bytes));
    let (count, sockets): (usize, Arc<[UdpSocket]>) = (bound.len(), bound.into());
    let receive = |(index, worker): (usize, &Arc<Worker>)| {
        let (tick, metrics) = (Arc::clone(&worker.tick), Arc::clone(&serving.node.metrics));
        let peers = Peers::new((Arc::clone(&sockets), Family::of(address)), index, tick, metrics);
        let door = Door {
            peers: Arc::clone(&peers),
            worker: Arc::clone(worker),
            node: Arc::clone(&serving.node),
            settings: Arc::clone(&settings),
        };
        let handler = Arc::clone(handler);
        let open = move |datagram: Datagram<'_>, ends: Ends| door.open::<H, F>(&datagram, ends, &handler);
        let receiving = udp::receive(peers, Arc::clone(&gate), Arc::clone(strangers), open);
        until_drain(serving, receiving)
    };
    // A socket that was open already is the only one.
    serving.workers.iter().enumerate().take(count).map(receive).collect()
}

/// Where validated peers of one socket come in. They stay on its worker: the kernel gives it all that they send.
struct Door {
    peers: Arc<Peers>,
    worker: Arc<Worker>,
    node: Arc<Node>,
    settings: Arc<ListenerSettings>,
}

impl Door {
    /// Makes a connection of a datagram's source, unless there are too many. Says whether it did.
    fn open<H, F>(&self, datagram: &Datagram<'_>, ends: Ends, handler: &H) -> bool
    where
        H: Fn(Arc<Link>, Box<dyn Source>) -> F,
        F: Future<Output: HandlerOutput> + Send + 'static,
    {
        let Self { peers, worker, node, settings } = self;
        let Ok(opening) = node.admit(worker, PeerAddr::Ip(datagram.source), settings) else { return false };
        let (source, sink) = peers.enter(datagram, ends);
        node.tasks.spawn(serve(opening.enter(sink, Protocol::Frames), source, handler));
        true
    }
}
