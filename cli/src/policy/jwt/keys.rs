//! The keys of a source: all that one file or one answer holds, and which of them a token is to be checked by.

use super::algorithm::Algorithm;
use super::json;
use super::key::VerifyingKey;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;

/// The longest file or answer.
pub(crate) const KEYS_BYTES: usize = 64 << 10;

/// Keys of one source.
const MOST_KEYS: usize = 64;

/// Longest part of a `kid` that is told.
const SHOWN_CHARACTERS: usize = 60;

/// Keys, and what was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeySet {
    keys: Vec<VerifyingKey>,
    /// What is told of keys that are there and are not taken.
    pub(crate) notes: Vec<String>,
}

impl KeySet {
    /// What `bytes` hold for a source of these algorithms: PEM, a JWKS, or a secret.
    ///
    /// # Errors
    /// Not one key of it can be used.
    pub(crate) fn read(bytes: &[u8], listed: &[Algorithm]) -> Result<Self, String> {
        if bytes.len() > KEYS_BYTES {
            return Err(format!("longer than {KEYS_BYTES} bytes"));
        }
        let text = bytes.trim_ascii();
        let is_pem = memchr::memmem::find(text, b"-----BEGIN ").is_some();
        let is_json = text.first() == Some(&b'{');
        if listed.contains(&Algorithm::Hs256) {
            if is_pem || is_json {
                return Err("public keys, and not the secret that HS256 needs".to_owned());
            }
            return Ok(Self { keys: vec![VerifyingKey::secret(text)?], notes: Vec::new() });
        }
        if is_json { Self::of_jwks(text, listed) } else { Self::of_pem(text, listed) }
    }

    /// All `BEGIN PUBLIC KEY` of a file, each of which has to be right: a person wrote it.
    fn of_pem(text: &[u8], listed: &[Algorithm]) -> Result<Self, String> {
        if memchr::memmem::find(text, b"PRIVATE KEY-----").is_some() {
            return Err(
                "a private key, which stays with whoever signs: `openssl pkey -in FILE -pubout` gives the public one"
                    .to_owned(),
            );
        }
        let mut keys = Vec::new();
        for der in SubjectPublicKeyInfoDer::pem_slice_iter(text) {
            let der = der.map_err(|error| format!("not PEM: {error}"))?;
            keys.push(VerifyingKey::of_spki(&der, listed)?);
        }
        if keys.is_empty() {
            return Err("neither a JWKS nor PEM with a public key (BEGIN PUBLIC KEY)".to_owned());
        }
        Self::default().and(Self { keys, notes: Vec::new() }, listed)
    }

    /// A JWKS, whose other keys may be for others.
    fn of_jwks(text: &[u8], listed: &[Algorithm]) -> Result<Self, String> {
        let jwks = json::object(text).ok_or("not JSON that means one thing")?;
        let entries = jwks.get("keys").and_then(|keys| keys.as_array()).ok_or("not a JWKS: it has no list `keys`")?;
        let mut set = Self::default();
        for (index, entry) in entries.iter().take(MOST_KEYS).enumerate() {
            let kid = entry.get("kid").and_then(|kid| kid.as_str());
            let called = kid.map_or_else(|| format!("key {}", index + 1), |kid| format!("key `{}`", shown(kid)));
            let read = entry.as_object().ok_or_else(|| "it is no object".to_owned());
            let read = read.and_then(|jwk| VerifyingKey::of_jwk(jwk, listed)).and_then(|key| set.fitting(key, listed));
            match read {
                Ok(key) => set.keys.push(key),
                Err(fault) => set.notes.push(format!("{called} is left out: {fault}")),
            }
        }
        if entries.len() > MOST_KEYS {
            set.notes.push(format!("{} keys, of which the first {MOST_KEYS} are taken", entries.len()));
        }
        if set.keys.is_empty() {
            let notes = if set.notes.is_empty() { "it is empty".to_owned() } else { set.notes.join("; ") };
            return Err(format!("no key of it can be used: {notes}"));
        }
        Ok(set)
    }

    /// The keys of several files together.
    ///
    /// # Errors
    /// One is there twice, or two could not be told apart by a token.
    pub(crate) fn and(mut self, other: Self, listed: &[Algorithm]) -> Result<Self, String> {
        for key in other.keys {
            let key = self.fitting(key, listed)?;
            self.keys.push(key);
        }
        self.notes.extend(other.notes);
        if self.keys.len() > MOST_KEYS {
            return Err(format!("{} keys; there may be {MOST_KEYS}", self.keys.len()));
        }
        Ok(self)
    }

    /// A key, if it is for a listed algorithm, and a token can say that it means this one.
    fn fitting(&self, key: VerifyingKey, listed: &[Algorithm]) -> Result<VerifyingKey, String> {
        let algorithm = key.algorithm;
        if !listed.contains(&algorithm) {
            return Err(format!("it is for {algorithm}, which is not among `algorithms`"));
        }
        let mut others = self.keys.iter();
        if others.any(|other| other.kid == key.kid && (key.kid.is_some() || other.algorithm == algorithm)) {
            return Err(match &key.kid {
                Some(_) => "another one is called so".to_owned(),
                None => format!("two keys of {algorithm} without `kid`: a JWKS tells them apart"),
            });
        }
        Ok(key)
    }

    /// By which key a token is to be checked that says this of itself. Without a `kid` there has to be only one of the algorithm; and a
    /// key that has none, as in PEM, is meant by any.
    pub(super) fn key(&self, algorithm: Algorithm, kid: Option<&str>) -> Option<&VerifyingKey> {
        let of_algorithm = || self.keys.iter().filter(|key| key.algorithm == algorithm);
        let Some(kid) = kid else {
            let mut keys = of_algorithm();
            return keys.next().filter(|_| keys.next().is_none());
        };
        let called = self.keys.iter().find(|key| key.kid.as_deref() == Some(kid));
        match called {
            Some(key) => Some(key).filter(|key| key.algorithm == algorithm),
            None => of_algorithm().find(|key| key.kid.is_none()),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.iter()
    }

    /// What stands for each of them, so that one sees whether they are others.
    pub(crate) fn marks(&self) -> impl Iterator<Item = String> {
        self.keys.iter().map(|key| format!("{:?} {:?}", key.kid, key.digest()))
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

fn shown(kid: &str) -> String {
    let shown: String = kid.chars().take(SHOWN_CHARACTERS).collect();
    let more = if shown.len() < kid.len() { "…" } else { "" };
    format!("{}{more}", shown.escape_debug())
}
