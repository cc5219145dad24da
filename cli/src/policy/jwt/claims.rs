//! What a token says, held against what its source may say: for whom, from when until when, of whom, and what that one may do.
//!
//! Pure: it is told the time, and believes that the signature was checked.

use super::fault::JwtFault;
use super::json::Object;
use super::section::{Audience, JwtSection};
use crate::policy::rules::AdminRight;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use switchboard::{Glob, Grants, GroupName, Rights, UserName};

/// Years have four digits wherever times are written.
const END_OF_TIME: f64 = 253_402_300_800.0;

/// The one before that, since 1970.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

/// Globs that one token may have, of each kind, and the answer of a callout: each is tried when its holder joins a room.
pub(crate) const MOST_GLOBS: usize = 64;

/// Groups that these may have, most of which may be no groups of ours.
pub(crate) const MOST_GROUPS: usize = 1024;

/// What a token vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vouched {
    pub(crate) name: UserName,
    /// Some of which the file may not have.
    pub(crate) groups: Vec<GroupName>,
    pub(crate) grants: Grants,
    pub(crate) direct: Vec<Glob>,
    /// What it may do with the server, and its source may say.
    pub(crate) admin: Option<AdminRight>,
    /// When it is over, leeway included: the same for entering and for staying.
    pub(crate) ends: SystemTime,
    /// When it was issued, in seconds since 1970, if it says so.
    pub(crate) issued: Option<u64>,
    /// What its issuer calls it.
    pub(crate) jti: Option<String>,
}

impl JwtSection {
    /// What `claims` vouch for at `now`, by this source.
    pub(crate) fn judge(&self, claims: &Object, now: SystemTime) -> Result<Vouched, JwtFault> {
        let ends = self.ends(claims, now)?;
        self.check_audience(claims)?;
        let name = self.name(claims)?;
        if !self.issues(&name) {
            return Err(JwtFault::NotIssued);
        }
        let Own { grants, direct, admin } = self.rights(claims)?;
        let admin = admin.min(self.admin);
        let issued = seconds(claims, "iat")?.map(|issued| issued.as_secs());
        // Of another type it is none that anybody could name.
        let jti = claims.get("jti").and_then(Value::as_str).map(str::to_owned);
        Ok(Vouched { name, groups: self.groups(claims)?, grants, direct, admin, ends, issued, jti })
    }

    /// Until when, if it is in its time.
    fn ends(&self, claims: &Object, now: SystemTime) -> Result<SystemTime, JwtFault> {
        let [expires, not_before, issued] = ["exp", "nbf", "iat"].map(|name| seconds(claims, name));
        let (expires, not_before, issued) = (expires?.ok_or(JwtFault::Time)?, not_before?, issued?);
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if now >= expires + self.leeway {
            return Err(JwtFault::Expired);
        }
        if not_before.max(issued).is_some_and(|start| start > now + self.leeway) {
            return Err(JwtFault::Early);
        }
        // Who does not say since when it is good says no more than that it is by now.
        let life = expires.saturating_sub(issued.unwrap_or(now));
        if self.max_age.is_some_and(|most| life > most) {
            return Err(JwtFault::TooLongLived);
        }
        Ok(at_most_written(UNIX_EPOCH + expires + self.leeway))
    }

