//! The directory of a log: who has it, its files and their modes, the tables, and whether they are sound.

use super::shelf::Shelf;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};
use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use switchboard_proto::RoomName;

const DATABASE: &str = "history.db";

/// What `PRAGMA user_version` says of the tables below.
pub(super) const FORMAT: i64 = 2;

/// That of tables without `recent`, which become those below once somebody writes to them.
const WITHOUT_RECENT: i64 = 1;

/// `application_id`, by which `file` and others know whose a database is: "swbd".
const APPLICATION: i64 = 0x7377_6264;

/// A file that is longer is not looked at as a whole at each start: this many bytes take about a second.
const WHOLE_CHECK_BYTES: u64 = 256 << 20;

/// How long a commit waits for another program that writes to the database, which none should.
const BUSY_WAIT: Duration = Duration::from_millis(250);

/// Of a database without tables, which the next start makes.
const UNMADE: &str = "nothing is in it yet: its first start did not get so far";

/// `seq` has no holes: a room has the messages behind `gone`, and none up to it but for those that are about to be deleted. `sum` is the
/// bytes of all payloads of the room up to this one, so that no bound needs a scan.
const ROOMS: &str = "
    CREATE TABLE rooms (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL COLLATE NOCASE UNIQUE,
        epoch TEXT NOT NULL,
        gone INTEGER NOT NULL DEFAULT 0,
        gone_sum INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE filed (
        room INTEGER NOT NULL REFERENCES rooms (id),
        seq INTEGER NOT NULL,
        time INTEGER NOT NULL,
        sender TEXT,
        user TEXT,
        payload BLOB NOT NULL,
        sum INTEGER NOT NULL,
        PRIMARY KEY (room, seq)
    ) STRICT, WITHOUT ROWID;";

/// Few messages each of many rooms would change a page of each room with every commit: here they come behind one another, until many
/// are filed at once.
const RECENT: &str = "
    CREATE TABLE recent (
        room INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        time INTEGER NOT NULL,
        sender TEXT,
        user TEXT,
        payload BLOB NOT NULL,
        sum INTEGER NOT NULL
    ) STRICT;
    CREATE VIEW messages AS SELECT * FROM filed UNION ALL SELECT * FROM recent;";

/// Files what is recent, but for what is gone meanwhile. If it failed, it would take all of the transaction with it: to take back itself alone,
/// SQLite would copy each page that it changes, to a file.
pub(super) const FILE: &str =
    "INSERT OR ROLLBACK INTO filed SELECT recent.* FROM recent CROSS JOIN rooms ON rooms.id = recent.room
    WHERE recent.seq > rooms.gone ORDER BY recent.room, recent.seq";
pub(super) const EMPTY: &str = "DELETE FROM recent";

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteError {
    /// The directory or a file in it cannot be used.
    #[error("{path}")]
    Unreachable {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Another process has the directory.
    #[error("{path} is in use by another process{}", .pid.map(|pid| format!(", {pid}")).unwrap_or_default())]
    InUse {
        /// The directory.
        path: String,
        /// That process, if it has said.
        pid: Option<u32>,
    },
    /// Another version of the program has made it.
    #[error("{path} has format {found}; this version knows {FORMAT}")]
    Format {
        /// The database.
        path: String,
        /// Its `user_version`.
        found: i64,
    },
    /// What is there is no sound log.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The database.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// SQLite cannot use it now.
    #[error("{path}: {reason}")]
    Unusable {
        /// The database.
        path: String,
        /// What SQLite says.
        reason: String,
    },
}

/// The device and the number of a file.
pub(super) type Identity = (u64, u64);

fn identity(file: &fs::Metadata) -> Identity {
    (file.dev(), file.ino())
}

/// A directory that this process has alone.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl Directory {
    /// Makes it if it is not there, for its owner alone, and takes it.
    pub(super) fn open(path: &Path) -> Result<Self, SqliteError> {
        let unreachable = |path: &Path, source| SqliteError::Unreachable { path: shown(path), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => unreachable(path, io::ErrorKind::NotADirectory.into()),
            _ => unreachable(path, error),
        })?;
        let at = path.join("lock");
        let mut options = File::options();
        let lock = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&at);
        let mut lock = lock.map_err(|error| unreachable(&at, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // It is a hint to whoever reads the error.
                let _ = lock.read_to_string(&mut pid);
                return Err(SqliteError::InUse { path: shown(path), pid: pid.trim().parse().ok() });
            }
            Err(TryLockError::Error(error)) => return Err(unreachable(&at, error)),
        }
        let written = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        written.map_err(|error| unreachable(&at, error))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Why the next start would not find what is written here now: somebody has removed or replaced it. What cannot be told is taken for well.
    pub(super) fn is_gone(&self, database: Option<Identity>) -> Option<String> {
        let path = self.database();
        let is_there = match fs::metadata(&path) {
            Ok(file) => database.is_none_or(|known| known == identity(&file)),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        (!is_there).then(|| format!("{} was removed or replaced", shown(&path)))
    }

    /// Which file the database is.
    pub(super) fn identity(&self) -> Option<Identity> {
        fs::metadata(self.database()).ok().map(|file| identity(&file))
    }

    /// Bytes of the database, and of what is not in it yet.
    pub(super) fn file_bytes(&self) -> u64 {
        let files = [self.database(), self.path.join(format!("{DATABASE}-wal"))];
        files.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum()
    }

    /// The one connection that writes: makes the tables where there are none, and looks whether those that are there are sound.
    pub(super) fn writer(&self) -> Result<Connection, SqliteError> {
        let path = self.database();
        // SQLite gives its other files the mode of this one.
        let made = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let length = made.and_then(|file| file.metadata()).map_err(|error| self.unreachable(error))?.len();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(|error| self.unusable(error))?;
        Self::prepare(&connection, length).map_err(|error| self.unusable(error)).and_then(|found| {
            found.map_or(Ok(connection), |found| Err(SqliteError::Format { path: shown(&path), found }))
        })
    }

    /// One that copies the write-ahead log into the database, which is there.
    pub(super) fn copier(&self) -> Result<Connection, SqliteError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(self.database(), flags)
            .and_then(|connection| Self::write_surely(&connection).map(|()| connection));
        opened.map_err(|error| self.unusable(error))
    }

    fn write_surely(connection: &Connection) -> rusqlite::Result<()> {
        connection.busy_timeout(BUSY_WAIT)?;
        // Each commit is on disk before it is said to be, and in the database before the write-ahead log is written from its start again.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // It is asked for, once what was committed is acknowledged.
        connection.pragma_update(None, "wal_autocheckpoint", 0)
    }

    /// Gives the format, if it is another one.
    fn prepare(connection: &Connection, length: u64) -> rusqlite::Result<Option<i64>> {
        Self::write_surely(connection)?;
        // Before anything is written: what another version has made stays as it is.
        let (found, tables) = made(connection)?;
        if !matches!((found, tables), (FORMAT | WITHOUT_RECENT, _) | (0, 0)) {
            return Ok(Some(found));
        }
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // Pages that become free are overwritten too, be it with one more write: they hold what was deleted, and copies of what is filed.
        connection.pragma_update(None, "secure_delete", true)?;
        // What is filed is of a room, as `FILE` says: looking for it once more, and keeping pages to go back to, would double the time of that.
        connection.pragma_update(None, "foreign_keys", false)?;
        // In KiB, where negative.
        connection.pragma_update(None, "cache_size", -16_384)?;
        if found == 0 {
            connection.execute_batch(&format!(
                "BEGIN; {ROOMS} {RECENT} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; COMMIT;"
            ))?;
            return Ok(None);
        }
        if length <= WHOLE_CHECK_BYTES {
            check(connection, "integrity_check")?;
        }
        if found == WITHOUT_RECENT {
            connection.execute_batch(&format!(
                "BEGIN; ALTER TABLE messages RENAME TO filed; {RECENT} PRAGMA user_version = {FORMAT}; COMMIT;"
            ))?;
        }
        Ok(None)
    }

    pub(super) fn reader(&self) -> Result<Connection, SqliteError> {
        look_into(&self.path)
    }

    /// Gives the database another name, and says which.
    pub(super) fn put_aside(&self) -> Result<PathBuf, SqliteError> {
        let aside = |number: u32, end: &str| self.path.join(format!("{DATABASE}.damaged-{number}{end}"));
        let number = (1..u32::MAX).find(|number| !aside(*number, "").exists()).unwrap_or(u32::MAX);
        for end in ["-wal", "-shm", ""] {
            match fs::rename(self.path.join(format!("{DATABASE}{end}")), aside(number, end)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(self.unreachable(error)),
                _ => {}
            }
        }
        Ok(aside(number, ""))
    }

    pub(super) fn unreachable(&self, source: io::Error) -> SqliteError {
        SqliteError::Unreachable { path: shown(&self.database()), source }
    }

    pub(super) fn unusable(&self, error: rusqlite::Error) -> SqliteError {
        unusable(&self.path, &error)
    }
}

