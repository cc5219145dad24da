//! Masks: an exclusive or of what a client sends with four bytes of its choice (RFC 6455 §5.3).

use siphasher::sip::SipHasher24;
use std::hash::Hasher as _;

/// Masks or unmasks the part of a payload that begins at byte `offset` of it.
///
/// Eight bytes at a time, which the compiler makes vectors of: one at a time is the slowest part of reading a message.
pub(super) fn apply(bytes: &mut [u8], mut key: [u8; 4], offset: usize) {
    key.rotate_left(offset % 4);
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// The keys of a client's frames, one after the other.
#[derive(Debug, Default)]
pub(super) struct Keys {
    seed: [u8; 16],
    used: u64,
}

impl Keys {
    pub(super) fn seeded(seed: [u8; 16]) -> Self {
        Self { seed, used: 0 }
    }

    pub(super) fn next_key(&mut self) -> [u8; 4] {
        let mut hasher = SipHasher24::new_with_key(&self.seed);
        hasher.write_u64(self.used);
        self.used += 1;
        (hasher.finish() as u32).to_ne_bytes()
    }
}
