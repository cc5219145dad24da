//! HTTP/2 frames that no client needs to send, or not so many of: the connection that they come on ends, or is slowed down,
//! and what it holds meanwhile is bounded.

use crate::harness::http_peer::frame;
use crate::harness::http2_client::{Client, pump};
use crate::harness::http2_frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, PING, POST, SETTINGS, WINDOW_UPDATE, hello, http2,
};
use crate::harness::patience::secs;
use crate::harness::served::Served;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use switchboard::http::{Request, Response};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use tokio::time::Instant;

async fn serve(mut request: Request) -> Response {
    match request.uri().path() {
        "/ws" => request.upgrade(&[], echo),
        "/wait" => std::future::pending().await,
        _ => match request.body(100).await {
            Ok(body) => http::Response::new(body).into(),
            Err(error) => error.into(),
        },
    }
}

async fn echo(mut conn: Connection<WebSocket>) -> Result {
    while let Some(message) = conn.recv().await? {
        conn.send(message).await?;
    }
    Ok(())
}

/// Sends all, reads whatever comes, and says why the connection ended.
async fn end_of(mut peer: Peer, bytes: &[u8]) -> CloseReason {
    let (reads, _) = tokio::io::duplex(1);
    for piece in bytes.chunks(16 << 10) {
        peer.send(piece).await;
    }
    pump(peer, reads).await
}

async fn hostile(bytes: &[u8]) -> CloseReason {
    let server = Served::http(serve);
    let reason = end_of(server.connect(), &[&hello()[..], bytes].concat()).await;
    assert_eq!(server.handle.connections().len(), 0);
    reason
}

/// A head without an end (CVE-2024-27316), and one that is short but means 40 MB (the HPACK bomb).
#[tokio::test(start_paused = true)]
async fn a_head_is_bounded_however_it_is_written() {
    let mut endless = http2(HEADERS, END_STREAM, 1, GET);
    for _ in 0..10_000 {
        endless.extend(http2(CONTINUATION, 0, 1, b"\0\x01a\x01b"));
    }
    assert_eq!(hostile(&endless).await, CloseReason::BadFrame);
    let empty = [http2(HEADERS, END_STREAM, 1, GET), http2(CONTINUATION, 0, 1, b"").repeat(10_000)].concat();
    assert_eq!(hostile(&empty).await, CloseReason::BadFrame);
}

#[tokio::test(start_paused = true)]
async fn a_short_head_that_means_a_long_one_reaches_no_service() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let server = Served::http(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { http::StatusCode::OK }
    });
    // A value of 4,000 bytes goes into the table, and is then meant by one byte each time.
    let value = [&b"\x40\x01a\x7f\xa1\x1e"[..], &[b'x'; 4_000]].concat();
    for (repeated, reaches) in [(1, 1), (10_000, 0)] {
        let head = [GET, &value, &b"\xbe".repeat(repeated)].concat();
        let mut peer = server.connect();
        peer.send([hello(), http2(HEADERS, END_STREAM | END_HEADERS, 1, &head)].concat()).await;
        tokio::time::sleep(secs(1)).await;
        assert_eq!(asked.swap(0, Ordering::Relaxed), reaches, "{repeated}");
    }
}

