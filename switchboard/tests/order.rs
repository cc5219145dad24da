//! One order for everybody, under load: many publishers and members on all workers of two servers, over TCP and Unix
//! sockets, while members come, go, come back and stop reading.
//!
//! Every member's sequence is without a gap, or a notice says what is missing; nobody sees two orders; a join and a leave
//! are points in the order. What is drawn at random follows from `ORDER_SEED`, which each run prints; which
//! thread is first does not.

use crate::harness::account::Account;
use crate::harness::random::{Random, seed};
use crate::harness::seat::{Hearing, Order, seat};
use crate::harness::served::Served;
use parking_lot::Mutex;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use switchboard::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

const TALKERS: u64 = 16;
/// Each talker's, in each phase.
const MESSAGES: u64 = 60;
const PHASES: usize = 3;
const CHURNERS: u64 = 24;
const SLOW: usize = 12;
/// Much longer than a run takes: nothing may wait for ever.
const DEADLINE: Duration = Duration::from_mins(2);

#[tokio::test]
async fn everybody_sees_one_order_with_1_worker() {
    timeout(DEADLINE, crowd(1)).await.expect("the crowd finishes");
}

#[tokio::test]
async fn everybody_sees_one_order_with_4_workers() {
    timeout(DEADLINE, crowd(4)).await.expect("the crowd finishes");
}

async fn crowd(workers: usize) {
    let mut random = Random::new(seed("ORDER_SEED"));
    let place = Place::open(workers).await;
    let mut crowd = JoinSet::new();
    let phases = Arc::new(Phases::new());
    for number in 0..SLOW {
        // Each of them over each transport: a Unix socket's buffers hold least.
        let url = place.tight[number % place.tight.len()].clone();
        let overflow = ["drop-oldest", "drop-newest", "latest"][number % 3];
        crowd.spawn(slow(place.clone(), Arc::clone(&phases), url, overflow));
    }
    for number in 0..TALKERS {
        crowd.spawn(talker(place.clone(), Arc::clone(&phases), random.fork(), number));
    }
    for _ in 0..CHURNERS {
        crowd.spawn(churner(place.clone(), Arc::clone(&phases), random.fork()));
    }
    let mut all = Told::default();
    while let Some(told) = crowd.join_next().await {
        all.add(&told.unwrap());
    }
    let published = TALKERS * MESSAGES * PHASES as u64;
    assert_eq!(place.room.last_id().seq, published);
    assert_eq!(place.order.lock().len() as u64, published, "somebody has heard each");
    println!("{all:?} of {published} published");
    // What the test is about did happen.
    assert!(all.lost > 0 && all.gaps > 0, "nobody was slow: {all:?}");
    assert!(all.joins > 2 * CHURNERS && all.returns > CHURNERS, "nobody came and went: {all:?}");
    place.close().await;
}

/// What members were told and did, summed up.
#[derive(Debug, Default)]
struct Told {
    got: u64,
    lost: u64,
    gaps: u64,
    joins: u64,
    returns: u64,
}

impl Told {
    fn add(&mut self, other: &Self) {
        self.got += other.got;
        self.lost += other.lost;
        self.gaps += other.gaps;
        self.joins += other.joins;
        self.returns += other.returns;
    }
}

// The server's side.

/// One hub on two servers: at the second one outboxes are small.
#[derive(Clone)]
struct Place {
    room: Room,
    ample: Vec<String>,
    tight: Vec<String>,
    servers: Arc<Mutex<Vec<Served>>>,
    order: Order,
}

impl Place {
    async fn open(workers: usize) -> Self {
        let hub = Hub::new();
        let room = hub.room("lobby").unwrap();
        let mut servers = Vec::new();
        let (tight, ample) = (Limits { outbox_frames: 48, ..Limits::default() }, Limits::default());
        let mut urls = Vec::new();
        for (index, limits) in [ample, tight].into_iter().enumerate() {
            let path = socket_path(workers, index);
            let handler = {
                let (hub, room) = (hub.clone(), room.clone());
                move |conn: Connection<Lines>| seat(conn, hub.clone(), room.clone())
            };
            let server = Server::new().workers(workers).limits(limits).tcp("127.0.0.1:0", handler.clone());
            let served = Served::start(server.unix(&path, handler)).await;
            urls.push(served.urls.clone());
            servers.push(served);
        }
        let tight = urls.pop().unwrap();
        let ample = urls.pop().unwrap();
        Self { room, ample, tight, servers: Arc::new(Mutex::new(servers)), order: Arc::default() }
    }

    async fn close(&self) {
        let servers = std::mem::take(&mut *self.servers.lock());
        for served in servers {
            assert_eq!(served.stop().await.aborted, 0, "everybody had left");
        }
    }
}

fn socket_path(workers: usize, index: usize) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("order-{}-{workers}-{index}.sock", std::process::id()))
}

// The members' side.

/// Keeps everybody at the same part of the play.
struct Phases {
    start: Barrier,
    published: Barrier,
    /// How many phases all talkers have finished, and the number of the last message then.
    finished: watch::Sender<(usize, u64)>,
}

impl Phases {
    fn new() -> Self {
        Self {
            start: Barrier::new(TALKERS as usize + SLOW),
            published: Barrier::new(TALKERS as usize),
            finished: watch::Sender::new((0, 0)),
        }
    }

