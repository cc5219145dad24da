//! The fuzz targets' corpora, replayed: an input once found interesting, or failing, stays a test.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../fuzz/bodies/command.rs"]
mod command;
#[path = "../../fuzz/bodies/guarded.rs"]
mod guarded;
#[path = "../../fuzz/bodies/length.rs"]
mod length;
#[path = "../../fuzz/bodies/lines.rs"]
mod lines;
#[path = "../../fuzz/bodies/output.rs"]
mod output;
#[path = "../../fuzz/bodies/seeds.rs"]
mod seeds;
#[path = "../../fuzz/bodies/stream.rs"]
mod stream;
#[path = "../../fuzz/bodies/websocket.rs"]
mod websocket;

#[test]
fn lines_hold_on_every_seed() {
    seeds::replay("lines", lines::run);
}

#[test]
fn guarded_lines_hold_on_every_seed() {
    seeds::replay("guarded", guarded::run);
}

#[test]
fn length_holds_on_every_seed() {
    seeds::replay("length", length::run);
}

#[test]
fn websocket_holds_on_every_seed() {
    seeds::replay("websocket", websocket::run);
}

#[test]
fn output_holds_on_every_seed() {
    seeds::replay("output", output::run);
}

#[test]
fn commands_hold_on_every_seed() {
    seeds::replay("command", command::run);
}
