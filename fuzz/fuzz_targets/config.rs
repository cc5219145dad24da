//! `cargo +nightly fuzz run config`: see `bodies/config.rs`.

#![no_main]

// As for `request`: parts of the program, and of its load generator, under the names that they know each other by.
extern crate self as switchboard_load;

#[path = "../../load/src/typed"]
#[allow(dead_code)]
mod typed {
    mod nearest;
    mod secret;
    mod units;

    pub(crate) use nearest::{did_you_mean, nearest};
    pub(crate) use secret::{Secret, without_passwords};
    pub(crate) use units::{parse_duration, parse_size, show_duration, show_size, show_timeout};
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

#[path = "../../cli/src/overflow.rs"]
mod overflow;

#[path = "../../cli/src/config"]
#[allow(dead_code)]
mod config {
    #[path = "../../../fuzz/bodies/config.rs"]
    pub(crate) mod body;
    mod bans;
    mod callout;
    mod file;
    mod jwt;
    mod keys;
    mod places;
    mod rooms;
    mod sections;
    mod show;
    mod values;

    use rooms::Rooms;

    fn quoted(text: &str) -> String {
        toml::Value::from(text).to_string()
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| config::body::run(data));
