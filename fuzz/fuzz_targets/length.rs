//! `cargo +nightly fuzz run length`: see `bodies/length.rs`.

#![no_main]

#[path = "../bodies/length.rs"]
mod body;
#[path = "../bodies/stream.rs"]
mod stream;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
