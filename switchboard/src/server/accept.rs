//! From a bound address to connections on workers.
//!
//! An accept loop runs on the first worker and gives each connection to the least loaded one; a connection that stays
//! on the first costs nothing more, so that a single worker is the cheap case.

use super::Serving;
use super::arriving::arrive;
use super::handshakes::{Handshakes, UnderWay};
use super::in_memory::Door;
use super::settings::{Current, Located};
use crate::connection::{HandlerOutput, open, serve};
use crate::error::logged;
use crate::link::{Begins, Link, ListenerSettings, PeerAddr, Protocol, Provenance, Source};
use crate::metrics::AcceptWait;
use crate::node::{Admitted, Counted, Entered, Node, Opening, refuse};
use crate::transport::configured::OwnSettings;
use crate::transport::in_memory::InMemory;
use crate::transport::names::NumericAddress;
use crate::transport::{Stream, StreamListener, StreamTransport, Transport};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use switchboard_proto::CloseReason;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// Those who may still be accepted when the drain begins: as many as the kernel has wait.
const BACKLOG: usize = 65_535;

/// Between two tries to accept when the process has no descriptors, or the kernel no memory.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(100);

pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A listener as it was asked for.
pub(super) trait Entry: Send {
    fn url(&self) -> String;
    /// See [`StreamTransport::numeric_address`].
    fn numeric_address(&self) -> Option<NumericAddress>;
    fn leave_ipv4(&mut self);
    /// What is wrong with the limits of its own, a sentence each.
    fn faults(&self) -> Vec<String> {
        Vec::new()
    }
    fn bind(self: Box<Self>, workers: usize) -> BoxFuture<io::Result<Box<dyn BoundEntry>>>;
    /// The same without a socket, and where one comes in.
    fn in_memory(self: Box<Self>) -> (Box<dyn Entry>, Door);
}

/// A listener whose address is bound, or whose addresses are.
pub(super) trait BoundEntry: Send {
    /// At least one.
    fn urls(&self) -> Vec<String>;
    fn listen(&mut self) -> io::Result<()>;
    /// What runs for this listener until the server drains, on each worker, from the first one on, and then on each once more.
    fn run(self: Box<Self>, serving: &Serving) -> Vec<BoxFuture<()>>;
}

/// The tasks that bring in connections and datagrams.
pub(super) struct Accepting(TaskTracker);

impl Accepting {
    pub(super) fn start(entries: Vec<Box<dyn BoundEntry>>, serving: &Serving) -> Self {
        let tasks = TaskTracker::new();
        for entry in entries {
            for (worker, task) in serving.workers.iter().cycle().zip(entry.run(serving)) {
                tasks.spawn_on(task, &worker.handle);
            }
        }
        tasks.close();
        Self(tasks)
    }

    /// Waits until nobody is accepted any more.
    pub(super) async fn stopped(self) {
        self.0.wait().await;
    }
}

/// What begins the task of a connection, on the event loop that calls. It is all of an accept loop that depends on the handler, so
/// that the loop is compiled once for a transport, and not again for each handler.
trait Begin: Send + Sync {
    fn begin(
        self: Arc<Self>,
        entered: Entered<Admitted>,
        source: Box<dyn Source>,
        under_way: Option<UnderWay>,
        node: &Node,
    );
}

impl<H, F> Begin for H
where
    H: Fn(Arc<Link>, Box<dyn Source>) -> F + Send + Sync + 'static,
    F: Future<Output: HandlerOutput> + Send + 'static,
{
    fn begin(
        self: Arc<Self>,
        entered: Entered<Admitted>,
        source: Box<dyn Source>,
        under_way: Option<UnderWay>,
        node: &Node,
    ) {
        let Some(under_way) = under_way else {
            node.tasks.spawn(serve(entered, source, &*self));
            return;
        };
        let begin = move |entered, source| serve(entered, source, &*self);
        node.tasks.spawn(open(entered, source, under_way, begin));
    }
}

/// Makes what serves the connections of a server that runs.
type Make = Box<dyn FnOnce(&Serving) -> Arc<dyn Begin> + Send>;

/// A stream listener, and what serves its connections once the server runs.
struct Streams<T> {
    transport: T,
    make: Make,
}

/// Listens on `transport`, and serves each connection by what `make` makes.
pub(super) fn entry<T, M, H, F>(transport: T, make: M) -> Box<dyn Entry>
where
    T: Transport,
    M: FnOnce(&Serving) -> H + Send + 'static,
    H: Fn(Arc<Link>, Box<dyn Source>) -> F + Send + Sync + 'static,
    F: Future<Output: HandlerOutput> + Send + 'static,
{
    Box::new(Streams { transport, make: Box::new(move |serving| Arc::new(make(serving))) })
}

