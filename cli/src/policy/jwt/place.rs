//! Where keys are fetched from: declared here, and done by whoever can speak HTTP.

use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The bytes of a JWKS, or why there are none.
pub(crate) type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send + 'a>>;

/// Gets a JWKS, in bounds of time and of [`KEYS_BYTES`](super::keys::KEYS_BYTES).
pub(crate) trait FetchKeys: Send + Sync {
    fn fetch(&self) -> Fetching<'_>;
}

/// How the keys of a source are fetched; nothing until the file's words were tried. Two files that say the same are the same.
#[derive(Clone, Default)]
pub(crate) struct Fetch(pub(crate) Option<Arc<dyn FetchKeys>>);

impl PartialEq for Fetch {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Fetch {}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetch")
    }
}
