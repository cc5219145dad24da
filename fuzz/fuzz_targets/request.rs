//! `cargo +nightly fuzz run request`: see `bodies/request.rs`.

#![no_main]

#[path = "../../cli/src/percent.rs"]
mod percent;

// The program is no library: its parts are here under the names that they know each other by.
#[path = "../../cli/src/services"]
mod services {
    #[allow(dead_code)]
    pub(crate) mod guard;

    pub(crate) mod rooms {
        pub(crate) mod web {
            #[path = "../../../../../fuzz/bodies/request.rs"]
            pub(crate) mod body;
            mod route;

            use crate::services::guard;

            /// In place of the page's files, which a build script collects.
            mod assets {
                #[derive(Debug, PartialEq)]
                pub(super) struct Asset;

                pub(super) fn find(path: &str) -> Option<&'static Asset> {
                    (path == "/").then_some(&Asset)
                }
            }
        }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| services::rooms::web::body::run(data));
