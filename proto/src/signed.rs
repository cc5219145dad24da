//! Signed datagrams: `/by NAME MS MAC COMMAND`, and which of them are new.
//!
//! What is signed names whoever sends it and when, so that nobody can send it again. Does no cryptography: the caller compares the
//! MAC, and has a [`SentTimes`] for each key.

use crate::UserName;
use bytes::Bytes;

/// What is in front of all that is signed, so that a MAC for this is one for nothing else.
const CONTEXT: &[u8] = b"switchboard-datagram-1\n";

const MAC_BYTES: usize = 16;

/// How far a sender's clock may be from ours.
const CLOCK_MILLISECONDS: u64 = 30_000;

/// Times of one key that are remembered: so many datagrams may overtake each other.
const REMEMBERED: usize = 64;

/// A datagram that says who sent it, and when. Whether that is so is for its MAC to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Who says that it is from it.
    pub name: UserName,
    /// When it says that it was sent, in milliseconds since 1970.
    pub time: u64,
    /// The first 16 bytes of the HMAC.
    pub mac: [u8; MAC_BYTES],
    /// What is to be done.
    pub command: Bytes,
    /// Name and time as they were written.
    head: Bytes,
}

impl Signed {
    /// Whether a frame begins like one.
    pub fn is_one(frame: &[u8]) -> bool {
        matches!(frame, [b'/', b'b' | b'B', b'y' | b'Y', b' ', ..])
    }

    /// Reads `/by NAME MS MAC COMMAND`, each apart by one space: `None` if it is written in any other way.
    pub fn parse(frame: &Bytes) -> Option<Self> {
        if !Self::is_one(frame) {
            return None;
        }
        let mut words = frame[4..].splitn(4, |byte| *byte == b' ');
        let (name, time, mac, command) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let head = frame.slice(4..4 + name.len() + 1 + time.len());
        let name = UserName::parse(str::from_utf8(name).ok()?).ok()?;
        Some(Self { name, time: number(time)?, mac: hex(mac)?, command: frame.slice_ref(command), head })
    }

    /// Whether `is_mac` finds that the first 16 bytes of the HMAC of what it is given, in pieces, are the MAC.
    pub fn is_by(&self, is_mac: impl FnOnce(&[&[u8]], &[u8; MAC_BYTES]) -> bool) -> bool {
        let (name, time) = self.head.split_at(self.name.as_str().len());
        is_mac(&[CONTEXT, name, b"\n", &time[1..], b"\n", &self.command], &self.mac)
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let is_plain = text.iter().all(u8::is_ascii_digit) && text.first() != Some(&b'0');
    str::from_utf8(text).ok().filter(|_| is_plain)?.parse().ok()
}

fn hex(text: &[u8]) -> Option<[u8; MAC_BYTES]> {
    let is_plain = text.len() == 2 * MAC_BYTES && text.iter().all(u8::is_ascii_hexdigit);
    u128::from_str_radix(str::from_utf8(text).ok().filter(|_| is_plain)?, 16).ok().map(u128::to_be_bytes)
}

/// When what was signed by one key was sent: each time counts once.
///
/// What is older than the oldest of the last 64 is taken for one of them. 520 bytes at most, and none before the first.
#[derive(Debug, Clone)]
pub struct SentTimes {
    /// Nothing up to here is new.
    floor: u64,
    /// In their order.
    last: Vec<u64>,
}

impl SentTimes {
    /// None before now, `started`, in milliseconds since 1970: those before could have been taken already, by another process.
    pub fn since(started: u64) -> Self {
        Self { floor: started, last: Vec::new() }
    }

    /// Whether a time is within half a minute of `now`.
    pub fn is_near(time: u64, now: u64) -> bool {
        time.abs_diff(now) <= CLOCK_MILLISECONDS
    }

    /// Takes a time, and says whether it is new: [near](Self::is_near) to `now`, and none that was taken.
    pub fn take(&mut self, time: u64, now: u64) -> bool {
        if time <= self.floor || !Self::is_near(time, now) {
            return false;
        }
        let Err(place) = self.last.binary_search(&time) else { return false };
        if self.last.len() < REMEMBERED {
            self.last.insert(place, time);
            return true;
        }
        // It is above the floor, and so is the oldest, which makes place for it.
        let oldest = self.last[0].min(time);
        if place > 0 {
            self.last.copy_within(1..place, 0);
            self.last[place - 1] = time;
        }
        self.floor = oldest;
        true
    }
}
