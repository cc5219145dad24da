//! Who is there, in the order of their numbers, which are given out in order.
//!
//! A B-tree that grows at its end alone leaves its nodes half empty: 40 bytes for an entry of 16, and each connection is in
//! three. Here whoever comes goes to the end of the last block, which is filled before the next one is begun.

/// Entries of a block: as far as a removal moves others.
const BLOCK: usize = 64;

/// Values by their keys, in blocks that are each in order and in order among themselves. None is empty.
pub(crate) struct Roster<K, V> {
    blocks: Vec<Vec<(K, V)>>,
    len: usize,
}

impl<K, V> Default for Roster<K, V> {
    fn default() -> Self {
        Self { blocks: Vec::new(), len: 0 }
    }
}

impl<K: Copy + Ord, V> Roster<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// In order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.blocks.iter().flatten().map(|(_, value)| value)
    }

    /// In order, past the first `skip`: as many steps as blocks are passed over.
    pub(crate) fn values_past(&self, mut skip: usize) -> impl Iterator<Item = &V> {
        let mut blocks = self.blocks.iter();
        let mut rest = &[][..];
        for block in blocks.by_ref() {
            if skip < block.len() {
                rest = &block[skip..];
                break;
            }
            skip -= block.len();
        }
        rest.iter().chain(blocks.flatten()).map(|(_, value)| value)
    }

    /// Those behind `key`, or all, in order.
    pub(crate) fn behind(&self, key: Option<K>) -> impl Iterator<Item = &V> {
        self.entries_behind(key).map(|(_, value)| value)
    }

    /// The same, with their keys.
    pub(crate) fn entries_behind(&self, key: Option<K>) -> impl Iterator<Item = (K, &V)> {
        let (block, place) = key.map_or((0, 0), |key| match self.find(key) {
            Ok((block, place)) => (block, place + 1),
            Err(place) => place,
        });
        let blocks = self.blocks.get(block..).unwrap_or_default();
        blocks.iter().flatten().skip(place).map(|(key, value)| (*key, value))
    }

    #[inline]
    pub(crate) fn get(&self, key: K) -> Option<&V> {
        let (block, place) = self.find(key).ok()?;
        Some(&self.blocks[block][place].1)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let (block, place) = self.find(key).ok()?;
        Some(&mut self.blocks[block][place].1)
    }

    /// Enters a value, in place of the one that the key has.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let (block, place) = match self.find(key) {
            Ok((block, place)) => return self.blocks[block][place].1 = value,
            Err(place) => place,
        };
        self.len += 1;
        let Some(entries) = self.blocks.get_mut(block) else { return self.blocks.push(vec![(key, value)]) };
        if entries.len() < BLOCK {
            entries.insert(place, (key, value));
        } else if place == BLOCK {
            self.blocks.insert(block + 1, vec![(key, value)]);
        } else {
            // Somebody was slower than those behind it.
            let mut behind = entries.split_off(BLOCK / 2);
            match place.checked_sub(BLOCK / 2) {
                Some(place) => behind.insert(place, (key, value)),
                None => entries.insert(place, (key, value)),
            }
            self.blocks.insert(block + 1, behind);
        }
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let (block, place) = self.find(key).ok()?;
        let (_, value) = self.blocks[block].remove(place);
        self.len -= 1;
        if self.blocks[block].is_empty() {
            self.blocks.remove(block);
        } else {
            self.join(block);
        }
        Some(value)
    }

    /// Makes one of a block and its neighbour if both are small: two that stand together fill half of one.
    fn join(&mut self, block: usize) {
        for first in [Some(block), block.checked_sub(1)].into_iter().flatten() {
            if let Some([one, other]) = self.blocks.get(first..first + 2)
                && one.len() + other.len() <= BLOCK / 2
            {
                let mut other = self.blocks.remove(first + 1);
                self.blocks[first].append(&mut other);
                return self.blocks[first].shrink_to(BLOCK / 2);
            }
        }
    }

    /// The block and the place in it where `key` is, or would go: the last block takes what is behind all.
    #[inline]
    fn find(&self, key: K) -> Result<(usize, usize), (usize, usize)> {
        let block = self.blocks.partition_point(|block| block.last().is_some_and(|(last, _)| *last < key));
        let block = block.min(self.blocks.len().saturating_sub(1));
        let Some(entries) = self.blocks.get(block) else { return Err((0, 0)) };
        let place = entries.binary_search_by_key(&key, |(key, _)| *key);
        place.map(|place| (block, place)).map_err(|place| (block, place))
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Roster};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_is_a_map_in_order_whose_blocks_are_filled(steps in prop::collection::vec((any::<bool>(), 0..600_u64), 0..1000), skip in 0_usize..700) {
            let (mut roster, mut model) = (Roster::default(), BTreeMap::new());
            for (step, (comes, key)) in steps.into_iter().enumerate() {
                if comes {
                    roster.insert(key, step);
                    model.insert(key, step);
                } else {
                    prop_assert_eq!(roster.remove(key), model.remove(&key));
                }
                prop_assert_eq!(roster.get(key), model.get(&key));
                prop_assert_eq!(roster.len(), model.len());
                prop_assert!(roster.behind(Some(key)).eq(model.range(key + 1..).map(|(_, value)| value)));
                prop_assert!(roster.blocks.iter().all(|block| (1..=BLOCK).contains(&block.len())));
                let filled = roster.blocks.windows(2).all(|two| two[0].len() + two[1].len() > BLOCK / 2);
                prop_assert!(filled);
            }
            prop_assert!(roster.values().eq(model.values()) && roster.behind(None).eq(model.values()));
            prop_assert!(roster.values_past(skip).eq(model.values().skip(skip)));
        }
    }

    #[test]
    fn those_who_come_in_order_fill_each_block() {
        let mut roster = Roster::default();
        for key in 0..1000 {
            roster.insert(key, ());
        }
        assert_eq!(roster.blocks.len(), 1000_usize.div_ceil(BLOCK));
    }
}
