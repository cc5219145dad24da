//! `cargo +nightly fuzz run guarded`: see `bodies/guarded.rs`.

#![no_main]

#[path = "../bodies/guarded.rs"]
mod body;
#[path = "../bodies/stream.rs"]
mod stream;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
