//! The thread that reads: a page at a time, in a transaction that is over with the page.
//!
//! A slow reader keeps nothing open, so the write-ahead log can always be written back.

use super::Shared;
use super::queue::Arrived;
use super::shelf::{BESIDE, Shelf};
use crate::log::{Cursor, Done, LogError, PageLimit, Retention, StoredRoom};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, Statement};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use switchboard_proto::{Epoch, Message, MessageId, RoomName, UserName};

/// It has nothing to do by itself.
const PATIENCE: Duration = Duration::from_hours(1);

/// A page of a room.
pub(super) struct Question {
    pub(super) room: RoomName,
    pub(super) from: Cursor,
    pub(super) limit: PageLimit,
    pub(super) done: Done<Vec<Arc<Message>>>,
}

/// Answers what is asked until nothing more will be.
pub(super) fn run(shared: &Shared, connection: &Connection) {
    loop {
        match shared.reads.take(PATIENCE) {
            Arrived::Some(orders) => {
                for Question { room, from, limit, done } in orders {
                    let page = page(connection, &room, from, limit, shared.retention(&room));
                    done(page.map_err(LogError::unavailable));
                }
            }
            Arrived::Nothing => {}
            Arrived::Closed => return,
        }
    }
}

const ROOM: &str = "SELECT id, epoch, gone FROM rooms WHERE name = ?";
const LAST: &str = "SELECT seq, sum FROM messages WHERE room = ? ORDER BY seq DESC LIMIT 1";
const AFTER: &str =
    "SELECT seq, time, sender, user, payload, sum FROM messages WHERE room = ? AND seq > ? ORDER BY seq";
pub(super) const BEFORE: &str = "SELECT seq, time, sender, user, payload, sum FROM messages WHERE room = ? AND seq BETWEEN ? AND ? ORDER BY seq DESC";

/// The messages next to `from` that `keep` allows.
pub(super) fn page(
    connection: &Connection,
    room: &RoomName,
    from: Cursor,
    limit: PageLimit,
    keep: Retention,
) -> rusqlite::Result<Vec<Arc<Message>>> {
    // One state of the database for all three questions.
    let _snapshot = connection.unchecked_transaction()?;
    let found = connection.query_row(ROOM, [room.as_str()], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?.cast_unsigned()))
    });
    let (Cursor::After(MessageId { epoch, .. }) | Cursor::Before(MessageId { epoch, .. })) = from;
    let Some((id, _, gone)) = found.optional()?.filter(|(_, found, _)| found.parse() == Ok(epoch)) else {
        return Ok(Vec::new());
    };
    let last = connection.query_row(LAST, [id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
    let Some((last, last_sum)) = last.optional()? else { return Ok(Vec::new()) };
    let shelf = Shelf { id, epoch, last: last.cast_unsigned(), last_sum: last_sum.cast_unsigned(), gone, gone_sum: 0 };
    let reading = Passage { room, shelf: &shelf, limit, keep };
    let floor = keep.messages.map_or(gone, |most| gone.max(shelf.last.saturating_sub(most as u64)));
    match from {
        Cursor::After(MessageId { seq, .. }) => {
            let behind = seq.max(floor).cast_signed();
            reading.forward(&mut connection.prepare(AFTER)?, (id, behind))
        }
        Cursor::Before(MessageId { seq, .. }) => {
            let before = seq.saturating_sub(1).min(i64::MAX.cast_unsigned()).cast_signed();
            let first = floor.saturating_add(1).cast_signed();
            reading.backward(&mut connection.prepare(BEFORE)?, (id, first, before))
        }
    }
}

/// What is read of a room.
pub(super) struct Passage<'a> {
    pub(super) room: &'a RoomName,
    pub(super) shelf: &'a Shelf,
    pub(super) limit: PageLimit,
    pub(super) keep: Retention,
}

impl Passage<'_> {
    /// What is gone is the oldest: it is left out until there is one that is not.
    fn forward(&self, rows: &mut Statement<'_>, parameters: impl Params) -> rusqlite::Result<Vec<Arc<Message>>> {
        let mut page = Page::new(self);
        let mut rows = rows.query(parameters)?;
        while let Some(row) = rows.next()? {
            if page.is_full() {
                break;
            }
            let (message, is_gone) = page.message(row)?;
            if !page.messages.is_empty() || !is_gone {
                page.add(message);
            }
        }
        Ok(page.messages)
    }

    /// The newest first, up to one that is gone.
    pub(super) fn backward(
        &self,
        rows: &mut Statement<'_>,
        parameters: impl Params,
    ) -> rusqlite::Result<Vec<Arc<Message>>> {
        let mut page = Page::new(self);
        let mut rows = rows.query(parameters)?;
        while let Some(row) = rows.next()? {
            if page.is_full() {
                break;
            }
            let (message, is_gone) = page.message(row)?;
            if is_gone {
                break;
            }
            page.add(message);
        }
        page.messages.reverse();
        Ok(page.messages)
    }
}

