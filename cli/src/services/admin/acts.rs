//! What changes the server: each takes a JSON object, so that no form of any page can ask for it.

use super::{Admin, answer, object};
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::http::{BodyError, Request, Response};
use tracing::info;

/// The longest body: that of a message of the day, or a file to check.
const BODY_BYTES: usize = 1 << 20;

type Answered = Result<http::Response<Bytes>, Failure>;

impl Admin {
    pub(super) async fn set_ready(&self, request: Request) -> Answered {
        let (peer, mut body) = (request.peer().clone(), Fields::of(request).await?);
        let is_ready = body.take("ready", Value::as_bool, "true or false")?;
        body.end()?;
        self.running.set_wanted(is_ready);
        info!(peer.addr = %peer, ready = is_ready, "an operator said whether connections are wanted");
        Ok(object(&json!({ "ready": is_ready })))
    }

    pub(super) async fn drain(&self, request: Request) -> Answered {
        let peer = request.peer().clone();
        Fields::of(request).await?.end()?;
        info!(peer.addr = %peer, "an operator has the server drain");
        self.handle.drain();
        let mut response = object(&json!({ "draining": true }));
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok(response)
    }
}

/// Why a body is not read: it is not said to be JSON.
pub(super) fn misdeclared(request: &Request) -> Option<Response> {
    let declared = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let declared = declared.split(';').next().unwrap_or_default().trim();
    if declared.eq_ignore_ascii_case("application/json") {
        return None;
    }
    let failure = Failure::new(ErrorCode::BadArgument, "the body has to be declared as application/json");
    let mut response = answer::refusal(&failure, None);
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Some(response.into())
}

/// The fields of an object that was sent. They are taken one by one.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) async fn of(mut request: Request) -> Result<Self, Failure> {
        let body = request.body(BODY_BYTES).await.map_err(|error| match error {
            BodyError::TooLong => {
                Failure::new(ErrorCode::FrameTooLong, format!("body is longer than {BODY_BYTES} bytes"))
            }
            BodyError::Slow => Failure::new(ErrorCode::TooSlow, error.to_string()),
            _ => Failure::new(ErrorCode::BadArgument, error.to_string()),
        })?;
        match serde_json::from_slice(&body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            _ => Err(Failure::new(ErrorCode::BadArgument, "the body is not a JSON object")),
        }
    }

    /// Takes one that has to be there.
    pub(super) fn take<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
        expected: &str,
    ) -> Result<T, Failure> {
        let value = self.0.remove(name).and_then(|value| parse(&value));
        value.ok_or_else(|| Failure::new(ErrorCode::BadArgument, format!("{name}: not {expected}")))
    }

    /// Nothing is left.
    pub(super) fn end(self) -> Result<(), Failure> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Failure::new(ErrorCode::BadArgument, format!("no field {name:?} here"))),
        }
    }
}
