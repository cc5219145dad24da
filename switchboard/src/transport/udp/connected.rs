//! A client's socket, which exchanges datagrams with one address.

use super::RECEIVE_BUFFER_BYTES;
use super::framed::{self, FramedSlices, HEADER_BYTES};
use crate::link::{PeerAddr, Sink, Source};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use parking_lot::Mutex;
use socket2::SockRef;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{Interest, ReadBuf};
use tokio::net::UdpSocket;

/// Datagrams that are kept until the first answer, to be sent to the next address if this one refuses them.
const KEPT: usize = 64;

struct Connected {
    /// One for each address of the name.
    sockets: Vec<UdpSocket>,
    /// The one in use.
    current: AtomicUsize,
    /// Something has arrived: the others are no longer tried.
    is_heard: AtomicBool,
    /// What was sent, while another address may still be tried.
    kept: Mutex<Vec<Vec<u8>>>,
    /// No end comes from the network, so the connection's own is the source's.
    closing: AtomicBool,
}

/// Binds a socket for each of these addresses that there is a way to, and talks to the first; where nobody listens, to the
/// next, which is sent what the other has refused. The peer's address is told as the first one's.
pub(crate) async fn connect(addresses: &[SocketAddr]) -> io::Result<((Box<dyn Source>, Box<dyn Sink>), PeerAddr)> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "no address for this name");
    let (mut sockets, mut first) = (Vec::new(), None);
    for address in addresses {
        match connect_to(*address).await {
            Ok(socket) => {
                // Or the first datagram would have to wait for the event loop to look.
                socket.writable().await?;
                sockets.push(socket);
                first.get_or_insert(*address);
            }
            Err(error) => failed = error,
        }
    }
    let Some(address) = first else { return Err(failed) };
    let connected = Arc::new(Connected {
        sockets,
        current: AtomicUsize::new(0),
        is_heard: AtomicBool::new(false),
        kept: Mutex::default(),
        closing: AtomicBool::new(false),
    });
    let refused = (0..connected.sockets.len()).map(|at| Some(refusal(&connected, at))).collect();
    let source = Receiving { connected: Arc::clone(&connected), refused };
    Ok(((Box::new(source), Box::new(Sending { connected, framing_bytes: 0 })), PeerAddr::Ip(address)))
}

// Relaxed: the connection's tasks agree by themselves, and a datagram that goes to the address before is one that is lost.
impl Connected {
    fn socket(&self) -> &UdpSocket {
        &self.sockets[self.current.load(Ordering::Relaxed)]
    }

    /// Whether another address may still be tried.
    fn has_others(&self) -> bool {
        !self.is_heard.load(Ordering::Relaxed) && self.current.load(Ordering::Relaxed) + 1 < self.sockets.len()
    }

    /// Keeps what was sent for the next address, if that may be tried.
    fn keep(&self, datagram: &[u8]) {
        if self.has_others() {
            let mut kept = self.kept.lock();
            if kept.len() < KEPT {
                kept.push(datagram.to_vec());
            }
        }
    }

    /// Somebody answers at this address.
    fn hear(&self, at: usize) {
        if !self.is_heard.swap(true, Ordering::Relaxed) {
            self.current.store(at, Ordering::Relaxed);
            self.kept.lock().clear();
        }
    }

    /// Moves on to the next address with what this one has refused, if that is what an error means and there is another address.
    fn goes_on(&self, error: &io::Error) -> bool {
        let goes_on = error.kind() == io::ErrorKind::ConnectionRefused && self.has_others();
        if goes_on {
            self.current.fetch_add(1, Ordering::Relaxed);
            for datagram in self.kept.lock().iter() {
                // What does not leave is lost, like a datagram that the network drops.
                let _ = self.socket().try_send(datagram);
            }
        }
        goes_on
    }
}

type Refusal = Pin<Box<dyn Future<Output = io::Error> + Send + Sync>>;

fn refusal(connected: &Arc<Connected>, at: usize) -> Refusal {
    Box::pin(refused(Arc::clone(connected), at))
}

/// Waits until the network says that what was sent did not arrive: nothing listens there. Waiting for datagrams does not
/// tell, since there is none to read.
async fn refused(connected: Arc<Connected>, at: usize) -> io::Error {
    let socket = &connected.sockets[at];
    loop {
        if let Err(error) = socket.ready(Interest::ERROR).await {
            return error;
        }
        let taken = || socket.take_error()?.map_or_else(|| Err(io::ErrorKind::WouldBlock.into()), Err::<(), _>);
        match socket.try_io(Interest::ERROR, taken) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return error,
            _ => {}
        }
    }
}

async fn connect_to(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // Best effort: the kernel grants up to `net.core.rmem_max`.
    let _ = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    socket.connect(address).await?;
    Ok(socket)
}

struct Receiving {
    connected: Arc<Connected>,
    /// For each socket; none once it has refused.
    refused: Vec<Option<Refusal>>,
}

