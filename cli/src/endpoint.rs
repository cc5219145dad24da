//! What was typed as `SERVICE=URL?options`, parsed once into types.
//!
//! Every fault of an endpoint is collected, in words that say what to type instead, and so is every fault of the
//! certificates that it names. Nothing is resolved or bound here.

use crate::nearest::did_you_mean;
use crate::percent::percent_decoded;
use crate::services::{Add, SERVICES, Service};
use crate::units::parse_switch;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use switchboard::{Certificates, Tcp, Tls, Udp};

/// The longest path that fits a Unix socket's address, its final NUL excluded (unix(7)).
const UNIX_PATH_BYTES: usize = 107;

/// How a URL begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
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
    const ALL: [Self; 8] = [Self::Tcp, Self::Tls, Self::Unix, Self::Udp, Self::Http, Self::Https, Self::Ws, Self::Wss];

    fn name(self) -> &'static str {
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
}

/// Where to listen.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    Tcp(HostPort),
    Tls(HostPort, Certificates),
    Unix(PathBuf),
    Udp(HostPort),
    /// Of whatever kind: requests in general, or WebSockets alone.
    Http(HostPort),
    Https(HostPort, Certificates),
}

/// What only one listener can have.
#[derive(Debug, PartialEq, Eq)]
enum Socket<'a> {
    Stream(&'a HostPort),
    Datagram(&'a HostPort),
    Path(&'a PathBuf),
}

impl Address {
    fn socket(&self) -> Socket<'_> {
        match self {
            Self::Tcp(address) | Self::Tls(address, _) | Self::Http(address) | Self::Https(address, _) => {
                Socket::Stream(address)
            }
            Self::Udp(address) => Socket::Datagram(address),
            Self::Unix(path) => Socket::Path(path),
        }
    }

    /// What a listener there shows its peers, if it speaks TLS.
    pub(crate) fn certificates(&self) -> Option<&Certificates> {
        match self {
            Self::Tls(_, certificates) | Self::Https(_, certificates) => Some(certificates),
            _ => None,
        }
    }
}

/// A host and a port that are well-formed; whether the host exists is found out by binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// In lower case, in brackets if it is IPv6.
    host: String,
    port: u16,
    /// Whether it may come up later.
    freebind: bool,
}

impl HostPort {
    /// To listen there for streams.
    pub(crate) fn tcp(&self) -> Tcp {
        let tcp = Tcp::new(self);
        if self.freebind { tcp.freebind() } else { tcp }
    }

    /// The same, for TLS.
    pub(crate) fn tls(&self, certificates: &Certificates) -> Tls {
        let tls = Tls::new(self, certificates);
        if self.freebind { tls.freebind() } else { tls }
    }

    /// To listen there for datagrams.
    pub(crate) fn udp(&self) -> Udp {
        let udp = Udp::new(self);
        if self.freebind { udp.freebind() } else { udp }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

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
    pub(crate) fn parse(typed: &str) -> Result<Self, Faults> {
        parse(typed).map_err(|Faults { typed: faults, files }| {
            let faults = faults.into_iter().map(|fault| format!("{typed}: {fault}"));
            Faults { typed: faults.collect(), files }
        })
    }

    /// The value of an option, if it is given.
    pub(crate) fn option(&self, key: &'static str) -> Option<String> {
        let (_, query) = self.typed.split_once('?')?;
        Options::parse(Some(query)).value(key, |value| Ok(value.to_owned()))
    }

    /// Whether both cannot be bound for certain.
    pub(crate) fn collides_with(&self, other: &Self) -> bool {
        let socket = self.address.socket();
        let free = matches!(socket, Socket::Stream(address) | Socket::Datagram(address) if address.port == 0);
        !free && socket == other.address.socket()
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.typed).finish()
    }
}

/// What is wrong with an endpoint, a sentence each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// As it was typed.
    pub(crate) typed: Vec<String>,
    /// In files that it names.
    pub(crate) files: Vec<String>,
}

fn parse(typed: &str) -> Result<Endpoint, Faults> {
    let one = |fault: String| Faults { typed: vec![fault], files: Vec::new() };
    let (before, rest) =
        typed.split_once("://").ok_or_else(|| one("not SERVICE=URL, as in echo=tcp://127.0.0.1:8080".to_owned()))?;
    let Some((service, scheme)) = before.split_once('=') else {
        return Err(one(format!("missing service, as in {}={typed}", SERVICES[0].name)));
    };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));

    let mut faults = Vec::new();
    let service = parse_service(service).map_err(|fault| faults.push(fault)).ok();
    let scheme = parse_scheme(scheme, service).map_err(|fault| faults.push(fault)).ok();
    let mut options = Options::parse(query);
    let mut files = Vec::new();
    let has_host = scheme.is_some_and(|scheme| scheme != Scheme::Unix);
    let freebind = has_host && options.value("freebind", parse_switch).unwrap_or(false);
    let parse_host_port = |place| Ok::<_, String>(HostPort { freebind, ..parse_host_port(place)? });
    let address = scheme.and_then(|scheme| {
        let address = match scheme {
            Scheme::Tcp => parse_host_port(place).map(Address::Tcp),
            // The same options as over TCP: with that they are checked also if the certificates are not to be had.
            Scheme::Tls => parse_host_port(place).map(|address| match options.certificates(&mut files) {
                Some(certificates) => Address::Tls(address, certificates),
                None => Address::Tcp(address),
            }),
            Scheme::Http | Scheme::Ws => parse_host_port(place).map(Address::Http),
            Scheme::Https | Scheme::Wss => {
                parse_host_port(place).map(|address| match options.certificates(&mut files) {
                    Some(certificates) => Address::Https(address, certificates),
                    None => Address::Http(address),
                })
            }
            Scheme::Udp => parse_host_port(place).map(Address::Udp),
            Scheme::Unix => parse_path(place).map(Address::Unix),
        };
        address.map_err(|fault| faults.push(fault)).ok()
    });
    // Which options there are is known only with service and address.
    if let (Some(service), Some(address)) = (service, address) {
        let add = (service.parse)(&address, &mut options);
        faults.extend(options.finish());
        if faults.is_empty() && files.is_empty() {
            return Ok(Endpoint { typed: typed.to_owned(), service, address, add });
        }
    } else {
        faults.extend(options.faults);
    }
    Err(Faults { typed: faults, files })
}

