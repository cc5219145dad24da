//! Both ends of an exchange of datagrams.
//!
//! A socket that is bound to all addresses of a host sends from the one that the route picks. A peer that asked another address
//! would then be answered by a stranger, and a connected client by nobody (RFC 1122 §4.1.3.5). So such a socket notes which
//! address a datagram came to, and answers from that one.

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, setsockopt, sockopt};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

/// A peer, and the address of ours that it speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    /// `None`: the socket's own.
    pub(crate) local: Option<Local>,
}

/// One of a host's addresses, as a socket that is bound to all of them reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Local {
    /// Of the socket's family: IPv4 within IPv6 is IPv6.
    address: IpAddr,
    /// Set where the address alone is ambiguous: link-local ones. Elsewhere the way back may be another, and this is 0.
    interface: u32,
}

/// What the kernel reports about the datagrams that a socket receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Sources that are IPv4.
    V4,
    /// Sources that are IPv6, including IPv4 mapped into it.
    V6,
    /// And which address they came to.
    AnyV4,
    AnyV6,
}

impl Family {
    /// For a socket that is, or will be, bound to `address`.
    pub(crate) fn of(address: SocketAddr) -> Self {
        match (address, address.ip().is_unspecified()) {
            (SocketAddr::V4(_), false) => Self::V4,
            (SocketAddr::V6(_), false) => Self::V6,
            (SocketAddr::V4(_), true) => Self::AnyV4,
            (SocketAddr::V6(_), true) => Self::AnyV6,
        }
    }

    /// Makes the kernel report this about datagrams to this socket. To be called before it is bound, when none can be queued yet.
    pub(super) fn ask(self, socket: &impl AsFd) -> io::Result<()> {
        match self {
            Self::V4 | Self::V6 => Ok(()),
            Self::AnyV4 => Ok(setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?),
            // This covers datagrams over IPv4 too, whose addresses come as IPv6. With IPv4's own option there would be two reports.
            Self::AnyV6 => Ok(setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?),
        }
    }
}

impl Local {
    /// What a control message reports, if the kernel can send from that address.
    pub(super) fn told(message: &ControlMessageOwned) -> Option<Self> {
        match message {
            // Not the one in the datagram's header, which may be a broadcast address (ip(7)).
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                let address = Ipv4Addr::from_bits(u32::from_be(info.ipi_spec_dst.s_addr));
                (!address.is_unspecified()).then_some(Self { address: address.into(), interface: 0 })
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                let interface = if address.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
                Self::is_ours_alone(address).then_some(Self { address: address.into(), interface })
            }
            _ => None,
        }
    }

    pub(super) fn ip(self) -> IpAddr {
        self.address
    }

    fn is_ours_alone(address: Ipv6Addr) -> bool {
        match address.to_ipv4_mapped() {
            Some(address) => !address.is_multicast() && !address.is_broadcast() && !address.is_unspecified(),
            None => !address.is_multicast() && !address.is_unspecified(),
        }
    }
}

/// Which address a datagram is to leave from, in the kernel's own form.
pub(super) enum Origin {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

impl Origin {
    pub(super) fn message(&self) -> ControlMessage<'_> {
        match self {
            Self::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            Self::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        }
    }
}

impl From<Local> for Origin {
    fn from(Local { address, interface }: Local) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: in_addr { s_addr: address.to_bits().to_be() },
                ipi_addr: in_addr { s_addr: 0 },
            }),
            IpAddr::V6(address) => {
                Self::V6(in6_pktinfo { ipi6_addr: in6_addr { s6_addr: address.octets() }, ipi6_ifindex: interface })
            }
        }
    }
}
