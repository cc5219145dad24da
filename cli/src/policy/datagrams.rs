//! Signed datagrams: the keys by which sensors sign theirs, and which datagrams are theirs and new.
//!
//! A key is made of a token and can do nothing else. Each datagram counts once, whichever worker gets it, and none that was sent before this
//! process began: it keeps nothing over a restart.

use parking_lot::Mutex;
use ring::hmac::{Context, HMAC_SHA256, Key, sign};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};
use switchboard::UserName;
use switchboard::files;
use switchboard::grammar::{SentTimes, Signed};

/// What a key is made of, beside its token.
const DERIVED: &[u8] = b"switchboard-datagram-key-1";

const KEY_BYTES: usize = 32;

/// The digits, with space around them. More of a file is not looked at, and is no key then.
const KEY_FILE_BYTES: u64 = 4096;

/// The key of one sensor. A secret: what shows it is for whoever makes one.
#[derive(Clone)]
pub(crate) struct DatagramKey {
    bytes: [u8; KEY_BYTES],
    /// The same, as it is used: making it takes as long as a short datagram does.
    key: Key,
}

impl PartialEq for DatagramKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for DatagramKey {}

/// A text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key of 64 hexadecimal digits, as `switchboard token new NAME --datagrams` prints it, nor file:PATH")]
pub(crate) struct KeyFault;

impl DatagramKey {
    /// The one that belongs to a token.
    pub(crate) fn of_token(token: &str) -> Self {
        let mut bytes = [0; KEY_BYTES];
        bytes.copy_from_slice(sign(&Key::new(HMAC_SHA256, token.as_bytes()), DERIVED).as_ref());
        Self::new(bytes)
    }

    fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self { key: Key::new(HMAC_SHA256, &bytes), bytes }
    }

    /// In the form that a file and a shell have.
    pub(crate) fn reveal(&self) -> String {
        self.bytes.iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"))
    }

    /// Whether a datagram is by this key, whether or not it is new.
    pub(crate) fn has_signed(&self, signed: &Signed) -> bool {
        signed.is_by(|pieces, mac| self.made(pieces, mac))
    }

    /// Whether `mac` is what this key makes of `pieces`. Takes as long wherever it is another.
    fn made(&self, pieces: &[&[u8]], mac: &[u8; 16]) -> bool {
        let mut context = Context::with_key(&self.key);
        for piece in pieces {
            context.update(piece);
        }
        let tag = context.sign();
        tag.as_ref().iter().zip(mac).fold(0, |found, (own, given)| found | (own ^ given)) == 0
    }
}

/// Reads 64 digits, or what a file has of them.
impl FromStr for DatagramKey {
    type Err = KeyFault;

    fn from_str(text: &str) -> Result<Self, KeyFault> {
        let read = text.strip_prefix("file:").map(|path| files::read(Path::new(path), KEY_FILE_BYTES));
        let read = read.transpose().map_err(|_| KeyFault)?;
        let digits = read.as_ref().map_or(Ok(text), |read| str::from_utf8(read.trim_ascii())).map_err(|_| KeyFault)?;
        if digits.len() != 2 * KEY_BYTES || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(KeyFault);
        }
        let mut bytes = [0; KEY_BYTES];
        for (byte, place) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&digits[place..place + 2], 16).map_err(|_| KeyFault)?;
        }
        Ok(Self::new(bytes))
    }
}

impl fmt::Debug for DatagramKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatagramKey(…)")
    }
}

/// Which of them have counted.
#[derive(Debug)]
pub(crate) struct Sent {
    started: u64,
    /// Of those who have sent something that was theirs.
    times: Mutex<HashMap<UserName, SentTimes>>,
}

impl Default for Sent {
    fn default() -> Self {
        Self { started: now(), times: Mutex::default() }
    }
}

/// Why a signed datagram does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureFault {
    /// It is not by the key of whom it names.
    Wrong,
    /// Its time is too far from now.
    Old,
    /// It has counted, or came behind too many others.
    Replayed,
    /// Whoever it names has no key, or is nobody.
    Unknown,
}

impl SignatureFault {
    pub(crate) const ALL: [Self; 4] = [Self::Wrong, Self::Old, Self::Replayed, Self::Unknown];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::Old => "old",
            Self::Replayed => "replayed",
            Self::Unknown => "unknown",
        }
    }
}

impl Sent {
    /// Takes a datagram by this key that is new.
    pub(crate) fn take(&self, signed: &Signed, key: &DatagramKey) -> Result<(), SignatureFault> {
        self.take_at(signed, key, now())
    }

