//! Whose a request is behind proxies: found as by reading the whole list, and not changed by whatever stands further left.
//!
//! An input is a byte that chooses the header, and lines: the values of it. Trusted is what begins with 10 or fd.

use std::net::IpAddr;
use switchboard_proto::ForwardedBy;

const NEAREST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

/// Panics if somebody is found who is not there.
pub(crate) fn run(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let by = match choice % 3 {
        0 => ForwardedBy::XForwardedFor,
        1 => ForwardedBy::Forwarded,
        _ => ForwardedBy::XRealIp,
    };
    let lines: Vec<&[u8]> = rest.split(|byte| *byte == b'\n').collect();
    let found = client(by, &lines);
    if let Some(expected) = expected(by, &lines) {
        assert_eq!(found, expected);
    }
    if !is_trusted(found) && by != ForwardedBy::XRealIp {
        // Anybody's lines, and anybody's part of the first.
        for left in ["6.6.6.6", "for=6.6.6.6", "\"", "for=\"6.6.6.6", "\\", ",", ""] {
            let mut more = vec![left.as_bytes()];
            more.extend(&lines);
            assert_eq!(client(by, &more), found, "behind a line {left:?}");
            let first = [left.as_bytes(), b", ", lines[0]].concat();
            more.splice(0..2, [first.as_slice()]);
            assert_eq!(client(by, &more), found, "behind {left:?}");
        }
    }
}

fn client(by: ForwardedBy, lines: &[&[u8]]) -> IpAddr {
    by.client(lines.iter().copied(), NEAREST, is_trusted)
}

fn is_trusted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.octets()[0] == 0xfd,
    }
}

/// The same by reading all of it from the left; nothing where quotes make that another question.
fn expected(by: ForwardedBy, lines: &[&[u8]]) -> Option<IpAddr> {
    let texts: Option<Vec<&str>> = lines.iter().map(|line| str::from_utf8(line).ok()).collect();
    let texts = texts?;
    let hops: Vec<Option<IpAddr>> = match by {
        ForwardedBy::XForwardedFor => texts.iter().flat_map(|text| text.split(',')).map(address).collect(),
        ForwardedBy::Forwarded if !texts.iter().any(|text| text.contains(['"', '\\'])) => {
            texts.iter().flat_map(|text| text.split(',')).map(element).collect()
        }
        ForwardedBy::Forwarded => return None,
        ForwardedBy::XRealIp => {
            return Some(if let [text] = texts[..] { address(text).unwrap_or(NEAREST) } else { NEAREST });
        }
    };
    let mut found = NEAREST;
    for hop in hops.iter().rev().take(32) {
        let Some(address) = hop else { return Some(found) };
        found = *address;
        if !is_trusted(found) {
            break;
        }
    }
    Some(found)
}

fn element(text: &str) -> Option<IpAddr> {
    let pairs: Option<Vec<_>> = text.split(';').map(|pair| trim(pair).split_once('=')).collect();
    let mut values = pairs?.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("for")).map(|(_, value)| value);
    match (values.next(), values.next()) {
        // Nothing around it is passed over here.
        (Some(value), None) if trim(value) == value => address(value),
        _ => None,
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches(|letter: char| letter.is_ascii_whitespace())
}

/// An address, alone or with a port that looks like one.
fn address(text: &str) -> Option<IpAddr> {
    let text = trim(text);
    let bare: Option<IpAddr> = text.parse().ok();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || {
        let (before, port) = text.rsplit_once(':')?;
        let is_port = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
        let v4 = before.parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4);
        let v6 = || before.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6);
        v4.or_else(v6).filter(|_| is_port)
    };
    bare.or_else(bracketed).or_else(with_port).map(|address| address.to_canonical())
}
