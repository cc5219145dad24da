//! Reading the ends of all rooms at a start, several at once: they lie all over the file, and one after the other each would wait for the disk.

use super::file::Directory;
use rusqlite::Connection;
use std::thread::{Builder, scope};

/// Threads that read, as many as a disk does at a time, and rooms from which on each is worth it.
const READERS: i64 = 8;
const ROOMS_EACH: i64 = 500;

/// Of each room of a share the last messages, which are about a page.
const ENDS: &str =
    "SELECT sum((SELECT count(sum) FROM (SELECT sum FROM filed WHERE room = rooms.id ORDER BY seq DESC LIMIT 16)))
    FROM rooms WHERE id % ? = ?";

/// Has the system read what is looked at next. What cannot be read is found out by whoever needs it.
pub(super) fn read_ahead(directory: &Directory, connection: &Connection) {
    let count = connection.query_row("SELECT count(*) FROM rooms", [], |row| row.get(0));
    let readers = count.map_or(0, |rooms: i64| (rooms / ROOMS_EACH).min(READERS));
    scope(|scope| {
        for share in 0..readers {
            let read = move || {
                let Ok(connection) = directory.reader() else { return };
                let _ = connection.query_row(ENDS, (readers, share), |_| Ok(()));
            };
            // What no thread is to be had for is read later.
            let _ = Builder::new().spawn_scoped(scope, read);
        }
    });
}
