//! Where the writer puts messages, and when those that are recent are filed by room.

use super::{MessageTable, Writer};
use std::sync::Arc;
use std::time::Duration;
use switchboard_proto::Message;

/// Messages that are recent at most, but for those of one commit: a page of the database has about 25 of 100 bytes, and filing so many takes
/// as long as a commit.
pub(super) const RECENT_ROWS: usize = 1024;

/// Appends of one commit from which on they may be recent, below `RECENT_ROWS`. Fewer change few pages, and as many would be filed at once.
const SCATTERED: usize = 4;

/// Messages of one append, or bytes of their payloads, that are filed at once: they fill half a page.
const FILED_ROWS: usize = 16;
const FILED_BYTES: usize = 2048;

/// What is recent is filed when nothing has come for so long.
pub(super) const REST: Duration = Duration::from_secs(1);

impl Writer<'_> {
    /// Nothing more comes to what is recent.
    pub(super) fn rests(&self) -> bool {
        self.recent > 0 && self.appended.is_none_or(|appended| appended.elapsed() >= REST)
    }

    pub(super) fn file(&mut self) -> rusqlite::Result<()> {
        if self.recent > 0 {
            self.statements.file()?;
            self.recent = 0;
        }
        Ok(())
    }
}

/// Whether the messages of a commit of so many appends may be recent.
pub(super) fn is_scattered(appends: usize) -> bool {
    (SCATTERED..RECENT_ROWS).contains(&appends)
}

/// Where messages of one append are put.
pub(super) fn place(is_scattered: bool, batch: &[Arc<Message>]) -> MessageTable {
    let is_small = batch.len() < FILED_ROWS && payload_bytes(batch) < FILED_BYTES;
    if is_scattered && is_small { MessageTable::Recent } else { MessageTable::Filed }
}

pub(super) fn payload_bytes(batch: &[Arc<Message>]) -> usize {
    batch.iter().map(|message| message.payload.len()).sum()
}
