//! Why a connection ended. Each one ends for exactly one reason.

use std::fmt;

/// Why a connection ended: logged, counted and, if the transport can, told to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum CloseReason {
    /// The peer finished sending, and was answered.
    PeerClosed,
    /// The handler finished while the peer was still sending.
    Finished,
    /// The peer reset the connection.
    PeerReset,
    /// The peer vanished: the network reported it unreachable, or keepalive went unanswered.
    PeerLost,
    /// No input for the idle timeout.
    Idle,
    /// The peer did not read within the write timeout, or its outbox overflowed.
    SlowConsumer,
    /// A frame was longer than the limit.
    FrameTooLong,
    /// The bytes were not a frame.
    BadFrame,
    /// The handler returned an error.
    HandlerError,
    /// The handler panicked, or the codec did while encoding.
    HandlerPanic,
    /// An operator or the program closed it.
    Closed,
    /// The server drained.
    Drained,
    /// The server ended before this connection finished.
    Aborted,
    /// The memory for messages was used up, and this connection held the most.
    OutOfMemory,
    /// Refused: the server has the most connections allowed.
    TooManyConnections,
    /// Refused: this address has the most connections allowed.
    TooManyFromAddress,
    /// TLS, HTTP or authentication took too long.
    HandshakeTimeout,
    /// The TLS handshake failed.
    HandshakeFailed,
    /// Refused: too many handshakes are under way, or came from this address within a second.
    TooManyHandshakes,
    /// A TLS stream ended without `close_notify`: something may have cut off what the peer still sent.
    Truncated,
    /// The first input belonged to another protocol: from a browser, or from somebody who mistook the port.
    WrongProtocol,
    /// The handler reset it.
    Reset,
    /// What it had shown itself by has expired, and nothing newer was shown.
    Expired,
    /// What it had shown itself by counts no longer.
    Revoked,
    /// It showed something wrong too often.
    AuthFailed,
    /// Refused: it did not begin with a PROXY header where it had to, or came from where no proxy is.
    BadProxyHeader,
    /// Refused, or reset if it was there: nobody may come from its network.
    Banned,
}

/// A number that tells a peer why it is closed, in protocols that have one: WebSocket (RFC 6455 §7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// All was said.
    pub const NORMAL: Self = Self(1000);
    /// The server is stopping, or the user has left the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// It is not allowed or not wanted, and no other code fits.
    pub const POLICY: Self = Self(1008);
    /// Something went wrong on this side.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// This side is too busy; try again later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// A code from its number, if it may be sent: 1000 to 1003, 1007 to 1014, and 3000 to 4999. Programs may give their
    /// own meaning to those from 4000 on.
    pub const fn new(number: u16) -> Option<Self> {
        if matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999) { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// What happens to bytes that are still queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Flush, shut down the write side, read and discard until the peer has finished, close.
    Polite,
    /// Reset: the peer is gone, holds memory that is needed, or was deliberately cut off.
    Abrupt,
}

impl CloseReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 27] = [
        Self::PeerClosed,
        Self::Finished,
        Self::PeerReset,
        Self::PeerLost,
        Self::Idle,
        Self::SlowConsumer,
        Self::FrameTooLong,
        Self::BadFrame,
        Self::HandlerError,
        Self::HandlerPanic,
        Self::Closed,
        Self::Drained,
        Self::Aborted,
        Self::OutOfMemory,
        Self::TooManyConnections,
        Self::TooManyFromAddress,
        Self::HandshakeTimeout,
        Self::HandshakeFailed,
        Self::TooManyHandshakes,
        Self::Truncated,
        Self::WrongProtocol,
        Self::Reset,
        Self::Expired,
        Self::Revoked,
        Self::AuthFailed,
        Self::BadProxyHeader,
        Self::Banned,
    ];

    /// The stable code, as in logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::PeerClosed => "peer-closed",
            Self::Finished => "finished",
            Self::PeerReset => "peer-reset",
            Self::PeerLost => "peer-lost",
            Self::Idle => "idle",
            Self::SlowConsumer => "slow-consumer",
            Self::FrameTooLong => "frame-too-long",
            Self::BadFrame => "bad-frame",
            Self::HandlerError => "handler-error",
            Self::HandlerPanic => "handler-panic",
            Self::Closed => "closed",
            Self::Drained => "drained",
            Self::Aborted => "aborted",
            Self::OutOfMemory => "out-of-memory",
            Self::TooManyConnections => "too-many-connections",
            Self::TooManyFromAddress => "too-many-from-address",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::HandshakeFailed => "handshake-failed",
            Self::TooManyHandshakes => "too-many-handshakes",
            Self::Truncated => "truncated",
            Self::WrongProtocol => "wrong-protocol",
            Self::Reset => "reset",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::AuthFailed => "auth-failed",
            Self::BadProxyHeader => "bad-proxy-header",
            Self::Banned => "banned",
        }
    }

    /// Whether the peer or the handler had finished: nobody cut it off.
    pub fn is_orderly(self) -> bool {
        matches!(self, Self::PeerClosed | Self::Finished)
    }

    /// Whether it is a reason for never accepting a connection.
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::TooManyConnections
                | Self::TooManyFromAddress
                | Self::TooManyHandshakes
                | Self::BadProxyHeader
                | Self::Banned
        )
    }

    /// What happens to bytes still queued.
    pub fn ending(self) -> Ending {
        match self {
            Self::PeerReset
            | Self::PeerLost
            | Self::SlowConsumer
            | Self::Aborted
            | Self::OutOfMemory
            | Self::Reset
            | Self::BadProxyHeader
            | Self::Banned => Ending::Abrupt,
            _ => Ending::Polite,
        }
    }

    /// Whether an operator would expect it in normal operation; the others are logged at `info`.
    pub fn is_ordinary(self) -> bool {
        matches!(
            self,
            Self::PeerClosed
                | Self::Finished
                | Self::Idle
                | Self::Closed
                | Self::Drained
                | Self::Reset
                | Self::Expired
                | Self::Revoked
        )
    }
}

/// What a handler returns that ends its connection for this reason.
impl std::error::Error for CloseReason {}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
