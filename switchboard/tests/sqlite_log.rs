//! The log in SQLite, as a hub uses it: what it has said to keep is there, whatever happens in between.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, SystemTime};
use switchboard::grammar::Epoch;
use switchboard::log::{
    Cursor, Done, ImportError, LogError, PageLimit, Retention, RoomLog, SqliteError, SqliteLog, SqliteOptions,
};
use switchboard::{Hub, HubLimits, Message, MessageId, RoomName, UserName};

/// Whatever does not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory that is gone with it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("switchboard-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    pub(crate) fn open(&self) -> SqliteLog {
        SqliteLog::open(&self.0, SqliteOptions::default()).expect("a log")
    }

    pub(crate) fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.0.join("history.db")).expect("a database")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

pub(crate) fn id(seq: u64) -> MessageId {
    MessageId { epoch: Epoch::new(7), seq }
}

pub(crate) fn message(name: &str, id: MessageId, payload: &str) -> Arc<Message> {
    // Milliseconds are what it keeps of a time.
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123 + id.seq);
    let (from, user) = (Some(UserName::guest(3)), Some(UserName::parse("ann").unwrap()));
    Arc::new(Message { room: room(name), id, time, from, user, payload: payload.to_owned().into() })
}

/// Messages `first` to `last`, each its number.
pub(crate) fn batch(name: &str, first: u64, last: u64) -> Vec<Arc<Message>> {
    (first..=last).map(|seq| message(name, id(seq), &seq.to_string())).collect()
}

pub(crate) fn answer<T: Send + 'static>() -> (Done<T>, Receiver<Result<T, LogError>>) {
    let (sender, receiver) = mpsc::channel();
    (Box::new(move |result| sender.send(result).unwrap_or_default()), receiver)
}

pub(crate) fn append(log: &SqliteLog, name: &str, after: u64, batch: Vec<Arc<Message>>) -> Result<MessageId, LogError> {
    let (done, told) = answer();
    log.append(&room(name), id(after), batch, done);
    told.recv_timeout(PATIENCE).expect("an answer")
}

pub(crate) fn read(log: &SqliteLog, name: &str, from: Cursor, messages: usize, bytes: usize) -> Vec<u64> {
    let (done, told) = answer();
    log.read(&room(name), from, PageLimit { messages, bytes }, done);
    let page = told.recv_timeout(PATIENCE).expect("an answer").expect("a page");
    page.iter().map(|message| message.id.seq).collect()
}

/// Waits for a condition.
pub(crate) fn until(mut holds: impl FnMut() -> bool) {
    let patience = std::time::SystemTime::now() + PATIENCE;
    while !holds() {
        assert!(std::time::SystemTime::now() < patience, "it does not come");
        std::thread::yield_now();
    }
}

pub(crate) fn stored(log: &SqliteLog, messages: usize) -> Vec<(String, u64, MessageId, Vec<Arc<Message>>)> {
    let mut rooms = Vec::new();
    let newest = |_: &RoomName| PageLimit { messages, bytes: 1 << 20 };
    log.rooms(&newest, &mut |room| rooms.push((room.name.to_string(), room.first, room.last, room.newest)))
        .expect("rooms");
    rooms.sort_by(|one, other| one.0.cmp(&other.0));
    rooms
}

#[test]
fn what_was_acknowledged_is_there_at_the_next_start() {
    let folder = Folder::new("start");
    let log = folder.open();
    assert_eq!(append(&log, "Ops", 0, batch("Ops", 1, 3)), Ok(id(3)));
    assert_eq!(append(&log, "ops", 3, batch("Ops", 4, 5)), Ok(id(5)));
    assert_eq!(append(&log, "b", 0, batch("b", 1, 1)), Ok(id(1)));
    drop(log);
    let rooms = stored(&folder.open(), 2);
    assert_eq!(rooms[0], ("Ops".to_owned(), 1, id(5), batch("Ops", 4, 5)));
    assert_eq!(rooms[1], ("b".to_owned(), 1, id(1), batch("b", 1, 1)));
    assert_eq!(rooms.len(), 2);
}

