//! Our own messages, to know them again: rooms do not send them to us, but replay them with what was missed.

use bytes::Bytes;
use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use switchboard::{RoomName, UserName};

/// A room keeps no more to replay, unless its server says so.
const MOST: usize = 256;

/// Hashed: texts are long.
#[derive(Debug, Default)]
pub(super) struct Said {
    hashes: VecDeque<u64>,
    random: RandomState,
}

impl Said {
    pub(super) fn note(&mut self, room: &RoomName, name: Option<&UserName>, text: &Bytes) {
        if self.hashes.len() == MOST {
            self.hashes.pop_front();
        }
        self.hashes.push_back(self.random.hash_one((room, name, text)));
    }

    /// Whether it was ours; each is known again once.
    pub(super) fn knows(&mut self, room: &RoomName, name: Option<&UserName>, text: &Bytes) -> bool {
        let hash = self.random.hash_one((room, name, text));
        let known = self.hashes.iter().position(|known| *known == hash);
        known.and_then(|at| self.hashes.remove(at)).is_some()
    }
}
