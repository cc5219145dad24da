//! Lists the files of `assets`, each of which becomes part of the program.
//!
//! By their names alone: with a target directory that checkouts share, another one may use the list.

#![allow(clippy::print_stdout, reason = "this is how cargo is told")]

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=../assets");
    let variable = |name| env::var(name).map_err(io::Error::other);
    let folder = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../assets");
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        files.push(format!(
            "asset({name:?}, include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/../assets/\", {name:?})))"
        ));
    }
    files.sort();
    let list = format!("&[{}]", files.join(",\n"));
    fs::write(Path::new(&variable("OUT_DIR")?).join("assets.rs"), list)
}
