//! A URL that a client was given, taken apart. Whether anybody is there is found out by connecting.

use crate::endpoint::{HostPort, parse_host_port, parse_path};
use crate::nearest::did_you_mean;
use std::borrow::Cow;
use std::path::PathBuf;
use switchboard::{MessageId, UserName};

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

    /// The port of a URL without one (RFC 6455 §3).
    fn default_port(self) -> Option<u16> {
        match self {
            Self::Ws => Some(80),
            Self::Wss => Some(443),
            Self::Tcp | Self::Tls | Self::Unix | Self::Udp => None,
        }
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

    /// The room whose own WebSocket it is, as switchboard has them: `/rooms/ROOM/ws`, behind a proxy's path too.
    pub(crate) fn room(&self) -> Option<&str> {
        let path = self.path.split('?').next().filter(|_| self.scheme.is_websocket())?;
        let mut parts = path.rsplit('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("ws"), Some(room), Some("rooms")) if !room.is_empty() => Some(room),
            _ => None,
        }
    }

    /// What was typed; of a room's own WebSocket, to go on behind a message.
    pub(crate) fn behind(&self, since: Option<MessageId>) -> Cow<'_, str> {
        match since.filter(|_| self.room().is_some()) {
            Some(since) => Cow::Owned(self.with("since", &since.to_string()).typed),
            None => Cow::Borrowed(&self.typed),
        }
    }

    /// A room's own WebSocket, for somebody of this name.
    pub(crate) fn named(&self, name: &UserName) -> Result<Self, String> {
        match self.option("name") {
            Some(other) if other != name.as_str() => Err(format!("`{name}`: the URL says `{other}`")),
            _ => Ok(self.with("name", name.as_str())),
        }
    }

    fn option(&self, name: &str) -> Option<&str> {
        let query = self.path.split_once('?')?.1;
        query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
    }

    /// With an option of its query set.
    fn with(&self, name: &str, value: &str) -> Self {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let is_other = |part: &&str| !part.is_empty() && part.split('=').next() != Some(name);
        let query: Vec<_> =
            query.split('&').filter(is_other).map(str::to_owned).chain([format!("{name}={value}")]).collect();
        let base = self.typed.strip_suffix(self.path.as_str()).unwrap_or(&self.typed);
        let path = format!("{path}?{}", query.join("&"));
        Self { typed: format!("{base}{path}"), path, ..self.clone() }
    }

    /// What was typed as a URL: a place without a scheme is one of lines.
    pub(crate) fn with_scheme(typed: &str) -> String {
        if typed.contains("://") { typed.to_owned() } else { format!("tcp://{typed}") }
    }

    pub(crate) fn parse(typed: &str) -> Result<Self, String> {
        let (scheme, rest) = typed.split_once("://").ok_or("not a URL, as in tcp://127.0.0.1:8081")?;
        let known = Scheme::NAMES.iter().find(|(name, _)| *name == scheme);
        let Some((_, scheme)) = known else {
            if let "http" | "https" = scheme {
                let (web, place) = (scheme.replace("http", "ws"), rest.split('/').next().unwrap_or(rest));
                return Err(format!("{scheme} is for browsers and curl; rooms have a WebSocket at {web}://{place}/ws"));
            }
            let names = Scheme::NAMES.map(|(name, _)| name).join(", ");
            let meant = did_you_mean(scheme, Scheme::NAMES.map(|(name, _)| name));
            return Err(format!("unknown scheme `{scheme}`; known: {names}{meant}"));
        };
        let end = rest.find(['/', '?']).filter(|_| scheme.is_websocket()).unwrap_or(rest.len());
        let (place, path) = rest.split_at(end);
        if path.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err("a path holds no spaces, and what is not ASCII is percent-encoded".to_owned());
        }
        let place = match scheme {
            Scheme::Unix => Place::File(parse_path(place)?),
            _ => Place::Host(parse_place(place, *scheme)?),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { typed: typed.to_owned(), scheme: *scheme, place, path })
    }
}

