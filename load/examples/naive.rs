//! What a load generator costs that is written the usual way: a task for each connection, a write for each message, a line at a time.
//!
//! Only to measure `switchboard bench` against, by `scripts/compare generator`:
//! `cargo run --release -p switchboard-load --example naive -- 127.0.0.1:8080 50 16 5` keeps 16 lines in flight on each of 50
//! connections for 5 s, on one thread, and verifies each reply. Prints JSON, of which the fields are `switchboard bench`'s.

#![allow(clippy::print_stdout, reason = "its result is what it prints")]

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Error> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, connections, in_flight, seconds] = &arguments[..] else {
        return Err("ADDRESS CONNECTIONS IN_FLIGHT SECONDS".into());
    };
    let seconds: f64 = seconds.parse()?;
    let Loaded { replies, cpu } = load(address, connections.parse()?, in_flight.parse()?, seconds)?;
    let result = serde_json::json!({
        "received_per_s": replies as f64 / seconds,
        "generator": { "threads": 1, "busiest_share": cpu / seconds, "cpu_us_per_message": cpu * 1e6 / replies as f64 },
    });
    println!("{result}");
    Ok(())
}

pub(crate) struct Loaded {
    pub(crate) replies: u64,
    /// Seconds of this thread.
    pub(crate) cpu: f64,
}

/// Loads a server from this thread for so many seconds.
pub(crate) fn load(address: &str, connections: usize, in_flight: usize, seconds: f64) -> Result<Loaded, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let replies = runtime.block_on(async {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let mut tasks = JoinSet::new();
        for connection in 0..connections {
            tasks.spawn(converse(address.to_owned(), connection, in_flight, end));
        }
        let mut replies: u64 = 0;
        while let Some(done) = tasks.join_next().await {
            replies += done??;
        }
        Ok::<_, Error>(replies)
    })?;
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let cpu = (usage.user_time() + usage.system_time()).num_nanoseconds() as f64 / 1e9;
    Ok(Loaded { replies, cpu })
}

/// Keeps so many lines in flight until the end, and counts the replies.
async fn converse(address: String, connection: usize, in_flight: usize, end: Instant) -> Result<u64, Error> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let message = |number: u64| format!("{connection:08x}{number:08x}{:x<48}\n", "");
    let mut sent = 0;
    while sent < in_flight as u64 {
        write.write_all(message(sent).as_bytes()).await?;
        sent += 1;
    }
    let mut replies = 0;
    while Instant::now() < end {
        let line = lines.next_line().await?.ok_or("closed")?;
        if !line.ends_with(message(replies).trim_end()) {
            return Err(format!("not what was sent: {line}").into());
        }
        replies += 1;
        write.write_all(message(sent).as_bytes()).await?;
        sent += 1;
    }
    Ok(replies)
}
