//! HTTP: what a client writes is text here, byte for byte.

use crate::harness::http_peer::{Received, answer, ask};
use crate::harness::patience::{secs, until};
use crate::harness::served::Served;
use http::StatusCode;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use switchboard::Limits;
use switchboard::http::{Request, Response};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Answers with the body, or the path if there is none.
async fn echo(mut request: Request) -> Response {
    match request.body(10).await {
        Ok(body) if body.is_empty() => http::Response::new(request.uri().to_string()).into(),
        Ok(body) => http::Response::new(body).into(),
        Err(error) => error.into(),
    }
}

/// hyper has all of them in its buffer, and would answer them in one go.
#[tokio::test(start_paused = true)]
async fn requests_behind_requests_take_turns_with_those_of_others() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let server = Served::http(move |request: Request| {
        noted.lock().push(request.uri().path().to_owned());
        async { Response::from(StatusCode::OK) }
    });
    let (mut many, mut one) = (server.connect(), server.connect());
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    many.send(get("/many").repeat(200)).await;
    one.send(get("/one")).await;
    assert_eq!(answer(&mut one).await.status, 200);
    let before = asked.lock().iter().position(|path| path == "/one").unwrap();
    assert!(before < 50, "{before} of 200 came first");
    for _ in 0..200 {
        assert_eq!(answer(&mut many).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_one_after_the_other() {
    let server = Served::http(echo);
    let mut peer = server.connect();
    for path in ["/a", "/b?c"] {
        let received = ask(&mut peer, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!((received.status, received.body.as_str()), (200, path));
    }
    assert_eq!(server.handle.connections().list(None, 9)[0].transport, "http");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn who_stops_sending_behind_a_request_is_answered() {
    let server = Served::http(async |request| {
        tokio::time::sleep(secs(1)).await;
        echo(request).await
    });
    for body in ["", "abcd"] {
        let mut peer = server.connect();
        peer.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
        peer.finish();
        assert_eq!(answer(&mut peer).await.status, 200);
        assert_eq!(peer.closed().await, CloseReason::PeerClosed);
    }
    let mut peer = server.connect();
    peer.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab").await;
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_together_are_answered_in_order() {
    let server = Served::http(echo);
    let mut peer = server.connect();
    let requests: Vec<_> = (0..500).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    peer.send(requests.concat()).await;
    for number in 0..500 {
        assert_eq!(answer(&mut peer).await.body, format!("/{number}"));
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_came_are_seen_to_though_nobody_waits_for_their_answers() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let server = Served::http({
        let seen = Arc::clone(&seen);
        move |mut request: Request| {
            let seen = Arc::clone(&seen);
            async move {
                tokio::time::sleep(secs(1)).await;
                let body = request.body(10).await.unwrap();
                seen.lock().push(String::from_utf8_lossy(&body).into_owned());
                http::Response::new(body)
            }
        }
    });
    let mut peer = server.connect();
    let requests = (0..9).map(|number| format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n{number}"));
    peer.send(requests.collect::<String>()).await;
    drop(peer);
    until(|| server.handle.metrics().closed(CloseReason::PeerReset) == 1).await;
    assert_eq!(seen.lock().concat(), "012345678");
}

#[tokio::test(start_paused = true)]
async fn a_body_may_come_in_pieces_and_in_chunks() {
    let server = Served::http(echo);
    let mut peer = server.connect();
    peer.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab").await;
    tokio::task::yield_now().await;
    assert_eq!(ask(&mut peer, "cd").await.body, "abcd");
    let chunks = "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n";
    let received = ask(&mut peer, format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
    assert_eq!(received.await.body, "abcde");
}

/// A body that is announced is refused before any of it is sent, also to a client that asks first.
#[tokio::test(start_paused = true)]
async fn a_body_above_the_limit_is_refused() {
    let head = "POST / HTTP/1.1\r\nHost: x\r\n";
    for rest in [
        "Content-Length: 11\r\n\r\n",
        "Content-Length: 11\r\nExpect: 100-continue\r\n\r\n",
        "Content-Length: 9223372036854775807\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n5\r\nghijk\r\n",
        "Transfer-Encoding: chunked\r\n\r\nFFFFFFF\r\nabcdefghijk",
    ] {
        let server = Served::http(echo);
        let mut peer = server.connect();
        let received = ask(&mut peer, format!("{head}{rest}")).await;
        assert_eq!((received.status, received.header("connection")), (413, Some("close")), "{rest}");
        assert_eq!(peer.rest().await.unwrap(), b"");
    }
}

/// Each gets one answer, and no request behind it is looked at.
#[tokio::test(start_paused = true)]
async fn what_is_not_a_request_is_answered_once_and_closed() {
    let long = "a".repeat(30_000);
    let many = (0..101).map(|number| format!("h{number}: x\r\n")).collect::<Vec<_>>().concat();
    let follow = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let cases = [
        (400, CloseReason::BadFrame, format!("\x16\x03\x01\x02\r\n\r\n{follow}")),
        (400, CloseReason::BadFrame, format!("GET / HTTP/1.1\r\nno colon\r\n\r\n{follow}")),
        (400, CloseReason::BadFrame, format!("GET / HTTP/9.9\r\nHost: x\r\n\r\n{follow}")),
        (400, CloseReason::BadFrame, format!("GET / HTTP/1.1\r\nHost : x\r\n\r\n{follow}")),
        (
            400,
            CloseReason::BadFrame,
            format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{follow}"),
        ),
        (400, CloseReason::BadFrame, format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{follow}")),
        (400, CloseReason::BadFrame, format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n{follow}")),
        (400, CloseReason::BadFrame, format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{follow}")),
        (431, CloseReason::FrameTooLong, format!("GET / HTTP/1.1\r\nHost: x\r\nLong: {long}")),
        (
            431,
            CloseReason::FrameTooLong,
            format!("GET / HTTP/1.1\r\nHost: x\r\nLong: {}\r\n\r\n{follow}", &long[..17_000]),
        ),
        (431, CloseReason::FrameTooLong, format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n{follow}", &long[..17_000])),
        (431, CloseReason::FrameTooLong, format!("GET /{long}")),
        (431, CloseReason::FrameTooLong, format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n{follow}")),
    ];
    // Lines that other servers take for one of HTTP/1.1, or for HTTP/0.9, which has no version.
    let lines = [
        "GET /",
        "POST /",
        "HEAD //",
        "GET / HTTP/0.9",
        "GET / HTTP/2.0",
        "GET / HTTP/3.0",
        "GET / http/1.1",
        "GET / HTTP/01.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET / / HTTP/1.1",
    ];
    let lines = lines.map(|line| format!("{line}\r\nHost: x\r\n\r\n{follow}"));
    let cases = cases.into_iter().chain(lines.map(|request| (400, CloseReason::BadFrame, request)));
    for (status, reason, request) in cases {
        let server = Served::http(echo);
        let mut peer = server.connect();
        let received = ask(&mut peer, &request).await;
        let text = &request[..request.len().min(60)];
        assert_eq!((received.status, received.header("connection")), (status, Some("close")), "{text}");
        assert_eq!(peer.rest().await.unwrap(), b"", "{text}");
        peer.finish();
        assert_eq!(peer.closed().await, reason, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn exactly_one_host_is_asked_for() {
    let server = Served::http(echo);
    for (status, request) in [
        (400, "GET / HTTP/1.1\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        (200, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (200, "GET / HTTP/1.0\r\n\r\n"),
    ] {
        let mut peer = server.connect();
        assert_eq!(ask(&mut peer, request).await.status, status, "{request}");
        if !request.contains("Host: a\r\n\r\n") {
            assert_eq!(peer.rest().await.unwrap(), b"", "HTTP/1.0 keeps no connection, nor does who is in doubt");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_is_closed_without_an_answer() {
    let server = Served::http(echo);
    let mut peer = server.connect();
    let began = Instant::now();
    assert_eq!(peer.rest().await.unwrap(), b"");
    assert!((secs(10)..secs(13)).contains(&began.elapsed()), "{:?}", began.elapsed());
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::HandshakeTimeout);
}

/// One byte a second does not renew the deadline.
#[tokio::test(start_paused = true)]
async fn a_head_that_comes_slowly_is_answered_408() {
    let server = Served::http(echo);
    let mut peer = server.connect();
    // On a connection that has been answered before.
    ask(&mut peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    tokio::time::sleep(secs(20)).await;
    let began = Instant::now();
    for byte in "GET / HTTP/1.1\r\nHos".as_bytes().chunks(1) {
        peer.send(byte).await;
        tokio::time::sleep(secs(1)).await;
        if began.elapsed() > secs(12) {
            break;
        }
    }
    let received = answer(&mut peer).await;
    assert_eq!((received.status, received.header("connection")), (408, Some("close")));
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::HandshakeTimeout);
}

/// Ten seconds for head and body together.
#[tokio::test(start_paused = true)]
async fn a_body_that_comes_slowly_is_answered_408() {
    let server = Served::http(echo);
    let mut peer = server.connect();
    let began = Instant::now();
    peer.send("POST / HTTP/1.1\r\nHost: x\r\n").await;
    tokio::time::sleep(secs(6)).await;
    peer.send("Content-Length: 9\r\n\r\nabc").await;
    tokio::time::sleep(secs(3)).await;
    let received = ask(&mut peer, "d").await;
    assert_eq!((received.status, received.header("connection")), (408, Some("close")));
    assert_eq!(began.elapsed(), secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_client_may_be_idle_for_a_minute_between_requests() {
    let server = Served::http(echo);
    let mut peer = server.connect();
    for _ in 0..3 {
        ask(&mut peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        tokio::time::sleep(secs(59)).await;
    }
    peer.finish();
    let mut peer = server.connect();
    ask(&mut peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let began = Instant::now();
    assert_eq!(peer.rest().await.unwrap(), b"");
    assert!((secs(60)..secs(63)).contains(&began.elapsed()), "{:?}", began.elapsed());
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::Idle);
}

/// A service may take its time: only the client's part has a deadline.
#[tokio::test(start_paused = true)]
async fn a_service_may_take_as_long_as_it_likes() {
    let server = Served::http(|mut request: Request| async move {
        let _ = request.body(10).await;
        tokio::time::sleep(secs(1_000)).await;
        StatusCode::NO_CONTENT
    });
    let mut peer = server.connect();
    let began = Instant::now();
    assert_eq!(ask(&mut peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.status, 204);
    assert_eq!(began.elapsed(), secs(1_000));
}

struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_takes_its_request_along() {
    let (asked, dropped) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let known = (Arc::clone(&asked), Arc::clone(&dropped));
    let server = Served::http(move |_| {
        let (asked, dropped) = known.clone();
        async move {
            let _guard = OnDrop(dropped);
            asked.notify_one();
            std::future::pending::<Response>().await
        }
    });
    let mut peer = server.connect();
    peer.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    asked.notified().await;
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
    assert!(dropped.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_ends_its_own_connection_only() {
    let server = Served::http(|request: Request| async move {
        assert_ne!(request.uri().path(), "/panic", "as asked");
        StatusCode::OK
    });
    let (mut bad, mut good) = (server.connect(), server.connect());
    bad.send("GET /panic HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(bad.closed().await, CloseReason::HandlerPanic);
    assert_eq!(ask(&mut good, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.status, 200);
}

/// What an answer takes is bounded and counted, and a client that does not read it has as long as any other peer.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_reset() {
    const BODY: usize = 8 << 20;
    for (memory_bytes, reason) in [(16 << 20, CloseReason::SlowConsumer), (4 << 20, CloseReason::OutOfMemory)] {
        let limits = Limits { memory_bytes, ..Limits::default() };
        let service = |_| async { http::Response::new(vec![0; BODY]) };
        let server =
            Served::in_memory(Server::new().limits(limits), |server, memory| server.listen_http(memory, service));
        let mut peer = server.connect();
        peer.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let began = Instant::now();
        assert_eq!(peer.closed().await, reason);
        assert!(began.elapsed() < secs(13), "{:?}", began.elapsed());
    }
}

/// What hyper has not taken yet is held too, for as long as the answer before it takes.
#[tokio::test(start_paused = true)]
async fn requests_behind_one_that_is_answered_count_towards_the_memory_budget() {
    const CLIENTS: usize = 40;
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let service = |_| std::future::pending::<Response>();
    let server = Served::in_memory(Server::new().limits(limits), |server, memory| server.listen_http(memory, service));
    let mut peers: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    for peer in &mut peers {
        peer.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2_000)).await;
    }
    tokio::time::sleep(secs(1)).await;
    let left = server.handle.connections().list(None, CLIENTS);
    let held: u64 = left.iter().map(|connection| connection.bytes_in).sum();
    // One read more than fits, and what is free for each.
    let most = (1 << 20) + (64 << 10) + CLIENTS as u64 * (4 << 10);
    assert!(left.len() >= 8 && held <= most, "{} connections hold {held} bytes", left.len());
}

/// Asks for an answer of `length` bytes, and reads `parts` hundredths of it, one every two seconds.
async fn read_slowly(peer: &mut Peer, length: usize, parts: usize) {
    peer.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    while peer.line().await != "\r\n" {}
    for _ in 0..parts {
        assert_eq!(peer.bytes(length / 100).await.len(), length / 100);
        tokio::time::sleep(secs(2)).await;
    }
}

/// More than the socket holds, more than the outbox does, and more than hyper would like to.
const LENGTHS: [usize; 3] = [200_000, 1 << 20, 4 << 20];

fn answering(length: usize) -> Served {
    Served::http(move |_| async move { http::Response::new(vec![b'x'; length]) })
}

/// Who takes minutes for its answer is neither idle nor late with the request that it has begun to send meanwhile.
#[tokio::test(start_paused = true)]
async fn a_client_may_read_slowly() {
    for length in LENGTHS {
        let server = answering(length);
        let mut peer = server.connect();
        read_slowly(&mut peer, length, 50).await;
        peer.send("GET / HT").await;
        let rest = peer.bytes(length - length / 100 * 50).await;
        assert_eq!(rest.len(), length - length / 100 * 50);
        tokio::time::sleep(secs(5)).await;
        assert_eq!(ask(&mut peer, "TP/1.1\r\nHost: x\r\n\r\n").await.body.len(), length);
        tokio::time::sleep(secs(50)).await;
        assert_eq!(ask(&mut peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.body.len(), length);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_may_stop_sending_and_read_slowly() {
    for length in LENGTHS {
        let server = answering(length);
        let mut peer = server.connect();
        read_slowly(&mut peer, length, 10).await;
        peer.finish();
        for _ in 10..99 {
            assert_eq!(peer.bytes(length / 100).await.len(), length / 100);
            tokio::time::sleep(secs(2)).await;
        }
        assert_eq!(peer.rest().await.unwrap().len(), length - length / 100 * 99);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_a_client_that_reads_slowly() {
    for length in LENGTHS {
        let server = answering(length);
        let mut peer = server.connect();
        read_slowly(&mut peer, length, 90).await;
        server.handle.drain();
        for _ in 90..99 {
            assert_eq!(peer.bytes(length / 100).await.len(), length / 100);
            tokio::time::sleep(secs(2)).await;
        }
        assert_eq!(peer.rest().await.unwrap().len(), length - length / 100 * 99);
        peer.finish();
        assert_eq!(server.drained.await.unwrap().aborted, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_is_reset() {
    for length in LENGTHS {
        let server = answering(length);
        let mut peer = server.connect();
        read_slowly(&mut peer, length, 10).await;
        let stopped = Instant::now();
        assert_eq!(peer.closed().await, CloseReason::SlowConsumer);
        assert!(stopped.elapsed() < secs(13), "{:?}", stopped.elapsed());
    }
}

/// And one that does gets all of it, however long.
#[tokio::test(start_paused = true)]
async fn a_long_answer_arrives_whole() {
    const BODY: usize = 8 << 20;
    let server = Served::http(|_| async { http::Response::new(vec![b'x'; BODY]) });
    let mut peer = server.connect();
    assert_eq!(ask(&mut peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.body.len(), BODY);
}

/// One line, then nothing until the client leaves or the server drains.
async fn one_line(mut conn: Connection<Lines>) -> Result {
    conn.send("one").await?;
    assert!(conn.recv().await?.is_none());
    if conn.is_draining() {
        conn.send("bye").await?;
    }
    Ok(())
}

async fn stream(_: Request) -> Response {
    Response::stream(http::Response::new(()), one_line)
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_streamed_until_the_client_leaves() {
    let server = Served::http(stream);
    let mut peer = server.connect();
    let received = ask(&mut peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(received.header("transfer-encoding"), Some("chunked"));
    assert_eq!(peer.bytes(9).await, b"4\r\none\n\r\n");
    // A client may say nothing for as long as it is answered.
    tokio::time::sleep(secs(1_000)).await;
    assert_eq!(server.handle.connections().list(None, 9)[0].listener, "http+memory");
    // Nor is what it says looked at.
    peer.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
}

/// A request may stand behind others, whose answers have not left yet.
#[tokio::test(start_paused = true)]
async fn a_stream_follows_the_answers_before_it() {
    let server = Served::http(|request: Request| async move {
        if request.uri().path() == "/stream" {
            stream(request).await
        } else {
            http::Response::new(vec![b'x'; 1 << 20]).into()
        }
    });
    let mut peer = server.connect();
    let whole = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3);
    peer.send(format!("{whole}GET /stream HTTP/1.1\r\nHost: x\r\n\r\n{whole}")).await;
    for _ in 0..3 {
        assert_eq!(answer(&mut peer).await.body.len(), 1 << 20);
    }
    assert_eq!(answer(&mut peer).await.header("connection"), Some("close"));
    assert_eq!(peer.bytes(9).await, b"4\r\none\n\r\n");
}

/// Members of all kinds share a room, and the chunks are the same for all who follow.
#[tokio::test(start_paused = true)]
async fn a_stream_is_a_member_of_rooms() {
    async fn follow(mut conn: Connection<Lines>, room: Room) -> Result {
        let _seat = conn.join(&room)?;
        assert!(conn.recv().await?.is_none());
        Ok(())
    }
    let room = Hub::new().room("lobby").unwrap();
    let joined = room.clone();
    let server = Served::http(move |_| {
        let room = joined.clone();
        async move { Response::stream(http::Response::new(()), move |conn| follow(conn, room)) }
    });
    let (mut first, mut second) = (server.connect(), server.connect());
    for peer in [&mut first, &mut second] {
        ask(peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    }
    room.publish("to all");
    for peer in [&mut first, &mut second] {
        assert_eq!(peer.bytes(12).await, b"7\r\nto all\n\r\n");
    }
}

/// Whoever waits for what is to come keeps its connection whole; who leaves says no more than that it has nothing to send.
#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_once_when_its_client_stops_sending() {
    let server = Served::http(stream);
    let mut peer = server.connect();
    peer.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    peer.finish();
    let began = Instant::now();
    assert_eq!(answer(&mut peer).await.status, 200);
    assert_eq!(peer.rest().await.unwrap(), b"4\r\none\n\r\n0\r\n\r\n");
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
    assert_eq!(began.elapsed(), secs(0));
}

/// HTTP/1.0 knows no chunks: the answer ends with the connection.
#[tokio::test(start_paused = true)]
async fn a_client_of_http_1_0_gets_a_stream_without_chunks() {
    let server = Served::http(stream);
    let mut peer = server.connect();
    let received = ask(&mut peer, "GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!((received.status, received.header("transfer-encoding")), (200, None));
    assert_eq!(peer.bytes(4).await, b"one\n");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
}

/// A client must not take half an answer for a whole one.
#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_has_no_end() {
    async fn fail(mut conn: Connection<Lines>) -> Result {
        conn.send("one").await?;
        Err("as asked".into())
    }
    let server = Served::http(|_| async { Response::stream(http::Response::new(()), fail) });
    let mut peer = server.connect();
    ask(&mut peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(peer.rest().await.unwrap(), b"4\r\none\n\r\n");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::HandlerError);
}

/// Without an idle timeout of its own, a stream has none of the listener's either.
#[tokio::test(start_paused = true)]
async fn a_stream_is_not_idle() {
    let timeouts = Timeouts { idle: Some(secs(5)), ..Timeouts::default() };
    let server =
        Served::in_memory(Server::new().timeouts(timeouts), |server, memory| server.listen_http(memory, stream));
    let mut peer = server.connect();
    ask(&mut peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    tokio::time::sleep(secs(100)).await;
    server.left(1).await;
}

#[tokio::test(start_paused = true)]
async fn an_operator_may_close_a_streamed_answer() {
    let server = Served::http(stream);
    let mut peer = server.connect();
    ask(&mut peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(peer.bytes(9).await, b"4\r\none\n\r\n");
    let id = server.handle.connections().list(None, 9)[0].id;
    assert!(server.handle.connections().close(id));
    assert_eq!(peer.rest().await.unwrap(), b"0\r\n\r\n", "the answer ends as it should");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_is_bounded() {
    async fn flood(mut conn: Connection<Lines>) -> Result {
        loop {
            conn.send("x".repeat(1_000)).await?;
        }
    }
    let server = Served::http(|_| async { Response::stream(http::Response::new(()), flood) });
    let mut peer = server.connect();
    ask(&mut peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let began = Instant::now();
    assert_eq!(peer.closed().await, CloseReason::SlowConsumer);
    assert!(began.elapsed() < secs(13));
}

#[tokio::test(start_paused = true)]
async fn head_gets_the_headers_of_a_stream_and_no_body() {
    let server = Served::http(stream);
    let mut peer = server.connect();
    let received = ask(&mut peer, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(received.status, 200);
    assert_eq!(ask(&mut peer, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").await.status, 200);
    server.left(1).await;
}

#[tokio::test(start_paused = true)]
async fn idle_clients_are_closed_at_once_when_the_server_drains() {
    let server = Served::http(echo);
    let (mut fresh, mut idle, mut cut) = (server.connect(), server.connect(), server.connect());
    ask(&mut idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    cut.send("GET / HT").await;
    server.left(3).await;
    server.handle.drain();
    for peer in [&mut fresh, &mut idle, &mut cut] {
        assert_eq!(peer.rest().await.unwrap(), b"");
        peer.finish();
        assert_eq!(peer.closed().await, CloseReason::Drained);
    }
    let drained = server.drained.await.unwrap();
    assert_eq!((drained.finished, drained.aborted), (3, 0));
    assert!(drained.elapsed < secs(1), "{drained:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_answer_gets_it_while_the_server_drains() {
    let asked = Arc::new(Notify::new());
    let known = Arc::clone(&asked);
    let server = Served::http(move |mut request: Request| {
        let asked = Arc::clone(&known);
        async move {
            asked.notify_one();
            let body = request.body(100).await.unwrap();
            tokio::time::sleep(secs(5)).await;
            http::Response::new(body)
        }
    });
    let mut peer = server.connect();
    peer.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab").await;
    asked.notified().await;
    server.handle.drain();
    tokio::time::sleep(secs(2)).await;
    let received: Received = ask(&mut peer, "cd").await;
    assert_eq!((received.body.as_str(), received.header("connection")), ("abcd", Some("close")));
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::Drained);
    assert_eq!(server.drained.await.unwrap().aborted, 0);
}

/// The request had come, but nobody had looked at it yet.
#[tokio::test(start_paused = true)]
async fn a_request_that_has_come_is_answered_although_the_server_drains() {
    let server = Served::http(echo);
    let mut peer = server.connect();
    server.left(1).await;
    peer.send("GET /last HTTP/1.1\r\nHost: x\r\n\r\n").await;
    server.handle.drain();
    assert_eq!(answer(&mut peer).await.body, "/last");
    assert_eq!(peer.rest().await.unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn a_streamed_answer_ends_when_the_server_drains() {
    let server = Served::http(stream);
    let mut peer = server.connect();
    ask(&mut peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    server.handle.drain();
    assert_eq!(peer.rest().await.unwrap(), b"4\r\none\n\r\n4\r\nbye\n\r\n0\r\n\r\n");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::Drained);
    assert_eq!(server.drained.await.unwrap().aborted, 0);
}
