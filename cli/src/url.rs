//! A URL that a client was given, taken apart. Whether anybody is there is found out by connecting.

use crate::endpoint::{HostPort, parse_host_port, parse_path};
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Tcp,
    Tls,
    Unix,
    Udp,
    Ws,
    Wss,
}

impl Scheme {
    const NAMES: [(&'static str, Self); 6] = [
        ("tcp", Self::Tcp),
        ("tls", Self::Tls),
        ("unix", Self::Unix),
        ("udp", Self::Udp),
        ("ws", Self::Ws),
        ("wss", Self::Wss),
    ];

    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    pub(crate) fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// A URL that is well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) typed: String,
    pub(crate) scheme: Scheme,
    pub(crate) place: Place,
    /// Of a WebSocket, with its query.
    pub(crate) path: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Host(HostPort),
    File(PathBuf),
}

impl Url {
    /// `HOST:PORT`, or the path of a socket.
    pub(crate) fn host(&self) -> String {
        match &self.place {
            Place::Host(host) => host.to_string(),
            Place::File(path) => path.display().to_string(),
        }
    }

    pub(crate) fn is_datagrams(&self) -> bool {
        self.scheme == Scheme::Udp
    }

    pub(crate) fn parse(typed: &str) -> Result<Self, String> {
        let (scheme, rest) = typed.split_once("://").ok_or("not a URL, as in tcp://127.0.0.1:8081")?;
        let known = Scheme::NAMES.iter().find(|(name, _)| *name == scheme);
        let Some((_, scheme)) = known else {
            let names = Scheme::NAMES.map(|(name, _)| name).join(", ");
            return Err(format!("unknown scheme `{scheme}`; known: {names}"));
        };
        let end = rest.find(['/', '?']).filter(|_| scheme.is_websocket()).unwrap_or(rest.len());
        let (place, path) = rest.split_at(end);
        if path.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err("a path holds no spaces, and what is not ASCII is percent-encoded".to_owned());
        }
        let place = match scheme {
            Scheme::Unix => Place::File(parse_path(place)?),
            _ => Place::Host(parse_host_port(place)?),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { typed: typed.to_owned(), scheme: *scheme, place, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::parse("tcp://LOCALHOST:8081").unwrap();
        let Place::Host(host) = &url.place else { panic!("{url:?}") };
        assert_eq!((url.scheme, host.to_string()), (Scheme::Tcp, "localhost:8081".to_owned()));
        assert_eq!(Url::parse("unix:///run/x.sock").unwrap().place, Place::File("/run/x.sock".into()));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_sentence() {
        for (typed, fault) in [
            ("127.0.0.1:1", "not a URL, as in tcp://127.0.0.1:8081"),
            ("gopher://localhost:1", "unknown scheme `gopher`; known: tcp, tls, unix, udp, ws, wss"),
            ("tcp://localhost", "missing port, as in localhost:8080 (0 takes a free one)"),
            ("tcp://h:1/x", "a host and port take no path"),
            ("ws://h:1/a b", "a path holds no spaces, and what is not ASCII is percent-encoded"),
            ("unix://x", "not an absolute path, as in unix:///run/switchboard.sock"),
        ] {
            assert_eq!(Url::parse(typed), Err(fault.to_owned()), "{typed}");
        }
    }
}
