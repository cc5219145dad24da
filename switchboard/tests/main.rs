//! The library as its users see it: all of its tests in one program, since each that is linked has the whole library inside.
//!
//! A file is a subject; `cargo test -p switchboard --test all order::` runs one. The tests run beside each other in one process:
//! what changes that, or measures it, runs itself again (`harness/alone.rs`). Only the house rules are a program of their own
//! (`tidy.rs`), which needs nothing that is built.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::items_after_statements,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on has failed, its runtime owns what it spawns, and what it says is for a failure"
)]

mod harness;

// The fuzz targets', which look for them in the root of their crate.
#[path = "../../fuzz/bodies/hub_model.rs"]
mod hub_model;
#[path = "../../fuzz/bodies/seeds.rs"]
mod seeds;
#[path = "../../fuzz/bodies/stream.rs"]
#[expect(dead_code, reason = "only how a stream is split")]
mod stream;

mod adopted;
mod bans;
mod client;
mod client_certificates;
mod closing;
mod connection;
mod containment;
mod datagram_addresses;
mod datagram_networks;
mod datagram_peers;
mod descriptors;
mod events;
mod examples;
mod expiring;
mod front_door;
mod groups;
mod halves;
mod handle;
mod handlers;
mod http;
mod http2;
mod http2_floods;
mod http_framing;
mod http_memory;
mod http_pages;
mod http_pieces;
mod http_sockets;
mod hub_operations;
mod judged;
mod listeners;
mod listening;
mod metrics;
#[cfg(feature = "nats")]
mod nats_log;
mod nodes;
mod order;
mod overflow;
mod plain;
mod programs;
mod proxied;
mod relaying;
mod resident;
mod rooms;
mod shared_log;
mod simulation;
mod sockets;
#[cfg(feature = "sqlite")]
mod sqlite_figures;
#[cfg(feature = "sqlite")]
mod sqlite_log;
#[cfg(feature = "sqlite")]
mod sqlite_recent;
mod tasks;
mod testing;
mod tls;
mod tls_clients;
mod tuning;
mod websocket;
