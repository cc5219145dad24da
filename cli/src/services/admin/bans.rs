//! Networks that an operator bans for a time, or for good. Those of the file are shown as well, and changed there.

use super::acts::{Answered, Fields};
use super::families::shown;
use super::operator::Operator;
use super::{Admin, object};
use crate::config::banned;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::http::Request;
use switchboard::{Ban, IpNetwork};
use switchboard_load::typed::parse_duration;
use tracing::error;

/// Ten years: whatever is longer is for good.
const LONGEST: Duration = Duration::from_hours(87_600);

/// What may be banned, as in the file.
const NETWORK: &str = "an address or a network, as in 198.51.100.0/24, of IPv4 up to /8 and of IPv6 up to /32";

/// Of a reason, in bytes.
const REASON_BYTES: usize = 256;

/// For how long, if that is said.
pub(super) fn time_of(body: &mut Fields, expected: &str) -> Result<Option<Duration>, Failure> {
    let time = |value: &Value| parse_duration(value.as_str()?).ok().filter(|time| *time <= LONGEST);
    body.take_some("for", time, expected)
}

/// Why, for other operators: no client is told.
pub(super) fn reason_of(body: &mut Fields) -> Result<String, Failure> {
    let reason = |value: &Value| value.as_str().filter(|text| text.len() <= REASON_BYTES).map(str::to_owned);
    Ok(body.take_some("reason", reason, "a text of at most 256 bytes")?.unwrap_or_default())
}

/// What holds, until when and why, for the audit.
pub(super) fn in_words(what: &str, until: Option<SystemTime>, reason: &str) -> String {
    let end = until.map_or("for good".to_owned(), |until| format!("until {}", shown(until)));
    let text = format!("{what} {end}: {reason}");
    text.trim_end_matches([':', ' ']).to_owned()
}

impl Admin {
    pub(super) fn bans(&self) -> Value {
        let bans: Vec<_> = self.handle.bans().iter().map(|ban| self.told_ban(ban)).collect();
        json!({ "bans": bans })
    }

    fn told_ban(&self, ban: &Ban) -> Value {
        let by = if self.running.steered().has_banned(&ban.network) { "operator" } else { "file" };
        let (network, until) = (ban.network.to_string(), ban.until.map(shown));
        json!({ "id": network, "network": network, "until": until, "reason": ban.reason, "by": by })
    }

    pub(super) async fn ban(&self, request: Request, operator: &Operator) -> Answered {
        let mut body = Fields::of(request).await?;
        let parsed = |value: &Value| banned(value.as_str()?).ok();
        let network = body.take("network", parsed, NETWORK)?;
        let time = time_of(&mut body, "a duration of at most 87600h, as in 1h; without one it is for good")?;
        let until = time.map(|time| SystemTime::now() + time);
        let reason = reason_of(&mut body)?;
        body.end()?;
        self.not_of_file(&network)?;
        let ban = Ban::of(network).because(reason);
        let ban = until.map_or(ban.clone(), |until| ban.until(until));
        let reset = self.handle.ban(ban.clone());
        let reset = reset.map_err(|error| Failure::new(ErrorCode::RateLimited, error.to_string()))?;
        operator.acted("ban", &in_words(&network.to_string(), until, &ban.reason));
        let mut told = self.told_ban(&ban);
        self.running.steered().ban(ban);
        told["by"] = json!("operator");
        told["reset"] = json!(reset);
        told["kept"] = json!(self.keep().await);
        Ok(object(&told))
    }

    pub(super) async fn unban(&self, network: &IpNetwork, operator: &Operator) -> Answered {
        self.not_of_file(network)?;
        let Some(ban) = self.handle.unban(network) else {
            return Err(Failure::new(ErrorCode::NoSuchMember, format!("there is no ban of {network}")));
        };
        self.running.steered().unban(network);
        operator.acted("unban", &network.to_string());
        Ok(object(&json!({ "unbanned": ban.network.to_string(), "kept": self.keep().await })))
    }

    /// The file's are for the file to change: what it says there holds again at the next start.
    fn not_of_file(&self, network: &IpNetwork) -> Result<(), Failure> {
        let is_held = self.handle.bans().iter().any(|ban| ban.network == *network);
        if is_held && !self.running.steered().has_banned(network) {
            return Err(Failure::new(
                ErrorCode::NotAllowed,
                format!("the file bans {network}: change it there, and reload"),
            ));
        }
        Ok(())
    }

    /// Keeps what operators have said for the next start. Says whether it is kept.
    pub(super) async fn keep(&self) -> bool {
        let steered = self.running.steered();
        match steered.keep().await {
            Ok(()) => steered.is_kept(),
            Err(error) => {
                error!(error = error.to_string(), "what an operator said was not kept for a restart");
                false
            }
        }
    }
}
