//! Datagrams that are answered one by one, without a connection.
//!
//! Whole batches are received and sent with one system call each. Nothing is kept per source but its share of a fixed
//! table of buckets, which is what makes two servers that answer each other fall silent (CVE-2024-2169).

pub(crate) mod connected;

use crate::metrics::Metrics;
use crate::worker::panic_text;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrLike as _, SockaddrStorage, recvmmsg, sendmmsg};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use switchboard_proto::{Buckets, Escaped, Rate};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::lookup_host;
use tokio::time::Instant;
use tracing::{error, trace};

/// Datagrams in one system call.
const BATCH: usize = 64;

/// The largest datagram there is, and a little, so that the buffers of a batch do not share their cache lines' sets.
const SLOT_BYTES: usize = (64 << 10) + 64;

/// What the kernel holds while we are busy: the default lost hundreds of datagrams a run at 16 × 8 × 1,200 B.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Sources below this port are services; none of them asked us anything.
const FIRST_CLIENT_PORT: u16 = 1024;

/// As much of a datagram as a log line shows.
const TRACED_BYTES: usize = 1024;

/// Buckets for sources, 32 KiB a listener.
const BUCKETS: usize = 4096;

/// A UDP address to answer datagrams on. Port 0 takes a free one.
#[derive(Debug, Clone)]
pub struct Udp {
    address: String,
    limits: DatagramLimits,
}

/// Which datagrams are answered. Those that are not are counted
/// ([`Metrics::datagrams_refused`](crate::Metrics::datagrams_refused)).
///
/// Sources below port 1024 never get an answer: they are services, and would answer in turn.
#[derive(Debug, Clone, Default)]
pub struct DatagramLimits {
    /// Replies to one source address. Default: 10 a second, 100 at once, on listeners open to other machines.
    pub replies: RepliesPerSource,
}

/// Replies to one source address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RepliesPerSource {
    /// 10 a second and 100 at once on listeners open to other machines; unlimited on loopback.
    #[default]
    Auto,
    /// At most this many.
    AtMost(Rate),
}

const DEFAULT_REPLIES: (u32, u32) = (10, 100);

impl Udp {
    /// Answers on `address`: `HOST:PORT`, `[::1]:PORT`, or a `SocketAddr`.
    pub fn new(address: impl ToString) -> Self {
        Self { address: address.to_string(), limits: DatagramLimits::default() }
    }

    /// Which datagrams are answered.
    pub fn limits(self, limits: DatagramLimits) -> Self {
        Self { limits, ..self }
    }

    pub(crate) fn url(&self) -> String {
        format!("udp://{}", self.address)
    }

    /// Binds a socket for each of `count` workers to the same address; the kernel spreads sources over them.
    pub(crate) async fn bind(self, count: usize) -> io::Result<Sockets> {
        let mut result = Err(io::Error::new(io::ErrorKind::NotFound, "no address for this name"));
        for address in lookup_host(&self.address).await? {
            result = bind_all(address, count);
            if result.is_ok() {
                break;
            }
        }
        let (address, bound) = result?;
        let replies = match self.limits.replies {
            RepliesPerSource::AtMost(rate) => Some(rate),
            RepliesPerSource::Auto if address.ip().is_loopback() => None,
            RepliesPerSource::Auto => Some(Rate::new(DEFAULT_REPLIES.0, DEFAULT_REPLIES.1)),
        };
        Ok(Sockets { address, bound, replies })
    }
}

fn bind_all(address: SocketAddr, count: usize) -> io::Result<(SocketAddr, Vec<UdpSocket>)> {
    // A socket that shares its address with our own others would share it with a second server's too, so the first
    // is taken alone, to see that nobody is there.
    let alone = socket(address, false)?;
    let Some(address) = alone.local_addr()?.as_socket() else { unreachable!("bound to an IP address") };
    if count == 1 {
        return Ok((address, vec![alone.into()]));
    }
    drop(alone);
    let sockets = (0..count).map(|_| Ok(socket(address, true)?.into())).collect::<io::Result<_>>()?;
    Ok((address, sockets))
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_reuse_port(shared)?;
    // Best effort: the kernel grants up to `net.core.rmem_max`.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Sockets of one address, one per worker.
pub(crate) struct Sockets {
    pub(crate) address: SocketAddr,
    pub(crate) bound: Vec<UdpSocket>,
    pub(crate) replies: Option<Rate>,
}

/// A received datagram.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// What it carries, possibly nothing.
    pub payload: &'a [u8],
    /// Who claims to have sent it: without a connection, anybody can claim anything.
    pub source: SocketAddr,
}

