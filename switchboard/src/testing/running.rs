//! A whole server without sockets, and the ways into it.

use super::{DatagramPeer, Peer};
#[cfg(feature = "http")]
use crate::client::Client;
use crate::link::PeerAddr;
use crate::node::{Drained, Handle};
use crate::server::in_memory::Door;
use crate::server::{Bound, Server};
use crate::transport::memory::{End, Memory};
use std::fmt;
use std::future::{Future, pending};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll, Waker};
#[cfg(feature = "http")]
use switchboard_proto::Timeouts;
use tokio::task::JoinHandle;

/// The port of the first peer.
const FIRST_PORT: u16 = 49_152;

/// Runs `server` on this runtime without sockets: each of its listeners accepts connections from the test.
///
/// Handlers see what they would see with a socket: the listener's URL, its limits, and a peer at `127.0.0.1`. No TLS is
/// spoken, though a TLS listener still counts as secure.
///
/// # Panics
/// Outside a tokio runtime, and if the server's settings make no sense; the message says what is wrong.
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
    #[cfg(feature = "http")]
    let patient = Timeouts { idle: None, ping: None, write: None, handshake: None, ..Timeouts::default() };
    Running {
        doors,
        handle,
        serving,
        #[cfg(feature = "http")]
        client: Client::new().timeouts(patient),
        peers: AtomicU16::new(0),
    }
}

/// A server started by [`start`]. It runs until its runtime ends: dropping this does not stop it.
///
/// Name a listener by its URL as given (`tcp://127.0.0.1:7000`), by the address alone, or by the scheme alone, for the
/// first such listener. If there is none, the call panics and lists those there are.
pub struct Running {
    doors: Vec<(String, Door)>,
    handle: Handle,
    serving: JoinHandle<Drained>,
    /// For WebSockets.
    #[cfg(feature = "http")]
    pub(super) client: Client,
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
    /// Connects to a stream listener: `tcp://127.0.0.1:7000`, or `tcp` for the first. It carries bytes, even if the
    /// listener speaks HTTP.
    pub fn connect(&self, listener: &str) -> Peer {
        Peer::of(self.open(self.streams(|url| is(url, listener), listener)))
    }

    /// A new peer that sends datagrams to a listener: `udp://127.0.0.1:7003`, or `udp` for the first.
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
    /// If the server has already ended, with its runtime.
    pub async fn drain(self) -> Drained {
        self.handle.drain();
        let Ok(drained) = self.serving.await else { panic!("the server ended with its runtime") };
        drained
    }

    pub(super) fn open(&self, (address, url): (&Memory, &str)) -> End {
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

    pub(super) fn streams(&self, is_it: impl Fn(&str) -> bool, wanted: &str) -> (&Memory, &str) {
        let streams = self.doors.iter().find_map(|(url, door)| match door {
            Door::Streams(address) if is_it(url) => Some((address, &**url)),
            _ => None,
        });
        streams.unwrap_or_else(|| self.nowhere(wanted))
    }

    pub(super) fn nowhere(&self, wanted: &str) -> ! {
        let urls: Vec<_> = self.doors.iter().map(|(url, _)| &**url).collect();
        panic!("there is no listener {wanted}, but {}", urls.join(", "))
    }
}

/// Whether a listener is the one that is asked for.
pub(super) fn is(url: &str, wanted: &str) -> bool {
    url == wanted || url.split_once("://").is_some_and(|(scheme, address)| scheme == wanted || address == wanted)
}
