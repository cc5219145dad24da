//! What was typed as `SERVICE=URL?options`, parsed once into types.
//!
//! Every fault of an endpoint is collected, in words that say what to type instead. Nothing is resolved or bound here.

use crate::services::{Add, SERVICES, Service};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV6};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The longest path that fits a Unix socket's address, its final NUL excluded (unix(7)).
const UNIX_PATH_BYTES: usize = 107;

/// How a URL begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Tcp,
    Unix,
    Udp,
}

impl Scheme {
    const ALL: [Self; 3] = [Self::Tcp, Self::Unix, Self::Udp];

    /// Schemes of later versions.
    const PLANNED: [&str; 3] = ["tls", "http", "https"];

    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
            Self::Udp => "udp",
        }
    }
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(HostPort),
    Unix(PathBuf),
    Udp(HostPort),
}

/// A host and a port that are well-formed; whether the host exists is found out by binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// In lower case, in brackets if it is IPv6.
    host: String,
    port: u16,
}

impl HostPort {
    /// Whether only this machine can connect, as far as that shows: a name is looked up when it is bound.
    pub(crate) fn is_loopback(&self) -> bool {
        let address = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A service at an address, with its options.
pub(crate) struct Endpoint {
    pub(crate) typed: String,
    pub(crate) service: &'static Service,
    pub(crate) address: Address,
    /// Adds it to a server.
    pub(crate) add: Add,
}

impl Endpoint {
    /// Reads `SERVICE=URL?key=value&key=value`, or says everything that is wrong with it.
    pub(crate) fn parse(typed: &str) -> Result<Self, Vec<String>> {
        parse(typed).map_err(|faults| faults.into_iter().map(|fault| format!("{typed}: {fault}")).collect())
    }

    /// Whether both cannot be bound for certain.
    pub(crate) fn collides_with(&self, other: &Self) -> bool {
        let free = matches!(&self.address, Address::Tcp(address) | Address::Udp(address) if address.port == 0);
        !free && self.address == other.address
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.typed).finish()
    }
}

fn parse(typed: &str) -> Result<Endpoint, Vec<String>> {
    let (before, rest) =
        typed.split_once("://").ok_or_else(|| one("not SERVICE=URL, as in echo=tcp://127.0.0.1:8080"))?;
    let Some((service, scheme)) = before.split_once('=') else {
        return Err(one(&format!("missing service, as in {}={typed}", SERVICES[0].name)));
    };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));

    let mut faults = Vec::new();
    let service = parse_service(service).map_err(|fault| faults.push(fault)).ok();
    let scheme = parse_scheme(scheme, service).map_err(|fault| faults.push(fault)).ok();
    let mut options = Options::parse(query);
    let address = scheme.and_then(|scheme| {
        let address = match scheme {
            Scheme::Tcp => parse_host_port(place).map(Address::Tcp),
            Scheme::Udp => parse_host_port(place).map(Address::Udp),
            Scheme::Unix => parse_path(place).map(Address::Unix),
        };
        address.map_err(|fault| faults.push(fault)).ok()
    });
    // Which options there are is known only with service and address.
    if let (Some(service), Some(address)) = (service, address) {
        let add = (service.parse)(&address, &mut options);
        faults.extend(options.finish());
        if faults.is_empty() {
            return Ok(Endpoint { typed: typed.to_owned(), service, address, add });
        }
    } else {
        faults.extend(options.faults);
    }
    Err(faults)
}

fn one(fault: &str) -> Vec<String> {
    vec![fault.to_owned()]
}

fn parse_service(name: &str) -> Result<&'static Service, String> {
    let names: Vec<_> = SERVICES.iter().map(|service| service.name).collect();
    let found = SERVICES.iter().find(|service| service.name == name);
    found.ok_or_else(|| format!("unknown service `{name}`; known: {}", names.join(", ")))
}

fn parse_scheme(name: &str, service: Option<&Service>) -> Result<Scheme, String> {
    let known = service.map_or(&Scheme::ALL[..], |service| service.schemes);
    let names: Vec<_> = known.iter().map(|scheme| scheme.name()).collect();
    if Scheme::PLANNED.contains(&name) {
        return Err(format!("{name}:// is not available yet; use {}", names.join(", ")));
    }
    let found = known.iter().copied().find(|scheme| scheme.name() == name);
    found.ok_or_else(|| format!("unknown scheme `{name}`; known: {}", names.join(", ")))
}

