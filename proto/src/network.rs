//! Networks of IP addresses: what has its first bits in common.
//!
//! Addresses of IPv4 that came as IPv6 (`::ffff:192.0.2.1`) are IPv4.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network, `10.0.0.0/8` or `2001:db8::/32`; or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpNetwork {
    address: IpAddr,
    prefix: u8,
}

/// A text or pair is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IpNetworkError {
    /// Neither an address nor one with a prefix.
    #[error("neither an address nor a network such as 10.0.0.0/8")]
    NoNetwork,
    /// There are bits behind the prefix.
    #[error("has bits behind its prefix; did you mean {0}?")]
    BitsBehind(IpNetwork),
}

impl IpNetwork {
    /// The addresses that have their first `prefix` bits in common with `address`.
    ///
    /// # Errors
    /// `prefix` is longer than the address, or there are bits behind it.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, IpNetworkError> {
        let (address, prefix) = canonical(address, prefix);
        let network = Self::around(address, prefix).ok_or(IpNetworkError::NoNetwork)?;
        if network.address == address { Ok(network) } else { Err(IpNetworkError::BitsBehind(network)) }
    }

    /// The network of that size in which `address` is, if there are such.
    pub fn around(address: IpAddr, prefix: u8) -> Option<Self> {
        let (address, prefix) = canonical(address, prefix);
        let address = match address {
            IpAddr::V4(address) if prefix <= 32 => {
                Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0))
                    .into()
            }
            IpAddr::V6(address) if prefix <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
            _ => return None,
        };
        Some(Self { address, prefix })
    }

    /// Whether an address is one of it.
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::around(address.to_canonical(), self.prefix).is_some_and(|network| network == *self)
    }

    /// The first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits its addresses have in common.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }
}

/// What is IPv4's alone, as IPv4.
fn canonical(address: IpAddr, prefix: u8) -> (IpAddr, u8) {
    match (address.to_canonical(), prefix.checked_sub(96)) {
        (IpAddr::V4(inner), Some(prefix)) if address.is_ipv6() => (inner.into(), prefix),
        _ => (address, prefix),
    }
}

/// An address alone, in the form that it has on the wire.
impl From<IpAddr> for IpNetwork {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for IpNetwork {
    type Err = IpNetworkError;

    fn from_str(text: &str) -> Result<Self, IpNetworkError> {
        let Some((address, prefix)) = text.split_once('/') else {
            let address: IpAddr = text.parse().map_err(|_| IpNetworkError::NoNetwork)?;
            return Ok(address.into());
        };
        let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
        match (address.parse(), prefix.parse()) {
            (Ok(address), Ok(prefix)) if digits => Self::new(address, prefix),
            _ => Err(IpNetworkError::NoNetwork),
        }
    }
}

/// As it is written: an address alone without its prefix.
impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        if self.prefix == whole { self.address.fmt(f) } else { write!(f, "{}/{}", self.address, self.prefix) }
    }
}