/// What has been read of one.
struct Page<'a> {
    reading: &'a Passage<'a>,
    oldest: Option<SystemTime>,
    messages: Vec<Arc<Message>>,
    bytes: u64,
}

impl<'a> Page<'a> {
    fn new(reading: &'a Passage<'a>) -> Self {
        let oldest = reading.keep.age.and_then(|age| SystemTime::now().checked_sub(age));
        Self { reading, oldest, messages: Vec::new(), bytes: 0 }
    }

    fn is_full(&self) -> bool {
        let limit = self.reading.limit;
        self.messages.len() >= limit.messages || (!self.messages.is_empty() && self.bytes >= limit.bytes as u64)
    }

    /// One of the room, and whether it is beyond what is kept.
    fn message(&self, row: &Row<'_>) -> rusqlite::Result<(Message, bool)> {
        let Passage { room, shelf, keep, .. } = self.reading;
        let message = message(row, room, shelf.epoch)?;
        let (length, sum) = (message.payload.len() as u64, row.get::<_, i64>(5)?.cast_unsigned());
        let is_old = self.oldest.is_some_and(|oldest| message.time < oldest);
        let is_gone = is_old || shelf.is_beyond(message.id.seq, sum, length, *keep);
        Ok((message, is_gone))
    }

    fn add(&mut self, message: Message) {
        self.bytes += message.payload.len() as u64 + BESIDE;
        self.messages.push(Arc::new(message));
    }
}

fn message(row: &Row<'_>, room: &RoomName, epoch: Epoch) -> rusqlite::Result<Message> {
    let name = |column| -> rusqlite::Result<Option<UserName>> {
        let name = row.get_ref(column)?.as_str_or_null()?;
        name.map(UserName::parse_any).transpose().map_err(|_| rusqlite::Error::InvalidQuery)
    };
    let (seq, time) = (row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?);
    let since = Duration::from_millis(time.unsigned_abs());
    let time =
        if time < 0 { SystemTime::UNIX_EPOCH.checked_sub(since) } else { SystemTime::UNIX_EPOCH.checked_add(since) };
    Ok(Message {
        room: room.clone(),
        id: MessageId { epoch, seq },
        time: time.unwrap_or(SystemTime::UNIX_EPOCH),
        from: name(2)?,
        user: name(3)?,
        payload: Bytes::copy_from_slice(row.get_ref(4)?.as_blob()?),
    })
}

/// Tells each room that was found, with its newest messages as far as `newest` allows.
pub(super) fn newest(
    connection: &Connection,
    found: Vec<(RoomName, Shelf)>,
    newest: &dyn Fn(&RoomName) -> PageLimit,
    each: &mut dyn FnMut(StoredRoom),
) -> Result<(), LogError> {
    let damaged = |error: rusqlite::Error| LogError::Damaged(error.to_string().into());
    let is_filed = "SELECT NOT EXISTS (SELECT 1 FROM recent)";
    let is_filed: bool = connection.query_row(is_filed, [], |row| row.get(0)).map_err(damaged)?;
    // Looking at both takes twice the time, for each of perhaps 100,000 rooms.
    let before = if is_filed { BEFORE.replace("messages", "filed") } else { BEFORE.to_owned() };
    let mut before = connection.prepare(&before).map_err(damaged)?;
    for (name, shelf) in found {
        let limit = newest(&name);
        let mut messages = Vec::new();
        if limit.messages > 0 && shelf.messages() > 0 {
            let reading = Passage { room: &name, shelf: &shelf, limit, keep: Retention::default() };
            let (first, last) = ((shelf.gone + 1).cast_signed(), shelf.last.cast_signed());
            messages = reading.backward(&mut before, (shelf.id, first, last)).map_err(damaged)?;
        }
        each(StoredRoom { last: shelf.last_id(), first: shelf.gone + 1, newest: messages, name });
    }
    Ok(())
}
