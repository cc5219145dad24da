//! What the file says of who may do what: plain values, each with its place. What they mean together is not known here.

use super::callout::CalloutSection;
use super::datagrams::DatagramKey;
use super::jwt::section::JwtSection;
use super::peers::{PASSWD_BYTES, logins};
use super::token::TokenHash;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::time::{Duration, SystemTime};
use switchboard::rule::Who;
use switchboard::{Glob, GroupName, IpNetwork, Rights, UserName};

/// Where something stands in the file. Both count from 1, and columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A token that expires within this time is told of.
const EXPIRES_SOON: Duration = Duration::from_hours(14 * 24);

/// All that the file says of it; empty without a file, or if it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) tokens: Vec<TokenSection>,
    pub(crate) groups: Vec<GroupSection>,
    /// For everybody, also those without a credential.
    pub(crate) anonymous: Option<AnonymousSection>,
    /// Those of `[rooms."glob"]` that give rights; what else a room's section sets is not of this kind.
    pub(crate) sections: Vec<RoomSection>,
    /// Others whose word is taken for who somebody is.
    pub(crate) jwt: Vec<JwtSection>,
    /// Who is asked about tokens that nobody else knows.
    pub(crate) callout: Option<CalloutSection>,
    /// Who may be named by certificates and as users of this machine.
    pub(crate) names: Vec<NameSection>,
    /// Those users, if somebody may.
    pub(crate) logins: BTreeMap<u32, UserName>,
}

impl Rules {
    /// What those without a credential may be called, whatever else issues such names.
    pub(crate) fn free_names(&self) -> &[Glob] {
        self.anonymous.as_ref().map_or(&[][..], |anonymous| &anonymous.names)
    }

    /// Tokens that have expired at `now`, and those that will within two weeks, in words.
    pub(crate) fn expiring(&self, now: SystemTime) -> Vec<String> {
        let told = |token: &TokenSection| {
            let end = token.expires?;
            let date = humantime::format_rfc3339_seconds(end);
            match end.duration_since(now) {
                Ok(left) if left > EXPIRES_SOON => None,
                Ok(left) if !left.is_zero() => {
                    Some(format!("tokens.{}: it expires in {} h, at {date}", token.name, left.as_secs() / 3600))
                }
                _ => Some(format!("tokens.{}: it has expired, at {date}", token.name)),
            }
        };
        self.tokens.iter().filter_map(told).collect()
    }

    /// Whether there is nothing to enforce.
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
            && self.groups.is_empty()
            && self.anonymous.is_none()
            && self.sections.is_empty()
            && self.jwt.is_empty()
            && self.callout.is_none()
            && self.names.is_empty()
    }

    /// Reads who the users of this machine are, if that matters.
    pub(crate) fn read_logins(&mut self) {
        let mut text = String::new();
        if !self.names.is_empty() {
            // Without such a file there are none; a number in the file of settings counts all the same.
            let _ = File::open("/etc/passwd").and_then(|file| file.take(PASSWD_BYTES).read_to_string(&mut text));
        }
        self.logins = logins(&text).into_iter().collect();
        self.logins.extend(self.names.iter().filter_map(|section| {
            let name = UserName::parse(section.names.as_str()).ok()?;
            Some((section.uid?, name))
        }));
    }
}

/// `[names."GLOB"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameSection {
    pub(crate) at: At,
    pub(crate) names: Glob,
    /// Each is a group of the file.
    pub(crate) groups: Vec<GroupName>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) direct: Vec<Direct>,
    /// The user of this machine who is called so, whatever its login is.
    pub(crate) uid: Option<u32>,
}

/// `[tokens.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenSection {
    pub(crate) at: At,
    pub(crate) name: UserName,
    /// SHA-256 of the whole token: one, or two while it is changed.
    pub(crate) hashes: Vec<TokenHash>,
    /// Each is a group of the file.
    pub(crate) groups: Vec<GroupName>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) direct: Vec<Direct>,
    /// From then on it is expired.
    pub(crate) expires: Option<SystemTime>,
    /// Whence it may come; empty: from anywhere.
    pub(crate) from: Vec<IpNetwork>,
    /// By which its datagrams are signed.
    pub(crate) datagram_key: Option<DatagramKey>,
    /// What it may do with the server.
    pub(crate) admin: Option<AdminRight>,
}

/// What somebody may do with the server itself, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AdminRight {
    /// See everything.
    View,
    /// And change it.
    Act,
}

impl AdminRight {
    /// As the file says it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Act => "act",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::View, Self::Act].into_iter().find(|right| right.word() == word)
    }
}

/// `[groups.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupSection {
    pub(crate) at: At,
    pub(crate) name: GroupName,
    pub(crate) grants: Vec<Grant>,
    pub(crate) direct: Vec<Direct>,
    pub(crate) admin: Option<AdminRight>,
}

/// `[anonymous]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnonymousSection {
    pub(crate) at: At,
    pub(crate) grants: Vec<Grant>,
    pub(crate) direct: Vec<Direct>,
    /// What they may be called, whatever else issues such names.
    pub(crate) names: Vec<Glob>,
}

/// Rights in the rooms of a glob: one entry of `rooms = { … }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) at: At,
    pub(crate) rooms: Glob,
    pub(crate) rights: Rights,
}

/// To whom one may write directly: one entry of `direct = […]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Direct {
    pub(crate) at: At,
    pub(crate) names: Glob,
}

/// What `[rooms."glob"]` says of rights: each with the place of its own line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoomSection {
    pub(crate) at: At,
    pub(crate) rooms: Glob,
    /// Who alone may do anything there; each group is one of the file.
    pub(crate) only: Option<(At, Vec<Who>)>,
    pub(crate) anyone: Option<(At, Rights)>,
    pub(crate) named: Option<(At, Rights)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    impl TokenSection {
        /// Of `name`, by the hashes of these tokens, and no more.
        pub(crate) fn of(name: &str, tokens: &[&str]) -> Self {
            Self {
                at: At { line: 1, column: 1 },
                name: UserName::parse(name).unwrap(),
                hashes: tokens.iter().map(|token| TokenHash::of(token)).collect(),
                groups: Vec::new(),
                grants: Vec::new(),
                direct: Vec::new(),
                expires: None,
                from: Vec::new(),
                datagram_key: None,
                admin: None,
            }
        }
    }

    #[test]
    fn tokens_that_expire_within_two_weeks_are_told_of() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 20_000);
        let token = |name: &str, expires| TokenSection { expires, ..TokenSection::of(name, &[]) };
        let tokens = vec![
            token("never", None),
            token("later", Some(now + EXPIRES_SOON + Duration::from_secs(1))),
            token("soon", Some(now + EXPIRES_SOON)),
            token("now", Some(now)),
            token("long-ago", Some(SystemTime::UNIX_EPOCH)),
        ];
        let told = Rules { tokens, ..Rules::default() }.expiring(now);
        assert_eq!(
            told,
            [
                "tokens.soon: it expires in 336 h, at 2024-10-18T00:00:00Z",
                "tokens.now: it has expired, at 2024-10-04T00:00:00Z",
                "tokens.long-ago: it has expired, at 1970-01-01T00:00:00Z",
            ]
        );
    }
}
