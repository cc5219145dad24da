//! The thread that copies the write-ahead log into the database beside the writer: commits go on meanwhile.
//!
//! It never gets to the end of a log that is being written. The writer copies that by itself, once it is short (`tidying.rs`).

use super::{Errand, Shared};
use rusqlite::{Connection, Result};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope};

/// What the writer knows of it.
pub(super) struct Copier {
    asked: SyncSender<()>,
    told: Receiver<Result<()>>,
    is_busy: bool,
    /// How often it was asked since the log was last written from its start.
    pub(super) rounds: u32,
}

impl Copier {
    /// It ends when this is dropped.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        shared: &'scope Shared,
        connection: Connection,
    ) -> std::io::Result<Self> {
        let ((asked, asks), (tells, told)) = (sync_channel::<()>(1), sync_channel(1));
        let copy = move || {
            while asks.recv().is_ok() {
                let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
                if tells.send(copied).is_err() {
                    break;
                }
                // The writer may be asleep, and a sync that has failed is to be known.
                shared.appends.push(Errand::Call(Box::new(|| ())));
            }
        };
        Builder::new().name("log-copier".to_owned()).spawn_scoped(scope, copy)?;
        Ok(Self { asked, told, is_busy: false, rounds: 0 })
    }

    pub(super) fn ask(&mut self) {
        self.rounds += 1;
        self.is_busy = self.asked.send(()).is_ok();
    }

    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// What has come of what it was asked for, once it is done.
    pub(super) fn copied(&mut self) -> Option<Result<()>> {
        let copied = self.told.try_recv().ok()?;
        self.is_busy = false;
        Some(copied)
    }

    /// Waits for what it does.
    pub(super) fn finish(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_busy) { self.told.recv().unwrap_or(Ok(())) } else { Ok(()) }
    }
}
