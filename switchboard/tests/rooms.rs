//! Rooms over memory, under a paused clock: who gets what, in which order and form, under which name, and for how long.
//!
//! See `harness/node.rs`: the test speaks for both sides of each connection.

mod bound_names;
mod delivery;
mod durable;
mod encodings;
mod formats;
mod histories;
mod lifetimes;
mod lists;
mod names;
mod options;
mod policies;
mod presence;
mod resuming;
mod sessions;
mod shared;
mod unnamed;
mod wills;

use switchboard::MessageId;
use switchboard::prelude::*;

/// Publishes 1, 2, 3 …, and returns the last one's id.
fn publish_numbers(room: &Room, last: u64) -> MessageId {
    for number in 1..=last {
        room.publish(number.to_string());
    }
    room.last_id()
}

fn numbered(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| format!("[lobby] {number}")).collect()
}
