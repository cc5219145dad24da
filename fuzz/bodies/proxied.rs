//! The PROXY header: any beginning of one goes on, what follows it does not matter, and two other parsers find the same client.

use ppp::{HeaderResult, v1, v2};
use std::net::{IpAddr, SocketAddr};
use switchboard_proto::{ProxyHeader, ProxyHeaderError};

/// Panics if a header is read in any other way than it is written.
pub(crate) fn run(data: &[u8]) {
    let parsed = ProxyHeader::parse(data);
    if let Ok(Some(header)) = parsed {
        let ProxyHeader { length, client } = header;
        assert!(length <= data.len() && length <= ProxyHeader::BYTES);
        assert_eq!(ProxyHeader::parse(&data[..length]), Ok(Some(header)));
        for end in 0..length {
            assert_eq!(ProxyHeader::parse(&data[..end]), Ok(None), "{end} bytes of it");
        }
        if client.is_some() {
            let (first, second) = (by_ppp(data), by_proxy_header(data));
            assert_eq!([first, second], [Some((client, length)); 2], "what others find");
        }
    }
    if let Ok(None) = parsed {
        assert!(data.len() < ProxyHeader::BYTES, "it ends somewhere");
    }
    // Of what both others take, we refuse what is not written plainly, and what is longer than it has to be.
    if let (Some(first), Some(second)) = (by_ppp(data), by_proxy_header(data))
        && first == second
        && first.0.is_some()
        && is_plain(&data[..first.1])
    {
        assert!(matches!(parsed, Ok(Some(_)) | Err(ProxyHeaderError::TooLong)), "{parsed:?}");
    }
}

type Found = Option<(Option<SocketAddr>, usize)>;

fn by_ppp(data: &[u8]) -> Found {
    let at = |address: IpAddr, port| Some(SocketAddr::new(address.to_canonical(), port));
    Some(match HeaderResult::parse(data) {
        HeaderResult::V1(Ok(header)) => {
            let client = match header.addresses {
                v1::Addresses::Tcp4(addresses) => at(addresses.source_address.into(), addresses.source_port),
                v1::Addresses::Tcp6(addresses) => at(addresses.source_address.into(), addresses.source_port),
                v1::Addresses::Unknown => None,
            };
            (client, header.header.len())
        }
        HeaderResult::V2(Ok(header)) => {
            let is_tcp = header.command == v2::Command::Proxy && header.protocol == v2::Protocol::Stream;
            let client = match header.addresses {
                v2::Addresses::IPv4(addresses) if is_tcp => at(addresses.source_address.into(), addresses.source_port),
                v2::Addresses::IPv6(addresses) if is_tcp => at(addresses.source_address.into(), addresses.source_port),
                _ => None,
            };
            (client, header.len())
        }
        _ => return None,
    })
}

fn by_proxy_header(data: &[u8]) -> Found {
    let (header, length) = proxy_header::ProxyHeader::parse(data, proxy_header::ParseConfig::default()).ok()?;
    let client = header.proxied_address().filter(|address| address.protocol == proxy_header::Protocol::Stream);
    let client = client.map(|client| SocketAddr::new(client.source.ip().to_canonical(), client.source.port()));
    Some((client, length))
}

/// Whether ports have neither signs nor zeros in front, where they are written as text.
fn is_plain(header: &[u8]) -> bool {
    let Some(line) = header.strip_prefix(b"PROXY ").and_then(|line| str::from_utf8(line).ok()) else { return true };
    let ports: Vec<_> = line.trim_end_matches("\r\n").split(' ').skip(3).collect();
    ports.len() == 2 && ports.iter().all(|port| port.parse().is_ok_and(|number: u16| number.to_string() == *port))
}