/// Where a server is: it has a port, and that is not 0, which listeners may have.
fn parse_place(place: &str, scheme: Scheme) -> Result<HostPort, String> {
    let has_port = place.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
    let place = match scheme.default_port() {
        Some(port) if !has_port && !place.is_empty() => parse_host_port(&format!("{place}:{port}"))?,
        None if !has_port && !place.contains('/') => return Err(format!("missing port, as in {place}:8081")),
        _ => parse_host_port(place)?,
    };
    if place.port() == 0 { Err("port 0 is no server's".to_owned()) } else { Ok(place) }
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
    fn a_websocket_has_a_port_of_its_own() {
        for (typed, host) in [("ws://h/x", "h:80"), ("wss://[::1]?x", "[::1]:443"), ("wss://h:1", "h:1")] {
            assert_eq!(Url::parse(typed).unwrap().host(), host, "{typed}");
        }
    }

    #[test]
    fn the_websocket_of_one_room_goes_on_behind_a_message() {
        let since = Some("k3f9-7".parse().unwrap());
        for (typed, again) in [
            ("ws://h:1/rooms/ops/ws", "ws://h:1/rooms/ops/ws?since=k3f9-7"),
            ("ws://h:1/rooms/ops/ws?since=k3f9-2&name=a", "ws://h:1/rooms/ops/ws?name=a&since=k3f9-7"),
            ("ws://h:1/ws?room=ops", "ws://h:1/ws?room=ops"),
        ] {
            assert_eq!(Url::parse(typed).unwrap().behind(since), again);
            assert_eq!(Url::parse(typed).unwrap().behind(None), typed);
        }
    }

    #[test]
    fn the_websocket_of_one_room_is_told_a_name_by_its_url() {
        let name = UserName::parse("bob").unwrap();
        for (typed, named) in [
            ("ws://h:1/rooms/ops/ws", Ok("ws://h:1/rooms/ops/ws?name=bob")),
            ("wss://h/chat/rooms/ops/ws?format=raw", Ok("wss://h/chat/rooms/ops/ws?format=raw&name=bob")),
            ("ws://h:1/rooms/ops/ws?name=bob", Ok("ws://h:1/rooms/ops/ws?name=bob")),
            ("ws://h:1/rooms/ops/ws?name=eve", Err("`bob`: the URL says `eve`")),
        ] {
            let url = Url::parse(typed).unwrap();
            assert_eq!(url.room(), Some("ops"));
            assert_eq!(
                url.named(&name).as_ref().map(|url| url.typed.as_str()),
                named.map_err(str::to_owned).as_ref().copied()
            );
        }
        for typed in
            ["ws://h:1/ws", "ws://h:1/rooms/ws", "ws://h:1/rooms//ws", "tcp://h:1", "ws://h:1/ws?x=/rooms/a/ws"]
        {
            assert_eq!(Url::parse(typed).unwrap().room(), None, "{typed}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_one_sentence() {
        for (typed, fault) in [
            ("127.0.0.1:1", "not a URL, as in tcp://127.0.0.1:8081"),
            ("gopher://localhost:1", "unknown scheme `gopher`; known: tcp, tls, unix, udp, ws, wss"),
            ("http://h:1/", "http is for browsers and curl; rooms have a WebSocket at ws://h:1/ws"),
            ("tcp://localhost", "missing port, as in localhost:8081"),
            ("tcp://[::1]", "missing port, as in [::1]:8081"),
            ("tcp://localhost:0", "port 0 is no server's"),
            ("tcp://h:1/x", "a host and port take no path"),
            ("ws://h:1/a b", "a path holds no spaces, and what is not ASCII is percent-encoded"),
            ("unix://x", "not an absolute path, as in unix:///run/switchboard.sock"),
        ] {
            assert_eq!(Url::parse(typed), Err(fault.to_owned()), "{typed}");
        }
    }
}