impl<T: StreamTransport> Entry for Streams<T> {
    fn url(&self) -> String {
        self.transport.url()
    }

    fn numeric_address(&self) -> Option<NumericAddress> {
        self.transport.numeric_address()
    }

    fn leave_ipv4(&mut self) {
        self.transport.leave_ipv4();
    }

    fn faults(&self) -> Vec<String> {
        faults(&self.transport.own(), &self.url())
    }

    fn bind(self: Box<Self>, _: usize) -> BoxFuture<io::Result<Box<dyn BoundEntry>>> {
        Box::pin(async move {
            let own = self.transport.own();
            let listener = self.transport.bind().await?;
            let bound = BoundStreams { listener, own, make: self.make };
            Ok(Box::new(bound) as Box<dyn BoundEntry>)
        })
    }

    fn in_memory(self: Box<Self>) -> (Box<dyn Entry>, Door) {
        let (transport, address) = InMemory::instead_of(&self.transport);
        (Box::new(Streams { transport, make: self.make }), Door::Streams(address))
    }
}

/// What is wrong with the settings of the listener at `url`, a sentence each.
pub(super) fn faults(own: &OwnSettings, url: &str) -> Vec<String> {
    let faults = own.limits.as_ref().map_or(Vec::new(), |limits| limits.faults());
    faults.into_iter().map(|fault| format!("{url}: {fault}")).collect()
}

struct BoundStreams<L> {
    listener: L,
    own: OwnSettings,
    make: Make,
}

impl<L: StreamListener> BoundEntry for BoundStreams<L> {
    fn urls(&self) -> Vec<String> {
        self.listener.urls()
    }

    fn listen(&mut self) -> io::Result<()> {
        self.listener.listen()
    }

    fn run(self: Box<Self>, serving: &Serving) -> Vec<BoxFuture<()>> {
        let Self { listener, own, make } = *self;
        let accepting = Accept { listener, own, handler: make(serving), serving: serving.clone() };
        vec![Box::pin(accepting.run())]
    }
}

/// An accept loop.
struct Accept<L> {
    listener: L,
    own: OwnSettings,
    handler: Arc<dyn Begin>,
    serving: Serving,
}

impl<L: StreamListener> Accept<L> {
    async fn run(self) {
        let Self { mut listener, own, handler, serving } = self;
        let located = Located {
            url: listener.url(),
            transport: listener.transport(),
            is_secure: listener.is_secure(),
            is_local: listener.is_local(),
        };
        let settings = Current::new(own, located, &serving);
        if let Err(error) = listener.attach() {
            warn!(listener = settings.now().name, error = %error, "listener failed");
            return;
        }
        let opens = L::Stream::OPENS || settings.may_have_proxies();
        let handshakes = opens.then(|| Handshakes::new(&settings.now().limits));
        let inside = Arc::new(Inside { handler, serving, settings, handshakes });
        // Done means that the server drains.
        let _ = inside.serving.node.stop.drain.run_until_cancelled(inside.accept(&mut listener)).await;
        inside.accept_waiting(&mut listener);
    }
}

/// What an accept loop lets in to.
pub(super) struct Inside {
    handler: Arc<dyn Begin>,
    pub(super) serving: Serving,
    settings: Current,
    /// Where something comes before the handler: a handshake, or a PROXY header.
    handshakes: Option<Handshakes>,
}

impl Inside {
    /// Accepts for ever.
    async fn accept<L: StreamListener>(self: &Arc<Self>, listener: &mut L) {
        let serving = &self.serving;
        loop {
            let settings = self.settings.now();
            let place = match &self.handshakes {
                Some(handshakes) => handshakes.begin(&settings).await,
                None => None,
            };
            match poll_fn(|cx| listener.poll_accept(cx)).await {
                Ok((stream, address)) => self.take(stream, address, place),
                Err(error) if is_exhaustion(&error) => {
                    serving.node.metrics.count_wait(&settings.counts, AcceptWait::Descriptors);
                    if serving.node.metrics.may_log_abnormal().is_some() {
                        logged(|| warn!(listener = settings.name, error = %error, "accepting is paused"));
                    }
                    tokio::time::sleep(EXHAUSTED_WAIT).await;
                }
                // The peer was gone before it was accepted.
                Err(error) => {
                    logged(|| {
                        debug!(listener = settings.name, error = %error, "connection lost before it was accepted");
                    });
                }
            }
        }
    }

