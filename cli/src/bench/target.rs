//! Where the load goes: the URL, taken apart and resolved, and from which addresses connections come.

use crate::url::Place;
pub(super) use crate::url::{Scheme, Url};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

/// Ports that Linux gives out by default to whoever connects from one address.
const PORTS: usize = 28_232;

/// Ports of those that others may have.
const SPARE: usize = 200;

/// Source addresses are 127.1.0.1 to 127.1.250.250.
pub(super) const MOST_SOURCES: usize = 250 * 251;

/// For an address to answer, where a host has several.
const ANSWER: Duration = Duration::from_secs(3);

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Socket(SocketAddr),
    File(PathBuf),
}

impl Url {
    /// Looks the host up.
    pub(super) fn resolve(&self) -> Result<Address, String> {
        match &self.place {
            Place::File(path) => Ok(Address::File(path.clone())),
            Place::Host(host) => {
                let found = host.to_string().to_socket_addrs().map_err(|error| error.to_string())?;
                let found: Vec<_> = found.collect();
                let chosen = if self.scheme == Scheme::Udp { found.first() } else { first_to_answer(&found) };
                chosen.copied().map(Address::Socket).ok_or_else(|| "the host has no address".to_owned())
            }
        }
    }

    /// The host as a URL and an HTTP request name it.
    pub(super) fn http_host(&self) -> String {
        match &self.place {
            Place::Host(host) => host.to_string(),
            Place::File(_) => "localhost".to_owned(),
        }
    }
}

/// Of several addresses the first at which somebody listens, or else the first: `localhost` is often `::1` as well, and few
/// servers are there.
fn first_to_answer(addresses: &[SocketAddr]) -> Option<&SocketAddr> {
    let answers = |address: &&SocketAddr| TcpStream::connect_timeout(address, ANSWER).is_ok();
    let found = if addresses.len() > 1 { addresses.iter().find(answers) } else { None };
    found.or(addresses.first())
}

impl Address {
    /// Whether connections can come from 127.1.x.y.
    pub(super) fn is_loopback(&self) -> bool {
        matches!(self, Self::Socket(SocketAddr::V4(address)) if address.ip().is_loopback())
    }
}

/// Ports that the system gives out to whoever connects from one address.
pub(super) fn ports() -> usize {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let ends: Vec<usize> = range.split_whitespace().filter_map(|end| end.parse().ok()).collect();
    if let [first, last] = ends[..] { (last + 1).saturating_sub(first) } else { PORTS }
}

/// Source addresses that so many connections need.
pub(super) fn sources_for(connections: usize) -> usize {
    connections.div_ceil(ports().saturating_sub(SPARE).max(1))
}

/// The address that connection number `index` comes from, of `sources`; none with one source, where the system chooses.
pub(super) fn source(index: usize, sources: usize) -> Option<Ipv4Addr> {
    let number = index.checked_rem(sources).filter(|_| sources > 1)?;
    Some(Ipv4Addr::new(127, 1, (number / 250) as u8, (number % 250) as u8 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::parse("ws://127.0.0.1:8082/rooms/{room}/ws?format=raw").unwrap();
        assert_eq!((url.scheme, url.path.as_str()), (Scheme::Ws, "/rooms/{room}/ws?format=raw"));
        assert_eq!(url.http_host(), "127.0.0.1:8082");
        assert_eq!(url.resolve(), Ok(Address::Socket("127.0.0.1:8082".parse().unwrap())));
        assert!(url.resolve().unwrap().is_loopback());
        assert_eq!(Url::parse("ws://localhost:1").unwrap().path, "/");
        assert_eq!(Url::parse("unix:///run/x.sock").unwrap().resolve(), Ok(Address::File("/run/x.sock".into())));
        for wrong in ["127.0.0.1:1", "http://localhost:1", "tcp://localhost", "tcp://h:1/x", "unix://x", "ws://h:1/a b"]
        {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn of_several_addresses_the_one_with_a_server_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(first_to_answer(&[nobody, server]), Some(&server));
        assert_eq!(first_to_answer(&[nobody, nobody]), Some(&nobody));
        // One is not tried out.
        listener.set_nonblocking(true).unwrap();
        listener.accept().unwrap();
        assert_eq!(first_to_answer(&[server]), Some(&server));
        assert!(listener.accept().is_err());
        assert_eq!(first_to_answer(&[]), None);
    }

    #[test]
    fn sources_are_spread_over_loopback() {
        assert_eq!(source(7, 1), None);
        assert_eq!(source(0, 300), Some(Ipv4Addr::new(127, 1, 0, 1)));
        assert_eq!(source(250, 300), Some(Ipv4Addr::new(127, 1, 1, 1)));
        assert_eq!(source(300, 300), source(0, 300));
        assert_eq!(source(MOST_SOURCES - 1, MOST_SOURCES), Some(Ipv4Addr::new(127, 1, 250, 250)));
    }
}
