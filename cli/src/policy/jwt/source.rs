//! A source of JWTs that is in force: its checks in their order, and what it is known by afterwards.

use super::asking::Asking;
use super::claims::Vouched;
use super::compact::Compact;
use super::fault::JwtFault;
use super::key::VerifyingKey;
use super::keys::KeySet;
use super::section::JwtSection;
use parking_lot::RwLock;
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A source and its keys.
#[derive(Debug)]
pub(crate) struct JwtSource {
    pub(crate) section: JwtSection,
    digest: [u8; SHA256_OUTPUT_LEN],
    /// None until some were fetched.
    keys: RwLock<Option<Arc<Stamped>>>,
    /// When they were fetched last, whether or not they were others.
    fetched: RwLock<Option<SystemTime>>,
    /// When they are fetched, if they are at a URL.
    asking: Option<Arc<Asking>>,
}

/// Keys, and what stands for each of them.
#[derive(Debug)]
struct Stamped {
    keys: KeySet,
    stamps: Vec<String>,
}

/// Whom a token is of, and by which key that was shown.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) vouched: Vouched,
    /// Eight digits for the key, and all that the source checks.
    pub(crate) stamp: String,
}

impl JwtSource {
    pub(crate) fn new(section: JwtSection) -> Self {
        let asking = section.url().map(|_| Arc::new(Asking::new(Instant::now())));
        let (read, fetched) = (section.read.clone(), RwLock::new(section.fetched));
        let source = Self { digest: section.digest(), section, keys: RwLock::new(None), fetched, asking };
        if read.len() > 0 {
            source.use_keys(read);
        }
        source
    }

    /// As [`new`](Self::new), but with the keys that `before` has fetched, if they are for this one too.
    pub(crate) fn behind(section: JwtSection, before: &Self) -> Self {
        if !section.fetches_as(&before.section) {
            return Self::new(section);
        }
        let source = Self { asking: before.asking.clone(), ..Self::new(section) };
        if let Some(stamped) = before.keys.read().as_ref() {
            source.use_keys(stamped.keys.clone());
        }
        *source.fetched.write() = *before.fetched.read();
        source
    }

    /// As it is called in logs.
    pub(crate) fn called(&self) -> String {
        format!("jwt.{}", self.section.name)
    }

    pub(crate) fn asking(&self) -> Option<&Arc<Asking>> {
        self.asking.as_ref()
    }

    pub(crate) fn has_keys(&self) -> bool {
        self.keys.read().is_some()
    }

    pub(crate) fn key_count(&self) -> usize {
        self.keys.read().as_ref().map_or(0, |stamped| stamped.keys.len())
    }

    /// When keys were fetched last, whether or not they were others.
    pub(crate) fn fetched(&self) -> Option<SystemTime> {
        *self.fetched.read()
    }

    /// How long ago they were fetched.
    pub(crate) fn keys_age(&self, now: SystemTime) -> Option<Duration> {
        self.fetched.read().map(|fetched| now.duration_since(fetched).unwrap_or_default())
    }

    /// Takes what was fetched, and says whether these are other keys.
    pub(crate) fn take_keys(&self, keys: KeySet, now: SystemTime) -> bool {
        *self.fetched.write() = Some(now);
        let is_other = self.keys.read().as_ref().is_none_or(|stamped| stamped.keys != keys);
        if is_other {
            self.use_keys(keys);
        }
        is_other
    }

    /// Has tokens checked by these keys, and by no others.
    fn use_keys(&self, keys: KeySet) {
        let stamps = keys.iter().map(|key| self.stamp(key)).collect();
        *self.keys.write() = Some(Arc::new(Stamped { keys, stamps }));
    }

    /// Checks a token that says to be this source's.
    pub(crate) fn verify(&self, token: &Compact<'_>, now: SystemTime) -> Result<Verified, JwtFault> {
        if self.section.typ.as_deref().is_some_and(|typ| !is_typ(token.typ.as_deref(), typ)) {
            return Err(JwtFault::Typ);
        }
        let listed = &self.section.algorithms;
        let algorithm = token.algorithm.filter(|algorithm| listed.contains(algorithm)).ok_or(JwtFault::Algorithm)?;
        let keys = self.keys.read().clone().ok_or(JwtFault::Unavailable)?;
        let key = keys.keys.key(algorithm, token.kid.as_deref()).ok_or(JwtFault::Key)?;
        if !token.is_signed_by(key) {
            return Err(JwtFault::Signature);
        }
        let vouched = self.section.judge(&token.claims, now)?;
        Ok(Verified { vouched, stamp: self.stamp(key) })
    }

    /// What stands for a key in a principal, and for everything else by which its token was judged: with another one it is judged anew.
    fn stamp(&self, key: &VerifyingKey) -> String {
        let mut context = Context::new(&SHA256);
        context.update(&self.digest);
        context.update(key.digest());
        let digest = context.finish();
        let mut start = [0; 4];
        start.copy_from_slice(&digest.as_ref()[..4]);
        format!("{:08x}", u32::from_be_bytes(start))
    }

    /// Whether what was stamped so would be taken today.
    pub(crate) fn has_stamp(&self, stamp: &str) -> bool {
        self.keys.read().as_ref().is_some_and(|keys| keys.stamps.iter().any(|known| known == stamp))
    }
}

/// A media type, of which `application/` may be left out (RFC 7515 §4.1.9).
fn is_typ(said: Option<&str>, wanted: &str) -> bool {
    let plain = |typ: &str| {
        let typ = typ.to_ascii_lowercase();
        typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
    };
    said.is_some_and(|said| plain(said) == plain(wanted))
}
