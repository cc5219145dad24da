//! How a node shows a nats-server who it is: a user's name and password, a token, or a file of credentials, whose seed signs what the
//! server asks.

use crate::files;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::Ed25519KeyPair;
use std::fmt;
use std::io;
use std::path::Path;

/// What a seed begins with once it is decoded: five bits each for "seed" and "user".
const SEED: u8 = 18 << 3;
const USER: u8 = 20 << 3;

/// How long a seed is, decoded: two bytes of what it is, 32 of the key, two of a check.
const SEED_BYTES: usize = 36;

/// The most bytes of a file of credentials.
const FILE_BYTES: u64 = 64 << 10;

/// How a node shows who it is.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum NatsCredentials {
    /// It does not.
    #[default]
    None,
    /// By a token that all share.
    Token(String),
    /// By a name and a password.
    User {
        /// The name.
        name: String,
        /// The password.
        password: String,
    },
    /// By a signed statement of who it is, and a key that proves that it is its own.
    Jwt {
        /// The statement.
        jwt: String,
        /// The seed of the key, as `SU…`.
        seed: String,
    },
}

/// Why a file of credentials is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// It cannot be read.
    #[error("cannot be read")]
    Read(#[from] std::io::Error),
    /// It is longer than 64 KiB.
    #[error("is longer than 64 KiB")]
    Long,
    /// There is nothing in it.
    #[error("is empty")]
    Empty,
    /// There is no such part in it.
    #[error("has no `-----BEGIN {0}-----`")]
    Missing(&'static str),
    /// What it has as a user's seed is none.
    #[error("has a seed that is not a user's")]
    Seed,
}

impl NatsCredentials {
    /// Reads a file of credentials: as `nsc` makes them, a user's JWT and its seed; or one line with `USER:PASSWORD`, or with a token.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn file(path: &Path) -> Result<Self, CredentialsError> {
        let bytes = files::read(path, FILE_BYTES)?;
        if bytes.len() as u64 > FILE_BYTES {
            return Err(CredentialsError::Long);
        }
        let text = String::from_utf8(bytes).map_err(io::Error::other)?;
        match text.trim() {
            "" => Err(CredentialsError::Empty),
            line if !line.contains('\n') => Ok(match line.split_once(':') {
                Some((name, password)) => Self::User { name: name.to_owned(), password: password.to_owned() },
                None => Self::Token(line.to_owned()),
            }),
            _ => Self::parse(&text),
        }
    }

    fn parse(text: &str) -> Result<Self, CredentialsError> {
        let part = |name: &'static str| {
            let missing = CredentialsError::Missing(name);
            let Some((_, behind)) = text.split_once(&format!("BEGIN {name}")) else { return Err(missing) };
            // The rest of that line is dashes; so is what begins the line that ends it.
            let line = behind.lines().skip(1).map(str::trim).find(|line| !line.is_empty());
            line.map(str::to_owned).ok_or(missing)
        };
        let (jwt, seed) = (part("NATS USER JWT")?, part("USER NKEY SEED")?);
        key(&seed).ok_or(CredentialsError::Seed)?;
        Ok(Self::Jwt { jwt, seed })
    }

    /// What of them goes into the words by which a node connects, as JSON; `nonce` is what the server wants to be signed.
    pub(super) fn shown(&self, nonce: &str) -> Vec<(&'static str, String)> {
        match self {
            Self::None => Vec::new(),
            Self::Token(token) => vec![("auth_token", token.clone())],
            Self::User { name, password } => vec![("user", name.clone()), ("pass", password.clone())],
            Self::Jwt { jwt, seed } => {
                // It was one when it was read.
                let signature = key(seed).map(|key| URL_SAFE_NO_PAD.encode(key.sign(nonce.as_bytes())));
                vec![("jwt", jwt.clone()), ("sig", signature.unwrap_or_default())]
            }
        }
    }
}

/// Shows nothing of what is secret.
impl fmt::Debug for NatsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token",
            Self::User { .. } => "User",
            Self::Jwt { .. } => "Jwt",
        })
    }
}

/// The key of a user's seed.
fn key(seed: &str) -> Option<Ed25519KeyPair> {
    let bytes = base32(seed)?;
    let (body, check) = bytes.split_at_checked(SEED_BYTES - 2)?;
    let is_users = body[0] & 0xf8 == SEED && (body[0] & 7) << 5 | (body[1] & 0xf8) >> 3 == USER;
    let is_whole = check.len() == 2 && crc16(body) == u16::from_le_bytes([check[0], check[1]]);
    if is_users && is_whole { Ed25519KeyPair::from_seed_unchecked(&body[2..]).ok() } else { None }
}

/// RFC 4648 §6, without padding.
fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}

/// CRC-16/XMODEM, which keys of NATS end with.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::KeyPair as _;

    /// From the tests of nkeys.
    const USER_SEED: &str = "SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU";

    #[test]
    fn the_seed_of_a_user_is_a_key_and_nothing_else_is() {
        assert_eq!(key(USER_SEED).map(|key| key.public_key().as_ref().len()), Some(32));
        let mut other = USER_SEED.to_owned();
        other.replace_range(10..11, "7");
        assert!(key(&other).is_none(), "its check does not fit");
        for wrong in ["", "SU", "suamlk", &USER_SEED[..40]] {
            assert!(key(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_file_has_a_statement_and_a_seed() {
        let text = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.e30.x\n------END NATS USER JWT------\n\n\
             ***** IMPORTANT *****\n-----BEGIN USER NKEY SEED-----\n{USER_SEED}\n------END USER NKEY SEED------\n"
        );
        let credentials = NatsCredentials::parse(&text).expect("credentials");
        assert_eq!(credentials, NatsCredentials::Jwt { jwt: "eyJ0.e30.x".to_owned(), seed: USER_SEED.to_owned() });
        assert_eq!(format!("{credentials:?}"), "Jwt", "nothing that is secret is shown");
        let shown = credentials.shown("nonce");
        assert_eq!((shown[0].1.as_str(), shown[1].1.len()), ("eyJ0.e30.x", 86));
        let fault = NatsCredentials::parse("nothing").expect_err("none").to_string();
        assert_eq!(fault, "has no `-----BEGIN NATS USER JWT-----`");
        assert!(NatsCredentials::parse(&text.replace("SUAM", "SAAM")).is_err());
    }
}
