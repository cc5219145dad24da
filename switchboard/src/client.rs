//! The same connections from the other end: a client connects, and the caller gets the `Connection`.
//!
//! A client has no thread of its own and no handler. Each runtime that connects is a worker of the client's node, like
//! the caller's runtime for a server without workers; each connection has a task that writes for it when its socket is
//! full, and closes it.

mod dialing;
#[cfg(feature = "http")]
mod websocket;

#[cfg(feature = "http")]
pub(crate) use websocket::Halves;

use crate::config::{GRACE, Limits, Timeouts};
use crate::connection::{Connection, hold};
use crate::error::ConnectError;
use crate::link::{ListenerSettings, OpenError, PeerAddr, Sink, Source};
use crate::metrics::ListenerCounts;
use crate::node::{Drained, Handle, Node, sleep_awake};
#[cfg(feature = "http")]
use crate::transport::memory::End;
use crate::transport::memory::Memory;
use crate::transport::names::lookup;
#[cfg(feature = "tls")]
use crate::transport::tls::{self, Trust};
use crate::transport::udp::connected;
use crate::transport::{Stream as _, tcp, unix};
#[cfg(feature = "tls")]
use bytes::Bytes;
use bytes::BytesMut;
use parking_lot::Mutex;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
#[cfg(feature = "http")]
use switchboard_proto::WebSocketClient;
use switchboard_proto::{Codec, Datagrams};
use tokio::time::Instant;
#[cfg(feature = "http")]
use websocket::WebSocketUrl;

/// Connects to servers. Its connections have the same limits and deadlines as those of a [`Server`](crate::Server).
///
/// A connection works on the runtime that made it, and ends with it ([`Aborted`](crate::CloseReason)). The client
/// itself works on any runtime, on one after another or on several at once. A server's handlers may share one client:
/// what a handler connects to stays on its own worker, so a relay crosses no threads. Dropping the client does not
/// affect its connections; [`drain`](Self::drain) waits until what they have queued has left, for instance before a
/// program ends.
///
/// # Examples
/// ```no_run
/// use switchboard::prelude::*;
///
/// # async fn ask() -> Result {
/// let client = Client::new();
/// let mut conn: Connection<Lines> = client.tcp("127.0.0.1:7000").await?;
/// conn.send("hello").await?;
/// if let Some(line) = conn.recv().await? {
///     println!("{line}");
/// }
/// conn.close();
/// client.drain().await;
/// # Ok(())
/// # }
/// ```
pub struct Client {
    limits: Arc<Limits>,
    timeouts: Timeouts,
    grace: Duration,
    /// What WebSockets are asked for with.
    #[cfg(feature = "http")]
    headers: http::HeaderMap,
    /// Each connection's task has it too: what runs for them ends with the last.
    node: Arc<Node>,
    /// Whether the node is a server's.
    is_servers: bool,
    /// What connections to one server have in common, of servers that were connected to.
    known: Mutex<Vec<Arc<ListenerSettings>>>,
}

/// Servers that a client keeps that of: a proxy has few, and whoever has many has few connections to each.
const KNOWN: usize = 64;

/// What a stream comes to once it is connected.
type Parts = ((Box<dyn Source>, Box<dyn Sink>), PeerAddr);

/// A stream on which both sides know how to speak.
struct Opened {
    source: Box<dyn Source>,
    sink: Box<dyn Sink>,
    address: PeerAddr,
    /// What was read of the first frames.
    input: BytesMut,
}

impl Client {
    /// A client with the default limits and timeouts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Upper bounds for its connections. Limits per address and on handshakes do not apply to a client.
    ///
    /// If there are connections already, the limits on their number and on memory apply at once; those on frames and
    /// outboxes apply to later connections.
    ///
    /// A [server's own client](Handle::client) ignores the limits on memory and on the number of connections: the server's limit on memory
    /// applies.
    pub fn limits(self, limits: Limits) -> Self {
        if !self.is_servers {
            self.node.budget.set_limit(limits.memory_bytes);
        }
        Self { limits: Arc::new(limits), known: Mutex::default(), ..self }
    }

