//! Keys that were fetched, kept in a file for the next start: an issuer that is down must not keep the server from its work.

use super::jwt::json;
use super::jwt::keys::KEYS_BYTES;
use crate::state;
use serde_json::json;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The keys as a text within JSON, and what stands beside them.
const FILE_BYTES: u64 = 4 * KEYS_BYTES as u64;

/// A JWKS, and when it was fetched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeptKeys {
    pub(crate) jwks: String,
    pub(crate) fetched: SystemTime,
}

fn file_name(source: &str) -> String {
    format!("jwt-{source}.json")
}

/// What was fetched last for this source from this URL. What cannot be read was never there.
pub(crate) fn load(folder: &Path, source: &str, url: &str) -> Option<KeptKeys> {
    let mut bytes = Vec::new();
    File::open(folder.join(file_name(source))).ok()?.take(FILE_BYTES).read_to_end(&mut bytes).ok()?;
    let kept = json::object(&bytes)?;
    let text = |name: &str| kept.get(name)?.as_str();
    let fetched = kept.get("fetched")?.as_u64()?;
    (text("url")? == url).then_some(())?;
    let fetched = UNIX_EPOCH.checked_add(Duration::from_secs(fetched))?;
    Some(KeptKeys { jwks: text("jwks")?.to_owned(), fetched })
}

/// Keeps them, in the place of what was there.
pub(crate) fn store(folder: &Path, source: &str, url: &str, jwks: &[u8], now: SystemTime) -> io::Result<()> {
    let jwks = std::str::from_utf8(jwks).map_err(io::Error::other)?;
    let fetched = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let kept = json!({ "url": url, "fetched": fetched, "jwks": jwks }).to_string();
    state::write(folder, &file_name(source), kept.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_was_kept_is_there_for_its_source_and_url_alone() {
        let folder = std::env::temp_dir().join(format!("switchboard-{}-kept", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let at = UNIX_EPOCH + Duration::from_secs(7);
        assert_eq!(load(&folder, "corp", "https://a/"), None);
        store(&folder, "corp", "https://a/", b"{\"keys\":[]}", at).unwrap();
        let kept = KeptKeys { jwks: "{\"keys\":[]}".to_owned(), fetched: at };
        assert_eq!(load(&folder, "corp", "https://a/"), Some(kept));
        assert_eq!((load(&folder, "corp", "https://b/"), load(&folder, "other", "https://a/")), (None, None));
        fs::write(folder.join(file_name("corp")), "{").unwrap();
        assert_eq!(load(&folder, "corp", "https://a/"), None);
        fs::remove_dir_all(folder).unwrap();
    }
}
