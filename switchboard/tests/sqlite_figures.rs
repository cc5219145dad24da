//! What rooms cost that SQLite keeps, for docs/durability.md: each runs what it is held against in turn with it, so that a machine that does
//! something else spoils both alike. Run one alone, optimised, with `--ignored --nocapture`.

use crate::sqlite_log::Folder;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use switchboard::log::{PageLimit, RoomLog};
use switchboard::{Hub, HubLimits, MessageId, Room, RoomOptions};

const ROOMS: usize = 50;
const PAYLOAD: [u8; 128] = [b'x'; 128];

/// How long each of two things is measured before the other has its turn, and how often.
const TURN: Duration = Duration::from_millis(400);
const TURNS: usize = 12;

fn rooms(hub: &Hub) -> Vec<Room> {
    let options = RoomOptions { history_messages: Some(100_000), ..RoomOptions::default() };
    (0..ROOMS).map(|number| hub.room_with(&format!("r{number}").parse().unwrap(), options).unwrap()).collect()
}

/// CPU time of this process.
fn cpu() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let of = |thread: std::io::Result<std::fs::DirEntry>| -> u64 {
        let path = thread.unwrap().path().join("schedstat");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
    };
    Duration::from_nanos(threads.map(of).sum())
}

/// What a turn or several have come to.
#[derive(Default)]
struct Taken {
    latencies: Vec<Duration>,
    wall: Duration,
    cpu: Duration,
    /// Of a log.
    commits: u64,
}

impl Taken {
    fn percentile(&mut self, percent: usize) -> f64 {
        self.latencies.sort_unstable();
        self.latencies[(self.latencies.len() * percent / 100).min(self.latencies.len() - 1)].as_secs_f64() * 1e3
    }

    fn a_second(&self) -> f64 {
        self.latencies.len() as f64 / self.wall.as_secs_f64()
    }

    fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.latencies.len() as f64
    }
}

/// So many publishers, each with one message under way.
fn publish(rooms: &[Room], publishers: usize, taken: &mut Taken) {
    let end = Instant::now() + TURN;
    let wall = measure(publishers, taken, |number| {
        let room = rooms[number % rooms.len()].clone();
        async move {
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let published = Instant::now();
                room.publish(PAYLOAD).await.unwrap();
                latencies.push(published.elapsed());
                // Where nothing waits for a disk, others have their turn as well.
                tokio::task::yield_now().await;
            }
            latencies
        }
    });
    taken.wall += wall;
}

/// So many messages a second from 100 publishers, whether those before are there or not: each is late from when it was due.
fn publish_at(rate: u32, rooms: &[Room], taken: &mut Taken) {
    let publishers = 100;
    let between = Duration::from_secs(1) * publishers / rate;
    let each = (TURN.as_nanos() / between.as_nanos()) as u32;
    let _ = measure(publishers as usize, taken, |number| {
        let room = rooms[number % rooms.len()].clone();
        async move {
            let first = tokio::time::Instant::now() + between * number as u32 / publishers;
            let (mut due, mut published) = (tokio::time::interval_at(first, between), tokio::task::JoinSet::new());
            for _ in 0..each {
                let (room, due) = (room.clone(), due.tick().await);
                published.spawn(async move { room.publish(PAYLOAD).await.map(|_| due.elapsed()).unwrap() });
            }
            published.join_all().await
        }
    });
    // What is late of it is told by the latencies.
    taken.wall += between * each;
}

/// Runs so many publishers, each of which gives how long its messages took, and says how long that was.
fn measure<F>(publishers: usize, taken: &mut Taken, publisher: impl Fn(usize) -> F) -> Duration
where
    F: Future<Output = Vec<Duration>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (began, used) = (Instant::now(), cpu());
    let latencies = runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..publishers {
            tasks.spawn(publisher(number));
        }
        tasks.join_all().await.concat()
    });
    taken.cpu += cpu().saturating_sub(used);
    taken.latencies.extend(latencies);
    began.elapsed()
}

