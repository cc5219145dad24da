//! Groups of hosts: each is one connection, which is opened again when it has ended.

use super::Serving;
use super::accept::{BoundEntry, BoxFuture, Entry, faults};
use super::datagrams::{frame_bytes, settings};
use super::in_memory::{Door, MemoryDatagrams};
use super::settings::Current;
use crate::connection::{HandlerOutput, serve};
use crate::link::{Link, PeerAddr, Protocol, Source};
use crate::node::{Node, Worker};
use crate::transport::names::{NumericAddress, shown};
use crate::transport::udp::HostGroup;
use crate::transport::udp::group::{self, GroupEnds, Opened, Surroundings};
use crate::transport::udp::in_memory::Network;
use std::future::Future;
use std::io;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A group, and the handler of its connection.
struct GroupEntry<H> {
    group: HostGroup,
    handler: Arc<H>,
}

/// The same, with its sockets open.
struct BoundGroup<H> {
    opened: Opened,
    handler: Arc<H>,
}

/// A listener for a group.
pub(super) fn entry<H, F>(group: HostGroup, handler: H) -> Box<dyn Entry>
where
    H: Fn(Arc<Link>, Box<dyn Source>) -> F + Send + Sync + 'static,
    F: Future<Output: HandlerOutput> + Send + 'static,
{
    Box::new(GroupEntry { group, handler: Arc::new(handler) })
}

impl<H, F> Entry for GroupEntry<H>
where
    H: Fn(Arc<Link>, Box<dyn Source>) -> F + Send + Sync + 'static,
    F: Future<Output: HandlerOutput> + Send + 'static,
{
    fn url(&self) -> String {
        self.group.url()
    }

    /// Others may have it as well.
    fn numeric_address(&self) -> Option<NumericAddress> {
        None
    }

    fn leave_ipv4(&mut self) {}

    fn faults(&self) -> Vec<String> {
        faults(self.group.own(), &self.url())
    }

    fn bind(self: Box<Self>, _: usize) -> BoxFuture<io::Result<Box<dyn BoundEntry>>> {
        Box::pin(async move {
            let opened = self.group.bind().await?;
            Ok(Box::new(BoundGroup { opened, handler: self.handler }) as Box<dyn BoundEntry>)
        })
    }

    /// Nobody is there: what is sent is gone, and nothing comes.
    fn in_memory(self: Box<Self>) -> (Box<dyn Entry>, Door) {
        let (url, network) = (self.group.url(), Network::new());
        let run = |_, _, serving: &Serving| {
            let drain = serving.node.stop.drain.clone();
            Box::pin(async move { drain.cancelled().await }) as BoxFuture<()>
        };
        (Box::new(MemoryDatagrams { url, network: network.clone(), run }), Door::Datagrams(network))
    }
}

impl<H, F> BoundEntry for BoundGroup<H>
where
    H: Fn(Arc<Link>, Box<dyn Source>) -> F + Send + Sync + 'static,
    F: Future<Output: HandlerOutput> + Send + 'static,
{
    fn urls(&self) -> Vec<String> {
        vec![format!("udp://{}", shown(self.opened.address))]
    }

    fn listen(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// On the first worker: there is one socket.
    fn run(self: Box<Self>, serving: &Serving) -> Vec<BoxFuture<()>> {
        let Some(worker) = serving.workers.first() else { unreachable!("a server has a worker") };
        let (url, Self { opened, handler }) = (self.urls().concat(), *self);
        let own = opened.group.own().clone();
        let (worker, node, name) = (Arc::clone(worker), Arc::clone(&serving.node), own.name.clone().unwrap_or(url));
        let frame_bytes = frame_bytes(&own, serving);
        let settings = settings(name.clone(), false, own, serving);
        let (sends_from, bans) = (Arc::clone(&node.sends_from), Arc::clone(&node.bans));
        let (tick, counts) = (Arc::clone(&worker.tick), settings.datagram_counts());
        let surroundings = Surroundings { name, tick, counts, own: sends_from, bans, frame_bytes };
        let ends = GroupEnds::new(opened, surroundings);
        let drain = node.stop.drain.clone();
        let member = Member { worker, node, settings, ends: Arc::clone(&ends) };
        let open = move |ended| member.open::<H, F>(ended, &handler);
        vec![Box::pin(group::serve(ends, open, drain))]
    }
}

/// What makes a group's connection, again and again.
struct Member {
    worker: Arc<Worker>,
    node: Arc<Node>,
    settings: Arc<Current>,
    ends: Arc<GroupEnds>,
}

impl Member {
    /// Opens it, unless there are too many connections. Says whether it did; `ended` is cancelled once it is over.
    fn open<H, F>(&self, ended: CancellationToken, handler: &H) -> bool
    where
        H: Fn(Arc<Link>, Box<dyn Source>) -> F,
        F: Future<Output: HandlerOutput> + Send + 'static,
    {
        let Self { worker, node, settings, ends } = self;
        let origin = PeerAddr::Ip(ends.address).into();
        let Ok(opening) = node.admit(worker, origin, &settings.now()) else { return false };
        let (source, sink) = ends.enter(ended);
        node.tasks.spawn(serve(opening.enter(sink, Protocol::Frames), source, handler));
        true
    }
}
