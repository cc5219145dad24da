//! Holds many connections in one process and passes messages between them.
//!
//! An echo server: try it with `nc 127.0.0.1 7000`. It drains on Ctrl-C:
//! ```no_run
//! use switchboard::prelude::*;
//!
//! async fn echo(mut conn: Connection<Lines>) -> Result {
//!     while let Some(line) = conn.recv().await? {
//!         conn.send(line).await?;
//!     }
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result {
//!     Server::new().tcp("127.0.0.1:7000", echo).serve_until(ctrl_c()).await?;
//!     Ok(())
//! }
//! ```
//!
//! A room, whose members get what others publish without a loop, a channel or a `select!`; and a test of it, without
//! sockets or real time:
//! ```
//! use switchboard::prelude::*;
//! use switchboard::testing;
//!
//! async fn chat(mut conn: Connection<Lines>, lobby: Room) -> Result {
//!     let seat = conn.join(&lobby)?.will("somebody left");
//!     conn.send("welcome").await?;
//!     while let Some(line) = conn.recv().await? {
//!         seat.publish(line)?;
//!     }
//!     Ok(())
//! }
//!
//! fn server(lobby: Room) -> Server {
//!     Server::new().tcp("127.0.0.1:7002", (lobby, chat))
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let app = testing::start(server(Hub::new().room("lobby").unwrap()));
//! let (mut ann, mut bob) = (app.connect("tcp"), app.connect("tcp"));
//! assert_eq!((ann.line().await, bob.line().await), ("welcome\n".into(), "welcome\n".into()));
//! ann.send("hi\n").await;
//! assert_eq!(bob.line().await, "hi\n");
//! # });
//! ```
//!
//! # Where to go next
//! - [`Server`] for listeners, [`Connection`] for what a handler holds, [`Client`] for the other end.
//! - [`Hub`] and [`Room`] for names, histories to resume from, and what happens to slow members; [`Encoding`] for rooms
//!   in a protocol of your own.
//! - [`Codec`] for frames of your own, [`http`] for requests, WebSockets and streamed answers, [`Udp`] for datagrams.
//! - [`testing`] to run a handler, or a whole server, in memory and under a paused clock.
//! - [`prelude`] for what most programs need, and the folder `examples` for whole programs.
//!
//! # Guarantees
//! - A room has one order for all its members. No member loses a message without being told or disconnected, unless it
//!   asked for only the newest ([`Overflow::Conflate`]), and a slow one does not delay the others.
//! - Everything is bounded: connections, frames, outboxes, and the sum of all memory held. See [`Limits`].
//! - Every connection ends with exactly one [`CloseReason`]: logged once, counted once.
//! - Drain: listeners refuse at once; [`Connection::recv`] hands over every frame already received, then `None`; what is
//!   queued is flushed, and the peer has time to read it.
//! - What was received before a peer left is handed over, even if nothing can be written to it any more.
//! - What one peer sends can end only that peer's connection.
//!
//! # Features
//! The first two are on by default; without them, their dependencies are gone too.
//! - `http`: the module [`http`], [`Server::http`], and WebSockets, which begin as a request: [`Server::websocket`],
//!   [`Client::websocket`]; brings `hyper` and `http`.
//! - `tls`: [`Tls`], [`Certificates`], [`Trust`], [`ClientTrust`], [`Subject`], [`Server::tls`], [`Client::tls`]; brings `rustls`, `ring`,
//!   `rustls-native-certs` and `x509-cert`.
//! - `nats`: `log::NatsEngine`, for rooms of several nodes in NATS JetStream; includes `tls`, and brings `serde_json` and `tokio-rustls`.
//! - `sqlite`: `log::SqliteLog`, which keeps rooms in a directory; brings `rusqlite`, and compiles SQLite.
//! - `http` and `tls` together: [`Server::https`] and [`Client::websocket_tls`].

#![warn(missing_debug_implementations, missing_docs)]
#![cfg_attr(
    not(all(feature = "http", feature = "tls")),
    allow(
        dead_code,
        unused_imports,
        reason = "what HTTP or TLS alone asks of connections is not taken apart for each set of features"
    )
)]

mod client;
pub mod cluster;
mod config;
mod connection;
mod error;
#[doc(hidden)]
pub mod files;
#[cfg(feature = "http")]
pub mod http;
mod hub;
mod link;
pub mod log;
mod metrics;
mod node;
mod server;
mod sync;
pub mod testing;
mod transport;
mod turn;

