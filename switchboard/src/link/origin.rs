//! Which connection it is: its number, its address, and the listener that it came to.

use super::Link;
use super::occupancy::Occupancy;
use super::proxies::{Proxies, is_in};
use crate::config::{Limits, Timeouts};
use crate::metrics::{ListenerCounts, Metrics};
use crate::sync::Mutex;
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use switchboard_proto::{Escaped, IpNetwork, Rate};
use tokio::time::Instant;
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

/// The user whose process connected to a Unix socket (`SO_PEERCRED`, unix(7)), as of then, even if the socket was passed on since.
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

/// Where a connection comes from, and by which proxy, if one has said so.
#[derive(Debug, Clone)]
pub(crate) struct Provenance {
    pub(crate) address: PeerAddr,
    pub(crate) via: Option<SocketAddr>,
    /// When it was accepted, if that was a while ago.
    pub(crate) accepted: Option<Instant>,
}

impl From<PeerAddr> for Provenance {
    fn from(address: PeerAddr) -> Self {
        Self { address, via: None, accepted: None }
    }
}

/// Where a connection comes from, and whose it has turned out to be.
pub(super) struct Whence {
    /// As it was accepted.
    address: PeerAddr,
    between: OnceLock<Box<Between>>,
}

impl From<Provenance> for Whence {
    fn from(Provenance { address, via, .. }: Provenance) -> Self {
        Self { address, between: via.map_or_else(OnceLock::new, |via| Box::new(Between::new(via)).into()) }
    }
}

/// A proxy between a client and us.
struct Between {
    via: SocketAddr,
    /// Whom it is for, if that was said after it was accepted.
    client: OnceLock<PeerAddr>,
    /// What it counts as for that, until it is closed.
    counted: Mutex<Option<Box<dyn Send>>>,
}

impl Between {
    fn new(via: SocketAddr) -> Self {
        Self { via, client: OnceLock::new(), counted: Mutex::new(None) }
    }
}

impl Link {
    /// Whose process the peer is, where the kernel says so, until it is closed.
    pub(crate) fn unix_user(&self) -> Option<UnixUser> {
        self.state.lock().outbox.sink()?.unix_user()
    }

    /// Whose it is.
    pub(crate) fn client(&self) -> &PeerAddr {
        self.whence.between.get().and_then(|between| between.client.get()).unwrap_or(&self.whence.address)
    }

    /// Where it came from when it was accepted, which is what it counts towards.
    pub(crate) fn accepted_from(&self) -> &PeerAddr {
        &self.whence.address
    }

    /// The proxy that it came by.
    pub(crate) fn via(&self) -> Option<SocketAddr> {
        self.whence.between.get().map(|between| between.via)
    }

    /// It is for `client`, as which it counts as well, in the form of `counted`. The first that says so stands.
    #[cfg(feature = "http")]
    pub(crate) fn is_for(&self, client: PeerAddr, counted: Box<dyn Send>) {
        let Some(proxy) = self.whence.address.ip() else { return };
        let between = self.whence.between.get_or_init(|| Box::new(Between::new(proxy)));
        if between.client.set(client).is_ok() {
            *between.counted.lock() = Some(counted);
        }
    }

    /// Counts no longer as whose it is.
    pub(crate) fn count_no_more(&self) {
        if let Some(between) = self.whence.between.get() {
            let counted = between.counted.lock().take();
            drop(counted);
        }
    }

    /// The address of ours that the peer has reached, where there are such, until it is closed.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.state.lock().outbox.sink()?.local_addr()
    }
}

/// Whether a connection is a group of hosts, and what of other groups it is told. What came from one group goes to no other, so that
/// servers that have two groups in common do not send in circles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Horizon {
    /// It is one peer.
    #[default]
    None,
    /// Nothing that came from a group.
    Split,
    /// What came from other groups too.
    Relay,
}

/// What those connections of one listener have in common that came while it had the same settings.
#[derive(Debug, Clone)]
pub(crate) struct ListenerSettings {
    /// As in logs and lists: `tcp://127.0.0.1:8080`.
    pub(crate) name: String,
    /// Nobody on the way can read along.
    pub(crate) is_secure: bool,
    /// Only this machine can connect.
    pub(crate) is_local: bool,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Arc<Limits>,
    /// What its server holds at most, which counts as well.
    pub(crate) server: Arc<Limits>,
    /// Its connections, if the limits are its own and not its server's.
    pub(crate) occupancy: Option<Arc<Occupancy>>,
    /// How many frames are read of each connection.
    pub(crate) rate: Option<Rate>,
    /// Proxies of which each connection begins with whose it is.
    pub(crate) proxies: Option<Proxies>,
    /// Networks of proxies whose requests say whose they are.
    pub(crate) forwarders: Option<Arc<[IpNetwork]>>,
    /// Whether what comes from one is for groups of hosts.
    pub(crate) horizon: Horizon,
    pub(crate) metrics: Arc<Metrics>,
    /// What it counts itself, and by which transport.
    pub(crate) counts: Arc<ListenerCounts>,
    pub(crate) drain: CancellationToken,
    /// The same for the user's code.
    pub(crate) told: CancellationToken,
}

impl ListenerSettings {
    /// Whether an address is that of a proxy, on whose connections others come.
    pub(crate) fn is_of_proxy(&self, address: &PeerAddr) -> bool {
        self.proxies.as_ref().is_some_and(|proxies| proxies.contains(address))
            || self.forwarders.as_ref().is_some_and(|networks| is_in(networks, address))
    }
}
