//! What can fail, one enum each.

use std::fmt;
use std::io;
use std::time::Duration;
use switchboard_proto::{CloseReason, FrameError};

/// Any error, as handlers return it to the server.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What handlers and `main` return: any error will do.
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;

/// Why a connection gives no more frames, or takes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The bytes received are not a frame. The connection cannot be read again; sending still works.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The connection is closed. The handler has [`Timeouts::linger`](crate::Timeouts::linger) to finish.
    #[error("connection closed: {0}")]
    Closed(CloseReason),
}

/// Why a client could not connect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The client's limits make no sense, a sentence each.
    #[error("{}", faults.join("\n"))]
    Limits {
        /// What is wrong with them.
        faults: Vec<String>,
    },
    /// The client has as many connections as it may.
    #[error("client already has {limit} connections")]
    TooManyConnections {
        /// [`Limits::connections`](crate::Limits::connections).
        limit: usize,
    },
    /// The address is none or has none, nobody listens there, or the network does not reach it.
    #[error("cannot connect")]
    Unreachable(#[source] io::Error),
    /// There was no answer within [`Timeouts::handshake`](crate::Timeouts::handshake).
    #[error("no answer within {after:?}")]
    TimedOut {
        /// That timeout.
        after: Duration,
    },
    /// The server's certificate is not one that the client trusts.
    #[error("server is not trusted")]
    Untrusted(#[source] io::Error),
    /// TLS could not be agreed on.
    #[error("no agreement on TLS")]
    Tls(#[source] io::Error),
    /// The server speaks HTTP, and there is no WebSocket at this URL.
    #[error("no WebSocket there: status {status}")]
    NotUpgraded {
        /// The status of its answer: 404 where there is nothing, 401 or 403 where it refuses.
        status: u16,
    },
}

/// Why a server could not start: everything that is wrong, at once. Nothing was accepted.
#[derive(Debug)]
#[non_exhaustive]
pub struct BindError {
    /// Settings that make no sense, a sentence each.
    pub faults: Vec<String>,
    /// Listeners that could not be bound, and why.
    pub listeners: Vec<(String, io::Error)>,
}

impl BindError {
    pub(crate) fn check(self) -> Result<(), Self> {
        if self.faults.is_empty() && self.listeners.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.faults.iter().cloned();
        let listeners = self.listeners.iter().map(|(listener, error)| format!("cannot listen on {listener}: {error}"));
        let lines: Vec<String> = faults.chain(listeners).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for BindError {}