pub use bytes;
pub use client::Client;
pub use config::{Limits, Timeouts};
pub use connection::{
    ByteStream, Connection, Handler, HandlerOutput, RecvHalf, Relay, RelayEnd, Relayed, RelayedBytes, SendHalf, Sender,
    TrySendError, relay,
};
pub use error::{BindError, BoxError, ConnectError, ConnectionError, ListenerError, Result};
pub use hub::building::HubBuilder;
pub use hub::counts::{ClassMetrics, HubMetrics};
pub use hub::door::{Page, Published, RoomList};
pub use hub::encoding::{Encoding, PlainEvents};
pub use hub::listing::{MemberAfter, NamedAfter, NamedConnection, RoomInfo};
pub use hub::membership::{Join, JoinError, Membership, PublishError};
pub use hub::publication::Publication;
pub use hub::room::{Overflow, PresenceNotices, Room, RoomClass, RoomOptions};
pub use hub::session::{NameRefused, Session, TellError};
pub use hub::{Hub, HubLimits, RoomError};
pub use link::{ClosedInfo, ConnectionId, PeerAddr, Proxies, Spawned, TlsInfo, Tuned, Tuning, UnixUser};
pub use metrics::{Carried, Closures, Count, Durations, Histogram, ListenerMetrics, Metrics, TransportTraffic};
pub use node::{Ban, ConnectionInfo, Connections, Drained, Handle, TooManyBans, WorkerMetrics};
pub use server::{Bound, Server};
pub use switchboard_proto::{
    Aside, Bucket, Buckets, CloseCode, CloseReason, Codec, DATAGRAM_BYTES, Datagrams, Ending, Escaped, EventStream,
    Format, ForwardedBy, FrameError, Glob, GlobError, Grants, GroupName, GuardedLines, IpNetwork, IpNetworkError,
    Length, Line, LineBatch, Lines, Message, MessageId, NameError, Output, ProxyVersion, Rate, Raw, Rights,
    RightsError, RoomName, Terminator, UserName, WebSocket, WebSocketBatch, WebSocketClient, WebSocketKind,
    WebSocketMessage,
};
pub use transport::Transport;
pub use transport::configured::Configured;
pub use transport::memory::Memory;
pub use transport::tcp::Tcp;
#[cfg(feature = "tls")]
pub use transport::tls::{
    CertificateError, CertificateId, Certificates, ClientTrust, NameFrom, Subject, SubjectError, Tls, Trust,
};
pub use transport::udp::{
    Cookies, Datagram, DatagramLimits, DatagramReply, Direction, HostGroup, RepliesPerSource, Udp, Validation,
};
pub use transport::unix::Unix;
pub use turn::Turn;

/// The grammar of rooms: what a frame asks for, and what members are told.
pub mod grammar {
    pub use switchboard_proto::{
        Authenticated, Command, Cookie, Epoch, ErrorCode, Event, Failure, Input, Message, MessageId, NameSecret,
        Notice, Reply, RoomSummary, SentTimes, Signed, Token, parse,
    };
}

/// The rule by which the lines of a policy add up to [`Rights`], for whoever writes one: pure data and one question.
///
/// It asks nobody and keeps nothing. A [`Rule`](rule::Rule) is made of [`Section`](rule::Section)s of rooms and the [`Grants`] that
/// everybody has; it says what a [`Person`](rule::Person), or whoever is not known, may do in a room, and by which lines.
pub mod rule {
    pub use switchboard_proto::{Clause, Group, Person, Rule, Section, Who};
}

/// Who may do what in a hub's rooms: [`Policy`](policy::Policy).
pub mod policy {
    pub use crate::hub::policy::{
        Authenticating, Claimant, Credentials, NotAllowed, Policy, PolicyGeneration, Principal, Refusal,
    };
    pub use switchboard_proto::Rights;
}

/// What most programs need.
pub mod prelude {
    pub use crate::{
        Client, CloseReason, Codec, Connection, ConnectionError, Datagram, DatagramReply, Drained, Encoding, Format,
        FrameError, Hub, Join, Length, Limits, Line, Lines, Membership, Output, Overflow, PresenceNotices, Raw, Result,
        Room, RoomOptions, Server, Timeouts, UserName, WebSocket, WebSocketMessage, ctrl_c, relay,
    };
}

/// Waits for SIGINT or SIGTERM: a reason to drain.
///
/// # Panics
/// Outside a tokio runtime with I/O, or if the process may not handle signals.
pub async fn ctrl_c() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        panic!("signals cannot be handled")
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(test)]
mod interleavings;
