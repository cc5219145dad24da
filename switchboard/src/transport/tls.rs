//! TLS over TCP: a listener, and the session of one connection as its source and sink.
//!
//! rustls does the cryptography in thread-local memory, so that an idle session owns no buffer. The connection's own
//! task writes: what a flush holds becomes full records, in one write.

mod certificates;
mod clients;
mod hello;
mod records;
mod session;
mod subject;
mod trust;

pub use certificates::{CertificateError, Certificates};
pub use clients::{CertificateId, ClientTrust};
pub use subject::{NameFrom, Subject, SubjectError};
pub use trust::Trust;

use super::configured::OwnSettings;
use super::names::NumericAddress;
use super::tcp::{self, Tcp};
use super::{Stream, StreamListener, StreamTransport};
use crate::Timeouts;
use crate::error::BoxError;
use crate::link::{PeerAddr, Sink, Source};
use clients::{Believed, Clients, Shown};
use parking_lot::Mutex;
use records::Side;
use rustls::ServerConfig;
use rustls::client::UnbufferedClientConnection;
pub(crate) use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use session::{Reading, TlsSession, Writing};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::net::TcpStream;

/// A TCP address to listen on for TLS 1.2 and 1.3. Port 0 takes a free one. Needs feature `tls`.
#[derive(Debug, Clone)]
pub struct Tls {
    tcp: Tcp,
    certificates: Certificates,
    protocols: Vec<Vec<u8>>,
    clients: Option<Clients>,
}

impl Tls {
    /// Listens on `address`: `HOST:PORT`, `[::1]:PORT`, or a `SocketAddr`.
    pub fn new(address: impl ToString, certificates: &Certificates) -> Self {
        Self { tcp: Tcp::new(address), certificates: certificates.clone(), protocols: Vec::new(), clients: None }
    }

    /// As [`Tcp::from_std`].
    pub fn from_std(listener: impl Into<OwnedFd>, certificates: &Certificates) -> Self {
        let tcp = Tcp::from_std(listener);
        Self { tcp, certificates: certificates.clone(), protocols: Vec::new(), clients: None }
    }

    /// As [`Tcp::freebind`].
    pub fn freebind(self) -> Self {
        Self { tcp: self.tcp.freebind(), ..self }
    }

    /// Deadlines for this listener's connections, in place of the server's.
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self { tcp: self.tcp.timeouts(timeouts), ..self }
    }

    /// Protocols to choose from by ALPN, the preferred one first, such as `http/1.1`. A peer that offers only other
    /// protocols is refused. Default: none, and a peer's offer is ignored.
    ///
    /// HTTP listeners have `h2` and `http/1.1` without this. RFC 7301.
    pub fn protocols(self, protocols: &[&str]) -> Self {
        Self { protocols: protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect(), ..self }
    }

    /// Refuses clients that do not present a certificate that `trust` accepts, with proof that they have its key.
    /// [`Connection::tls`](crate::Connection::tls) says who they are, and over HTTP
    /// [`Request::tls`](crate::http::Request::tls).
    ///
    /// [`Trust::anybody`] accepts any certificate, for handlers that decide by themselves. Clients prove themselves
    /// each time they connect: no session is resumed.
    ///
    /// # Examples
    /// ```no_run
    /// use switchboard::prelude::*;
    /// use switchboard::{Certificates, Tls, Trust};
    ///
    /// async fn greet(mut conn: Connection<Lines>) -> Result {
    ///     let tls = conn.tls().unwrap_or_default();
    ///     conn.send(format!("you showed {} certificates", tls.peer_certificates.len())).await?;
    ///     Ok(())
    /// }
    ///
    /// # async fn serve() -> Result {
    /// let certificates = Certificates::from_files([("server.pem", "server.key")])?;
    /// let listener = Tls::new("0.0.0.0:7443", &certificates).require_client_certificates(&Trust::file("clients-ca.pem")?);
    /// Server::new().listen(listener, greet).serve_until(ctrl_c()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn require_client_certificates(self, trust: &Trust) -> Self {
        self.clients(Believed::By(trust.clone()), Shown::Always)
    }

    /// As [`require_client_certificates`](Self::require_client_certificates), but accepts clients that present none. A
    /// client whose certificate is not trusted is refused.
    pub fn request_client_certificates(self, trust: &Trust) -> Self {
        self.clients(Believed::By(trust.clone()), Shown::Perhaps)
    }

    /// As [`require_client_certificates`](Self::require_client_certificates), with what `clients` trusts at the time of each handshake.
    pub fn require_clients(self, clients: &ClientTrust) -> Self {
        self.clients(Believed::Now(clients.clone()), Shown::Always)
    }

    /// As [`request_client_certificates`](Self::request_client_certificates), with what `clients` trusts at the time of each handshake.
    pub fn request_clients(self, clients: &ClientTrust) -> Self {
        self.clients(Believed::Now(clients.clone()), Shown::Perhaps)
    }

    fn clients(self, believed: Believed, shown: Shown) -> Self {
        Self { clients: Some(Clients { believed, shown }), ..self }
    }
}

impl StreamTransport for Tls {
    type Listener = Listener;

    fn url(&self) -> String {
        self.tcp.url().replacen("tcp", "tls", 1)
    }

    fn own(&self) -> OwnSettings {
        self.tcp.own()
    }

    fn numeric_address(&self) -> Option<NumericAddress> {
        self.tcp.numeric_address()
    }

    fn leave_ipv4(&mut self) {
        self.tcp.leave_ipv4();
    }

