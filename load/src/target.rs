//! Where the load goes: the URL, taken apart and resolved, and from which addresses connections come.

use crate::typed::Place;
pub(crate) use crate::typed::{Scheme, Url};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// Ports that Linux gives out by default for connections from one address.
const PORTS: usize = 28_232;

/// Ports of those that others may have.
const SPARE: usize = 200;

/// Source addresses are 127.1.0.1 to 127.1.250.250.
pub(crate) const MOST_SOURCES: usize = 250 * 251;

/// Time between trying two addresses of a host that has several.
const DELAY: Duration = Duration::from_millis(250);

/// Time for an address to answer, if a host has several.
const ANSWER: Duration = Duration::from_secs(3);

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Socket(SocketAddr),
    File(PathBuf),
}

impl Url {
    /// Looks the host up.
    pub(crate) fn resolve(&self) -> Result<Address, String> {
        match &self.place {
            Place::File(path) => Ok(Address::File(path.clone())),
            Place::Host(host) => {
                let found = addresses(&host.to_string()).map_err(|error| error.to_string())?;
                let chosen = if self.scheme == Scheme::Udp { first_to_take(&found) } else { first_to_answer(&found) };
                chosen.map(Address::Socket).ok_or_else(|| "the host has no address".to_owned())
            }
        }
    }

    /// The host as a URL and an HTTP request name it.
    pub(crate) fn http_host(&self) -> String {
        match &self.place {
            Place::Host(host) => host.to_string(),
            Place::File(_) => "localhost".to_owned(),
        }
    }
}

/// Looks up `HOST:PORT`, the zone of an address too.
fn addresses(place: &str) -> std::io::Result<Vec<SocketAddr>> {
    let (host, port) = place.rsplit_once(':').unwrap_or((place, "0"));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut found = Vec::new();
    for address in (host, port.parse().unwrap_or(0)).to_socket_addrs()? {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    Ok(found)
}

/// The first of several addresses at which somebody listens, or else the first one: `localhost` is often `::1` as well, where few
/// servers listen. Each is tried a moment after the one before, or at once if that fails (RFC 8305).
fn first_to_answer(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let first = *addresses.first()?;
    if addresses.len() == 1 {
        return Some(first);
    }
    let (sender, answers) = channel();
    let mut pending = 0;
    let mut waiting = addresses.iter().copied();
    loop {
        let next = waiting.next();
        if let Some(address) = next {
            let sender = sender.clone();
            // Detached: it ends by itself, and nobody listens then.
            drop(thread::spawn(move || {
                let is_there = TcpStream::connect_timeout(&address, ANSWER).is_ok();
                let _ = sender.send(is_there.then_some(address));
            }));
            pending += 1;
        }
        let mut failed = false;
        while pending > 0 && !failed {
            match answers.recv_timeout(if next.is_some() { DELAY } else { ANSWER }) {
                Ok(Some(address)) => return Some(address),
                // The next one's turn.
                Ok(None) => (pending, failed) = (pending - 1, next.is_some()),
                Err(_) if next.is_some() => break,
                Err(_) => return Some(first),
            }
        }
        if next.is_none() {
            return Some(first);
        }
    }
}

/// The first of several addresses that does not refuse a datagram, or else the first one: the network may report that nobody
/// listens, but never that somebody does.
fn first_to_take(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let takes = |address: &&SocketAddr| {
        let any: SocketAddr =
            if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let asked = UdpSocket::bind(any).and_then(|socket| {
            socket.connect(address)?;
            socket.set_read_timeout(Some(DELAY))?;
            socket.send(b"\n")?;
            socket.recv(&mut [0; 1])
        });
        // Silence is not a refusal.
        asked.map_or_else(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), |_| true)
    };
    let found = if addresses.len() > 1 { addresses.iter().find(takes) } else { None };
    found.or(addresses.first()).copied()
}

impl Address {
    /// Whether connections can come from 127.1.x.y.
    pub(crate) fn is_loopback(&self) -> bool {
        matches!(self, Self::Socket(SocketAddr::V4(address)) if address.ip().is_loopback())
    }
}

/// Ports that the system gives out for connections from one address.
pub(crate) fn ports() -> usize {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let ends: Vec<usize> = range.split_whitespace().filter_map(|end| end.parse().ok()).collect();
    if let [first, last] = ends[..] { (last + 1).saturating_sub(first) } else { PORTS }
}

/// Source addresses that this many connections need.
pub(crate) fn sources_for(connections: usize) -> usize {
    connections.div_ceil(ports().saturating_sub(SPARE).max(1))
}

/// The address that connection number `index` comes from, of `sources`; `None` with one source, where the system chooses.
pub(crate) fn source(index: usize, sources: usize) -> Option<Ipv4Addr> {
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
        assert_eq!(first_to_answer(&[nobody, server]), Some(server));
        assert_eq!(first_to_answer(&[nobody, nobody]), Some(nobody));
        // A single one is not tried.
        listener.set_nonblocking(true).unwrap();
        listener.accept().unwrap();
        assert_eq!(first_to_answer(&[server]), Some(server));
        assert!(listener.accept().is_err());
        assert_eq!(first_to_answer(&[]), None);
    }

    #[test]
    fn of_several_addresses_one_that_refuses_datagrams_is_passed_over() {
        let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(first_to_take(&[nobody, server]), Some(server));
        assert_eq!(first_to_take(&[nobody, nobody]), Some(nobody));
        assert_eq!(first_to_take(&[]), None);
    }

    #[test]
    fn a_zone_may_be_a_name() {
        let found = addresses("[fe80::1%lo]:80").unwrap();
        assert!(matches!(found[..], [SocketAddr::V6(address)] if address.scope_id() > 0), "{found:?}");
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
