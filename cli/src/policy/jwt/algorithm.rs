//! The algorithms of signatures that are taken, and by what *ring* does them.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    VerificationAlgorithm,
};
use std::fmt;
use std::str::FromStr;
use switchboard_load::typed::did_you_mean;

/// One of them. A key has exactly one (RFC 8725 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Algorithm {
    EdDsa,
    Es256,
    Es384,
    Rs256,
    Ps256,
    /// By a secret that the issuer and this server share.
    Hs256,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 6] = [Self::EdDsa, Self::Es256, Self::Es384, Self::Rs256, Self::Ps256, Self::Hs256];

    /// As `alg` has it; case matters (RFC 7515 §4.1.1).
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Hs256 => "HS256",
        }
    }

    /// Which one is called so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Of those with public keys.
    pub(crate) fn verification(self) -> Option<&'static dyn VerificationAlgorithm> {
        match self {
            Self::EdDsa => Some(&ED25519),
            Self::Es256 => Some(&ECDSA_P256_SHA256_FIXED),
            Self::Es384 => Some(&ECDSA_P384_SHA384_FIXED),
            Self::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
            Self::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
            Self::Hs256 => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::named(text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            format!("`{text}` is not one of {}{}", names.join(", "), did_you_mean(text, names))
        })
    }
}
