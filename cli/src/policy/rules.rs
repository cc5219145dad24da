//! What the file says of who may do what: plain values, each with its place. What they mean together is not known here.

use super::callout::CalloutSection;
use super::jwt::section::JwtSection;
use super::token::TokenHash;
use ipnet::IpNet;
use std::fmt;
use std::time::SystemTime;
use switchboard::rule::Who;
use switchboard::{Glob, GroupName, Rights, UserName};

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
}

impl Rules {
    /// Whether there is nothing to enforce.
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
            && self.groups.is_empty()
            && self.anonymous.is_none()
            && self.sections.is_empty()
            && self.jwt.is_empty()
            && self.callout.is_none()
    }
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
    pub(crate) from: Vec<IpNet>,
}

/// `[groups.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupSection {
    pub(crate) at: At,
    pub(crate) name: GroupName,
    pub(crate) grants: Vec<Grant>,
    pub(crate) direct: Vec<Direct>,
}

/// `[anonymous]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnonymousSection {
    pub(crate) at: At,
    pub(crate) grants: Vec<Grant>,
    pub(crate) direct: Vec<Direct>,
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