    fn speaks(&mut self, protocols: &[&str]) {
        if self.protocols.is_empty() {
            self.protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        }
    }

    async fn bind(self) -> io::Result<Listener> {
        let Self { tcp, certificates, protocols, clients } = self;
        let config = Current::new(certificates, protocols, clients)?;
        Ok(Listener { tcp: tcp.bind().await?, config })
    }
}

pub(crate) struct Listener {
    tcp: tcp::Listener,
    config: Current,
}

/// What a listener agrees to, by what its clients' certificates are believed by now.
struct Current {
    certificates: Certificates,
    protocols: Vec<Vec<u8>>,
    clients: Option<Clients>,
    /// Of the clients' trust, when the config was made.
    version: u64,
    config: Arc<ServerConfig>,
}

impl Current {
    fn new(certificates: Certificates, protocols: Vec<Vec<u8>>, clients: Option<Clients>) -> io::Result<Self> {
        let version = clients.as_ref().map_or(0, Clients::version);
        let verifier = clients.as_ref().map(Clients::verifier).transpose().map_err(io::Error::other)?;
        let config = certificates.config(protocols.clone(), verifier).map_err(io::Error::other)?;
        Ok(Self { certificates, protocols, clients, version, config })
    }

    fn config(&mut self) -> io::Result<Arc<ServerConfig>> {
        if self.clients.as_ref().is_some_and(|clients| clients.version() != self.version) {
            *self = Self::new(self.certificates.clone(), self.protocols.clone(), self.clients.clone())?;
        }
        Ok(Arc::clone(&self.config))
    }
}

impl StreamListener for Listener {
    type Stream = TlsStream<TcpStream>;

    const TRANSPORT: &'static str = "tls";

    const IS_SECURE: bool = true;

    fn url(&self) -> String {
        self.tcp.url().replacen("tcp", "tls", 1)
    }

    fn urls(&self) -> Vec<String> {
        self.tcp.urls().iter().map(|url| url.replacen("tcp", "tls", 1)).collect()
    }

    fn is_local(&self) -> bool {
        self.tcp.is_local()
    }

    fn listen(&mut self) -> io::Result<()> {
        self.tcp.listen()
    }

    fn attach(&mut self) -> io::Result<()> {
        self.tcp.attach()
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, PeerAddr)>> {
        let (stream, address) = ready!(self.tcp.poll_accept(cx))?;
        Poll::Ready(Ok((TlsStream { stream, config: self.config.config()? }, address)))
    }

    fn accept_now(&mut self) -> io::Result<(Self::Stream, PeerAddr)> {
        let (stream, address) = self.tcp.accept_now()?;
        Ok((TlsStream { stream, config: self.config.config()? }, address))
    }
}

/// An accepted stream on which nothing has been said yet.
pub(crate) struct TlsStream<S> {
    stream: S,
    config: Arc<ServerConfig>,
}

impl Stream for TlsStream<TcpStream> {
    type Detached = TlsStream<std::net::TcpStream>;

    const OPENS: bool = true;

    fn detach(self) -> io::Result<Self::Detached> {
        Ok(TlsStream { stream: self.stream.detach()?, config: self.config })
    }

    fn attach(detached: Self::Detached) -> io::Result<Self> {
        Ok(Self { stream: TcpStream::attach(detached.stream)?, config: detached.config })
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, look: &mut dyn FnMut(&[u8]) -> usize) -> Poll<io::Result<usize>> {
        self.stream.poll_take(cx, look)
    }

    fn split(self) -> (Box<dyn Source>, Box<dyn Sink>) {
        // One lock for both sides, because reading and writing go through one state. It is uncontended, except for a connection
        // that was given to another task.
        let Ok(tls) = UnbufferedServerConnection::new(self.config) else {
            unreachable!("only a record size out of bounds is refused, and it is the default")
        };
        sides(TlsSession::new(self.stream, tls))
    }
}

/// Whether a handshake failed because the server is not who we want.
pub(crate) fn is_distrust(error: &BoxError) -> bool {
    matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
}

fn sides<S: Side + 'static>(session: TlsSession<S>) -> (Box<dyn Source>, Box<dyn Sink>) {
    let session = Arc::new(Mutex::new(session));
    (Box::new(Reading(Arc::clone(&session))), Box::new(Writing(session)))
}

/// The name that a server at `HOST:PORT` has to prove.
pub(crate) fn server_name(address: &str) -> io::Result<ServerName<'static>> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    // A zone is this machine's own business.
    let name = ServerName::try_from(host.split_once('%').map_or(host, |(host, _)| host).to_owned());
    name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// Connects to one address of `name`. What is left is the handshake: [`Source::poll_open`].
pub(crate) async fn connect(
    address: SocketAddr,
    name: ServerName<'static>,
    trust: &Trust,
    first: &[u8],
) -> io::Result<((Box<dyn Source>, Box<dyn Sink>), PeerAddr)> {
    let (stream, peer) = tcp::connect(address).await?;
    // Nothing else is in the socket yet, which takes it whole.
    if !first.is_empty() && stream.try_write(first)? < first.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    let asked = match &name {
        ServerName::DnsName(name) => Some(name.to_lowercase_owned().as_ref().into()),
        // An address is not asked for.
        _ => None,
    };
    let tls = UnbufferedClientConnection::new(trust.config(), name).map_err(io::Error::other)?;
    Ok((sides(TlsSession::greeting(stream, tls, asked)), peer))
}
