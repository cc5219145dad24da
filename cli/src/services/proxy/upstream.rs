//! One server behind a proxy: where it is, and connecting to it.

use super::names::look_up;
use crate::live::Replaceable;
use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use switchboard::prelude::*;
use switchboard::{ConnectError, Datagrams, Trust};
use switchboard_load::typed::{HostPort, Place, Scheme, Url};

/// Where connections are passed on to.
#[derive(Clone)]
pub(crate) struct Upstream {
    typed: String,
    target: Target,
    /// The addresses of its name, once they are known; an address has itself.
    found: Replaceable<Vec<SocketAddr>>,
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

    /// Whether whoever connects there comes to a listener at `own`, as far as that is known without looking anything up.
    pub(super) fn leads_to(url: &Url, own: &Place) -> bool {
        match (&url.place, own) {
            (Place::File(to), Place::File(own)) => to == own,
            (Place::Host(to), Place::Host(own)) => {
                let numeric = |host: &HostPort| -> Option<SocketAddr> {
                    host.to_string().replace("localhost:", "127.0.0.1:").parse().ok()
                };
                let (Some(to), Some(own)) = (numeric(to), numeric(own)) else { return to == own };
                let (to, own, is_port) =
                    (to.ip().to_canonical(), own.ip().to_canonical(), to.port() == own.port() && own.port() > 0);
                let is_any = to.is_unspecified() && own.is_loopback() || own.is_unspecified() && to.is_loopback();
                is_port && (to == own || is_any)
            }
            _ => false,
        }
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
        let host = match &target {
            Target::Tcp(host) | Target::Tls(host, _) | Target::Udp(host) => host,
            Target::Unix(_) => "",
        };
        let found = Replaceable::new(host.parse().into_iter().collect());
        Self { typed: url.typed, target, found }
    }

    /// What has to be looked up: not an address, with a zone or without.
    pub(super) fn name(&self) -> Option<&str> {
        let host = self.place().ok()?;
        (!host.starts_with('[') && host.parse::<SocketAddr>().is_err()).then_some(host)
    }

    /// The addresses that it is known to have.
    pub(super) fn found(&self) -> Vec<SocketAddr> {
        self.found.now()
    }

    /// It has these. Says whether it had others before.
    pub(super) fn is_found_at(&self, found: Vec<SocketAddr>) -> bool {
        let known = self.found.now();
        let is_other =
            !known.is_empty() && (known.len() != found.len() || known.iter().any(|one| !found.contains(one)));
        self.found.set(found);
        is_other
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
    /// Connects to an upstream that takes it, which is sent `first` before anything else.
    fn connect(
        to: &Upstream,
        client: &Client,
        first: Bytes,
    ) -> impl Future<Output = Result<Connection<Self>, ConnectError>> + Send
    where
        Self: Sized;
}

impl Passed for Raw {
    async fn connect(to: &Upstream, client: &Client, first: Bytes) -> Result<Connection<Self>, ConnectError> {
        let found = to.found();
        let mut connection = match &to.target {
            Target::Tls(address, trust) if first.is_empty() && found.is_empty() => {
                return client.tls(address, trust).await;
            }
            Target::Tls(address, trust) => {
                // What cannot be found has no address, which is what it fails for.
                let found = if found.is_empty() { look_up(address).await.unwrap_or_default() } else { found };
                return client.tls_at(address, found, trust, first).await;
            }
            Target::Tcp(address) if found.is_empty() => client.tcp(address).await?,
            Target::Tcp(address) => client.tcp_at(address, found).await?,
            Target::Unix(path) => client.unix(path).await?,
            Target::Udp(_) => unreachable!("streams are passed on to streams"),
        };
        if !first.is_empty() {
            // If it has gone already, whoever reads from it sees that.
            let _ = connection.send(first).await;
        }
        Ok(connection)
    }
}

impl Passed for Datagrams {
    async fn connect(to: &Upstream, client: &Client, _: Bytes) -> Result<Connection<Self>, ConnectError> {
        // By its own socket, so that the kernel drops what others send there.
        match (&to.target, to.found()) {
            (Target::Udp(address), found) if found.is_empty() => client.udp(address).await,
            (Target::Udp(address), found) => client.udp_at(address, found).await,
            (Target::Tcp(_) | Target::Tls(..) | Target::Unix(_), _) => {
                unreachable!("datagrams are passed on as datagrams")
            }
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(typed: &str) -> Upstream {
        Upstream::new(Url::parse(typed).expect("a URL"), None)
    }

    #[tokio::test]
    async fn a_name_is_connected_to_where_it_was_found_last() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let there = listener.local_addr().expect("an address");
        let upstream = upstream("tcp://nobody.invalid:1");
        assert_eq!(upstream.name(), Some("nobody.invalid:1"));
        assert!(!upstream.is_found_at(vec![there]), "there was no other");
        let connected = Raw::connect(&upstream, &Client::new(), Bytes::new()).await.expect("it is there");
        assert_eq!(connected.peer().ip(), Some(there));
        assert!(!upstream.is_found_at(vec![there]));
        assert!(upstream.is_found_at(vec!["192.0.2.1:1".parse().expect("an address")]));
    }

    #[test]
    fn addresses_are_not_looked_up() {
        for typed in ["tcp://127.0.0.1:1", "tcp://[::1]:1", "tcp://[fe80::1%25eth0]:1", "unix:///a"] {
            assert_eq!(upstream(typed).name(), None, "{typed}");
        }
    }

    #[test]
    fn a_listener_is_known_by_whatever_leads_to_it() {
        let leads = |to: &str, own: &str| {
            Upstream::leads_to(&Url::parse(to).expect("a URL"), &Url::parse(own).expect("a URL").place)
        };
        for (to, own) in [
            ("tcp://127.0.0.1:7", "tcp://127.0.0.1:7"),
            ("tcp://localhost:7", "tcp://127.0.0.1:7"),
            ("tls://127.0.0.1:7", "tcp://0.0.0.0:7"),
            ("tcp://127.0.0.9:7", "tcp://[::]:7"),
            ("tcp://db.test:7", "tcp://db.test:7"),
            ("unix:///run/a", "unix:///run/a"),
        ] {
            assert!(leads(to, own), "{to} {own}");
        }
        for (to, own) in [
            ("tcp://127.0.0.1:8", "tcp://127.0.0.1:7"),
            ("tcp://10.0.0.1:7", "tcp://0.0.0.0:7"),
            ("unix:///run/b", "unix:///run/a"),
        ] {
            assert!(!leads(to, own), "{to} {own}");
        }
    }
}
