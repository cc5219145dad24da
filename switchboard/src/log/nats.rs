//! The log of rooms in a stream of NATS JetStream: several nodes append to it, and each hears what the others have appended.
//!
//! A client of our own, of one connection (`link.rs`) that one thread has: what is asked of it is a line and an answer (`wire.rs`, `asked.rs`,
//! `api.rs`). What a room makes of that is the replica's business (`replica.rs`).

mod api;
mod asked;
mod bus;
mod credentials;
mod engine;
mod link;
mod offline;
mod plain;
mod records;
mod servers;
mod shared;
mod stream;
mod subjects;
mod wire;

pub use credentials::{CredentialsError, NatsCredentials};
pub use offline::{NatsLogStatus, NatsNode, NatsStatus};
pub use plain::{NatsRequest, NatsRequests};
pub use servers::{NatsServer, NatsServerError};
pub use shared::NatsStanding;
pub use stream::{NATS_PROFILES, NatsProfile, NatsProfileError, NatsRetention};

use crate::Trust;
use crate::metrics::Durations;
use parking_lot::Mutex;
use serde_json::Value;
use shared::{Progress, Shared};
use std::error::Error as _;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use switchboard_proto::Glob;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout_at};

/// How long the first connection, and the stream behind it, may take.
const OPEN_TIME: Duration = Duration::from_secs(15);

/// Between two looks at a stream that cannot be made yet.
const AGAIN: Duration = Duration::from_millis(500);

/// How rooms are kept in NATS.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// The servers: one of them at a time, and another one where that is away. At least one.
    pub servers: Vec<NatsServer>,
    /// Who this is.
    pub credentials: NatsCredentials,
    /// Whom to trust that answers by TLS, which is demanded then of all servers. Without it TLS is used where a server or its address says so, and the
    /// authorities of this machine are trusted.
    pub trust: Option<Trust>,
    /// What the log survives.
    pub profile: NatsProfile,
    /// How much a stream keeps that is made.
    pub retention: NatsRetention,
    /// Rooms whose messages are told on `sb.json.ROOM` too, as JSON, for programs that are no nodes: once, by the node that has published them.
    /// Default none.
    pub plain_rooms: Vec<Glob>,
}

impl NatsOptions {
    /// Without credentials, in memory.
    pub fn new(servers: impl IntoIterator<Item = NatsServer>) -> Self {
        Self {
            servers: servers.into_iter().collect(),
            credentials: NatsCredentials::None,
            trust: None,
            profile: NatsProfile::default(),
            retention: NatsRetention::default(),
            plain_rooms: Vec::new(),
        }
    }
}

/// Why a log in NATS was not opened, or a connection not made.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NatsError {
    /// There is no server to connect to.
    #[error("no nats-server is named")]
    NoServer,
    /// It does not answer the call.
    #[error("cannot connect to {server}")]
    Unreachable {
        /// Its address.
        server: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// It has said nothing within 5 seconds.
    #[error("the nats-server does not say anything")]
    Silent,
    /// It does not let this node in.
    #[error("{server} refuses: {reason}")]
    Refused {
        /// Its address.
        server: String,
        /// What it says.
        reason: String,
    },
    /// It does not speak TLS, which is demanded.
    #[error("{server} does not speak TLS")]
    NoTls {
        /// Its address.
        server: String,
    },
    /// TLS with it has failed.
    #[error("TLS with {server}: {reason}")]
    Tls {
        /// Its address.
        server: String,
        /// Why.
        reason: String,
    },
    /// It is older than what the profile rests on.
    #[error("{server} has version {version}; the profile {profile} needs {oldest} or later")]
    Old {
        /// Its address.
        server: String,
        /// The version that it says.
        version: String,
        /// What is wanted.
        profile: NatsProfile,
        /// The first version that will do.
        oldest: String,
    },
    /// It has no streams.
    #[error("{server} does not run JetStream")]
    NoJetStream {
        /// Its address.
        server: String,
    },
    /// The stream is there, and not what is needed: what differs, a sentence each.
    #[error("the stream SB is not one for the profile {profile}: {}", differences.join("; "))]
    Differs {
        /// What is wanted.
        profile: NatsProfile,
        /// What differs.
        differences: Vec<String>,
    },
    /// The stream cannot be looked at, or made.
    #[error("the stream SB: {reason}")]
    Stream {
        /// Why.
        reason: String,
    },
    /// A thread cannot be started.
    #[error("cannot start the thread of the log: {0}")]
    Start(String),
}

impl NatsError {
    /// Whether it is the same at the next attempt, unless somebody changes a setting here or there.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::NoServer
                | Self::Refused { .. }
                | Self::NoTls { .. }
                | Self::Old { .. }
                | Self::NoJetStream { .. }
                | Self::Differs { .. }
        )
    }

    /// With its cause, in one line.
    pub fn chain(&self) -> String {
        self.source().map_or_else(|| self.to_string(), |source| format!("{self}: {source}"))
    }
}

