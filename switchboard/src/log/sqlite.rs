//! A log in one SQLite database: what rooms publish is on disk before anybody is shown it.
//!
//! One thread writes, and one copies what is written to its place (`writer.rs`); one reads (`reader.rs`). Writer and reader are asked through a queue (`queue.rs`), and whoever asks never waits.
//! The tables are in `file.rs`, and described in docs/durability.md for those who query them.

mod ahead;
mod file;
mod offline;
mod queue;
mod reader;
mod shelf;
mod writer;

pub use file::SqliteError;
pub use offline::{ImportError, Renewed, SqliteReport};

use crate::log::{Cursor, Done, LogError, PageLimit, Retention, RoomLog, StoredRoom};
use crate::metrics::{Durations, Histogram};
use file::Directory;
use parking_lot::Mutex;
use queue::Queue;
use shelf::Shelf;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use switchboard_proto::{Message, MessageId, RoomName};
use tokio::sync::watch;

/// How long commits take: a disk with a capacitor, one without, and one that is in trouble.
const COMMIT_BOUNDS: &[Duration] = &[
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// What a log in SQLite may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Bytes that the messages of all rooms may take, payloads and 256 for each. Beyond it the room that has most gives up its oldest.
    /// Default 16 GiB.
    pub bytes: u64,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { bytes: 16 << 30 }
    }
}

/// What a log has counted, and what it has now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteMetrics {
    /// Rooms that it has.
    pub rooms: usize,
    /// Messages that it has been given and has committed, since the start.
    pub messages: u64,
    /// Commits, by how long they took.
    pub commits: Durations,
    /// Commits that failed.
    pub failures: u64,
    /// Messages that wait for their commit now.
    pub waiting: usize,
    /// Bytes that the messages of all rooms take, payloads and 256 for each.
    pub bytes: u64,
    /// Bytes of the database's files.
    pub file_bytes: u64,
}

/// Whether the log takes messages.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Well,
    /// Not now; it is tried again.
    Failing(Arc<str>),
    /// Never again: what is on disk is known only to the next start.
    Broken(Arc<str>),
}

/// What all threads of a log share.
struct Shared {
    directory: Directory,
    options: SqliteOptions,
    appends: Queue<writer::Errand>,
    reads: Queue<reader::Question>,
    /// What is to be kept, by room; for all that is not there, everything.
    retentions: Mutex<HashMap<RoomName, Retention>>,
    standing: watch::Sender<Standing>,
    counts: Counts,
}

struct Counts {
    rooms: AtomicU64,
    messages: AtomicU64,
    failures: AtomicU64,
    waiting: AtomicU64,
    bytes: AtomicU64,
    commits: Histogram,
}

/// A [`RoomLog`] in a directory, in SQLite. Dropping it waits until all is committed that it was asked for.
///
/// The directory belongs to one process at a time. It holds `history.db`, which SQLite's own tools may read, and back up, meanwhile.
pub struct SqliteLog {
    shared: Arc<Shared>,
    /// What was there at the start, until it is asked for.
    found: Mutex<Vec<(RoomName, Shelf)>>,
    threads: Vec<JoinHandle<()>>,
}

