//! The form of a token, `sb_ID_SECRET_CHECK`, and the hash by which a file knows one.
//!
//! Whose a token is, and whether it is anybody's, is not known here.

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use ring::error::Unspecified;
use ring::rand::SecureRandom;
use std::fmt;
use std::str::FromStr;
use switchboard_load::typed::Secret;

/// Digits of base 62: letters and digits alone, so that a double click selects a whole token.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How a token begins: whoever searches for ones that were left lying about finds it by this.
const PREFIX: &str = "sb";

/// What a token is called by, which is no secret: 62⁸ > 2⁴⁷ of them.
const ID_DIGITS: usize = 8;

/// 256 bits: 62⁴³ > 2²⁵⁶.
const SECRET_DIGITS: usize = 43;

/// CRC-32 of all that stands before it: 62⁶ > 2³².
const CHECK_DIGITS: usize = 6;

/// Why a text is not a token of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenFault {
    #[error("not a token as `switchboard token new` makes them (sb_ID_SECRET_CHECK)")]
    Foreign,
    #[error("mistyped or cut off: its last six characters do not match the rest")]
    Mistyped,
}

/// A token whose form is right.
#[derive(Debug, Clone)]
pub(crate) struct StaticToken(Secret);

impl StaticToken {
    /// With what any of ours begins.
    pub(crate) const BEGINNING: &str = "sb_";

    /// A new one, which nobody can guess.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(crate) fn make(random: &dyn SecureRandom) -> Result<Self, Unspecified> {
        let id = random_digits(random, ID_DIGITS)?;
        let mut bits = [0; 32];
        random.fill(&mut bits)?;
        Ok(Self::of(&id, &in_base_62(bits)))
    }

    fn of(id: &str, secret: &str) -> Self {
        let front = format!("{PREFIX}_{id}_{secret}");
        let check = check_digits(&front);
        Self(Secret::new(format!("{front}_{check}")))
    }

    /// One of that ID, with another digit at this place of its secret.
    #[cfg(test)]
    pub(crate) fn guessed(&self, place: usize) -> Self {
        let mut secret = self.0.expose()[PREFIX.len() + ID_DIGITS + 2..][..SECRET_DIGITS].to_owned();
        let digit = if secret.as_bytes()[place] == b'7' { "8" } else { "7" };
        secret.replace_range(place..=place, digit);
        Self::of(self.id(), &secret)
    }

    /// Reads one. A slip of the finger is found here, before anybody is asked whose it is.
    pub(crate) fn parse(text: &str) -> Result<Self, TokenFault> {
        let parts: Vec<&str> = text.split('_').collect();
        let [PREFIX, id, secret, check] = parts[..] else { return Err(TokenFault::Foreign) };
        if ![id, secret, check].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            return Err(TokenFault::Foreign);
        }
        let lengths = [id.len(), secret.len(), check.len()];
        let front = &text[..text.len() - check.len() - 1];
        if lengths != [ID_DIGITS, SECRET_DIGITS, CHECK_DIGITS] || check_digits(front) != check {
            return Err(TokenFault::Mistyped);
        }
        Ok(Self(Secret::new(text)))
    }

    /// What it is called by in logs.
    pub(crate) fn id(&self) -> &str {
        let start = PREFIX.len() + 1;
        &self.0.expose()[start..start + ID_DIGITS]
    }

    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash::of(self.0.expose())
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.0
    }
}

/// SHA-256 of a whole token. A fast hash is enough: nobody can go through 2²⁵⁶ secrets, as one can through passwords.
///
/// Displays as it stands in a file: `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenHash([u8; SHA256_OUTPUT_LEN]);

/// A text is not a token's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the hash of a token (sha256: and 64 hexadecimal digits) as `switchboard token hash` prints it")]
pub(crate) struct HashFault;

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        Self::of_bytes(token.as_bytes())
    }

    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(hash)
    }

    /// What the token is called by in logs, where one has its hash alone: the first eight digits, by which the file's line is found.
    pub(crate) fn id(&self) -> String {
        let [first, second, third, fourth, ..] = self.0;
        format!("{first:02x}{second:02x}{third:02x}{fourth:02x}")
    }
}

