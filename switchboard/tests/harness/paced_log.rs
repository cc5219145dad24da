//! A log that does what it is asked for when the test says so, on the test's own thread: in memory, or in SQLite. What the disk does takes
//! no time of the test's clock, so that everything follows from a seed.

use super::model_log::{Asked, ModelLog};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc;
use switchboard::grammar::Message;
use switchboard::log::{Cursor, Done, LogError, PageLimit, Retention, RoomLog, StoredRoom};
use switchboard::{Hub, HubLimits, MessageId, RoomName};

/// What keeps what it is asked to keep.
pub(crate) enum Keeper {
    Memory(Arc<ModelLog>),
    #[cfg(feature = "sqlite")]
    Disk(Option<switchboard::log::SqliteLog>, std::path::PathBuf),
}

impl Keeper {
    pub(crate) fn memory() -> Self {
        Self::Memory(Arc::default())
    }

    #[cfg(feature = "sqlite")]
    pub(crate) fn disk(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("switchboard-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let mut disk = Self::Disk(None, path);
        disk.begin();
        disk
    }

    /// What a start of the process does.
    fn begin(&mut self) {
        #[cfg(feature = "sqlite")]
        if let Self::Disk(log, path) = self {
            // One process has it at a time.
            *log = None;
            *log = Some(switchboard::log::SqliteLog::open(path, switchboard::log::SqliteOptions::default()).unwrap());
        }
    }

    fn log(&self) -> &dyn RoomLog {
        match self {
            Self::Memory(log) => &**log,
            #[cfg(feature = "sqlite")]
            Self::Disk(log, _) => log.as_ref().unwrap(),
        }
    }

    /// Asks it, and waits for its answer.
    fn answer<T: Send + 'static>(&self, ask: impl FnOnce(&dyn RoomLog, Done<T>)) -> Result<T, LogError> {
        let (sender, answered) = mpsc::channel();
        ask(self.log(), Box::new(move |answer| sender.send(answer).unwrap()));
        match self {
            Self::Memory(log) => _ = log.answer(),
            #[cfg(feature = "sqlite")]
            Self::Disk(..) => {}
        }
        answered.recv().unwrap()
    }
}

#[cfg(feature = "sqlite")]
impl Drop for Keeper {
    fn drop(&mut self) {
        if let Self::Disk(log, path) = self {
            *log = None;
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

pub(crate) struct PacedLog {
    keeper: Mutex<Keeper>,
    asked: Mutex<VecDeque<Asked>>,
}

impl PacedLog {
    pub(crate) fn new(keeper: Keeper) -> Arc<Self> {
        Arc::new(Self { keeper: Mutex::new(keeper), asked: Mutex::default() })
    }

    /// A hub of a process that starts now.
    pub(crate) fn hub(self: &Arc<Self>, limits: HubLimits) -> Hub {
        self.keeper.lock().begin();
        Hub::builder().limits(limits).log(Arc::clone(self) as Arc<dyn RoomLog>).build().unwrap()
    }

    /// Has it do the next thing that it was asked for. Says whether there was one.
    pub(crate) fn answer_one(&self) -> bool {
        let next = self.asked.lock().pop_front();
        let is_one = next.is_some();
        if let Some(asked) = next {
            self.act(asked);
        }
        is_one
    }

    pub(crate) fn answer(&self) {
        while self.answer_one() {}
    }

    /// Has it read what it was asked for, before all else. Says whether there was something.
    pub(crate) fn read_all(&self) -> bool {
        let mut asked = self.asked.lock();
        let (reads, others) = asked.drain(..).partition(|asked| matches!(asked, Asked::Read { .. }));
        *asked = others;
        drop(asked);
        let reads: VecDeque<Asked> = reads;
        let is_some = !reads.is_empty();
        for asked in reads {
            self.act(asked);
        }
        is_some
    }

    /// Fails the next thing that it was asked for, if there is one.
    pub(crate) fn fail_one(&self) {
        let next = self.asked.lock().pop_front();
        if let Some(asked) = next {
            asked.fail();
        }
    }

    /// The process dies: what it was asked for is done up to some point, and nobody is told.
    pub(crate) fn crash(&self, done: usize) {
        let asked = std::mem::take(&mut *self.asked.lock());
        let keeper = self.keeper.lock();
        for one in asked.iter().take(done) {
            if let Asked::Append { room, after, batch, .. } = one {
                keeper.answer(|log, done| log.append(room, *after, batch.clone(), done)).unwrap();
            }
        }
        drop(keeper);
        drop(asked);
        // Whoever asked is of the process that is dead, and asks for nothing more.
        while !self.asked.lock().is_empty() {
            let more = std::mem::take(&mut *self.asked.lock());
            drop(more);
        }
    }

    /// All that it has of a room.
    pub(crate) fn kept(&self, room: &RoomName, first: MessageId) -> Vec<Arc<Message>> {
        let all = PageLimit { messages: usize::MAX, bytes: usize::MAX };
        self.keeper.lock().answer(|log, done| log.read(room, Cursor::After(first), all, done)).unwrap()
    }

    fn act(&self, asked: Asked) {
        let keeper = self.keeper.lock();
        match asked {
            Asked::Append { room, after, batch, done } => {
                let kept = keeper.answer(|log, done| log.append(&room, after, batch, done));
                drop(keeper);
                done(kept);
            }
            Asked::Read { room, from, limit, done } => {
                let page = keeper.answer(|log, done| log.read(&room, from, limit, done));
                drop(keeper);
                done(page);
            }
            Asked::Forget { room, done } => {
                let forgotten = keeper.answer(|log, done| log.forget(&room, done));
                drop(keeper);
                done(forgotten);
            }
            Asked::Purge { room, upto, done } => {
                let purged = keeper.answer(|log, done| log.purge(&room, upto, done));
                drop(keeper);
                done(purged);
            }
        }
    }
}

impl RoomLog for PacedLog {
    fn rooms(&self, newest: &dyn Fn(&RoomName) -> PageLimit, each: &mut dyn FnMut(StoredRoom)) -> Result<(), LogError> {
        self.keeper.lock().log().rooms(newest, each)
    }

    fn append(&self, room: &RoomName, after: MessageId, batch: Vec<Arc<Message>>, done: Done<MessageId>) {
        self.asked.lock().push_back(Asked::Append { room: room.clone(), after, batch, done });
    }

    fn read(&self, room: &RoomName, from: Cursor, limit: PageLimit, done: Done<Vec<Arc<Message>>>) {
        self.asked.lock().push_back(Asked::Read { room: room.clone(), from, limit, done });
    }

    fn keep(&self, room: &RoomName, retention: Retention) {
        self.keeper.lock().log().keep(room, retention);
    }

    fn forget(&self, room: &RoomName, done: Done<()>) {
        self.asked.lock().push_back(Asked::Forget { room: room.clone(), done });
    }

    fn purge(&self, room: &RoomName, upto: MessageId, done: Done<()>) {
        self.asked.lock().push_back(Asked::Purge { room: room.clone(), upto, done });
    }

    fn health(&self) -> Result<(), LogError> {
        Ok(())
    }
}
