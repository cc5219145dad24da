//! Signing tokens by hand: to try a source out, and for small sites whose issuer is a person.
//!
//! The server signs nothing.

use super::algorithm::Algorithm;
use super::json::Object;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SecureRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

/// A private key, or a secret.
pub(crate) enum Signer {
    Ed25519(Ed25519KeyPair),
    Ecdsa(Algorithm, EcdsaKeyPair),
    /// For RS256, or for PS256.
    Rsa(Algorithm, RsaKeyPair),
    Secret(hmac::Key),
}

/// Why nothing is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignFault {
    #[error("no private key in PEM (BEGIN PRIVATE KEY); `openssl pkcs8 -topk8 -nocrypt -in FILE` makes one of others")]
    NoKey,
    #[error("not a private key of Ed25519, P-256, P-384, or RSA of 2,048 bits or more")]
    Unknown,
    #[error("the key is for another algorithm")]
    OtherAlgorithm,
    #[error("a secret for HS256 has 32 bytes or more")]
    ShortSecret,
    #[error("the system gives no random bytes")]
    NoRandom,
}

impl Signer {
    /// Of a file. What an RSA key signs by, RS256 or PS256, is told; other kinds have one algorithm, and a secret is one if it is for HS256.
    ///
    /// # Errors
    /// It holds no such key, or one for another algorithm.
    pub(crate) fn read(file: &[u8], wanted: Option<Algorithm>, random: &dyn SecureRandom) -> Result<Self, SignFault> {
        if wanted == Some(Algorithm::Hs256) {
            let secret = file.trim_ascii();
            let is_long = secret.len() >= 32;
            return is_long
                .then(|| Self::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret)))
                .ok_or(SignFault::ShortSecret);
        }
        let der = PrivatePkcs8KeyDer::from_pem_slice(file).map_err(|_| SignFault::NoKey)?;
        let der = der.secret_pkcs8_der();
        let ecdsa =
            |algorithm, signing| Some(Self::Ecdsa(algorithm, EcdsaKeyPair::from_pkcs8(signing, der, random).ok()?));
        let rsa = || {
            let algorithm = wanted.filter(|wanted| *wanted == Algorithm::Ps256).unwrap_or(Algorithm::Rs256);
            Some(Self::Rsa(algorithm, RsaKeyPair::from_pkcs8(der).ok()?))
        };
        let signer = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Self::Ed25519);
        let signer = signer
            .or_else(|| ecdsa(Algorithm::Es256, &ECDSA_P256_SHA256_FIXED_SIGNING))
            .or_else(|| ecdsa(Algorithm::Es384, &ECDSA_P384_SHA384_FIXED_SIGNING))
            .or_else(rsa)
            .ok_or(SignFault::Unknown)?;
        let is_wanted = wanted.is_none_or(|wanted| wanted == signer.algorithm());
        is_wanted.then_some(signer).ok_or(SignFault::OtherAlgorithm)
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::EdDsa,
            Self::Ecdsa(algorithm, _) | Self::Rsa(algorithm, _) => *algorithm,
            Self::Secret(_) => Algorithm::Hs256,
        }
    }

    /// A token that says this; its header, whatever `header` has beside the algorithm.
    ///
    /// # Errors
    /// There are no random bytes, which most algorithms need.
    pub(crate) fn sign(
        &self,
        mut header: Object,
        claims: &Object,
        random: &dyn SecureRandom,
    ) -> Result<String, SignFault> {
        header.insert("alg".to_owned(), self.algorithm().name().into());
        let part = |object: &Object| URL_SAFE_NO_PAD.encode(serde_json::Value::from(object.clone()).to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = self.signature(message.as_bytes(), random)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn signature(&self, message: &[u8], random: &dyn SecureRandom) -> Result<Vec<u8>, SignFault> {
        Ok(match self {
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Ecdsa(_, key) => key.sign(random, message).map_err(|_| SignFault::NoRandom)?.as_ref().to_vec(),
            Self::Rsa(algorithm, key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                let padding: &dyn ring::signature::RsaEncoding =
                    if *algorithm == Algorithm::Ps256 { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                key.sign(padding, random, message, &mut signature).map_err(|_| SignFault::NoRandom)?;
                signature
            }
            Self::Secret(key) => hmac::sign(key, message).as_ref().to_vec(),
        })
    }
}