/// What a log in NATS has counted, and what it has now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NatsMetrics {
    /// Where it is connected to, if it is.
    pub standing: Option<NatsStanding>,
    /// Connections that a server has let in, since the start.
    pub connections: u64,
    /// Envelopes that this node has appended.
    pub appended: u64,
    /// Envelopes that came behind another node's, and were to be numbered anew.
    pub conflicts: u64,
    /// Envelopes of which nobody has said in time whether they are kept; each is appended again.
    pub unknown: u64,
    /// How long appends took.
    pub appends: Durations,
    /// Bytes that are asked for and not answered now.
    pub in_flight_bytes: usize,
    /// Rooms that are followed.
    pub rooms: usize,
}

/// An [`Engine`](crate::log::replica::Engine) in NATS JetStream. Dropping it closes the connection, once what was said is written.
pub struct NatsEngine {
    shared: Arc<Shared>,
    runtime: Handle,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl NatsEngine {
    /// What its stream survives.
    pub fn profile(&self) -> NatsProfile {
        self.shared.options.profile
    }

    /// Connects, and makes the stream, or looks at what is there. Waits at most 15 seconds.
    ///
    /// # Errors
    /// No server lets this node in, or the stream is not one for the profile.
    ///
    /// # Cancel safety
    /// Safe: the connection is closed.
    pub async fn open(options: NatsOptions) -> Result<Self, NatsError> {
        let engine = Self::start(options)?;
        let until = Instant::now() + OPEN_TIME;
        engine.connected(until).await?;
        engine.prepare(until, || engine::stream(&engine.shared), stream::differences).await?;
        engine.prepare(until, || records::stream(&engine.shared), records::differences).await?;
        Ok(engine)
    }

    /// On a thread of its own, and not connected yet.
    fn start(options: NatsOptions) -> Result<Self, NatsError> {
        if options.servers.is_empty() {
            return Err(NatsError::NoServer);
        }
        let shared = Arc::new(Shared::new(options)?);
        let start = |error: io::Error| NatsError::Start(error.to_string());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(start)?;
        let (run, handle) = (link::run(Arc::clone(&shared)), runtime.handle().clone());
        let thread = thread::Builder::new().name("log-nats".to_owned()).spawn(move || {
            runtime.block_on(run);
            // A name that is being looked up holds nobody up.
            runtime.shutdown_background();
        });
        Ok(Self { shared, runtime: handle, thread: Mutex::new(Some(thread.map_err(start)?)) })
    }

    /// Where its connection is served: one thread, until it is [closed](Self::close). What runs there too, and never blocks, hears answers without
    /// another thread being woken, as the task of a [`ReplicatedLog`](crate::log::replica::ReplicatedLog) does best.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Closes the connection, once what was said is written: what is asked from then on fails. So does dropping it.
    pub fn close(&self) {
        self.shared.closed.cancel();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }

    /// Waits until a server has let this node in.
    async fn connected(&self, until: Instant) -> Result<(), NatsError> {
        let mut progress = self.shared.progress.subscribe();
        let told = progress.wait_for(|progress| match progress {
            Progress::There(_) => true,
            Progress::Away(reason) => {
                // Another server may be another one's.
                self.shared.options.servers.len() == 1 && reason.as_ref().is_some_and(|reason| reason.is_lasting())
            }
        });
        let _ = timeout_at(until, told).await;
        match &*self.shared.progress.borrow() {
            Progress::There(_) => Ok(()),
            Progress::Away(reason) => Err(reason.as_deref().cloned().unwrap_or(NatsError::Silent)),
        }
    }

    /// Waits until there is a stream, and says what is wrong with it.
    async fn prepare<F: Future<Output = Result<Value, E>>, E: fmt::Display>(
        &self,
        until: Instant,
        stream: impl Fn() -> F,
        differences: fn(&Value, NatsProfile) -> Vec<String>,
    ) -> Result<(), NatsError> {
        loop {
            let reason = match stream().await {
                Ok(info) => {
                    let profile = self.shared.options.profile;
                    let differences = differences(&info, profile);
                    return if differences.is_empty() {
                        Ok(())
                    } else {
                        Err(NatsError::Differs { profile, differences })
                    };
                }
                Err(reason) => reason,
            };
            // A cluster that is starting has no leader yet.
            if Instant::now() + AGAIN >= until {
                return Err(NatsError::Stream { reason: reason.to_string() });
            }
            sleep(AGAIN).await;
        }
    }

    /// What it has counted, and what it has now.
    pub fn metrics(&self) -> NatsMetrics {
        let counts = &self.shared.counts;
        let standing = match &*self.shared.progress.borrow() {
            Progress::There(standing) => Some(standing.clone()),
            Progress::Away(_) => None,
        };
        NatsMetrics {
            standing,
            connections: counts.connections.load(Ordering::Relaxed),
            appended: counts.appended.load(Ordering::Relaxed),
            conflicts: counts.conflicts.load(Ordering::Relaxed),
            unknown: counts.unknown.load(Ordering::Relaxed),
            appends: counts.appends.durations(),
            in_flight_bytes: self.shared.in_flight_bytes(),
            rooms: self.shared.followed(),
        }
    }
}

impl Drop for NatsEngine {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for NatsEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsEngine").field("servers", &self.shared.options.servers).finish_non_exhaustive()
    }
}
