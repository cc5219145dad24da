//! What a source's keys are: the files that hold them, read; or where they are fetched, and what was kept of that.

use super::asked;
use super::values::Wrong;
use crate::fetch::{Bounds, Remote};
use crate::policy::jwt::keys::{KEYS_BYTES, KeySet};
use crate::policy::jwt::place::{Fetch, FetchKeys, Fetching};
use crate::policy::jwt::section::{JwtSection, KeysFrom};
use crate::policy::kept;
use crate::policy::rules::{At, Rules};
use http::StatusCode;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use switchboard::{Escaped, files};

/// What an issuer has for its answer.
const BOUNDS: Bounds = Bounds { body_bytes: KEYS_BYTES, time: Duration::from_secs(5) };

/// Reads the keys of all sources, for each what was kept of it in `state`.
pub(super) fn read_keys(rules: &mut Rules, state: Option<&Path>) -> Vec<Wrong> {
    let mut faults = Vec::new();
    // What is read without algorithms would be told twice.
    for section in rules.jwt.iter_mut().filter(|section| !section.algorithms.is_empty()) {
        match section.keys.clone() {
            KeysFrom::Files(files) => read_files(section, &files, &mut faults),
            KeysFrom::Url(at, url) => find(section, at, &url, state, &mut faults),
        }
    }
    faults
}

fn read_files(section: &mut JwtSection, files: &[(At, String)], faults: &mut Vec<Wrong>) {
    for (at, path) in files {
        let read = read(path).and_then(|bytes| KeySet::read(&bytes, &section.algorithms));
        match read.and_then(|keys| section.read.clone().and(keys, &section.algorithms)) {
            Ok(keys) => section.read = keys,
            Err(fault) => faults.push((*at, format!("keys: {}: {fault}", Escaped(path.as_bytes())))),
        }
    }
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    files::read(Path::new(path), KEYS_BYTES as u64).map_err(|error| error.to_string())
}

fn find(section: &mut JwtSection, at: At, url: &str, state: Option<&Path>, faults: &mut Vec<Wrong>) {
    match asked::find(url, section.keys_ca.as_deref()) {
        Ok((remote, mark)) => (section.fetch, section.mark) = (Fetch(Some(Arc::new(Issuer(remote)))), mark),
        Err(more) => faults.extend(more.into_iter().map(|fault| (at, format!("keys: {fault}")))),
    }
    let kept = state.and_then(|state| kept::load(state, &section.name, url));
    let Some(kept) = kept else { return };
    // What was kept for other algorithms is fetched anew.
    if let Ok(keys) = KeySet::read(kept.jwks.as_bytes(), &section.algorithms) {
        (section.read, section.fetched) = (keys, Some(kept.fetched));
    }
}

/// Whoever publishes its keys at a URL.
struct Issuer(Remote);

impl FetchKeys for Issuer {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(async {
            let answer = self.0.get(BOUNDS).await.map_err(|error| error.told())?;
            // A redirect is one as well: the operator says where the keys are, and nobody else.
            if answer.status != StatusCode::OK {
                return Err(format!("the answer is {}, and not 200", answer.status.as_u16()));
            }
            Ok(answer.body)
        })
    }
}
