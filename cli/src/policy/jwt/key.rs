//! One key by which a source signs: from a PEM file, a JWKS, or a secret.
//!
//! Where it comes from, and which token it is asked about, is not known here.

use super::algorithm::Algorithm;
use super::json::Object;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use ring::hmac;
use ring::signature::UnparsedPublicKey;
use std::fmt;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode as _, Reader as _, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// Shorter ones can be broken (RFC 7518 §3.3).
const LEAST_RSA_BITS: usize = 2048;

/// What *ring* takes.
const MOST_RSA_BITS: usize = 8192;

/// As long as what it makes, or it is the weaker part (RFC 7518 §3.2).
const LEAST_SECRET_BYTES: usize = 32;

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// A key, and the one algorithm that it is for.
#[derive(Clone)]
pub(crate) struct VerifyingKey {
    pub(super) algorithm: Algorithm,
    /// What its issuer calls it. It is compared, and nothing else.
    pub(super) kid: Option<Box<str>>,
    material: Material,
    digest: [u8; SHA256_OUTPUT_LEN],
}

#[derive(Clone)]
enum Material {
    Public(UnparsedPublicKey<Box<[u8]>>),
    Secret(hmac::Key),
}

impl VerifyingKey {
    fn public(algorithm: Algorithm, bytes: Vec<u8>) -> Result<Self, String> {
        let verification = algorithm.verification().ok_or_else(|| format!("{algorithm} has no public keys"))?;
        let digest = digest(algorithm, &bytes);
        let material = Material::Public(UnparsedPublicKey::new(verification, bytes.into()));
        Ok(Self { algorithm, kid: None, material, digest })
    }

    /// Of an HS256 secret.
    pub(super) fn secret(secret: &[u8]) -> Result<Self, String> {
        if secret.len() < LEAST_SECRET_BYTES {
            return Err(format!("a secret of {} bytes; HS256 needs {LEAST_SECRET_BYTES}", secret.len()));
        }
        let (algorithm, material) = (Algorithm::Hs256, Material::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret)));
        Ok(Self { algorithm, kid: None, material, digest: digest(algorithm, secret) })
    }

    /// Of what stands between `BEGIN PUBLIC KEY` and its end. Of an RSA key the source's algorithms say which it is for.
    pub(super) fn of_spki(der: &[u8], listed: &[Algorithm]) -> Result<Self, String> {
        let key = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| "not a public key".to_owned())?;
        let bytes = key.subject_public_key.as_bytes().ok_or("not a public key")?;
        match key.algorithm.oid {
            ED25519 => ed25519(bytes),
            EC => {
                let curve = key.algorithm.parameters.and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
                let algorithm = match curve {
                    Some(P256) => Algorithm::Es256,
                    Some(P384) => Algorithm::Es384,
                    _ => return Err("a curve other than P-256 and P-384".to_owned()),
                };
                curve_point(algorithm, bytes)
            }
            RSA => {
                let (modulus, exponent) = rsa_numbers(bytes).ok_or("not an RSA key")?;
                rsa(of_rsa(listed)?, modulus, exponent)
            }
            RSA_PSS => {
                let (modulus, exponent) = rsa_numbers(bytes).ok_or("not an RSA key")?;
                rsa(Algorithm::Ps256, modulus, exponent)
            }
            _ => Err("a public key of a kind that is not taken: Ed25519, P-256, P-384 and RSA are".to_owned()),
        }
    }

    /// Of one entry of a JWKS (RFC 7517).
    pub(super) fn of_jwk(jwk: &Object, listed: &[Algorithm]) -> Result<Self, String> {
        let text = |name: &str| match jwk.get(name) {
            Some(value) => value.as_str().map(Some).ok_or_else(|| format!("its `{name}` is not a text")),
            None => Ok(None),
        };
        if text("use")?.is_some_and(|purpose| purpose != "sig") {
            return Err("its `use` is not sig".to_owned());
        }
        if jwk.get("key_ops").is_some_and(|ops| !ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")))
        {
            return Err("its `key_ops` lack verify".to_owned());
        }
        let number = |name: &str| {
            let digits = text(name)?.ok_or_else(|| format!("it has no `{name}`"))?;
            URL_SAFE_NO_PAD.decode(digits).map_err(|_| format!("its `{name}` is not base64url"))
        };
        let key = match (text("kty")?, text("crv")?) {
            (Some("OKP"), Some("Ed25519")) => ed25519(&number("x")?)?,
            (Some("EC"), Some(curve @ ("P-256" | "P-384"))) => {
                let algorithm = if curve == "P-256" { Algorithm::Es256 } else { Algorithm::Es384 };
                curve_point(algorithm, &[vec![4], number("x")?, number("y")?].concat())?
            }
            (Some("RSA"), None) => {
                let algorithm = match text("alg")? {
                    Some(name) => Algorithm::named(name).ok_or("its `alg` is not taken")?,
                    None => of_rsa(listed)?,
                };
                rsa(algorithm, &number("n")?, &number("e")?)?
            }
            (Some("oct"), _) => return Err("it is a secret (`oct`), which nobody publishes".to_owned()),
            _ => return Err("its `kty` and `crv` are not taken".to_owned()),
        };
        if text("alg")?.is_some_and(|name| name != key.algorithm.name()) {
            return Err("its `alg` is not what such a key is for".to_owned());
        }
        Ok(Self { kid: text("kid")?.map(Into::into), ..key })
    }

    /// Whether `signature` is this key's, over `message`.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Public(key) => key.verify(message, signature).is_ok(),
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }

    /// What it is told apart from others by: of what signs, whatever it is called.
    pub(super) fn digest(&self) -> &[u8; SHA256_OUTPUT_LEN] {
        &self.digest
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.kid, &self.digest) == (&other.kid, &other.digest)
    }
}

