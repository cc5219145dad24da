//! Which addresses a name stands for, and how a listener takes all of them.

use nix::errno::Errno;
use nix::net::if_::{if_indextoname, if_nametoindex};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6};
use tokio::net::lookup_host;
use tracing::warn;

/// How often to try a free port, since it may not be free at a name's other addresses.
const TRIES: usize = 16;

/// The addresses of `HOST:PORT`, at least one, each once.
pub(crate) async fn lookup(address: &str) -> io::Result<Vec<SocketAddr>> {
    if let Some(scoped) = scoped(address) {
        return scoped.map(|address| vec![address]);
    }
    let mut found: Vec<SocketAddr> = Vec::new();
    for address in lookup_host(address).await? {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no address for this name"));
    }
    Ok(found)
}

/// An IPv6 address whose zone is an interface's name: `[fe80::1%eth0]:80`, also as in a URL, `[fe80::1%25eth0]:80`
/// (RFC 6874). A numeric zone needs no help.
fn scoped(address: &str) -> Option<io::Result<SocketAddr>> {
    let (host, port) = address.strip_prefix('[')?.rsplit_once("]:")?;
    let (host, zone) = host.split_once('%')?;
    let (host, port) = (host.parse().ok()?, port.parse().ok()?);
    if zone.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let index = if_nametoindex(zone).or_else(|error| zone.strip_prefix("25").map_or(Err(error), if_nametoindex));
    let address = index.map(|index| SocketAddrV6::new(host, port, 0, index).into());
    Some(address.map_err(|_| io::Error::new(io::ErrorKind::NotFound, format!("there is no interface {zone}"))))
}

/// An address as people read it: a zone by the name of its interface, as it was most likely typed, if it has one.
pub(crate) fn shown(address: SocketAddr) -> String {
    if let SocketAddr::V6(scoped) = address
        && let Ok(zone) = if_indextoname(scoped.scope_id())
        && let Ok(zone) = zone.to_str()
        // nix takes none for an empty one.
        && !zone.is_empty()
    {
        return format!("[{}%{zone}]:{}", scoped.ip(), scoped.port());
    }
    address.to_string()
}

/// Binds all addresses of a name to one port, the given one or a free one. Addresses that this machine does not have are
/// skipped if it has another.
pub(crate) fn bind_each<T>(
    addresses: &[SocketAddr],
    mut bind: impl FnMut(SocketAddr) -> io::Result<(SocketAddr, T)>,
) -> io::Result<Vec<(SocketAddr, T)>> {
    for _ in 1..TRIES {
        match bind_once(addresses, &mut bind) {
            // The port was free at another of the addresses, and here it is not.
            Err((true, error)) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => return result.map_err(|(_, error)| error),
        }
    }
    bind_once(addresses, &mut bind).map_err(|(_, error)| error)
}

/// An error comes with whether the kernel had chosen the port.
fn bind_once<T>(
    addresses: &[SocketAddr],
    mut bind: impl FnMut(SocketAddr) -> io::Result<(SocketAddr, T)>,
) -> Result<Vec<(SocketAddr, T)>, (bool, io::Error)> {
    let (mut bound, mut missing) = (Vec::<(SocketAddr, T)>::new(), Vec::new());
    for address in addresses {
        let mut address = *address;
        let chosen = bound.first().map(|(first, _)| first.port()).filter(|_| address.port() == 0);
        address.set_port(chosen.unwrap_or(address.port()));
        match bind(address) {
            Ok(taken) => bound.push(taken),
            Err(error) if is_elsewhere(&error) => missing.push((address, error)),
            Err(error) => return Err((chosen.is_some(), error)),
        }
    }
    if bound.is_empty()
        && let Some((_, error)) = missing.pop()
    {
        return Err((false, error));
    }
    for (address, error) in missing {
        warn!(%address, %error, "a name has an address that is not this machine's");
    }
    Ok(bound)
}

/// Whether the machine has no such address, or speaks no IPv6 at all.
fn is_elsewhere(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT))
}

/// All addresses of a family, or one of them, as far as that is known before it is bound: anything but a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NumericAddress {
    pub(crate) protocol: IpProtocol,
    pub(crate) address: SocketAddr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IpProtocol {
    Tcp,
    Udp,
}

impl NumericAddress {
    pub(crate) fn of(protocol: IpProtocol, address: &str) -> Option<Self> {
        Some(Self { protocol, address: address.parse().ok()? })
    }