    fn take_at(&self, signed: &Signed, key: &DatagramKey, now: u64) -> Result<(), SignatureFault> {
        if !key.has_signed(signed) {
            return Err(SignatureFault::Wrong);
        }
        // Behind the signature, so that nobody else makes an entry.
        let mut times = self.times.lock();
        let sent = times.entry(signed.name.clone()).or_insert_with(|| SentTimes::since(self.started));
        if sent.take(signed.time, now) {
            Ok(())
        } else if SentTimes::is_near(signed.time, now) {
            Err(SignatureFault::Replayed)
        } else {
            Err(SignatureFault::Old)
        }
    }
}

/// In milliseconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// By `openssl dgst -sha256 -mac HMAC`, over the lines that docs/protocol.md has.
    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn signed(key: &DatagramKey, name: &str, time: u64, command: &str) -> Signed {
        let content = format!("switchboard-datagram-1\n{name}\n{time}\n{command}");
        let tag = sign(&key.key, content.as_bytes());
        let mac = tag.as_ref()[..16].iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"));
        let frame = format!("/by {name} {time} {mac} {command}");
        Signed::parse(&Bytes::from(frame)).expect("it is one")
    }

    #[test]
    fn a_datagram_counts_once_within_half_a_minute_and_none_from_before() {
        let (key, sent) = (KEY.parse().unwrap(), Sent { started: 100_000, times: Mutex::default() });
        let takes = |time, now| sent.take_at(&signed(&key, "boiler-7", time, "/pub sensors 21.5"), &key, now).is_ok();
        assert!(!takes(100_000, 100_000) && takes(100_001, 100_000) && !takes(100_001, 100_000));
        assert!(takes(130_000, 100_000) && !takes(130_001, 100_000) && !takes(100_002, 131_000));
        let restarted = Sent { started: 140_000, times: Mutex::default() };
        let before = signed(&key, "boiler-7", 139_000, "/pub sensors 21.5");
        assert_eq!(restarted.take_at(&before, &key, 140_500), Err(SignatureFault::Replayed));
        assert_eq!(restarted.take_at(&before, &key, 180_000), Err(SignatureFault::Old));
    }

    #[test]
    fn one_bit_of_anything_makes_it_nobodys() {
        let (key, sent): (DatagramKey, _) = (KEY.parse().unwrap(), Sent { started: 0, times: Mutex::default() });
        let good = signed(&key, "boiler-7", 1000, "/pub sensors 21.5");
        for place in 0..128 {
            let mut other = good.clone();
            other.mac[place / 8] ^= 1 << (place % 8);
            assert_eq!(sent.take_at(&other, &key, 1000), Err(SignatureFault::Wrong));
        }
        let mac = u128::from_be_bytes(good.mac);
        for other in [
            "boiler-8 1000 MAC /pub sensors 21.5",
            "boiler-7 1001 MAC /pub sensors 21.5",
            "boiler-7 1000 MAC /pub sensors 21.4",
            "boiler-7 1000 MAC /pub sensor 21.5",
            "Boiler-7 1000 MAC /pub sensors 21.5",
            "boiler-7 1000 MAC /pub sensors 21.5 ",
        ] {
            let frame = format!("/by {}", other.replace("MAC", &format!("{mac:032x}")));
            assert!(sent.take_at(&Signed::parse(&Bytes::from(frame)).unwrap(), &key, 1000).is_err(), "{other}");
        }
        let other_key = DatagramKey::of_token("sb_other");
        assert!(sent.take_at(&good, &other_key, 1000).is_err() && sent.times.lock().is_empty());
        assert!(sent.take_at(&good, &key, 1000).is_ok());
    }

    #[test]
    fn a_key_is_its_tokens_and_is_shown_to_nobody() {
        let key = DatagramKey::of_token("sb_token");
        assert_eq!(key.reveal().parse(), Ok(key.clone()));
        assert_ne!(key, DatagramKey::of_token("sb_tokem"));
        assert_eq!(format!("{key:?}"), "DatagramKey(…)");
        for bad in [
            "",
            "00",
            &KEY[1..],
            &format!("{KEY}0"),
            &KEY.replace('0', "g"),
            "file:/no/such",
            "file:/dev/zero",
            &format!("é{}", &KEY[2..]),
        ] {
            assert_eq!(bad.parse::<DatagramKey>(), Err(KeyFault), "{bad}");
        }
    }
}
