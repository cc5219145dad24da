//! `[jwt.NAME]` of the file: whose tokens are taken, how they are checked, and what they may say.

use super::algorithm::Algorithm;
use super::keys::KeySet;
use crate::policy::rules::At;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use std::time::Duration;
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
    /// What its files hold, once they are read. Nothing of a URL.
    pub(crate) read: KeySet,
    /// Which claim is the name.
    pub(crate) name_claim: String,
    /// Of a name that is an address, the part that each has to have and that is left out.
    pub(crate) strip_domain: Option<String>,
    /// Whom it may speak for.
    pub(crate) names: Vec<Glob>,
    pub(crate) groups_claim: Option<String>,
    pub(crate) rights_claim: Option<String>,
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
}

impl JwtSection {
    /// Whether it may speak for whoever is called so, as far as it alone is concerned.
    pub(crate) fn issues(&self, name: &UserName) -> bool {
        self.names.iter().any(|glob| glob.matches(name.as_str(), None))
    }

    /// What may not be meant, and keys that are left out.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        let all = self.names.iter().any(|glob| ["*", "**"].contains(&glob.as_str()));
        let all = all.then(|| "`names` has every name, so that nobody without a token can choose one".to_owned());
        all.into_iter().chain(self.notes()).map(|text| format!("jwt.{}: {text}", self.name))
    }

    /// Keys that are left out.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> {
        self.read.notes.iter().cloned()
    }

    /// Of all by which a token of its is judged, but for keys and names, which are looked at anew.
    pub(crate) fn digest(&self) -> [u8; SHA256_OUTPUT_LEN] {
        let Self { issuer, audience, algorithms, name_claim, strip_domain, .. } = self;
        let Self { groups_claim, rights_claim, typ, max_age, leeway, .. } = self;
        let judged = format!(
            "{issuer:?} {audience:?} {algorithms:?} {name_claim:?} {strip_domain:?} {groups_claim:?} {rights_claim:?} {typ:?} {max_age:?} {leeway:?}"
        );
        let mut own = [0; SHA256_OUTPUT_LEN];
        own.copy_from_slice(digest(&SHA256, judged.as_bytes()).as_ref());
        own
    }
}
