//! What one member was told of a room, in JSON: each number once and in order, or within a gap that says so.

use serde_json::Value;
use std::collections::BTreeSet;

/// Checks each object as it comes.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The number that comes next.
    next: u64,
    /// Published by this member, who gets no copy. What it was told lately is still here.
    own: BTreeSet<u64>,
    pub(crate) got: u64,
    pub(crate) lost: u64,
    /// How many gap notices.
    pub(crate) gaps: u64,
}

impl Account {
    /// Of a member that knows the messages up to `seq`.
    pub(crate) fn behind(seq: u64) -> Self {
        Self { next: seq + 1, ..Self::default() }
    }

    /// The member published this one.
    pub(crate) fn publish(&mut self, seq: u64) {
        self.own.insert(seq);
    }

    /// Takes in an object of the room's, and returns the number, if it is a message.
    #[track_caller]
    pub(crate) fn hear(&mut self, object: &Value) -> Option<u64> {
        if let Some(seq) = object["seq"].as_u64() {
            self.skip(0);
            assert_eq!(seq, self.next, "in place of {}", object["id"]);
            (self.next, self.got) = (seq + 1, self.got + 1);
            return Some(seq);
        }
        if object["event"] == "gap" {
            let (from, lost) = (object["from_seq"].as_u64().unwrap(), object["lost"].as_u64().unwrap());
            self.skip(0);
            assert_eq!(from, self.next, "{object}");
            assert!(lost > 0, "{object}");
            self.skip(lost);
            (self.lost, self.gaps) = (self.lost + lost, self.gaps + 1);
        }
        None
    }

    /// All up to `last` must have been told.
    #[track_caller]
    pub(crate) fn close(&mut self, last: u64) {
        self.skip(0);
        assert_eq!(self.next, last + 1, "{self:?}");
    }

    /// The last one that it was told of, or has published itself.
    pub(crate) fn up_to(&mut self) -> u64 {
        self.skip(0);
        self.next.saturating_sub(1)
    }

    /// What it published itself is not told apart any more.
    pub(crate) fn disown(&mut self) {
        self.own.clear();
    }

    /// Goes past `count` messages of others', and past its own there.
    fn skip(&mut self, mut count: u64) {
        loop {
            if !self.own.remove(&self.next) {
                if count == 0 {
                    return;
                }
                count -= 1;
            }
            self.next += 1;
        }
    }
}
