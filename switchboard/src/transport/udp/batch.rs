//! Whole batches of datagrams, received and sent with one system call each, and the loop of a listener without
//! connections.

use super::letters::{Letters, Sent};
use super::{Datagram, Gate, Reply};
use crate::metrics::Metrics;
use crate::worker::panic_text;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrLike as _, SockaddrStorage, recvmmsg};
use std::cell::Cell;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use switchboard_proto::{DATAGRAM_BYTES, Escaped};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::{error, trace};

/// Datagrams in one system call.
pub(super) const BATCH: usize = 64;

/// The largest datagram there is, and a little, so that the buffers of a batch do not share their cache lines' sets.
const SLOT_BYTES: usize = (64 << 10) + 64;

/// As much of a datagram as a log line shows.
const TRACED_BYTES: usize = 1024;

/// Answers what one socket receives until its task is dropped.
pub(crate) async fn answer<H>(socket: UdpSocket, gate: Arc<Gate>, handler: Arc<H>, metrics: Arc<Metrics>)
where
    H: Fn(Datagram<'_>, &mut Reply<'_>),
{
    let socket = readable(socket);
    loop {
        let Ok(mut ready) = socket.readable().await else { return };
        let (received, unsent) = exchange(socket.get_ref(), &metrics, |datagram, reply| {
            if !gate.hears(&datagram) || !gate.answers(datagram.source) {
                return Fate::Refused;
            }
            handler(datagram, reply);
            if reply.wanted { Fate::Taken } else { Fate::Refused }
        });
        // A batch that is not full has emptied the socket: the event loop tells of the next datagram.
        if received < BATCH {
            ready.clear_ready();
        }
        drop(ready);
        send_later(socket.get_ref(), unsent, &metrics).await;
        tokio::task::coop::consume_budget().await;
    }
}

/// Registers a socket with the event loop that calls.
///
/// For reading alone: with interest in writing the kernel wakes the event loop for each datagram that left, which is 8 % of
/// a reply.
pub(super) fn readable(socket: UdpSocket) -> AsyncFd<UdpSocket> {
    let Ok(socket) = watch(socket, Interest::READABLE) else { unreachable!("the worker's event loop runs") };
    socket
}

/// Registers a socket with the event loop, for one interest.
#[expect(deprecated, reason = "its successor is unsafe for types that may change their descriptor; a socket does not")]
pub(super) fn watch(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    AsyncFd::with_interest(socket, interest)
}

/// Sends what the socket did not take at once. Nothing is received meanwhile, so nothing more piles up.
pub(super) async fn send_later(socket: &UdpSocket, unsent: Unsent, metrics: &Metrics) {
    if unsent.is_empty() {
        return;
    }
    let other = socket.try_clone().and_then(|socket| watch(socket, Interest::WRITABLE));
    let Ok(writable) = other else {
        return metrics.datagrams_lost.add(unsent.len() as u64);
    };
    for (payload, target) in unsent {
        match writable.async_io(Interest::WRITABLE, |socket| socket.send_to(&payload, target)).await {
            Ok(_) => metrics.datagrams_out.add(1),
            Err(_) => metrics.datagrams_lost.add(1),
        }
    }
}

/// Replies that the socket did not take at once.
pub(super) type Unsent = Vec<(Vec<u8>, SocketAddr)>;

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Taken,
    /// On purpose, which is counted.
    Refused,
}

/// Receives one batch and sends the replies to it. Says how many were received.
pub(super) fn exchange(
    socket: &UdpSocket,
    metrics: &Metrics,
    mut handler: impl FnMut(Datagram<'_>, &mut Reply<'_>) -> Fate,
) -> (usize, Unsent) {
    let mut scratch = SCRATCH.take().unwrap_or_else(|| Scratch::new(socket));
    // An error belongs to some datagram sent earlier, or there is none to receive.
    let received = scratch.receive(socket.as_raw_fd()).unwrap_or(0);
    metrics.datagrams_in.add(received as u64);
    for index in 0..received {
        let (length, source) = scratch.sources[index];
        let payload = &scratch.slots[index * SLOT_BYTES..][..length];
        trace!("Received from {source}: {}", Escaped(&payload[..length.min(TRACED_BYTES)]));
        let text = &mut scratch.replies.text;
        let start = text.len();
        let mut reply = Reply { batch: text, start, limit: DATAGRAM_BYTES, wanted: false };
        // A panic costs its datagram the answer, and nobody else anything.
        let handled = catch_unwind(AssertUnwindSafe(|| handler(Datagram { payload, source }, &mut reply)));
        let wanted = reply.wanted;
        match handled {
            Ok(Fate::Taken) if wanted => scratch.replies.seal(start, source),
            Ok(Fate::Taken) => {}
            Ok(Fate::Refused) => metrics.datagrams_refused.add(1),
            Err(panic) => {
                scratch.replies.text.truncate(start);
                metrics.datagrams_refused.add(1);
                if metrics.may_log_abnormal().is_some() {
                    error!(peer.addr = %source, error = %panic_text(&*panic), "datagram handler panicked");
                }
            }
        }
    }
    let full = scratch.replies.send(socket, metrics) == Sent::Full;
    let unsent = |(payload, target): (&[u8], SocketAddr)| (payload.to_vec(), target);
    let unsent = if full { scratch.replies.datagrams().map(unsent).collect() } else { Unsent::new() };
    scratch.replies.clear();
    SCRATCH.set(Some(scratch));
    (received, unsent)
}

thread_local! {
    /// Memory for one batch. The kernel's headers hold addresses of their own and cannot move between threads, so they
    /// stay here; nothing is remembered from one batch to the next.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

struct Scratch {
    headers: MultiHeaders<SockaddrStorage>,
    slots: Box<[u8]>,
    /// Length and source of each datagram received.
    sources: Vec<(usize, SocketAddr)>,
    replies: Letters,
}

impl Scratch {
    fn new(socket: &UdpSocket) -> Box<Self> {
        Box::new(Self {
            headers: MultiHeaders::preallocate(BATCH, None),
            slots: vec![0; BATCH * SLOT_BYTES].into(),
            sources: Vec::with_capacity(BATCH),
            replies: Letters::new(socket),
        })
    }

    fn receive(&mut self, descriptor: i32) -> io::Result<usize> {
        self.sources.clear();
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.slots.chunks_exact_mut(SLOT_BYTES).map(|slot| [IoSliceMut::new(slot)]).collect();
        let received = recvmmsg(descriptor, &mut self.headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        for message in received {
            // A source without an address cannot be answered, nor a length that was not received.
            let source = message.address.as_ref().and_then(socket_address).unwrap_or(NO_SOURCE);
            self.sources.push((message.bytes.min(SLOT_BYTES), source));
        }
        Ok(self.sources.len())
    }
}

/// Port 0 is below every client's, so it gets no answer.
const NO_SOURCE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let _ = address.family()?;
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}
