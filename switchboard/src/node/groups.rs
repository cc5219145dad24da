//! The addresses that a node sends to groups of hosts from: a datagram that comes from one of them is its own, which has come back.
//!
//! By address alone another server of the same machine would be taken for this one; by address and port it is not.

use parking_lot::RwLock;
use std::net::SocketAddr;

/// Of all groups: what is sent to one by an interface may come back by another, to another one's socket.
#[derive(Debug, Default)]
pub(crate) struct OwnGroupAddresses(RwLock<Vec<SocketAddr>>);

impl OwnGroupAddresses {
    pub(crate) fn add(&self, addresses: &[SocketAddr]) {
        self.0.write().extend_from_slice(addresses);
    }

    pub(crate) fn remove(&self, addresses: &[SocketAddr]) {
        self.0.write().retain(|own| !addresses.contains(own));
    }

    /// Whether a datagram from there is its own. A zone is not compared: the other end of a link may have another number.
    pub(crate) fn holds(&self, source: SocketAddr) -> bool {
        self.0.read().iter().any(|own| own.port() == source.port() && own.ip() == source.ip())
    }
}

#[cfg(test)]
mod tests {
    use super::OwnGroupAddresses;

    #[test]
    fn what_is_sent_from_here_is_known_by_address_and_port() {
        let own = OwnGroupAddresses::default();
        let address = |text: &str| text.parse().unwrap();
        own.add(&[address("10.9.0.1:40000"), address("[fe80::1%2]:40001")]);
        assert!(own.holds(address("10.9.0.1:40000")));
        assert!(own.holds(address("[fe80::1%3]:40001")));
        for other in ["10.9.0.1:40001", "10.9.0.2:40000", "[fe80::2%2]:40001"] {
            assert!(!own.holds(address(other)), "{other}");
        }
        own.remove(&[address("10.9.0.1:40000")]);
        assert!(!own.holds(address("10.9.0.1:40000")));
    }
}
