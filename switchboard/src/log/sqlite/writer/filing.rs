//! Where the writer puts messages, and when those that are recent are filed by room.

use super::{MessageTable, Writer};
use std::collections::HashSet;
use std::time::Duration;

/// From how many recent messages on they are filed: so many of each room that has some, which makes a room's page worth its writing, within what
/// takes as long as a commit to file (a page has about 25 of 100 bytes) and what a reader of any room has to look through.
const ROWS_OF_ROOM: usize = 8;
const FEWEST_ROWS: usize = 1024;
const MOST_ROWS: usize = 8 * FEWEST_ROWS;
const MOST_BYTES: usize = 2 << 20;

/// Appends of one commit from which on they may be recent. Fewer change few pages.
const SCATTERED: usize = 4;

/// Messages of one append, or bytes of their payloads, that are filed at once: they fill half a page.
const FILED_ROWS: usize = 16;
const FILED_BYTES: usize = 2048;

/// What is recent is filed when nothing has come for so long.
pub(super) const REST: Duration = Duration::from_secs(1);

/// What there is of messages that are not filed.
pub(super) struct Recent {
    rows: usize,
    /// Bytes of their payloads, of those that came since the start.
    bytes: usize,
    /// Rows of the rooms of these.
    rooms: HashSet<i64>,
}

impl Recent {
    pub(super) fn new(rows: usize) -> Self {
        Self { rows, bytes: 0, rooms: HashSet::new() }
    }

    /// How much there is is not known: it is to be filed.
    pub(super) fn unknown() -> Self {
        Self::new(MOST_ROWS)
    }

    pub(super) fn add(&mut self, room: i64, rows: usize, bytes: usize) {
        self.rows += rows;
        self.bytes += bytes;
        self.rooms.insert(room);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(super) fn is_full(&self) -> bool {
        let most = (self.rooms.len() * ROWS_OF_ROOM).clamp(FEWEST_ROWS, MOST_ROWS);
        self.rows >= most || self.bytes >= MOST_BYTES
    }
}

impl Writer<'_> {
    /// Nothing more comes to what is recent.
    pub(super) fn rests(&self) -> bool {
        !self.recent.is_empty() && self.appended.is_none_or(|appended| appended.elapsed() >= REST)
    }

    pub(super) fn file(&mut self) -> rusqlite::Result<()> {
        if !self.recent.is_empty() {
            self.statements.file()?;
            self.recent = Recent::new(0);
        }
        Ok(())
    }
}

/// Whether the messages of a commit of so many appends may be recent.
pub(super) fn is_scattered(appends: usize) -> bool {
    (SCATTERED..MOST_ROWS).contains(&appends)
}

/// Where the messages of one append are put, with so many bytes of payloads.
pub(super) fn place(is_scattered: bool, rows: usize, bytes: usize) -> MessageTable {
    let is_small = rows < FILED_ROWS && bytes < FILED_BYTES;
    if is_scattered && is_small { MessageTable::Recent } else { MessageTable::Filed }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many messages of so many bytes there are once they are to be filed, if each of so many rooms has one in turn.
    fn filed_at(rooms: i64, bytes: usize) -> usize {
        let mut recent = Recent::new(0);
        while !recent.is_full() {
            recent.add(recent.rows.cast_signed() as i64 % rooms, 1, bytes);
        }
        recent.rows
    }

    #[test]
    fn what_is_recent_is_filed_when_it_is_eight_of_each_room_within_bounds() {
        let rows = [1, 50, 128, 200, 1000, 9000].map(|rooms| filed_at(rooms, 100));
        assert_eq!(rows, [1024, 1024, 1024, 1600, 8000, 8192]);
        assert_eq!(filed_at(1000, 2047), 1025, "2 MiB of payloads");
    }
}
