//! The thread that writes: all that is queued goes into one transaction, with one sync, and is answered when that is done.
//!
//! There is no timer: a commit is the time in which the next batch gathers. What is beyond retention goes along with commits, and a
//! little at a time while nothing is queued.

mod copying;
mod errand;
mod filing;
mod forgetting;
mod statements;
mod tidying;

use super::file::{Identity, is_damage};
use super::queue::Arrived;
use super::shelf::{Shelf, Shelves};
use super::{Shared, Standing};
use crate::log::LogError;
use copying::Copier;
use errand::{Answer, refuse, refuse_all};
pub(super) use errand::{Append, Errand};
use filing::{REST, Recent, is_scattered, place};
use rusqlite::{Connection, ffi};
pub(super) use statements::{MessageTable, Statements};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, SystemTime};
use switchboard_proto::{Message, MessageId, RoomName};
use tidying::{LOOK_BYTES, PAGE_BYTES};
use tokio::time::Instant;
use tracing::{error, info, warn};

/// Between two tries while commits fail.
const RETRY: Duration = Duration::from_secs(1);

/// Between two looks for what has become too old.
const SWEEP: Duration = Duration::from_mins(1);

/// Rows that one step of retention deletes while nothing is queued; with a commit, as many as half of these and twice what it inserts.
const STEP_ROWS: usize = 1024;

/// Rooms that one step looks at.
const STEP_ROOMS: usize = 64;

/// What rooms are after a transaction that is not over yet; none: it has them no more.
type Changed = HashMap<RoomName, Option<Shelf>>;

#[expect(clippy::struct_excessive_bools, reason = "each is one thing that it knows")]
struct Writer<'a> {
    shared: &'a Shared,
    connection: &'a Connection,
    statements: Statements<'a>,
    copier: Copier,
    shelves: Shelves,
    recent: Recent,
    /// When the last message came, if one has since the start.
    appended: Option<Instant>,
    /// Bytes that were written since the write-ahead log was looked at, about.
    unseen: usize,
    next_id: i64,
    /// Rooms of which some may be beyond retention.
    due: BTreeSet<RoomName>,
    /// There are messages of rooms that are forgotten.
    has_orphans: bool,
    swept: Instant,
    /// While commits fail, when it is tried again.
    retry: Option<Instant>,
    is_broken: bool,
    /// Which file it writes to.
    identity: Option<Identity>,
    warned: bool,
    /// There may be more free pages than are left in the file.
    has_free: bool,
}

/// Does what is asked for until nothing more will be.
pub(super) fn run(shared: &Shared, connection: Connection, copying: Connection, shelves: HashMap<RoomName, Shelf>) {
    let sound = thread::scope(|scope| {
        let writer = Copier::start(scope, shared, copying)
            .map_err(|error| error.to_string())
            .and_then(|copier| Writer::new(shared, &connection, copier, shelves).map_err(|error| error.to_string()));
        match writer {
            Ok(mut writer) => writer.run(),
            Err(reason) => {
                refuse_all(shared, &reason);
                false
            }
        }
    });
    if sound {
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            warn!(%error, "the log was not written back at its end; the next start does it");
        }
    } else {
        // Closing it could sync again, and what the kernel has dropped would count as written.
        std::mem::forget(connection);
    }
}

impl<'a> Writer<'a> {
    fn new(
        shared: &'a Shared,
        connection: &'a Connection,
        copier: Copier,
        shelves: HashMap<RoomName, Shelf>,
    ) -> rusqlite::Result<Self> {
        let statements = Statements::prepare(connection)?;
        let (next_id, recent) = (statements.next_id()?, Recent::new(statements.recent()?));
        Ok(Self {
            shared,
            connection,
            statements,
            copier,
            shelves: Shelves::new(shelves),
            recent,
            appended: None,
            // What was left at the last end.
            unseen: LOOK_BYTES,
            next_id,
            // Nothing is known yet of what is to be kept: whoever says it makes a room due.
            due: BTreeSet::new(),
            has_orphans: true,
            swept: Instant::now(),
            retry: None,
            is_broken: false,
            identity: shared.directory.identity(),
            warned: false,
            has_free: true,
        })
    }

    /// Says whether the database may be closed.
    fn run(&mut self) -> bool {
        loop {
            match self.shared.appends.take(self.patience()) {
                Arrived::Some(orders) => {
                    let gathered = self.gather(orders);
                    self.work(gathered);
                }
                Arrived::Nothing => {}
                Arrived::Closed => return self.is_sound(),
            }
            if !self.is_broken {
                self.tidy();
            }
        }
    }

    /// Whether all that it was told to be written is.
    fn is_sound(&mut self) -> bool {
        if let Err(error) = self.copier.finish()
            && is_final(&error)
        {
            self.fail(&error);
        }
        !self.is_broken
    }

