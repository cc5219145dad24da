//! The fuzz targets' corpora, replayed: an input once found interesting, or failing, stays a test.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot read its corpus, or names a seed, says so"
)]

#[path = "../../fuzz/bodies/command.rs"]
mod command;
#[path = "../../fuzz/bodies/length.rs"]
mod length;
#[path = "../../fuzz/bodies/lines.rs"]
mod lines;
#[path = "../../fuzz/bodies/output.rs"]
mod output;
#[path = "../../fuzz/bodies/stream.rs"]
mod stream;
#[path = "../../fuzz/bodies/websocket.rs"]
mod websocket;

use std::fs;
use std::path::Path;

/// Runs `body` on every file of a corpus. A panic is preceded by the name of the file that caused it.
fn replay(target: &str, body: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut seeds: Vec<_> = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!seeds.is_empty(), "{} holds nothing to replay", corpus.display());
    seeds.sort();
    for seed in seeds {
        // Captured unless the test fails.
        println!("{}", seed.display());
        body(&fs::read(seed).unwrap());
    }
}

#[test]
fn lines_hold_on_every_seed() {
    replay("lines", lines::run);
}

#[test]
fn length_holds_on_every_seed() {
    replay("length", length::run);
}

#[test]
fn websocket_holds_on_every_seed() {
    replay("websocket", websocket::run);
}

#[test]
fn output_holds_on_every_seed() {
    replay("output", output::run);
}

#[test]
fn commands_hold_on_every_seed() {
    replay("command", command::run);
}
