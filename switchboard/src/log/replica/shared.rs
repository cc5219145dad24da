//! The rooms of a hub on an engine: one task has all replicas, tells them what happens, and does what they say.
//!
//! Whoever asks, and the engine when it answers, only leaves a word in a queue. What the engine tells unasked is bounded there; what does not
//! fit is dropped, and found by the next check.

use super::ends::RoomEnd;
use super::serving::ReplicaTask;
use super::{
    AppendError, CheckedRooms, Engine, EngineError, EngineEvents, EnvelopeToken, HistoryBounds, Incarnation,
    LogIdentity, Position, Stored,
};
use crate::log::{
    Cursor, Done, LogError, PageLimit, Retention, RoomLog, SharedLog, SharedRoom, StoredRoom, Submission,
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use switchboard_proto::{Message, MessageId, RoomName};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Bytes of what has come unasked and waits to be looked at. What comes beyond it is dropped.
const ARRIVED_BYTES: usize = 64 << 20;

/// What a word takes beside its bytes: twice itself in a queue that grows, and its allocations with their heads.
const BESIDE: usize = 2 * size_of::<Word>() + 192;

/// A room as one hub opened it: a room of that name may be another one later.
pub(super) type Key = u64;

/// A word for the task that has the replicas.
pub(super) enum Word {
    Open(RoomName, Key, Arc<dyn SharedRoom>),
    Close(RoomName, Key),
    Publish(RoomName, Key, Vec<Submission>, Done<()>),
    CatchUp(RoomName, Key, Done<()>),
    Purge(RoomName, Key, Done<MessageId>),
    Read(RoomName, Cursor, PageLimit, Done<Vec<Arc<Message>>>),
    Live(RoomName, Stored),
    Tail(RoomName, Bytes),
    Reported(Bytes),
    Reconnected,
    Followed(RoomName, Key, Result<(), EngineError>),
    /// The last envelopes of these rooms, or of some.
    Lasts(Vec<(RoomName, Key)>, Result<CheckedRooms, EngineError>),
    Ended(Vec<RoomEnd>, Result<LogIdentity, EngineError>),
    Fetched(RoomName, Key, Result<Vec<Stored>, EngineError>),
    Appended(RoomName, Key, EnvelopeToken, Result<Position, AppendError>),
    /// Of the log behind the connection of this number.
    Identity(u64, Result<LogIdentity, EngineError>),
    /// Of the check of this number, which was about these rooms.
    Checked(u64, Vec<RoomName>, Result<CheckedRooms, EngineError>),
}

#[derive(Default)]
pub(super) struct Words {
    queue: Mutex<Queue>,
    pub(super) said: Notify,
    /// How often the connection was made anew.
    connection: AtomicU64,
    /// Rooms that wait for the log.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    words: VecDeque<Word>,
    /// What those have that came unasked.
    arrived_bytes: usize,
    /// Nobody looks at them any more.
    has_ended: bool,
}

impl Words {
    /// Says it, or drops it where nobody listens any more: who waits for it is answered by that.
    pub(super) fn say(&self, word: Word) {
        let mut queue = self.queue.lock();
        if queue.has_ended {
            // Without the lock: who is answered may say something.
            drop(queue);
            return drop(word);
        }
        queue.words.push_back(word);
        drop(queue);
        self.said.notify_one();
    }

    fn arrives(&self, word: Word, bytes: usize) {
        let (mut queue, bytes) = (self.queue.lock(), bytes + BESIDE);
        if queue.has_ended || queue.arrived_bytes + bytes > ARRIVED_BYTES {
            return;
        }
        queue.arrived_bytes += bytes;
        queue.words.push_back(word);
        drop(queue);
        self.said.notify_one();
    }

    /// The number of the connection that there is now.
    pub(super) fn connection(&self) -> u64 {
        self.connection.load(Ordering::Acquire)
    }

    /// One more room waits for the log, or one less.
    pub(super) fn waits(&self, is_waiting: bool) {
        // Relaxed: statistics, which guard no other memory. Only the task changes them.
        let waiting = self.waiting.load(Ordering::Relaxed);
        self.waiting.store(if is_waiting { waiting + 1 } else { waiting - 1 }, Ordering::Relaxed);
    }

    /// All that was said.
    pub(super) fn take(&self) -> VecDeque<Word> {
        let mut queue = self.queue.lock();
        queue.arrived_bytes = 0;
        std::mem::take(&mut queue.words)
    }

    /// Nobody will look at what is said, nor at what was.
    fn end(&self) {
        self.queue.lock().has_ended = true;
        drop(self.take());
    }
}

/// Is dropped with the task, also if that panics.
struct Listening(Arc<Words>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What an engine tells goes to the queue.
impl EngineEvents for Words {
    fn live(&self, room: &RoomName, stored: Stored) {
        let bytes = stored.envelope.len();
        self.arrives(Word::Live(room.clone(), stored), bytes);
    }

    fn tail(&self, room: &RoomName, tail: &[u8]) {
        self.arrives(Word::Tail(room.clone(), Bytes::copy_from_slice(tail)), tail.len());
    }

    fn reported(&self, report: &[u8]) {
        self.arrives(Word::Reported(Bytes::copy_from_slice(report)), report.len());
    }

    fn reconnected(&self) {
        // Release, with the Acquire of whoever is about to append by this connection: what was asked by the one before is not known of it.
        self.connection.fetch_add(1, Ordering::Release);
        self.say(Word::Reconnected);
    }
}

/// How this node takes part in rooms that several nodes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicatedOptions {
    /// How much of a room's past whoever opens it reads. Default 256 messages and 256 KiB, as rooms keep.
    pub history: HistoryBounds,
}

impl Default for ReplicatedOptions {
    fn default() -> Self {
        Self { history: HistoryBounds { messages: 256, bytes: 256 << 10 } }
    }
}

/// A [`RoomLog`] that several nodes have in common: what each publishes is shown on all, in the same order and with the same ids.
///
/// Dropping it ends its task; what waits fails.
pub struct ReplicatedLog {
    words: Arc<Words>,
    engine: Arc<dyn Engine>,
    own: Incarnation,
    task: JoinHandle<()>,
}

impl ReplicatedLog {
    /// Rooms on `engine`, which this node alone uses, on a task of `runtime`: one that does nothing else, or the caller's.
    ///
    /// # Panics
    /// The system gives no random numbers.
    pub fn new(engine: Arc<dyn Engine>, options: ReplicatedOptions, runtime: &Handle) -> Self {
        let mut random = [0; 16];
        let Ok(()) = getrandom::fill(&mut random) else { panic!("the system gives no random numbers") };
        let [own, seed] = [0, 8].map(|place| u64::from_be_bytes(std::array::from_fn(|byte| random[place + byte])));
        let (words, own) = (Arc::<Words>::default(), Incarnation(own));
        engine.watch(Arc::clone(&words) as Arc<dyn EngineEvents>);
        let serving = ReplicaTask::new(Arc::clone(&engine), Arc::clone(&words), own, options.history, seed);
        let listening = Listening(Arc::clone(&words));
        let task = runtime.spawn(async move {
            let _listening = listening;
            serving.run().await;
        });
        Self { words, engine, own, task }
    }

    /// This node, as the log knows it.
    pub fn incarnation(&self) -> Incarnation {
        self.own
    }

    /// Rooms that wait for the log now: they are not open yet, or something that was published in them is not kept yet.
    pub fn waiting_rooms(&self) -> usize {
        // Relaxed: statistics.
        self.words.waiting.load(Ordering::Relaxed)
    }
}

impl Drop for ReplicatedLog {
    fn drop(&mut self) {
        self.task.abort();
        // What was never looked at is answered by that.
        self.words.end();
    }
}

impl RoomLog for ReplicatedLog {
    /// Rooms are opened when somebody comes.
    fn rooms(&self, _: &dyn Fn(&RoomName) -> PageLimit, _: &mut dyn FnMut(StoredRoom)) -> Result<(), LogError> {
        Ok(())
    }

    fn append(&self, _: &RoomName, _: MessageId, _: Vec<Arc<Message>>, done: Done<MessageId>) {
        done(Err(LogError::unavailable("this log numbers what is published")));
    }

    fn read(&self, room: &RoomName, from: Cursor, limit: PageLimit, done: Done<Vec<Arc<Message>>>) {
        // An engine may answer within the call: it is asked by the task.
        self.words.say(Word::Read(room.clone(), from, limit, done));
    }

    fn keep(&self, _: &RoomName, _: Retention) {}

    fn forget(&self, _: &RoomName, done: Done<()>) {
        done(Err(LogError::unavailable("other nodes have this room too")));
    }

    fn health(&self) -> Result<(), LogError> {
        if self.task.is_finished() {
            return Err(LogError::unavailable("its task has ended by a fault of this program"));
        }
        self.engine.health().map_err(LogError::unavailable)
    }

    fn shared(&self) -> Option<&dyn SharedLog> {
        Some(self)
    }
}

impl SharedLog for ReplicatedLog {
    fn open(&self, room: &RoomName, key: u64, sink: Arc<dyn SharedRoom>) {
        self.words.say(Word::Open(room.clone(), key, sink));
    }

    fn close(&self, room: &RoomName, key: u64) {
        self.words.say(Word::Close(room.clone(), key));
    }

    fn publish(&self, room: &RoomName, key: u64, batch: Vec<Submission>, done: Done<()>) {
        self.words.say(Word::Publish(room.clone(), key, batch, done));
    }

    fn catch_up(&self, room: &RoomName, key: u64, done: Done<()>) {
        self.words.say(Word::CatchUp(room.clone(), key, done));
    }

    fn purge(&self, room: &RoomName, key: u64, done: Done<MessageId>) {
        self.words.say(Word::Purge(room.clone(), key, done));
    }
}

impl std::fmt::Debug for ReplicatedLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplicatedLog").field("own", &self.own).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryLog;
    use super::*;
    use crate::hub::log::answered;
    use crate::log::SharedMessage;
    use std::time::{Duration, SystemTime};
    use switchboard_proto::Epoch;
    use tokio::task::yield_now;
    use tokio::time::{sleep, timeout};

    struct Quiet;

    impl SharedRoom for Quiet {
        fn begins(&self, _: MessageId) {}

        fn shows(&self, _: Vec<SharedMessage>) {}

        fn purged(&self, _: MessageId) {}

        fn opened(&self) {}
    }

    /// The rooms of what was shown.
    #[derive(Default)]
    struct Shown(Mutex<Vec<RoomName>>);

    impl SharedRoom for Shown {
        fn begins(&self, _: MessageId) {}

        fn shows(&self, messages: Vec<SharedMessage>) {
            self.0.lock().extend(messages.into_iter().map(|shown| shown.message.room.clone()));
        }

        fn purged(&self, _: MessageId) {}

        fn opened(&self) {}
    }

    fn submission(room: &RoomName, payload: &'static [u8]) -> Submission {
        let message = Message {
            room: room.clone(),
            id: MessageId { epoch: Epoch::new(0), seq: 0 },
            time: SystemTime::UNIX_EPOCH,
            from: None,
            user: None,
            payload: Bytes::from_static(payload),
        };
        Submission { message: Arc::new(message), membership: 0 }
    }

    struct Faulty;

    impl SharedRoom for Faulty {
        fn begins(&self, _: MessageId) {
            panic!("a fault in a room");
        }

        fn shows(&self, _: Vec<SharedMessage>) {}

        fn purged(&self, _: MessageId) {}

        fn opened(&self) {}
    }

    #[test]
    fn what_arrives_is_bounded_also_if_it_says_nothing() {
        let (words, room) = (Words::default(), RoomName::parse("ops").expect("a name"));
        let mut told = 0;
        loop {
            words.tail(&room, b"");
            told += 1;
            if words.queue.lock().words.len() < told {
                break;
            }
        }
        let kept = words.take();
        assert!(kept.len() > 1000 && kept.capacity() * size_of::<Word>() < ARRIVED_BYTES, "{}", kept.len());
        words.tail(&room, b"");
        assert_eq!(words.take().len(), 1, "there is room again");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_log_that_is_away_is_bounded() {
        let memory = MemoryLog::new();
        memory.go_away();
        let log = ReplicatedLog::new(memory.engine(), ReplicatedOptions::default(), &Handle::current());
        let room = RoomName::parse("ops").expect("a name");
        let ask = || {
            let (done, told) = answered();
            log.catch_up(&room, 1, done);
            told
        };
        log.open(&room, 1, Arc::new(Quiet));
        let mut waiting: Vec<_> = (0..1024).map(|_| ask()).collect();
        let refused = timeout(Duration::from_secs(1), ask()).await;
        assert!(matches!(refused, Ok(Ok(Err(LogError::Unavailable(_))))), "at once");
        assert!(waiting.iter_mut().all(|told| told.try_recv().is_err()), "these wait");
    }

    #[tokio::test(start_paused = true)]
    async fn rooms_that_wait_for_the_log_are_counted_until_they_do_not() {
        let memory = MemoryLog::new();
        let log = ReplicatedLog::new(memory.engine(), ReplicatedOptions::default(), &Handle::current());
        let rooms = ["a", "b"].map(|name| RoomName::parse(name).expect("a name"));
        memory.go_away();
        for room in &rooms {
            log.open(room, 1, Arc::new(Quiet));
        }
        let waits = async |count| {
            // Time passes: what was not answered is asked for again.
            while log.waiting_rooms() != count {
                sleep(Duration::from_millis(1)).await;
            }
        };
        waits(2).await;
        memory.come_back();
        waits(0).await;
        memory.go_away();
        log.publish(&rooms[0], 1, vec![submission(&rooms[0], b"hi")], Box::new(drop));
        waits(1).await;
        log.close(&rooms[0], 1);
        waits(0).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_is_answered_in_parts_finds_what_each_room_has() {
        let (memory, shown) = (MemoryLog::new(), Arc::new(Shown::default()));
        let deaf = memory.engine();
        deaf.set_deaf(true);
        let [one, other] = [memory.engine(), deaf]
            .map(|engine| ReplicatedLog::new(engine, ReplicatedOptions::default(), &Handle::current()));
        let rooms: Vec<_> = (0..10).map(|room| RoomName::parse(&format!("r{room}")).expect("a name")).collect();
        for room in &rooms {
            one.open(room, 1, Arc::new(Quiet));
            other.open(room, 1, Arc::clone(&shown) as _);
        }
        sleep(Duration::from_secs(1)).await;
        for room in &rooms {
            one.publish(room, 1, vec![submission(room, &[b'x'; 3000])], Box::new(drop));
        }
        sleep(Duration::from_secs(1)).await;
        assert!(shown.0.lock().is_empty(), "it hears nothing");
        sleep(Duration::from_secs(10)).await;
        shown.0.lock().sort();
        assert_eq!(*shown.0.lock(), rooms);
    }

    #[tokio::test(start_paused = true)]
    async fn once_the_task_has_ended_by_a_panic_health_says_so_and_nobody_waits() {
        let log = ReplicatedLog::new(MemoryLog::new().engine(), ReplicatedOptions::default(), &Handle::current());
        let room = RoomName::parse("ops").expect("a name");
        assert_eq!(log.health(), Ok(()));
        let ask = || {
            let (done, told) = answered();
            log.catch_up(&room, 1, done);
            told
        };
        log.open(&room, 1, Arc::new(Faulty));
        let before = ask();
        assert!(before.await.is_err(), "it is dropped with the task");
        while !log.task.is_finished() {
            yield_now().await;
        }
        assert!(matches!(log.health(), Err(LogError::Unavailable(_))));
        assert!(ask().await.is_err(), "it is dropped at once");
    }
}
