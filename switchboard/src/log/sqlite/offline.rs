//! What is done to a log's directory while nobody is served from it, or without being noticed: looking at it, taking messages out, putting
//! them in, and beginning all epochs anew.

use super::SqliteLog;
use super::file::{self, Directory, SqliteError};
use super::reader::{self, Passage};
use super::shelf::Shelf;
use super::writer::{MessageTable, Statements};
use crate::log::{Cursor, PageLimit, Retention};
use rusqlite::Connection;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use switchboard_proto::{Epoch, Message, MessageId, RoomName};

/// Messages that are read at a time: a server that writes meanwhile is not held up.
const PAGE: PageLimit = PageLimit { messages: 1000, bytes: 4 << 20 };

/// Messages of one transaction.
const TOGETHER: usize = 1000;

/// The last number that is put in: what reads JSON may lose count beyond it, and a database has room for 2^63 of them.
const LAST: u64 = 1 << 53;

/// What is in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteReport {
    /// Rooms.
    pub rooms: usize,
    /// Messages of all of them.
    pub messages: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
}

/// What has become of a log whose epochs were begun anew.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Renewed {
    /// Rooms that it has.
    pub rooms: usize,
    /// Where the damaged database is now, of which these could be read, if it was damaged.
    pub aside: Option<PathBuf>,
}

/// Why messages were not put into a log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] SqliteError),
    /// The messages could not be read.
    #[error(transparent)]
    Source(#[from] std::io::Error),
    /// There is a room of this name, whose messages others know by their numbers.
    #[error("room {0} is there")]
    Exists(RoomName),
    /// This message does not follow the one before it.
    #[error("message {0} does not follow the one before it in its room")]
    Unordered(MessageId),
    /// No room gets so far, and those that follow might have no number.
    #[error("message {0} has a number beyond 2^53")]
    Large(MessageId),
}

impl SqliteLog {
    /// Looks at every page of the log in `directory`, and at every number of its rooms. A server may use it meanwhile.
    ///
    /// # Errors
    /// There is none, another version has made it, or it is damaged.
    pub fn check(directory: &Path) -> Result<SqliteReport, SqliteError> {
        let connection = file::look_into(directory)?;
        checked(&connection).map_err(|error| file::unusable(directory, &error))
    }

    /// Gives `each` message of a room, oldest first; false ends it. A server may use the log meanwhile. Says whether there is such a room.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn export(
        directory: &Path,
        room: &RoomName,
        mut each: impl FnMut(&Message) -> bool,
    ) -> Result<bool, SqliteError> {
        let connection = file::look_into(directory)?;
        let mut read = || -> rusqlite::Result<bool> {
            let found = file::found(&connection)?.into_iter().find(|(name, _)| name == room);
            let Some((name, shelf)) = found else { return Ok(false) };
            let mut at = MessageId { seq: shelf.gone, epoch: shelf.epoch };
            loop {
                let page = reader::page(&connection, &name, Cursor::After(at), PAGE, Retention::default())?;
                let Some(last) = page.last() else { return Ok(true) };
                at = last.id;
                if !page.iter().all(|message| each(message)) {
                    return Ok(true);
                }
            }
        };
        read().map_err(|error| file::unusable(directory, &error))
    }

    /// Puts messages into the log in `directory`, with their ids: those of a room in the order of their numbers, without a hole. All of
    /// them or none. Says how many.
    ///
    /// # Errors
    /// The log is in use or cannot be written, a message cannot be read, one of the rooms is there already, or a message does not follow the one before it.
    pub fn import(
        directory: &Path,
        messages: impl IntoIterator<Item = std::io::Result<Message>>,
    ) -> Result<u64, ImportError> {
        let own = Directory::open(directory)?;
        let connection = own.writer()?;
        let there = file::found(&connection).map_err(|error| own.unusable(error))?;
        let there: HashSet<RoomName> = there.into_iter().map(|(name, _)| name).collect();
        let sql = |error| ImportError::Log(own.unusable(error));
        let mut statements = Statements::prepare(&connection).map_err(sql)?;
        let mut next_id = statements.next_id().map_err(sql)?;
        let mut shelves: HashMap<RoomName, Shelf> = HashMap::new();
        let mut count = 0;
        statements.begin().map_err(sql)?;
        for message in messages {
            let message = message?;
            let MessageId { epoch, seq } = message.id;
            if there.contains(&message.room) {
                return Err(ImportError::Exists(message.room));
            }
            if seq > LAST {
                return Err(ImportError::Large(message.id));
            }
            if seq == 0 {
                return Err(ImportError::Unordered(message.id));
            }
            let shelf = match shelves.entry(message.room.clone()) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(free) => {
                    let before = MessageId { epoch, seq: seq - 1 };
                    let shelf = statements.make(next_id, &message.room, before).map_err(sql)?;
                    next_id += 1;
                    free.insert(shelf)
                }
            };
            if epoch != shelf.epoch || seq != shelf.last + 1 {
                return Err(ImportError::Unordered(message.id));
            }
            statements.insert(shelf, &message, MessageTable::Filed).map_err(sql)?;
            count += 1;
        }
        statements.commit().map_err(sql)?;
        Ok(count)
    }

    /// Gives every room of the log in `directory` another epoch, so that no id is used twice: after an older copy was restored, which nothing
    /// in it tells. Of a damaged database what can be read is copied into a new one, of each room the newest messages up to the damage, and
    /// the old one is put aside.
    ///
    /// # Errors
    /// The log is in use or cannot be written.
    pub fn new_epochs(directory: &Path) -> Result<Renewed, SqliteError> {
        let own = Directory::open(directory)?;
        match own.writer() {
            Ok(connection) => {
                let rooms = renew(&connection).map_err(|error| own.unusable(error))?;
                Ok(Renewed { rooms, aside: None })
            }
            Err(SqliteError::Damaged { .. }) => {
                let aside = own.put_aside()?;
                let connection = own.writer()?;
                let rooms = salvage(&aside, &connection).map_err(|error| own.unusable(error))?;
                Ok(Renewed { rooms, aside: Some(aside) })
            }
            Err(error) => Err(error),
        }
    }
}

