//! TCP, and what it shares with the kernel's other stream sockets.

use super::adopted::{Adopted, ListenerKind};
use super::configured::OwnSettings;
use super::names::{Binding, Families, IpProtocol::Tcp as TCP, NumericAddress, Timing, bind_each, lookup, shown};
use super::{Stream, StreamListener, StreamTransport};
use crate::Timeouts;
use crate::link::{PeerAddr, Sink, Source, UnixUser};
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use switchboard_proto::ProxyHeader;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Connections the kernel may queue before they are accepted; it lowers this to `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 65_535;

/// A peer that vanished is found after 60 s of silence and 3 probes, 15 s apart; unacknowledged data counts likewise.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_mins(1), Duration::from_secs(15), 3);
const USER_TIMEOUT: Duration = Duration::from_secs(105);

/// A TCP address to listen on. Port 0 takes a free one.
#[derive(Debug, Clone)]
pub struct Tcp {
    address: String,
    /// The socket, if it is open already.
    adopted: Option<Adopted>,
    binding: Binding,
    timeouts: Option<Timeouts>,
}

impl Tcp {
    /// Listens on `address`: `HOST:PORT`, `[::1]:PORT`, `[fe80::1%eth0]:PORT`, or a `SocketAddr`. For a host name, it
    /// listens on all addresses. `[::]` includes IPv4, unless the server has another listener on `0.0.0.0` and the same
    /// port.
    pub fn new(address: impl ToString) -> Self {
        Self { address: address.to_string(), adopted: None, binding: Binding::default(), timeouts: None }
    }

    /// Listens on a socket that is already listening: a [`TcpListener`](std::net::TcpListener), or anything that owns
    /// the descriptor of one, such as a socket passed by systemd or by a previous process. It need not be non-blocking.
    /// Its backlog is not changed; after the server has dropped it, the kernel goes on queueing connections for other
    /// owners of the socket.
    ///
    /// A socket that is not listening, or is of another kind, is an error of [`Server::bind`](crate::Server::bind).
    pub fn from_std(listener: impl Into<OwnedFd>) -> Self {
        let adopted = Adopted::new(listener);
        Self { adopted: Some(adopted.clone()), ..Self::new(adopted.place()) }
    }

    /// Binds even if no interface has the address yet: it may come up after the server.
    pub fn freebind(mut self) -> Self {
        self.binding.timing = Timing::Later;
        self
    }

    /// Deadlines for this listener's connections, in place of the server's.
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts: Some(timeouts), ..self }
    }
}

impl StreamTransport for Tcp {
    type Listener = Listener;

    fn url(&self) -> String {
        format!("tcp://{}", self.address)
    }

    fn own(&self) -> OwnSettings {
        OwnSettings { timeouts: self.timeouts, ..OwnSettings::default() }
    }

    fn numeric_address(&self) -> Option<NumericAddress> {
        NumericAddress::of(TCP, &self.address)
    }

    fn leave_ipv4(&mut self) {
        self.binding.families = Families::Ipv6;
    }

    async fn bind(self) -> io::Result<Listener> {
        let backlog = self.adopted.is_none().then_some(BACKLOG);
        let bound = match self.adopted {
            Some(adopted) => vec![adopt(adopted)?],
            None => bind_each(&lookup(&self.address).await?, |address| bind(address, self.binding))?,
        };
        let (addresses, sockets) = bound.into_iter().unzip();
        Ok(Listener { addresses, sockets, backlog, accepting: Vec::new(), next: 0 })
    }
}

fn bind(address: SocketAddr, binding: Binding) -> io::Result<(SocketAddr, Socket)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit these (tcp(7)), so that accepting costs no further call.
    prepare(&socket)?;
    binding.apply(&socket, address)?;
    socket.bind(&address.into())?;
    named(socket)
}

/// Prepares a socket that is already listening: connections that it has queued inherit less.
fn adopt(adopted: Adopted) -> io::Result<(SocketAddr, Socket)> {
    let socket = adopted.take(ListenerKind::Tcp)?;
    prepare(&socket)?;
    named(socket)
}

fn named(socket: Socket) -> io::Result<(SocketAddr, Socket)> {
    let Some(address) = socket.local_addr()?.as_socket() else { unreachable!("bound to an IP address") };
    Ok((address, socket))
}

/// Frames leave at once, and a peer that vanished is found.
fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let (idle, interval, retries) = KEEPALIVE;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(retries))?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// Connects to one address.
pub(crate) async fn connect(address: SocketAddr) -> io::Result<(TcpStream, PeerAddr)> {
    let stream = TcpStream::connect(address).await?;
    prepare(&SockRef::from(&stream))?;
    let peer = PeerAddr::Ip(stream.peer_addr()?);
    Ok((stream, peer))
}

pub(crate) struct Listener {
    /// One, or all of a name's.
    addresses: Vec<SocketAddr>,
    /// Until they are attached.
    sockets: Vec<Socket>,
    /// `None` for sockets that somebody else opened.
    backlog: Option<i32>,
    accepting: Vec<TcpListener>,
    /// Which of them is polled first, so that each gets its turn.
    next: usize,
}

impl StreamListener for Listener {
    type Stream = TcpStream;

    const TRANSPORT: &'static str = "tcp";

    fn url(&self) -> String {
        format!("tcp://{}", shown(self.addresses[0]))
    }

    fn urls(&self) -> Vec<String> {
        self.addresses.iter().map(|address| format!("tcp://{}", shown(*address))).collect()
    }

    fn is_local(&self) -> bool {
        self.addresses.iter().all(|address| address.ip().is_loopback())
    }

    fn listen(&mut self) -> io::Result<()> {
        let Some(backlog) = self.backlog else { return Ok(()) };
        self.sockets.iter().try_for_each(|socket| socket.listen(backlog))
    }

    fn attach(&mut self) -> io::Result<()> {
        for socket in self.sockets.drain(..) {
            self.accepting.push(TcpListener::from_std(socket.into())?);
        }
        Ok(())
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, PeerAddr)>> {
        for _ in 0..self.accepting.len() {
            let listener = &self.accepting[self.next];
            self.next = (self.next + 1) % self.accepting.len();
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                let (stream, address) = accepted?;
                return Poll::Ready(Ok((stream, PeerAddr::Ip(address))));
            }
        }
        Poll::Pending
    }

    fn accept_now(&mut self) -> io::Result<(TcpStream, PeerAddr)> {
        while let Some(listener) = self.accepting.last() {
            match SockRef::from(listener).accept() {
                Ok((socket, address)) => {
                    socket.set_nonblocking(true)?;
                    let Some(address) = address.as_socket() else { unreachable!("it came over IP") };
                    return Ok((TcpStream::from_std(socket.into())?, PeerAddr::Ip(address)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => drop(self.accepting.pop()),
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Stream for TcpStream {
    type Detached = std::net::TcpStream;

    fn detach(self) -> io::Result<std::net::TcpStream> {
        self.into_std()
    }

    fn attach(detached: std::net::TcpStream) -> io::Result<Self> {
        Self::from_std(detached)
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, look: &mut dyn FnMut(&[u8]) -> usize) -> Poll<io::Result<usize>> {
        let mut bytes = [0; ProxyHeader::BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        let shown = ready!(self.poll_peek(cx, &mut buffer))?;
        let mut rest = look(buffer.filled());
        while rest > 0 {
            // They are there: it does not wait.
            rest -= recv(self.as_raw_fd(), &mut bytes[..rest], MsgFlags::MSG_DONTWAIT)?;
        }
        Poll::Ready(Ok(shown))
    }

    fn split(self) -> (Box<dyn Source>, Box<dyn Sink>) {
        let (read, write) = self.into_split();
        (Box::new(read), Box::new(SocketSink::new(write)))
    }
}

impl Source for OwnedReadHalf {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(self), cx, buffer)
    }

    fn socket_bytes(&self) -> usize {
        // It grows with what arrives.
        SockRef::from(self.as_ref()).recv_buffer_size().unwrap_or(usize::MAX)
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.as_ref().as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?)
    }
}

/// The write half of a kernel socket.
pub(super) trait WriteHalf: AsyncWrite + Unpin + Send {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
    fn socket(&self) -> SockRef<'_>;
    /// Whose process is at the other end, where the kernel says so.
    fn unix_user(&self) -> Option<UnixUser> {
        None
    }
    /// Drops it without telling the peer.
    fn forget(self);
}

impl WriteHalf for OwnedWriteHalf {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write_vectored(slices)
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.as_ref())
    }

    fn forget(self) {
        self.forget();
    }
}

/// A kernel socket as a sink.
pub(super) struct SocketSink<W> {
    /// Until it is reset.
    half: Option<W>,
    /// The half's.
    descriptor: RawFd,
    shutting_down: bool,
}

impl<W: WriteHalf> SocketSink<W> {
    pub(super) fn new(half: W) -> Self {
        let descriptor = half.socket().as_raw_fd();
        Self { half: Some(half), descriptor, shutting_down: false }
    }

    fn half(&mut self) -> io::Result<&mut W> {
        self.half.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<W: WriteHalf> Sink for SocketSink<W> {
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            // One piece goes out by `send`, which saves the kernel copying a vector; and bypasses tokio, which would look up whether
            // the socket is known to be full: two cache misses for each member of a room.
            [slice] if self.half.is_some() => {
                Ok(send(self.descriptor, slice, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?)
            }
            _ => self.half()?.try_write_vectored(slices),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(self.half()?).poll_write_vectored(cx, slices)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shutting_down {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(Pin::new(self.half()?).poll_shutdown(cx));
        self.shutting_down = true;
        Poll::Ready(result)
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        // Of a Unix socket that is none.
        self.half.as_ref()?.socket().local_addr().ok()?.as_socket()
    }

    fn unix_user(&self) -> Option<UnixUser> {
        self.half.as_ref()?.unix_user()
    }

    fn reset(&mut self) {
        if let Some(half) = self.half.take() {
            // Best effort: if it fails, the socket is closed the ordinary way.
            let _ = half.socket().set_linger(Some(Duration::ZERO));
            half.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_vanished_is_noticed_after_105_seconds() {
        let (address, listening) = bind(([127, 0, 0, 1], 0).into(), Binding::default()).unwrap();
        listening.listen(1).unwrap();
        let _peer = std::net::TcpStream::connect(address).unwrap();
        let (accepted, _) = listening.accept().unwrap();
        let probes = accepted.tcp_keepalive_interval().unwrap() * accepted.tcp_keepalive_retries().unwrap();
        assert!(accepted.keepalive().unwrap() && accepted.tcp_nodelay().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap() + probes, Duration::from_secs(105));
        assert_eq!(accepted.tcp_user_timeout().unwrap(), Some(Duration::from_secs(105)));
    }
}
