//! The protocols as the library and the fuzz targets see them: all tests in one program, of which a file is a subject.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

// The fuzz targets', which look for `stream` in the root of their crate.
#[path = "../../fuzz/bodies/seeds.rs"]
mod seeds;
#[path = "../../fuzz/bodies/stream.rs"]
mod stream;

mod bucket;
mod close;
mod codec;
mod commands;
mod cookies;
mod corpus;
mod deadlines;
mod escape;
mod events;
mod formats;
mod forwarded;
mod globs;
mod guarded;
mod length;
mod lines;
mod messages;
mod names;
mod networks;
mod output;
mod proxied;
mod raw;
mod rights;
mod signed;
mod websocket;
