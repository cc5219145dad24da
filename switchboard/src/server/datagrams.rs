//! UDP listeners: with a handler for datagrams, or with one for connections to peers that were validated.

use super::Serving;
use super::accept::{BoundEntry, BoxFuture, Entry, refuse};
use crate::connection::{Entered, serve};
use crate::error::BoxError;
use crate::hub::Source;
use crate::hub::peer::{ListenerSettings, Peer, PeerAddr};
use crate::transport::udp::{self, Datagram, Ends, Family, Gate, Peers, Reply, Sockets, Udp, Validation};
use crate::worker::Worker;
use std::future::Future;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

/// A listener that answers datagrams.
pub(super) struct Answering<H> {
    pub(super) udp: Udp,
    pub(super) handler: Arc<H>,
}

impl<H> Entry for Answering<H>
where
    H: Fn(Datagram<'_>, &mut Reply<'_>) + Send + Sync + 'static,
{
    fn url(&self) -> String {
        self.udp.url()
    }

    fn bind(self: Box<Self>, workers: usize) -> BoxFuture<io::Result<Box<dyn BoundEntry>>> {
        Box::pin(async move {
            let sockets = self.udp.bind(workers).await?;
            Ok(Box::new(BoundAnswering { sockets, handler: self.handler }) as Box<dyn BoundEntry>)
        })
    }
}

struct BoundAnswering<H> {
    sockets: Sockets,
    handler: Arc<H>,
}

impl<H> BoundEntry for BoundAnswering<H>
where
    H: Fn(Datagram<'_>, &mut Reply<'_>) + Send + Sync + 'static,
{
    fn url(&self) -> String {
        self.sockets.url()
    }

    fn listen(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn run(self: Box<Self>, serving: &Serving) -> Vec<BoxFuture<()>> {
        let Sockets { address, bound, limits, .. } = self.sockets;
        let gate = Arc::new(Gate::new(limits, serving.limits.frame_bytes));
        let answer = |socket| {
            let metrics = Arc::clone(&serving.metrics);
            let answering =
                udp::answer((socket, Family::of(address)), Arc::clone(&gate), Arc::clone(&self.handler), metrics);
            Box::pin(answering) as BoxFuture<()>
        };
        bound.into_iter().map(answer).collect()
    }
}

/// A listener whose validated peers are connections.
pub(super) struct Connecting<S, H> {
    pub(super) udp: Udp,
    pub(super) strangers: Arc<S>,
    pub(super) handler: Arc<H>,
}

impl<S, H, F, E> Entry for Connecting<S, H>
where
    S: Fn(Datagram<'_>, &mut Reply<'_>) -> Validation + Send + Sync + 'static,
    H: Fn(Arc<Peer>, Box<dyn Source>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    fn url(&self) -> String {
        self.udp.url()
    }

    fn bind(self: Box<Self>, workers: usize) -> BoxFuture<io::Result<Box<dyn BoundEntry>>> {
        Box::pin(async move {
            let Self { udp, strangers, handler } = *self;
            let sockets = udp.bind(workers).await?;
            Ok(Box::new(BoundConnecting { sockets, strangers, handler }) as Box<dyn BoundEntry>)
        })
    }
}

struct BoundConnecting<S, H> {
    sockets: Sockets,
    strangers: Arc<S>,
    handler: Arc<H>,
}

impl<S, H, F, E> BoundEntry for BoundConnecting<S, H>
where
    S: Fn(Datagram<'_>, &mut Reply<'_>) -> Validation + Send + Sync + 'static,
    H: Fn(Arc<Peer>, Box<dyn Source>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    fn url(&self) -> String {
        self.sockets.url()
    }

    fn listen(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn run(self: Box<Self>, serving: &Serving) -> Vec<BoxFuture<()>> {
        let is_local = self.sockets.address.ip().is_loopback();
        let settings = Arc::new(ListenerSettings {
            name: self.sockets.url(),
            transport: "udp",
            is_secure: false,
            is_local,
            timeouts: self.sockets.timeouts.unwrap_or(serving.timeouts),
            limits: Arc::clone(&serving.limits),
            metrics: Arc::clone(&serving.metrics),
            drain: serving.drain.clone(),
        });
        let Sockets { address, bound, limits, .. } = self.sockets;
        let gate = Arc::new(Gate::new(limits, serving.limits.frame_bytes));
        let sockets: Arc<[UdpSocket]> = bound.into();
        let receive = |(index, worker): (usize, &Arc<Worker>)| {
            let (tick, metrics) = (Arc::clone(&worker.tick), Arc::clone(&serving.metrics));
            let peers = Peers::new((Arc::clone(&sockets), Family::of(address)), index, tick, metrics);
            let door = Door {
                peers: Arc::clone(&peers),
                worker: Arc::clone(worker),
                serving: serving.clone(),
                settings: Arc::clone(&settings),
            };
            let handler = Arc::clone(&self.handler);
            let open = move |datagram: Datagram<'_>, ends: Ends| door.open::<H, F, E>(&datagram, ends, &handler);
            let receiving = udp::receive(peers, Arc::clone(&gate), Arc::clone(&self.strangers), open);
            Box::pin(receiving) as BoxFuture<()>
        };
        serving.workers.iter().enumerate().map(receive).collect()
    }
}

/// Where validated peers of one socket come in. They stay on its worker: the kernel gives it all that they send.
struct Door {
    peers: Arc<Peers>,
    worker: Arc<Worker>,
    serving: Serving,
    settings: Arc<ListenerSettings>,
}

impl Door {
    /// Makes a connection of a datagram's source, unless there are too many. Says whether it did.
    fn open<H, F, E>(&self, datagram: &Datagram<'_>, ends: Ends, handler: &H) -> bool
    where
        H: Fn(Arc<Peer>, Box<dyn Source>) -> F,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let Self { peers, worker, serving, settings } = self;
        let address = PeerAddr::Ip(datagram.source);
        let admitted = match serving.admission.admit(&address, settings.is_local) {
            Ok(admitted) => admitted,
            Err(reason) => {
                refuse(&address, reason, settings);
                return false;
            }
        };
        serving.metrics.accepted.add(1);
        let assigned = worker.assign();
        let (source, sink) = peers.enter(datagram, ends);
        let peer = Peer::new(serving.next_id(), address, Arc::clone(settings), sink, Arc::clone(&assigned.tick));
        serving.connections.spawn(serve(Entered::new(peer, assigned, admitted), source, handler));
        true
    }
}