    /// The last message, once so many phases are over.
    async fn finished(&self, phases: usize) -> u64 {
        self.finished.subscribe().wait_for(|(finished, _)| *finished >= phases).await.unwrap().1
    }

    fn are_over(&self) -> bool {
        self.finished.borrow().0 == PHASES
    }
}

/// Publishes, and gets everything that others publish.
async fn talker(place: Place, phases: Arc<Phases>, mut random: Random, number: u64) -> Told {
    let mut member = Member::connect(&place, random.pick::<String>(&place.ample)).await;
    member.join("join").await;
    let mut said = 0;
    for phase in 1..=PHASES {
        phases.start.wait().await;
        let until = said + MESSAGES;
        while said < until {
            let burst = random.within(1..9).min(until - said);
            let mut lines = String::new();
            for _ in 0..burst {
                let padding = "x".repeat(random.within(0..1500) as usize);
                writeln!(lines, "{number}:{said}:{padding}").unwrap();
                said += 1;
            }
            member.send(&lines).await;
            while member.hearing.published < said {
                member.hear().await;
            }
        }
        if phases.published.wait().await.is_leader() {
            phases.finished.send_replace((phase, place.room.last_id().seq));
        }
    }
    member.finish(place.room.last_id().seq).await
}

/// Reads nothing while a phase lasts, and then all that is left of it.
async fn slow(place: Place, phases: Arc<Phases>, url: String, overflow: &str) -> Told {
    let mut member = Member::connect(&place, &url).await;
    member.join(&format!("join {overflow}")).await;
    for phase in 1..=PHASES {
        phases.start.wait().await;
        let last = phases.finished(phase).await;
        while member.hearing.account.up_to() < last {
            member.hear().await;
        }
        assert_eq!(member.hearing.account.up_to(), last, "{overflow}");
    }
    member.finish(place.room.last_id().seq).await
}

/// Joins, listens for a while, leaves, and joins again, or comes back on another connection to where it was.
async fn churner(place: Place, phases: Arc<Phases>, mut random: Random) -> Told {
    let mut member = Member::connect(&place, random.pick::<String>(&place.ample)).await;
    let mut finished = phases.finished.subscribe();
    member.join("join").await;
    while !phases.are_over() {
        for _ in 0..random.within(1..200) {
            tokio::select! {
                biased;
                over = finished.wait_for(|(phases, _)| *phases == PHASES) => { over.unwrap(); break }
                () = member.hear() => {}
            }
        }
        if random.one_in(2) {
            member.command("leave").await;
            member.join("join").await;
        } else {
            member = member.come_back(&mut random).await;
        }
    }
    let last = place.room.last_id().seq;
    member.finish(last).await
}

type Heard = tokio::io::Lines<BufReader<Box<dyn AsyncRead + Unpin + Send>>>;
type Input = Box<dyn AsyncWrite + Unpin + Send>;

/// One member's connection, and what it is told there.
struct Member {
    lines: Heard,
    input: Input,
    place: Place,
    hearing: Hearing,
    told: Told,
}

impl Member {
    async fn connect(place: &Place, url: &str) -> Self {
        let (lines, input) = open(url).await;
        let hearing = Hearing::new(&place.order);
        Self { lines, input, place: place.clone(), hearing, told: Told::default() }
    }

    async fn send(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).await.unwrap();
    }

    /// Joins, as somebody who knows nothing.
    async fn join(&mut self, command: &str) {
        self.hearing.forget();
        self.command(command).await;
        self.told.joins += 1;
    }

    async fn command(&mut self, command: &str) {
        self.hearing.answered = false;
        self.send(&format!("{command}\n")).await;
        while !self.hearing.answered {
            self.hear().await;
        }
    }

    /// Comes back on another connection to where it was, and is told what it missed, as far as the room still has it.
    async fn come_back(mut self, random: &mut Random) -> Self {
        self.end().await;
        let since = self.hearing.resume(self.place.room.last_id().epoch);
        (self.lines, self.input) = open(random.pick::<String>(&self.place.ample)).await;
        self.command(&format!("join {since}")).await;
        self.told.returns += 1;
        self
    }

    /// Is there until the end, and must have been told everything.
    async fn finish(mut self, last: u64) -> Told {
        self.end().await;
        self.hearing.account.close(last);
        let Account { got, lost, gaps, .. } = self.hearing.account;
        Told { got: self.hearing.got + got, lost, gaps, ..self.told }
    }

    /// Finishes sending, and hears the rest.
    async fn end(&mut self) {
        self.input.shutdown().await.unwrap();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.hearing.hear(&line);
        }
        self.hearing.close_past();
    }

    async fn hear(&mut self) {
        let line = self.lines.next_line().await.unwrap().expect("the connection stays");
        self.hearing.hear(&line);
    }
}

/// Both directions of a new connection.
async fn open(url: &str) -> (Heard, Input) {
    let (scheme, address) = url.split_once("://").unwrap();
    if scheme == "unix" {
        let (output, input) = UnixStream::connect(address).await.unwrap().into_split();
        return (BufReader::new(Box::new(output) as _).lines(), Box::new(input));
    }
    let (output, input) = TcpStream::connect(address).await.unwrap().into_split();
    (BufReader::new(Box::new(output) as _).lines(), Box::new(input))
}