    /// How long connecting may take ([`Timeouts::handshake`]), and the deadlines of connections made from now on.
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, known: Mutex::default(), ..self }
    }

    /// How long connections may take to finish in [`drain`](Self::drain), before they are aborted. Default 30 s.
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Headers for the requests of WebSockets made from now on, such as `Authorization`. They cannot replace those of the handshake
    /// itself. Needs feature `http`.
    #[cfg(feature = "http")]
    pub fn websocket_headers(self, headers: http::HeaderMap) -> Self {
        Self { headers, ..self }
    }

    /// Connects to a TCP server at `HOST:PORT`. If there are several addresses, the first one that answers is used;
    /// each is tried a quarter of a second after the one before, or at once if that fails (RFC 8305). This holds for
    /// TLS and WebSockets too.
    ///
    /// # Errors
    /// All of [`ConnectError`] but those of TLS.
    ///
    /// # Cancel safety
    /// Safe: a connection under way is closed. This holds for every transport.
    ///
    /// # Panics
    /// Outside a tokio runtime. This holds for every transport.
    pub async fn tcp<C: Codec>(&self, address: impl ToString) -> Result<Connection<C>, ConnectError> {
        let address = address.to_string();
        self.connect("tcp", format!("tcp://{address}"), self.tcp_to(&address)).await
    }

    /// Like [`tcp`](Self::tcp), but uses these addresses of `HOST:PORT` instead of looking them up: for a caller that connects often and
    /// resolves names by itself.
    ///
    /// # Errors
    /// As [`tcp`](Self::tcp).
    pub async fn tcp_at<C: Codec>(
        &self,
        address: impl ToString,
        found: Vec<SocketAddr>,
    ) -> Result<Connection<C>, ConnectError> {
        self.connect("tcp", format!("tcp://{}", address.to_string()), self.tcp_among(found)).await
    }

    /// Connects to a TLS server at `HOST:PORT`, whose certificate must be trusted and valid for this host. Needs
    /// feature `tls`.
    ///
    /// # Errors
    /// All of [`ConnectError`].
    #[cfg(feature = "tls")]
    pub async fn tls<C: Codec>(&self, address: impl ToString, trust: &Trust) -> Result<Connection<C>, ConnectError> {
        let address = address.to_string();
        self.connect("tls", format!("tls://{address}"), self.tls_to(&address, trust)).await
    }

    /// Like [`tls`](Self::tls), but uses these addresses of `HOST:PORT` instead of looking them up, and sends `first` before TLS begins: a few
    /// hundred bytes at most, such as a [PROXY header](crate::ProxyVersion::header). Needs feature `tls`.
    ///
    /// # Errors
    /// As [`tls`](Self::tls).
    #[cfg(feature = "tls")]
    pub async fn tls_at<C: Codec>(
        &self,
        address: impl ToString,
        found: Vec<SocketAddr>,
        trust: &Trust,
        first: Bytes,
    ) -> Result<Connection<C>, ConnectError> {
        let address = address.to_string();
        let opening = async {
            let name = tls::server_name(&address).map_err(ConnectError::unreachable)?;
            self.tls_among(found, &name, trust, &first).await
        };
        self.connect("tls", format!("tls://{address}"), opening).await
    }

    /// Connects to the Unix socket at `path`.
    ///
    /// # Errors
    /// All of [`ConnectError`] but those of TLS.
    pub async fn unix<C: Codec>(&self, path: impl AsRef<Path>) -> Result<Connection<C>, ConnectError> {
        let path = path.as_ref();
        let connecting = async {
            let (stream, peer) = unix::connect(path).await?;
            Ok((stream.split(), peer))
        };
        self.connect("unix", format!("unix://{}", path.display()), opened(connecting)).await
    }

    /// Connects within the process. A server that listens there now or later accepts the connection; one that has ended
    /// resets it.
    ///
    /// # Errors
    /// [`ConnectError::Limits`] and [`ConnectError::TooManyConnections`].
    pub async fn memory<C: Codec>(&self, address: &Memory) -> Result<Connection<C>, ConnectError> {
        let connecting = async { Ok((address.connect().split(), PeerAddr::Memory)) };
        self.connect("memory", "memory".to_owned(), opened(connecting)).await
    }

    /// Exchanges datagrams with `HOST:PORT`, and with nobody else. There is no handshake, so this succeeds without a
    /// server; and there is no end of input, as nobody says that nothing more will come. If there are several
    /// addresses, the first that does not refuse what is sent to it is used, and [`Connection::peer`] gives the first
    /// of all.
    ///
    /// # Errors
    /// All of [`ConnectError`] but those of TLS.
    pub async fn udp(&self, address: impl ToString) -> Result<Connection<Datagrams>, ConnectError> {
        let address = address.to_string();
        let connecting = async { connected::connect(&dialing::in_turns(lookup(&address).await?)).await };
        self.connect("udp", format!("udp://{address}"), opened(connecting)).await
    }

    /// Like [`udp`](Self::udp), but uses these addresses of `HOST:PORT` instead of looking them up.
    ///
    /// # Errors
    /// As [`udp`](Self::udp).
    pub async fn udp_at(
        &self,
        address: impl ToString,
        found: Vec<SocketAddr>,
    ) -> Result<Connection<Datagrams>, ConnectError> {
        let connecting = async { connected::connect(&dialing::in_turns(found)).await };
        self.connect("udp", format!("udp://{}", address.to_string()), opened(connecting)).await
    }

    /// Opens the WebSocket at a URL: `ws://HOST:PORT/PATH`. Needs feature `http`.
    ///
    /// # Errors
    /// All of [`ConnectError`] but those of TLS.
    #[cfg(feature = "http")]
    pub async fn websocket(&self, url: impl AsRef<str>) -> Result<Connection<WebSocketClient>, ConnectError> {
        let opening = async {
            let parsed = WebSocketUrl::parse(url.as_ref(), "ws", 80).map_err(ConnectError::unreachable)?;
            upgrade(self.tcp_to(&parsed.address).await?, &parsed, &self.headers).await
        };
        self.open_websocket("ws", url.as_ref(), opening).await
    }

    /// Opens the WebSocket at a URL over TLS: `wss://HOST:PORT/PATH`. Needs features `http` and `tls`.
    ///
    /// # Errors
    /// All of [`ConnectError`].
    #[cfg(all(feature = "http", feature = "tls"))]
    pub async fn websocket_tls(
        &self,
        url: impl AsRef<str>,
        trust: &Trust,
    ) -> Result<Connection<WebSocketClient>, ConnectError> {
        let opening = async {
            let parsed = WebSocketUrl::parse(url.as_ref(), "wss", 443).map_err(ConnectError::unreachable)?;
            upgrade(self.tls_to(&parsed.address, trust).await?, &parsed, &self.headers).await
        };
        self.open_websocket("wss", url.as_ref(), opening).await
    }

    /// Opens the WebSocket at a URL over a connection within the process.
    #[cfg(feature = "http")]
    pub(crate) async fn websocket_over(
        &self,
        end: End,
        url: &str,
    ) -> Result<Connection<WebSocketClient>, ConnectError> {
        let opening = async {
            let parsed = WebSocketUrl::parse(url, "ws", 80).map_err(ConnectError::unreachable)?;
            upgrade(opened(async { Ok((end.split(), PeerAddr::Memory)) }).await?, &parsed, &self.headers).await
        };
        self.open_websocket("memory", url, opening).await
    }

    #[cfg(feature = "http")]
    async fn open_websocket(
        &self,
        transport: &'static str,
        url: &str,
        opening: impl Future<Output = Result<Opened, ConnectError>>,
    ) -> Result<Connection<WebSocketClient>, ConnectError> {
        // A query may hold what is nobody else's business, and names are for logs.
        let name = url.split('?').next().unwrap_or(url).to_owned();
        let mut connection: Connection<WebSocketClient> = self.connect(transport, name, opening).await?;
        *connection.codec_mut() = WebSocketClient::seeded(random());
        Ok(connection)
    }

    /// Lets all connections finish, at most for the grace period: they receive what has arrived, and then `None`; what
    /// is queued is sent.
    ///
    /// # Cancel safety
    /// Safe: the connections go on finishing, but those that do not finish are not aborted.
    pub async fn drain(self) -> Drained {
        let began = Instant::now();
        let node = self.node;
        if node.connections.workers().is_empty() {
            return Drained { finished: 0, aborted: 0, elapsed: Duration::ZERO };
        }
        let ended_before = node.metrics.ended();
        node.stop.begin_drain();
        let aborted = node.drained(self.grace).await;
        let ended = (node.metrics.ended() - ended_before) as usize;
        Drained { finished: ended.saturating_sub(aborted), aborted, elapsed: began.elapsed() }
    }

    /// Connects to one of the addresses of `HOST:PORT`.
    async fn tcp_to(&self, address: &str) -> Result<Opened, ConnectError> {
        self.tcp_among(lookup(address).await.map_err(ConnectError::unreachable)?).await
    }

    async fn tcp_among(&self, addresses: Vec<SocketAddr>) -> Result<Opened, ConnectError> {
        let attempt = |address| async move {
            let (stream, peer) = tcp::connect(address).await.map_err(ConnectError::unreachable)?;
            opened(async { Ok((stream.split(), peer)) }).await
        };
        dialing::first(addresses, self.timeouts.handshake, attempt).await
    }

    /// The same, and agrees on TLS there: one that accepts and says nothing is as good as one that is not there.
    #[cfg(feature = "tls")]
    async fn tls_to(&self, address: &str, trust: &Trust) -> Result<Opened, ConnectError> {
        let name = tls::server_name(address).map_err(ConnectError::unreachable)?;
        let addresses = lookup(address).await.map_err(ConnectError::unreachable)?;
        self.tls_among(addresses, &name, trust, &[]).await
    }

    #[cfg(feature = "tls")]
    async fn tls_among(
        &self,
        addresses: Vec<SocketAddr>,
        name: &tls::ServerName<'static>,
        trust: &Trust,
        first: &[u8],
    ) -> Result<Opened, ConnectError> {
        let attempt = |address| opened(tls::connect(address, name.clone(), trust, first));
        dialing::first(addresses, self.timeouts.handshake, attempt).await
    }

    /// Connects, agrees with the server on how to speak, and hands the connection over.
    async fn connect<C: Codec>(
        &self,
        transport: &'static str,
        name: String,
        opening: impl Future<Output = Result<Opened, ConnectError>>,
    ) -> Result<Connection<C>, ConnectError> {
        let known = self.known(transport, &name);
        // They were looked at for the first connection: it takes a system call to say how many there may be.
        let faults = if known.is_some() { Vec::new() } else { self.limits.faults() };
        if !faults.is_empty() {
            return Err(ConnectError::Limits { faults });
        }
        let (node, limit) = (&self.node, if self.is_servers { usize::MAX } else { self.limits.connections });
        let worker = node.worker_of_caller();
        let admitted = node.admit_own(limit).ok_or(ConnectError::TooManyConnections { limit })?;
        let Opened { source, sink, address, input } = match self.timeouts.handshake {
            Some(after) => tokio::select! {
                biased;
                // Boxed, because what is waited for is held twice.
                opened = Box::pin(opening) => opened.map_err(|error| error.to(&name))?,
                () = sleep_awake(after) => return Err(ConnectError::TimedOut { address: name, after }),
            },
            None => opening.await.map_err(|error| error.to(&name))?,
        };
        let settings = known.unwrap_or_else(|| self.settings(transport, name));
        let opening = node.place(&worker, address.into(), settings, admitted);
        Ok(hold(opening, node, (source, sink), input))
    }

    /// What connections to one server have in common, if it was connected to.
    fn known(&self, transport: &'static str, name: &str) -> Option<Arc<ListenerSettings>> {
        find(&self.known.lock(), transport, name)
    }

    /// The same, made now if it was not: once for as many servers as a client may know.
    fn settings(&self, transport: &'static str, name: String) -> Arc<ListenerSettings> {
        let mut known = self.known.lock();
        // Another connection may have made it meanwhile.
        if let Some(settings) = find(&known, transport, &name) {
            return settings;
        }
        let is_secure = matches!(transport, "tls" | "wss");
        let settings = Arc::new(ListenerSettings {
            rate: None,
            proxies: None,
            forwarders: None,
            horizon: crate::link::Horizon::None,
            name,
            is_secure,
            counts: ListenerCounts::unlisted(transport, is_secure),
            is_local: false,
            timeouts: self.timeouts,
            limits: Arc::clone(&self.limits),
            server: Arc::clone(&self.limits),
            occupancy: None,
            metrics: Arc::clone(&self.node.metrics),
            drain: self.node.stop.drain.clone(),
            told: self.node.stop.told.clone(),
        });
        if known.len() < KNOWN {
            known.push(Arc::clone(&settings));
        }
        settings
    }
}

