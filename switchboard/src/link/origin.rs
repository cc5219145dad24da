//! Which connection it is: its number, its address, and the listener that it came to.

use super::Link;
use super::occupancy::Occupancy;
use crate::config::{Limits, Timeouts};
use crate::metrics::{ListenerCounts, Metrics};
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use switchboard_proto::{Escaped, Rate};
use tokio_util::sync::CancellationToken;

/// Identifies a connection among all of a server's. Numbers are not reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for ConnectionId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

/// As it is logged.
impl From<ConnectionId> for u64 {
    fn from(id: ConnectionId) -> Self {
        id.0
    }
}

/// Where a connection comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerAddr {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A Unix socket, with its path if the peer bound one.
    Unix(Option<PathBuf>),
    /// The same process.
    Memory,
}

impl PeerAddr {
    /// The IP address and port, if it has one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            _ => None,
        }
    }
}

/// As it is logged: what a peer chose of it is escaped.
impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            // Any bytes that the peer chose to bind.
            Self::Unix(Some(path)) => write!(f, "unix:{}", Escaped(path.as_os_str().as_bytes())),
            Self::Unix(None) => f.write_str("unix"),
            Self::Memory => f.write_str("memory"),
        }
    }
}

/// The user whose process connected to a Unix socket (`SO_PEERCRED`, unix(7)): as it was then, also if the socket was passed on since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnixUser {
    /// The number of the user, as this process sees it.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
}

impl UnixUser {
    pub(crate) fn new(uid: u32, gid: u32) -> Self {
        Self { uid, gid }
    }
}

impl Link {
    /// Whose process the peer is, where the kernel says so, until it is closed.
    pub(crate) fn unix_user(&self) -> Option<UnixUser> {
        self.state.lock().outbox.sink()?.unix_user()
    }

    /// The address of ours that the peer has reached, where there are such, until it is closed.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.state.lock().outbox.sink()?.local_addr()
    }
}

/// What all connections of one listener have in common.
#[derive(Debug)]
pub(crate) struct ListenerSettings {
    /// As in logs and lists: `tcp://127.0.0.1:8080`.
    pub(crate) name: String,
    /// Nobody on the way can read along.
    pub(crate) is_secure: bool,
    /// Only this machine can connect.
    pub(crate) is_local: bool,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Arc<Limits>,
    /// Its connections, if the limits are its own and not its server's.
    pub(crate) occupancy: Option<Box<Occupancy>>,
    /// How many frames are read of each connection.
    pub(crate) rate: Option<Rate>,
    pub(crate) metrics: Arc<Metrics>,
    /// What it counts itself, and by which transport.
    pub(crate) counts: Arc<ListenerCounts>,
    pub(crate) drain: CancellationToken,
    /// The same for the user's code.
    pub(crate) told: CancellationToken,
}