impl SqliteLog {
    /// Opens the log in `directory`, which is made if it is not there. Waits for the disk; the messages of a file of up to 256 MiB are
    /// all looked at, of a larger one only the rooms and the ends of their histories.
    ///
    /// # Errors
    /// The directory cannot be used, another process has it, or what is in it is damaged or of another version.
    pub fn open(directory: &Path, options: SqliteOptions) -> Result<Self, SqliteError> {
        let directory = Directory::open(directory)?;
        let connection = directory.writer()?;
        let (copying, reading) = (directory.copier()?, directory.reader()?);
        ahead::read_ahead(&directory, &connection);
        let found = file::found(&connection).map_err(|error| directory.unusable(error))?;
        let shelves: HashMap<_, _> = found.iter().cloned().collect();
        let counts = Counts {
            rooms: AtomicU64::new(shelves.len() as u64),
            messages: AtomicU64::default(),
            failures: AtomicU64::default(),
            waiting: AtomicU64::default(),
            bytes: AtomicU64::new(shelves.values().map(Shelf::bytes).sum()),
            commits: Histogram::new(COMMIT_BOUNDS),
        };
        let shared = Arc::new(Shared {
            directory,
            options,
            appends: Queue::default(),
            reads: Queue::default(),
            retentions: Mutex::default(),
            standing: watch::Sender::new(Standing::Well),
            counts,
        });
        let mut log = Self { shared: Arc::clone(&shared), found: Mutex::new(found), threads: Vec::new() };
        let start = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
            thread.map_err(|source| shared.directory.unreachable(source))
        };
        let writing = Arc::clone(&shared);
        log.threads.push(start("log-writer", Box::new(move || writer::run(&writing, connection, copying, shelves)))?);
        let asked = Arc::clone(&shared);
        log.threads.push(start("log-reader", Box::new(move || reader::run(&asked, &reading)))?);
        Ok(log)
    }

    /// Waits until a sync has failed, or damage was found: from then on nothing more is kept, and only the next start can tell what is
    /// on disk. Says why.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn broken(&self) -> Arc<str> {
        let mut standing = self.shared.standing.subscribe();
        let told = standing.wait_for(|standing| matches!(standing, Standing::Broken(_))).await;
        match told.as_deref() {
            Ok(Standing::Broken(reason)) => Arc::clone(reason),
            // The sender is in `self`.
            _ => std::future::pending().await,
        }
    }

    /// What [`broken`](Self::broken) says, if it has happened.
    pub fn is_broken(&self) -> Option<Arc<str>> {
        match &*self.shared.standing.borrow() {
            Standing::Broken(reason) => Some(Arc::clone(reason)),
            Standing::Well | Standing::Failing(_) => None,
        }
    }

    /// What it has counted, and what it has now. Asks the file system how long the files are.
    pub fn metrics(&self) -> SqliteMetrics {
        let Shared { counts, directory, .. } = &*self.shared;
        // Relaxed: statistics, which guard no other memory.
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        SqliteMetrics {
            rooms: load(&counts.rooms) as usize,
            messages: load(&counts.messages),
            commits: counts.commits.durations(),
            failures: load(&counts.failures),
            waiting: load(&counts.waiting) as usize,
            bytes: load(&counts.bytes),
            file_bytes: directory.file_bytes(),
        }
    }
}

impl Shared {
    fn retention(&self, room: &RoomName) -> Retention {
        self.retentions.lock().get(room).copied().unwrap_or_default()
    }

    /// Whether it takes what is appended now; if not, why.
    fn health(&self) -> Result<(), LogError> {
        match &*self.standing.borrow() {
            Standing::Well => Ok(()),
            Standing::Failing(reason) | Standing::Broken(reason) => Err(LogError::Unavailable(Arc::clone(reason))),
        }
    }
}

impl RoomLog for SqliteLog {
    fn rooms(&self, newest: &dyn Fn(&RoomName) -> PageLimit, each: &mut dyn FnMut(StoredRoom)) -> Result<(), LogError> {
        let found = std::mem::take(&mut *self.found.lock());
        let connection = self.shared.directory.reader().map_err(LogError::unavailable)?;
        reader::newest(&connection, found, newest, each)
    }

    fn append(&self, room: &RoomName, after: MessageId, batch: Vec<Arc<Message>>, done: Done<MessageId>) {
        self.shared.counts.waiting.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.shared.appends.push(writer::Errand::Append(writer::Append { room: room.clone(), after, batch, done }));
    }

    fn when_free(&self, ready: Box<dyn FnOnce() + Send>) {
        self.shared.appends.push(writer::Errand::Call(ready));
    }

    fn read(&self, room: &RoomName, from: Cursor, limit: PageLimit, done: Done<Vec<Arc<Message>>>) {
        self.shared.reads.push(reader::Question { room: room.clone(), from, limit, done });
    }

    fn keep(&self, room: &RoomName, retention: Retention) {
        let before = self.shared.retentions.lock().insert(room.clone(), retention);
        if before != Some(retention) {
            self.shared.appends.push(writer::Errand::Keep(room.clone()));
        }
    }

    fn forget(&self, room: &RoomName, done: Done<()>) {
        self.shared.appends.push(writer::Errand::Forget(room.clone(), done));
    }

    fn purge(&self, room: &RoomName, upto: MessageId, done: Done<()>) {
        self.shared.appends.push(writer::Errand::Purge(room.clone(), upto, done));
    }

    fn health(&self) -> Result<(), LogError> {
        self.shared.health()
    }
}

impl Drop for SqliteLog {
    fn drop(&mut self) {
        self.shared.appends.close();
        self.shared.reads.close();
        for thread in self.threads.drain(..) {
            // The last to let go may be what the writer has just answered.
            if thread.thread().id() != thread::current().id() {
                // A thread that panicked has said so.
                let _ = thread.join();
            }
        }
    }
}

impl std::fmt::Debug for SqliteLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SqliteLog").field(&self.shared.directory.path()).finish()
    }
}
