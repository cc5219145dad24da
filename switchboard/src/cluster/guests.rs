//! Numbers for guests that no other node gives: whole blocks of them, one at a time, each with a record.

use super::bus::{NodeId, PutError};
use super::names::{NameRecords, owned};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Blocks of numbers, one after the other, of which a node gives its guests theirs.
pub(super) const BLOCK: u64 = 1024;

/// How long the record of a block stays that is not put again, and how often it is.
const BLOCK_LIVES: Duration = Duration::from_hours(1);
const BLOCK_EVERY: Duration = Duration::from_mins(20);

/// Which block is free next, as far as somebody has noted it.
const NEXT_BLOCK: &str = "guests";

/// Numbers that no other node gives, without a record: drawn so high that no block comes there.
const FAR: u64 = 1 << 62;

fn block_key(block: u64) -> String {
    format!("guest.{block}")
}

/// The record of a guest's number.
pub(super) fn block_of(number: u64) -> String {
    block_key(number / BLOCK)
}

#[derive(Default)]
pub(super) struct Guests(Mutex<Numbers>);

#[derive(Default)]
struct Numbers {
    next: u64,
    end: u64,
    spare: Option<u64>,
    /// Blocks that are this node's: as which they were put, and when.
    blocks: HashMap<u64, (u64, Instant)>,
    /// How many have had to do without.
    far: u64,
}

impl Guests {
    /// A number that no guest of any node has. Says too whether there is no more block to spare.
    pub(super) fn next(&self, own: NodeId) -> (u64, bool) {
        let mut numbers = self.0.lock();
        if numbers.next == numbers.end {
            let Some(block) = numbers.spare.take() else {
                numbers.far += 1;
                return (FAR + ((own.0 >> 24) << 21) + numbers.far, true);
            };
            // Nobody is guest-0.
            numbers.next = (block * BLOCK).max(1);
            numbers.end = (block + 1) * BLOCK;
        }
        numbers.next += 1;
        (numbers.next - 1, numbers.spare.is_none())
    }

    fn got(&self, block: u64, put: u64) {
        let mut numbers = self.0.lock();
        numbers.blocks.insert(block, (put, Instant::now()));
        numbers.spare = Some(block);
    }

    pub(super) fn has_spare(&self) -> bool {
        self.0.lock().spare.is_some()
    }
}

impl NameRecords {
    /// Gets another block for guests, if there is none to spare.
    pub(super) async fn get_block(&self, guests: &Guests) {
        if guests.has_spare() || !self.is_leased() {
            return;
        }
        let Ok(noted) = self.record(NEXT_BLOCK).await else { return };
        let (revision, noted) = noted.map_or((0, 0), |noted| {
            (noted.revision, std::str::from_utf8(&noted.value).ok().and_then(|text| text.parse().ok()).unwrap_or(0))
        });
        let own = guests.0.lock().blocks.keys().max().map_or(0, |block| block + 1);
        for block in noted.max(own).min(FAR / BLOCK / 2)..FAR / BLOCK {
            match self.put(&block_key(block), 0, owned(self.own, 0), Some(BLOCK_LIVES)).await {
                Ok(put) => {
                    guests.got(block, put);
                    // Only a hint: whoever begins lower finds that it is taken.
                    let _ = self.put(NEXT_BLOCK, revision, (block + 1).to_string().into(), None).await;
                    return;
                }
                Err(PutError::Stale) => {}
                Err(PutError::Unknown(_)) => return,
            }
        }
    }

    /// Puts blocks again that still have guests, or will have some; `anew` if their records may be gone.
    pub(super) async fn keep_blocks(&self, guests: &Guests, anew: bool, has_guests: impl Fn(u64, u64) -> bool) {
        let now = Instant::now();
        let due: Vec<_> = {
            let numbers = guests.0.lock();
            let is_due = |at: Instant| anew || now.saturating_duration_since(at) >= BLOCK_EVERY;
            numbers.blocks.iter().filter(|(_, (_, at))| is_due(*at)).map(|(block, (put, _))| (*block, *put)).collect()
        };
        for (block, put) in due {
            let is_used = {
                let numbers = guests.0.lock();
                numbers.spare == Some(block) || numbers.end == (block + 1) * BLOCK
            };
            if !is_used && !has_guests(block * BLOCK, (block + 1) * BLOCK) {
                guests.0.lock().blocks.remove(&block);
                continue;
            }
            let mut expected = put;
            for _ in 0..2 {
                match self.put(&block_key(block), expected, owned(self.own, 0), Some(BLOCK_LIVES)).await {
                    Ok(put) => {
                        guests.0.lock().blocks.insert(block, (put, now));
                        break;
                    }
                    // It is gone, if it is nobody else's.
                    Err(PutError::Stale) => expected = 0,
                    Err(PutError::Unknown(_)) => return,
                }
            }
        }
    }
}