/// How many messages there are of each room that are not filed, and bytes of their payloads.
const RECENT_SUMS: &str =
    "SELECT id, count(*), sum(length(payload)) FROM recent JOIN rooms ON id = room WHERE seq > gone GROUP BY id";

fn checked(connection: &Connection) -> rusqlite::Result<SqliteReport> {
    file::check(connection, "integrity_check")?;
    let mut report = SqliteReport { rooms: 0, messages: 0, payload_bytes: 0 };
    let mut sums = connection
        .prepare("SELECT count(*), coalesce(sum(length(payload)), 0) FROM filed WHERE room = ? AND seq > ?")?;
    // One state of the database, or a server that writes would be taken for damage.
    let _snapshot = connection.unchecked_transaction()?;
    let recent = file::of_rooms(connection, RECENT_SUMS)?;
    for (name, shelf) in file::found(connection)? {
        let (messages, bytes): (i64, i64) =
            sums.query_row((shelf.id, shelf.gone.cast_signed()), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (more, more_bytes) = recent.get(&shelf.id).copied().unwrap_or_default();
        let (messages, bytes) = ((messages + more).cast_unsigned(), (bytes + more_bytes).cast_unsigned());
        if (messages, bytes) != (shelf.messages(), shelf.last_sum - shelf.gone_sum) {
            return Err(file::damage(&format!("room {name} has not the messages that its numbers say")));
        }
        report.rooms += 1;
        report.messages += messages;
        report.payload_bytes += bytes;
    }
    Ok(report)
}

fn renew(connection: &Connection) -> rusqlite::Result<usize> {
    let transaction = connection.unchecked_transaction()?;
    let rooms = file::found(connection)?;
    let mut update = connection.prepare("UPDATE rooms SET epoch = ? WHERE id = ?")?;
    for (_, shelf) in &rooms {
        update.execute((another(shelf.epoch).to_string(), shelf.id))?;
    }
    drop(update);
    transaction.commit()?;
    Ok(rooms.len())
}

/// An epoch that was not there before: of two that are alike one is that of a room's earlier life once in four billion times.
fn another(epoch: Epoch) -> Epoch {
    loop {
        // The hasher's key is random.
        let random = Epoch::new(RandomState::new().hash_one(()) as u32);
        if random != epoch {
            return random;
        }
    }
}

/// Copies what can be read of a damaged database. What cannot is left out: that is what damage is.
fn salvage(damaged: &Path, connection: &Connection) -> rusqlite::Result<usize> {
    let Ok(from) = file::open_damaged(damaged) else { return Ok(0) };
    let rooms = file::found(&from).unwrap_or_default();
    let mut statements = Statements::prepare(connection)?;
    for (id, (name, shelf)) in (1..).zip(&rooms) {
        let kept = newest(&from, name, shelf);
        let epoch = another(shelf.epoch);
        let gone = kept.first().map_or(shelf.last, |first| first.id.seq - 1);
        statements.begin()?;
        let mut copy = statements.make(id, name, MessageId { epoch, seq: gone })?;
        for (index, message) in kept.iter().enumerate() {
            statements.insert(&mut copy, message, MessageTable::Filed)?;
            if index % TOGETHER == TOGETHER - 1 {
                statements.commit()?;
                statements.begin()?;
            }
        }
        statements.commit()?;
    }
    Ok(rooms.len())
}

/// The newest messages of a room that can be read, oldest first.
fn newest(from: &Connection, name: &RoomName, shelf: &Shelf) -> Vec<std::sync::Arc<Message>> {
    let mut kept = Vec::new();
    let mut before = shelf.last.saturating_add(1);
    // One at a time: a page that cannot be read as a whole may have some that can.
    let one = PageLimit { messages: 1, bytes: usize::MAX };
    let reading = Passage { room: name, shelf, limit: one, keep: Retention::default() };
    let Ok(mut statement) = from.prepare(reader::BEFORE) else { return kept };
    loop {
        let range = (shelf.id, shelf.gone.saturating_add(1).cast_signed(), before.saturating_sub(1).cast_signed());
        let Some(message) = reading.backward(&mut statement, range).ok().and_then(|mut page| page.pop()) else { break };
        before = message.id.seq;
        kept.push(message);
    }
    kept.reverse();
    kept
}