impl Eq for VerifyingKey {}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({}, {:?})", self.algorithm, self.kid)
    }
}

fn digest(algorithm: Algorithm, bytes: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    let mut context = Context::new(&SHA256);
    context.update(algorithm.name().as_bytes());
    context.update(&[0]);
    context.update(bytes);
    let mut digest = [0; SHA256_OUTPUT_LEN];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// What an RSA key is for that does not say it itself.
fn of_rsa(listed: &[Algorithm]) -> Result<Algorithm, String> {
    match [Algorithm::Rs256, Algorithm::Ps256].map(|algorithm| listed.contains(&algorithm)) {
        [true, false] => Ok(Algorithm::Rs256),
        [false, true] => Ok(Algorithm::Ps256),
        [false, false] => Err("an RSA key, and neither RS256 nor PS256 is among `algorithms`".to_owned()),
        [true, true] => Err("an RSA key without `alg`: list RS256 or PS256, not both".to_owned()),
    }
}

fn ed25519(point: &[u8]) -> Result<VerifyingKey, String> {
    if point.len() != 32 {
        return Err("not an Ed25519 key".to_owned());
    }
    VerifyingKey::public(Algorithm::EdDsa, point.to_vec())
}

fn curve_point(algorithm: Algorithm, point: &[u8]) -> Result<VerifyingKey, String> {
    let number_bytes = if algorithm == Algorithm::Es256 { 32 } else { 48 };
    if point.len() != 1 + 2 * number_bytes || point[0] != 4 {
        return Err("not an uncompressed point of its curve".to_owned());
    }
    VerifyingKey::public(algorithm, point.to_vec())
}

fn rsa(algorithm: Algorithm, modulus: &[u8], exponent: &[u8]) -> Result<VerifyingKey, String> {
    let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !(LEAST_RSA_BITS..=MOST_RSA_BITS).contains(&bits) {
        return Err(format!("an RSA key of {bits} bits; {LEAST_RSA_BITS} to {MOST_RSA_BITS} are taken"));
    }
    // RSAPublicKey (RFC 8017 A.1.1).
    let numbers = [integer(modulus), integer(exponent)].concat();
    VerifyingKey::public(algorithm, tagged(0x30, &numbers))
}

/// Modulus and exponent of an `RSAPublicKey`.
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = SliceReader::new(der).ok()?;
    let numbers =
        reader.sequence(|reader| Ok::<_, x509_cert::der::Error>((UintRef::decode(reader)?, UintRef::decode(reader)?)));
    let (modulus, exponent) = numbers.ok()?;
    reader.is_finished().then(|| (modulus.as_bytes(), exponent.as_bytes()))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// A positive INTEGER of DER.
fn integer(number: &[u8]) -> Vec<u8> {
    // The first bit would be a sign.
    let is_negative = number.first().is_none_or(|byte| byte & 0x80 != 0);
    let content = [if is_negative { &[0][..] } else { &[] }, number].concat();
    tagged(0x02, &content)
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = without_zeros(&length);
    let head = match content.len() {
        short @ 0..=127 => vec![tag, short as u8],
        _ => [&[tag, 0x80 | length.len() as u8][..], length].concat(),
    };
    [head, content.to_vec()].concat()
}
