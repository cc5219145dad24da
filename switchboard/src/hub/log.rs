//! What keeps the messages of rooms in order, on disk or beyond the process: the seam between a room and what it is kept by.
//!
//! The room gives each message its number and asks the log to keep it; only once the log has it is it shown to anybody. What a room has
//! shown is in `shown.rs`, what waits for the log in `durable.rs`. Where there is no log, nothing here is looked at.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use switchboard_proto::{Message, MessageId, RoomName};
use tokio::sync::oneshot;

/// What a log calls when it has answered: on a thread of its own, and never within the call that asked. It takes short locks, and may ask
/// the log for more; it never waits.
pub type Done<T> = Box<dyn FnOnce(Result<T, LogError>) + Send>;

/// What is to be called with an answer, and where it comes then. Whoever has gone away by that time needs none.
pub(crate) fn answered<T: Send + 'static>() -> (Box<dyn FnOnce(T) + Send>, oneshot::Receiver<T>) {
    let (done, told) = oneshot::channel();
    (Box::new(move |answer| drop(done.send(answer))), told)
}

/// Keeps the messages of rooms in order.
///
/// Nothing here may wait, but for [`rooms`](Self::rooms): workers call it, while they hold a room's lock too. What is asked for is queued, and
/// answered by `done` on the log's own thread. Each `done` is called exactly once, also if the log fails or ends.
///
/// The order of one room is the order of its ids: the log keeps message N + 1 of an epoch only if it has N of it, so that what it has of a
/// room is always all up to some message, but for the oldest, which it may have dropped.
pub trait RoomLog: Send + Sync + 'static {
    /// Tells `each` room that it has, in any order, with its newest messages: as many as are within what `newest` says of it. Called once,
    /// before anybody is served. May wait.
    ///
    /// # Errors
    /// It cannot be read, or what is there is damaged. Then no hub is made of it.
    fn rooms(&self, newest: &dyn Fn(&RoomName) -> PageLimit, each: &mut dyn FnMut(StoredRoom)) -> Result<(), LogError>;

    /// Keeps `batch` behind `after`, the last message that it has of the room: all of it or nothing. Their numbers follow `after`, in its
    /// epoch; `after` of number 0 begins the epoch, and what it has of the room's other epochs is forgotten by that. `done` gets the last id, once all of it is kept for good.
    ///
    /// There is at most one batch of a room under way; those of different rooms may be committed together.
    ///
    /// `done` gets [`Conflict`](LogError::Conflict) if `after` is not the last message that it has (nor begins an epoch), and
    /// [`Unavailable`](LogError::Unavailable) if it cannot keep anything now. In both cases nothing of the batch is kept.
    fn append(&self, room: &RoomName, after: MessageId, batch: Vec<Arc<Message>>, done: Done<MessageId>);

    /// Calls `ready` when it begins its next commit, on a thread of its own: what is [appended](Self::append) within that call goes with it. So a
    /// room has one batch in each commit, with all that was published by then. By default at once.
    fn when_free(&self, ready: Box<dyn FnOnce() + Send>) {
        ready();
    }

    /// Reads messages of a room, oldest first, without a hole among them: those next to `from`, at least one if there is any, and no more
    /// than `limit`. Nothing stays open behind it. None if there are none there, as of another epoch.
    fn read(&self, room: &RoomName, from: Cursor, limit: PageLimit, done: Done<Vec<Arc<Message>>>);

    /// How much of a room's past is to be kept from now on; what is beyond it may be dropped, the oldest first, whenever that is convenient.
    /// Of a room that it was told nothing of, it keeps everything.
    fn keep(&self, room: &RoomName, retention: Retention);

    /// Forgets a room: its messages and its epoch. Its next append begins another epoch. Follows the appends before it.
    fn forget(&self, room: &RoomName, done: Done<()>);

    /// Forgets the messages of a room up to `upto` for good. The room keeps its epoch and its numbers: none is used again. Follows the appends before
    /// it. Of a room that it has not, or that is in another epoch, there is nothing to forget.
    ///
    /// By default it cannot.
    fn purge(&self, room: &RoomName, upto: MessageId, done: Done<()>) {
        let _ = (room, upto);
        done(Err(LogError::unavailable("it cannot purge rooms")));
    }

    /// Whether it takes what is appended now, as far as it knows.
    ///
    /// # Errors
    /// It does not, and why.
    fn health(&self) -> Result<(), LogError>;

    /// Itself, if other processes append to it too. Then rooms are opened, published to and shown by what [`SharedLog`] says, and nothing is
    /// [appended](Self::append) to it otherwise.
    fn shared(&self) -> Option<&dyn SharedLog> {
        None
    }
}

