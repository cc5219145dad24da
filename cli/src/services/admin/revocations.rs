//! What operators revoke: names, tokens and JWTs. Whoever is there by one is closed, and whoever comes with one is refused.

use super::acts::{Answered, Fields};
use super::bans::{self, reason_of, time_of};
use super::families::shown;
use super::operator::Operator;
use super::pages::RevocationPage;
use super::{Admin, object};
use crate::policy::configured::FilePolicy;
use crate::policy::jwt::claims::at_most_written;
use crate::policy::revocations::{JTI_BYTES, Revocation, Revoked, longest_life, second_of};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use switchboard::UserName;
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::http::Request;

/// What a token may be called.
const TOKEN: &str = "what lists and the audit call a token (8 hexadecimal digits), or its hash as in sha256:…";

impl Admin {
    pub(super) fn revocations(&self, page: &RevocationPage) -> Value {
        let list = self.running.steered().revocations();
        let some = list.list(page.after.as_deref(), page.limit, SystemTime::now());
        json!({ "revocations": some.iter().map(told).collect::<Vec<_>>(), "total": list.len() })
    }

    pub(super) async fn revoke(&self, request: Request, operator: &Operator) -> Answered {
        let mut body = Fields::of(request).await?;
        let revoked = revoked(&mut body)?;
        let time = time_of(&mut body, "a duration of at most 87600h, as in 24h")?;
        let reason = reason_of(&mut body)?;
        body.end()?;
        let policy = self.policy.clone().ok_or_else(|| {
            Failure::new(
                ErrorCode::NotAllowed,
                "nobody is known here: the file has no tokens, and believes nobody else's",
            )
        })?;
        let now = SystemTime::now();
        let until = time.or_else(|| longest(&policy, &revoked)).and_then(|time| end_of(now, time));
        let revocation = Revocation { revoked, until, reason };
        let added = self.running.steered().revocations().add(revocation.clone(), now);
        added.map_err(|error| Failure::new(ErrorCode::RateLimited, error.to_string()))?;
        operator.acted("revoke", &in_words(&revocation));
        self.review(&policy).await;
        let mut told = told(&revocation);
        told["kept"] = json!(self.keep().await);
        Ok(object(&told))
    }

    /// Has what was revoked taken again from whoever shows it.
    pub(super) async fn reinstate(&self, id: &str, operator: &Operator) -> Answered {
        let Some(revocation) = self.running.steered().revocations().remove(id) else {
            return Err(Failure::new(ErrorCode::NoSuchMember, no_revocation(id)));
        };
        operator.acted("unrevoke", &in_words(&revocation));
        if let Some(policy) = &self.policy {
            policy.has_changed();
        }
        Ok(object(&json!({ "reinstated": id, "kept": self.keep().await })))
    }

    /// Closes whoever is there by what is revoked, whether or not whoever asks waits for that.
    async fn review(&self, policy: &Arc<FilePolicy>) {
        policy.has_changed();
        let hub = self.hub.clone();
        // It ends early only with the server.
        let _ = self.handle.spawn(async move { hub.review().await }).await;
    }
}

/// Ids are easily taken for what they are of.
fn no_revocation(id: &str) -> String {
    let hint = if id.contains(':') { "" } else { "; ids are as revocations are listed, as in name:alice" };
    format!("there is no revocation {id}{hint}")
}

/// Exactly one of them.
fn revoked(body: &mut Fields) -> Result<Revoked, Failure> {
    let name = |value: &Value| UserName::parse(value.as_str()?).ok();
    let name = body.take_some("name", name, "a name")?;
    let second = |value: &Value| humantime::parse_rfc3339(value.as_str()?).ok().filter(|time| *time > UNIX_EPOCH);
    let before = body.take_some("issued-before", second, "a time, as in 2026-01-02T03:04:05Z")?;
    let token = body.take_some("token", |value| Revoked::token(value.as_str()?), TOKEN)?;
    let jti = |value: &Value| value.as_str().filter(|text| (1..=JTI_BYTES).contains(&text.len())).map(str::to_owned);
    let jti = body.take_some("jti", jti, "the `jti` of a JWT, of at most 256 bytes")?;
    match (name, before, token, jti) {
        (Some(name), None, None, None) => Ok(Revoked::Name(name)),
        (Some(name), Some(time), None, None) => Ok(Revoked::IssuedBefore(name, second_of(time))),
        (None, None, Some(token), None) => Ok(token),
        (None, None, None, Some(jti)) => Ok(Revoked::Jti(jti)),
        _ => Err(Failure::new(
            ErrorCode::BadArgument,
            "one of name (perhaps with issued-before), token and jti says what is revoked",
        )),
    }
}

/// How long it has to hold if nobody says so: for good, but for what can only be shown by a JWT, of which none is left one day.
fn longest(policy: &FilePolicy, revoked: &Revoked) -> Option<Duration> {
    let is_of_jwts = matches!(revoked, Revoked::IssuedBefore(..) | Revoked::Jti(_));
    let sources = policy.jwt_sources();
    let lives = sources.iter().map(|source| (source.section.max_age, source.section.leeway));
    is_of_jwts.then(|| longest_life(lives)).flatten()
}

/// Behind so long a time, or never.
fn end_of(time: SystemTime, length: Duration) -> Option<SystemTime> {
    time.checked_add(length).map(at_most_written)
}

fn told(revocation: &Revocation) -> Value {
    let Revocation { revoked, until, reason } = revocation;
    let mut told = json!({ "id": revoked.id(), "until": until.map(shown), "reason": reason });
    match revoked {
        Revoked::Name(name) => told["name"] = json!(name.as_str()),
        Revoked::IssuedBefore(name, second) => {
            told["name"] = json!(name.as_str());
            told["issued-before"] = json!(shown(UNIX_EPOCH + Duration::from_secs(*second)));
        }
        Revoked::Token(token) => told["token"] = json!(token),
        Revoked::Jti(jti) => told["jti"] = json!(jti),
    }
    told
}

/// For the audit.
fn in_words(revocation: &Revocation) -> String {
    let Revocation { revoked, until, reason } = revocation;
    let what = match revoked {
        Revoked::Name(name) => format!("name {name}"),
        Revoked::IssuedBefore(name, second) => {
            format!("name {name}, issued before {}", shown(UNIX_EPOCH + Duration::from_secs(*second)))
        }
        Revoked::Token(token) => format!("token {token}"),
        Revoked::Jti(jti) => format!("jti {jti}"),
    };
    bans::in_words(&what, *until, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_beyond_what_can_be_written_is_shown() {
        let told = |length| {
            let until = end_of(UNIX_EPOCH, length);
            let revocation = Revocation { revoked: Revoked::Jti("x".to_owned()), until, reason: String::new() };
            (told(&revocation)["until"].clone(), in_words(&revocation))
        };
        let (until, words) = told(Duration::from_hours(90_000_000));
        assert_eq!(
            (until, words.as_str()),
            (json!("9999-12-31T23:59:59.000Z"), "jti x until 9999-12-31T23:59:59.000Z")
        );
        assert_eq!(told(Duration::MAX), (Value::Null, "jti x for good".to_owned()));
        let far = UNIX_EPOCH + Duration::from_hours(90_000_000);
        assert_eq!(shown(far), "9999-12-31T23:59:59.000Z");
    }
}
