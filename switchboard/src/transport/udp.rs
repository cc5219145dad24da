//! UDP: datagrams that are answered one by one, and peers that have proved that they receive at their address.
//!
//! A stranger has not proved that. Two servers that answer each other fall silent (CVE-2024-2169): `udp/gate.rs` limits
//! answers, and handlers mark the answers that should be rare ([`DatagramReply::seldom`]).

mod batch;
pub(crate) mod connected;
mod cookies;
mod ends;
mod framed;
mod gate;
pub(crate) mod group;
mod gso;
pub(crate) mod in_memory;
mod incoming;
mod interfaces;
mod narrow;
mod outgoing;
mod peers;

pub(crate) use batch::answer;
pub use cookies::Cookies;
pub(crate) use ends::{Ends, Family};
pub(crate) use gate::Gate;
pub use group::{Direction, HostGroup};
pub(crate) use peers::{Peers, receive};

use super::adopted::{Adopted, ListenerKind};
use super::configured::OwnSettings;
use super::names::{self, Binding, Families, NumericAddress, Timing, bind_each, lookup, shown};
use crate::link::Tuning;
use crate::{Limits, Timeouts};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use switchboard_proto::{DATAGRAM_BYTES, Rate};

/// What the kernel holds while we are busy: the default lost hundreds of datagrams a run at 16 × 8 × 1,200 B.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// What the kernel holds until the network takes it: a fan-out leaves at once.
const SEND_BUFFER_BYTES: usize = 4 << 20;

/// An answer to a stranger is at most this many times as long as what it sent, and at most this long: whoever forges a source
/// cannot make us send a victim more.
const ANSWER_TIMES: usize = 3;
const ANSWER_BYTES: usize = 64;

/// A UDP address to receive datagrams on. Port 0 takes a free one.
#[derive(Debug, Clone)]
pub struct Udp {
    address: String,
    /// The socket, if it is open already.
    adopted: Option<Adopted>,
    binding: Binding,
    limits: DatagramLimits,
    own: OwnSettings,
}

/// Which datagrams are heard, and which are answered, from sources that have no connection. All others are counted
/// ([`Metrics::datagrams_refused`](crate::Metrics::datagrams_refused)).
///
/// Sources below port 1024 never get an answer: they are services, and would answer in turn.
#[derive(Debug, Clone, Default)]
pub struct DatagramLimits {
    /// How many datagrams from one source address reach the handler. Default: all.
    pub received: Option<Rate>,
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
    /// Answers on `address`: `HOST:PORT`, `[::1]:PORT`, `[fe80::1%eth0]:PORT`, or a `SocketAddr`. For a host name, on
    /// all addresses. `[::]` includes IPv4, unless the server has another UDP listener on `0.0.0.0` and the same port.
    pub fn new(address: impl ToString) -> Self {
        Self {
            address: address.to_string(),
            adopted: None,
            binding: Binding::default(),
            limits: DatagramLimits::default(),
            own: OwnSettings::default(),
        }
    }

    /// Receives on a socket that is already bound: a [`UdpSocket`](std::net::UdpSocket), or anything that owns the
    /// descriptor of one. It need not be non-blocking. Only the first worker receives from it, as there is one socket;
    /// a listener that the server binds itself has one for each worker.
    ///
    /// A socket that is not bound, is connected, or is of another kind, is an error of
    /// [`Server::bind`](crate::Server::bind).
    pub fn from_std(socket: impl Into<OwnedFd>) -> Self {
        let adopted = Adopted::new(socket);
        Self { adopted: Some(adopted.clone()), ..Self::new(adopted.place()) }
    }

    /// Binds even if no interface has the address yet: it may come up after the server.
    pub fn freebind(mut self) -> Self {
        self.binding.timing = Timing::Later;
        self
    }

    /// Lets timeouts be changed while it runs: each new connection gets those that `tuning` holds then.
    pub fn tuned(mut self, tuning: &Tuning) -> Self {
        self.own.tuning = Some(tuning.clone());
        self
    }

    /// Deadlines for this listener's connections, in place of the server's.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.own.timeouts = Some(timeouts);
        self
    }

    /// Calls the listener `name` in logs and lists of connections, as [`Transport::named`](crate::Transport::named) does.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.own.name = Some(name.into());
        self
    }

    /// Reads at most `rate` datagrams from each connection ([`Server::udp_peers`](crate::Server::udp_peers)): more than that wait, and are
    /// lost once too many do. For strangers see [`DatagramLimits::received`].
    pub fn throttled(mut self, rate: Rate) -> Self {
        self.own.rate = Some(rate);
        self
    }

    /// Limits for this listener's connections ([`Server::udp_peers`](crate::Server::udp_peers)), beside the server's, as
    /// [`Transport::limited`](crate::Transport::limited) sets them; for each of its addresses, if it has several.
    pub fn limited(mut self, limits: Limits) -> Self {
        self.own.limits = Some(Arc::new(limits));
        self
    }

    /// Which datagrams are heard and answered.
    pub fn limits(self, limits: DatagramLimits) -> Self {
        Self { limits, ..self }
    }

    pub(crate) fn url(&self) -> String {
        format!("udp://{}", self.address)
    }

    /// Everything but its sockets: who is heard and answered, and the settings of connections.
    pub(crate) fn settings(&self) -> (GateLimits, OwnSettings) {
        let replies = match self.limits.replies {
            RepliesPerSource::AtMost(rate) => Some(rate),
            RepliesPerSource::Auto => None,
        };
        ((self.limits.received, replies), self.own.clone())
    }

    pub(crate) fn numeric_address(&self) -> Option<NumericAddress> {
        NumericAddress::of(names::IpProtocol::Udp, &self.address)
    }

    pub(crate) fn leave_ipv4(&mut self) {
        self.binding.families = Families::Ipv6;
    }

    /// Binds a socket for each of `count` workers to each address; the kernel spreads sources over them. A socket that was already
    /// open is the only one.
    pub(crate) async fn bind(self, count: usize) -> io::Result<Vec<Sockets>> {
        let bound = match self.adopted {
            Some(adopted) => vec![adopt(adopted)?],
            None => bind_each(&lookup(&self.address).await?, |address| bind_all(address, self.binding, count))?,
        };
        let sockets = |(address, bound): (SocketAddr, Vec<UdpSocket>)| {
            let replies = match self.limits.replies {
                RepliesPerSource::AtMost(rate) => Some(rate),
                RepliesPerSource::Auto if address.ip().is_loopback() => None,
                RepliesPerSource::Auto => Some(Rate::new(DEFAULT_REPLIES.0, DEFAULT_REPLIES.1)),
            };
            Sockets { address, bound, limits: (self.limits.received, replies), own: self.own.clone() }
        };
        Ok(bound.into_iter().map(sockets).collect())
    }
}

