//! The program as its user sees it: a real process, real sockets, port 0.
//!
//! Nothing sleeps: each test waits for what it expects, and fails with what it saw instead.

// Helpers outside of #[test] functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod accesses;
mod admin;
mod auditing;
mod bans;
mod bench;
mod callouts;
mod certificates;
mod clients;
mod cluster;
mod command_line;
mod connect;
mod datagrams;
mod durability;
mod echo;
mod following;
mod groups;
mod http;
mod jwt;
mod logs;
mod neighbours;
mod operating;
mod packages;
mod process;
mod proxied;
mod proxied_others;
mod proxied_sessions;
mod proxying;
mod reloading;
mod revoking;
mod rights;
mod rooms;
mod seeing;
mod settings;
mod signed;
mod steering;
mod stopping;
mod systemd;
mod tls;
mod tokens;
mod top;
