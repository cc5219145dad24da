//! `cargo +nightly fuzz run rights`: see `bodies/rights.rs`.

#![no_main]

#[path = "../bodies/rights.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
