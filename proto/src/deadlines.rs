//! When a connection has waited long enough.
//!
//! No timer runs per connection: connections stamp what they do with the second in which it happened, and one sweep per
//! worker and second asks [`Stamps::expired`]. So a deadline is accurate to a second, and never early.

use crate::CloseReason;
use std::time::Duration;

/// Whole seconds since the server started.
pub type Second = u32;

/// A second in which something happened, or none: 4 bytes, where an `Option` takes 8 in every connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(Second);

impl Stamp {
    /// It has not happened.
    pub const NONE: Self = Self(Second::MAX);

    /// It happened in second `now`.
    pub fn at(now: Second) -> Self {
        Self(now)
    }

    /// The second, if it happened.
    pub fn get(self) -> Option<Second> {
        (self != Self::NONE).then_some(self.0)
    }
}

/// How long a connection may take. Each timeout is rounded up to whole seconds and takes effect within the second after
/// it: 1 s ends after 1 to 2. Time in which the process does not run is not counted. `None` means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// No input while the handler waits for some. At the limit: [`CloseReason::Idle`]. Default: none.
    pub idle: Option<Duration>,
    /// No input from a WebSocket for which `idle` is not set: it is pinged, and has as long again to answer. At the
    /// limit: [`CloseReason::PeerLost`]. Also, no output on a stream of [events](crate::EventStream): a comment is sent, so
    /// that no intermediary takes it for dead. Default 30 s.
    pub ping: Option<Duration>,
    /// No progress while bytes are queued. At the limit: [`CloseReason::SlowConsumer`]. Default 10 s.
    pub write: Option<Duration>,
    /// For the TLS handshake, before the handler runs; for a request's head, from its first byte, and its body. At the
    /// limit: [`CloseReason::HandshakeTimeout`]. Also for a client to connect, which gets an error. Default 10 s.
    pub handshake: Option<Duration>,
    /// For the peer to finish after the server has; for the handler once its connection is closed, and for each frame
    /// that it receives from a peer that has gone. Default 2 s.
    pub linger: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            idle: None,
            ping: Some(seconds(30)),
            write: Some(seconds(10)),
            handshake: Some(seconds(10)),
            linger: seconds(2),
        }
    }
}

/// What a connection waits for, and since which second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamps {
    /// It was accepted, and is not open yet.
    pub opening: Option<Second>,
    /// The handler waits for input, and none has come since.
    pub reading: Option<Second>,
    /// It was pinged, and nothing has come since.
    pub pinged: Option<Second>,
    /// Bytes are queued that the socket does not take, and it took none since.
    pub writing: Option<Second>,
}

impl Stamps {
    /// The reason to close the connection at second `now`, if a deadline has passed.
    pub fn expired(&self, now: Second, timeouts: &Timeouts) -> Option<CloseReason> {
        if passed(self.opening, now, timeouts.handshake) {
            return Some(CloseReason::HandshakeTimeout);
        }
        if passed(self.writing, now, timeouts.write) {
            return Some(CloseReason::SlowConsumer);
        }
        if passed(self.reading, now, timeouts.idle) {
            return Some(CloseReason::Idle);
        }
        if passed(self.pinged, now, timeouts.ping) {
            return Some(CloseReason::PeerLost);
        }
        None
    }

    /// Whether a peer that can be pinged is to be, at second `now`.
    pub fn wants_ping(&self, now: Second, timeouts: &Timeouts) -> bool {
        timeouts.idle.is_none() && self.pinged.is_none() && passed(self.reading, now, timeouts.ping)
    }
}

/// Whether all of `timeout` has passed since some moment within the second `since`.
pub fn passed(since: Option<Second>, now: Second, timeout: Option<Duration>) -> bool {
    let (Some(since), Some(timeout)) = (since, timeout) else { return false };
    // The moment lay up to a second after the stamp, so one second more keeps the deadline from being early.
    u64::from(now.saturating_sub(since)) > timeout.as_secs().saturating_add(u64::from(timeout.subsec_nanos() > 0))
}
