//! `[jwt.NAME]` of the file: whose tokens are taken, how they are checked, and what they may say.

use super::algorithm::Algorithm;
use super::keys::KeySet;
use super::place::Fetch;
use crate::policy::rules::{AdminRight, At};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use std::time::{Duration, SystemTime};
use switchboard::{Glob, UserName};

/// A source of JWTs, as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JwtSection {
    pub(crate) at: At,
    pub(crate) name: String,
    /// `iss`, letter by letter.
    pub(crate) issuer: String,
    pub(crate) audience: Audience,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) keys: KeysFrom,
    /// Whom to believe at a URL; without: what the machine trusts.
    pub(crate) keys_ca: Option<String>,
    /// What stands for that file, once it is read.
    pub(crate) mark: Option<String>,
    /// What its files hold, once they are read, or what was kept of its URL.
    pub(crate) read: KeySet,
    /// When that was fetched.
    pub(crate) fetched: Option<SystemTime>,
    pub(crate) fetch: Fetch,
    /// Which claim is the name.
    pub(crate) name_claim: String,
    /// Of a name that is an address, the part that each has to have and that is left out.
    pub(crate) strip_domain: Option<String>,
    /// Whom it may speak for.
    pub(crate) names: Vec<Glob>,
    pub(crate) groups_claim: Option<String>,
    pub(crate) rights_claim: Option<String>,
    /// The most that its tokens may do with the server.
    pub(crate) admin: Option<AdminRight>,
    pub(crate) typ: Option<String>,
    /// How long a token may be good for; none: as long as it says.
    pub(crate) max_age: Option<Duration>,
    /// How far clocks may differ.
    pub(crate) leeway: Duration,
}

/// For whom a token has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Also for others.
    Any,
    /// One of these, letter by letter.
    OneOf(Vec<String>),
}

/// Where the keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeysFrom {
    Files(Vec<(At, String)>),
    /// A JWKS that is fetched.
    Url(At, String),
}

impl JwtSection {
    /// Whether it may speak for whoever is called so, as far as it alone is concerned.
    pub(crate) fn issues(&self, name: &UserName) -> bool {
        self.names.iter().any(|glob| glob.matches(name.as_str(), None))
    }

    /// What may not be meant, and keys that are left out.
    pub(crate) fn warnings(&self, free_names: &[Glob]) -> impl Iterator<Item = String> {
        let all = free_names.is_empty() && self.names.iter().any(|glob| ["*", "**"].contains(&glob.as_str()));
        let all = all.then(|| "`names` has every name, so that nobody without a token can choose one".to_owned());
        all.into_iter().chain(self.notes()).map(|text| format!("jwt.{}: {text}", self.name))
    }

    /// Where its keys are fetched, if they are.
    pub(crate) fn url(&self) -> Option<&str> {
        match &self.keys {
            KeysFrom::Url(_, url) => Some(url),
            KeysFrom::Files(_) => None,
        }
    }

    /// Whether what was fetched for `other` holds for this one too.
    pub(crate) fn fetches_as(&self, other: &Self) -> bool {
        let is_same_place = self.url() == other.url() && self.keys_ca == other.keys_ca;
        self.url().is_some() && is_same_place && self.algorithms == other.algorithms
    }

    /// Keys that are left out.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> {
        self.read.notes.iter().cloned()
    }

    /// Of all by which a token of its is judged, but for keys and names, which are looked at anew.
    pub(crate) fn digest(&self) -> [u8; SHA256_OUTPUT_LEN] {
        let Self { issuer, audience, algorithms, name_claim, strip_domain, .. } = self;
        let Self { groups_claim, rights_claim, admin, typ, max_age, leeway, .. } = self;
        let judged = format!(
            "{issuer:?} {audience:?} {algorithms:?} {name_claim:?} {strip_domain:?} {groups_claim:?} {rights_claim:?} {admin:?} {typ:?} {max_age:?} {leeway:?}"
        );
        let mut own = [0; SHA256_OUTPUT_LEN];
        own.copy_from_slice(digest(&SHA256, judged.as_bytes()).as_ref());
        own
    }
}
