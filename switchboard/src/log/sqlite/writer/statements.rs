//! The statements of the writer, prepared once.

use crate::log::Retention;
use crate::log::sqlite::file::{EMPTY, FILE, FORMAT};
use crate::log::sqlite::shelf::{BESIDE, Shelf};
use rusqlite::{Connection, OptionalExtension as _, Result, Statement};
use std::time::SystemTime;
use switchboard_proto::{Message, MessageId, RoomName, UserName};

/// Columns of a message that retention looks at.
const OLDEST: &str =
    "SELECT seq, time, sum, length(payload) FROM filed WHERE room = ? AND seq > ? ORDER BY seq LIMIT ?";

/// Where a message is put.
#[derive(Debug, Clone, Copy)]
pub(in crate::log::sqlite) enum MessageTable {
    /// Behind the one that was put there last, whatever its room.
    Recent,
    /// Among those of its room.
    Filed,
}

pub(in crate::log::sqlite) struct Statements<'a> {
    begin: Statement<'a>,
    commit: Statement<'a>,
    roll_back: Statement<'a>,
    append: Statement<'a>,
    insert: Statement<'a>,
    file: Statement<'a>,
    empty: Statement<'a>,
    make: Statement<'a>,
    orphan: Statement<'a>,
    oldest: Statement<'a>,
    delete: Statement<'a>,
    lower: Statement<'a>,
    wal: Statement<'a>,
    checkpoint: Statement<'a>,
    connection: &'a Connection,
}

impl<'a> Statements<'a> {
    pub(in crate::log::sqlite) fn prepare(connection: &'a Connection) -> Result<Self> {
        Ok(Self {
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            roll_back: connection.prepare("ROLLBACK")?,
            append: connection.prepare("INSERT INTO recent VALUES (?, ?, ?, ?, ?, ?, ?)")?,
            insert: connection.prepare("INSERT INTO filed VALUES (?, ?, ?, ?, ?, ?, ?)")?,
            file: connection.prepare(FILE)?,
            empty: connection.prepare(EMPTY)?,
            make: connection.prepare("INSERT INTO rooms (id, name, epoch, gone) VALUES (?, ?, ?, ?)")?,
            orphan: connection.prepare("UPDATE rooms SET name = '~' || id WHERE id = ?")?,
            oldest: connection.prepare(OLDEST)?,
            delete: connection.prepare("DELETE FROM filed WHERE room = ? AND seq <= ?")?,
            lower: connection.prepare("UPDATE rooms SET gone = ?, gone_sum = ? WHERE id = ?")?,
            wal: connection.prepare("PRAGMA wal_checkpoint(NOOP)")?,
            checkpoint: connection.prepare("PRAGMA wal_checkpoint(PASSIVE)")?,
            connection,
        })
    }

    /// The first id of a row that no message has, be it that of a room that is gone.
    pub(in crate::log::sqlite) fn next_id(&self) -> Result<i64> {
        let last = "SELECT max(coalesce((SELECT max(id) FROM rooms), 0), coalesce((SELECT max(room) FROM filed), 0))";
        self.connection.query_row(last, [], |row| row.get::<_, i64>(0)).map(|last| last + 1)
    }

    pub(in crate::log::sqlite) fn begin(&mut self) -> Result<()> {
        self.begin.raw_execute().map(drop)
    }

    pub(in crate::log::sqlite) fn commit(&mut self) -> Result<()> {
        self.commit.raw_execute().map(drop)
    }

    /// Some failures have done it already.
    pub(in crate::log::sqlite) fn roll_back(&mut self) -> Result<()> {
        if self.connection.is_autocommit() { Ok(()) } else { self.roll_back.raw_execute().map(drop) }
    }

    /// Puts a message on a room's shelf, behind its last.
    pub(in crate::log::sqlite) fn insert(
        &mut self,
        shelf: &mut Shelf,
        message: &Message,
        place: MessageTable,
    ) -> Result<()> {
        let Message { id, time, from, user, payload, .. } = message;
        let (from, user) = (from.as_ref().map(UserName::as_str), user.as_ref().map(UserName::as_str));
        shelf.last = id.seq;
        shelf.last_sum += payload.len() as u64;
        let (seq, sum) = (shelf.last.cast_signed(), shelf.last_sum.cast_signed());
        let statement = match place {
            MessageTable::Recent => &mut self.append,
            MessageTable::Filed => &mut self.insert,
        };
        statement.execute((shelf.id, seq, millis(*time), from, user, &payload[..], sum)).map(drop)
    }

    /// Messages that are not filed.
    pub(in crate::log::sqlite) fn recent(&self) -> Result<usize> {
        self.connection
            .query_row("SELECT count(*) FROM recent", [], |row| row.get::<_, i64>(0))
            .map(|rows| rows.cast_unsigned() as usize)
    }

    /// Files all that is recent.
    pub(in crate::log::sqlite) fn file(&mut self) -> Result<()> {
        self.file.execute([])?;
        self.empty.execute([]).map(drop)
    }

