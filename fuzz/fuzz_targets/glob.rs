//! `cargo +nightly fuzz run glob`: see `bodies/glob.rs`.

#![no_main]

#[path = "../bodies/glob.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
