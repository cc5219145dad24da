//! Few messages each of many rooms, which the log in SQLite puts behind one another before it files them by room: nobody notices where they are.

use crate::sqlite_log::{Folder, answer, append, batch, id, message, read, room, stored, until};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use switchboard::grammar::Epoch;
use switchboard::log::{Cursor, Retention, RoomLog, SqliteError, SqliteLog, SqliteOptions};
use switchboard::{Message, MessageId};

/// Rooms that get messages in one commit.
const ROOMS: u64 = 20;

fn name(number: u64) -> String {
    format!("r{number}")
}

/// How many messages a table has.
fn rows(directory: &Path, table: &str) -> i64 {
    let database = rusqlite::Connection::open(directory.join("history.db")).expect("a database");
    let count = format!("SELECT count(*) FROM {table}");
    database.query_row(&count, [], |row| row.get(0)).expect("a count")
}

/// Gives each room messages `first` to `last` in one commit, and calls `then` on the log's own thread, which does nothing meanwhile.
fn scatter(log: &Arc<SqliteLog>, first: u64, last: u64, then: impl FnOnce() + Send + 'static) {
    scatter_each(log, first, last, move |name| batch(name, first, last), then);
}

/// The same, with what `messages` gives for each room.
fn scatter_each(
    log: &Arc<SqliteLog>,
    first: u64,
    last: u64,
    messages: impl Fn(&str) -> Vec<Arc<Message>> + Send + 'static,
    then: impl FnOnce() + Send + 'static,
) {
    let (queue, mut then) = (Arc::clone(log), Some(then));
    let (sender, told) = mpsc::channel();
    // On the log's own thread, which commits none of them before it is through.
    let many = move |_| {
        for number in (0..ROOMS).rev() {
            let then = if number == 0 { then.take() } else { None };
            let sender = sender.clone();
            let done = move |result| {
                if let Some(then) = then {
                    then();
                }
                sender.send(result).unwrap_or_default();
            };
            queue.append(&room(&name(number)), id(first - 1), messages(&name(number)), Box::new(done));
        }
    };
    log.forget(&room("nowhere"), Box::new(many));
    for _ in 0..ROOMS {
        assert_eq!(told.recv_timeout(Duration::from_secs(20)).expect("an answer"), Ok(id(last)));
    }
}

/// What was filed behind message `behind` is recent, as if the last commit had just put it there. Nobody has the log meanwhile.
fn unfile(folder: &Folder, behind: u64) {
    let moved = format!(
        "BEGIN; INSERT INTO recent SELECT * FROM filed WHERE seq > {behind}; DELETE FROM filed WHERE seq > {behind}; COMMIT;"
    );
    folder.database().execute_batch(&moved).expect("they are moved");
}

#[test]
fn what_is_recent_is_read_with_what_is_filed_and_is_there_at_the_next_start() {
    let folder = Folder::new("recent");
    let log = Arc::new(folder.open());
    append(&log, "r0", 0, batch("r0", 1, 3)).unwrap();
    for number in 1..ROOMS {
        append(&log, &name(number), 0, batch(&name(number), 1, 3)).unwrap();
    }
    let (sender, seen) = mpsc::channel();
    let (asked, place) = (Arc::clone(&log), folder.0.clone());
    scatter(&log, 4, 5, move || {
        let pages = [
            read(&asked, "r0", Cursor::After(id(2)), 9, usize::MAX),
            read(&asked, "r0", Cursor::After(id(4)), 9, usize::MAX),
            read(&asked, "r0", Cursor::Before(id(5)), 2, usize::MAX),
            read(&asked, "r19", Cursor::Before(id(9)), 3, usize::MAX),
        ];
        let mut exported = Vec::new();
        SqliteLog::export(&place, &room("r7"), |message| {
            exported.push(message.id.seq);
            true
        })
        .unwrap();
        sender.send((rows(&place, "recent"), pages, exported, SqliteLog::check(&place).unwrap())).unwrap();
    });
    let (recent, pages, exported, report) = seen.recv().unwrap();
    assert_eq!(recent, 2 * ROOMS.cast_signed());
    assert_eq!(pages, [vec![3, 4, 5], vec![5], vec![3, 4], vec![3, 4, 5]]);
    assert_eq!((exported, report.messages), (vec![1, 2, 3, 4, 5], 5 * ROOMS));
    // Many at once are filed beside them.
    append(&log, "r0", 5, batch("r0", 6, 30)).unwrap();
    drop(log);
    unfile(&folder, 3);
    let log = folder.open();
    let rooms = stored(&log, 4);
    assert_eq!((rooms[0].2, &rooms[0].3), (id(30), &batch("r0", 27, 30)));
    assert_eq!((rooms[1].2, &rooms[1].3), (id(5), &batch("r1", 2, 5)));
    assert_eq!(append(&log, "r1", 5, batch("r1", 6, 6)), Ok(id(6)));
    until(|| rows(&folder.0, "recent") == 0);
    assert_eq!(rows(&folder.0, "filed"), 5 * ROOMS.cast_signed() + 26);
}

#[test]
fn what_is_recent_is_filed_once_it_is_much_and_when_nothing_more_comes() {
    let folder = Folder::new("filed");
    let log = Arc::new(folder.open());
    let mut most = 0;
    for number in 0..20 {
        let (sender, seen) = mpsc::channel();
        let place = folder.0.clone();
        scatter(&log, 1 + 6 * number, 6 + 6 * number, move || sender.send(rows(&place, "recent")).unwrap());
        most = most.max(seen.recv().unwrap());
    }
    assert!(most < 1024, "{most}");
    until(|| rows(&folder.0, "recent") == 0);
    assert_eq!(rows(&folder.0, "filed"), 120 * ROOMS.cast_signed());
    assert_eq!(SqliteLog::check(&folder.0).unwrap().messages, 120 * ROOMS);
}

