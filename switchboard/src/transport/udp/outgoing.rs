//! What is sent to the peers behind one socket: gathered while the tick writes to one after the other, and sent with one
//! system call for each batch.
//!
//! A full socket keeps one batch and takes nothing more until that has left: in the meantime its peers' outboxes fill, as with
//! any other transport.

use super::batch::{BATCH, watch};
use super::ends::{Ends, Local};
use super::framed::{FramedSlices, HEADER_BYTES};
use super::gso::{Sent, Transmits};
use super::peers::{Arrivals, Peers};
use crate::error::contained;
use crate::link::{Gathering, Sink};
use crate::metrics::DatagramFate;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use switchboard_proto::CloseReason;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// At this many bytes a batch is sent before it has all its datagrams.
const BATCH_BYTES: usize = 64 << 10;

/// What leaves next.
pub(super) struct Outgoing {
    transmits: Transmits,
    /// The tick has been asked to send them.
    asked: bool,
    /// Set while the socket takes no more: reports when it does again.
    full: Option<AsyncFd<UdpSocket>>,
    /// Connections that wait for that.
    waiting: BTreeMap<Ends, Waker>,
    /// What peers that are given up on are told first then: one datagram each.
    farewells: Vec<(Vec<u8>, Ends)>,
}

impl Outgoing {
    /// An empty one, for what this socket sends.
    pub(super) fn new(socket: &UdpSocket) -> Self {
        Self {
            transmits: Transmits::new(socket),
            asked: false,
            full: None,
            waiting: BTreeMap::new(),
            farewells: Vec::new(),
        }
    }
}

/// The sink of a peer's connection.
pub(super) struct PeerSink {
    peers: Arc<Peers>,
    arrivals: Arc<Arrivals>,
    ends: Ends,
    /// See [`Sink::framing_bytes`].
    framing_bytes: usize,
}

impl PeerSink {
    pub(super) fn new(peers: Arc<Peers>, arrivals: Arc<Arrivals>, ends: Ends) -> Self {
        Self { peers, arrivals, ends, framing_bytes: 0 }
    }

    /// Gathers as many whole frames as there are, or as the socket takes.
    fn write(&mut self, slices: &[IoSlice<'_>], outgoing: &mut Outgoing) -> io::Result<usize> {
        if outgoing.full.is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut frames = FramedSlices::new(slices);
        let mut taken = 0;
        while outgoing.full.is_none() {
            let start = outgoing.transmits.text.len();
            let Some(length) = frames.next(&mut outgoing.transmits.text) else { break };
            outgoing.transmits.seal(start, self.ends);
            taken += HEADER_BYTES + length;
            self.framing_bytes += HEADER_BYTES;
            if outgoing.transmits.len() >= 2 * BATCH || outgoing.transmits.text.len() >= BATCH_BYTES {
                self.peers.send(outgoing);
            }
        }
        // After everything that this peer gets, which may go as one.
        if outgoing.transmits.len() >= BATCH {
            self.peers.send(outgoing);
        }
        if !outgoing.transmits.is_empty() {
            self.peers.ask_for_flush(outgoing);
        }
        Ok(taken)
    }

    fn wait(&self, outgoing: &mut Outgoing, cx: &Context<'_>) {
        outgoing.waiting.insert(self.ends, cx.waker().clone());
    }
}

impl Sink for PeerSink {
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let peers = Arc::clone(&self.peers);
        self.write(slices, &mut peers.outgoing.lock())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let peers = Arc::clone(&self.peers);
        let mut outgoing = peers.outgoing.lock();
        match self.write(slices, &mut outgoing) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.wait(&mut outgoing, cx);
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }

    /// Waits until the last datagram has left. The peer is not told: datagrams have no end of stream.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outgoing = self.peers.outgoing.lock();
        self.peers.send(&mut outgoing);
        if outgoing.full.is_some() {
            self.wait(&mut outgoing, cx);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn last_frame(&mut self, frame: &[u8]) {
        let (slices, mut text) = ([IoSlice::new(frame)], Vec::new());
        if FramedSlices::new(&slices).next(&mut text).is_some() {
            let mut outgoing = self.peers.outgoing.lock();
            outgoing.farewells.push((text, self.ends));
            self.peers.ask_for_flush(&mut outgoing);
        }
    }

    fn framing_bytes(&mut self) -> usize {
        std::mem::take(&mut self.framing_bytes)
    }

    /// No end comes from the network, so the connection's own is the input's.
    fn reason(&mut self, _: CloseReason) {
        self.arrivals.end();
    }

    /// As the peer knows it, where the socket has several.
    fn local_addr(&self) -> Option<SocketAddr> {
        let socket = self.peers.socket().local_addr().ok()?;
        let ip = self.ends.local.map_or(socket.ip(), Local::ip);
        Some(SocketAddr::new(ip, socket.port()))
    }

    /// What has left cannot be called back, and the peer is not told.
    fn reset(&mut self) {}
}

impl Drop for PeerSink {
    fn drop(&mut self) {
        self.peers.outgoing.lock().waiting.remove(&self.ends);
    }
}

impl Peers {
    /// Asks the tick to send what was gathered. A full socket asks by itself.
    fn ask_for_flush(self: &Arc<Self>, outgoing: &mut Outgoing) {
        if !outgoing.asked && outgoing.full.is_none() {
            outgoing.asked = true;
            self.tick.flush_later(Arc::clone(self) as Arc<dyn Gathering>);
        }
    }

    /// Sends what was gathered, unless the socket is full already.
    fn send(self: &Arc<Self>, outgoing: &mut Outgoing) {
        if outgoing.full.is_none() && outgoing.transmits.send(self.socket(), &self.counts) == Sent::Full {
            let watched = self.socket().try_clone().and_then(|socket| watch(socket, Interest::WRITABLE));
            match watched {
                Ok(socket) => {
                    outgoing.full = Some(socket);
                    // The first poll makes the event loop report the rest.
                    Arc::clone(self).wake();
                }
                // No descriptor left: these are lost, as datagrams may be.
                Err(_) => self.counts.add(DatagramFate::Lost, outgoing.transmits.datagrams().count() as u64),
            }
        }
        if outgoing.full.is_none() {
            outgoing.transmits.clear();
        }
    }

    /// Continues with a batch that the socket did not take. Returns whether all of it has left.
    fn send_rest(self: &Arc<Self>, outgoing: &mut Outgoing) -> bool {
        let waker = Waker::from(Arc::clone(self));
        let Outgoing { full, transmits, .. } = outgoing;
        while let Some(socket) = full {
            let Poll::Ready(ready) = socket.poll_write_ready(&mut Context::from_waker(&waker)) else { return false };
            // An error is the event loop's end, and the worker's with it.
            let Ok(mut ready) = ready else { return false };
            if transmits.send(self.socket(), &self.counts) == Sent::Full {
                ready.clear_ready();
            } else {
                *full = None;
                transmits.clear();
            }
        }
        true
    }
}

impl Gathering for Peers {
    fn flush(self: Arc<Self>) {
        let mut outgoing = self.outgoing.lock();
        outgoing.asked = false;
        if outgoing.full.is_some() && !self.send_rest(&mut outgoing) {
            return;
        }
        for (text, ends) in std::mem::take(&mut outgoing.farewells) {
            let start = outgoing.transmits.text.len();
            outgoing.transmits.text.extend_from_slice(&text);
            outgoing.transmits.seal(start, ends);
        }
        self.send(&mut outgoing);
        // As many as fill a batch, and the others once that has left: otherwise each of thousands would find a full socket.
        for _ in 0..BATCH {
            if outgoing.full.is_some() {
                return;
            }
            let Some((_, waiting)) = outgoing.waiting.pop_first() else { return };
            let _ = contained(|| waiting.wake());
        }
        outgoing.asked = true;
        self.tick.flush_later(Arc::clone(&self) as Arc<dyn Gathering>);
    }
}

/// The socket takes more.
impl Wake for Peers {
    fn wake(self: Arc<Self>) {
        self.tick.flush_later(Arc::clone(&self) as Arc<dyn Gathering>);
    }
}
