//! A whole server without sockets, and the ways into it.

use super::{DatagramPeer, HttpAnswer, Peer, WebSocketPeer};
use crate::client::Client;
use crate::link::PeerAddr;
use crate::node::{Drained, Handle};
use crate::server::in_memory::Door;
use crate::server::{Bound, Server};
use crate::transport::memory::{End, Memory};
use bytes::Bytes;
use http::{Method, Request, Uri};
use std::fmt;
use std::future::{Future, pending};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll, Waker};
use switchboard_proto::Timeouts;
use tokio::task::JoinHandle;

/// The port of the first peer.
const FIRST_PORT: u16 = 49_152;

/// Serves `server` on this runtime without any socket: each of its listeners takes those who come from the test.
///
/// Handlers see what they would see of a socket: the listener's URL, its limits, and a peer at `127.0.0.1`. TLS is not spoken, though
/// a listener for it is still one that nobody reads along with.
///
/// # Panics
/// Outside a tokio runtime, and if the server's settings make no sense: with what is wrong with them.
///
/// # Examples
/// ```
/// use switchboard::prelude::*;
/// use switchboard::testing;
///
/// /// Sensors send datagrams, and whoever connects watches.
/// fn server(readings: Room) -> Server {
///     let watched = readings.clone();
///     Server::new()
///         .udp("127.0.0.1:7003", move |reading, _| _ = readings.publish(reading.payload))
///         .tcp("127.0.0.1:7003", (watched, watch))
/// }
///
/// async fn watch(mut conn: Connection<Lines>, readings: Room) -> Result {
///     let _seat = conn.join(&readings)?;
///     conn.send("watching").await?;
///     while conn.recv().await?.is_some() {}
///     Ok(())
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let app = testing::start(server(Hub::new().room("readings").unwrap()));
/// let (mut watcher, sensor) = (app.connect("tcp"), app.udp("udp://127.0.0.1:7003"));
/// assert_eq!(watcher.line().await, "watching\n");
/// sensor.send("kitchen 21.5");
/// assert_eq!(watcher.line().await, "kitchen 21.5\n");
/// # });
/// ```
pub fn start(server: Server) -> Running {
    let (server, doors) = server.in_memory();
    let handle = server.handle();
    let serving = pin!(server.bind()).poll(&mut Context::from_waker(Waker::noop()));
    let bound: Bound = match serving {
        Poll::Ready(Ok(bound)) => bound,
        Poll::Ready(Err(error)) => panic!("{error}"),
        Poll::Pending => unreachable!("memory is bound at once"),
    };
    #[expect(clippy::disallowed_methods, reason = "the test's runtime owns the server")]
    let serving = tokio::spawn(bound.serve_until(pending()));
    let patient = Timeouts { idle: None, ping: None, write: None, handshake: None, ..Timeouts::default() };
    Running { doors, handle, serving, client: Client::new().timeouts(patient), peers: AtomicU16::new(0) }
}

/// A server that [`start`] has started, until its runtime ends: dropping this changes nothing.
///
/// A listener is named by its URL as it was given (`tcp://127.0.0.1:7000`), by the address alone, or by the scheme alone, which is the
/// first such one. What names none is a panic that says which there are.
pub struct Running {
    doors: Vec<(String, Door)>,
    handle: Handle,
    serving: JoinHandle<Drained>,
    client: Client,
    /// How many there were.
    peers: AtomicU16,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<_> = self.doors.iter().map(|(url, _)| url).collect();
        f.debug_struct("Running").field("listeners", &urls).finish_non_exhaustive()
    }
}

impl Running {
    /// Connects to a stream listener: `tcp://127.0.0.1:7000`, or `tcp` for the first. What goes over it is bytes, also where HTTP is
    /// spoken.
    pub fn connect(&self, listener: &str) -> Peer {
        Peer::of(self.open(self.streams(|url| is(url, listener), listener)))
    }

    /// Opens a WebSocket: at a URL, or at a path of the first listener that speaks HTTP or WebSocket.
    ///
    /// # Panics
    /// If the server refuses, with how it does. [`get`](Self::get) is for what is to be refused.
    pub async fn websocket(&self, url: &str) -> WebSocketPeer {
        let (address, host, path) = self.place(url);
        let opened = self.client.websocket_over(self.open(address), &format!("ws://{host}{path}")).await;
        WebSocketPeer::of(opened.unwrap_or_else(|error| panic!("{url}: {error}")))
    }

