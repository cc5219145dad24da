//! Finds out which commit is built, for `--version` and for what a run of `bench` writes.
//!
//! `SWITCHBOARD_COMMIT` says it where there is no repository, as for a package. From a tarball without either there is none. Builds for
//! development have none: they would be made anew after each commit.

#![allow(clippy::print_stdout, reason = "this is how cargo is told")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SWITCHBOARD_COMMIT");
    let told = env::var("SWITCHBOARD_COMMIT").ok().filter(|commit| !commit.is_empty());
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = told.or_else(|| if is_release { of_repository() } else { None });
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let shown = commit.as_ref().map_or(version.clone(), |commit| format!("{version} ({commit})"));
    println!("cargo::rustc-env=SWITCHBOARD_COMMIT={}", commit.unwrap_or_default());
    println!("cargo::rustc-env=SWITCHBOARD_VERSION={shown}");
}

/// The commit that is checked out, if this is our own repository: a tarball may have been unpacked within another one.
fn of_repository() -> Option<String> {
    let crate_folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    let root = fs::canonicalize(crate_folder.parent()?).ok()?;
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&root).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    };
    let of_git = git(&["rev-parse", "--show-toplevel"])?;
    if fs::canonicalize(Path::new(&of_git)).ok()? != root {
        return None;
    }
    // Each commit and each checkout adds a line to it.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo::rerun-if-changed={}", root.join(log).display());
    git(&["rev-parse", "--short=12", "HEAD"])
}
