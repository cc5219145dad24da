//! What is set, where each setting came from, and what it comes to for somebody: nothing of it is changed here.

use super::acts::{Answered, Fields};
use super::{Admin, object};
use crate::policy::explain::explain;
use serde_json::{Value, json};
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::http::Request;
use switchboard::policy::{Policy as _, Principal, Rights};
use switchboard::{RoomName, UserName};

/// Who shows no credential.
const ANONYMOUS: &str = "anonymous";

impl Admin {
    pub(super) fn settings(&self) -> Value {
        self.running.settings().told.clone()
    }

    /// Whether somebody, by a name or by whose token it is, may do something in a room.
    pub(super) async fn can(&self, request: Request) -> Answered {
        let mut body = Fields::of(request).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (name, token) = (body.take_some("name", text, "a text")?, body.take_some("token", text, "a text")?);
        let action = |value: &Value| value.as_str()?.parse::<Rights>().ok();
        let action = body.take("action", action, "a right: join, publish, history, presence, create or moderate")?;
        let room = body.take("room", |value| RoomName::parse(value.as_str()?).ok(), "the name of a room")?;
        body.end()?;
        let Some(policy) = &self.policy else {
            let because = ["the file has no tokens and rights, so that everybody may do everything"];
            return Ok(object(&json!({ "name": name, "allowed": true, "because": because })));
        };
        let wrong = |text: &str| Failure::new(ErrorCode::BadArgument, text);
        let (who, principal) = match (name, token) {
            (Some(name), None) if name == ANONYMOUS => (None, None),
            (Some(name), None) => {
                let name =
                    UserName::parse(&name).map_err(|error| Failure::new(ErrorCode::BadName, error.to_string()))?;
                (Some(name), None)
            }
            (None, Some(token)) => {
                let shown =
                    policy.shown(&token, None).map_err(|refused| wrong(&format!("token: {}", refused.code())))?;
                (shown.name().cloned(), Some(shown))
            }
            _ => return Err(wrong("either a name or a token")),
        };
        let settings = self.running.settings();
        let verdict = explain(&settings.rules, who.as_ref(), action, &room);
        // What vouches for somebody may grant more than the file says of its name.
        let granted = principal
            .as_ref()
            .map_or(verdict.granted, |shown: &std::sync::Arc<Principal>| policy.rights(shown, &room) & action);
        let mut because: Vec<_> = verdict.lines.iter().map(|line| line.text.clone()).collect();
        if !verdict.is_closed && granted != verdict.granted {
            because.push("what its token says".to_owned());
        }
        let is_allowed = granted == action;
        if because.is_empty() {
            because.push("no line grants it".to_owned());
        }
        let name = who.map(|name| name.to_string());
        Ok(object(&json!({ "name": name, "allowed": is_allowed, "because": because })))
    }
}