impl Receiving {
    /// Receives from whichever address has something, or returns why none will.
    fn poll_any(&mut self, cx: &mut Context<'_>, payload: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        for (at, socket) in self.connected.sockets.iter().enumerate() {
            let error = match socket.poll_recv(cx, payload) {
                Poll::Ready(Ok(())) => {
                    self.connected.hear(at);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => error,
                Poll::Pending => match self.refused[at].as_mut().map(|refused| refused.as_mut().poll(cx)) {
                    Some(Poll::Ready(error)) => error,
                    _ => continue,
                },
            };
            if at == self.connected.current.load(Ordering::Relaxed) {
                if !self.connected.goes_on(&error) {
                    return Poll::Ready(Err(error));
                }
                self.refused[at] = None;
            }
        }
        Poll::Pending
    }
}

impl Source for Receiving {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Relaxed: the connection's task sets it and looks at it.
        if self.connected.closing.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let (header, payload) = buffer.initialize_unfilled().split_at_mut(HEADER_BYTES);
        let mut payload = ReadBuf::new(payload);
        ready!(self.poll_any(cx, &mut payload))?;
        let length = payload.filled().len();
        header.copy_from_slice(&framed::header(length));
        buffer.advance(HEADER_BYTES + length);
        Poll::Ready(Ok(()))
    }

    /// Each read is one datagram.
    fn least_bytes(&self) -> usize {
        usize::MAX
    }

    fn framing_bytes(&mut self, _: usize) -> usize {
        HEADER_BYTES
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (header, payload) = buffer.split_at_mut(HEADER_BYTES);
        let length = recv(self.connected.socket().as_raw_fd(), payload, MsgFlags::MSG_DONTWAIT)?;
        header.copy_from_slice(&framed::header(length));
        Ok(HEADER_BYTES + length)
    }
}

struct Sending {
    connected: Arc<Connected>,
    /// See [`Sink::framing_bytes`].
    framing_bytes: usize,
}

impl Sending {
    fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        loop {
            match self.connected.socket().try_send(datagram) {
                // One before it was refused, and this one has not left.
                Err(error) if self.connected.goes_on(&error) => {}
                result => return result,
            }
        }
    }
}

impl Sink for Sending {
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut frames = FramedSlices::new(slices);
        let (mut datagram, mut written) = (Vec::new(), 0);
        while let Some(length) = frames.next(&mut datagram) {
            match self.send(&datagram) {
                Ok(_) => self.connected.keep(&datagram),
                // It fits no datagram. It is lost, like one that the network drops.
                Err(error) if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => {}
                Err(error) if written == 0 => return Err(error),
                // The next call has the same one.
                Err(_) => break,
            }
            datagram.clear();
            written += HEADER_BYTES + length;
            self.framing_bytes += HEADER_BYTES;
        }
        Ok(written)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.connected.socket().poll_send_ready(cx))?;
            match self.try_write(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // There is no way to say it.
        Poll::Ready(Ok(()))
    }

    fn framing_bytes(&mut self) -> usize {
        std::mem::take(&mut self.framing_bytes)
    }

    fn reason(&mut self, _: switchboard_proto::CloseReason) {
        self.connected.closing.store(true, Ordering::Relaxed);
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.connected.socket().local_addr().ok()
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn nobody() -> SocketAddr {
        UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    fn framed(text: &[u8]) -> Vec<u8> {
        [&framed::header(text.len())[..], text].concat()
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_passed_over_with_all_that_was_said_to_it() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addresses = [nobody().await, nobody().await, server.local_addr().unwrap()];
        let ((mut source, mut sink), _) = connect(&addresses).await.unwrap();
        for text in [b"one", b"two"] {
            let frame = framed(text);
            assert_eq!(sink.try_write(&[IoSlice::new(&frame)]).unwrap(), frame.len());
        }
        let mut memory = [0; 100];
        let mut buffer = ReadBuf::new(&mut memory);
        let answering = async {
            let mut text = [0; 10];
            for expected in ["one", "two"] {
                let (length, source) = server.recv_from(&mut text).await.unwrap();
                assert_eq!(&text[..length], expected.as_bytes());
                server.send_to(b"heard", source).await.unwrap();
            }
        };
        let (received, ()) = tokio::join!(poll_fn(|cx| source.poll_read(cx, &mut buffer)), answering);
        received.unwrap();
        assert_eq!(buffer.filled(), framed(b"heard"));
    }

    #[tokio::test]
    async fn when_all_refuse_that_is_the_end() {
        let ((mut source, mut sink), _) = connect(&[nobody().await, nobody().await]).await.unwrap();
        let frame = framed(b"hi");
        sink.try_write(&[IoSlice::new(&frame)]).unwrap();
        let mut memory = [0; 100];
        let received = poll_fn(|cx| source.poll_read(cx, &mut ReadBuf::new(&mut memory))).await;
        assert_eq!(received.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
