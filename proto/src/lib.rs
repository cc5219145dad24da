//! The sans-IO core of switchboard: bytes and time in, frames and decisions out.
//!
//! Nothing here opens a socket, reads a clock or spawns a task; time and randomness are arguments. So every rule in
//! this crate can be tested by calling a function, and fuzzed by feeding it bytes.

#![warn(missing_debug_implementations, missing_docs)]

mod bucket;
mod close;
mod codec;
mod command;
mod cookie;
mod datagram;
mod deadlines;
mod escape;
mod events;
mod failure;
mod format;
mod forwarded;
mod glob;
mod guarded;
mod keeping;
mod length;
mod lines;
mod message;
mod name;
mod network;
mod output;
mod proxied;
mod raw;
mod rights;
mod rule;
mod signed;
mod websocket;

pub use bucket::{Bucket, Buckets, Rate};
pub use close::{CloseCode, CloseReason, Ending};
pub use codec::{Aside, Codec, FrameError};
pub use command::{Command, Input, Token, parse};
pub use cookie::{Cookie, CookieError, CookieKey, CookieKeys};
pub use datagram::{DATAGRAM_BYTES, Datagrams};
pub use deadlines::{Second, Stamp, Stamps, Timeouts, passed};
pub use escape::Escaped;
pub use events::EventStream;
pub use failure::{ErrorCode, Failure};
pub use format::{Format, FormatError};
pub use forwarded::ForwardedBy;
pub use glob::{Glob, GlobError};
pub use guarded::GuardedLines;
pub use keeping::{NameSecret, NameSecretError};
pub use length::Length;
pub use lines::{Line, LineBatch, Lines, Terminator};
pub use message::{Authenticated, Epoch, Event, IdError, Message, MessageId, Notice, Reply, RoomSummary};
pub use name::{GroupName, NameError, RoomName, UserName};
pub use network::{IpNetwork, IpNetworkError};
pub use output::Output;
pub use proxied::{ProxyHeader, ProxyHeaderError, ProxyVersion};
pub use raw::Raw;
pub use rights::{Rights, RightsError};
pub use rule::{Clause, Grants, Group, Person, Rule, Section, Who};
pub use signed::{SentTimes, Signed};
pub use websocket::{WEBSOCKET_PING, WebSocket, WebSocketBatch, WebSocketClient, WebSocketKind, WebSocketMessage};
