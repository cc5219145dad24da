//! The page for operators, with its parts. Colours and a few parts are those of the page that takes part in rooms.

use crate::web::assets::{Asset, asset};

/// At `/`, for browsers.
pub(super) static PAGE: Asset = asset("index.html", include_bytes!("page/index.html"));

static PARTS: [Asset; 13] = [
    asset("acts.js", include_bytes!("page/acts.js")),
    asset("admin.css", include_bytes!("page/admin.css")),
    asset("admin.js", include_bytes!("page/admin.js")),
    asset("charts.js", include_bytes!("page/charts.js")),
    asset("config.js", include_bytes!("page/config.js")),
    asset("lists.js", include_bytes!("page/lists.js")),
    asset("rates.js", include_bytes!("page/rates.js")),
    asset("server.js", include_bytes!("page/server.js")),
    asset("told.js", include_bytes!("page/told.js")),
    asset("elements.js", include_bytes!("../../../assets/elements.js")),
    asset("icon.svg", include_bytes!("../../../assets/icon.svg")),
    asset("page.css", include_bytes!("../../../assets/page.css")),
    asset("settings.js", include_bytes!("../../../assets/settings.js")),
];

/// What is served at a path.
pub(super) fn part(path: &str) -> Option<&'static Asset> {
    let name = path.strip_prefix('/')?;
    PARTS.iter().find(|part| part.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_served_and_all_that_files_name() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/services/admin/page");
        for file in std::fs::read_dir(folder).expect("it is there") {
            let name = file.expect("it can be read").file_name().into_string().expect("UTF-8");
            assert!(name == PAGE.name || part(&format!("/{name}")).is_some(), "{name}");
        }
        for file in PARTS.iter().chain([&PAGE]) {
            let text = str::from_utf8(file.body).expect("it is text");
            let named = text.split(['\'', '"']).map(|text| text.trim_start_matches("./"));
            let is_file = |name: &&str| {
                name.rsplit_once('.').is_some_and(|(stem, kind)| {
                    ["js", "css", "svg"].contains(&kind) && stem.bytes().all(|byte| byte.is_ascii_lowercase())
                })
            };
            for name in named.filter(is_file) {
                assert!(part(&format!("/{name}")).is_some(), "{} names {name}", file.name);
            }
        }
        for path in ["", "/", "/index.html", "//admin.js", "/page.js"] {
            assert_eq!(part(path), None, "{path}");
        }
    }
}
