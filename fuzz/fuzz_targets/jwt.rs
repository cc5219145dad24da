//! `cargo +nightly fuzz run jwt`: see `bodies/jwt.rs`.

#![no_main]

// Parts of the program, and of its load generator, under the names that they know each other by.
extern crate self as switchboard_load;

#[path = "../../load/src/typed"]
#[allow(dead_code)]
mod typed {
    mod nearest;
    mod secret;

    pub(crate) use nearest::did_you_mean;
    pub(crate) use secret::Secret;
}

#[path = "../../cli/src/policy"]
#[allow(dead_code, unused_imports)]
mod policy {
    pub(crate) mod callout;
    pub(crate) mod datagrams;
    pub(crate) mod jwt;
    pub(crate) mod peers;
    pub(crate) mod rules;
    pub(crate) mod token;
}

#[path = "../bodies/jwt.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