#[test]
fn what_is_recent_is_purged_forgotten_and_beyond_retention_as_all_else() {
    let folder = Folder::new("recent-goes");
    let log = Arc::new(folder.open());
    let (sender, seen) = mpsc::channel();
    let asked = Arc::clone(&log);
    // All of it is queued while what it is about is recent.
    scatter(&log, 1, 4, move || {
        asked.purge(&room("r0"), id(2), answer().0);
        asked.forget(&room("r1"), answer().0);
        let again = MessageId { epoch: Epoch::new(8), seq: 0 };
        let first = MessageId { seq: 1, ..again };
        let done = move |result| sender.send(result).unwrap();
        asked.append(&room("r2"), again, vec![message("r2", first, "again")], Box::new(done));
        asked.keep(&room("r3"), Retention { messages: Some(1), ..Retention::default() });
    });
    assert_eq!(seen.recv().unwrap().unwrap().seq, 1);
    let all =
        |log: &SqliteLog| [0, 1, 2, 3, 4].map(|number| read(log, &name(number), Cursor::After(id(0)), 9, usize::MAX));
    let expected = [vec![3, 4], vec![], vec![], vec![4], vec![1, 2, 3, 4]];
    assert_eq!(all(&log), expected);
    until(|| rows(&folder.0, "messages") == 2 + 1 + 1 + 4 * (ROOMS.cast_signed() - 4));
    SqliteLog::check(&folder.0).unwrap();
    drop(log);
    let log = folder.open();
    assert_eq!(all(&log), expected);
}

#[test]
fn what_is_purged_is_overwritten_where_it_was_recent_too() {
    let folder = Folder::new("recent-overwritten");
    let log = Arc::new(folder.open());
    let said = "a word that is nowhere else".repeat(40);
    let text = said.clone();
    scatter_each(&log, 1, 1, move |name| vec![message(name, id(1), &text)], || ());
    let holds = || {
        let mut files = std::fs::read_dir(&folder.0).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files.any(|bytes| bytes.windows(27).any(|part| part == &said.as_bytes()[..27]))
    };
    assert!(holds(), "it is written as it was said");
    for number in 0..ROOMS {
        let (done, told) = answer();
        log.purge(&room(&name(number)), id(1), done);
        told.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
    }
    until(|| rows(&folder.0, "messages") == 0);
    // With the log that is ahead of the file.
    drop(log);
    assert!(!holds());
}

#[test]
fn the_room_that_has_most_gives_up_its_oldest_though_they_are_recent() {
    let folder = Folder::new("recent-all");
    let log = Arc::new(SqliteLog::open(&folder.0, SqliteOptions { bytes: 257 * 3 * ROOMS }).unwrap());
    scatter(&log, 1, 3, || ());
    append(&log, "r0", 3, batch("r0", 4, 9)).unwrap();
    until(|| log.metrics().bytes <= 257 * 3 * ROOMS);
    assert_eq!(read(&log, "r0", Cursor::Before(id(10)), 1, usize::MAX), [9]);
    assert_eq!(read(&log, "r9", Cursor::After(id(0)), 9, usize::MAX), [1, 2, 3]);
}

#[test]
fn a_log_of_the_format_before_is_looked_into_as_it_is_and_taken_over() {
    let folder = Folder::new("format");
    drop(folder.open());
    let before = "DROP VIEW messages; DROP TABLE recent; ALTER TABLE filed RENAME TO messages; PRAGMA user_version = 1;
        INSERT INTO rooms (id, name, epoch) VALUES (4, 'a', '7');
        INSERT INTO messages VALUES (4, 1, 0, NULL, NULL, x'6f6e65', 3), (4, 2, 0, NULL, NULL, x'74776f', 6);";
    folder.database().execute_batch(before).unwrap();
    let format = || folder.database().query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap();
    let mut texts = Vec::new();
    let export = |message: &Message| {
        texts.push(message.payload.clone());
        true
    };
    assert!(SqliteLog::export(&folder.0, &room("a"), export).unwrap());
    assert_eq!(texts, ["one", "two"]);
    assert_eq!((SqliteLog::check(&folder.0).unwrap().messages, format()), (2, 1));
    let log = folder.open();
    assert_eq!(append(&log, "a", 2, batch("a", 3, 3)), Ok(id(3)));
    drop(log);
    assert_eq!((SqliteLog::check(&folder.0).unwrap().messages, format()), (3, 2));
}

#[test]
fn of_a_log_whose_recent_messages_are_damaged_the_others_are_kept() {
    let folder = Folder::new("recent-damaged");
    let log = folder.open();
    append(&log, "a", 0, batch("a", 1, 500)).unwrap();
    drop(log);
    unfile(&folder, 400);
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'recent'";
    let page = folder.database().query_row(root, [], |row| row.get::<_, u32>(0)).unwrap() as usize;
    let path = folder.0.join("history.db");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(page - 1) * 4096..page * 4096].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(SqliteLog::open(&folder.0, SqliteOptions::default()), Err(SqliteError::Damaged { .. })));
    assert_eq!(SqliteLog::new_epochs(&folder.0).unwrap().rooms, 1);
    let rooms = stored(&folder.open(), 1);
    assert_eq!((rooms[0].1, rooms[0].2.seq), (1, 400));
}