#[test]
fn only_what_follows_the_last_message_is_kept() {
    let folder = Folder::new("conflict");
    let log = folder.open();
    assert_eq!(append(&log, "a", 0, batch("a", 1, 2)), Ok(id(2)));
    for (after, first) in [(0, 1), (1, 2), (3, 4)] {
        assert_eq!(append(&log, "a", after, batch("a", first, first)), Err(LogError::Conflict { last: id(2) }));
    }
    assert_eq!(append(&log, "a", 2, batch("a", 3, 3)), Ok(id(3)));
    // One that was emptied and forgotten here may be open in a hub.
    assert_eq!(append(&log, "c", 9, batch("c", 10, 11)), Ok(id(11)));
    assert_eq!(stored(&folder_reopened(&folder, log), 9)[1].1, 10);
}

fn folder_reopened(folder: &Folder, log: SqliteLog) -> SqliteLog {
    drop(log);
    folder.open()
}

#[test]
fn pages_go_both_ways_without_a_hole() {
    let folder = Folder::new("pages");
    let log = folder.open();
    append(&log, "a", 0, batch("a", 1, 9)).unwrap();
    let after = |seq, most, bytes| read(&log, "a", Cursor::After(id(seq)), most, bytes);
    let before = |seq, most, bytes| read(&log, "a", Cursor::Before(id(seq)), most, bytes);
    assert_eq!((after(0, 3, 1 << 20), after(7, 3, 1 << 20), after(9, 3, 1 << 20)), (vec![1, 2, 3], vec![8, 9], vec![]));
    assert_eq!((before(5, 3, 1 << 20), before(2, 3, 1 << 20), before(99, 1, 9)), (vec![2, 3, 4], vec![1], vec![9]));
    assert_eq!((after(0, 9, 1), before(9, 9, 1)), (vec![1], vec![8]), "one at least");
    assert_eq!(after(0, 9, 300), [1, 2], "the one that goes beyond is the last");
    let other = MessageId { epoch: Epoch::new(8), seq: 3 };
    assert_eq!(read(&log, "a", Cursor::After(other), 9, 1 << 20), Vec::<u64>::new());
    assert_eq!(read(&log, "nowhere", Cursor::After(id(0)), 9, 1 << 20), Vec::<u64>::new());
}

#[test]
fn what_is_beyond_retention_is_not_read_and_goes() {
    let folder = Folder::new("retention");
    let log = folder.open();
    append(&log, "count", 0, batch("count", 1, 1000)).unwrap();
    append(&log, "bytes", 0, batch("bytes", 1, 1000)).unwrap();
    let all = |name: &str| read(&log, name, Cursor::After(id(0)), 5000, usize::MAX);
    log.keep(&room("count"), Retention { messages: Some(10), ..Retention::default() });
    log.keep(&room("bytes"), Retention { bytes: Some(259 * 5), ..Retention::default() });
    assert_eq!(all("count"), (991..=1000).collect::<Vec<_>>());
    assert_eq!(all("bytes"), [997, 998, 999, 1000], "three digits and one of four");
    assert_eq!(read(&log, "count", Cursor::Before(id(995)), 100, usize::MAX), [991, 992, 993, 994]);
    let left = || folder.database().query_row("SELECT count(*) FROM messages", [], |row| row.get::<_, i64>(0)).unwrap();
    until(|| left() == 14);
    assert_eq!(log.metrics().bytes, 10 * 256 + 31 + 4 * 256 + 13);
    append(&log, "count", 1000, batch("count", 1001, 1002)).unwrap();
    assert_eq!(all("count"), (993..=1002).collect::<Vec<_>>());
    let rooms = stored(&folder_reopened(&folder, log), 0);
    assert_eq!((rooms[0].1, rooms[0].2), (997, id(1000)));
}

