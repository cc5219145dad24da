//! What can fail, one enum each.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use switchboard_proto::{CloseReason, FrameError};

/// Any error; what handlers return to the server.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What handlers and `main` return, with any error.
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;

/// The text of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> BoxError {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned()).into()
}

/// A user's code panicked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panicked;

/// Calls a user's code, or what may drop a user's value, where others wait for what comes after: a panic ends what it was called
/// for, and nothing else. Its hook has told of it.
pub(crate) fn contained<T>(call: impl FnOnce() -> T) -> std::result::Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        discard(panic);
        Panicked
    })
}

/// Logs where others wait for what comes after: what takes the line is the user's code.
pub(crate) fn logged(log: impl FnOnce()) {
    let _ = contained(log);
}

/// Drops what a panic was about: a value of the user's, which may panic once more, and is left behind then.
pub(crate) fn discard(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}

/// Why a connection no longer receives or sends frames.
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
    /// The client's limits make no sense.
    #[error("{}", faults.join("\n"))]
    Limits {
        /// What is wrong with them, one sentence for each fault.
        faults: Vec<String>,
    },
    /// The client already has the most connections that it may have.
    #[error("limit on connections reached: {limit}")]
    TooManyConnections {
        /// [`Limits::connections`](crate::Limits::connections).
        limit: usize,
    },
    /// The address is invalid, the name has no address, nothing listens there, or the network does not reach it.
    #[error("cannot connect to {address}")]
    Unreachable {
        /// What was to be connected to: `tcp://127.0.0.1:7000`.
        address: String,
        /// What the system, or we, had against it.
        #[source]
        error: io::Error,
    },
    /// There was no answer within [`Timeouts::handshake`](crate::Timeouts::handshake).
    #[error("no answer from {address} within {after:?}")]
    TimedOut {
        /// What was to be connected to.
        address: String,
        /// That timeout.
        after: Duration,
    },
    /// The client does not trust the server's certificate.
    #[error("server is not trusted")]
    Untrusted(#[source] io::Error),
    /// The TLS handshake failed.
    #[error("TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The server speaks HTTP, but there is no WebSocket at this URL.
    #[error("WebSocket refused: status {status}")]
    NotUpgraded {
        /// The status of its answer: 404 where there is nothing, 401 or 403 where it refuses.
        status: u16,
        /// What the server says of it, up to 1 KiB of any bytes: [`Escaped`](crate::Escaped) shows them. Often empty.
        said: bytes::Bytes,
    },
}

impl ConnectError {
    /// Of what [`to`](Self::to) says.
    pub(crate) fn unreachable(error: io::Error) -> Self {
        Self::Unreachable { address: String::new(), error }
    }

    /// Says where that was.
    pub(crate) fn to(self, url: &str) -> Self {
        match self {
            Self::Unreachable { error, .. } => Self::Unreachable { address: url.to_owned(), error },
            other => other,
        }
    }
}

/// Why a server could not start: everything that is wrong, reported together. Nothing was accepted.
#[derive(Debug)]
#[non_exhaustive]
pub struct BindError {
    /// Settings that make no sense, one sentence for each.
    pub faults: Vec<String>,
    /// Listeners that could not be bound.
    pub listeners: Vec<ListenerError>,
}

/// Why one listener could not be bound.
#[derive(Debug)]
#[non_exhaustive]
pub struct ListenerError {
    /// What was asked for, such as `tcp://127.0.0.1:80`.
    pub listener: String,
    /// What the system, or we, had against it.
    pub error: io::Error,
}

impl BindError {
    /// Why listeners could not be bound and what can be done about it, one sentence for each.
    pub fn listener_faults(&self) -> impl Iterator<Item = String> {
        self.listeners.iter().map(|ListenerError { listener, error }| {
            format!("cannot listen on {listener}: {error}{}", advice(listener, error))
        })
    }

    pub(crate) fn check(self) -> Result<(), Self> {
        if self.faults.is_empty() && self.listeners.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.faults.iter().cloned();
        let lines: Vec<String> = faults.chain(self.listener_faults()).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for BindError {}

/// What may be done about it, for whoever does not know the error by its name.
fn advice(listener: &str, error: &io::Error) -> String {
    let (scheme, place) = listener.split_once("://").unwrap_or((listener, ""));
    let port = place.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    match (error.kind(), port) {
        // Without a number it says by itself who is in the way.
        (io::ErrorKind::AddrInUse, Some(port)) if error.raw_os_error().is_some() => {
            let kind = if scheme == "udp" { "u" } else { "t" };
            format!("; `ss -Hlnp{kind} 'sport = :{port}'` shows what uses it")
        }
        (io::ErrorKind::AddrInUse, None) if scheme == "unix" && error.raw_os_error().is_some() => {
            "; another program listens there".to_owned()
        }
        (io::ErrorKind::NotFound, None) if scheme == "unix" => "; its directory does not exist".to_owned(),
        (io::ErrorKind::PermissionDenied, Some(1..1024)) => {
            let capability = "AmbientCapabilities=CAP_NET_BIND_SERVICE";
            format!("; ports below 1024 need root or a capability (systemd: {capability})")
        }
        (io::ErrorKind::AddrNotAvailable, Some(_)) => "; no interface of this machine has that address".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{BindError, ListenerError};
    use nix::errno::Errno;

    #[test]
    fn what_may_be_done_stands_behind_what_is_wrong() {
        let told = |listener: &str, errno: Errno| {
            let failed = ListenerError { listener: listener.to_owned(), error: errno.into() };
            let error = BindError { faults: Vec::new(), listeners: vec![failed] };
            error.to_string().split_once("(os error ").unwrap().1.split_once("); ").map(|(_, advice)| advice.to_owned())
        };
        let busy = told("udp://[::]:81", Errno::EADDRINUSE).unwrap();
        assert_eq!(busy, "`ss -Hlnpu 'sport = :81'` shows what uses it");
        assert_eq!(
            told("https://a:8443", Errno::EADDRINUSE).unwrap(),
            "`ss -Hlnpt 'sport = :8443'` shows what uses it"
        );
        assert!(told("tcp://0.0.0.0:80", Errno::EACCES).unwrap().contains("CAP_NET_BIND_SERVICE"));
        assert_eq!(told("tcp://0.0.0.0:8080", Errno::EACCES), None);
        assert_eq!(told("unix:///run/a.sock", Errno::EACCES), None);
        assert_eq!(told("unix:///run/a.sock", Errno::EADDRINUSE).unwrap(), "another program listens there");
        assert!(told("unix:///run/a/a.sock", Errno::ENOENT).unwrap().contains("directory"));
        assert!(told("tcp://192.0.2.1:80", Errno::EADDRNOTAVAIL).unwrap().starts_with("no interface"));
    }
}
