//! URLs, taken apart: where a client goes, and where a listener is. Whether anybody is there, and whether a host exists, is
//! found out by connecting or binding.
//!
//! What a listener's URL has behind its place is read by the program (`cli/src/endpoint.rs`).

use super::{did_you_mean, percent_decoded};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The longest path that fits a Unix socket's address, its final NUL excluded (unix(7)).
const UNIX_PATH_BYTES: usize = 107;

/// How a URL begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Tcp,
    Tls,
    Unix,
    Udp,
    Http,
    Https,
    Ws,
    Wss,
}

impl Scheme {
    pub const ALL: [Self; 8] =
        [Self::Tcp, Self::Tls, Self::Unix, Self::Udp, Self::Http, Self::Https, Self::Ws, Self::Wss];

    /// Those that a client can connect to.
    const OF_CLIENTS: [Self; 6] = [Self::Tcp, Self::Tls, Self::Unix, Self::Udp, Self::Ws, Self::Wss];

    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Unix => "unix",
            Self::Udp => "udp",
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Https | Self::Wss)
    }

    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// The one of this name among `known`; otherwise an error that lists them.
    pub fn among(known: &[Self], name: &str) -> Result<Self, String> {
        known.iter().copied().find(|scheme| scheme.name() == name).ok_or_else(|| {
            let names: Vec<_> = known.iter().map(|scheme| scheme.name()).collect();
            let meant = did_you_mean(name, names.iter().copied());
            format!("unknown scheme `{name}`; known: {}{meant}", names.join(", "))
        })
    }

    /// The port of a client's URL without one (RFC 6455 §3).
    fn default_port(self) -> Option<u16> {
        match self {
            Self::Ws => Some(80),
            Self::Wss => Some(443),
            _ => None,
        }
    }
}

/// A well-formed URL for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub typed: String,
    pub scheme: Scheme,
    pub place: Place,
    /// Of a WebSocket, with its query.
    pub path: String,
}

/// Where a URL leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Host(HostPort),
    File(PathBuf),
}

/// A well-formed host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// In lower case, in brackets if it is IPv6.
    host: String,
    port: u16,
}

impl Url {
    /// `HOST:PORT`, or the path of a socket.
    pub fn host(&self) -> String {
        match &self.place {
            Place::Host(host) => host.to_string(),
            Place::File(path) => path.display().to_string(),
        }
    }

    pub fn is_datagrams(&self) -> bool {
        self.scheme == Scheme::Udp
    }

    /// What was typed as a URL: a place without a scheme is one of lines.
    pub fn with_scheme(typed: &str) -> String {
        if typed.contains("://") { typed.to_owned() } else { format!("tcp://{typed}") }
    }

    pub fn parse(typed: &str) -> Result<Self, String> {
        let (scheme, rest) = typed.split_once("://").ok_or("not a URL, as in tcp://127.0.0.1:8081")?;
        if let "http" | "https" = scheme {
            let (web, place) = (scheme.replace("http", "ws"), rest.split('/').next().unwrap_or(rest));
            return Err(format!("{scheme} is for browsers and curl; rooms have a WebSocket at {web}://{place}/ws"));
        }
        let scheme = Scheme::among(&Scheme::OF_CLIENTS, scheme)?;
        let end = rest.find(['/', '?']).filter(|_| scheme.is_websocket()).unwrap_or(rest.len());
        let (place, path) = rest.split_at(end);
        if path.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err("a path has no spaces, and what is not ASCII is percent-encoded".to_owned());
        }
        let place = match scheme {
            Scheme::Unix => Place::File(parse_path(place)?),
            _ => Place::Host(HostPort::of_server(place, scheme)?),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { typed: typed.to_owned(), scheme, place, path })
    }
}

impl Place {
    /// Where to listen: port 0 takes a free one.
    pub fn of_listener(text: &str, scheme: Scheme) -> Result<Self, String> {
        match scheme {
            Scheme::Unix => parse_path(text).map(Self::File),
            _ => HostPort::of_listener(text).map(Self::Host),
        }
    }