#[test]
fn what_is_too_old_goes_and_its_number_stays() {
    let folder = Folder::new("age");
    let log = folder.open();
    let mut messages = batch("a", 1, 3);
    let now = SystemTime::now();
    messages.push(Arc::new(Message { time: now, ..Message::clone(&message("a", id(4), "new")) }));
    append(&log, "a", 0, messages).unwrap();
    append(&log, "old", 0, batch("old", 1, 3)).unwrap();
    for name in ["a", "old"] {
        log.keep(&room(name), Retention { age: Some(Duration::from_hours(1)), ..Retention::default() });
    }
    assert_eq!(read(&log, "a", Cursor::After(id(0)), 1, usize::MAX), [4]);
    assert_eq!(read(&log, "a", Cursor::Before(id(5)), 9, usize::MAX), [4]);
    until(|| log.metrics().bytes == 256 + 3);
    let log = folder_reopened(&folder, log);
    let rooms = stored(&log, 9);
    assert_eq!((rooms[1].1, rooms[1].2, rooms[1].3.len()), (4, id(3), 0));
    assert_eq!(append(&log, "old", 3, batch("old", 4, 4)), Ok(id(4)));
}

#[test]
fn all_that_is_beyond_retention_goes_without_a_further_word_in_several_steps_too() {
    let folder = Folder::new("steps");
    let log = folder.open();
    let names = ["a", "b", "c"];
    for name in names {
        append(&log, name, 0, batch(name, 1, 3000)).unwrap();
    }
    for name in names {
        log.keep(&room(name), Retention { age: Some(Duration::from_hours(1)), ..Retention::default() });
    }
    until(|| log.metrics().bytes == 0);
}

#[test]
fn what_is_beyond_retention_goes_once_commits_no_longer_fail() {
    let folder = Folder::new("failing-retention");
    let log = folder.open();
    for name in ["a", "b"] {
        append(&log, name, 0, batch(name, 1, 9)).unwrap();
    }
    let other = folder.database();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let keep = |name| log.keep(&room(name), Retention { messages: Some(1), ..Retention::default() });
    keep("a");
    until(|| log.health().is_err());
    keep("b");
    assert!(append(&log, "b", 9, batch("b", 10, 10)).is_err());
    other.execute_batch("ROLLBACK").unwrap();
    until(|| log.metrics().bytes == 2 * (256 + 1));
}

#[test]
fn the_room_that_has_most_gives_up_its_oldest_where_all_have_too_much() {
    let folder = Folder::new("all");
    let log = SqliteLog::open(&folder.0, SqliteOptions { bytes: 300 * 260 }).unwrap();
    append(&log, "small", 0, batch("small", 1, 9)).unwrap();
    append(&log, "large", 0, batch("large", 1, 4000)).unwrap();
    until(|| log.metrics().bytes <= 300 * 260);
    assert_eq!(read(&log, "small", Cursor::After(id(0)), 99, usize::MAX).len(), 9);
    assert_eq!(read(&log, "large", Cursor::Before(id(5000)), 1, usize::MAX), [4000]);
}

#[test]
fn a_room_that_is_forgotten_begins_again() {
    let folder = Folder::new("forget");
    let log = folder.open();
    append(&log, "a", 0, batch("a", 1, 5000)).unwrap();
    let (done, told) = answer();
    log.forget(&room("a"), done);
    told.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(read(&log, "a", Cursor::After(id(0)), 9, usize::MAX), Vec::<u64>::new());
    let again = MessageId { epoch: Epoch::new(8), seq: 0 };
    let (done, told) = answer();
    let first = MessageId { seq: 1, ..again };
    log.append(&room("a"), again, vec![message("a", first, "again")], done);
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), Ok(first));
    let rows = |table: &str| -> i64 {
        folder.database().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    until(|| (rows("rooms"), rows("messages")) == (1, 1));
}

