//! Hosts and origins in the one form in which they are compared: whoever writes one has several ways to (RFC 9110 §4.2.3).

use http::uri::Authority;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host, and the port if one was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) host: Host,
    port: Option<u16>,
}

/// Without what makes no difference: case, the dot at the end of a name, how an address is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

impl Site {
    /// Reads what RFC 9110 §7.2 has as a Host, which may be empty but holds nobody's name and password.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if !text.is_empty() && (text.contains('@') || text.parse::<Authority>().is_err()) {
            return None;
        }
        let (host, port) = match text.rfind(']') {
            Some(end) => (&text[..=end], &text[end + 1..]),
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match port.strip_prefix(':') {
            None if !port.is_empty() => return None,
            None | Some("") => None,
            // A number and nothing else: `+80` would be one for Rust.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
        };
        Some(Self { host: Host::parse(host)?, port })
    }

    fn port(&self, scheme: &str) -> Option<u16> {
        let own = match scheme {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        };
        self.port.or(own)
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let address: Ipv6Addr = rest.strip_suffix(']')?.parse().ok()?;
            // The same machine is meant by an IPv4 address in the clothes of IPv6.
            return Some(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        let name = text.strip_suffix('.').filter(|name| !name.is_empty()).unwrap_or(text);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if !name.bytes().all(allowed) {
            return None;
        }
        let address = name.parse::<Ipv4Addr>().ok().map(|address| Self::Address(address.into()));
        Some(address.unwrap_or_else(|| Self::Name(name.to_ascii_lowercase())))
    }

    /// Whether it means this machine, whatever a name server says.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Name(name) => name.is_empty() || name == "localhost" || name.ends_with(".localhost"),
            Self::Address(address) => address.is_loopback(),
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => f.write_str(name)?,
            Host::Address(IpAddr::V4(address)) => address.fmt(f)?,
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Where a page comes from (RFC 6454).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Origin {
    /// In small letters.
    pub(super) scheme: String,
    pub(super) site: Site,
}

impl Origin {
    /// Reads `https://example.org`, or with a port `https://example.org:8443`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, site) = text.split_once("://")?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let site = Site::parse(site).filter(|_| !site.is_empty() && !site.starts_with(':'))?;
        let sound = scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(allowed);
        sound.then(|| Self { scheme: scheme.to_ascii_lowercase(), site })
    }

    /// Whether it is the same, however both are written.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.is_at(&other.site)
    }

    /// Whether its pages come from `site`: a port that is not written is that of its scheme.
    pub(super) fn is_at(&self, site: &Site) -> bool {
        self.site.host == site.host && self.site.port(&self.scheme) == site.port(&self.scheme)
    }

    /// As [`is_at`](Self::is_at), or the port was left out, as some proxies do.
    pub(super) fn may_be_at(&self, site: &Site) -> bool {
        self.is_at(site) || (self.site.host == site.host && site.port.is_none())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_the_same_however_it_is_written() {
        let site = |text: &str| Site::parse(text).unwrap_or_else(|| panic!("{text} is none"));
        for (one, other) in [
            ("Chat.Test", "chat.test"),
            ("chat.test.", "chat.test"),
            ("chat.test.:8444", "chat.test:8444"),
            ("chat.test:", "chat.test"),
            ("chat.test:0443", "chat.test:443"),
            ("[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
            ("[::FFFF:127.0.0.1]", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
        ] {
            assert_eq!(site(one), site(other), "{one}");
            assert_eq!(site(one).to_string(), other);
        }
        for (one, other) in [
            ("chat.test", "chat.test:443"),
            ("chat.test", "chat.test.evil.example"),
            ("chat.test", "evil-chat.test"),
            ("[::1]", "127.0.0.1"),
            ("chat.test..", "chat.test"),
            ("0.0.0.0", "127.0.0.1"),
        ] {
            assert_ne!(site(one), site(other), "{one}");
        }
    }

    #[test]
    fn what_is_no_host_is_none() {
        for text in [
            "a@b",
            "a b",
            "a/b",
            "a:b",
            "a:1:2",
            "a:+1",
            "a:65536",
            "[::1",
            "::1]",
            "[::1]80",
            "[a]",
            "[::1%25lo]",
            "a[::1]",
        ] {
            assert_eq!(Site::parse(text), None, "{text}");
        }
        assert!(Site::parse("").is_some());
    }

    #[test]
    fn an_origin_leaves_out_the_port_of_its_scheme() {
        let origin = |text: &str| Origin::parse(text).unwrap_or_else(|| panic!("{text} is none"));
        assert!(origin("https://chat.test").is(&origin("HTTPS://Chat.Test.:443")));
        assert!(origin("http://[0::1]:80").is(&origin("http://[::1]")));
        for other in ["http://chat.test", "https://chat.test:80", "https://chat.test:8444", "https://a.chat.test"] {
            assert!(!origin("https://chat.test").is(&origin(other)), "{other}");
        }
        // One whose scheme has no port of its own.
        assert!(origin("tauri://localhost").is(&origin("tauri://localhost")));
        assert!(!origin("tauri://localhost").is(&origin("tauri://localhost:1")));
        let site = |text: &str| Site::parse(text).expect("a host");
        assert!(origin("https://chat.test").is_at(&site("chat.test:443")));
        assert!(!origin("https://chat.test:8444").is_at(&site("chat.test")));
        assert!(origin("https://chat.test:8444").may_be_at(&site("chat.test")));
        assert!(!origin("https://chat.test:8444").may_be_at(&site("chat.test:443")));
        for text in
            ["", "null", "chat.test", "https://", "://a", "https://a/", "https://a b", "1://a", "https://:80", "*"]
        {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }
}
