//! A JWT taken apart: three parts of base64url, of which the first two are JSON (RFC 7515, RFC 7519).
//!
//! What a token says where its own keys are (`jwk`, `jku`, `x5u`, `x5c`) is not looked at. Nothing here is to be believed until
//! [`Compact::is_signed_by`] says so.

use super::algorithm::Algorithm;
use super::fault::JwtFault;
use super::json::{self, Object};
use super::key::VerifyingKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The longest token.
pub(crate) const TOKEN_BYTES: usize = 8 << 10;

/// A token in its parts.
#[derive(Debug)]
pub(crate) struct Compact<'a> {
    /// None: one that nobody here has.
    pub(super) algorithm: Option<Algorithm>,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
    /// What it says.
    pub(super) claims: Object,
    /// What is signed.
    message: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Whether a text could be a JWT, and is worth its checks.
    pub(crate) fn is_one(text: &str) -> bool {
        text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Takes one apart.
    pub(crate) fn parse(token: &'a str) -> Result<Self, JwtFault> {
        if token.len() > TOKEN_BYTES {
            return Err(JwtFault::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(JwtFault::Form)?;
        let (header, claims) = message.split_once('.').ok_or(JwtFault::Form)?;
        // Strictly: no padding, no whitespace, no bits that mean nothing, and no fourth part, which has a dot.
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtFault::Form);
        let [header, claims, signature] = [decoded(header)?, decoded(claims)?, decoded(signature)?];
        let header = json::object(&header).ok_or(JwtFault::Header)?;
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(JwtFault::Extension);
        }
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(JwtFault::Header),
        };
        Ok(Self {
            algorithm: text("alg")?.and_then(Algorithm::named),
            kid: text("kid")?.map(str::to_owned),
            typ: text("typ")?.map(str::to_owned),
            claims: json::object(&claims).ok_or(JwtFault::Claims)?,
            message: message.as_bytes(),
            signature,
        })
    }

    /// Whether `key`, which is for its algorithm, has signed it.
    pub(super) fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        self.algorithm == Some(key.algorithm) && key.has_signed(self.message, &self.signature)
    }

    /// Who says to have issued it.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }
}
