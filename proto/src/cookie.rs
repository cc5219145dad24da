//! Address validation without state: what a source must return before it is sent more than it asked for.
//!
//! A cookie is a keyed hash (SipHash-2-4) of the source's address and port and of the room that it wants to join, under
//! the key of a time slot. Only someone who receives at that address learns it, and nothing is kept per source. Keys
//! come from the caller, one for each slot, and are forgotten at the end of the next slot.

use crate::RoomName;
use siphasher::sip::SipHasher24;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

const COOKIE_BYTES: usize = 7;

/// What a peer returns to prove that it receives at the address it sends from. 14 hexadecimal digits: with `cookie=` in
/// front, as many bytes as three times the shortest join.
#[derive(Clone, Copy)]
pub struct Cookie(pub [u8; COOKIE_BYTES]);

impl PartialEq for Cookie {
    /// Takes as long wherever two differ, so that nobody finds one out byte by byte.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |found, (own, other)| found | (own ^ other)) == 0
    }
}

impl Eq for Cookie {}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({self})")
    }
}

/// A text is not a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cookie of 14 hexadecimal digits")]
pub struct CookieError;

impl FromStr for Cookie {
    type Err = CookieError;

    fn from_str(text: &str) -> Result<Self, CookieError> {
        if text.len() != 2 * COOKIE_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(CookieError);
        }
        // Seven bytes behind a zero one.
        let [_, bytes @ ..] = u64::from_str_radix(text, 16).map_err(|_| CookieError)?.to_be_bytes();
        Ok(Self(bytes))
    }
}

/// The secret of one time slot.
pub type CookieKey = [u8; 16];

/// Makes cookies and recognizes them.
///
/// A cookie is valid until the end of the next slot: for between one and two periods.
pub struct CookieKeys {
    period: Duration,
    /// The slot of the last look at the time.
    slot: u128,
    /// The key of that slot in the place of its parity, and in the other one that of the slot before.
    keys: [CookieKey; 2],
}

impl CookieKeys {
    /// Slots of `period`, from the time zero on. `fresh` gives keys that nobody can guess, here and in the other calls.
    ///
    /// # Panics
    /// If `period` is zero.
    pub fn new(period: Duration, mut fresh: impl FnMut() -> CookieKey) -> Self {
        assert!(!period.is_zero(), "a slot takes time");
        Self { period, slot: 0, keys: [fresh(), fresh()] }
    }

    /// The cookie that `source` must return when it joins `room`, at time `now` (since any fixed moment).
    pub fn cookie(
        &mut self,
        source: SocketAddr,
        room: &RoomName,
        now: Duration,
        fresh: impl FnMut() -> CookieKey,
    ) -> Cookie {
        self.turn(now, fresh);
        cookie(&self.keys[place(self.slot)], source, room)
    }

    /// Whether `source` was given `cookie` for `room`, not too long ago.
    pub fn knows(
        &mut self,
        given: Cookie,
        source: SocketAddr,
        room: &RoomName,
        now: Duration,
        fresh: impl FnMut() -> CookieKey,
    ) -> bool {
        self.turn(now, fresh);
        // Both are looked at in any case: how long it takes does not tell which.
        self.keys.iter().fold(false, |found, key| found | (cookie(key, source, room) == given))
    }

    /// Forgets the keys of slots that are over. Time that goes back is none that passes.
    fn turn(&mut self, now: Duration, mut fresh: impl FnMut() -> CookieKey) {
        let slot = now.as_nanos() / self.period.as_nanos();
        if slot <= self.slot {
            return;
        }
        if slot > self.slot + 1 {
            self.keys[place(slot + 1)] = fresh();
        }
        self.keys[place(slot)] = fresh();
        self.slot = slot;
    }
}

impl fmt::Debug for CookieKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieKeys").field("period", &self.period).field("slot", &self.slot).finish_non_exhaustive()
    }
}

fn place(slot: u128) -> usize {
    usize::from(slot % 2 == 1)
}

fn cookie(key: &CookieKey, source: SocketAddr, room: &RoomName) -> Cookie {
    let mut hasher = SipHasher24::new_with_key(key);
    let address = match source.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    hasher.write(&address.octets());
    hasher.write(&source.port().to_be_bytes());
    // A link-local address is another peer's on another link.
    hasher.write(&(if let SocketAddr::V6(source) = source { source.scope_id() } else { 0 }).to_be_bytes());
    room.hash(&mut hasher);
    let [_, bytes @ ..] = hasher.finish().to_be_bytes();
    Cookie(bytes)
}
