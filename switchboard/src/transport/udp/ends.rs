//! Both ends of an exchange of datagrams.
//!
//! A socket that is bound to all addresses of a host would send from the one that the way there begins with; whoever asked
//! another hears of somebody else then, and a connected client of nobody (RFC 1122 §4.1.3.5). So such a socket notes which
//! address a datagram came to, and what goes back is sent from it.

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, setsockopt, sockopt};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

/// A peer, and the address of ours that it speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    /// None is the socket's own.
    pub(crate) local: Option<Local>,
}

/// One of the addresses of a host, as a socket that is bound to all of them tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Local {
    /// Of the socket's family: IPv4 within IPv6 is IPv6.
    address: IpAddr,
    /// Where the address alone does not say which: link-local ones. Elsewhere the way back may be another, and this is 0.
    interface: u32,
}

/// What the kernel tells of the datagrams that a socket receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Sources that are IPv4.
    V4,
    /// Sources that are IPv6, IPv4's within them among these.
    V6,
    /// And which address they came to.
    AnyV4,
    AnyV6,
}

impl Family {
    /// Of a socket that is, or will be, bound to `address`.
    pub(crate) fn of(address: SocketAddr) -> Self {
        match (address, address.ip().is_unspecified()) {
            (SocketAddr::V4(_), false) => Self::V4,
            (SocketAddr::V6(_), false) => Self::V6,
            (SocketAddr::V4(_), true) => Self::AnyV4,
            (SocketAddr::V6(_), true) => Self::AnyV6,
        }
    }

    /// Has the kernel tell of datagrams to this socket what it is to tell. Before it is bound: none may be queued yet.
    pub(super) fn ask(self, socket: &impl AsFd) -> io::Result<()> {
        match self {
            Self::V4 | Self::V6 => Ok(()),
            Self::AnyV4 => Ok(setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?),
            // Of datagrams over IPv4 as well, whose addresses come as IPv6. With IPv4's own option there would be two answers.
            Self::AnyV6 => Ok(setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?),
        }
    }
}

impl Local {
    /// What a control message tells, if it is one that the kernel can send from.
    pub(super) fn told(message: &ControlMessageOwned) -> Option<Self> {
        match message {
            // Not the one in the datagram's header, which may be everybody's (ip(7)).
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

/// What is said to the kernel of where a datagram is to leave from, in its own form.
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
