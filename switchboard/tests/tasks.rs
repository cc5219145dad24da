//! Tasks beside connections, which the drain owns; and what a connection tells of itself.

use crate::harness::mote::{door, stranger_of};
use crate::harness::patience::{patiently, until};
use crate::harness::served::{Served, address, echo};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ThreadId;
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::{Datagrams, Memory, Udp};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Sets a flag when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_what_a_connection_has_spawned() {
    let served = Served::in_memory(Server::new().grace(secs(30)), |server, memory| {
        server.memory(&memory, async |conn: Connection<Lines>| -> Result {
            conn.spawn(sleep(secs(20)));
            Ok(())
        })
    });
    let mut peer = served.connect();
    peer.finish();
    peer.closed().await;
    let began = Instant::now();
    served.handle.drain();
    let drained = served.drained.await.unwrap();
    assert_eq!((drained.aborted, began.elapsed().as_secs()), (0, 20));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_never_ends_is_aborted_after_the_grace_period() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Mutex::new(Some(Flag(Arc::clone(&dropped))));
    let served = Served::in_memory(Server::new().grace(secs(30)), |server, memory| {
        server.memory(&memory, move |conn: Connection<Lines>| {
            let flag = flag.lock().take();
            conn.spawn(async move {
                std::future::pending::<()>().await;
                drop(flag);
            });
            async { Ok::<_, switchboard::BoxError>(()) }
        })
    });
    let mut peer = served.connect();
    peer.finish();
    peer.closed().await;
    let (began, handle) = (Instant::now(), served.handle.clone());
    handle.drain();
    let drained = served.drained.await.unwrap();
    assert_eq!((drained.aborted, began.elapsed().as_secs()), (0, 30), "no connection was");
    assert!(dropped.load(Ordering::Relaxed));
    assert_eq!(handle.spawn(async { 1 }).await, None, "nothing runs after the end");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_task_ends_it_alone() {
    let (told, mut heard) = mpsc::channel(1);
    let served = Served::in_memory(Server::new(), |server, memory| {
        server.memory(&memory, move |mut conn: Connection<Lines>| {
            let told = told.clone();
            async move {
                let task = conn.spawn(async { panic!("as planted") });
                let spoilt: Option<()> = task.await;
                told.send(spoilt).await?;
                assert_eq!(conn.spawn(async { 7 }).await, Some(7));
                let hangs = conn.spawn(std::future::pending::<()>());
                hangs.abort();
                assert_eq!(hangs.await, None);
                while let Some(line) = conn.recv().await? {
                    conn.send(line).await?;
                }
                Ok::<_, switchboard::BoxError>(())
            }
        })
    });
    let mut peer = served.connect();
    assert_eq!(heard.recv().await, Some(None));
    peer.send("still here\n").await;
    assert_eq!(peer.line().await, "still here\n");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
    served.handle.drain();
    assert_eq!(served.drained.await.unwrap().elapsed, Duration::ZERO);
}

#[tokio::test]
async fn a_task_runs_on_its_connections_worker() {
    let (told, mut heard) = mpsc::channel::<(ThreadId, ThreadId)>(8);
    let handler = move |conn: Connection<Lines>| {
        let told = told.clone();
        async move {
            let own = std::thread::current().id();
            // Spawned from elsewhere.
            let task = std::thread::spawn(move || (conn.spawn(async { std::thread::current().id() }), conn));
            let (task, conn) = task.join().unwrap();
            told.send((own, task.await.unwrap())).await?;
            drop(conn);
            Ok::<_, switchboard::BoxError>(())
        }
    };
    let served = Served::start(Server::new().workers(4).tcp("127.0.0.1:0", handler)).await;
    for _ in 0..8 {
        drop(TcpStream::connect(served.address()).await.unwrap());
        let (own, spawned) = patiently(heard.recv()).await.unwrap();
        assert_eq!(own, spawned);
    }
    assert!(
        served.handle.spawn(async { std::thread::current().name().unwrap().starts_with("worker-") }).await.unwrap()
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_owns_tasks_of_its_own() {
    let (memory, server) = (Memory::new(), Server::new().grace(secs(30)));
    let handle = server.handle();
    let draining = handle.clone();
    let before = handle.spawn(async move {
        draining.draining().await;
        sleep(secs(3)).await;
        assert!(draining.is_draining());
    });
    let served = Served::over(&memory, server.memory(&memory, echo)).await;
    let within = handle.spawn(async { sleep(secs(2)).await });
    sleep(secs(10)).await;
    assert!(within.is_finished() && !before.is_finished());
    let began = Instant::now();
    handle.drain();
    served.drained.await.unwrap();
    assert_eq!((before.await, began.elapsed().as_secs()), (Some(()), 3));
}

#[tokio::test(start_paused = true)]
async fn what_is_spawned_ends_with_a_server_that_is_dropped_or_a_client_that_drains() {
    let dropped = Arc::new(AtomicBool::new(false));
    let served = Served::in_memory(Server::new(), |server, memory| server.memory(&memory, echo));
    let flag = Flag(Arc::clone(&dropped));
    drop(served.handle.spawn(async move {
        std::future::pending::<()>().await;
        drop(flag);
    }));
    let client = switchboard::Client::new().grace(secs(5));
    let conn: Connection<Lines> = client.memory(&served.memory).await.unwrap();
    let task = conn.spawn(std::future::pending::<()>());
    drop(conn);
    let began = Instant::now();
    client.drain().await;
    assert_eq!((task.await, began.elapsed().as_secs()), (None, 5));
    assert!(!dropped.load(Ordering::Relaxed));
    served.drained.abort();
    until(|| dropped.load(Ordering::Relaxed)).await;
}

/// Told by its first handler, in a line: the address of ours, its transport, and what went through.
async fn tell<C>(mut conn: Connection<C>) -> Result
where
    C: Codec<Frame: From<String>>,
{
    conn.recv().await?;
    let info = conn.info();
    assert_eq!((info.id, &info.peer, info.frames_in), (conn.id(), conn.peer(), 1));
    conn.send(format!("{:?} {} {}", conn.local_addr(), info.transport, info.bytes_in)).await?;
    Ok(())
}

#[tokio::test]
async fn a_connection_tells_which_address_of_ours_it_came_to() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let told = |address: SocketAddr, rest: &str| format!("{:?} {rest}", Some(address));
    let server = Server::new().workers(1).tcp("0.0.0.0:0", tell::<Lines>);
    let served = Served::start(server.udp_peers(Udp::new("0.0.0.0:0"), door, tell::<Datagrams>)).await;
    // Of all that it listens on, the one that was asked.
    let tcp = SocketAddr::from(([127, 0, 0, 2], served.address().port()));
    let mut peer = TcpStream::connect(tcp).await.unwrap();
    peer.write_all(b"hello\n").await.unwrap();
    let mut text = String::new();
    patiently(peer.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text.trim(), told(tcp, "tcp 6"));
    let udp = SocketAddr::from(([127, 0, 0, 1], address(&served.urls[1]).port()));
    let mote = stranger_of(udp).await;
    assert_eq!(mote.ask("open").await, told(udp, "udp 4"));
}
