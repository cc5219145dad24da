//! The secret that keeps a name from one connection to the next.

use std::fmt;
use std::str::FromStr;

const SECRET_BYTES: usize = 16;

/// A number that nobody else can guess, with which the owner of a name takes it back from an earlier connection. 32 hexadecimal
/// digits, which its owner draws at random. Its debug form hides it, and it cannot be printed.
#[derive(Clone, Copy)]
pub struct NameSecret([u8; SECRET_BYTES]);

impl NameSecret {
    /// Its digits, for another node that keeps a name by it. Nobody else is to see them.
    pub fn digits(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }
}

impl PartialEq for NameSecret {
    /// Takes the same time wherever two differ, so that nobody can find one out byte by byte.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |found, (own, other)| found | (own ^ other)) == 0
    }
}

impl Eq for NameSecret {}

impl fmt::Debug for NameSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameSecret(…)")
    }
}

/// A text is not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret has 32 hexadecimal digits, drawn at random")]
pub struct NameSecretError;

impl FromStr for NameSecret {
    type Err = NameSecretError;

    fn from_str(text: &str) -> Result<Self, NameSecretError> {
        if text.len() != 2 * SECRET_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NameSecretError);
        }
        u128::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| NameSecretError)
    }
}