    /// Whether only this machine can connect, as far as that shows: a name is looked up when it is bound, and taken for a public
    /// one, but for the usual name of this machine.
    pub fn is_local(&self) -> bool {
        let Self::Host(HostPort { host, .. }) = self else { return true };
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl HostPort {
    pub fn port(&self) -> u16 {
        self.port
    }

    fn of_listener(text: &str) -> Result<Self, String> {
        match host_and_port(text, "missing host: 127.0.0.1 is this machine only, 0.0.0.0 and [::] are open to all")? {
            (host, Some(port)) => Ok(Self { host, port }),
            (host, None) => Err(format!("missing port, as in {host}:8080 (0 picks a free one)")),
        }
    }

    /// Where a server is: that is no port 0, which listeners may have.
    fn of_server(text: &str, scheme: Scheme) -> Result<Self, String> {
        let (host, port) = host_and_port(text, "missing host, as in 127.0.0.1:8081")?;
        match port.or(scheme.default_port()) {
            Some(0) => Err("no server has port 0".to_owned()),
            Some(port) => Ok(Self { host, port }),
            None => Err(format!("missing port, as in {host}:8081")),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// `nobody` is the error if there is no host.
fn host_and_port(text: &str, nobody: &str) -> Result<(String, Option<u16>), String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.contains('/') {
        return Err("no path may follow the port".to_owned());
    }
    let (host, port) = match text.rfind(']') {
        Some(end) => (&text[..=end], text[end + 1..].strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    // Names of interfaces are not alike in both cases.
    let host = match host.split_once('%') {
        Some((host, zone)) => format!("{}%{zone}", host.to_ascii_lowercase()),
        None => host.to_ascii_lowercase(),
    };
    check_host(&host, port, nobody)?;
    let Some(port) = port.filter(|port| !port.is_empty()) else { return Ok((host, None)) };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let number = port.parse().ok().filter(|_| digits);
    let number = number.ok_or_else(|| format!("bad port `{port}`: not from 0 to 65535"))?;
    Ok((host, Some(number)))
}

fn check_host(host: &str, port: Option<&str>, nobody: &str) -> Result<(), String> {
    if port.is_some_and(|port| port.contains(':')) {
        return Err("IPv6 addresses go in brackets, as in [::1]:8080".to_owned());
    }
    // As others have it: `*` for all addresses, and a port alone.
    if host.is_empty() || host == "*" || port.is_none() && host.parse::<u16>().is_ok() {
        return Err(nobody.to_owned());
    }
    if host.contains(['[', ']']) {
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or_default();
        let (address, zone) = address.split_once('%').unwrap_or((address, "0"));
        return if address.parse::<Ipv6Addr>().is_ok() && is_zone(zone) {
            Ok(())
        } else {
            Err(format!("bad host `{host}`: not an IPv6 address"))
        };
    }
    // What looks like an IPv4 address and is none would be looked up as a name, and fail in a less clear way.
    let numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if numeric && host.parse::<Ipv4Addr>().is_err() {
        return Err(format!("bad host `{host}`: not an IPv4 address"));
    }
    // RFC 1123, and underscores, which container networks use.
    let label = |label: &str| {
        let word = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        word && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    if host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(label) {
        Ok(())
    } else {
        Err(format!("bad host `{host}`: not a name or an address"))
    }
}

/// Whether it can be the name or number of an interface.
fn is_zone(zone: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@%+".contains(&byte);
    (1..=18).contains(&zone.len()) && zone.bytes().all(known)
}

fn parse_path(place: &str) -> Result<PathBuf, String> {
    let path = percent_decoded(place)?;
    // A name alone would be taken for a host.
    if ![&b"/"[..], b"./", b"../"].iter().any(|start| path.starts_with(start) && path != *start) {
        return Err("not a path, as in unix:///run/switchboard.sock or unix://./switchboard.sock".to_owned());
    }
    if path.contains(&0) {
        return Err("a path cannot contain NUL".to_owned());
    }
    if path.len() > UNIX_PATH_BYTES {
        return Err(format!("a socket's path has at most {UNIX_PATH_BYTES} bytes, and this one has {}", path.len()));
    }
    Ok(std::ffi::OsString::from_vec(path).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::parse("tcp://LOCALHOST:8081").unwrap();
        let Place::Host(host) = &url.place else { panic!("{url:?}") };
        assert_eq!((url.scheme, host.to_string()), (Scheme::Tcp, "localhost:8081".to_owned()));
        for path in ["/run/x.sock", "./x.sock", "../x.sock"] {
            assert_eq!(Url::parse(&format!("unix://{path}")).unwrap().place, Place::File(path.into()));
        }
    }

    #[test]
    fn a_websocket_has_a_port_of_its_own() {
        for (typed, host) in [("ws://h/x", "h:80"), ("wss://[::1]?x", "[::1]:443"), ("wss://h:1", "h:1")] {
            assert_eq!(Url::parse(typed).unwrap().host(), host, "{typed}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_one_sentence() {
        for (typed, fault) in [
            ("127.0.0.1:1", "not a URL, as in tcp://127.0.0.1:8081"),
            ("gopher://localhost:1", "unknown scheme `gopher`; known: tcp, tls, unix, udp, ws, wss"),
            ("http://h:1/", "http is for browsers and curl; rooms have a WebSocket at ws://h:1/ws"),
            ("tcp://localhost", "missing port, as in localhost:8081"),
            ("tcp://", "missing host, as in 127.0.0.1:8081"),
            ("tcp://8081", "missing host, as in 127.0.0.1:8081"),
            ("tcp://[::1]", "missing port, as in [::1]:8081"),
            ("tcp://localhost:0", "no server has port 0"),
            ("tcp://h:1/x", "no path may follow the port"),
            ("ws://h:1/a b", "a path has no spaces, and what is not ASCII is percent-encoded"),
            ("unix://x", "not a path, as in unix:///run/switchboard.sock or unix://./switchboard.sock"),
            ("unix:///", "not a path, as in unix:///run/switchboard.sock or unix://./switchboard.sock"),
            ("unix://./", "not a path, as in unix:///run/switchboard.sock or unix://./switchboard.sock"),
        ] {
            assert_eq!(Url::parse(typed), Err(fault.to_owned()), "{typed}");
        }
    }
}
