//! Whose a request is, as the proxies say that it went through: `Forwarded`, `X-Forwarded-For` and `X-Real-IP`.
//!
//! Read from the right, where the nearest proxy has written, and only as far as proxies that are trusted: anybody can have written what
//! stands further left. RFC 7239 §5.2 and §7.4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Proxies in a row that are looked at.
const HOPS: usize = 32;

/// Where the proxies say it: one header, and no other is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedBy {
    /// `X-Forwarded-For: 192.0.2.1, 10.0.0.2`
    #[default]
    XForwardedFor,
    /// `Forwarded: for=192.0.2.1;proto=https, for="[2001:db8::1]:80"`
    Forwarded,
    /// `X-Real-IP: 192.0.2.1`
    XRealIp,
}

impl ForwardedBy {
    /// The header's name, in lower case.
    pub fn header(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
            Self::XRealIp => "x-real-ip",
        }
    }

    /// Whom a request is from that came by `nearest`, which is trusted: the last in front of the trusted proxies.
    ///
    /// `lines` are the values of the header, in their order. Where one is met that is no address, it is the proxy that wrote
    /// so; the same beyond 32 hops.
    pub fn client<'a>(
        self,
        lines: impl DoubleEndedIterator<Item = &'a [u8]>,
        nearest: IpAddr,
        is_trusted: impl Fn(IpAddr) -> bool,
    ) -> IpAddr {
        let mut client = nearest.to_canonical();
        let mut lines = lines.rev().peekable();
        if self == Self::XRealIp {
            // Each proxy sets it anew. Two lines are of two, and nobody knows which one is ours.
            let line = lines.next();
            let only = line.filter(|_| lines.peek().is_none());
            return only.and_then(|line| node(line.trim_ascii())).unwrap_or(client);
        }
        let mut hops = lines.flat_map(|line| Elements { rest: Some(line), quotes: self == Self::Forwarded });
        for _ in 0..HOPS {
            let Some(hop) = hops.next() else { break };
            let found = match self {
                Self::Forwarded => hop.and_then(for_parameter).and_then(node),
                _ => hop.and_then(node),
            };
            let Some(address) = found else { break };
            client = address;
            if !is_trusted(address) {
                break;
            }
        }
        client
    }
}

/// The elements of a list, the last first. One that is none stops whoever asks.
struct Elements<'a> {
    rest: Option<&'a [u8]>,
    /// Whether a comma may stand in quotes.
    quotes: bool,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.rest.take()?;
        let mut quoted = false;
        let mut comma = None;
        for (place, byte) in line.iter().enumerate().rev() {
            match byte {
                b'"' if self.quotes => quoted = !quoted,
                // Nothing that is quoted here has to be escaped, and read from the right it would be ambiguous.
                b'\\' if self.quotes => return Some(None),
                b',' if !quoted => {
                    comma = Some(place);
                    break;
                }
                _ => {}
            }
        }
        if quoted {
            return Some(None);
        }
        let element = comma.map_or(line, |comma| &line[comma + 1..]);
        self.rest = comma.map(|comma| &line[..comma]);
        Some(Some(element.trim_ascii()))
    }
}

/// The value of the one `for=` of an element, in which quotes are in pairs.
fn for_parameter(element: &[u8]) -> Option<&[u8]> {
    let mut is_quoted = false;
    let mut found = None;
    let pairs = element.split(|byte| {
        is_quoted ^= *byte == b'"';
        *byte == b';' && !is_quoted
    });
    for pair in pairs {
        let pair = pair.trim_ascii();
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        if name.eq_ignore_ascii_case(b"for") {
            let bare = match value {
                [b'"', inner @ .., b'"'] => inner,
                bare => bare,
            };
            if found.replace(bare).is_some() {
                return None;
            }
        }
    }
    found
}

/// An address, with brackets and a port or without.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let address: IpAddr = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        if !port.is_empty() && !is_port(port.strip_prefix(':')?) {
            return None;
        }
        IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
    } else if let Some((address, port)) = text.split_once(':').filter(|(_, rest)| !rest.contains(':')) {
        if !is_port(port) {
            return None;
        }
        IpAddr::V4(address.parse::<Ipv4Addr>().ok()?)
    } else {
        text.parse().ok()?
    };
    Some(address.to_canonical())
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}
