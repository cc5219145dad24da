//! One server behind a proxy: where it is, and connecting to it.

use std::fmt;
use switchboard::{Client, ConnectError, Connection, Raw, Trust};
use switchboard_load::typed::{Place, Scheme, Url};

/// Where connections are passed on to.
#[derive(Clone)]
pub(super) struct Upstream {
    typed: String,
    target: Target,
}

#[derive(Clone)]
enum Target {
    Tcp(String),
    Tls(String, Trust),
    Unix(std::path::PathBuf),
}

impl Upstream {
    /// Reads URLs of upstreams, with commas between them.
    pub(super) fn parse_all(text: &str) -> Result<Vec<Url>, String> {
        let mut all: Vec<Url> = Vec::new();
        for typed in text.split(',') {
            let url = Url::parse(typed)?;
            if !matches!(url.scheme, Scheme::Tcp | Scheme::Tls | Scheme::Unix) {
                return Err(format!("not all of tcp, tls or unix: {typed}"));
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
            (Place::Host(host), _) => Target::Tcp(host.to_string()),
        };
        Self { typed: url.typed, target }
    }

    pub(super) async fn connect(&self, client: &Client) -> Result<Connection<Raw>, ConnectError> {
        match &self.target {
            Target::Tcp(address) => client.tcp(address).await,
            Target::Tls(address, trust) => client.tls(address, trust).await,
            Target::Unix(path) => client.unix(path).await,
        }
    }

    pub(super) fn is_secure(&self) -> bool {
        matches!(self.target, Target::Tls(..))
    }

    /// What a check connects to, which is no connection of the server's.
    pub(super) fn place(&self) -> Result<&str, &std::path::Path> {
        match &self.target {
            Target::Tcp(address) | Target::Tls(address, _) => Ok(address),
            Target::Unix(path) => Err(path),
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}