/// A connection that cannot write to the database in this directory.
pub(super) fn look_into(directory: &Path) -> Result<Connection, SqliteError> {
    let path = directory.join(DATABASE);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(&path, flags).and_then(|connection| {
        connection.busy_timeout(BUSY_WAIT)?;
        let (found, tables) = made(&connection)?;
        let found = if found == WITHOUT_RECENT { as_with_recent(&connection)? } else { found };
        Ok((connection, (found, tables)))
    });
    match opened.map_err(|error| unusable(directory, &error))? {
        (connection, (FORMAT, _)) => Ok(connection),
        (_, (0, 0)) => Err(SqliteError::Unusable { path: shown(&path), reason: UNMADE.to_owned() }),
        (_, (found, _)) => Err(SqliteError::Format { path: shown(&path), found }),
    }
}

/// The number of the format, and of what there is by any name: none, if nobody has made anything.
fn made(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    let format = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let names = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok((format, names))
}

/// Has statements find what they name in tables without `recent`.
fn as_with_recent(connection: &Connection) -> rusqlite::Result<i64> {
    let shown = "CREATE TEMP VIEW filed AS SELECT * FROM messages;
        CREATE TEMP TABLE recent AS SELECT * FROM messages LIMIT 0;";
    connection.execute_batch(shown).map(|()| FORMAT)
}

