//! `cargo +nightly fuzz run lines`: see `bodies/lines.rs`.

#![no_main]

#[path = "../bodies/lines.rs"]
mod body;
#[path = "../bodies/stream.rs"]
mod stream;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
