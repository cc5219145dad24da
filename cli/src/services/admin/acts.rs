//! What changes the server: each takes a JSON object, so that no form of any page can ask for it.

use super::families::shown;
use super::lists::{no_connection, nobody};
use super::operator::Operator;
use super::{Admin, answer, object};
use crate::logging::check_filter;
use crate::running::FileWish;
use crate::web::body;
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::http::{Request, Response};
use switchboard::{ConnectionId, UserName};
use switchboard_load::typed::{parse_duration, show_duration};

/// The longest body: that of a message of the day, or a file to check.
const BODY_BYTES: usize = 1 << 20;

/// How long other events may be logged than the file says.
const LONGEST_LOG: Duration = Duration::from_hours(24);

pub(super) type Answered = Result<http::Response<Bytes>, Failure>;

impl Admin {
    pub(super) async fn set_ready(&self, request: Request, operator: &Operator) -> Answered {
        let mut body = Fields::of(request).await?;
        let is_ready = body.take("ready", Value::as_bool, "true or false")?;
        body.end()?;
        self.running.set_wanted(is_ready);
        operator.acted("ready", if is_ready { "on" } else { "off" });
        Ok(object(&json!({ "ready": is_ready })))
    }

    pub(super) fn close_connection(&self, id: ConnectionId, operator: &Operator) -> Answered {
        if !self.handle.connections().close(id) {
            return Err(no_connection());
        }
        operator.acted("close", &id.to_string());
        Ok(object(&json!({ "closed": u64::from(id) })))
    }

    pub(super) fn close_name(&self, name: &UserName, operator: &Operator) -> Answered {
        let named = self.hub.connection(name).ok_or_else(|| nobody(name))?;
        self.close_connection(named.id, operator)
    }

    pub(super) async fn reload(&self, request: Request, operator: &Operator) -> Answered {
        Fields::of(request).await?.end()?;
        operator.acted("reload", "");
        Ok(match self.file(FileWish::Reload).await? {
            Ok(changed) => object(&json!({ "reloaded": true, "changed": changed })),
            Err(faults) => unprocessable(&json!({ "reloaded": false, "faults": faults })),
        })
    }

    /// Looks at another file, which is sent, and changes nothing.
    pub(super) async fn check(&self, mut request: Request, operator: &Operator) -> Answered {
        let sent = body(&mut request, BODY_BYTES).await?;
        let text = String::from_utf8(sent.into());
        let text = text.map_err(|_| Failure::new(ErrorCode::BadArgument, "the body is not UTF-8"))?;
        operator.acted("check", "");
        Ok(match self.file(FileWish::Check(text)).await? {
            Ok(changes) => object(&json!({ "sound": true, "changes": changes })),
            Err(faults) => unprocessable(&json!({ "sound": false, "faults": faults })),
        })
    }

    async fn file(&self, wish: FileWish) -> Result<Result<Vec<String>, Vec<String>>, Failure> {
        let busy =
            || Failure::new(ErrorCode::RateLimited, "the server is starting, ending or reading the file already");
        self.running.has_file(wish).await.ok_or_else(busy)
    }

    pub(super) fn log(&self) -> Value {
        let (filter, until) = self.running.logging();
        json!({ "filter": filter, "until": until.map(shown) })
    }

    /// Has other events logged for a while, and then what the file says again.
    pub(super) async fn set_log(&self, request: Request, operator: &Operator) -> Answered {
        let mut body = Fields::of(request).await?;
        let filter = |value: &Value| value.as_str().and_then(|text| check_filter(text).ok());
        let filter = body.take("filter", filter, "a level, or a filter such as warn,switchboard=debug")?;
        let time = |value: &Value| parse_duration(value.as_str()?).ok().filter(|time| *time <= LONGEST_LOG);
        let time = body.take("for", time, "a duration of at most 24h, as in 10m")?;
        body.end()?;
        operator.acted("log", &format!("{filter} for {}", show_duration(time)));
        let number = self.running.log_for(&filter, time);
        let running = Arc::clone(&self.running);
        // It ends with the server, which does not wait for it.
        let handle = self.handle.clone();
        drop(self.handle.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(time) => running.log_as_set(number),
                () = handle.draining() => {}
            }
        }));
        Ok(object(&self.log()))
    }

    pub(super) async fn drain(&self, request: Request, operator: &Operator) -> Answered {
        let mut body = Fields::of(request).await?;
        let grace = body.take_some("grace", |value| parse_duration(value.as_str()?).ok(), "a duration, as in 30s")?;
        body.end()?;
        if let Some(grace) = grace {
            self.handle.set_grace(grace);
        }
        operator.acted("drain", &grace.map(show_duration).unwrap_or_default());
        self.handle.drain();
        let mut response = object(&json!({ "draining": true }));
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok(response)
    }
}

fn unprocessable(told: &Value) -> http::Response<Bytes> {
    let mut response = object(told);
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    response
}

/// Why a body is not read: it is not said to be what it has to be, which no form of a page can say.
pub(super) fn misdeclared(request: &Request, expected: &str) -> Option<Response> {
    let declared = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let declared = declared.split(';').next().unwrap_or_default().trim();
    if declared.eq_ignore_ascii_case(expected) {
        return None;
    }
    let failure = Failure::new(ErrorCode::BadArgument, format!("the body has to be declared as {expected}"));
    let mut response = answer::refusal(&failure, None);
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Some(response.into())
}

/// The fields of an object that was sent. They are taken one by one.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) async fn of(mut request: Request) -> Result<Self, Failure> {
        match serde_json::from_slice(&body(&mut request, BODY_BYTES).await?) {
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

    /// Takes one that may be missing.
    pub(super) fn take_some<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>, Failure> {
        if self.0.contains_key(name) { self.take(name, parse, expected).map(Some) } else { Ok(None) }
    }

    /// Nothing is left.
    pub(super) fn end(self) -> Result<(), Failure> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Failure::new(ErrorCode::BadArgument, format!("no field {name:?} here"))),
        }
    }
}