/// A commit of one row, and nothing else.
fn commit(connection: &rusqlite::Connection, next: &mut i64, taken: &mut Taken) {
    let (began, end) = (Instant::now(), Instant::now() + TURN);
    let mut insert = connection.prepare("INSERT INTO messages VALUES (1, ?, 1700000000000, NULL, NULL, ?, 0)").unwrap();
    while Instant::now() < end {
        let committed = Instant::now();
        insert.execute((*next, &PAYLOAD[..])).unwrap();
        taken.latencies.push(committed.elapsed());
        *next += 1;
    }
    taken.wall += began.elapsed();
}

fn bare(folder: &Folder) -> rusqlite::Connection {
    std::fs::create_dir_all(&folder.0).unwrap();
    let connection = rusqlite::Connection::open(folder.0.join("bare.db")).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    let table = "CREATE TABLE messages (room INTEGER NOT NULL, seq INTEGER NOT NULL, time INTEGER NOT NULL, sender TEXT, user TEXT, \
        payload BLOB NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (room, seq)) STRICT, WITHOUT ROWID";
    connection.execute_batch(table).unwrap();
    connection
}

#[test]
#[ignore = "measures the disk for some seconds: run it alone, optimised, with --nocapture"]
fn publishers() {
    let (folder, other) = (Folder::new("figures-publishers"), Folder::new("figures-bare"));
    let log = Arc::new(folder.open());
    let durable = Hub::builder().log(Arc::clone(&log) as Arc<dyn RoomLog>).build().unwrap();
    let commits = || log.metrics().commits.count;
    let (durable, volatile, bare) = (rooms(&durable), rooms(&Hub::new()), bare(&other));
    let mut next = 1;
    let [mut committed, mut one, mut hundred, mut two, mut thousand, mut lone, mut crowd] =
        std::array::from_fn(|_| Taken::default());
    let together = |publishers, taken: &mut Taken| {
        let before = commits();
        publish(&durable, publishers, taken);
        taken.commits += commits() - before;
    };
    for _ in 0..TURNS {
        commit(&bare, &mut next, &mut committed);
        together(1, &mut one);
        together(100, &mut hundred);
        together(200, &mut two);
        publish(&volatile, 100, &mut lone);
        together(1000, &mut thousand);
        publish(&volatile, 1000, &mut crowd);
    }
    println!("| what | a second | p50 / p99 ms | CPU each | a commit | p99 in commits |\n|---|---|---|---|---|---|");
    for (what, taken) in [
        ("bare commits of one row", &mut committed),
        ("1 publisher", &mut one),
        ("100 publishers", &mut hundred),
        ("200 publishers", &mut two),
        ("1,000 publishers", &mut thousand),
        ("100 publishers, not durable", &mut lone),
        ("1,000 publishers, not durable", &mut crowd),
    ] {
        let (p50, p99) = (taken.percentile(50), taken.percentile(99));
        let (a_second, cpu) = (taken.a_second(), taken.cpu_each());
        let a_commit = taken.latencies.len() as f64 / taken.commits.max(1) as f64;
        // Of those that none waits for there are none.
        let in_commits = p99 * taken.commits as f64 / (taken.wall.as_secs_f64() * 1e3);
        println!("| {what} | {a_second:.0} | {p50:.2} / {p99:.2} | {cpu:.1} µs | {a_commit:.0} | {in_commits:.1} |");
    }
    let ratio = one.percentile(50) / committed.percentile(50);
    let above = [&hundred, &two].map(|taken| taken.cpu_each() - lone.cpu_each());
    println!(
        "one publisher: {ratio:.2} x a bare commit (p50); CPU above one that is not durable, of 100: {:.1} µs, of 200: {:.1} µs",
        above[0], above[1]
    );
}