impl TokenHash {
    /// Whether that is its [`id`](Self::id).
    pub(crate) fn is_called(&self, id: &str) -> bool {
        let digit = |value: u8| b"0123456789abcdef"[usize::from(value & 15)];
        let [first, second, third, fourth, ..] = self.0.map(|byte| [digit(byte >> 4), digit(byte)]);
        [first, second, third, fourth].as_flattened() == id.as_bytes()
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TokenHash {
    type Err = HashFault;

    fn from_str(text: &str) -> Result<Self, HashFault> {
        let digits = text.strip_prefix("sha256:").ok_or(HashFault)?.as_bytes();
        let mut hash = [0; SHA256_OUTPUT_LEN];
        if digits.len() != 2 * hash.len() {
            return Err(HashFault);
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            let (Some(high), Some(low)) = (value(pair[0]), value(pair[1])) else { return Err(HashFault) };
            *byte = high << 4 | low;
        }
        Ok(Self(hash))
    }
}

/// So many random digits, each as likely as any other: a byte that would favour the first ones is thrown away.
fn random_digits(random: &dyn SecureRandom, count: usize) -> Result<String, Unspecified> {
    const FAIR: u8 = u8::MAX - u8::MAX % 62;
    let mut digits = String::with_capacity(count);
    while digits.len() < count {
        let mut byte = [0];
        random.fill(&mut byte)?;
        if byte[0] < FAIR {
            digits.push(char::from(DIGITS[usize::from(byte[0] % 62)]));
        }
    }
    Ok(digits)
}

/// A number of 256 bits in base 62, with its leading zeros: each number has its own digits, so none is likelier than another.
fn in_base_62(mut number: [u8; 32]) -> String {
    let mut digits = [b'0'; SECRET_DIGITS];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            // Below 256, as the rest before was below 62.
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *digit = DIGITS[rest as usize];
    }
    digits.map(char::from).iter().collect()
}

fn check_digits(text: &str) -> String {
    let mut left = crc_32(text.as_bytes());
    let mut digits = [b'0'; CHECK_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(left % 62) as usize];
        left /= 62;
    }
    digits.map(char::from).iter().collect()
}

/// The checksum of zip and PNG (ISO 3309), bit by bit: a token has 54 bytes, and is checked once.
fn crc_32(bytes: &[u8]) -> u32 {
    let with_bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| with_bit(crc)));
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ring::rand::SystemRandom;

    fn made() -> StaticToken {
        StaticToken::make(&SystemRandom::new()).expect("there is randomness")
    }

    #[test]
    fn a_token_that_was_made_is_read_and_no_two_are_alike() {
        let (token, other) = (made(), made());
        let text = token.secret().expose();
        assert_eq!(text.len(), "sb_".len() + ID_DIGITS + 1 + SECRET_DIGITS + 1 + CHECK_DIGITS);
        let read = StaticToken::parse(text).expect("it was made");
        assert_eq!((read.id(), read.hash()), (&text[3..11], token.hash()));
        assert_ne!(token.id(), other.id());
        let id = token.hash().id();
        assert!(token.hash().is_called(&id) && !other.hash().is_called(&id) && !token.hash().is_called(&id[1..]));
        assert!(!token.hash().is_called(&format!("{id}0")) && !token.hash().is_called(""));
        assert_ne!(token.hash(), other.hash());
    }

    #[test]
    fn a_slip_of_the_finger_is_no_unknown_token() {
        let token = made();
        let text = token.secret().expose();
        for (index, digit) in text.char_indices().filter(|(index, digit)| *digit != '_' && *index > 2) {
            let other = if digit == 'x' { 'y' } else { 'x' };
            let mistyped = format!("{}{other}{}", &text[..index], &text[index + 1..]);
            assert_eq!(StaticToken::parse(&mistyped).map(drop), Err(TokenFault::Mistyped), "at {index}");
        }
        for length in 12..text.len() {
            assert!(StaticToken::parse(&text[..length]).is_err(), "{length}");
        }
        assert_eq!(StaticToken::parse(&text[..text.len() - 1]).map(drop), Err(TokenFault::Mistyped));
        for foreign in [
            "",
            "sb",
            "sb_",
            "hello",
            "SB_a_b_c",
            "sb_a_b_c_d",
            "eyJhbGciOi.a.b",
            "sb_ä_b_c",
            "sb_a b_c_d",
            "sb_a-_b_c",
        ] {
            assert_eq!(StaticToken::parse(foreign).map(drop), Err(TokenFault::Foreign), "{foreign}");
        }
    }

    #[test]
    fn digits_and_checks_are_those_that_others_compute() {
        // The check value of the catalogue of CRCs.
        assert_eq!(crc_32(b"123456789"), 0xCBF4_3926);
        assert_eq!(in_base_62([0; 32]), "0".repeat(SECRET_DIGITS));
        // 2²⁵⁶ - 1, by Python's integers.
        assert_eq!(in_base_62([0xFF; 32]), "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1");
        let hash = TokenHash::of("abc");
        assert_eq!(hash.to_string(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_token_is_shown_by_none_of_its_forms() {
        let token = made();
        assert_eq!(format!("{token:?}"), "StaticToken(…)");
        assert_eq!(format!("{:?}", Some(token.secret())), "Some(…)");
    }

    proptest! {
        #[test]
        fn a_hash_is_read_as_it_is_written(token in ".*") {
            let hash = TokenHash::of(&token);
            prop_assert_eq!(hash.to_string().parse(), Ok(hash));
            prop_assert_eq!(hash.to_string().replace("sha256:", "sha256:0").parse::<TokenHash>(), Err(HashFault));
            prop_assert_eq!(token.parse::<TokenHash>(), Err(HashFault));
        }

        #[test]
        fn no_text_makes_reading_fail_but_by_its_error(text in "(sb_)?[\\w_é\\x00]{0,80}") {
            let _ = StaticToken::parse(&text);
        }
    }
}