fn bind_all(address: SocketAddr, binding: Binding, count: usize) -> io::Result<(SocketAddr, Vec<UdpSocket>)> {
    // A socket that shares its address with our own others would share it with a second server's too, so the first
    // is taken alone, to see that nobody is there.
    let alone = socket(address, binding, false)?;
    let Some(address) = alone.local_addr()?.as_socket() else { unreachable!("bound to an IP address") };
    if count == 1 {
        return Ok((address, vec![alone.into()]));
    }
    drop(alone);
    let sockets = (0..count).map(|_| Ok(socket(address, binding, true)?.into())).collect::<io::Result<_>>()?;
    Ok((address, sockets))
}

fn adopt(adopted: Adopted) -> io::Result<(SocketAddr, Vec<UdpSocket>)> {
    let socket = adopted.take(ListenerKind::Udp)?;
    let Some(address) = socket.local_addr()?.as_socket() else { unreachable!("bound to an IP address") };
    buffer(&socket);
    // What is already queued may be answered from another of our addresses than it came to: nobody noted which.
    Family::of(address).ask(&socket)?;
    Ok((address, vec![socket.into()]))
}

fn socket(address: SocketAddr, binding: Binding, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_reuse_port(shared)?;
    buffer(&socket);
    binding.apply(&socket, address)?;
    Family::of(address).ask(&socket)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn buffer(socket: &Socket) {
    // Best effort: the kernel grants up to `net.core.rmem_max`.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    // Best effort: up to `net.core.wmem_max`.
    let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
}

/// Datagrams received from one source, and answers to it.
pub(crate) type GateLimits = (Option<Rate>, Option<Rate>);

/// Sockets of one address, one per worker, or one for the first alone.
pub(crate) struct Sockets {
    pub(crate) address: SocketAddr,
    pub(crate) bound: Vec<UdpSocket>,
    pub(crate) limits: GateLimits,
    pub(crate) own: OwnSettings,
}

impl Sockets {
    pub(crate) fn url(&self) -> String {
        format!("udp://{}", shown(self.address))
    }
}

/// A received datagram.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// The payload, possibly empty.
    pub payload: &'a [u8],
    /// Who claims to have sent it. Without a connection, the source may be forged.
    pub source: SocketAddr,
}

/// What a datagram proves about its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// Nothing. It was answered, if at all, and is forgotten.
    Missing,
    /// The source receives at the address it sends from: it becomes a connection, and this datagram is its first frame.
    /// A reply is sent only if there are too many connections to make another.
    Given,
}

/// The answer to one datagram: one datagram to its source, if `write` is called, even with nothing.
#[derive(Debug)]
pub struct DatagramReply<'a> {
    /// After the earlier answers of its batch.
    batch: &'a mut Vec<u8>,
    start: usize,
    limit: usize,
    wanted: bool,
    seldom: bool,
}

impl<'a> DatagramReply<'a> {
    /// An empty one, after those that `batch` holds.
    fn behind(batch: &'a mut Vec<u8>) -> Self {
        Self { start: batch.len(), batch, limit: DATAGRAM_BYTES, wanted: false, seldom: false }
    }
}

impl DatagramReply<'_> {
    /// Appends to the reply. At most 65,507 bytes leave in one datagram over IPv4, and to a stranger, where peers are
    /// validated, at most three times what it sent and at most 64 bytes. A longer reply is lost, and counted.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.batch.extend_from_slice(bytes.as_ref());
        self.wanted = true;
    }

    /// Bytes that may still be written.
    pub fn remaining(&self) -> usize {
        self.limit.saturating_sub(self.batch.len() - self.start)
    }

    /// Limits answers of this kind to this address and port, on loopback too: one a second, and ten at once. Use it for
    /// answers to datagrams that may themselves be answers; otherwise two servers aimed at each other would go on for
    /// ever.
    pub fn seldom(&mut self) {
        self.seldom = true;
    }

    /// Limits the answer to what may go to somebody who could have forged the source of `received` bytes.
    fn limit_to_stranger(&mut self, received: usize) {
        self.limit = (ANSWER_TIMES * received).min(ANSWER_BYTES);
    }

    fn is_too_long(&self) -> bool {
        self.batch.len() - self.start > self.limit
    }

    fn discard(&mut self) {
        self.batch.truncate(self.start);
        (self.wanted, self.seldom) = (false, false);
    }
}