    /// Asks for what is at a URL, or at a path of the first listener that speaks HTTP.
    pub async fn get(&self, url: &str) -> HttpAnswer {
        self.request(request(Method::GET, url, Bytes::new())).await
    }

    /// Posts `body` to a URL, or to a path of the first listener that speaks HTTP.
    pub async fn post(&self, url: &str, body: impl Into<Bytes>) -> HttpAnswer {
        self.request(request(Method::POST, url, body.into())).await
    }

    /// Sends a request over a connection of its own, and waits for the head of the answer.
    ///
    /// # Panics
    /// If the server closes the connection without an answer.
    pub async fn request<B: Into<Bytes>>(&self, request: Request<B>) -> HttpAnswer {
        let (address, host, path) = self.place(&request.uri().to_string());
        HttpAnswer::to(request.map(Into::into), self.open(address), &host, &path).await
    }

    /// Somebody new who sends datagrams to a listener: `udp://127.0.0.1:7003`, or `udp` for the first.
    pub fn udp(&self, listener: &str) -> DatagramPeer {
        let network = self.doors.iter().find_map(|(url, door)| match door {
            Door::Datagrams(network) if is(url, listener) => Some(network),
            _ => None,
        });
        let Some(network) = network else { self.nowhere(listener) };
        DatagramPeer::of(network.socket(self.address()))
    }

    /// What can be done with the server.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Drains, and waits until all connections have finished or been aborted.
    ///
    /// # Panics
    /// If a drain has ended the server already, with its runtime.
    pub async fn drain(self) -> Drained {
        self.handle.drain();
        let Ok(drained) = self.serving.await else { panic!("the server ended with its runtime") };
        drained
    }

    fn open(&self, (address, url): (&Memory, &str)) -> End {
        address.connect_from(match url.split_once("://").map_or(url, |(scheme, _)| scheme) {
            "memory" => PeerAddr::Memory,
            scheme if scheme.ends_with("unix") => PeerAddr::Unix(None),
            _ => PeerAddr::Ip(self.address()),
        })
    }

    /// Of the next peer.
    fn address(&self) -> SocketAddr {
        // Relaxed: only uniqueness matters.
        let number = self.peers.fetch_add(1, Ordering::Relaxed);
        (Ipv4Addr::LOCALHOST, FIRST_PORT + number % (u16::MAX - FIRST_PORT)).into()
    }

    fn streams(&self, is_it: impl Fn(&str) -> bool, wanted: &str) -> (&Memory, &str) {
        let streams = self.doors.iter().find_map(|(url, door)| match door {
            Door::Streams(address) if is_it(url) => Some((address, &**url)),
            _ => None,
        });
        streams.unwrap_or_else(|| self.nowhere(wanted))
    }

    /// Where HTTP is spoken, the name of the host, and the path.
    fn place(&self, url: &str) -> ((&Memory, &str), String, String) {
        let Ok(uri) = url.parse::<Uri>() else { panic!("{url} is not a URL") };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let Some(authority) = uri.authority() else {
            return (self.streams(speaks_http, url), "localhost".to_owned(), path);
        };
        let is_it =
            |other: &str| speaks_http(other) && is_secure(other) == is_secure(url) && is(other, authority.as_str());
        (self.streams(is_it, url), authority.to_string(), path)
    }

    fn nowhere(&self, wanted: &str) -> ! {
        let urls: Vec<_> = self.doors.iter().map(|(url, _)| &**url).collect();
        panic!("there is no listener {wanted}, but {}", urls.join(", "))
    }
}

fn request(method: Method, url: &str, body: Bytes) -> Request<Bytes> {
    let Ok(uri) = url.parse() else { panic!("{url} is not a URL") };
    let mut request = Request::new(body);
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    request
}

/// Whether a listener is the one that is asked for.
fn is(url: &str, wanted: &str) -> bool {
    url == wanted || url.split_once("://").is_some_and(|(scheme, address)| scheme == wanted || address == wanted)
}

fn scheme(url: &str) -> &str {
    url.split_once(':').map_or(url, |(scheme, _)| scheme)
}

fn speaks_http(url: &str) -> bool {
    let scheme = scheme(url);
    matches!(scheme.split_once('+').map_or(scheme, |(spoken, _)| spoken), "http" | "https" | "ws" | "wss")
}

fn is_secure(url: &str) -> bool {
    matches!(scheme(url), "https" | "wss")
}
