//! What a client of HTTP has its connection hold counts towards the memory budget, whoever holds it: so each test has clients
//! hold something, of which no more than the budget may be left.

use crate::harness::alone::{in_a_process_of_its_own, resident};
use crate::harness::http_peer::{answer, ask, frame};
use crate::harness::http2_client::{Client, Whole, get};
use crate::harness::http2_frames::{DATA, END_HEADERS, HEADERS, POST, hello, http2};
use crate::harness::patience::{secs, until};
use crate::harness::served::{Served, echo};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use switchboard::http::{Request, Response};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{Limits, Memory};
use tokio::time::Instant;

const MEMORY: usize = 1 << 20;

/// A server with a budget of 1 MiB.
fn serve<F: Future<Output = Response> + Send + 'static>(
    service: impl Fn(Request) -> F + Send + Sync + 'static,
) -> Served {
    let limits = Limits { memory_bytes: MEMORY, ..Limits::default() };
    Served::in_memory(Server::new().limits(limits), |server, memory| server.listen_http(memory, service))
}

async fn upload(mut request: Request) -> Response {
    match request.body(64 << 10).await {
        Ok(body) => http::Response::new(body).into(),
        Err(error) => error.into(),
    }
}

/// How many of `count` clients are left once each has sent `bytes`.
async fn left(server: &Served, count: usize, bytes: &[u8]) -> usize {
    let mut peers: Vec<_> = (0..count).map(|_| server.connect()).collect();
    for peer in &mut peers {
        for piece in bytes.chunks(16 << 10) {
            peer.send(piece).await;
            tokio::task::yield_now().await;
        }
    }
    tokio::time::sleep(secs(1)).await;
    server.handle.connections().len()
}

/// As much as was made room for, and what hyper reads into.
#[tokio::test(start_paused = true)]
async fn a_body_counts_with_the_room_that_it_has() {
    let server = serve(upload);
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let body = format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}1\r\nx\r\n");
    let left = left(&server, 40, body.as_bytes()).await;
    // 64 KiB of room for 32,769 bytes, and a buffer of 8 KiB or more.
    assert!((8..=14).contains(&left), "{left} connections with 72 KiB or more are within 1 MiB");
}

/// What was announced and does not come takes no room.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_announced_only_takes_no_room() {
    let server = serve(upload);
    let left = left(&server, 40, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\nx").await;
    assert_eq!(left, 40);
}

/// A request without a body costs what answers it, and over HTTP/2 many of them cost many times that, with the task of each.
#[tokio::test(start_paused = true)]
async fn a_request_counts_with_what_answers_it() {
    let server = serve(|request| async move {
        let kept = [0_u8; 4 << 10];
        std::future::pending::<()>().await;
        drop(request);
        http::Response::new(kept.to_vec()).into()
    });
    let mut requests = hello();
    for stream in (1..120).step_by(2) {
        requests.extend(http2(HEADERS, END_HEADERS, stream, POST));
    }
    let left = left(&server, 4, &requests).await;
    assert_eq!(left, 1, "each has sixty requests, of more than 10 KiB");
}

/// Requests that are being answered: now, and at most.
#[derive(Default)]
struct Answering(AtomicUsize, AtomicUsize);

struct Answered(Arc<Answering>);

