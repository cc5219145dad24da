//! A group's sockets: the one that receives, and one that sends for each interface.

use super::super::buffer;
use super::super::interfaces::Interface;
use super::{Direction, Rules};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};

/// Those of one group, as its interfaces are.
pub(crate) struct GroupSockets {
    pub(super) interfaces: Vec<Interface>,
    /// None if it is not heard, or has no interface now.
    pub(super) receiving: Option<UdpSocket>,
    /// One for each interface, and the address that it sends from.
    pub(super) sending: Vec<(UdpSocket, SocketAddr)>,
}

impl GroupSockets {
    /// Opens them; nothing is heard while there is no interface.
    pub(super) fn open(address: SocketAddr, rules: &Rules, interfaces: &[Interface]) -> io::Result<Self> {
        let hears = rules.direction != Direction::Out && !interfaces.is_empty();
        let receiving = hears.then(|| receiving(address, rules, interfaces)).transpose()?;
        let speakers = interfaces.iter().filter(|_| rules.direction != Direction::In);
        let sending = speakers.map(|interface| sending(address, rules, interface)).collect::<io::Result<_>>()?;
        Ok(Self { interfaces: interfaces.to_vec(), receiving, sending })
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    buffer(&socket);
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn receiving(address: SocketAddr, rules: &Rules, interfaces: &[Interface]) -> io::Result<UdpSocket> {
    let socket = socket(address)?;
    // Others on this machine hear it as well, ours on other interfaces among them. Not `SO_REUSEPORT`, by which only one of them would.
    socket.set_reuse_address(true)?;
    match (address.ip(), interfaces) {
        // The kernel looks only at the address there, whichever interface was joined.
        (IpAddr::V6(_), [one]) => on_device(&socket, one)?,
        (IpAddr::V4(_), [one]) if rules.is_broadcast => on_device(&socket, one)?,
        _ => {}
    }
    // To the group's own address: what comes to the port otherwise is not the group's.
    socket.bind(&address.into())?;
    if !rules.is_broadcast {
        for interface in interfaces {
            join(&socket, address, rules, interface)?;
        }
    }
    Ok(socket.into())
}

fn on_device(socket: &Socket, interface: &Interface) -> io::Result<()> {
    match socket.bind_device(Some(interface.name.as_bytes())) {
        // Before Linux 5.7 only with a privilege: then it hears the group's address wherever it comes from.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

fn join(socket: &Socket, address: SocketAddr, rules: &Rules, interface: &Interface) -> io::Result<()> {
    match address.ip() {
        IpAddr::V4(group) => {
            // What other programs have joined is theirs.
            socket.set_multicast_all_v4(false)?;
            if rules.sources.is_empty() {
                return socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface.index));
            }
            let Some(own) = interface.v4.first() else { return Ok(()) };
            rules.sources.iter().try_for_each(|source| match source {
                IpAddr::V4(source) => socket.join_ssm_v4(source, &group, own),
                IpAddr::V6(_) => Ok(()),
            })
        }
        IpAddr::V6(group) => {
            socket.set_multicast_all_v6(false)?;
            socket.join_multicast_v6(&group, interface.index)
        }
    }
}

fn sending(address: SocketAddr, rules: &Rules, interface: &Interface) -> io::Result<(UdpSocket, SocketAddr)> {
    let none = || io::Error::new(io::ErrorKind::AddrNotAvailable, format!("{} has no address", interface.name));
    let mut failed = None;
    for own in interface.addresses_for(address) {
        match sending_from(own, address, rules, interface) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => _ = failed.get_or_insert(error),
            result => return result,
        }
    }
    Err(failed.unwrap_or_else(none))
}

fn sending_from(
    own: IpAddr,
    address: SocketAddr,
    rules: &Rules,
    interface: &Interface,
) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = socket(address)?;
    let hops = u32::from(rules.hops);
    let own: SocketAddr = match own {
        IpAddr::V4(own) if rules.is_broadcast => {
            socket.set_broadcast(true)?;
            // Zero is for multicast alone.
            socket.set_ttl_v4(hops.max(1))?;
            (own, 0).into()
        }
        IpAddr::V4(own) => {
            socket.set_multicast_if_v4(&own)?;
            socket.set_multicast_ttl_v4(hops)?;
            socket.set_multicast_loop_v4(rules.loops)?;
            (own, 0).into()
        }
        IpAddr::V6(own) => {
            socket.set_multicast_if_v6(interface.index)?;
            socket.set_multicast_hops_v6(hops)?;
            socket.set_multicast_loop_v6(rules.loops)?;
            let zone = if own.is_unicast_link_local() { interface.index } else { 0 };
            SocketAddrV6::new(own, 0, 0, zone).into()
        }
    };
    socket.bind(&own.into())?;
    let Some(own) = socket.local_addr()?.as_socket() else { unreachable!("bound to an IP address") };
    Ok((socket.into(), own))
}
