//! A server without sockets, for tests: each listener is what it was, and takes those who come from within the process.

use super::accept::{BoundEntry, BoxFuture, Entry};
use super::{Server, Serving};
use crate::transport::memory::Memory;
use crate::transport::names::NumericAddress;
use crate::transport::udp::in_memory::{Arriving, Network};
use std::io;
use tokio::sync::mpsc;

/// Where one comes in.
pub(crate) enum Door {
    Streams(Memory),
    Datagrams(Network),
}

impl Server {
    /// The same server, served on the runtime of whoever serves it, and where to come in: for each listener its URL, as it was
    /// asked for, and its door.
    pub(crate) fn in_memory(self) -> (Self, Vec<(String, Door)>) {
        let mut doors = Vec::new();
        let entries = self.entries.into_iter().map(|entry| {
            let url = entry.url();
            let (entry, door) = entry.in_memory();
            doors.push((url, door));
            entry
        });
        let entries = entries.collect();
        (Self { entries, workers: 0, ..self }, doors)
    }
}

/// A listener for datagrams that has no socket, bound or not.
pub(super) struct MemoryDatagrams<R> {
    pub(super) url: String,
    pub(super) network: Network,
    /// What takes the datagrams.
    pub(super) run: R,
}

impl<R> Entry for MemoryDatagrams<R>
where
    R: FnOnce(Network, mpsc::Receiver<Arriving>, &Serving) -> BoxFuture<()> + Send + 'static,
{
    fn url(&self) -> String {
        self.url.clone()
    }

    fn numeric_address(&self) -> Option<NumericAddress> {
        None
    }

    fn leave_ipv4(&mut self) {}

    fn bind(self: Box<Self>, _: usize) -> BoxFuture<io::Result<Box<dyn BoundEntry>>> {
        Box::pin(async move { Ok(self as Box<dyn BoundEntry>) })
    }

    fn in_memory(self: Box<Self>) -> (Box<dyn Entry>, Door) {
        let door = Door::Datagrams(self.network.clone());
        (self, door)
    }
}

impl<R> BoundEntry for MemoryDatagrams<R>
where
    R: FnOnce(Network, mpsc::Receiver<Arriving>, &Serving) -> BoxFuture<()> + Send + 'static,
{
    fn urls(&self) -> Vec<String> {
        vec![self.url.clone()]
    }

    fn listen(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn run(self: Box<Self>, serving: &Serving) -> Vec<BoxFuture<()>> {
        let Self { network, run, .. } = *self;
        network.bind().map(|waiting| run(network.clone(), waiting, serving)).into_iter().collect()
    }
}
