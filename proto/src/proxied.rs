//! The PROXY header, versions 1 and 2: what a proxy says in front of a connection about whose it is.
//!
//! Nothing is copied and nothing is allocated. Whether a peer may say such a thing is not asked here. What stands in TLVs is passed
//! over and believed of nobody. `haproxy.org/download/3.0/doc/proxy-protocol.txt`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest of version 1, its line end included.
const TEXT_BYTES: usize = 107;

/// What version 1 begins with.
const TEXT: &[u8] = b"PROXY ";

/// What version 2 begins with.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What of version 2 has the same length each time.
const FIXED_BYTES: usize = BINARY.len() + 4;

/// Addresses and TLVs of version 2: what fits into the smallest segment that every host takes.
const VARIABLE_BYTES: usize = 536;

/// A whole header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Its bytes. What follows is the connection's.
    pub length: usize,
    /// Whose connection it is; `None` if it is the proxy's own, or the proxy does not know.
    pub client: Option<SocketAddr>,
}

/// Why bytes are no PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyHeaderError {
    /// They do not begin like one.
    #[error("no PROXY header")]
    Missing,
    /// It is longer than any has to be.
    #[error("the PROXY header is too long")]
    TooLong,
    /// It is for datagrams, Unix sockets, or something newer.
    #[error("the PROXY header is not for TCP")]
    NotTcp,
    /// It begins like one.
    #[error("the PROXY header is malformed")]
    Malformed,
}

impl ProxyHeader {
    /// The longest of both versions.
    pub const BYTES: usize = FIXED_BYTES + VARIABLE_BYTES;

    /// Reads the header that `bytes` begin with, or gives `None` if it goes on behind them: then all of them are part of it.
    ///
    /// # Errors
    /// They do not begin with one. Told as soon as it shows.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, ProxyHeaderError> {
        if begins(bytes, BINARY) {
            return binary(bytes);
        }
        if begins(bytes, TEXT) {
            return text(bytes);
        }
        Err(ProxyHeaderError::Missing)
    }
}

/// The versions of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl ProxyVersion {
    /// The header that says whose a connection is, `from` an address `to` another one; of none, or of two families, that nobody knows.
    pub fn header(self, from: Option<SocketAddr>, to: Option<SocketAddr>) -> Vec<u8> {
        let canonical =
            |address: Option<SocketAddr>| address.map(|address| (address.ip().to_canonical(), address.port()));
        let pair = canonical(from).zip(canonical(to));
        match (self, pair) {
            (Self::V1, Some(((IpAddr::V4(from), port), (IpAddr::V4(to), to_port)))) => {
                format!("PROXY TCP4 {from} {to} {port} {to_port}\r\n").into_bytes()
            }
            (Self::V1, Some(((IpAddr::V6(from), port), (IpAddr::V6(to), to_port)))) => {
                format!("PROXY TCP6 {from} {to} {port} {to_port}\r\n").into_bytes()
            }
            (Self::V1, _) => b"PROXY UNKNOWN\r\n".to_vec(),
            (Self::V2, Some(((IpAddr::V4(from), port), (IpAddr::V4(to), to_port)))) => {
                written(0x11, &[&from.octets(), &to.octets(), &port.to_be_bytes(), &to_port.to_be_bytes()])
            }
            (Self::V2, Some(((IpAddr::V6(from), port), (IpAddr::V6(to), to_port)))) => {
                written(0x21, &[&from.octets(), &to.octets(), &port.to_be_bytes(), &to_port.to_be_bytes()])
            }
            (Self::V2, _) => written(0x00, &[]),
        }
    }
}

/// Version 2 of a connection that is somebody else's.
fn written(family: u8, addresses: &[&[u8]]) -> Vec<u8> {
    let length: u16 = addresses.iter().map(|part| part.len() as u16).sum();
    let mut header = [BINARY, &[0x21, family], &length.to_be_bytes()].concat();
    header.extend(addresses.concat());
    header
}

/// Whether `bytes` begin with `signature`, as far as they go.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    let length = bytes.len().min(signature.len());
    bytes[..length] == signature[..length]
}

fn text(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let line = &bytes[..bytes.len().min(TEXT_BYTES)];
    let Some(end) = line.iter().position(|byte| !(b' '..=b'~').contains(byte)) else {
        return if line.len() == TEXT_BYTES { Err(ProxyHeaderError::TooLong) } else { Ok(None) };
    };
    match &line[end..] {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if line.len() < TEXT_BYTES => return Ok(None),
        [b'\r'] => return Err(ProxyHeaderError::TooLong),
        _ => return Err(ProxyHeaderError::Malformed),
    }
    // The whole line is what `begins` looked at.
    let Some(rest) = line[..end].strip_prefix(TEXT) else { return Err(ProxyHeaderError::Malformed) };
    let client = if matches!(rest.split(|byte| *byte == b' ').next(), Some(b"UNKNOWN")) {
        None
    } else {
        Some(source(rest).ok_or(ProxyHeaderError::Malformed)?)
    };
    Ok(Some(ProxyHeader { length: end + 2, client }))
}

/// Family, addresses and ports, which are all that there is.
fn source(rest: &[u8]) -> Option<SocketAddr> {
    let mut words = str::from_utf8(rest).ok()?.split(' ');
    let family = words.next()?;
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (source, _) = (address()?, address()?);
    let mut ports = [0_u16; 2];
    for port in &mut ports {
        let word = words.next()?;
        // A sign or a zero in front is what `parse` would take.
        if !word.bytes().all(|byte| byte.is_ascii_digit()) || (word.len() > 1 && word.starts_with('0')) {
            return None;
        }
        *port = word.parse().ok()?;
    }
    words.next().is_none().then(|| SocketAddr::new(source.to_canonical(), ports[0]))
}

fn binary(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let Some([command, family, length @ ..]) = bytes.get(BINARY.len()..).and_then(|rest| rest.first_chunk::<4>())
    else {
        // A wrong version shows before the length.
        return match bytes.get(BINARY.len()) {
            Some(command) if !matches!(command, 0x20 | 0x21) => Err(ProxyHeaderError::Malformed),
            _ => Ok(None),
        };
    };
    let variable = usize::from(u16::from_be_bytes(*length));
    let addresses = match (command, family) {
        // A check of the proxy's own, or a client that it cannot name.
        (0x20, _) | (0x21, 0x00) => 0,
        (0x21, 0x11) => 12,
        (0x21, 0x21) => 36,
        (0x21, 0x12 | 0x22 | 0x31 | 0x32) => return Err(ProxyHeaderError::NotTcp),
        _ => return Err(ProxyHeaderError::Malformed),
    };
    if variable < addresses {
        return Err(ProxyHeaderError::Malformed);
    }
    if variable > VARIABLE_BYTES {
        return Err(ProxyHeaderError::TooLong);
    }
    let length = FIXED_BYTES + variable;
    let Some(rest) = bytes.get(FIXED_BYTES..length) else { return Ok(None) };
    let client = match addresses {
        12 => socket::<4>(rest, 8),
        36 => socket::<16>(rest, 32),
        _ => None,
    };
    Ok(Some(ProxyHeader { length, client }))
}

/// The source, whose port stands behind both addresses.
fn socket<const N: usize>(rest: &[u8], port: usize) -> Option<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    let address = IpAddr::from(*rest.first_chunk::<N>()?);
    let port = u16::from_be_bytes(*rest.get(port..)?.first_chunk()?);
    Some(SocketAddr::new(address.to_canonical(), port))
}
