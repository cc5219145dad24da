//! Where threads meet: a worker whose tick runs, a room, and connections over pipes that hold next to nothing.

use crate::config::{Limits, Timeouts};
use crate::connection::{Connection, serve};
use crate::error::BoxError;
use crate::hub::Hub;
use crate::hub::room::{PresenceNotices, Room, RoomOptions};
use crate::link::budget::Budget;
use crate::link::{ConnectionId, Link, ListenerSettings, PeerAddr, Sink, Source, Tasks};
use crate::metrics::{ListenerCounts, Metrics};
use crate::node::{Entered, Worker};
use crate::transport::Stream;
use crate::transport::memory::{End, Reader, Writer};
use shuttle::future::{JoinHandle, spawn};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::io::IoSlice;
use std::sync::Arc;
use std::task::ready;
use switchboard_proto::Lines;
use tokio::io::ReadBuf;
use tokio_util::sync::CancellationToken;

/// Orders for each test and way of picking.
const ORDERS: usize = 100;

/// So little that every reader is slow.
const PIPE_BYTES: usize = 8;

/// Places where a thread is overtaken, in the orders that are picked by priority.
const OVERTAKINGS: usize = 3;

/// More than the deepest call of ours takes.
const STACK_BYTES: usize = 256 << 10;

/// Runs `scene` in many orders: half of them at random, half with few switches, which reach other places.
pub(super) fn explore(scene: impl Fn(&Stage) + Send + Sync + 'static) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("INTERLEAVINGS_SEED").unwrap_or_else(|| RandomState::new().hash_one("seed"));
    let orders = number("INTERLEAVINGS").map_or(ORDERS, |orders| orders as usize);
    println!("INTERLEAVINGS_SEED={seed}");
    let scene = Arc::new(scene);
    run(RandomScheduler::new_from_seed(seed, orders), &scene);
    run(PctScheduler::new_from_seed(seed, OVERTAKINGS, orders), &scene);
}

fn run(scheduler: impl Scheduler + 'static, scene: &Arc<impl Fn(&Stage) + Send + Sync + 'static>) {
    // Held by the worker, and never run: shuttle runs everything.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (handle, scene) = (runtime.handle().clone(), Arc::clone(scene));
    let mut config = shuttle::Config::new();
    config.stack_size = STACK_BYTES;
    shuttle::Runner::new(scheduler, config).run(move || scene(&Stage::set(&handle)));
}

/// A worker with its tick running, and a room.
pub(super) struct Stage {
    pub(super) worker: Arc<Worker>,
    pub(super) tick: JoinHandle<()>,
    pub(super) hub: Hub,
    pub(super) room: Room,
}

/// A connection: its far end, its near end, and the task that serves it.
pub(super) struct Served {
    pub(super) heard: Reader,
    pub(super) says: Writer,
    pub(super) link: Arc<Link>,
    pub(super) task: JoinHandle<()>,
}

impl Stage {
    fn set(runtime: &tokio::runtime::Handle) -> Self {
        let worker = {
            let _entered = runtime.enter();
            let tasks = Tasks::new(CancellationToken::new(), Arc::new(Metrics::new()));
            Worker::of_caller((&Arc::new(Budget::new(usize::MAX)), &tasks))
        };
        // Goes on for ever, and does not count once this is dropped: an order is over when everybody else has finished.
        let tick = spawn(Arc::clone(&worker.tick).run());
        let hub = Hub::new();
        let quiet = RoomOptions { presence: PresenceNotices::Off, ..RoomOptions::default() };
        let room = hub.room_with(&"r".parse().unwrap(), quiet).unwrap();
        Self { worker, tick, hub, room }
    }

    pub(super) fn serve<F>(&self, limits: Limits, handler: impl Fn(Connection<Lines>) -> F) -> Served
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let (here, there) = End::pair(PIPE_BYTES);
        let (source, sink): (Box<dyn Source>, Box<dyn Sink>) = there.split();
        let limits = Arc::new(limits);
        let listener = ListenerSettings {
            rate: None,
            proxies: None,
            forwarders: None,
            horizon: crate::link::Horizon::None,
            name: String::new(),
            counts: ListenerCounts::unlisted("memory", false),
            is_secure: false,
            is_local: true,
            timeouts: Timeouts::default(),
            limits: Arc::clone(&limits),
            server: limits,
            occupancy: None,
            metrics: Arc::new(Metrics::new()),
            drain: CancellationToken::new(),
            told: CancellationToken::new(),
        };
        let id = ConnectionId(0);
        let link = Link::new(id, PeerAddr::Memory.into(), Arc::new(listener), sink, Arc::clone(&self.worker.tick));
        let entered = Entered::new(Arc::clone(&link), self.worker.assign(), ());
        let task = spawn(serve(entered, source, |link, source| handler(Connection::new(link, source))));
        Served { heard: here.reader, says: here.writer, link, task }
    }

    /// Publishes `count` messages in a thread of its own: `a1`, `a2`, …
    pub(super) fn talker(&self, name: &'static str, count: usize) -> thread::JoinHandle<()> {
        let room = self.room.clone();
        thread::spawn(move || (1..=count).for_each(|number| _ = room.publish(format!("{name}{number}"))))
    }

    /// What was published behind number `seq`.
    pub(super) fn published(&self, seq: u64) -> Vec<String> {
        let behind = |message: &Arc<_>| -> Option<String> {
            let message: &switchboard_proto::Message = message;
            (message.id.seq > seq).then(|| String::from_utf8(message.payload.to_vec()).unwrap())
        };
        self.room.history(usize::MAX).iter().filter_map(behind).collect()
    }
}

pub(super) fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Everything until the end, by line; what is left of a connection that was reset does not count.
pub(super) async fn listen(mut reader: Reader) -> Vec<String> {
    let mut received = Vec::new();
    while let Some(bytes) = read(&mut reader).await {
        received.extend(bytes);
    }
    let text = String::from_utf8(received).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "a line in part: {text:?}");
    text.lines().map(str::to_owned).collect()
}

pub(super) async fn read(reader: &mut Reader) -> Option<Vec<u8>> {
    let mut bytes = [0; PIPE_BYTES];
    let read = poll_fn(|cx| {
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(reader.poll_read(cx, &mut buffer))?;
        std::task::Poll::Ready(std::io::Result::Ok(buffer.filled().to_vec()))
    });
    read.await.ok().filter(|bytes| !bytes.is_empty())
}

pub(super) async fn say(writer: &mut Writer, text: &str) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let count = poll_fn(|cx| writer.poll_write(cx, &[IoSlice::new(rest)])).await.unwrap();
        rest = &rest[count..];
    }
}

pub(super) fn finish(writer: &mut Writer) {
    let mut noop = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(writer.poll_shutdown(&mut noop).is_ready(), "a pipe shuts down at once");
}
