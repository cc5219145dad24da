//! A server that is asked over its admin service: where that is, who asks, and why there may be no answer.

use crate::config::{Fault, SetBy};
use crate::connect::credential;
use crate::fetch::{Bounds, FetchError, Fetched, Remote};
use anyhow::anyhow;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use switchboard_load::typed::Secret;

/// Where the service is, if nobody says: the first is taken if it is there.
const SOCKET: &str = "/run/switchboard/admin.sock";
const LOOPBACK: &str = "http://127.0.0.1:8083";

/// Whom to ask, and who asks.
pub(crate) struct AdminRemote {
    remote: Remote,
    token: Option<Secret>,
}

/// As its URL was typed.
impl fmt::Display for AdminRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.remote.fmt(f)
    }
}

impl AdminRemote {
    /// The one at `url`, which `by` says where it was typed, or the one of this machine.
    pub(crate) fn new(
        url: Option<String>,
        by: &SetBy,
        token_file: Option<&Path>,
        ca: Option<&Path>,
    ) -> Result<Self, Vec<Fault>> {
        let (by, url) = match url {
            Some(url) => (by.clone(), url),
            None if Path::new(SOCKET).exists() => (SetBy::Flag("--ca".to_owned()), format!("unix://{SOCKET}")),
            None => (SetBy::Flag("--ca".to_owned()), LOOPBACK.to_owned()),
        };
        let remote = Remote::new(&url, ca);
        let (remote, mut faults) = match remote {
            Ok(remote) => (Some(remote), Vec::new()),
            Err(texts) => {
                let fault = |text| Fault::new(by.clone(), format!("{url}: {text}"));
                (None, texts.into_iter().map(fault).collect())
            }
        };
        let token = credential::given(token_file).map_err(|fault| faults.push(fault)).ok().flatten();
        match remote {
            Some(remote) if faults.is_empty() => Ok(Self { remote, token }),
            _ => Err(faults),
        }
    }

    /// Asks for what is at `path`, which begins with a slash and is encoded.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
        bounds: Bounds,
    ) -> Result<Fetched, FetchError> {
        self.at(path).send(method, body, self.token.as_ref(), bounds).await
    }

    /// The same of what everybody may ask; no token is shown to whoever has the port.
    pub(super) async fn ask_openly(&self, path: &str, bounds: Bounds) -> Result<Fetched, FetchError> {
        self.at(path).get(bounds).await
    }

    fn at(&self, path: &str) -> Remote {
        let Ok(remote) = self.remote.at(path) else { unreachable!("what is put into a path is encoded") };
        remote
    }

    /// Why nobody answers, and what to do.
    pub(crate) fn unreached(&self, error: &FetchError) -> anyhow::Error {
        let url = &self.remote;
        match error {
            FetchError::Connect(cause) if cause.kind() == ErrorKind::PermissionDenied => {
                anyhow!("you may not open {url}: ask as its owner, or as root")
            }
            FetchError::Connect(cause) => anyhow!(
                "no server answers at {url} ({cause}): start one with `switchboard serve`, or say with --url where its admin \
                 service is"
            ),
            FetchError::Http(_) => anyhow!("{url} is no admin service: {}", error.told()),
            _ => anyhow!("{url}: {}", error.told()),
        }
    }

    pub(crate) fn body(&self, fetched: &Fetched) -> anyhow::Result<Value> {
        let body = serde_json::from_slice::<Value>(&fetched.body).ok().filter(Value::is_object);
        body.ok_or_else(|| anyhow!("{} is no admin service: it answers {}", self.remote, fetched.status))
    }

    /// What the server says against it.
    pub(crate) fn refused(&self, status: StatusCode, body: &Value) -> anyhow::Error {
        let (url, code) = (&self.remote, body["error"].as_str().unwrap_or_default());
        if code == "no-such-path" {
            return anyhow!("{url} is no admin service, or one of another version");
        }
        if status == StatusCode::UNAUTHORIZED && self.token.is_none() {
            return anyhow!(
                "{url} tells this only to those whom it knows: ask at its Unix socket, or with a token that has `admin` in the file \
                 (--token-file)"
            );
        }
        match body["text"].as_str() {
            Some(text) if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status) => {
                anyhow!("{url}: {text}")
            }
            Some(text) => anyhow!("{text}"),
            None => anyhow!("{url} answers {status}"),
        }
    }
}