#[test]
#[ignore = "writes gigabytes: run it alone, optimised, with --nocapture; FIGURES_ROOMS=N for fewer rooms"]
fn starts() {
    let count: u64 = std::env::var("FIGURES_ROOMS").map_or(100_000, |count| count.parse().unwrap());
    let folder = Folder::new("figures-starts");
    drop(folder.open());
    let database = rusqlite::Connection::open(folder.0.join("history.db")).unwrap();
    let made = format!(
        "PRAGMA synchronous = OFF; BEGIN;
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
        INSERT INTO rooms (id, name, epoch) SELECT i, 'room-' || i, '7' FROM n;
        WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count} * 256 - 1)
        INSERT INTO filed SELECT i / 256 + 1, i % 256 + 1, 1700000000000, 'guest-1', NULL, zeroblob(64), 64 * (i % 256 + 1) FROM n;
        COMMIT; PRAGMA wal_checkpoint(TRUNCATE);"
    );
    database.execute_batch(&made).unwrap();
    drop(database);
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().split(' ').next().unwrap().parse::<u64>().unwrap() >> 10
    };
    let (began, before) = (Instant::now(), resident());
    let used = cpu();
    let log = Arc::new(folder.open());
    let opened = began.elapsed();
    let hub = Hub::builder()
        .limits(HubLimits { rooms: count as usize + 1, ..HubLimits::default() })
        .log(log)
        .build()
        .unwrap();
    let (took, used) = (began.elapsed(), cpu().saturating_sub(used));
    println!(
        "{count} rooms of 256: opened in {opened:.1?}, served after {took:.1?} ({used:.1?} CPU), {} messages in memory, {} MiB more",
        hub.metrics().history_messages,
        resident() - before
    );
}

/// What somebody reads in a second, at most: pages of 16 KiB.
const PAGE_EVERY: Duration = Duration::from_millis(1);

/// What others write meanwhile.
const WRITTEN_A_SECOND: u32 = 10_000;

/// Reads a whole past, a page at a time, again and again.
fn read(room: &Room, is_over: &AtomicBool) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let limit = PageLimit { messages: 256, bytes: 16 << 10 };
    let mut pages = 0;
    while !is_over.load(Ordering::Relaxed) {
        let mut behind = MessageId { seq: 0, ..room.last_id() };
        while let Some(last) = runtime.block_on(room.past(behind, limit)).unwrap().messages.last() {
            behind = last.id;
            pages += 1;
            std::thread::sleep(PAGE_EVERY);
            if is_over.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    pages
}

#[test]
#[ignore = "measures the disk for some seconds: run it alone, optimised, with --nocapture"]
fn pages_while_others_write() {
    let folder = Folder::new("figures-pages");
    let hub = Hub::builder().log(Arc::new(folder.open())).build().unwrap();
    let rooms = rooms(&hub);
    let [mut past, mut alone, mut beside] = std::array::from_fn(|_| Taken::default());
    for _ in 0..TURNS {
        publish(&rooms[..1], 1000, &mut past);
    }
    let mut pages = 0;
    for _ in 0..TURNS {
        publish_at(WRITTEN_A_SECOND, &rooms[1..], &mut alone);
        let is_over = AtomicBool::new(false);
        pages += std::thread::scope(|scope| {
            let reading = scope.spawn(|| read(&rooms[0], &is_over));
            publish_at(WRITTEN_A_SECOND, &rooms[1..], &mut beside);
            is_over.store(true, Ordering::Relaxed);
            reading.join().unwrap()
        });
    }
    let (without, with) = (alone.percentile(99), beside.percentile(99));
    println!(
        "{} messages in the room that is read, {:.0} pages a second; writers' p99 {without:.2} ms alone ({:.0}/s), {with:.2} ms beside ({:.0}/s): {:.2} x",
        rooms[0].last_id().seq,
        pages as f64 / beside.wall.as_secs_f64(),
        alone.a_second(),
        beside.a_second(),
        with / without,
    );
}