/// A log that other processes append to as well: it gives each message its number, and tells what there is, whoever has published it.
///
/// Nothing here waits.
pub trait SharedLog: Send + Sync + 'static {
    /// Opens a room: has `sink` told of its history, then of all that is appended, in order. `key` is another one each time.
    fn open(&self, room: &RoomName, key: u64, sink: Arc<dyn SharedRoom>);

    /// The room that was opened by this key needs to be told nothing any more.
    fn close(&self, room: &RoomName, key: u64);

    /// Publishes to an open room, in this order. Each message gets its number from the log, and is told to the sink as everybody else's is;
    /// `done` is called behind the last of them. If it gets an error, those that were not told to the sink have failed.
    fn publish(&self, room: &RoomName, key: u64, batch: Vec<Submission>, done: Done<()>);

    /// `done` is called once all is told that the log has of the room now.
    fn catch_up(&self, room: &RoomName, key: u64, done: Done<()>);

    /// Forgets the messages of an open room for good, up to one that it chooses: at least all that the sink was told when it is asked. Every sink
    /// of the room is told. `done` gets that one once the log has none of them, and an error if it may.
    ///
    /// By default it cannot.
    fn purge(&self, room: &RoomName, key: u64, done: Done<MessageId>) {
        let _ = (room, key);
        done(Err(LogError::unavailable("it cannot purge rooms")));
    }
}

/// A message on its way to a log that gives it its number.
#[derive(Debug, Clone)]
pub struct Submission {
    /// What it says; its id means nothing yet.
    pub message: Arc<Message>,
    /// The membership that does not get it, among all of the process; 0 if all do.
    pub membership: u64,
}

/// A message as a shared log has it.
#[derive(Debug, Clone)]
pub struct SharedMessage {
    /// With its number.
    pub message: Arc<Message>,
    /// The membership of this process that does not get it, or 0.
    pub membership: u64,
    /// Which of the batch under way it is, counted from 0; none if it is another process's.
    pub place: Option<usize>,
}

/// A room of a hub, as a shared log tells it of what happens. It takes short locks, and never waits.
pub trait SharedRoom: Send + Sync {
    /// What is shown next is behind this point. Where that is another incarnation, members are told.
    fn begins(&self, at: MessageId);

    /// These were appended, in this order. Where numbers are missing between them and those before, the messages are gone.
    fn shows(&self, messages: Vec<SharedMessage>);

    /// What was told up to there is forgotten, whoever has asked for that; of what is between that and the last one told, nothing will be told.
    fn purged(&self, upto: MessageId);

    /// All is told that the log had when the room was opened.
    fn opened(&self);
}

/// A room as a log has it.
#[derive(Debug, Clone)]
pub struct StoredRoom {
    /// Its name, as it was first written.
    pub name: RoomName,
    /// Its last message, or the point before the first one. The next one is behind it, in its epoch.
    pub last: MessageId,
    /// The number of the oldest message that the log has of it; one above the last if it has none.
    pub first: u64,
    /// The newest ones, oldest first, without a hole up to `last`.
    pub newest: Vec<Arc<Message>>,
}

/// How much of a room's past is kept. Without a bound: everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Messages.
    pub messages: Option<usize>,
    /// Bytes, as [`PageLimit::bytes`] counts them.
    pub bytes: Option<usize>,
    /// How long each is kept.
    pub age: Option<Duration>,
}

/// A place in a room's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// Behind this message; the oldest come first.
    After(MessageId),
    /// Before this one: the newest of those.
    Before(MessageId),
}

/// Bytes that a message counts beside its payload.
pub(crate) const BESIDE: u64 = 256;

/// How much of a past is read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit {
    /// Messages.
    pub messages: usize,
    /// Bytes of their payloads, and 256 for each. The one that goes beyond it is the last.
    pub bytes: usize,
}

/// Why a log did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// It cannot now, and may later: a full disk, for example.
    #[error("the log is unavailable: {0}")]
    Unavailable(Arc<str>),
    /// The last message that it has of the room is another one.
    #[error("the log has other messages of this room, up to {last}")]
    Conflict {
        /// That one.
        last: MessageId,
    },
    /// What it has is damaged, or is not a log of this kind.
    #[error("{0}")]
    Damaged(Arc<str>),
}

impl LogError {
    /// It cannot now, for this reason.
    pub fn unavailable(reason: impl fmt::Display) -> Self {
        Self::Unavailable(reason.to_string().into())
    }
}