    /// Calls whoever wants to be called now, and takes what comes of that. Each room has itself called once, until it is answered: there is an end to it.
    fn gather(&self, orders: Vec<Errand>) -> Vec<Errand> {
        let (mut coming, mut gathered) = (orders, Vec::new());
        loop {
            let mut has_called = false;
            for errand in coming {
                match errand {
                    Errand::Call(ready) => {
                        has_called = true;
                        ready();
                    }
                    other => gathered.push(other),
                }
            }
            if !has_called {
                return gathered;
            }
            coming = self.shared.appends.take_now();
        }
    }

    /// How long there is nothing to do if nothing comes.
    fn patience(&self) -> Duration {
        match self.retry {
            _ if self.is_broken => SWEEP,
            Some(retry) => retry.saturating_duration_since(Instant::now()),
            None if self.is_due() => Duration::ZERO,
            None if !self.recent.is_empty() => {
                self.appended.map_or(Duration::ZERO, |appended| REST.saturating_sub(appended.elapsed()))
            }
            None => SWEEP.saturating_sub(self.swept.elapsed()),
        }
    }

    fn work(&mut self, orders: Vec<Errand>) {
        if orders.is_empty() {
            return;
        }
        let began = Instant::now();
        if self.is_broken || self.retry.is_some_and(|retry| began < retry) {
            let Err(LogError::Unavailable(reason)) = self.shared.health() else { return };
            return orders.into_iter().for_each(|order| refuse(self.shared, order, &reason));
        }
        let (mut changed, mut answers, mut rows) = (Changed::new(), Vec::with_capacity(orders.len()), 0);
        let written = self.write(orders, &mut changed, &mut answers, &mut rows);
        self.shared.counts.waiting.fetch_sub(rows as u64, Ordering::Relaxed);
        if written.is_ok() {
            self.shared.counts.messages.fetch_add(rows as u64, Ordering::Relaxed);
            if rows > 0 {
                self.shared.counts.commits.record(began.elapsed());
                self.appended = Some(Instant::now());
            }
        }
        let failure = match written {
            Ok(()) => self.shared.directory.is_gone(self.identity).map(|reason| self.give_up(reason.into())),
            Err(error) => Some(self.fail(&error)),
        };
        if failure.is_none() {
            self.succeed(changed);
        }
        for answer in answers {
            answer.tell(failure.as_ref());
        }
    }

    /// One transaction: all that was asked for, and a step of retention.
    fn write(
        &mut self,
        orders: Vec<Errand>,
        changed: &mut Changed,
        answers: &mut Vec<Answer>,
        rows: &mut usize,
    ) -> rusqlite::Result<()> {
        // What was not begun is answered as well.
        let mut result = self.statements.begin();
        let is_scattered = is_scattered(orders.len());
        for order in orders {
            match order {
                Errand::Append(Append { room, after, batch, done }) => {
                    *rows += batch.len();
                    let appended = match &result {
                        Ok(()) => self.append(room, after, &batch, is_scattered, changed),
                        Err(_) => Ok(Ok(after)),
                    };
                    let answer = appended.unwrap_or_else(|error| {
                        result = Err(error);
                        Ok(after)
                    });
                    answers.push(Answer::Appended(done, answer));
                }
                Errand::Forget(room, done) => {
                    if result.is_ok() {
                        result = self.forget(&room, changed);
                    }
                    answers.push(Answer::Forgotten(done));
                }
                Errand::Purge(room, upto, done) => {
                    if result.is_ok() {
                        result = self.purge(&room, upto, changed);
                    }
                    answers.push(Answer::Forgotten(done));
                }
                Errand::Call(_) => unreachable!("whoever wanted it was called"),
                Errand::Keep(room) => drop(self.due.insert(room)),
            }
        }
        result?;
        self.trim(STEP_ROWS / 2 + 2 * *rows, changed)?;
        self.statements.commit()
    }

    fn shelf(&self, room: &RoomName, changed: &Changed) -> Option<Shelf> {
        changed.get(room).cloned().unwrap_or_else(|| self.shelves.get(room).cloned())
    }

    fn append(
        &mut self,
        room: RoomName,
        after: MessageId,
        batch: &[Arc<Message>],
        is_scattered: bool,
        changed: &mut Changed,
    ) -> rusqlite::Result<Result<MessageId, LogError>> {
        let follows = |(behind, message): (u64, &Arc<Message>)| {
            message.id.epoch == after.epoch && after.seq.checked_add(behind) == Some(message.id.seq)
        };
        let mut shelf = match self.shelf(&room, changed) {
            _ if !(1..).zip(batch).all(follows) => return Ok(Err(LogError::Conflict { last: after })),
            Some(shelf) if shelf.last_id() == after => shelf,
            // It begins anew.
            Some(shelf) if after.seq == 0 && shelf.epoch != after.epoch => {
                self.orphan(room.clone(), &shelf, changed)?;
                self.make(&room, after)?
            }
            Some(shelf) => return Ok(Err(LogError::Conflict { last: shelf.last_id() })),
            None => self.make(&room, after)?,
        };
        let bytes = batch.iter().map(|message| message.payload.len()).sum();
        let place = place(is_scattered, batch.len(), bytes);
        for message in batch {
            self.statements.insert(&mut shelf, message, place)?;
        }
        if let MessageTable::Recent = place {
            self.recent.add(shelf.id, batch.len(), bytes);
        }
        self.unseen += PAGE_BYTES + bytes;
        let last = shelf.last_id();
        changed.insert(room, Some(shelf));
        Ok(Ok(last))
    }

