//! Datagram peers as connections: one socket, what each peer has sent, and how they are told apart: by their address and by
//! which of our addresses they send to. An address translator may give two hosts one address if they speak to two of ours.
//!
//! A peer's datagrams wait among its arrivals, each prefixed with its length, until its connection reads them. They do
//! not hold up other peers' datagrams; when there are too many they are lost, as on the network.

use super::batch::{BATCH, Fate, exchange, readable, send_later, take_rest, take_rest_now};
use super::ends::{Ends, Family};
use super::framed::{self, HEADER_BYTES};
use super::outgoing::{Outgoing, PeerSink};
use super::{Datagram, DatagramReply, Gate, Validation};
use crate::error::contained;
use crate::link::budget::Charge;
use crate::link::tick::Tick;
use crate::link::{Sink, Source};
use crate::metrics::{DatagramCounts, DatagramFate};
use parking_lot::Mutex;
use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::ReadBuf;
use tokio_util::sync::CancellationToken;

/// Bytes that wait for one peer's connection to read them. More than a batch of datagrams of media.
const ARRIVALS_BYTES: usize = 256 << 10;

/// A worker's socket and its validated peers.
pub(crate) struct Peers {
    /// Of all workers. They stay open while one has peers: the kernel chooses by their number which one a source comes to.
    sockets: Arc<[UdpSocket]>,
    index: usize,
    family: Family,
    pub(super) tick: Arc<Tick>,
    pub(super) counts: DatagramCounts,
    by_ends: Mutex<HashSet<Known>>,
    pub(super) outgoing: Mutex<Outgoing>,
}

/// Receives until the `drain`, and what the socket holds then. Peers' datagrams go to their connections and all others to
/// `strangers`; `open` makes a connection of a validated source, if there is room for it, and returns whether it did.
pub(crate) async fn receive<S, O>(
    peers: Arc<Peers>,
    gate: Arc<Gate>,
    strangers: Arc<S>,
    open: O,
    drain: CancellationToken,
) where
    S: Fn(Datagram<'_>, &mut DatagramReply<'_>) -> Validation,
    O: Fn(Datagram<'_>, Ends) -> bool,
{
    let Ok(socket) = peers.socket().try_clone() else {
        return tracing::warn!("no descriptor for a datagram listener, which receives nothing");
    };
    let socket = readable(socket);
    let batch = || {
        exchange((socket.get_ref(), peers.family), &peers.counts, |datagram, ends, reply| {
            if peers.deliver(&datagram, ends) {
                return Fate::Taken;
            }
            met(&gate, &*strangers, datagram, reply, || open(datagram, ends))
        })
    };
    while let Some(ready) = drain.run_until_cancelled(socket.readable()).await {
        let Ok(mut ready) = ready else { return };
        let (received, unsent) = batch();
        if received < BATCH {
            ready.clear_ready();
        }
        drop(ready);
        send_later(socket.get_ref(), unsent, &peers.counts).await;
        // Connections read what has arrived for them before more comes.
        tokio::task::yield_now().await;
    }
    take_rest(&peers.counts, batch).await;
}

/// Passes a datagram from a source that is not a peer yet to `strangers`, and has `open` make it one if it is validated.
pub(super) fn met<S>(
    gate: &Gate,
    strangers: &S,
    datagram: Datagram<'_>,
    reply: &mut DatagramReply<'_>,
    open: impl FnOnce() -> bool,
) -> Fate
where
    S: Fn(Datagram<'_>, &mut DatagramReply<'_>) -> Validation,
{
    if !gate.hears(&datagram) {
        return Fate::Refused;
    }
    reply.limit_to_stranger(datagram.payload.len());
    if strangers(datagram, reply) == Validation::Given && open() {
        // There was no room for another connection, and what was written says so.
        reply.discard();
    }
    let leaves = || !reply.is_too_long() && gate.lets_out(reply, datagram.source) && gate.answers(datagram.source);
    if reply.wanted && !leaves() { Fate::Refused } else { Fate::Taken }
}

impl Peers {
    /// Those that send to one of `sockets`, on the worker with this tick.
    pub(crate) fn new(
        (sockets, family): (Arc<[UdpSocket]>, Family),
        index: usize,
        tick: Arc<Tick>,
        counts: DatagramCounts,
    ) -> Arc<Self> {
        let (by_ends, outgoing) = (Mutex::default(), Mutex::new(Outgoing::new(&sockets[index])));
        Arc::new(Self { sockets, index, family, tick, counts, by_ends, outgoing })
    }

    pub(super) fn socket(&self) -> &UdpSocket {
        &self.sockets[self.index]
    }

    /// Makes a peer of a datagram's source. The datagram is the first that it reads.
    pub(crate) fn enter(self: &Arc<Self>, datagram: &Datagram<'_>, ends: Ends) -> (Box<dyn Source>, Box<dyn Sink>) {
        let arrivals = Arrivals::of(ends);
        self.by_ends.lock().replace(Known(Arc::clone(&arrivals)));
        self.deliver(datagram, ends);
        let sink = PeerSink::new(Arc::clone(self), Arc::clone(&arrivals), ends);
        (Box::new(PeerSource { peers: Arc::clone(self), arrivals }), Box::new(sink))
    }

    /// Puts a datagram with its sender's arrivals, if it is a peer's.
    fn deliver(&self, datagram: &Datagram<'_>, ends: Ends) -> bool {
        let by_ends = self.by_ends.lock();
        let Some(Known(arrivals)) = by_ends.get(&ends) else { return false };
        if !arrivals.put(datagram.payload, &self.tick) {
            self.counts.add(DatagramFate::Dropped, 1);
        }
        true
    }

    /// Reads what the kernel has for those that are peers already.
    fn receive_rest(&self) {
        let known = |datagram: Datagram<'_>, ends: Ends, _: &mut DatagramReply<'_>| {
            if self.deliver(&datagram, ends) { Fate::Taken } else { Fate::Refused }
        };
        take_rest_now(|| exchange((self.socket(), self.family), &self.counts, known).0);
    }

    fn leave(&self, arrivals: &Arc<Arrivals>) {
        let mut by_ends = self.by_ends.lock();
        if by_ends.get(&arrivals.ends).is_some_and(|Known(known)| Arc::ptr_eq(known, arrivals)) {
            by_ends.remove(&arrivals.ends);
        }
        // After a storm the table would keep its size for good.
        if by_ends.capacity() > 1024 && by_ends.len() < by_ends.capacity() / 8 {
            let fit = by_ends.len() * 2;
            by_ends.shrink_to(fit);
        }
    }
}

/// What a peer has sent and its connection has not read.
pub(super) struct Arrivals {
    ends: Ends,
    state: Mutex<ArrivalsState>,
}

/// Arrivals that are found by their peer's ends, which are stored nowhere else.
struct Known(Arc<Arrivals>);

impl Borrow<Ends> for Known {
    fn borrow(&self) -> &Ends {
        &self.0.ends
    }
}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.ends.hash(state);
    }
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.0.ends == other.0.ends
    }
}