/// A database of which some may be read: without what is recent, if that is what is damaged.
pub(super) fn open_damaged(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format == WITHOUT_RECENT {
        as_with_recent(&connection)?;
    } else if connection.query_row("SELECT sum(seq), sum(length(payload)) FROM recent", [], |_| Ok(())).is_err() {
        let hidden = "CREATE TEMP TABLE recent AS SELECT * FROM filed LIMIT 0;
            CREATE TEMP VIEW messages AS SELECT * FROM filed;";
        connection.execute_batch(hidden)?;
    }
    Ok(connection)
}

pub(super) fn unusable(directory: &Path, error: &rusqlite::Error) -> SqliteError {
    let (path, reason) = (shown(&directory.join(DATABASE)), error.to_string());
    // Where it cannot be opened, SQLite's words end with the path.
    let reason = reason.strip_suffix(&format!(": {path}")).unwrap_or(&reason).to_owned();
    if is_damage(error) { SqliteError::Damaged { path, reason } } else { SqliteError::Unusable { path, reason } }
}

/// Looks at every page.
pub(super) fn check(connection: &Connection, how: &str) -> rusqlite::Result<()> {
    let said: String = connection.query_row(&format!("PRAGMA {how}(1)"), [], |row| row.get(0))?;
    if said == "ok" { Ok(()) } else { Err(damage(&said)) }
}

/// What is there of each room.
pub(super) fn found(connection: &Connection) -> rusqlite::Result<Vec<(RoomName, Shelf)>> {
    // In the order of the messages, so that their pages are read one behind the other: the index of names would have another one.
    let mut rooms =
        connection.prepare("SELECT name, id, epoch, gone, gone_sum FROM rooms WHERE +name < '~' ORDER BY id")?;
    let mut last =
        connection.prepare("SELECT seq, sum FROM filed WHERE room = ? AND seq > ? ORDER BY seq DESC LIMIT 1")?;
    // What is not filed: the sum is that of the row with the greatest number.
    let recent = of_rooms(connection, "SELECT room, max(seq), sum FROM recent GROUP BY room")?;
    let mut found = Vec::new();
    let mut rows = rooms.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let epoch: String = row.get(2)?;
        let (Ok(name), Ok(epoch)) = (RoomName::parse(&name), epoch.parse()) else {
            return Err(damage("a room has a name or an epoch that is none"));
        };
        let (id, gone, gone_sum): (i64, i64, i64) = (row.get(1)?, row.get(3)?, row.get(4)?);
        let filed: Option<(i64, i64)> = last.query_row((id, gone), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let newest = filed.max(recent.get(&id).copied().filter(|(seq, _)| *seq > gone));
        let (last, last_sum) = newest.unwrap_or((gone, gone_sum));
        if gone < 0 || gone_sum < 0 || last_sum < gone_sum {
            return Err(damage("a room has numbers that cannot be"));
        }
        let unsigned = |number: i64| number.cast_unsigned();
        let shelf = Shelf {
            id,
            epoch,
            last: unsigned(last),
            last_sum: unsigned(last_sum),
            gone: unsigned(gone),
            gone_sum: unsigned(gone_sum),
        };
        found.push((name, shelf));
    }
    Ok(found)
}

/// Two numbers of each room, by its row.
pub(super) fn of_rooms(connection: &Connection, query: &str) -> rusqlite::Result<HashMap<i64, (i64, i64)>> {
    let mut query = connection.prepare(query)?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    rows.collect()
}

/// As SQLite tells of damage that it has found itself.
pub(super) fn damage(what: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), Some(what.to_owned()))
}

/// Whether it is no sound database, or one in which a table of ours is missing or another one.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let is_unsound = matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
    // What every statement of ours that does not fit comes to.
    is_unsound || error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_ERROR)
}

/// A path in an error: what a file system has may hold any bytes.
fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    switchboard_proto::Escaped(path.as_os_str().as_bytes()).to_string()
}
