//! Sockets that are open already: opened by whoever started this process, or by the process before it.

use nix::errno::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use switchboard_proto::Escaped;

/// A socket as it was handed over: what kind it is turns out when a server is bound.
#[derive(Debug, Clone)]
pub(crate) struct Adopted(Arc<OwnedFd>);

/// What a listener can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    Tcp,
    Udp,
    Unix,
}

impl Adopted {
    pub(crate) fn new(socket: impl Into<OwnedFd>) -> Self {
        Self(Arc::new(socket.into()))
    }

    /// Where it is bound, as in a URL; or else which descriptor it is.
    pub(crate) fn place(&self) -> String {
        let place = SockRef::from(&self.0).local_addr().ok().and_then(|address| {
            let ip = address.as_socket().map(|address| address.to_string());
            let name = || Some(format!("@{}", Escaped(address.as_abstract_namespace()?)));
            let path = || Some(Escaped(address.as_pathname()?.as_os_str().as_encoded_bytes()).to_string());
            ip.or_else(path).or_else(name)
        });
        place.unwrap_or_else(|| format!("descriptor {}", self.0.as_raw_fd()))
    }

    /// The socket, if it is of the kind `wanted` and not connected to one peer. It does not block, and no child inherits it.
    pub(crate) fn take(self, wanted: ListenerKind) -> io::Result<Socket> {
        let socket = Socket::from(Arc::try_unwrap(self.0).or_else(|shared| shared.try_clone())?);
        match ListenerKind::of(&socket)? {
            Some(kind) if kind == wanted => {}
            Some(kind) => return Err(unusable(format!("is for {kind}, not for {wanted}"))),
            None => return Err(unusable(format!("is not for {wanted}"))),
        }
        if wanted == ListenerKind::Udp {
            if let Ok(peer) = socket.peer_addr() {
                let peer = peer.as_socket().map_or_else(String::new, |peer| peer.to_string());
                return Err(unusable(format!("is connected to {peer} and receives from nobody else")));
            }
            if socket.local_addr()?.as_socket().is_none_or(|address| address.port() == 0) {
                return Err(unusable("is not bound".to_owned()));
            }
        } else if !socket.is_listener()? {
            return Err(unusable("is not listening".to_owned()));
        }
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        Ok(socket)
    }
}

impl ListenerKind {
    fn of(socket: &Socket) -> io::Result<Option<Self>> {
        let domain = socket.domain().map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOTSOCK) => io::Error::new(io::ErrorKind::InvalidInput, "what was passed in is not a socket"),
            _ => error,
        })?;
        let is_ip = domain == Domain::IPV4 || domain == Domain::IPV6;
        let (kind, protocol) = (socket.r#type()?, socket.protocol()?);
        Ok(match (kind, protocol) {
            (Type::STREAM, Some(Protocol::TCP | Protocol::MPTCP)) if is_ip => Some(Self::Tcp),
            (Type::DGRAM, Some(Protocol::UDP)) if is_ip => Some(Self::Udp),
            (Type::STREAM, _) if domain == Domain::UNIX => Some(Self::Unix),
            _ => None,
        })
    }
}

impl fmt::Display for ListenerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Unix => "Unix streams",
        })
    }
}

fn unusable(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("the socket passed in {what}"))
}
