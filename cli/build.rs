//! Lists the files of `assets`, each of which becomes part of the program.

#![allow(clippy::print_stdout, reason = "this is how cargo is told")]

use std::ffi::OsStr;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=assets");
    let variable = |name| env::var(name).map_err(io::Error::other);
    let folder = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("assets");
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let [name, path] = [path.file_name().unwrap_or_default(), path.as_os_str()].map(literal);
        files.push(format!("asset({name}, include_bytes!({path}))"));
    }
    files.sort();
    let list = format!("&[{}]", files.join(",\n"));
    fs::write(Path::new(&variable("OUT_DIR")?).join("assets.rs"), list)
}

/// A text as source code.
fn literal(text: &OsStr) -> String {
    format!("{:?}", text.to_string_lossy())
}
