//! What an answer costs before its client has taken it: of pages one, of a whole one its bytes for as long as the client goes
//! on making room for them.

use crate::harness::http_peer::answer;
use crate::harness::http2_client::{self, Client, piece, whole};
use crate::harness::patience::secs;
use crate::harness::served::Served;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use switchboard::http::{Request, Response};
use switchboard::{Limits, Server};

const PAGE: usize = 16 << 10;

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// A server of so many pages, and how many it has made.
fn paged(count: usize) -> (Served, Arc<AtomicUsize>) {
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let server = Served::http(move |_| {
        let counted = Arc::clone(&counted);
        let pages = (0..count).map(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            vec![b'-'; PAGE].into()
        });
        async move { Response::pages(http::Response::new(()), pages) }
    });
    (server, made)
}

#[tokio::test(start_paused = true)]
async fn pages_are_made_as_the_client_takes_them() {
    let (server, made) = paged(200);
    let mut peer = server.connect();
    peer.send(GET).await;
    tokio::time::sleep(secs(1)).await;
    // What the pipe and the outbox take, and one with hyper.
    assert!((1..=12).contains(&made.load(Ordering::Relaxed)), "{made:?}");
    let answer = String::from_utf8(peer.rest().await.unwrap()).unwrap();
    assert!(
        answer.contains("\r\ntransfer-encoding: chunked\r\n") && answer.ends_with("\r\n0\r\n\r\n"),
        "{answer:.200}"
    );
    let body = answer.split("\r\n").filter(|line| line.starts_with('-')).map(str::len).sum::<usize>();
    assert_eq!((body, made.load(Ordering::Relaxed)), (200 * PAGE, 200));
}

