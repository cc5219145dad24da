//! Both halves of a group's connection: what has arrived and it has not read, and what it sends by each interface.
//!
//! A full socket keeps one batch and the connection waits, as with any other transport.

use super::super::batch::{BATCH, watch};
use super::super::ends::Ends;
use super::super::framed::{FramedSlices, HEADER_BYTES};
use super::super::gso::{Sent, Transmits};
use super::super::peers::Arrivals;
use super::receiving::GroupGate;
use super::{GroupSockets, HostGroup};
use crate::link::tick::Tick;
use crate::link::{Sink, Source};
use crate::metrics::{DatagramCounts, DatagramFate};
use crate::node::{Bans, OwnGroupAddresses};
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, ready};
use switchboard_proto::CloseReason;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A group whose sockets are open.
pub(crate) struct Opened {
    pub(crate) group: HostGroup,
    pub(crate) address: SocketAddr,
    pub(super) sockets: GroupSockets,
    /// Interfaces that are not there yet.
    pub(super) missing: Vec<String>,
}

/// A group, as its connection and what receives from it know it.
pub(crate) struct GroupEnds {
    pub(super) group: HostGroup,
    pub(crate) address: SocketAddr,
    pub(super) name: String,
    pub(super) tick: Arc<Tick>,
    pub(super) counts: DatagramCounts,
    pub(super) receiving: Mutex<Receiving>,
    sending: Mutex<Vec<Outgoing>>,
    /// What its server sends from, to this group and to others.
    pub(super) own: Arc<OwnGroupAddresses>,
    pub(super) bans: Arc<Bans>,
    pub(super) frame_bytes: Arc<AtomicUsize>,
}

/// What is heard, and by whom.
pub(super) struct Receiving {
    pub(super) sockets: Joined,
    pub(super) gate: GroupGate,
    /// Of the connection, while there is one.
    pub(super) arrivals: Option<Arc<Arrivals>>,
}

/// The interfaces that are in use, and the socket that receives.
pub(super) struct Joined {
    pub(super) interfaces: Vec<super::Interface>,
    pub(super) missing: Vec<String>,
    pub(super) socket: Option<Arc<UdpSocket>>,
    pub(super) sends_from: Vec<SocketAddr>,
}

/// What one interface sends next.
struct Outgoing {
    socket: UdpSocket,
    transmits: Transmits,
    /// Set while the socket takes no more: reports when it does again.
    full: Option<AsyncFd<UdpSocket>>,
}

/// What its server gives a group.
pub(crate) struct Surroundings {
    pub(crate) name: String,
    pub(crate) tick: Arc<Tick>,
    pub(crate) counts: DatagramCounts,
    pub(crate) own: Arc<OwnGroupAddresses>,
    pub(crate) bans: Arc<Bans>,
    pub(crate) frame_bytes: Arc<AtomicUsize>,
}

impl GroupEnds {
    pub(crate) fn new(opened: Opened, surroundings: Surroundings) -> Arc<Self> {
        let Opened { mut group, address, sockets, missing } = opened;
        let Surroundings { name, tick, counts, own, bans, frame_bytes } = surroundings;
        group.keep_to(&sockets.interfaces);
        let (current, sending) = Joined::of(sockets, missing);
        own.add(&current.sends_from);
        let gate = GroupGate::new(&group.rules);
        let receiving = Mutex::new(Receiving { sockets: current, gate, arrivals: None });
        let sending = Mutex::new(sending);
        Arc::new(Self { group, address, name, tick, counts, receiving, sending, own, bans, frame_bytes })
    }

    /// Makes what a connection reads and writes by; `ended` is cancelled once it is over.
    pub(crate) fn enter(self: &Arc<Self>, ended: CancellationToken) -> (Box<dyn Source>, Box<dyn Sink>) {
        let arrivals = Arrivals::of(Ends { peer: self.address, local: None });
        self.receiving.lock().arrivals = Some(Arc::clone(&arrivals));
        let source =
            GroupSource { ends: Arc::clone(self), arrivals: Arc::clone(&arrivals), _ended: ended.drop_guard() };
        (Box::new(source), Box::new(GroupSink { ends: Arc::clone(self), arrivals, framing_bytes: 0 }))
    }

    /// Uses these from now on.
    pub(super) fn replace(&self, sockets: GroupSockets, missing: Vec<String>) {
        let (current, sending) = Joined::of(sockets, missing);
        // Before anything is sent from there.
        self.own.add(&current.sends_from);
        *self.sending.lock() = sending;
        let before = std::mem::replace(&mut self.receiving.lock().sockets, current);
        self.own.remove(&before.sends_from);
    }
}

impl Drop for GroupEnds {
    fn drop(&mut self) {
        self.own.remove(&self.receiving.get_mut().sockets.sends_from);
    }
}