fn find(known: &[Arc<ListenerSettings>], transport: &str, name: &str) -> Option<Arc<ListenerSettings>> {
    known.iter().find(|known| known.name == name && known.counts.spoken(false) == transport).map(Arc::clone)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("connections", &self.node.connections.len()).finish_non_exhaustive()
    }
}

impl Default for Client {
    fn default() -> Self {
        let (limits, node) = (Limits::default(), Node::new());
        node.budget.set_limit(limits.memory_bytes);
        Self {
            limits: Arc::new(limits),
            timeouts: Timeouts::default(),
            grace: GRACE,
            #[cfg(feature = "http")]
            headers: http::HeaderMap::new(),
            node,
            is_servers: false,
            known: Mutex::default(),
        }
    }
}

impl Handle {
    /// A client for what the server's own handlers connect to, as a proxy does.
    ///
    /// Its connections belong to the server: they run on the worker of the handler that connects, count towards the server's limit on memory,
    /// are in its [lists](Handle::connections) and counters, and take part in its drain and grace period. [`Client::drain`] drains the server too. They
    /// count towards [`Limits::connections`](crate::Limits::connections) of the server: at the limit it refuses newcomers, but never these.
    ///
    /// # Examples
    /// ```
    /// use switchboard::prelude::*;
    /// use switchboard::relay;
    /// use std::sync::Arc;
    ///
    /// let server = Server::new();
    /// let client = Arc::new(server.handle().client());
    /// let server = server.tcp("127.0.0.1:0", move |conn: Connection<Raw>| {
    ///     let client = Arc::clone(&client);
    ///     async move {
    ///         let upstream: Connection<Raw> = client.tcp("127.0.0.1:7000").await?;
    ///         relay(conn, upstream).await;
    ///         Ok::<_, switchboard::ConnectError>(())
    ///     }
    /// });
    /// ```
    pub fn client(&self) -> Client {
        let node = Arc::clone(self.node());
        // Of their number it has no limit.
        let limits = Arc::new(Limits { connections: 1, ..Limits::default() });
        Client { limits, node, is_servers: true, ..Client::default() }
    }
}