fn parse_service(name: &str) -> Result<&'static Service, String> {
    let names: Vec<_> = SERVICES.iter().map(|service| service.name).collect();
    let found = SERVICES.iter().find(|service| service.name == name);
    found.ok_or_else(|| {
        let meant = did_you_mean(name, names.iter().copied());
        format!("unknown service `{name}`; known: {}{meant}", names.join(", "))
    })
}

fn parse_scheme(name: &str, service: Option<&Service>) -> Result<Scheme, String> {
    let known = service.map_or(&Scheme::ALL[..], |service| service.schemes);
    let names: Vec<_> = known.iter().map(|scheme| scheme.name()).collect();
    let found = known.iter().copied().find(|scheme| scheme.name() == name);
    found.ok_or_else(|| match service {
        Some(service) if Scheme::ALL.iter().any(|scheme| scheme.name() == name) => {
            format!("{} is not served over `{name}`, but over {}", service.name, names.join(", "))
        }
        _ => {
            format!("unknown scheme `{name}`; known: {}{}", names.join(", "), did_you_mean(name, names.iter().copied()))
        }
    })
}

pub(crate) fn parse_host_port(place: &str) -> Result<HostPort, String> {
    let place = place.strip_suffix('/').unwrap_or(place);
    if place.contains('/') {
        return Err("a host and port take no path".to_owned());
    }
    let (host, port) = match place.rfind(']') {
        Some(end) => (&place[..=end], place[end + 1..].strip_prefix(':')),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    // Names of interfaces are not alike in both cases.
    let host = match host.split_once('%') {
        Some((host, zone)) => format!("{}%{zone}", host.to_ascii_lowercase()),
        None => host.to_ascii_lowercase(),
    };
    check_host(&host, port)?;
    let Some(port) = port.filter(|port| !port.is_empty()) else {
        return Err(format!("missing port, as in {host}:8080 (0 takes a free one)"));
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits).ok_or_else(|| format!("bad port `{port}`: not from 0 to 65535"))?;
    Ok(HostPort { host, port, freebind: false })
}

fn check_host(host: &str, port: Option<&str>) -> Result<(), String> {
    if port.is_some_and(|port| port.contains(':')) {
        return Err("IPv6 addresses stand in brackets, as in [::1]:8080".to_owned());
    }
    if host.is_empty() {
        return Err("missing host: 127.0.0.1 is this machine alone, 0.0.0.0 and [::] are open to all".to_owned());
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

/// Whether it may name an interface, or be its number.
fn is_zone(zone: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@%+".contains(&byte);
    (1..=18).contains(&zone.len()) && zone.bytes().all(known)
}

pub(crate) fn parse_path(place: &str) -> Result<PathBuf, String> {
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

/// Options that may be given several times.
const REPEATABLE: [&str; 2] = ["cert", "key"];

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
        if !REPEATABLE.contains(&key) && self.given.iter().any(|(given, _)| given == key) {
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

    /// Notes what is wrong with an option that is well-formed by itself.
    pub(crate) fn refuse(&mut self, key: &'static str, fault: &str) {
        self.faults.push(format!("option `{key}`: {fault}"));
    }

    /// Takes certificates and their keys, in pairs, and reads them; what is wrong with the files goes to `files`.
    fn certificates(&mut self, files: &mut Vec<String>) -> Option<Certificates> {
        let [certificates, keys] = REPEATABLE.map(|option| self.paths(option));
        if certificates.is_empty() || certificates.len() != keys.len() {
            self.faults.push(match (certificates.len(), keys.len()) {
                (0, 0) => "TLS needs a certificate: put ?cert=FILE&key=FILE behind the port".to_owned(),
                (certs, keys) => {
                    format!("each cert=FILE has its key=FILE: there are {certs} of the one, {keys} of the other")
                }
            });
            return None;
        }
        match Certificates::from_files(certificates.into_iter().zip(keys)) {
            Ok(certificates) => Some(certificates),
            Err(error) => {
                files.extend(error.faults);
                None
            }
        }
    }

    /// Takes all that is given for `key`.
    fn paths(&mut self, key: &'static str) -> Vec<PathBuf> {
        self.known.push(key);
        let taken = self.given.extract_if(.., |(given, _)| given == key);
        taken.map(|(_, value)| std::ffi::OsString::from_vec(value).into()).collect()
    }

    /// What was wrong with the options, once the service has taken its own.
    fn finish(mut self) -> Vec<String> {
        let known = self.known.join(", ");
        let unknown = self.given.iter().map(|(key, _)| {
            format!("unknown option `{key}`; known here: {known}{}", did_you_mean(key, self.known.iter().copied()))
        });
        self.faults.extend(unknown);
        self.faults
    }
}

#[cfg(test)]
mod tests;
