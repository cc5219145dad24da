//! The sans-IO core of switchboard: bytes and time in, frames and decisions out.
//!
//! Nothing here opens a socket, reads a clock or spawns a task; time and randomness are arguments. So every rule in
//! this crate can be tested by calling a function, and fuzzed by feeding it bytes.

#![warn(missing_docs)]

mod bucket;
mod close;
mod codec;
mod deadlines;
mod escape;
mod length;
mod lines;
mod output;

pub use bucket::{Bucket, Buckets, Rate};
pub use close::{CloseReason, Ending};
pub use codec::{Codec, FrameError};
pub use deadlines::{Second, Stamps, Timeouts, passed};
pub use escape::Escaped;
pub use length::Length;
pub use lines::{Line, Lines, Terminator};
pub use output::Output;