#[test]
fn what_is_purged_is_overwritten_in_its_page() {
    let folder = Folder::new("overwritten");
    let (log, said) = (folder.open(), "a word that is nowhere else");
    append(&log, "a", 0, vec![message("a", id(1), said)]).unwrap();
    append(&log, "a", 1, batch("a", 2, 3)).unwrap();
    let holds = || {
        let files = std::fs::read_dir(&folder.0).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files
            .flat_map(|bytes| bytes.windows(said.len()).map(|part| part == said.as_bytes()).collect::<Vec<_>>())
            .any(|is| is)
    };
    assert!(holds(), "it is written as it was said");
    let (done, told) = answer();
    log.purge(&room("a"), id(1), done);
    told.recv_timeout(PATIENCE).unwrap().unwrap();
    // With the log that is ahead of the file.
    drop(log);
    assert!(!holds());
    assert_eq!(read(&folder.open(), "a", Cursor::After(id(0)), 9, usize::MAX), [2, 3]);
}

#[test]
fn what_is_purged_of_a_room_is_gone_for_good_and_its_numbers_are_not_used_again() {
    let folder = Folder::new("purge");
    let mut log = folder.open();
    append(&log, "a", 0, batch("a", 1, 3000)).unwrap();
    append(&log, "other", 0, batch("other", 1, 2)).unwrap();
    let purge = |log: &SqliteLog, upto: MessageId| {
        let (done, told) = answer();
        log.purge(&room("a"), upto, done);
        told.recv_timeout(PATIENCE).unwrap().unwrap();
    };
    purge(&log, MessageId { epoch: Epoch::new(8), ..id(3000) });
    purge(&log, id(2998));
    assert_eq!(read(&log, "a", Cursor::After(id(0)), 9, usize::MAX), [2999, 3000]);
    assert_eq!(read(&log, "a", Cursor::Before(id(3000)), 9, usize::MAX), [2999]);
    append(&log, "a", 3000, batch("a", 3001, 3001)).unwrap();
    purge(&log, id(9999));
    purge(&log, id(5));
    assert_eq!(read(&log, "a", Cursor::After(id(0)), 9, usize::MAX), Vec::<u64>::new());
    log = folder_reopened(&folder, log);
    assert!(append(&log, "a", 0, batch("a", 1, 1)).is_err(), "the numbers go on");
    append(&log, "a", 3001, batch("a", 3002, 3003)).unwrap();
    purge(&log, id(3002));
    log = folder_reopened(&folder, log);
    assert_eq!(read(&log, "a", Cursor::After(id(0)), 9, usize::MAX), [3003]);
    assert_eq!(read(&log, "other", Cursor::After(id(0)), 9, usize::MAX), [1, 2]);
    let rows = |table: &str| -> i64 {
        folder.database().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    until(|| (rows("rooms"), rows("messages")) == (2, 3));
    let bytes = log.metrics().bytes;
    assert_eq!(
        bytes,
        3 * 256
            + batch("x", 1, 2).iter().chain(&batch("a", 3003, 3003)).map(|one| one.payload.len() as u64).sum::<u64>()
    );
}

#[test]
fn a_log_with_as_many_rooms_as_there_may_be_leaves_some_for_new_ones() {
    let folder = Folder::new("full");
    let log = folder.open();
    for name in ["a", "b"] {
        append(&log, name, 0, batch(name, 1, 1)).unwrap();
    }
    let log = Arc::new(folder_reopened(&folder, log));
    let hub = Hub::builder().limits(HubLimits { rooms: 2, ..HubLimits::default() }).log(log).build().unwrap();
    assert!(hub.room("lobby").is_ok());
    let known: Vec<_> = ["a", "b"].into_iter().filter_map(|name| hub.find(&room(name))).collect();
    assert!(!known.is_empty() && known.iter().all(|room| room.last_id() == id(1)));
}

/// As many as several threads read ahead.
#[test]
fn thousands_of_rooms_come_back_each_with_its_newest_messages() {
    let folder = Folder::new("thousands");
    drop(folder.open());
    let made = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2400)
        INSERT INTO rooms (id, name, epoch) SELECT i, 'room-' || i, '7' FROM n;
        INSERT INTO filed SELECT id, seq, 0, NULL, NULL, CAST(id AS BLOB), 9 * seq FROM rooms, (SELECT 1 AS seq UNION SELECT 2 UNION SELECT 3);";
    folder.database().execute_batch(made).unwrap();
    let rooms = stored(&folder.open(), 2);
    assert_eq!(rooms.len(), 2400);
    for (name, first, last, newest) in rooms {
        let told: Vec<_> =
            newest.iter().map(|one| (one.id.seq, format!("room-{}", one.payload.escape_ascii()))).collect();
        assert_eq!((first, last, told), (1, id(3), vec![(2, name.clone()), (3, name)]));
    }
}