    /// Makes a room that begins behind `after`.
    pub(in crate::log::sqlite) fn make(&mut self, id: i64, room: &RoomName, after: MessageId) -> Result<Shelf> {
        let MessageId { epoch, seq } = after;
        self.make.execute((id, room.as_str(), epoch.to_string(), seq.cast_signed()))?;
        Ok(Shelf { id, epoch, last: seq, last_sum: 0, gone: seq, gone_sum: 0 })
    }

    pub(in crate::log::sqlite) fn orphan(&mut self, id: i64) -> Result<()> {
        self.orphan.execute([id]).map(drop)
    }

    /// Bytes of the payloads of a room's messages up to number `seq`, which it has.
    pub(in crate::log::sqlite) fn sum_at(&self, room: i64, seq: u64) -> Result<u64> {
        let sum = "SELECT sum FROM filed WHERE room = ? AND seq = ?";
        self.connection.query_row(sum, (room, seq.cast_signed()), |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
    }

    /// Gives another row the messages behind number `seq`, up to which there were `sum` bytes.
    pub(in crate::log::sqlite) fn take_over(&mut self, from: i64, to: i64, seq: u64, sum: u64) -> Result<()> {
        let behind = "UPDATE filed SET room = ? WHERE room = ? AND seq > ?";
        self.connection.execute(behind, (to, from, seq.cast_signed()))?;
        self.lower.execute((seq.cast_signed(), sum.cast_signed(), to)).map(drop)
    }

    /// Deletes messages of rooms that are forgotten, and then these rooms, `rows` at most. Says how many.
    pub(in crate::log::sqlite) fn sweep_orphans(&mut self, rows: usize) -> Result<usize> {
        let some = "DELETE FROM filed WHERE room = ?1 AND seq IN (SELECT seq FROM filed WHERE room = ?1 LIMIT ?2)";
        let mut deleted = 0;
        while deleted < rows {
            // No name of a room has this character.
            let orphan = "SELECT id FROM rooms WHERE name >= '~' LIMIT 1";
            let Some(id) = self.connection.query_row(orphan, [], |row| row.get::<_, i64>(0)).optional()? else { break };
            deleted += self.connection.execute(some, (id, (rows - deleted).cast_signed()))?;
            if deleted < rows {
                deleted += self.connection.execute("DELETE FROM rooms WHERE id = ?", [id])?;
            }
        }
        Ok(deleted)
    }

    /// Deletes the oldest of a room: what `keep` is exceeded by, what was published before `oldest`, and `force` bytes whatever they are of,
    /// but no more than `rows`. Says how many.
    pub(in crate::log::sqlite) fn trim(
        &mut self,
        shelf: &mut Shelf,
        keep: Retention,
        oldest: Option<i64>,
        force: u64,
        rows: usize,
    ) -> Result<usize> {
        let (mut deleted, mut freed, mut cut) = (0, 0, None);
        let mut found = self.oldest.query((shelf.id, shelf.gone.cast_signed(), rows.cast_signed()))?;
        while let Some(row) = found.next()? {
            let (seq, time, sum, length): (i64, i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            let (seq, sum, length) = (seq.cast_unsigned(), sum.cast_unsigned(), length.cast_unsigned());
            let is_old = oldest.is_some_and(|oldest| time < oldest);
            if freed >= force && !is_old && !shelf.is_beyond(seq, sum, length, keep) {
                break;
            }
            deleted += 1;
            freed += length + BESIDE;
            cut = Some((seq, sum));
        }
        drop(found);
        if let Some((seq, sum)) = cut {
            self.delete.execute((shelf.id, seq.cast_signed()))?;
            self.lower.execute((seq.cast_signed(), sum.cast_signed(), shelf.id))?;
            (shelf.gone, shelf.gone_sum) = (seq, sum);
        }
        Ok(deleted)
    }

    /// Writes and syncs a page, to see whether that works.
    pub(in crate::log::sqlite) fn probe(&self) -> Result<()> {
        self.connection.pragma_update(None, "user_version", FORMAT)
    }

    /// Pages of the write-ahead log that are not in the database.
    pub(in crate::log::sqlite) fn unwritten_pages(&mut self) -> Result<i64> {
        self.wal.query_row([], |row| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?))
    }

    pub(in crate::log::sqlite) fn checkpoint(&mut self) -> Result<()> {
        self.checkpoint.query_row([], |_| Ok(()))
    }

    /// Gives `some` pages back to the file system if more than `most` are free. Says whether that was so.
    pub(in crate::log::sqlite) fn vacuum(&self, most: i64, some: i64) -> Result<bool> {
        let free: i64 = self.connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        if free <= most {
            return Ok(false);
        }
        self.connection.execute_batch(&format!("PRAGMA incremental_vacuum({some})")).map(|()| true)
    }
}

/// As a message's time is kept.
pub(in crate::log::sqlite) fn millis(time: SystemTime) -> i64 {
    let since = |since: std::time::Duration| i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    time.duration_since(SystemTime::UNIX_EPOCH).map_or_else(|error| -since(error.duration()), since)
}