#[tokio::test(start_paused = true)]
async fn of_an_answer_to_head_no_page_is_made() {
    let (server, made) = paged(200);
    let mut peer = server.connect();
    peer.send(GET.replace("GET", "HEAD")).await;
    assert!(peer.rest().await.unwrap().ends_with(b"\r\n\r\n"));
    assert_eq!(made.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn pages_end_with_the_client() {
    let (server, made) = paged(200);
    let mut peer = server.connect();
    peer.send(GET).await;
    peer.bytes(100).await;
    drop(peer);
    server.left(0).await;
    assert!(made.load(Ordering::Relaxed) < 20, "{made:?}");
}

#[tokio::test(start_paused = true)]
async fn others_have_their_turn_between_two_pages() {
    let (server, made) = paged(10_000);
    let mut reader = server.connect();
    reader.send(GET).await;
    let mut other = server.connect();
    other.send(GET.replace("GET", "HEAD")).await;
    let reading = async {
        loop {
            reader.chunk().await.unwrap();
        }
    };
    tokio::select! {
        biased;
        received = answer(&mut other) => assert_eq!(received.status, 200),
        () = reading => unreachable!("it goes on"),
    }
    assert!(made.load(Ordering::Relaxed) < 20, "{made:?}");
}

#[tokio::test(start_paused = true)]
async fn pages_arrive_whole_over_http_2() {
    let (server, made) = paged(200);
    let mut client = Client::connect(&server).await;
    let body = whole(client.get("/").await.into_body()).await;
    assert_eq!((body.len(), made.load(Ordering::Relaxed)), (200 * PAGE, 200));
}

/// A hundred requests are a kilobyte, and what they ask for is made once there is room for it.
#[tokio::test(start_paused = true)]
async fn behind_closed_windows_a_few_pages_are_made_for_all_requests_together() {
    let (server, made) = paged(200);
    let mut peer = server.connect();
    // Settings with a window of nothing for each stream, and GET of / of http at x, in HPACK.
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0".to_vec();
    for stream in (1..200_u32).step_by(2) {
        hello.extend(b"\0\0\x06\x01\x05");
        hello.extend(stream.to_be_bytes());
        hello.extend(b"\x82\x84\x86\x41\x01x");
    }
    peer.send(hello).await;
    tokio::time::sleep(secs(1)).await;
    assert_eq!(made.load(Ordering::Relaxed), 4, "64 KiB");
    // Whoever makes no room is reset, and the others have theirs.
    tokio::time::sleep(secs(10)).await;
    assert_eq!(made.load(Ordering::Relaxed), 8);
}

/// A hundred answers beside each other, each of so many bytes.
async fn expect_a_hundred(client: &Client, bytes: usize) {
    let answers: Vec<_> = (0..100).map(|_| client.begin(http2_client::get("/"))).collect();
    let mut bodies = Vec::new();
    for answer in answers {
        bodies.push(http2_client::spawn(whole(answer.await.unwrap().unwrap().into_body())));
    }
    for body in bodies {
        assert_eq!(body.await.unwrap().len(), bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_answers_of_pages_come_beside_each_other() {
    let (server, made) = paged(5);
    let client = Client::connect(&server).await;
    expect_a_hundred(&client, 5 * PAGE).await;
    assert_eq!(made.load(Ordering::Relaxed), 500);
}

/// Bytes that say when they are gone.
struct Watched(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Watched {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The last bytes of an answer for which the client makes no room have the deadline of all others: they would hold the whole
/// of it for as long as the connection lasts.
#[tokio::test(start_paused = true)]
async fn what_is_left_of_an_answer_is_reset_as_all_of_it_would_be() {
    // In the middle of what hyper takes at once.
    const WINDOW: usize = (60 << 10) + 1_000;
    for left in [1, 50, 5_000] {
        let held = Arc::new(AtomicUsize::new(0));
        let known = Arc::clone(&held);
        let server = Served::http(move |request: Request| {
            let known = Arc::clone(&known);
            async move {
                if request.uri() != "/long" {
                    return Response::from(http::StatusCode::OK);
                }
                known.fetch_add(1, Ordering::Relaxed);
                http::Response::new(Bytes::from_owner(Watched(vec![b'-'; WINDOW + left], known))).into()
            }
        });
        let mut client = Client::with(&server, WINDOW as u32).await;
        let mut body = client.get("/long").await.into_body();
        for _ in 0..12 {
            assert_eq!(client.get("/").await.status(), 200, "others go on");
            tokio::time::sleep(secs(1)).await;
        }
        assert_eq!(held.load(Ordering::Relaxed), 0, "{left}");
        let end = loop {
            match piece(&mut body).await {
                Some(Ok(_)) => {}
                end => break end,
            }
        };
        assert!(end.is_some_and(|end| end.is_err()), "{left}");
        assert_eq!(client.get("/").await.status(), 200);
    }
}

/// Nor does a byte of a page hold all of it.
#[tokio::test(start_paused = true)]
async fn of_a_page_that_was_taken_but_for_its_last_bytes_no_more_is_held() {
    const WINDOW: u32 = 90_000;
    let held = Arc::new(AtomicUsize::new(0));
    let known = Arc::clone(&held);
    let server = Served::http(move |_| {
        let known = Arc::clone(&known);
        let page = std::iter::once_with(move || {
            known.fetch_add(1, Ordering::Relaxed);
            Bytes::from_owner(Watched(vec![b'-'; WINDOW as usize + 50], known))
        });
        async move { Response::pages(http::Response::new(()), page) }
    });
    let client = Client::with(&server, WINDOW).await;
    let answers: Vec<_> = (0..10).map(|_| client.begin(http2_client::get("/"))).collect();
    let mut bodies = Vec::new();
    for answer in answers {
        bodies.push(answer.await.unwrap().unwrap().into_body());
    }
    tokio::time::sleep(secs(5)).await;
    assert_eq!(held.load(Ordering::Relaxed), 0);
}

/// Of pages that were taken nothing counts: a hundred answers that wait for each other are within a small budget.
#[tokio::test(start_paused = true)]
async fn pages_count_towards_the_memory_budget_while_they_are_held() {
    let limits = Limits { memory_bytes: 2 << 20, ..Limits::default() };
    let server = Served::in_memory(Server::new().limits(limits), |server, memory| {
        server.listen_http(memory, |_| async {
            let pages = (0..2).map(|_| vec![b'-'; 4 * PAGE].into());
            Response::pages(http::Response::new(()), pages)
        })
    });
    let client = Client::connect(&server).await;
    expect_a_hundred(&client, 8 * PAGE).await;
}