/// The answer to one datagram: one datagram to its source, if anything is written, be it nothing.
#[derive(Debug)]
pub struct Reply<'a> {
    payload: &'a mut Vec<u8>,
    wanted: bool,
}

impl Reply<'_> {
    /// Appends to the reply. At most 65,507 bytes leave in one datagram over IPv4; a longer reply is lost, and counted.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.payload.extend_from_slice(bytes.as_ref());
        self.wanted = true;
    }
}

/// Answers what one socket receives until its task is dropped.
pub(crate) async fn answer<H>(socket: UdpSocket, gate: Arc<Gate>, handler: Arc<H>, metrics: Arc<Metrics>)
where
    H: Fn(Datagram<'_>, &mut Reply<'_>),
{
    // Interest in reading alone: with interest in writing the kernel wakes the event loop for each datagram that left,
    // which is 8 % of a reply.
    let Ok(socket) = watch(socket, Interest::READABLE) else { unreachable!("the worker's event loop runs") };
    loop {
        let Ok(mut ready) = socket.readable().await else { return };
        let (received, unsent) = exchange(socket.get_ref(), &gate, &*handler, &metrics);
        // A batch that is not full has emptied the socket: the event loop tells of the next datagram.
        if received < BATCH {
            ready.clear_ready();
        }
        drop(ready);
        if !unsent.is_empty() {
            send_later(socket.get_ref(), unsent, &metrics).await;
        }
        tokio::task::coop::consume_budget().await;
    }
}

/// Registers a socket with the event loop, for one interest.
#[expect(deprecated, reason = "its successor is unsafe for types that may change their descriptor; a socket does not")]
fn watch(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    AsyncFd::with_interest(socket, interest)
}

/// Sends what the socket did not take at once. Nothing is received meanwhile, so nothing more piles up.
async fn send_later(socket: &UdpSocket, unsent: Unsent, metrics: &Metrics) {
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
type Unsent = Vec<(Vec<u8>, SocketAddr)>;

/// Receives one batch and sends the replies to it. Says how many were received.
fn exchange<H>(socket: &UdpSocket, gate: &Gate, handler: &H, metrics: &Metrics) -> (usize, Unsent)
where
    H: Fn(Datagram<'_>, &mut Reply<'_>),
{
    let mut scratch = SCRATCH.take().unwrap_or_default();
    // An error belongs to some datagram sent earlier, or there is none to receive.
    let received = scratch.receive(socket.as_raw_fd()).unwrap_or(0);
    metrics.datagrams_in.add(received as u64);
    scratch.replies.clear();
    for index in 0..received {
        let (length, source) = scratch.sources[index];
        let payload = &scratch.slots[index * SLOT_BYTES..][..length];
        trace!("Received from {source}: {}", Escaped(&payload[..length.min(TRACED_BYTES)]));
        if !gate.admits(length, source) {
            metrics.datagrams_refused.add(1);
            continue;
        }
        let start = scratch.text.len();
        let mut reply = Reply { payload: &mut scratch.text, wanted: false };
        // A panic costs its datagram the answer, and nobody else anything.
        let answered = catch_unwind(AssertUnwindSafe(|| handler(Datagram { payload, source }, &mut reply)));
        if let Err(panic) = answered {
            scratch.text.truncate(start);
            metrics.datagrams_refused.add(1);
            if metrics.may_log_abnormal().is_some() {
                error!(peer.addr = %source, error = %panic_text(&*panic), "datagram handler panicked");
            }
        } else if reply.wanted {
            scratch.replies.push((start..scratch.text.len(), source));
        } else {
            metrics.datagrams_refused.add(1);
        }
    }
    let unsent = scratch.send(socket, metrics);
    scratch.text.clear();
    SCRATCH.set(Some(scratch));
    (received, unsent)
}

/// Which sources are answered, on all sockets of a listener: a source may come to each of them, from different ports.
pub(crate) struct Gate {
    frame_bytes: usize,
    buckets: Option<Mutex<Buckets>>,
    key: RandomState,
    started: Instant,
}

impl Gate {
    pub(crate) fn new(replies: Option<Rate>, frame_bytes: usize) -> Self {
        let buckets = replies.map(|rate| Mutex::new(Buckets::new(BUCKETS, rate)));
        Self { frame_bytes, buckets, key: RandomState::new(), started: Instant::now() }
    }

    fn admits(&self, length: usize, source: SocketAddr) -> bool {
        if source.port() < FIRST_CLIENT_PORT || length > self.frame_bytes {
            return false;
        }
        let Some(buckets) = &self.buckets else { return true };
        let hash = self.key.hash_one(network(source.ip()));
        buckets.lock().take(hash, self.started.elapsed())
    }
}

/// The part of an address that one owner has: all of IPv4's, the first 64 bits of IPv6's. Nobody has the number zero.
pub(crate) fn network(address: IpAddr) -> NonZeroU64 {
    let network = match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    };
    NonZeroU64::new(network).unwrap_or(NonZeroU64::MAX)
}

