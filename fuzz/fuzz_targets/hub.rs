//! `cargo +nightly fuzz run hub`: see `bodies/hub.rs`.

#![no_main]

#[path = "../bodies/hub.rs"]
mod body;
#[path = "../bodies/hub_model.rs"]
mod hub_model;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
