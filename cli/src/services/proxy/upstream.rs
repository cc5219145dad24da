//! One server behind a proxy: where it is, and connecting to it.

use bytes::Bytes;
use std::fmt;
use std::future::Future;
use switchboard::prelude::*;
use switchboard::{ConnectError, Datagrams, Trust};
use switchboard_load::typed::{Place, Scheme, Url};

/// Where connections are passed on to.
#[derive(Clone)]
pub(crate) struct Upstream {
    typed: String,
    target: Target,
}

#[derive(Clone)]
enum Target {
    Tcp(String),
    Tls(String, Trust),
    Unix(std::path::PathBuf),
    Udp(String),
}

impl Upstream {
    /// Reads URLs of upstreams of these schemes, with commas between them.
    pub(super) fn parse_all(text: &str, schemes: &[Scheme]) -> Result<Vec<Url>, String> {
        let mut all: Vec<Url> = Vec::new();
        for typed in text.split(',') {
            let url = Url::parse(typed)?;
            if !schemes.contains(&url.scheme) {
                let names: Vec<_> = schemes.iter().map(|scheme| scheme.name()).collect();
                return Err(format!("not URLs of {} alone: {typed}", names.join(", ")));
            }
            if all.iter().any(|known| (known.scheme, &known.place) == (url.scheme, &url.place)) {
                return Err(format!("not given once each: {typed}"));
            }
            all.push(url);
        }
        Ok(all)
    }

    /// The server there, which is trusted if its certificate is one of `trust`'s, if it speaks TLS.
    pub(super) fn new(url: Url, trust: Option<&Trust>) -> Self {
        let target = match (url.place, trust) {
            (Place::File(path), _) => Target::Unix(path),
            (Place::Host(host), Some(trust)) if url.scheme == Scheme::Tls => {
                Target::Tls(host.to_string(), trust.clone())
            }
            (Place::Host(host), _) if url.scheme == Scheme::Udp => Target::Udp(host.to_string()),
            (Place::Host(host), _) => Target::Tcp(host.to_string()),
        };
        Self { typed: url.typed, target }
    }

    pub(super) fn is_secure(&self) -> bool {
        matches!(self.target, Target::Tls(..))
    }

    /// What a check connects to, which is no connection of the server's.
    pub(super) fn place(&self) -> Result<&str, &std::path::Path> {
        match &self.target {
            Target::Tcp(address) | Target::Tls(address, _) | Target::Udp(address) => Ok(address),
            Target::Unix(path) => Err(path),
        }
    }
}

/// What goes through a proxy.
pub(super) trait Passed: Codec<Frame: Into<Bytes> + From<Bytes>> {
    /// Connects to an upstream that takes it.
    fn connect(to: &Upstream, client: &Client) -> impl Future<Output = Result<Connection<Self>, ConnectError>> + Send
    where
        Self: Sized;
}

impl Passed for Raw {
    async fn connect(to: &Upstream, client: &Client) -> Result<Connection<Self>, ConnectError> {
        match &to.target {
            Target::Tcp(address) => client.tcp(address).await,
            Target::Tls(address, trust) => client.tls(address, trust).await,
            Target::Unix(path) => client.unix(path).await,
            Target::Udp(_) => unreachable!("streams are passed on to streams"),
        }
    }
}

impl Passed for Datagrams {
    async fn connect(to: &Upstream, client: &Client) -> Result<Connection<Self>, ConnectError> {
        match &to.target {
            // By its own socket, so that the kernel drops what others send there.
            Target::Udp(address) => client.udp(address).await,
            Target::Tcp(_) | Target::Tls(..) | Target::Unix(_) => unreachable!("datagrams are passed on as datagrams"),
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}
