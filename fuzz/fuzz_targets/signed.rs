//! `cargo +nightly fuzz run signed`: see `bodies/signed.rs`.

#![no_main]

#[path = "../bodies/signed.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
