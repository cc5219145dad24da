//! Where to ask: a URL taken apart, and a connection to its host.

use super::FetchError;
use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use switchboard::Trust;
use switchboard_load::typed::{self, Scheme};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// Whom to connect to.
#[derive(Clone)]
pub(super) enum Asked {
    Tls {
        host: String,
        port: u16,
        name: ServerName<'static>,
        config: Arc<ClientConfig>,
    },
    /// On this machine.
    Plain {
        host: String,
        port: u16,
    },
    /// Anywhere, though anybody on the way reads along and may answer: for what is no secret and is not believed.
    Open {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

pub(super) struct Parsed {
    pub(super) asked: Asked,
    pub(super) authority: HeaderValue,
    pub(super) target: Uri,
}

/// Takes a URL apart, and reads whom to believe.
pub(super) fn parse(typed: &str, ca: Option<&Path>) -> Result<Parsed, Vec<String>> {
    let only_tls = |parsed: Parsed| match ca {
        Some(_) => Err(vec!["ca is for https://, which alone has certificates".to_owned()]),
        None => Ok(parsed),
    };
    let Some((scheme, rest)) = typed.split_once("://") else { return Err(one(NO_URL)) };
    match scheme {
        "https" => https(typed, ca),
        "http" => http(typed).map_err(|fault| vec![fault]).and_then(only_tls),
        // The second is how `serve` and lists of listeners call it.
        "unix" | "http+unix" => unix(rest).map_err(|fault| vec![fault]).and_then(only_tls),
        _ => Err(one(NO_URL)),
    }
}

/// The same of what may be read by anybody on the way.
pub(super) fn parse_open(typed: &str) -> Result<Parsed, Vec<String>> {
    if !typed.starts_with("http://") {
        return parse(typed, None);
    }
    let Web { host, port, authority, target, .. } = web(typed, 80).map_err(|fault| vec![fault])?;
    Ok(Parsed { asked: Asked::Open { host, port }, authority, target })
}

const NO_URL: &str = "not a URL to ask: https://HOST/…, http://127.0.0.1:PORT/… or unix:///PATH";

fn one(fault: &str) -> Vec<String> {
    vec![fault.to_owned()]
}

fn https(typed: &str, ca: Option<&Path>) -> Result<Parsed, Vec<String>> {
    let Web { host, port, authority, target, .. } = web(typed, 443).map_err(|fault| vec![fault])?;
    let name = ServerName::try_from(bare(&host).to_owned());
    let name = name.map_err(|_| vec![format!("`{host}` is no name that a certificate has")])?;
    let trust = ca.map_or_else(Trust::system, Trust::file).map_err(|error| error.faults)?;
    Ok(Parsed { asked: Asked::Tls { host, port, name, config: trust.config() }, authority, target })
}

fn http(typed: &str) -> Result<Parsed, String> {
    let Web { host, port, authority, target, is_local } = web(typed, 80)?;
    if !is_local {
        return Err(
            "http:// is not encrypted, so it is for this machine alone (127.0.0.1, [::1], localhost)".to_owned()
        );
    }
    Ok(Parsed { asked: Asked::Plain { host, port }, authority, target })
}

fn unix(path: &str) -> Result<Parsed, String> {
    let typed::Place::File(path) = typed::Place::of_listener(path, Scheme::Unix)? else {
        unreachable!("a socket's place is a path")
    };
    // What a server of several hosts is told: RFC 9112 §3.2 wants one, and a path is none.
    Ok(Parsed {
        asked: Asked::Unix(path),
        authority: HeaderValue::from_static("localhost"),
        target: Uri::from_static("/"),
    })
}

/// What `http://` and `https://` have in common.
struct Web {
    /// In brackets if it is IPv6.
    host: String,
    port: u16,
    authority: HeaderValue,
    target: Uri,
    is_local: bool,
}

fn web(typed: &str, default_port: u16) -> Result<Web, String> {
    if typed.contains('#') {
        return Err("a URL to ask has no `#`: what is behind it is never sent".to_owned());
    }
    let uri: Uri = typed.parse().map_err(|error| format!("not a URL: {error}"))?;
    let authority = uri.authority().ok_or("missing host")?;
    if authority.as_str().contains('@') {
        return Err("no name or password may stand in a URL, where it is shown in logs".to_owned());
    }
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => default_port,
        _ => authority.port_u16().filter(|port| *port != 0).ok_or("bad port: not from 1 to 65535")?,
    };
    let host = authority.host().to_ascii_lowercase();
    // As listeners have it: a name or an address, and not what only looks like one.
    let is_local = typed::Place::of_listener(&format!("{host}:{port}"), Scheme::Tcp)?.is_local();
    let value = HeaderValue::from_str(authority.as_str()).map_err(|_| "not a host".to_owned())?;
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let target = target.parse().map_err(|error| format!("not a path: {error}"))?;
    Ok(Web { host, port, authority: value, target, is_local })
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// A connection to some address of a host.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, FetchError> {
    connect_to(&look_up(host, port).await?).await
}

/// A connection to this machine, whatever the host's name leads to.
pub(super) async fn connect_here(host: &str, port: u16) -> Result<TcpStream, FetchError> {
    let addresses = look_up(host, port).await?;
    let here: Vec<_> = addresses.into_iter().filter(|address| address.ip().to_canonical().is_loopback()).collect();
    if here.is_empty() { Err(FetchError::Elsewhere) } else { connect_to(&here).await }
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, FetchError> {
    let found = tokio::net::lookup_host((bare(host), port)).await;
    found.map(Iterator::collect).map_err(FetchError::Lookup)
}

/// To the first of them that takes it.
async fn connect_to(addresses: &[SocketAddr]) -> Result<TcpStream, FetchError> {
    TcpStream::connect(addresses).await.map_err(FetchError::Connect)
}
