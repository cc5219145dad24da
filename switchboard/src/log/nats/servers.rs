//! Where nats-servers are: addresses as operators write them.

use std::fmt;
use std::str::FromStr;

/// The port of a nats-server that does not say which.
const PORT: u16 = 4222;

/// One nats-server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NatsServer {
    host: String,
    port: u16,
    is_tls: bool,
}

/// Why a text is not the address of a nats-server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NatsServerError {
    /// Another scheme, or none.
    #[error("the address of a nats-server begins with nats:// or tls://")]
    Scheme,
    /// There is a user's name or a password in it: everybody would see it who sees the command line.
    #[error("a user and a password do not belong into the address: credentials have settings of their own")]
    User,
    /// There is no host, or no number of a port.
    #[error("an address is nats://HOST or nats://HOST:PORT")]
    Place,
}

impl NatsServer {
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Whether nothing is said to it without TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }
}

impl FromStr for NatsServer {
    type Err = NatsServerError;

    fn from_str(text: &str) -> Result<Self, NatsServerError> {
        let (scheme, rest) = text.split_once("://").ok_or(NatsServerError::Scheme)?;
        let is_tls = match scheme {
            "nats" => false,
            "tls" => true,
            _ => return Err(NatsServerError::Scheme),
        };
        if rest.contains('@') {
            return Err(NatsServerError::User);
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']').ok_or(NatsServerError::Place)?;
                (
                    host,
                    if behind.is_empty() {
                        None
                    } else {
                        Some(behind.strip_prefix(':').ok_or(NatsServerError::Place)?)
                    },
                )
            }
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'%');
        let port = port.map_or(Ok(PORT), str::parse).ok().filter(|port| *port != 0).ok_or(NatsServerError::Place)?;
        if host.is_empty() || !host.bytes().all(is_host) {
            return Err(NatsServerError::Place);
        }
        Ok(Self { host: host.to_owned(), port, is_tls })
    }
}

impl fmt::Display for NatsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "tls" } else { "nats" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown() {
        let shown = |text: &str| text.parse().map(|server: NatsServer| server.to_string());
        assert_eq!(shown("nats://a.example").as_deref(), Ok("nats://a.example:4222"));
        assert_eq!(shown("tls://10.0.0.1:4333/").as_deref(), Ok("tls://10.0.0.1:4333"));
        assert_eq!(shown("nats://[::1]:25000").as_deref(), Ok("nats://[::1]:25000"));
        assert_eq!(shown("nats://[::1]").as_deref(), Ok("nats://[::1]:4222"));
        for wrong in ["nats://", "nats://a:b", "nats://a:0", "nats://a b", "nats://[::1", "nats://[::1]1", "nats://a/b"]
        {
            assert_eq!(shown(wrong), Err(NatsServerError::Place), "{wrong}");
        }
        assert_eq!(shown("a.example:4222"), Err(NatsServerError::Scheme));
        assert_eq!(shown("http://a"), Err(NatsServerError::Scheme));
        assert_eq!(shown("nats://u:p@a"), Err(NatsServerError::User));
    }
}
