//! The page that takes part in rooms, with its parts, and the description of the interface: all of `cli/assets`.

use crate::web::assets::{Asset, asset};

/// Written by `cli/build.rs`.
const ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The page, at `/`.
const PAGE: &str = "index.html";

/// What is served at a path.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    let name = if path == "/" { PAGE } else { path.strip_prefix('/').filter(|name| *name != PAGE)? };
    ASSETS.iter().find(|asset| asset.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_file_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets");
        for file in std::fs::read_dir(folder).expect("it is there") {
            let name = file.expect("it can be read").file_name().into_string().expect("UTF-8");
            let path = if name == PAGE { "/".to_owned() } else { format!("/{name}") };
            let asset = find(&path).unwrap_or_else(|| panic!("{name} is not served"));
            assert_eq!(asset.body, std::fs::read(format!("{folder}/{name}")).expect("it can be read"), "{name}");
        }
        for path in ["", "/index.html", "/nothing.js", "//"] {
            assert_eq!(find(path), None, "{path}");
        }
    }

    #[test]
    fn tags_tell_them_apart() {
        let tags: HashSet<_> = ASSETS.iter().map(Asset::tag).collect();
        assert_eq!(tags.len(), ASSETS.len());
    }
}
