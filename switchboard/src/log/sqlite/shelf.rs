//! What the log has of each room, in numbers.

pub(super) use crate::log::BESIDE;
use crate::log::Retention;
use std::collections::{BTreeSet, HashMap};
use switchboard_proto::{Epoch, MessageId, RoomName};

/// Of a bound, one part in so many may be exceeded before the oldest go: several at a time, which changes fewer pages.
const SLACK: u64 = 8;

/// One room. The messages that it has are those behind `gone`, up to `last`.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    /// Its row.
    pub(super) id: i64,
    pub(super) epoch: Epoch,
    pub(super) last: u64,
    /// Bytes of the payloads of all messages that it ever had, up to the last.
    pub(super) last_sum: u64,
    /// The last one that it has no more.
    pub(super) gone: u64,
    /// As `last_sum`, up to that.
    pub(super) gone_sum: u64,
}

impl Shelf {
    pub(super) fn last_id(&self) -> MessageId {
        MessageId { epoch: self.epoch, seq: self.last }
    }

    pub(super) fn messages(&self) -> u64 {
        self.last - self.gone
    }

    /// Bytes that its messages take.
    pub(super) fn bytes(&self) -> u64 {
        (self.last_sum - self.gone_sum) + BESIDE * self.messages()
    }

    /// Whether it has enough too much for the oldest to go.
    pub(super) fn is_overfull(&self, keep: Retention) -> bool {
        let is_over = |has: u64, most: Option<usize>| most.is_some_and(|most| has > most as u64 + most as u64 / SLACK);
        is_over(self.messages(), keep.messages) || is_over(self.bytes(), keep.bytes)
    }

    /// Whether message `seq`, up to which `sum` bytes were published, is beyond what is kept.
    pub(super) fn is_beyond(&self, seq: u64, sum: u64, length: u64, keep: Retention) -> bool {
        let behind = self.last - seq;
        let bytes = (self.last_sum - sum + length) + BESIDE * (behind + 1);
        keep.messages.is_some_and(|most| behind >= most as u64) || keep.bytes.is_some_and(|most| bytes > most as u64)
    }
}

/// All rooms, and what they have together.
pub(super) struct Shelves {
    all: HashMap<RoomName, Shelf>,
    bytes: u64,
    /// The same by their bytes, from when the fullest is first asked for: to keep it takes as long as inserting a message.
    by_bytes: Option<BTreeSet<(u64, RoomName)>>,
}

impl Shelves {
    pub(super) fn new(all: HashMap<RoomName, Shelf>) -> Self {
        let bytes = all.values().map(Shelf::bytes).sum();
        Self { all, bytes, by_bytes: None }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Of all of them.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn get(&self, room: &RoomName) -> Option<&Shelf> {
        self.all.get(room)
    }

    /// A room has this now; nothing: there is no such room any more.
    pub(super) fn put(&mut self, room: RoomName, shelf: Option<Shelf>) {
        let new = shelf.as_ref().map(Shelf::bytes);
        let old = match (shelf, self.all.get_mut(&room)) {
            (Some(shelf), Some(before)) => Some(std::mem::replace(before, shelf)),
            (Some(shelf), None) => self.all.insert(room.clone(), shelf),
            (None, _) => self.all.remove(&room),
        };
        let old = old.as_ref().map(Shelf::bytes);
        self.bytes = self.bytes + new.unwrap_or(0) - old.unwrap_or(0);
        let Some(by_bytes) = &mut self.by_bytes else { return };
        if let Some(bytes) = old {
            by_bytes.remove(&(bytes, room.clone()));
        }
        if let Some(bytes) = new {
            by_bytes.insert((bytes, room));
        }
    }

    /// The room that has most.
    pub(super) fn fullest(&mut self) -> Option<&RoomName> {
        let all = &self.all;
        let ordered = || all.iter().map(|(room, shelf)| (shelf.bytes(), room.clone())).collect();
        self.by_bytes.get_or_insert_with(ordered).last().map(|(_, room)| room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_fullest_is_known_whatever_was_put(puts in prop::collection::vec((0..9_u8, 0..9_u64), 1..40), asked_at in 0..40_usize) {
            let mut shelves = Shelves::new(HashMap::new());
            let mut expected = HashMap::new();
            for (at, (room, messages)) in puts.into_iter().enumerate() {
                let room = RoomName::parse(&format!("r{room}")).expect("a name");
                let shelf = Shelf { id: 1, epoch: Epoch::new(1), last: messages, last_sum: messages, gone: 0, gone_sum: 0 };
                // Of none there is nothing any more.
                let shelf = Some(shelf).filter(|_| messages > 0);
                expected.insert(room.clone(), shelf.as_ref().map_or(0, Shelf::bytes));
                shelves.put(room, shelf);
                prop_assert_eq!(shelves.bytes(), expected.values().sum::<u64>());
                if at >= asked_at {
                    let most = *expected.values().max().expect("there is one");
                    prop_assert_eq!(shelves.fullest().map_or(0, |room| expected[room]), most);
                }
            }
        }
    }
}