    fn check_audience(&self, claims: &Object) -> Result<(), JwtFault> {
        let Audience::OneOf(ours) = &self.audience else { return Ok(()) };
        let is_ours = |value: &Value| value.as_str().is_some_and(|audience| ours.iter().any(|own| own == audience));
        let is_for_us = match claims.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().all(Value::is_string) && audiences.iter().any(is_ours),
            Some(audience) => is_ours(audience),
            None => false,
        };
        if is_for_us { Ok(()) } else { Err(JwtFault::Audience) }
    }

    fn name(&self, claims: &Object) -> Result<UserName, JwtFault> {
        // Anybody can tell an issuer an address that is another one's. Some write it as a text.
        let is_address = self.name_claim == "email" || self.strip_domain.is_some();
        let verified = claims.get("email_verified").filter(|_| is_address);
        if verified.is_some_and(|verified| *verified != Value::Bool(true) && verified.as_str() != Some("true")) {
            return Err(JwtFault::Unverified);
        }
        let said = claim(claims, &self.name_claim).and_then(Value::as_str).ok_or(JwtFault::Name)?;
        let name = match &self.strip_domain {
            Some(domain) => {
                let (name, of) = said.rsplit_once('@').ok_or(JwtFault::Name)?;
                if of.eq_ignore_ascii_case(domain) { name } else { return Err(JwtFault::Name) }
            }
            None => said,
        };
        UserName::parse(name).map_err(|_| JwtFault::Name)
    }

    /// A list, or words as in `scope`. What is no name of a group is none of ours.
    fn groups(&self, claims: &Object) -> Result<Vec<GroupName>, JwtFault> {
        let said = self.groups_claim.as_ref().and_then(|name| claim(claims, name));
        let words: Vec<&str> = match said {
            None => Vec::new(),
            Some(Value::String(words)) => words.split_ascii_whitespace().collect(),
            Some(Value::Array(list)) => {
                list.iter().map(Value::as_str).collect::<Option<_>>().ok_or(JwtFault::Rights)?
            }
            Some(_) => return Err(JwtFault::Rights),
        };
        if words.len() > MOST_GROUPS {
            return Err(JwtFault::Rights);
        }
        let mut groups: Vec<_> = words.into_iter().filter_map(|word| GroupName::parse(word).ok()).collect();
        groups.sort();
        groups.dedup();
        Ok(groups)
    }

    /// `{"rooms":{"ops.*":["join","publish"]},"direct":["*"],"admin":"view"}`, all of it right or nothing.
    fn rights(&self, claims: &Object) -> Result<Own, JwtFault> {
        let said = self.rights_claim.as_ref().and_then(|name| claim(claims, name));
        let Some(said) = said else { return Ok(Own::default()) };
        let said = said.as_object().ok_or(JwtFault::Rights)?;
        let glob = |text: &str| Glob::parse(text).map_err(|_| JwtFault::Rights);
        let texts = |value: &Value| -> Result<Vec<String>, JwtFault> {
            let texts = value.as_array().ok_or(JwtFault::Rights)?.iter();
            texts.map(|text| text.as_str().map(str::to_owned).ok_or(JwtFault::Rights)).collect()
        };
        let mut grants = Grants::new();
        if let Some(rooms) = said.get("rooms") {
            for (rooms, words) in rooms.as_object().ok_or(JwtFault::Rights)? {
                let words = texts(words)?.into_iter();
                let rights = words.map(|word| word.parse::<Rights>().map_err(|_| JwtFault::Rights));
                grants.grant(glob(rooms)?, rights.collect::<Result<_, _>>()?);
            }
        }
        let direct = said.get("direct").map_or_else(|| Ok(Vec::new()), texts)?;
        let direct: Vec<_> = direct.iter().map(|names| glob(names)).collect::<Result<_, _>>()?;
        if grants.iter().len() > MOST_GLOBS || direct.len() > MOST_GLOBS {
            return Err(JwtFault::Rights);
        }
        let right = |word: &Value| word.as_str().and_then(AdminRight::parse).ok_or(JwtFault::Rights);
        let admin = said.get("admin").map(right).transpose()?;
        Ok(Own { grants, direct, admin })
    }
}

/// What a token's own claim gives.
#[derive(Default)]
struct Own {
    grants: Grants,
    direct: Vec<Glob>,
    admin: Option<AdminRight>,
}

/// The claim that is called so; else what its words lead to through objects, as `realm_access.roles`.
fn claim<'a>(claims: &'a Object, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let mut words = name.split('.');
        let first = claims.get(words.next()?)?;
        words.try_fold(first, |value, word| value.as_object()?.get(word))
    })
}

/// An end, or the last second that can be written.
pub(crate) fn at_most_written(end: SystemTime) -> SystemTime {
    end.min(UNIX_EPOCH + LAST_SECOND)
}

/// A `NumericDate`: a number of seconds since 1970 that a clock can show, and nothing that is meant to be one (RFC 7519 §2).
fn seconds(claims: &Object, name: &str) -> Result<Option<Duration>, JwtFault> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let Value::Number(number) = value else { return Err(JwtFault::Time) };
    let number = number.as_f64().filter(|number| (0.0..END_OF_TIME).contains(number)).ok_or(JwtFault::Time)?;
    let seconds = Duration::try_from_secs_f64(number).map_err(|_| JwtFault::Time)?.as_secs();
    // To the second: what a float has beyond it is noise.
    Ok(Some(Duration::from_secs(seconds)))
}