#[test]
fn all_that_is_queued_is_one_commit() {
    let folder = Folder::new("group");
    let log = Arc::new(folder.open());
    let before = log.metrics().commits.count;
    let (sender, told) = mpsc::channel();
    let queue = Arc::clone(&log);
    // On the log's own thread, which commits none of them before it is through.
    let many = move |_| {
        for number in 0..100 {
            let (name, sender) = (format!("r{number}"), sender.clone());
            queue.append(&room(&name), id(0), batch(&name, 1, 1), Box::new(move |result| sender.send(result).unwrap()));
        }
    };
    log.append(&room("first"), id(0), batch("first", 1, 1), Box::new(many));
    for _ in 0..100 {
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), Ok(id(1)));
    }
    assert_eq!(log.metrics().commits.count - before, 2);
    assert_eq!((log.metrics().messages, log.metrics().waiting, log.metrics().rooms), (101, 0, 101));
}

#[test]
fn whoever_waits_for_the_next_commit_is_called_when_all_that_is_queued_is_there() {
    let folder = Folder::new("called");
    let log = Arc::new(folder.open());
    let before = log.metrics().commits.count;
    let (sender, told) = mpsc::channel();
    let queue = Arc::clone(&log);
    // On the log's own thread, which calls nobody before it is through.
    let many = move |_| {
        for (name, count) in [("a", 1), ("b", 3)] {
            let (log, sender, waiting) = (Arc::clone(&queue), sender.clone(), batch(name, 1, count));
            queue.when_free(Box::new(move || {
                log.append(&room(name), id(0), waiting, Box::new(move |result| sender.send(result).unwrap()));
            }));
        }
        let done = Box::new(move |result| sender.send(result).unwrap());
        queue.append(&room("c"), id(0), batch("c", 1, 2), done);
    };
    log.append(&room("first"), id(0), batch("first", 1, 1), Box::new(many));
    let mut answers: Vec<_> = (0..3).map(|_| told.recv_timeout(PATIENCE).unwrap().unwrap().seq).collect();
    answers.sort_unstable();
    assert_eq!((answers, log.metrics().commits.count - before), (vec![1, 2, 3], 2));
}

#[test]
fn what_a_room_is_published_until_the_log_is_free_is_one_batch() {
    let folder = Folder::new("one-batch");
    let log = Arc::new(folder.open());
    let hub = Hub::builder().log(Arc::clone(&log) as Arc<dyn RoomLog>).build().unwrap();
    let lobby = hub.room("lobby").unwrap();
    let before = log.metrics().commits.count;
    let (sender, told) = mpsc::channel();
    let publisher = lobby.clone();
    let publish = move |_| {
        let published: Vec<_> = (1..=20).map(|number: u32| publisher.publish(number.to_string())).collect();
        sender.send(published).unwrap();
    };
    log.append(&room("first"), id(0), batch("first", 1, 1), Box::new(publish));
    let published = told.recv_timeout(PATIENCE).unwrap();
    until(|| published.iter().all(|one| one.published().is_some()));
    assert_eq!((lobby.last_id().seq, log.metrics().commits.count - before), (20, 2));
}

#[test]
fn the_write_ahead_log_is_copied_beside_commits_and_written_from_its_start_again() {
    let folder = Folder::new("copied");
    let log = folder.open();
    let (payload, mut last) = ("x".repeat(3000), 0);
    until(|| {
        let messages = (last + 1..=last + 200).map(|seq| message("a", id(seq), &payload)).collect();
        append(&log, "a", last, messages).unwrap();
        last += 200;
        // Each message takes a page of it.
        std::fs::metadata(folder.0.join("history.db-wal")).unwrap().len() < last * 1500
    });
    assert_eq!(read(&log, "a", Cursor::Before(id(last + 1)), 1, 1), [last]);
    let log = folder_reopened(&folder, log);
    assert_eq!(SqliteLog::check(&folder.0).unwrap().messages, last);
    assert_eq!(append(&log, "a", last, batch("a", last + 1, last + 1)), Ok(id(last + 1)));
}

