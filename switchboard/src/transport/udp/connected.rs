//! A socket that exchanges datagrams with one address, as a client has it.

use super::RECEIVE_BUFFER_BYTES;
use super::framed::{self, Frames, HEADER_BYTES};
use crate::hub::peer::PeerAddr;
use crate::hub::{Sink, Source};
use crate::transport::names::lookup;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use socket2::SockRef;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{Interest, ReadBuf};
use tokio::net::UdpSocket;

struct Connected {
    socket: UdpSocket,
    /// No end comes from the network, so the connection's own is the source's.
    closing: AtomicBool,
}

/// Binds a socket and sets its peer to the first address of `HOST:PORT` that there is a way to.
pub(crate) async fn connect(address: &str) -> io::Result<((Box<dyn Source>, Box<dyn Sink>), PeerAddr)> {
    let mut result = Err(io::Error::new(io::ErrorKind::NotFound, "no address for this name"));
    for address in lookup(address).await? {
        result = connect_to(address).await.map(|socket| (socket, address));
        if result.is_ok() {
            break;
        }
    }
    let (socket, address) = result?;
    let connected = Arc::new(Connected { socket, closing: AtomicBool::new(false) });
    let refused = Box::pin(refused(Arc::clone(&connected)));
    let source = Receiving { connected: Arc::clone(&connected), refused };
    Ok(((Box::new(source), Box::new(Sending { connected, framing_bytes: 0 })), PeerAddr::Ip(address)))
}

/// Waits until the network says that what was sent did not arrive: nobody listens there. Waiting for datagrams does not
/// tell, since there is none to read.
async fn refused(connected: Arc<Connected>) -> io::Error {
    let socket = &connected.socket;
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
    refused: Pin<Box<dyn Future<Output = io::Error> + Send>>,
}

impl Source for Receiving {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Relaxed: the connection's task sets it and looks at it.
        if self.connected.closing.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let (header, payload) = buffer.initialize_unfilled().split_at_mut(HEADER_BYTES);
        let mut payload = ReadBuf::new(payload);
        match self.connected.socket.poll_recv(cx, &mut payload) {
            Poll::Ready(result) => result?,
            Poll::Pending => return self.refused.as_mut().poll(cx).map(Err),
        }
        let length = payload.filled().len();
        header.copy_from_slice(&framed::header(length));
        buffer.advance(HEADER_BYTES + length);
        Poll::Ready(Ok(()))
    }

    /// Each read is one datagram.
    fn framing_bytes(&mut self, _: usize) -> usize {
        HEADER_BYTES
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (header, payload) = buffer.split_at_mut(HEADER_BYTES);
        let length = recv(self.connected.socket.as_raw_fd(), payload, MsgFlags::MSG_DONTWAIT)?;
        header.copy_from_slice(&framed::header(length));
        Ok(HEADER_BYTES + length)
    }
}

struct Sending {
    connected: Arc<Connected>,
    /// See [`Sink::framing_bytes`].
    framing_bytes: usize,
}

impl Sink for Sending {
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut frames = Frames::new(slices);
        let (mut datagram, mut written) = (Vec::new(), 0);
        while let Some(length) = frames.next(&mut datagram) {
            match self.connected.socket.try_send(&datagram) {
                Ok(_) => {}
                // It fits no datagram. It is lost, as one is that the network drops.
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
            ready!(self.connected.socket.poll_send_ready(cx))?;
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

    fn reset(&mut self) {}
}