    /// Accepts those who have connected by now: what they sent lies in their sockets, and is answered. Where a handshake comes
    /// first, nothing was sent yet.
    fn accept_waiting<L: StreamListener>(self: &Arc<Self>, listener: &mut L) {
        let is_opening = L::Stream::OPENS || self.settings.now().proxies.is_some();
        let most = if is_opening || self.serving.node.stop.abort.is_cancelled() { 0 } else { BACKLOG };
        for _ in 0..most {
            match listener.accept_now() {
                Ok((stream, address)) => self.take(stream, address, None),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                // Nobody waits, or there is no descriptor for whoever does.
                Err(_) => return,
            }
        }
    }

    /// Takes a connection that was accepted: at once, or once its proxy has said whose it is.
    fn take<S: Stream>(self: &Arc<Self>, stream: S, address: PeerAddr, place: Option<OwnedSemaphorePermit>) {
        let settings = self.settings.now();
        let begins = settings.proxies.as_ref().map_or(Begins::Directly, |proxies| proxies.begins(&address));
        if begins == Begins::Never {
            return refuse(&address, CloseReason::BadProxyHeader, &settings);
        }
        let node = &self.serving.node;
        let counted = match node.count_one(&settings) {
            Ok(counted) => counted,
            Err(reason) => return refuse(&address, reason, &settings),
        };
        if begins == Begins::Directly {
            return self.open(stream, place, address.into(), (counted, &settings));
        }
        let (Some(place), Some(handshakes)) = (place, &self.handshakes) else {
            unreachable!("where there are proxies, a place comes first")
        };
        let arrival = handshakes.arrivals.enter();
        // Detached: the tracker counts it.
        drop(node.tasks.spawn(arrive(stream, address, place, (counted, settings, Arc::clone(self), arrival))));
    }

    /// Lets a connection in whose proxy has said whose it is.
    pub(super) fn let_in<S: Stream>(
        &self,
        stream: S,
        place: OwnedSemaphorePermit,
        (proxy, client, accepted): (PeerAddr, Option<SocketAddr>, Instant),
        counted: (Counted, &Arc<ListenerSettings>),
    ) {
        let via = client.and_then(|_| proxy.ip());
        let origin = Provenance { address: client.map_or(proxy, PeerAddr::Ip), via, accepted: Some(accepted) };
        self.open(stream, Some(place), origin, counted);
    }

    /// Opens one that came while the listener had these settings.
    fn open<S: Stream>(
        &self,
        stream: S,
        place: Option<OwnedSemaphorePermit>,
        origin: Provenance,
        (counted, settings): (Counted, &Arc<ListenerSettings>),
    ) {
        let serving = &self.serving;
        let under_way = match (&self.handshakes, place) {
            (Some(handshakes), Some(place)) if S::OPENS => {
                let Some(under_way) = handshakes.admit(place, &origin.address, settings) else {
                    return refuse(&origin.address, CloseReason::TooManyHandshakes, settings);
                };
                Some(under_way)
            }
            _ => None,
        };
        let Some(worker) = serving.workers.iter().min_by_key(|worker| worker.load()) else {
            unreachable!("a server has a worker")
        };
        // Counted and logged.
        let Ok(opening) = serving.node.admit_counted(counted, worker, origin, settings) else { return };
        if worker.index == 0 {
            return begin(stream, opening, under_way, &self.handler, &serving.node);
        }
        let here = (Arc::clone(&self.handler), Arc::clone(&serving.node));
        let Ok(stream) = stream.detach() else { return };
        let on_its_worker = async move {
            let (handler, node) = here;
            // A stream that cannot be registered is closed: the worker is ending.
            if let Ok(stream) = S::attach(stream) {
                begin(stream, opening, under_way, &handler, &node);
            }
        };
        serving.node.tasks.spawn_on(on_its_worker, &worker.handle);
    }
}

/// Starts the task of a connection on the event loop that calls.
fn begin(stream: impl Stream, opening: Opening, under_way: Option<UnderWay>, handler: &Arc<dyn Begin>, node: &Node) {
    let (source, sink) = stream.split();
    Arc::clone(handler).begin(opening.enter(sink, Protocol::Frames), source, under_way, node);
}

/// Whether accepting failed for want of something that may be there again later (accept(2)).
fn is_exhaustion(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM))
}