impl Eq for Known {}

#[derive(Default)]
struct ArrivalsState {
    bytes: Vec<u8>,
    /// See [`Source::framing_bytes`].
    framing_bytes: usize,
    /// Nothing more is wanted: the connection has finished sending, and a datagram peer never announces its end.
    ended: bool,
    reader: Option<Waker>,
    charge: Charge,
}

impl Arrivals {
    /// None yet.
    pub(super) fn of(ends: Ends) -> Arc<Self> {
        Arc::new(Self { ends, state: Mutex::default() })
    }

    /// Queues one datagram, unless there are too many.
    pub(super) fn put(&self, payload: &[u8], tick: &Tick) -> bool {
        let mut state = self.state.lock();
        let ArrivalsState { bytes, framing_bytes, reader, .. } = &mut *state;
        let is_first = bytes.is_empty();
        // Datagrams may be lost: they give way before memory is short, and no connection is closed for them.
        if !is_first && (bytes.len() + payload.len() > ARRIVALS_BYTES || tick.budget.surplus() > 0) {
            return false;
        }
        let size = HEADER_BYTES + payload.len();
        if bytes.capacity() - bytes.len() < size {
            bytes.reserve_exact(size.max(bytes.len() / 2));
        }
        bytes.extend_from_slice(&framed::header(payload.len()));
        bytes.extend_from_slice(payload);
        *framing_bytes += HEADER_BYTES;
        if is_first && let Some(reader) = reader {
            // It may belong to the user's own runtime.
            let _ = contained(|| reader.wake_by_ref());
        }
        let held = state.bytes.capacity();
        state.charge.set(held, &tick.budget);
        true
    }

    /// Ends the input after what is there.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
    }

    /// What is there will not be read any more.
    pub(super) fn forget(&self, tick: &Tick) {
        self.state.lock().charge.set(0, &tick.budget);
    }

    pub(super) fn read(&self, buffer: &mut [u8], tick: &Tick) -> io::Result<usize> {
        let mut state = self.state.lock();
        if state.bytes.is_empty() {
            return if state.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let count = state.bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&state.bytes[..count]);
        if count == state.bytes.len() {
            // A peer that owes nothing owns no buffer.
            state.bytes = Vec::new();
        } else {
            state.bytes.drain(..count);
            if state.bytes.len() < state.bytes.capacity() / 4 {
                state.bytes.shrink_to_fit();
            }
        }
        let held = state.bytes.capacity();
        state.charge.set(held, &tick.budget);
        Ok(count)
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        tick: &Tick,
    ) -> Poll<io::Result<()>> {
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        match self.read(buffer.initialize_unfilled(), tick) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut state = self.state.lock();
                if state.reader.as_ref().is_none_or(|reader| !reader.will_wake(cx.waker())) {
                    state.reader = Some(cx.waker().clone());
                }
                if !state.bytes.is_empty() {
                    // It arrived between the look and setting the waker, on another thread.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            result => {
                budget.made_progress();
                buffer.advance(result?);
                Poll::Ready(Ok(()))
            }
        }
    }

    pub(super) fn framing_bytes(&self, count: usize) -> usize {
        let mut state = self.state.lock();
        // A read may end anywhere in a datagram; what is more than it can hold is the next one's.
        let framing = state.framing_bytes.min(count);
        state.framing_bytes -= framing;
        framing
    }
}

/// The source of a peer's connection. Once it is dropped, the peer is a stranger again.
struct PeerSource {
    peers: Arc<Peers>,
    arrivals: Arc<Arrivals>,
}

impl Source for PeerSource {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.arrivals.poll_read(cx, buffer, &self.peers.tick)
    }

    fn framing_bytes(&mut self, count: usize) -> usize {
        self.arrivals.framing_bytes(count)
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.peers.receive_rest();
        self.arrivals.read(buffer, &self.peers.tick)
    }
}

impl Drop for PeerSource {
    fn drop(&mut self) {
        self.peers.leave(&self.arrivals);
        self.arrivals.forget(&self.peers.tick);
    }
}
