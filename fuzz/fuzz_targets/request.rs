//! `cargo +nightly fuzz run request`: see `bodies/request.rs`.

#![no_main]

// The program is no library, and its load generator is too much of one: their parts are here under the names that they know
// each other by.
extern crate self as switchboard_load;

#[path = "../../load/src/typed"]
#[allow(dead_code)]
mod typed {
    mod percent;

    pub(crate) use percent::percent_decoded;
}

#[path = "../../cli/src/web"]
#[allow(dead_code)]
mod web {
    pub(crate) mod guard;
    pub(crate) mod query;

    /// In place of files, which a build script collects.
    pub(crate) mod assets {
        #[derive(Debug, PartialEq)]
        pub(crate) struct Asset;
    }
}

#[path = "../../cli/src/services/rooms/web"]
#[allow(dead_code)]
mod rooms {
    #[path = "../../../../../fuzz/bodies/request.rs"]
    pub(crate) mod body;
    mod route;

    mod page {
        use crate::web::assets::Asset;

        pub(super) fn find(path: &str) -> Option<&'static Asset> {
            (path == "/").then_some(&Asset)
        }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| rooms::body::run(data));