    /// The listener that takes IPv4 away from one on `[::]`, which otherwise has both families.
    pub(crate) fn of_ipv4_beside(self) -> Option<Self> {
        let any = self.address.is_ipv6() && self.address.ip().is_unspecified() && self.address.port() != 0;
        any.then(|| Self { address: (Ipv4Addr::UNSPECIFIED, self.address.port()).into(), ..self })
    }
}

/// How a socket takes its address.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Binding {
    pub(crate) families: Families,
    pub(crate) timing: Timing,
}

/// When an address has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Timing {
    /// When it is bound.
    #[default]
    Now,
    /// Some time (`IP_FREEBIND`, ip(7)).
    Later,
}

impl Binding {
    pub(crate) fn apply(self, socket: &socket2::Socket, address: SocketAddr) -> io::Result<()> {
        self.families.apply(socket, address)?;
        match (self.timing, address.is_ipv4()) {
            (Timing::Now, _) => Ok(()),
            (Timing::Later, true) => socket.set_freebind_v4(true),
            (Timing::Later, false) => socket.set_freebind_v6(true),
        }
    }
}

/// Which families a socket that is bound to `[::]` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Families {
    #[default]
    Both,
    /// Another listener has IPv4.
    Ipv6,
}

impl Families {
    /// Sets it on the socket, since the default depends on `net.ipv6.bindv6only`.
    fn apply(self, socket: &socket2::Socket, address: SocketAddr) -> io::Result<()> {
        if address.is_ipv4() {
            return Ok(());
        }
        socket.set_only_v6(self == Self::Ipv6 || !address.ip().is_unspecified())
    }
}

#[cfg(test)]
mod tests {
    use super::{bind_each, lookup, shown};
    use nix::errno::Errno;
    use std::io;
    use std::net::SocketAddr;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_zone_is_a_number_or_the_name_of_an_interface() {
        for text in ["[fe80::1%1]:80", "[fe80::1%lo]:80", "[fe80::1%25lo]:80"] {
            assert_eq!(lookup(text).await.unwrap(), addresses(&["[fe80::1%1]:80"]), "{text}");
        }
        assert_eq!(lookup("[::1]:80").await.unwrap(), addresses(&["[::1]:80"]));
        assert_eq!(lookup("[fe80::1%nowhere]:80").await.unwrap_err().to_string(), "there is no interface nowhere");
    }

    #[test]
    fn a_zone_is_shown_by_its_interfaces_name() {
        let cases = [
            ("[fe80::1%1]:80", "[fe80::1%lo]:80"),
            ("[fe80::1%4294967295]:80", "[fe80::1%4294967295]:80"),
            ("[::1]:80", "[::1]:80"),
            ("127.0.0.1:80", "127.0.0.1:80"),
        ];
        for (address, text) in cases {
            assert_eq!(shown(address.parse().unwrap()), text);
        }
    }

    #[test]
    fn all_of_a_names_addresses_get_one_port() {
        let (mut tried, mut free) = (Vec::new(), [7001, 7002].into_iter());
        let bind = |mut address: SocketAddr| {
            tried.push(address.to_string());
            if address.port() == 0 {
                address.set_port(free.next().unwrap());
            }
            match address.to_string().as_str() {
                "192.0.2.2:7001" => Err(io::Error::from(Errno::EADDRINUSE)),
                "[2001:db8::1]:7001" | "[2001:db8::1]:7002" => Err(io::Error::from(Errno::EADDRNOTAVAIL)),
                _ => Ok((address, ())),
            }
        };
        let name = addresses(&["192.0.2.1:0", "[2001:db8::1]:0", "192.0.2.2:0"]);
        let bound: Vec<_> = bind_each(&name, bind).unwrap().into_iter().map(|(address, ())| address).collect();
        assert_eq!(bound, addresses(&["192.0.2.1:7002", "192.0.2.2:7002"]));
        assert_eq!(
            tried,
            [
                "192.0.2.1:0",
                "[2001:db8::1]:7001",
                "192.0.2.2:7001",
                "192.0.2.1:0",
                "[2001:db8::1]:7002",
                "192.0.2.2:7002"
            ]
        );
        let busy = |texts: &[&str], error: Errno| {
            let bind = |_| Err::<(SocketAddr, ()), _>(io::Error::from(error));
            bind_each(&addresses(texts), bind).unwrap_err().raw_os_error()
        };
        assert_eq!(busy(&["192.0.2.1:80", "192.0.2.2:80"], Errno::EADDRINUSE), Some(Errno::EADDRINUSE as i32));
        assert_eq!(busy(&["192.0.2.1:80", "192.0.2.2:80"], Errno::EADDRNOTAVAIL), Some(Errno::EADDRNOTAVAIL as i32));
    }
}