#[test]
fn while_commits_fail_nothing_is_acknowledged_and_it_is_tried_again() {
    let folder = Folder::new("failing");
    let log = folder.open();
    append(&log, "a", 0, batch("a", 1, 1)).unwrap();
    let other = folder.database();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = append(&log, "a", 1, batch("a", 2, 2));
    assert!(matches!(refused, Err(LogError::Unavailable(_))), "{refused:?}");
    assert!(log.health().is_err() && log.metrics().failures > 0);
    assert!(append(&log, "b", 0, batch("b", 1, 1)).is_err());
    assert_eq!(read(&log, "a", Cursor::After(id(0)), 9, usize::MAX), [1], "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    until(|| log.health().is_ok());
    assert_eq!(append(&log, "a", 1, batch("a", 2, 2)), Ok(id(2)));
    assert_eq!(log.metrics().waiting, 0);
}

#[test]
fn what_goes_to_a_database_that_was_removed_or_replaced_is_not_acknowledged() {
    let remove = |folder: &Path| std::fs::remove_dir_all(folder).expect("it can be removed");
    let replace = |folder: &Path| {
        std::fs::copy(folder.join("history.db"), folder.join("other")).expect("it can be copied");
        std::fs::rename(folder.join("other"), folder.join("history.db")).expect("it can be renamed");
    };
    for (name, happens) in [("removed", &remove as &dyn Fn(&Path)), ("replaced", &replace)] {
        let folder = Folder::new(name);
        let log = folder.open();
        append(&log, "a", 0, batch("a", 1, 1)).expect("it is kept");
        happens(&folder.0);
        assert!(append(&log, "a", 1, batch("a", 2, 2)).is_err(), "{name}");
        let reason = log.is_broken().expect("it is broken");
        assert!(reason.ends_with("history.db was removed or replaced"), "{reason}");
    }
}

#[test]
fn a_directory_belongs_to_one_process_and_to_its_owner_alone() {
    let folder = Folder::new("owner");
    let log = folder.open();
    append(&log, "a", 0, batch("a", 1, 1)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.0), 0o700);
    for name in ["lock", "history.db", "history.db-wal", "history.db-shm"] {
        assert_eq!(mode(&folder.0.join(name)), 0o600, "{name}");
    }
    let second = SqliteLog::open(&folder.0, SqliteOptions::default()).unwrap_err();
    assert!(matches!(second, SqliteError::InUse { pid, .. } if pid == Some(std::process::id())), "{second}");
    drop(log);
    assert!(folder.open().health().is_ok());
}

#[test]
fn a_first_start_that_was_cut_off_is_not_called_another_version() {
    let folder = Folder::new("cut-off");
    std::fs::create_dir_all(&folder.0).unwrap();
    folder.database().pragma_update(None, "journal_mode", "WAL").unwrap();
    let said = SqliteLog::check(&folder.0).expect_err("it has no tables").to_string();
    assert!(said.ends_with("nothing is in it yet: its first start did not get so far"), "{said}");
    drop(folder.open());
    assert_eq!(SqliteLog::check(&folder.0).unwrap().rooms, 0, "the next start has made them");
}

#[test]
fn a_path_that_cannot_be_used_is_named_once_and_with_the_reason() {
    let folder = Folder::new("unusable");
    let none = SqliteLog::check(&folder.0).expect_err("there is none").to_string();
    assert_eq!(none, format!("{}/history.db: unable to open database file", folder.0.display()));
    std::fs::write(&folder.0, "").unwrap();
    let refused = SqliteLog::open(&folder.0, SqliteOptions::default()).expect_err("a file");
    std::fs::remove_file(&folder.0).unwrap();
    let SqliteError::Unreachable { path, source } = refused else { panic!("{refused}") };
    assert_eq!((path, source.kind()), (folder.0.display().to_string(), std::io::ErrorKind::NotADirectory));
}