    fn make(&mut self, room: &RoomName, after: MessageId) -> rusqlite::Result<Shelf> {
        let id = self.next_id;
        self.next_id += 1;
        self.statements.make(id, room, after)
    }

    /// Deletes what is beyond retention, `rows` at most.
    fn trim(&mut self, mut rows: usize, changed: &mut Changed) -> rusqlite::Result<()> {
        self.has_free |= self.is_due();
        if self.recent.is_full() || self.rests() {
            self.file()?;
        }
        if self.has_orphans {
            let deleted = self.statements.sweep_orphans(rows)?;
            self.has_orphans = deleted >= rows;
            rows -= deleted.min(rows);
        }
        let now = SystemTime::now();
        for _ in 0..STEP_ROOMS {
            if rows == 0 {
                break;
            }
            let Some((room, force)) = self.next_due() else { break };
            if force > 0 {
                self.file()?;
            }
            if let Some(mut shelf) = self.shelf(&room, changed) {
                let keep = self.shared.retention(&room);
                let oldest = keep.age.and_then(|age| now.checked_sub(age)).map(statements::millis);
                let deleted = self.statements.trim(&mut shelf, keep, oldest, force, rows)?;
                rows -= deleted;
                if deleted > 0 {
                    self.unseen += PAGE_BYTES;
                    changed.insert(room.clone(), Some(shelf));
                } else if force > 0 {
                    self.orphan(room.clone(), &shelf, changed)?;
                }
            }
            if force > 0 {
                // How much all have now is known once this is over.
                break;
            }
            // Of one that has taken all rows there may be more.
            if rows > 0 {
                self.due.remove(&room);
            }
        }
        Ok(())
    }

    /// A room of which some may be beyond retention, and how many bytes it gives up whatever its own is.
    fn next_due(&mut self) -> Option<(RoomName, u64)> {
        if let Some(room) = self.due.first() {
            return Some((room.clone(), 0));
        }
        let excess = self.shelves.bytes().checked_sub(self.shared.options.bytes).filter(|excess| *excess > 0)?;
        self.shelves.fullest().map(|room| (room.clone(), excess))
    }

    fn is_due(&self) -> bool {
        self.has_orphans || !self.due.is_empty() || self.shelves.bytes() > self.shared.options.bytes || self.rests()
    }

    /// The transaction was committed: that is how it is now.
    fn succeed(&mut self, changed: Changed) {
        for (room, shelf) in changed {
            if shelf.as_ref().is_some_and(|shelf| shelf.is_overfull(self.shared.retention(&room))) {
                self.due.insert(room.clone());
            }
            self.shelves.put(room, shelf);
        }
        self.shared.counts.rooms.store(self.shelves.len() as u64, Ordering::Relaxed);
        self.shared.counts.bytes.store(self.shelves.bytes(), Ordering::Relaxed);
        if self.retry.take().is_some() {
            info!("the log works again");
            // What was due is so again, and what nobody noted meanwhile.
            self.due.extend(self.shared.retentions.lock().keys().cloned());
            self.shared.standing.send_replace(Standing::Well);
        }
    }

    /// Nothing of the transaction is there, or nobody knows. Says what whoever asked is told.
    fn fail(&mut self, error: &rusqlite::Error) -> LogError {
        // Whatever the transaction has done for them.
        self.has_orphans = true;
        self.recent = Recent::unknown();
        self.shared.counts.failures.fetch_add(1, Ordering::Relaxed);
        let reason: Arc<str> = error.to_string().into();
        let rolled_back = self.statements.roll_back();
        if is_final(error) || rolled_back.is_err() || !self.connection.is_autocommit() {
            return self.give_up(reason);
        }
        if self.retry.is_none() {
            error!(%error, "the log failed; it is tried again each second");
        }
        self.retry = Some(Instant::now() + RETRY);
        self.shared.standing.send_replace(Standing::Failing(Arc::clone(&reason)));
        LogError::Unavailable(reason)
    }

    /// Nothing more is kept. Says what whoever asked is told.
    fn give_up(&mut self, reason: Arc<str>) -> LogError {
        self.is_broken = true;
        self.retry = None;
        error!(error = &*reason, "the log is broken");
        self.shared.standing.send_replace(Standing::Broken(Arc::clone(&reason)));
        LogError::Unavailable(reason)
    }
}

/// Whether what is on disk is not known any more, so that nothing may be tried again. After a failed sync the kernel may have dropped what
/// it could not write, and says yes to the next one.
fn is_final(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    is_damage(error) || matches!(code, Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}