/// Streams that the server has to reset are as much work as those that the client resets (CVE-2025-8671).
#[tokio::test(start_paused = true)]
async fn a_flood_of_streams_that_have_to_be_reset_ends_the_connection() {
    let mut flood = Vec::new();
    for stream in (1..2_000).step_by(2) {
        flood.extend(http2(HEADERS, END_HEADERS, stream, POST));
        flood.extend(http2(WINDOW_UPDATE, 0, stream, b"\0\0\0\0"));
    }
    assert_eq!(hostile(&flood).await, CloseReason::BadFrame);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_requests_beside_each_other_ends_the_connection() {
    let mut flood = Vec::new();
    for stream in (1..2_000).step_by(2) {
        flood.extend(http2(HEADERS, END_HEADERS, stream, POST));
    }
    assert_eq!(hostile(&flood).await, CloseReason::BadFrame);
}

/// CVE-2019-9518.
#[tokio::test(start_paused = true)]
async fn a_flood_of_frames_with_nothing_in_them_ends_the_connection() {
    let flood = [http2(HEADERS, END_HEADERS, 1, POST), http2(DATA, 0, 1, b"").repeat(100_000)].concat();
    assert_eq!(hostile(&flood).await, CloseReason::BadFrame);
}

/// What asks for an answer is not read while answers are not (CVE-2019-9512, CVE-2019-9515).
#[tokio::test(start_paused = true)]
async fn a_flood_that_reads_no_answers_is_slowed_down_and_reset() {
    for asked in [http2(PING, 0, 0, b"12345678"), http2(SETTINGS, 0, 0, b"")] {
        let server = Served::http(serve);
        let mut peer = server.connect();
        // A request, so that it is a connection like any other.
        peer.send([hello(), http2(HEADERS, END_HEADERS | END_STREAM, 1, GET)].concat()).await;
        let began = Instant::now();
        peer.send(asked.repeat(500_000)).await;
        assert_eq!(peer.closed().await, CloseReason::SlowConsumer);
        assert!((secs(10)..secs(13)).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
}

/// A new connection has ten seconds for its first request, and another one answers a ping within a minute.
#[tokio::test(start_paused = true)]
async fn a_head_that_comes_slowly_ends_the_connection() {
    for (before, reason, most) in [(false, CloseReason::HandshakeTimeout, 13), (true, CloseReason::PeerLost, 63)] {
        let server = Served::http(serve);
        let mut peer = server.connect();
        peer.send(hello()).await;
        if before {
            peer.send(http2(HEADERS, END_HEADERS | END_STREAM, 1, GET)).await;
        }
        tokio::time::sleep(secs(1)).await;
        let began = Instant::now();
        peer.send(http2(HEADERS, END_STREAM, 3, GET)).await;
        while peer.chunk().await.is_ok_and(|chunk| !chunk.is_empty()) {}
        peer.finish();
        assert_eq!(peer.closed().await, reason);
        assert!(began.elapsed() < secs(most), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_slowly_ends_its_request_alone() {
    let (told, mut said) = tokio::sync::mpsc::channel(1);
    let server = Served::http(move |mut request: Request| {
        let told = told.clone();
        async move {
            let body = request.body(100).await;
            told.send(body.clone().map(|body| body.len())).await.unwrap();
            body.map_or_else(Response::from, |body| http::Response::new(body).into())
        }
    });
    let mut peer = server.connect();
    let began = Instant::now();
    peer.send([hello(), http2(HEADERS, END_HEADERS, 1, POST)].concat()).await;
    for _ in 0..9 {
        tokio::time::sleep(secs(1)).await;
        peer.send(http2(DATA, 0, 1, b"x")).await;
    }
    assert_eq!(said.recv().await.unwrap(), Err(switchboard::http::BodyError::Slow));
    assert_eq!(began.elapsed(), secs(10));
    peer.send(http2(HEADERS, END_HEADERS | END_STREAM, 3, GET)).await;
    assert_eq!(said.recv().await.unwrap(), Ok(0));
}

/// Malformed requests are none (RFC 9113 §8.1.1, §8.2), whatever would be made of them in HTTP/1.1.
#[tokio::test(start_paused = true)]
async fn what_could_be_read_in_two_ways_is_reset() {
    let length = b"\x0f\x0d\x015";
    let cases: [(&[u8], &[u8]); 6] = [
        // A body of another length than it says.
        (length, b"abc"),
        (length, b"abcdefgh"),
        // What HTTP/1.1 says of the connection, and names that are none.
        (b"\0\x11transfer-encoding\x07chunked", b"0\r\n\r\n"),
        (b"\0\x0aconnection\x05close", b""),
        (b"\0\x01A\x01b", b""),
        (b"\0\x03a\r\nb\x01b", b""),
    ];
    for (header, body) in cases {
        let (told, mut said) = tokio::sync::mpsc::channel(1);
        let server = Served::http(move |mut request: Request| {
            let told = told.clone();
            async move {
                let body = request.body(100).await;
                told.send(body.is_ok()).await.unwrap();
                http::StatusCode::OK
            }
        });
        let mut peer = server.connect();
        peer.send(hello()).await;
        peer.send(http2(HEADERS, END_HEADERS, 1, &[POST, header].concat())).await;
        peer.send(http2(DATA, END_STREAM, 1, body)).await;
        tokio::time::sleep(secs(1)).await;
        assert_ne!(said.try_recv(), Ok(true), "{}", header.escape_ascii());
    }
}

/// What no client may send within a WebSocket ends that WebSocket alone, as over HTTP/1.1.
#[tokio::test(start_paused = true)]
async fn a_bad_frame_ends_its_own_websocket_with_its_code() {
    let large = |length: u64| [&[0x82, 0xff], &length.to_be_bytes()[..], &[0; 4]].concat();
    let fragments = |count| [&frame(0x02, b"x")[..], &frame(0x00, b"x").repeat(count)[..]].concat();
    let server = Served::http(serve);
    let mut client = Client::connect(&server).await;
    let mut other = client.websocket("/ws").await.unwrap();
    for (code, bytes) in [
        (1002_u16, b"\x81\x02hi".to_vec()),
        (1002, frame(0xc1, b"hi")),
        (1002, large(1 << 63)),
        (1007, [frame(0x01, b"\xe2\x82"), frame(0x80, b"\x28")].concat()),
        (1009, large(65_537)),
        (1009, fragments(100_000)),
    ] {
        let mut socket = client.websocket("/ws").await.unwrap();
        socket.send(&bytes).await;
        let farewell = socket.bytes(4).await;
        assert_eq!(
            (farewell[0], &farewell[2..]),
            (0x88, &code.to_be_bytes()[..]),
            "{:?}",
            &bytes[..10.min(bytes.len())]
        );
        drop(socket);
        other.send(&frame(0x81, b"hi")).await;
        assert_eq!(other.bytes(4).await, b"\x81\x02hi");
    }
}

/// Small messages are what a chat is made of: a browser sends each in a frame of its own, and as many as the window takes.
#[tokio::test(start_paused = true)]
async fn many_small_messages_at_once_are_no_flood() {
    const COUNT: usize = (64 << 10) / 6;
    let server = Served::http(serve);
    let mut peer = server.connect();
    // CONNECT of /ws of http at x, by the protocol of WebSockets, in HPACK.
    let head = b"\x42\x07CONNECT\0\x09:protocol\x09websocket\x04\x03/ws\x86\x41\x01x\0\x15sec-websocket-version\x0213";
    let message = http2(DATA, 0, 1, &frame(0x81, b""));
    peer.send([hello(), http2(HEADERS, END_HEADERS, 1, head), message.repeat(COUNT)].concat()).await;
    tokio::time::sleep(secs(1)).await;
    let listed = server.handle.connections().list(None, 9);
    let websocket = listed.iter().find(|info| info.transport == "ws").unwrap();
    assert_eq!(websocket.frames_in, COUNT as u64);
}
