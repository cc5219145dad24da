//! `cargo +nightly fuzz run http`: see `bodies/http.rs`.

#![no_main]

#[path = "../bodies/http.rs"]
mod body;
#[path = "../bodies/stream.rs"]
#[expect(dead_code, reason = "only how a stream is split")]
mod stream;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