thread_local! {
    /// Memory for one batch. The kernel's headers hold addresses of their own and cannot move between threads, so they
    /// stay here; nothing is remembered from one batch to the next.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

struct Scratch {
    receive_headers: MultiHeaders<SockaddrStorage>,
    send_headers: MultiHeaders<SockaddrStorage>,
    slots: Box<[u8]>,
    /// Length and source of each datagram received.
    sources: Vec<(usize, SocketAddr)>,
    /// Replies, behind each other.
    text: Vec<u8>,
    replies: Vec<(std::ops::Range<usize>, SocketAddr)>,
}

impl Default for Box<Scratch> {
    fn default() -> Self {
        Self::new(Scratch {
            receive_headers: MultiHeaders::preallocate(BATCH, None),
            send_headers: MultiHeaders::preallocate(BATCH, None),
            slots: vec![0; BATCH * SLOT_BYTES].into(),
            sources: Vec::with_capacity(BATCH),
            text: Vec::new(),
            replies: Vec::with_capacity(BATCH),
        })
    }
}

impl Scratch {
    fn receive(&mut self, descriptor: i32) -> io::Result<usize> {
        self.sources.clear();
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.slots.chunks_exact_mut(SLOT_BYTES).map(|slot| [IoSliceMut::new(slot)]).collect();
        let received =
            recvmmsg(descriptor, &mut self.receive_headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        for message in received {
            // A source without an address cannot be answered, nor a length that was not received.
            let source = message.address.as_ref().and_then(socket_address).unwrap_or(NO_SOURCE);
            self.sources.push((message.bytes.min(SLOT_BYTES), source));
        }
        Ok(self.sources.len())
    }

    /// Sends the replies; those that the socket cannot take now are returned.
    fn send(&mut self, socket: &UdpSocket, metrics: &Metrics) -> Unsent {
        let mut first = 0;
        while first < self.replies.len() {
            let replies = &self.replies[first..];
            let slices: Vec<[IoSlice<'_>; 1]> =
                replies.iter().map(|(range, _)| [IoSlice::new(&self.text[range.clone()])]).collect();
            let targets: Vec<Option<SockaddrStorage>> =
                replies.iter().map(|(_, target)| Some((*target).into())).collect();
            let sent =
                sendmmsg(socket.as_raw_fd(), &mut self.send_headers, &slices, &targets, [], MsgFlags::MSG_DONTWAIT);
            match sent {
                Ok(results) => {
                    let count = results.count();
                    metrics.datagrams_out.add(count as u64);
                    first += count;
                }
                Err(Errno::EAGAIN) => {
                    let unsent = replies.iter().map(|(range, target)| (self.text[range.clone()].to_vec(), *target));
                    return unsent.collect();
                }
                Err(_) => {
                    // The first of them cannot be sent: too long, or nowhere to go.
                    metrics.datagrams_lost.add(1);
                    first += 1;
                }
            }
        }
        Vec::new()
    }
}

/// Port 0 is below every client's, so it gets no answer.
const NO_SOURCE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let _ = address.family()?;
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}