/// Connects, and agrees on TLS where that is spoken.
async fn opened(connecting: impl Future<Output = io::Result<Parts>>) -> Result<Opened, ConnectError> {
    let ((mut source, sink), address) = connecting.await.map_err(ConnectError::unreachable)?;
    poll_fn(|cx| source.poll_open(cx)).await.map_err(unopened)?;
    Ok(Opened { source, sink, address, input: BytesMut::new() })
}

#[cfg(feature = "http")]
async fn upgrade(opened: Opened, url: &WebSocketUrl, headers: &http::HeaderMap) -> Result<Opened, ConnectError> {
    let Opened { source, sink, address, .. } = opened;
    let key = WebSocketClient::key(random());
    let (source, sink, input) = websocket::upgrade(source, sink, url, (&key, headers)).await?;
    Ok(Opened { source, sink, address, input })
}

/// Bytes that nobody can foresee; without any from the system they are known, which keeps nothing secret from anybody.
#[cfg(feature = "http")]
fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // Keys of handshake and masks keep proxies from mistaking one protocol for another, and protect nothing else.
    let _ = getrandom::fill(&mut bytes);
    bytes
}

/// What became of a handshake.
fn unopened(error: OpenError) -> ConnectError {
    match error {
        OpenError::Left => ConnectError::unreachable(io::ErrorKind::UnexpectedEof.into()),
        OpenError::Broken(error) => ConnectError::unreachable(error),
        #[cfg(feature = "tls")]
        OpenError::Failed(error) if tls::is_distrust(&error) => ConnectError::Untrusted(io::Error::other(error)),
        OpenError::Failed(error) => ConnectError::Tls(io::Error::other(error)),
    }
}
