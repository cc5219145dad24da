//! One connection's socket: non-blocking, over TCP, TLS, a Unix socket or UDP.

mod datagrams;
mod tls;

pub(crate) use datagrams::Batch;
pub(crate) use tls::client_config;

use crate::target::{self, Address, Url, source};
use mio::event::Source;
use mio::net::{TcpStream, UdpSocket, UnixStream};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::ClientConfig;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tls::Tls;

/// What a slow reader's socket holds, so that the server notices soon. The kernel doubles it.
const SLOW_BUFFER_BYTES: usize = 4096;

/// A datagram socket's receive buffer; the kernel may give less.
const DATAGRAM_BUFFER_BYTES: usize = 4 << 20;

/// How connections are made.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    pub(crate) url: Url,
    pub(crate) address: Address,
    pub(crate) sources: usize,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) datagrams: bool,
}

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<Tls>),
    Unix(UnixStream),
    Udp(UdpSocket),
}

/// Whether a connection that was begun is established.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Pending,
    Open,
}

impl Connector {
    /// Begins a connection, which `register` is to watch.
    pub(crate) fn connect(
        &self,
        index: usize,
        slow: bool,
        register: impl FnOnce(&mut dyn Source) -> io::Result<()>,
    ) -> io::Result<Stream> {
        let mut stream = match &self.address {
            Address::File(path) => Stream::Unix(UnixStream::connect(path)?),
            Address::Socket(address) if self.datagrams => Stream::Udp(self.datagram_socket(*address, index)?),
            Address::Socket(address) => {
                let socket = self.socket(*address, index, Type::STREAM, Protocol::TCP)?;
                socket.set_tcp_nodelay(true)?;
                if slow {
                    socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
                }
                match socket.connect(&(*address).into()) {
                    Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => {
                        return Err(self.explained(error));
                    }
                    _ => {}
                }
                let socket = TcpStream::from_std(socket.into());
                match &self.tls {
                    Some(config) => Stream::Tls(Box::new(Tls::new(socket, Arc::clone(config), &self.url.http_host())?)),
                    None => Stream::Tcp(socket),
                }
            }
        };
        register(stream.source())?;
        Ok(stream)
    }

    /// Says which addresses are meant, if the system cannot assign one.
    fn explained(&self, error: io::Error) -> io::Error {
        // A datagram socket without a port is told to try again.
        let none = if self.datagrams { Errno::EAGAIN } else { Errno::EADDRNOTAVAIL };
        if error.raw_os_error() != Some(none as i32) {
            return error;
        }
        let ports = target::ports();
        let (from, more) = (self.sources, self.sources + 1);
        let advice = if self.address.is_loopback() {
            format!("--source-addresses {more} connects from more than {from}")
        } else {
            "net.ipv4.ip_local_port_range can be widened (sysctl)".to_owned()
        };
        io::Error::other(format!("all {ports} source ports for this server are in use; {advice}"))
    }

    fn datagram_socket(&self, address: SocketAddr, index: usize) -> io::Result<UdpSocket> {
        let socket = self.socket(address, index, Type::DGRAM, Protocol::UDP)?;
        // The system cuts it to what it allows: this is a wish.
        let _ = socket.set_recv_buffer_size(DATAGRAM_BUFFER_BYTES);
        socket.connect(&address.into()).map_err(|error| self.explained(error))?;
        Ok(UdpSocket::from_std(socket.into()))
    }

    fn socket(&self, address: SocketAddr, index: usize, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
        socket.set_nonblocking(true)?;
        if let Some(source) = source(index, self.sources) {
            // The port is chosen by `connect`, which can give one port to several targets; `bind` could not.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into())?;
        }
        Ok(socket)
    }
}

impl Stream {
    /// What an event loop watches.
    pub(crate) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(socket) => socket,
            Self::Tls(tls) => tls.socket(),
            Self::Unix(socket) => socket,
            Self::Udp(socket) => socket,
        }
    }

    /// Whether the connection is established, once its socket is writable.
    pub(crate) fn progress(&mut self) -> io::Result<Progress> {
        match self {
            Self::Tcp(socket) => connected(socket),
            Self::Tls(tls) => tls.progress(),
            Self::Unix(_) | Self::Udp(_) => Ok(Progress::Open),
        }
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
            Self::Unix(socket) => socket.read(buffer),
            Self::Udp(socket) => socket.recv(buffer),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
            Self::Unix(socket) => socket.write(bytes),
            Self::Udp(socket) => socket.send(bytes),
        }
    }

    /// Sends what a write has left behind in it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(tls) => tls.flush(),
            _ => Ok(()),
        }
    }

    /// Whether a read that gave less than it could means that nothing more is there: what comes later is a new event.
    pub(crate) fn short_reads_are_last(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }
}

fn connected(socket: &TcpStream) -> io::Result<Progress> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Ok(_) => Ok(Progress::Open),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(Progress::Pending),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_port_left_is_told_how_to_get_more() {
        let connector = |address: &str, datagrams| Connector {
            url: Url::parse("tcp://127.0.0.1:1").unwrap(),
            address: Address::Socket(address.parse().unwrap()),
            sources: 2,
            tls: None,
            datagrams,
        };
        for (address, datagrams, error, advice) in [
            ("127.0.0.1:1", false, Errno::EADDRNOTAVAIL, "--source-addresses 3 connects from more than 2"),
            ("127.0.0.1:1", true, Errno::EAGAIN, "--source-addresses 3 connects from more than 2"),
            ("192.0.2.1:1", false, Errno::EADDRNOTAVAIL, "net.ipv4.ip_local_port_range can be widened (sysctl)"),
            ("192.0.2.1:1", false, Errno::ECONNREFUSED, "Connection refused (os error 111)"),
        ] {
            let explained = connector(address, datagrams).explained(error.into()).to_string();
            assert!(explained.ends_with(advice), "{explained}");
        }
    }
}
