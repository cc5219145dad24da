//! What the writer does while nothing is queued: retention, writing the write-ahead log back, and trying again what has failed.

use super::{Changed, STEP_ROWS, SWEEP, Writer, is_final};
use tokio::time::Instant;
use tracing::warn;

/// Pages of the write-ahead log, of 4 KiB each, from which it is copied into the database. How many it has is asked once that many bytes, or
/// thereabouts, were written: SQLite compiles the question anew each time, which takes as long as inserting two messages.
const CHECKPOINT_PAGES: i64 = 2000;

/// Pages that the writer copies by itself: so few that it takes no longer than a commit. And how often all that there is by then is copied beside it
/// until they are so few.
const END_PAGES: i64 = 256;
const ROUNDS: u32 = 4;

/// Bytes after which it looks.
pub(super) const LOOK_BYTES: usize = 1 << 20;
pub(super) const PAGE_BYTES: usize = 4096;

/// Free pages that the file may have before it is made shorter, and how many it loses at a time.
const FREE_PAGES: i64 = 4096;
const VACUUM_PAGES: i64 = 256;

impl Writer<'_> {
    /// What is done while nothing is queued, or must not wait any longer.
    pub(super) fn tidy(&mut self) {
        if let Some(retry) = self.retry {
            if Instant::now() >= retry && self.shared.appends.is_empty() {
                let tried = self.statements.probe();
                match tried {
                    Ok(()) => self.succeed(Changed::new()),
                    Err(error) => drop(self.fail(&error)),
                }
            }
            return;
        }
        if let Err(error) = self.checkpoint() {
            if is_final(&error) {
                self.fail(&error);
                return;
            }
            if !std::mem::replace(&mut self.warned, true) {
                warn!(%error, "the log was not written back");
            }
        }
        if self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            self.warned = false;
            let retentions = self.shared.retentions.lock();
            let aging = retentions.iter().filter(|(_, keep)| keep.age.is_some()).map(|(room, _)| room.clone());
            self.due.extend(aging);
        }
        let (is_due, mut changed) = (self.is_due(), Changed::new());
        // Only what is deleted frees pages: else it is not worth a look behind each commit.
        if !self.shared.appends.is_empty() || !(is_due || self.has_free) {
            return;
        }
        let step = if is_due {
            self.step(&mut changed)
        } else {
            self.statements.vacuum(FREE_PAGES, VACUUM_PAGES).map(|has_free| self.has_free = has_free)
        };
        match step {
            Ok(()) => self.succeed(changed),
            Err(error) => drop(self.fail(&error)),
        }
    }

    /// One step of retention, by itself.
    fn step(&mut self, changed: &mut Changed) -> rusqlite::Result<()> {
        self.statements.begin()?;
        self.trim(STEP_ROWS, changed)?;
        self.statements.commit()
    }

    /// Has the write-ahead log copied into the database once it is long enough. With its end it is written from its start again.
    fn checkpoint(&mut self) -> rusqlite::Result<()> {
        let is_long = match self.copier.copied() {
            Some(copied) => copied.map(|()| true)?,
            None if self.copier.is_busy() || self.unseen < LOOK_BYTES => return Ok(()),
            None => false,
        };
        self.unseen = 0;
        let unwritten = self.statements.unwritten_pages()?;
        if !is_long && unwritten < CHECKPOINT_PAGES {
            return Ok(());
        }
        if unwritten > END_PAGES && self.copier.rounds < ROUNDS {
            self.copier.ask();
            return Ok(());
        }
        self.copier.rounds = 0;
        self.statements.checkpoint()
    }
}
