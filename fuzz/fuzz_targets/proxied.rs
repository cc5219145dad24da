//! `cargo +nightly fuzz run proxied`: see `bodies/proxied.rs`.

#![no_main]

#[path = "../bodies/proxied.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
