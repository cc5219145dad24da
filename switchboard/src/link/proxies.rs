//! Proxies in front of a listener that say whose each connection is, before anything else: the PROXY protocol.

use super::PeerAddr;
use std::sync::Arc;
use switchboard_proto::IpNetwork;

/// The proxies in front of a listener, and what becomes of connections from elsewhere.
///
/// A connection from one of them must begin with a PROXY header, version 1 or 2, within 5 seconds. Then its
/// [peer](crate::Connection::peer) is the client that the header names, and limits, logs and bans count that one; for
/// `LOCAL` and `UNKNOWN` it is the proxy itself. One that begins with anything else, or comes from elsewhere, is refused
/// ([`BadProxyHeader`](crate::CloseReason)). TLVs are ignored.
///
/// # Examples
/// ```
/// use switchboard::prelude::*;
/// use switchboard::{Proxies, Tcp, Transport as _};
/// # async fn echo(_: Connection<Lines>) {}
///
/// # fn main() -> Result {
/// let balancers = Proxies::new(["10.0.0.2".parse()?, "10.1.0.0/16".parse()?]);
/// let server = Server::new().listen(Tcp::new("0.0.0.0:7000").behind(balancers), echo);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Proxies {
    from: Arc<[IpNetwork]>,
    others: Others,
}

/// What becomes of those who come from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    Refused,
    Direct,
}

/// How somebody begins who comes from some address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    WithHeader,
    Directly,
    Never,
}

impl Proxies {
    /// Proxies with addresses in these networks.
    pub fn new(from: impl IntoIterator<Item = IpNetwork>) -> Self {
        Self { from: from.into_iter().collect(), others: Others::Refused }
    }

    /// Accepts connections from elsewhere too, as if there were no proxies: no header is expected from those.
    pub fn and_others(self) -> Self {
        Self { others: Others::Direct, ..self }
    }

    pub(crate) fn begins(&self, address: &PeerAddr) -> Begins {
        match self.others {
            _ if self.contains(address) => Begins::WithHeader,
            Others::Direct => Begins::Directly,
            Others::Refused => Begins::Never,
        }
    }

    pub(crate) fn contains(&self, address: &PeerAddr) -> bool {
        is_in(&self.from, address)
    }
}

/// Whether an address is in one of these networks. What has none is in no network.
pub(crate) fn is_in(networks: &[IpNetwork], address: &PeerAddr) -> bool {
    address.ip().is_some_and(|address| networks.iter().any(|network| network.contains(address.ip())))
}