impl Joined {
    fn of(
        GroupSockets { interfaces, receiving, sending }: GroupSockets,
        missing: Vec<String>,
    ) -> (Self, Vec<Outgoing>) {
        let sends_from = sending.iter().map(|(_, own)| *own).collect();
        let outgoing = |(socket, _)| Outgoing { transmits: Transmits::separate(), socket, full: None };
        let sending = sending.into_iter().map(outgoing).collect();
        (Self { interfaces, missing, socket: receiving.map(Arc::new), sends_from }, sending)
    }
}

/// The source of a group's connection.
struct GroupSource {
    ends: Arc<GroupEnds>,
    arrivals: Arc<Arrivals>,
    /// Says that it is over.
    _ended: DropGuard,
}

impl Source for GroupSource {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.arrivals.poll_read(cx, buffer, &self.ends.tick)
    }

    fn framing_bytes(&mut self, count: usize) -> usize {
        self.arrivals.framing_bytes(count)
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.ends.receive_rest();
        self.arrivals.read(buffer, &self.ends.tick)
    }
}

impl Drop for GroupSource {
    fn drop(&mut self) {
        let mut receiving = self.ends.receiving.lock();
        if receiving.arrivals.as_ref().is_some_and(|arrivals| Arc::ptr_eq(arrivals, &self.arrivals)) {
            receiving.arrivals = None;
        }
        self.arrivals.forget(&self.ends.tick);
    }
}

/// The sink of a group's connection.
struct GroupSink {
    ends: Arc<GroupEnds>,
    arrivals: Arc<Arrivals>,
    /// See [`Sink::framing_bytes`].
    framing_bytes: usize,
}

impl GroupSink {
    /// Sends as many whole frames as there are, unless a socket is full: then one batch stays with it.
    fn write(&mut self, slices: &[IoSlice<'_>], sending: &mut [Outgoing]) -> io::Result<usize> {
        if sending.iter().any(|outgoing| outgoing.full.is_some()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let peer = Ends { peer: self.ends.address, local: None };
        let (mut frames, mut text, mut taken, mut waiting) = (FramedSlices::new(slices), Vec::new(), 0, 0);
        while let Some(length) = frames.next(&mut text) {
            taken += HEADER_BYTES + length;
            self.framing_bytes += HEADER_BYTES;
            if length > self.ends.group.rules.datagram_bytes {
                self.ends.counts.add(DatagramFate::Lost, 1);
            } else {
                for outgoing in &mut *sending {
                    let start = outgoing.transmits.text.len();
                    outgoing.transmits.text.extend_from_slice(&text);
                    outgoing.transmits.seal(start, peer);
                }
                waiting += 1;
            }
            text.clear();
            if waiting == BATCH {
                self.send(sending);
                waiting = 0;
                if sending.iter().any(|outgoing| outgoing.full.is_some()) {
                    return Ok(taken);
                }
            }
        }
        self.send(sending);
        Ok(taken)
    }

    fn send(&self, sending: &mut [Outgoing]) {
        for outgoing in sending {
            outgoing.send(&self.ends.counts);
        }
    }

    /// Waits until every socket has taken what it was given.
    fn poll_sent(&self, cx: &mut Context<'_>, sending: &mut [Outgoing]) -> Poll<()> {
        for outgoing in sending {
            while let Some(socket) = &outgoing.full {
                // An error is the event loop's end, and the worker's with it.
                let Ok(mut ready) = ready!(socket.poll_write_ready(cx)) else { return Poll::Pending };
                if outgoing.transmits.send(&outgoing.socket, &self.ends.counts) == Sent::Full {
                    ready.clear_ready();
                } else {
                    outgoing.transmits.clear();
                    outgoing.full = None;
                }
            }
        }
        Poll::Ready(())
    }
}

impl Outgoing {
    fn send(&mut self, counts: &DatagramCounts) {
        if self.transmits.send(&self.socket, counts) == Sent::Full {
            self.full = self.socket.try_clone().and_then(|socket| watch(socket, Interest::WRITABLE)).ok();
            if self.full.is_some() {
                return;
            }
            // No descriptor left: these are lost, as datagrams may be.
            counts.add(DatagramFate::Lost, self.transmits.datagrams().count() as u64);
        }
        self.transmits.clear();
    }
}

impl Sink for GroupSink {
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let ends = Arc::clone(&self.ends);
        self.write(slices, &mut ends.sending.lock())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let ends = Arc::clone(&self.ends);
        let mut sending = ends.sending.lock();
        ready!(self.poll_sent(cx, &mut sending));
        Poll::Ready(self.write(slices, &mut sending))
    }

    /// Waits until the last datagram has left. A group has no end of stream.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ends = Arc::clone(&self.ends);
        self.poll_sent(cx, &mut ends.sending.lock()).map(Ok)
    }

    fn framing_bytes(&mut self) -> usize {
        std::mem::take(&mut self.framing_bytes)
    }

    /// No end comes from a group, so the connection's own is the input's.
    fn reason(&mut self, _: CloseReason) {
        self.arrivals.end();
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.ends.receiving.lock().sockets.sends_from.first().copied()
    }

    /// What has left cannot be called back.
    fn reset(&mut self) {}
}