#[test]
fn what_is_damaged_or_of_another_version_is_refused() {
    let folder = Folder::new("damaged");
    let log = folder.open();
    append(&log, "a", 0, batch("a", 1, 500)).unwrap();
    drop(log);
    folder.database().execute_batch("PRAGMA user_version = 99").unwrap();
    let refused = SqliteLog::open(&folder.0, SqliteOptions::default()).unwrap_err();
    assert!(matches!(refused, SqliteError::Format { found: 99, .. }), "{refused}");
    // Whoever looks at it is not told that it is damaged: nobody is to throw away what a newer version has written.
    let refused = SqliteLog::check(&folder.0).expect_err("another version");
    assert!(matches!(refused, SqliteError::Format { found: 99, .. }), "{refused}");
    let refused = SqliteLog::export(&folder.0, &room("lobby"), |_| true).expect_err("another version");
    assert!(matches!(refused, SqliteError::Format { found: 99, .. }), "{refused}");
    folder.database().execute_batch("PRAGMA user_version = 2").unwrap();
    let path = folder.0.join("history.db");
    let whole = std::fs::read(&path).unwrap();
    for (from, len) in [(0, 16), (2 * 4096, 2048), (whole.len() - 4096, 4096)] {
        let mut bytes = whole.clone();
        bytes[from..from + len].fill(0xa5);
        std::fs::write(&path, bytes).unwrap();
        let refused = SqliteLog::open(&folder.0, SqliteOptions::default()).unwrap_err();
        assert!(matches!(refused, SqliteError::Damaged { .. }), "{from}: {refused}");
    }
    // Each page by itself is as it should be.
    let mut misplaced = whole.clone();
    misplaced.copy_within(whole.len() - 8192..whole.len() - 4096, whole.len() - 4096);
    std::fs::write(&path, misplaced).unwrap();
    let refused = SqliteLog::open(&folder.0, SqliteOptions::default()).unwrap_err();
    assert!(matches!(refused, SqliteError::Damaged { .. }), "{refused}");
    std::fs::write(&path, &whole).unwrap();
    folder.database().execute_batch("DROP TABLE filed").unwrap();
    let refused = SqliteLog::open(&folder.0, SqliteOptions::default()).unwrap_err();
    assert!(matches!(refused, SqliteError::Damaged { .. }), "{refused}");
    std::fs::write(&path, whole).unwrap();
    assert_eq!(read(&folder.open(), "a", Cursor::Before(id(501)), 1, 1), [500]);
}

/// As what reads them gives them.
fn good(messages: &[Message]) -> Vec<std::io::Result<Message>> {
    messages.iter().cloned().map(Ok).collect()
}

#[test]
fn messages_are_taken_out_and_put_into_another_log_with_their_ids() {
    let (folder, other) = (Folder::new("export"), Folder::new("import"));
    let log = folder.open();
    append(&log, "a", 0, batch("a", 1, 2500)).unwrap();
    let mut out = Vec::new();
    let is_there = SqliteLog::export(&folder.0, &room("A"), |message| {
        out.push(message.clone());
        true
    });
    assert!(is_there.unwrap() && !SqliteLog::export(&folder.0, &room("b"), |_| true).unwrap());
    assert_eq!(out.len(), 2500);
    assert_eq!(SqliteLog::import(&other.0, good(&out[10..])).unwrap(), 2490);
    let rooms = stored(&other.open(), 1);
    assert_eq!((rooms[0].1, rooms[0].2, &rooms[0].3[0].payload[..]), (11, id(2500), &b"2500"[..]));
    let again = SqliteLog::import(&other.0, good(&out)).unwrap_err();
    assert!(matches!(again, ImportError::Exists(_)), "{again}");
    let third = Folder::new("hole");
    let hole = SqliteLog::import(&third.0, good(&[out[0].clone(), out[2].clone()])).unwrap_err();
    assert!(matches!(hole, ImportError::Unordered(at) if at == id(3)), "{hole}");
    for seq in [u64::MAX, i64::MAX as u64, (1 << 53) + 1] {
        let message = Message { id: id(seq), ..out[0].clone() };
        let large = SqliteLog::import(&third.0, good(&[message])).unwrap_err();
        assert!(matches!(large, ImportError::Large(at) if at == id(seq)), "{large}");
    }
    assert_eq!(SqliteLog::check(&third.0).unwrap().rooms, 0, "all or nothing");
    let report = SqliteLog::check(&folder.0).unwrap();
    assert_eq!((report.rooms, report.messages, report.payload_bytes), (1, 2500, 9 + 180 + 2700 + 6004));
}