impl Answered {
    fn begin(answering: &Arc<Answering>) -> Self {
        let now = answering.0.fetch_add(1, Ordering::Relaxed) + 1;
        answering.1.fetch_max(now, Ordering::Relaxed);
        Self(Arc::clone(answering))
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// hyper has read all that there is before it begins the first request, of which a client may send a hundred at a time.
#[tokio::test(start_paused = true)]
async fn requests_count_before_they_are_begun() {
    let answering = Arc::new(Answering::default());
    let server = {
        let answering = Arc::clone(&answering);
        serve(move |request| {
            let answered = Answered::begin(&answering);
            async move {
                std::future::pending::<()>().await;
                drop((request, answered));
                http::StatusCode::OK.into()
            }
        })
    };
    // Each with a field of 200 bytes.
    let head = [POST, b"\x00\x01x\x7f\x49", &[b'y'; 200]].concat();
    let requests: Vec<_> = (1..200).step_by(2).map(|stream| http2(HEADERS, END_HEADERS, stream, &head)).collect();
    left(&server, 40, &[hello(), requests.concat()].concat()).await;
    // The budget is for 70. One client may exceed it by what it sends at once, and others that come meanwhile begin a few.
    let most = answering.1.load(Ordering::Relaxed);
    assert!((50..225).contains(&most), "{most} were begun of 4,000");
}

async fn discard(mut conn: Connection<WebSocket>) -> Result {
    while conn.recv().await?.is_some() {}
    Ok(())
}

/// What has come of bodies that no service reads, and of WebSockets, waits within hyper.
#[tokio::test(start_paused = true)]
async fn what_nobody_has_taken_counts() {
    let server = serve(|request| async move {
        std::future::pending::<()>().await;
        drop(request);
        http::StatusCode::OK.into()
    });
    let mut peers: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for peer in &mut peers {
        peer.send(hello()).await;
        tokio::time::sleep(secs(1)).await;
        for stream in (1..20).step_by(2) {
            peer.send(http2(HEADERS, END_HEADERS, stream, POST)).await;
            peer.send(http2(DATA, 0, stream, &[0; 15_000]).repeat(4)).await;
        }
    }
    tokio::time::sleep(secs(1)).await;
    assert_eq!(server.handle.connections().len(), 1, "each has sent 600,000 bytes");
}

/// Whether it was read, passed over, or taken back: beside a request that goes on for long.
#[tokio::test(start_paused = true)]
async fn what_was_taken_counts_no_more() {
    let server = serve(|mut request: Request| async move {
        match request.uri().path() {
            "/wait" => std::future::pending().await,
            "/ws" => request.upgrade(&[], discard),
            "/read" => request.body(64 << 10).await.map_or_else(Response::from, |_| http::StatusCode::OK.into()),
            _ => http::StatusCode::NOT_FOUND.into(),
        }
    });
    let mut client = Client::connect(&server).await;
    let waiting = client.begin(get("/wait"));
    let post = |path| http::Request::post(format!("http://x{path}")).body(Whole(vec![0; 60_000].into())).unwrap();
    for _ in 0..40 {
        assert_eq!(client.send(post("/read")).await.unwrap().status(), 200);
        assert_eq!(client.send(post("/")).await.unwrap().status(), 404);
        let taken_back = client.begin(post("/wait"));
        tokio::time::sleep(secs(1)).await;
        taken_back.abort();
    }
    let mut socket = client.websocket("/ws").await.unwrap();
    for _ in 0..40 {
        socket.send(&frame(0x82, &vec![0; 60_000])).await;
    }
    tokio::time::sleep(secs(1)).await;
    assert!(!waiting.is_finished() && !client.closed.is_finished(), "its connection was closed");
}

/// A few bytes of requests have a hundred times as many of answers: those who send them while memory is short are not closed for
/// what nobody had to make.
#[tokio::test(start_paused = true)]
async fn answers_wait_while_memory_is_short() {
    const CLIENTS: usize = 100;
    const REQUESTS: usize = 60;
    let server = serve(|_| async { http::Response::new(vec![b'x'; 4 << 10]).into() });
    let mut peers: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    let requests = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(REQUESTS - 1);
    for peer in &mut peers {
        peer.send(format!("{requests}GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    }
    let reading: tokio::task::JoinSet<_> = peers.into_iter().map(|mut peer| async move { peer.rest().await }).collect();
    let is_answered = |read: &std::io::Result<Vec<u8>>| matches!(read, Ok(bytes) if bytes.len() > REQUESTS * (4 << 10));
    let answered = reading.join_all().await.iter().filter(|read| is_answered(read)).count();
    assert!(answered > CLIENTS / 3, "{answered} of {CLIENTS} that ask for 240 KiB each");
}

/// However many others wait as well, who use up what memory there is each time.
#[tokio::test(start_paused = true)]
async fn a_client_that_comes_while_memory_is_short_waits_once() {
    let lines = Memory::new();
    let limits = Limits { memory_bytes: MEMORY, ..Limits::default() };
    let server = Server::new().limits(limits).memory(&lines, echo);
    let server = Served::in_memory(server, |server, memory| server.listen_http(memory, upload));
    let mut crowd: Vec<_> = (0..200).map(|_| Peer::connect(&lines)).collect();
    for peer in &mut crowd {
        peer.send("x".repeat(60_000)).await;
    }
    let closed = || server.handle.metrics().closed(CloseReason::OutOfMemory);
    until(|| closed() > 0).await;
    let mut client = server.connect();
    assert_eq!(ask(&mut client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.status, 200);
    assert!(closed() < 60, "{} of those in the crowd came first", closed());
}

/// Memory is short while the time for two bodies on one connection ends: both requests are answered.
#[tokio::test(start_paused = true)]
async fn requests_beside_each_other_that_wait_for_memory_all_go_on() {
    let (lines, answered) = (Memory::new(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&answered);
    let service = move |mut request: Request| {
        let count = Arc::clone(&count);
        async move {
            let body = request.body(64 << 10).await;
            count.fetch_add(1, Ordering::Relaxed);
            body.map_or_else(Response::from, |_| http::StatusCode::OK.into())
        }
    };
    let limits = Limits { memory_bytes: MEMORY, ..Limits::default() };
    let server = Server::new().limits(limits).memory(&lines, echo);
    let server = Served::in_memory(server, |server, memory| server.listen_http(memory, service));
    let mut client = server.connect();
    client.send(hello()).await;
    for stream in [1, 3] {
        client.send(http2(HEADERS, END_HEADERS, stream, POST)).await;
        client.send(http2(DATA, 0, stream, &[0; 10_000])).await;
    }
    let mut crowd: Vec<_> = (0..100).map(|_| Peer::connect(&lines)).collect();
    tokio::time::sleep(secs(10)).await;
    for peer in &mut crowd {
        peer.send("x".repeat(60_000)).await;
    }
    tokio::time::sleep(secs(5)).await;
    assert!(server.handle.metrics().closed(CloseReason::OutOfMemory) > 50);
    assert_eq!(answered.load(Ordering::Relaxed), 2);
}

/// A client that asked before, and may ask again, costs as much as one that never asked.
#[test]
fn a_client_that_is_idle_owns_no_buffer() {
    in_a_process_of_its_own(a_client_that_is_idle_owns_no_buffer, async {
        const CLIENTS: usize = 2_000;
        tokio::time::pause();
        let server = Served::http(upload);
        let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut peers: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
        for peer in &mut peers[..100] {
            ask(peer, get).await;
        }
        let before = resident();
        for peer in &mut peers {
            ask(peer, get).await;
        }
        let grown = resident().saturating_sub(before) / CLIENTS;
        assert!(grown < 4 << 10, "{grown} bytes are kept for each");
        for peer in &mut peers {
            ask(peer, get).await;
        }
    });
}

/// Of a head that came in part with the request before it nothing more may ever come.
#[tokio::test(start_paused = true)]
async fn a_head_that_began_with_the_request_before_it_has_its_time() {
    let server = Served::http(upload);
    let mut peer = server.connect();
    let received = ask(&mut peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT").await;
    assert_eq!(received.status, 200);
    let began = Instant::now();
    assert_eq!(answer(&mut peer).await.status, 408);
    assert!((secs(10)..secs(13)).contains(&began.elapsed()), "{:?}", began.elapsed());
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::HandshakeTimeout);
    // What comes in time is answered.
    let mut peer = server.connect();
    ask(&mut peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT").await;
    tokio::time::sleep(secs(8)).await;
    assert_eq!(ask(&mut peer, "TP/1.1\r\nHost: x\r\n\r\n").await.status, 200);
}