fn parse_host_port(place: &str) -> Result<HostPort, String> {
    let place = place.strip_suffix('/').unwrap_or(place);
    if place.contains('/') {
        return Err("a host and port take no path".to_owned());
    }
    let (host, port) = match place.rfind(']') {
        Some(end) => (&place[..=end], place[end + 1..].strip_prefix(':')),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let host = host.to_ascii_lowercase();
    check_host(&host, port)?;
    let Some(port) = port.filter(|port| !port.is_empty()) else {
        return Err(format!("missing port, as in {host}:8080 (0 takes a free one)"));
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits).ok_or_else(|| format!("bad port `{port}`: not from 0 to 65535"))?;
    Ok(HostPort { host, port })
}

fn check_host(host: &str, port: Option<&str>) -> Result<(), String> {
    if port.is_some_and(|port| port.contains(':')) {
        return Err("IPv6 addresses stand in brackets, as in [::1]:8080".to_owned());
    }
    if host.is_empty() {
        return Err("missing host: 127.0.0.1 is this machine alone, 0.0.0.0 and [::] are open to all".to_owned());
    }
    if host.contains(['[', ']']) {
        let well_formed = format!("{host}:0").parse::<SocketAddrV6>().is_ok();
        return if well_formed { Ok(()) } else { Err(format!("bad host `{host}`: not an IPv6 address")) };
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

fn parse_path(place: &str) -> Result<PathBuf, String> {
    let path = percent_decoded(place)?;
    if !path.starts_with(b"/") || path == b"/" {
        return Err("not an absolute path, as in unix:///run/switchboard.sock".to_owned());
    }
    if path.contains(&0) {
        return Err("a path holds no NUL".to_owned());
    }
    if path.len() > UNIX_PATH_BYTES {
        return Err(format!(
            "path of {} bytes is longer than the {UNIX_PATH_BYTES} that a socket may have",
            path.len()
        ));
    }
    Ok(std::ffi::OsString::from_vec(path).into())
}

/// The options of one URL. A service takes those that it knows; the others are faults.
#[derive(Debug)]
pub(crate) struct Options {
    given: Vec<(String, Vec<u8>)>,
    known: Vec<&'static str>,
    faults: Vec<String>,
}

impl Options {
    fn parse(query: Option<&str>) -> Self {
        let mut options = Self { given: Vec::new(), known: Vec::new(), faults: Vec::new() };
        for pair in query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()) {
            if let Err(fault) = options.add(pair) {
                options.faults.push(fault);
            }
        }
        options
    }

    fn add(&mut self, pair: &str) -> Result<(), String> {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("option `{pair}` has no value: {pair}=…"))?;
        if self.given.iter().any(|(given, _)| given == key) {
            return Err(format!("option `{key}` is given twice"));
        }
        let value = percent_decoded(value).map_err(|fault| format!("option `{key}`: {fault}"))?;
        self.given.push((key.to_owned(), value));
        Ok(())
    }

    /// Takes an option that may be any bytes.
    pub(crate) fn bytes(&mut self, key: &'static str) -> Option<Vec<u8>> {
        self.known.push(key);
        let index = self.given.iter().position(|(given, _)| given == key)?;
        Some(self.given.remove(index).1)
    }

    /// Takes an option that `parse` understands.
    pub(crate) fn value<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let value = self.bytes(key)?;
        let value = String::from_utf8_lossy(&value);
        let parsed = parse(&value).map_err(|fault| self.faults.push(format!("option `{key}`: `{value}` is {fault}")));
        parsed.ok()
    }

    /// What was wrong with the options, once the service has taken its own.
    fn finish(mut self) -> Vec<String> {
        let known = self.known.join(", ");
        let unknown = self.given.iter().map(|(key, _)| format!("unknown option `{key}`; known here: {known}"));
        self.faults.extend(unknown);
        self.faults
    }
}

fn percent_decoded(text: &str) -> Result<Vec<u8>, String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let digits = rest.first_chunk::<2>().filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        decoded.push(byte.ok_or("a % is followed by two hexadecimal digits (%25 is a % itself)")?);
        rest = &rest[2..];
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests;
