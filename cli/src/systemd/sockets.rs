//! Sockets that are open already when the program starts (`sd_listen_fds(3)`): whoever connects while it is restarted waits in their queue.
//!
//! Each serves the listener that has its address. One that belongs to no listener is a fault: connections would wait in it for ever.

use crate::config::{Fault, SetBy};
use crate::endpoint::Endpoint;
use listenfd::ListenFd;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use switchboard::Escaped;

/// A listener's place for a socket that is open already. Copies share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handed(Arc<Mutex<Option<OwnedFd>>>);

impl Handed {
    pub(crate) fn is_there(&self) -> bool {
        self.0.lock().is_some()
    }

    /// The socket, once.
    pub(crate) fn take(&self) -> Option<OwnedFd> {
        self.0.lock().take()
    }
}

/// Where a socket is bound.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BoundAt {
    Streams(SocketAddr),
    Datagrams(SocketAddr),
    File(PathBuf),
}

/// All that were handed over, with what is wrong with some.
#[derive(Debug, Default)]
pub(crate) struct HandedOver {
    sockets: Vec<(BoundAt, OwnedFd)>,
    faults: Vec<String>,
}

impl HandedOver {
    /// Takes what the environment names; a second time there is nothing. To be called before there is a second thread, since it
    /// changes the environment, so that no child takes the same.
    pub(crate) fn take() -> Self {
        let mut given = ListenFd::from_env();
        let mut taken = Self::default();
        for index in 0..given.len() {
            match socket(&mut given, index) {
                Ok(socket) => taken.sockets.push(socket),
                Err(fault) => taken.faults.push(fault),
            }
        }
        taken
    }

    /// Gives each listener its socket, or says everything that is wrong.
    pub(crate) fn give(self, listeners: &[Endpoint]) -> Result<(), Vec<Fault>> {
        let Self { sockets, mut faults } = self;
        for (bound, socket) in sockets {
            let of_place = listeners.iter().filter(|listener| listener.address.is_bound_at(&bound));
            // Several sockets may have one address, which one listener cannot serve.
            match of_place.clone().find(|listener| !listener.address.handed.is_there()) {
                Some(listener) => {
                    faults.extend(unlike(listener, &bound));
                    *listener.address.handed.0.lock() = Some(socket);
                }
                None if of_place.count() > 0 => {
                    faults.push(format!("{}: two sockets with this address", bound.shown()));
                }
                None => {
                    let known: Vec<_> = listeners.iter().map(Endpoint::place).collect();
                    faults.push(format!(
                        "{}: no listener has this address; there are {}",
                        bound.shown(),
                        known.join(", ")
                    ));
                }
            }
        }
        let fault = |text| Fault::new(SetBy::Environment("LISTEN_FDS".to_owned()), text);
        if faults.is_empty() { Ok(()) } else { Err(faults.into_iter().map(fault).collect()) }
    }
}

impl BoundAt {
    /// As it stands in a URL.
    fn shown(&self) -> String {
        match self {
            Self::Streams(address) => format!("tcp://{address}"),
            Self::Datagrams(address) => format!("udp://{address}"),
            Self::File(path) => format!("unix://{}", Escaped(path.as_os_str().as_encoded_bytes())),
        }
    }
}

fn socket(given: &mut ListenFd, index: usize) -> Result<(BoundAt, OwnedFd), String> {
    let nameless = |error: std::io::Error| format!("socket {index}: {error}");
    if let Ok(Some(listener)) = given.take_tcp_listener(index) {
        return Ok((BoundAt::Streams(listener.local_addr().map_err(nameless)?), listener.into()));
    }
    if let Ok(Some(socket)) = given.take_udp_socket(index) {
        return Ok((BoundAt::Datagrams(socket.local_addr().map_err(nameless)?), socket.into()));
    }
    if let Ok(Some(listener)) = given.take_unix_listener(index) {
        let address = listener.local_addr().map_err(nameless)?;
        let path = address.as_pathname().map(Path::to_owned);
        return Ok((
            BoundAt::File(path.ok_or_else(|| format!("socket {index}: a Unix socket without a path"))?),
            listener.into(),
        ));
    }
    Err(format!("socket {index}: not one for TCP, UDP or Unix streams"))
}

/// What is wrong with the file of a socket whose listener says who may connect: that is up to whoever has made it.
fn unlike(listener: &Endpoint, bound: &BoundAt) -> Option<String> {
    let BoundAt::File(path) = bound else { return None };
    let Ok(file) = std::fs::metadata(path) else { return Some(format!("{}: its file is gone", bound.shown())) };
    let fault = listener.address.file.unlike(file.mode() & 0o777, file.gid())?;
    Some(format!("{}: {fault}", bound.shown()))
}
