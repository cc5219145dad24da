//! The network interfaces of this machine, as far as groups of hosts need them.

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One interface. An equal one needs no other sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) flags: InterfaceFlags,
    /// Its own addresses, the first of each family first.
    pub(super) v4: Vec<Ipv4Addr>,
    pub(super) v6: Vec<Ipv6Addr>,
    /// Where everybody in one of its networks hears.
    pub(super) broadcasts: Vec<Ipv4Addr>,
}

/// All that there are now, by name.
pub(super) fn all() -> io::Result<Vec<Interface>> {
    let mut found: Vec<Interface> = Vec::new();
    for one in getifaddrs()? {
        let known = found.iter().position(|interface| interface.name == one.interface_name);
        let place = if let Some(place) = known {
            place
        } else {
            // It may have gone in the meantime.
            let Ok(index) = if_nametoindex(one.interface_name.as_str()) else { continue };
            let (name, flags) = (one.interface_name, one.flags);
            let (v4, v6, broadcasts) = Default::default();
            found.push(Interface { name, index, flags, v4, v6, broadcasts });
            found.len() - 1
        };
        let interface = &mut found[place];
        match one.address.and_then(address_of) {
            Some(IpAddr::V4(address)) => {
                interface.v4.push(address);
                if let Some(IpAddr::V4(broadcast)) = one.broadcast.and_then(address_of) {
                    interface.broadcasts.push(broadcast);
                }
            }
            Some(IpAddr::V6(address)) => interface.v6.push(address),
            None => {}
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

impl Interface {
    /// The address that what is sent to a group leaves from: to one of a link, that of the link if it has one, and not to others.
    pub(super) fn address_for(&self, group: SocketAddr) -> Option<IpAddr> {
        self.addresses_for(group).next()
    }

    /// The same and others, the best first: one that is new may not be used yet (RFC 4862 §5.4).
    pub(super) fn addresses_for(&self, group: SocketAddr) -> impl Iterator<Item = IpAddr> {
        let mut addresses: Vec<IpAddr> = match group {
            SocketAddr::V4(_) => self.v4.iter().copied().map(IpAddr::V4).collect(),
            SocketAddr::V6(group) => {
                // A wider scope than the link's must not be reached from an address that is not known there (RFC 4291 §2.5.6).
                let is_of_link = scope_of(*group.ip()) <= LINK;
                let mut addresses = self.v6.clone();
                addresses.sort_by_key(|address| address.is_unicast_link_local() != is_of_link);
                addresses.into_iter().map(IpAddr::V6).collect()
            }
        };
        addresses.dedup();
        addresses.into_iter()
    }

    /// Whether it is one that a group is looked for on if nobody names one.
    pub(super) fn is_likely(&self, group: SocketAddr, is_broadcast: bool) -> bool {
        let wanted = if is_broadcast { InterfaceFlags::IFF_BROADCAST } else { InterfaceFlags::IFF_MULTICAST };
        let is_usable = self.flags.contains(InterfaceFlags::IFF_UP | wanted);
        is_usable && !self.flags.contains(InterfaceFlags::IFF_LOOPBACK) && self.address_for(group).is_some()
    }
}

/// A link's scope (RFC 4291 §2.7).
pub(super) const LINK: u8 = 2;

/// How far a group of IPv6 reaches.
pub(super) fn scope_of(group: Ipv6Addr) -> u8 {
    group.octets()[1] & 0xf
}

fn address_of(address: SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

#[cfg(test)]
mod tests {
    use super::{Interface, InterfaceFlags, all};
    use std::net::{IpAddr, SocketAddr};

    fn interface() -> Interface {
        Interface {
            name: "eth0".to_owned(),
            index: 7,
            flags: InterfaceFlags::IFF_UP | InterfaceFlags::IFF_MULTICAST,
            v4: vec!["10.9.0.1".parse().unwrap()],
            v6: vec!["fe80::1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            broadcasts: Vec::new(),
        }
    }

    #[test]
    fn what_is_sent_leaves_from_an_address_that_is_known_as_far_as_it_goes() {
        let from = |group: &str| interface().address_for(group.parse::<SocketAddr>().unwrap());
        let is = |address: &str| Some(address.parse::<IpAddr>().unwrap());
        assert_eq!(from("239.1.2.3:7000"), is("10.9.0.1"));
        assert_eq!(from("[ff02::4242]:7000"), is("fe80::1"));
        assert_eq!(from("[ff05::4242]:7000"), is("2001:db8::1"));
        let link_only = Interface { v6: vec!["fe80::1".parse().unwrap()], ..interface() };
        assert_eq!(link_only.address_for("[ff05::4242]:7000".parse().unwrap()), is("fe80::1"));
    }

    #[test]
    fn the_loopback_interface_is_there_and_is_not_chosen() {
        let interfaces = all().unwrap();
        let loopback = interfaces.iter().find(|interface| interface.name == "lo").unwrap();
        assert!(!loopback.is_likely("239.1.2.3:7000".parse().unwrap(), false));
        assert!(interface().is_likely("239.1.2.3:7000".parse().unwrap(), false));
        assert!(!interface().is_likely("10.9.0.255:7000".parse().unwrap(), true), "it has no broadcast");
    }
}
