//! In place of the program's `fetch`: while fuzzing nobody is asked, and every place is one that could be.

use bytes::Bytes;
use http::StatusCode;
use std::path::Path;
use std::time::Duration;
use switchboard_load::typed::Secret;

pub(crate) struct Remote;

pub(crate) struct Bounds {
    pub(crate) body_bytes: usize,
    pub(crate) time: Duration,
}

pub(crate) struct Fetched {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

pub(crate) struct FetchError;

impl FetchError {
    pub(crate) fn told(&self) -> String {
        "nobody is asked".to_owned()
    }
}

impl Remote {
    pub(crate) fn new(_: &str, _: Option<&Path>) -> Result<Self, Vec<String>> {
        Ok(Self)
    }

    #[allow(clippy::unused_async)]
    pub(crate) async fn post(&self, _: Bytes, _: Option<&Secret>, _: Bounds) -> Result<Fetched, FetchError> {
        Err(FetchError)
    }
}