#[test]
fn epochs_begin_anew_and_what_a_damaged_log_has_is_kept() {
    let folder = Folder::new("epochs");
    let log = folder.open();
    append(&log, "a", 0, batch("a", 1, 2000)).unwrap();
    append(&log, "b", 0, batch("b", 1, 3)).unwrap();
    let in_use = SqliteLog::new_epochs(&folder.0).unwrap_err();
    assert!(matches!(in_use, SqliteError::InUse { .. }), "{in_use}");
    drop(log);
    let renewed = SqliteLog::new_epochs(&folder.0).unwrap();
    assert_eq!((renewed.rooms, renewed.aside), (2, None));
    let rooms = stored(&folder.open(), 1);
    assert!(rooms.iter().all(|room| room.2.epoch != Epoch::new(7)));
    assert_eq!((rooms[0].2.seq, rooms[1].2.seq), (2000, 3));

    let path = folder.0.join("history.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let text = bytes.windows(3).rposition(|some| some == b"700").expect("message 700 and such");
    let page = text / 4096 * 4096;
    bytes[page..page + 4096].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(SqliteLog::check(&folder.0), Err(SqliteError::Damaged { .. })));
    let renewed = SqliteLog::new_epochs(&folder.0).unwrap();
    assert_eq!(renewed.aside, Some(folder.0.join("history.db.damaged-1")));
    assert!(folder.0.join("history.db.damaged-1").exists());
    SqliteLog::check(&folder.0).unwrap();
    let salvaged = stored(&folder.open(), 1);
    assert_eq!((salvaged[0].2.seq, salvaged[1].2.seq), (2000, 3));
    assert!(salvaged[0].1 > 1 && salvaged[0].1 < 2000, "{}", salvaged[0].1);
    assert_ne!(salvaged[0].2.epoch, rooms[0].2.epoch);
}

/// What is measured for docs/decisions/0009-sqlite.md.
#[test]
#[ignore = "measures the disk for some seconds: run it alone, optimised, with --nocapture"]
fn commits() {
    for rows in [1, 100, 400, 2000] {
        let folder = Folder::new("figures");
        let log = folder.open();
        let mut last = [0; 50];
        let (mut took, began) = (Vec::new(), std::time::Instant::now());
        while began.elapsed() < Duration::from_secs(3) {
            let (sender, told) = mpsc::channel();
            let commit = std::time::Instant::now();
            let rooms = rows.min(50);
            for (number, last) in last.iter_mut().enumerate().take(rooms) {
                let name = format!("r{number}");
                let many: Vec<_> = (0..rows / rooms)
                    .map(|_| {
                        *last += 1;
                        message(&name, id(*last), &"x".repeat(128))
                    })
                    .collect();
                let sender = sender.clone();
                let after = id(*last - many.len() as u64);
                log.append(&room(&name), after, many, Box::new(move |result| sender.send(result).unwrap()));
            }
            for _ in 0..rooms {
                told.recv_timeout(PATIENCE).unwrap().unwrap();
            }
            took.push(commit.elapsed());
        }
        took.sort();
        let of = |percent: usize| took[took.len() * percent / 100].as_secs_f64() * 1e3;
        let a_second = took.len() as f64 * rows as f64 / began.elapsed().as_secs_f64();
        println!("| {rows} | {a_second:.0} | {:.2} / {:.1} ms |", of(50), of(99));
    }
}
