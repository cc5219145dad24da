//! `cargo +nightly fuzz run forwarded`: see `bodies/forwarded.rs`.

#![no_main]

#[path = "../bodies/forwarded.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
