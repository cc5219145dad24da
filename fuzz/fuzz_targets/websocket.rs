//! `cargo +nightly fuzz run websocket`: see `bodies/websocket.rs`.

#![no_main]

#[path = "../bodies/websocket.rs"]
mod body;
#[path = "../bodies/stream.rs"]
#[expect(dead_code, reason = "only how a stream is split; what a codec finds beside frames it does not know")]
mod stream;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
