//! `cargo +nightly fuzz run output`: see `bodies/output.rs`.

#![no_main]

#[path = "../bodies/output.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
