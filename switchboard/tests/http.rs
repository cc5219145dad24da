//! HTTP in memory, under a paused clock: what a client writes is text here, byte for byte.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;
use switchboard::http::{Request, Response};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{Handle, Memory};
use tokio::task::JoinHandle;

/// The answer's status line, headers in lower case, and body as text.
#[derive(Debug)]
struct Received {
    status: u16,
    head: String,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Serves `service` with the server's own defaults, but for `timeouts`.
fn serve<S, F>(service: S, timeouts: Timeouts) -> (Memory, Handle, JoinHandle<Drained>)
where
    S: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    start(Server::new().timeouts(timeouts), |server, memory| server.listen_http(memory, service))
}

fn start(server: Server, listen: impl FnOnce(Server, Memory) -> Server) -> (Memory, Handle, JoinHandle<Drained>) {
    let memory = Memory::new();
    let server = listen(server.workers(0), memory.clone());
    let mut binding = Box::pin(server.bind());
    let std::task::Poll::Ready(bound) =
        binding.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    else {
        panic!("binding memory does not wait")
    };
    let bound = bound.unwrap();
    let handle = bound.handle();
    #[allow(clippy::disallowed_methods, reason = "the test's runtime owns the server")]
    let running = tokio::spawn(bound.serve_until(std::future::pending()));
    (memory, handle, running)
}

async fn ask(peer: &mut Peer, request: &str) -> Received {
    peer.send(request).await;
    answer(peer).await
}

async fn answer(peer: &mut Peer) -> Received {
    let mut head = String::new();
    loop {
        let line = peer.line().await;
        assert!(line.ends_with('\n'), "the answer was cut: {head:?} {line:?}");
        if line == "\r\n" {
            break;
        }
        head.push_str(&line.to_lowercase());
    }
    let mut received = Received { status: head[9..12].parse().unwrap(), head, body: String::new() };
    let length: usize = received.header("content-length").map_or(0, |length| length.parse().unwrap());
    received.body = String::from_utf8(peer.bytes(length).await).unwrap();
    received
}

async fn hello(mut request: Request) -> Response {
    match request.body(10).await {
        Ok(body) if body.is_empty() => http::Response::new(format!("hello {}", request.uri().path())).into(),
        Ok(body) => http::Response::new(body).into(),
        Err(error) => error.into(),
    }
}

/// Several requests on one connection, and a body that comes in pieces.
#[tokio::test(start_paused = true)]
async fn answers_requests_one_after_the_other() {
    let (memory, _, _) = serve(hello, Timeouts::default());
    let mut peer = Peer::connect(&memory);
    for path in ["/a", "/b"] {
        let received = ask(&mut peer, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!((received.status, received.body), (200, format!("hello {path}")));
    }
    peer.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab").await;
    tokio::task::yield_now().await;
    assert_eq!(ask(&mut peer, "cd").await.body, "abcd");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
}

async fn echo(mut conn: Connection<WebSocket>) -> Result {
    while let Some(message) = conn.recv().await? {
        conn.send(message).await?;
    }
    Ok(())
}

const UPGRADE: &str = "GET /any HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A client's frame, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

fn websockets(timeouts: Timeouts) -> (Memory, Handle, JoinHandle<Drained>) {
    start(Server::new().timeouts(timeouts), |server, memory| server.listen_websocket(memory, echo))
}

async fn upgraded(memory: &Memory) -> Peer {
    let mut peer = Peer::connect(memory);
    let received = ask(&mut peer, UPGRADE).await;
    assert_eq!(received.status, 101);
    // The key and the answer of RFC 6455 §1.3.
    assert!(received.head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="));
    peer
}

#[tokio::test(start_paused = true)]
async fn a_websocket_is_opened_spoken_and_closed() {
    let (memory, handle, _) = websockets(Timeouts::default());
    let mut peer = upgraded(&memory).await;
    peer.send(frame(0x81, b"hi")).await;
    assert_eq!(peer.bytes(4).await, b"\x81\x02hi");
    assert_eq!(handle.connections().list(None, 9)[0].transport, "ws");
    peer.send(frame(0x89, b"?")).await;
    assert_eq!(peer.bytes(3).await, b"\x8a\x01?");
    peer.send(frame(0x88, &1000_u16.to_be_bytes())).await;
    assert_eq!(peer.rest().await.unwrap(), b"\x88\x0d\x03\xe8peer-closed");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
}

/// A frame may come in one piece with the request.
#[tokio::test(start_paused = true)]
async fn what_comes_behind_the_handshake_is_not_lost() {
    let (memory, _, _) = websockets(Timeouts::default());
    let mut peer = Peer::connect(&memory);
    let mut sent = UPGRADE.as_bytes().to_vec();
    for _ in 0..5_000 {
        sent.extend(frame(0x82, b"0123456789"));
    }
    let sending = async { peer.send(sent).await };
    sending.await;
    assert_eq!(answer(&mut peer).await.status, 101);
    assert_eq!(peer.bytes(5_000 * 12).await, b"\x82\x0a0123456789".repeat(5_000));
}

/// Lines that a streamed answer sends.
#[tokio::test(start_paused = true)]
async fn an_answer_is_streamed_by_a_handler_until_the_client_leaves() {
    async fn stream(mut conn: Connection<Lines>) -> Result {
        conn.send("one").await?;
        assert!(conn.recv().await?.is_none());
        Ok(())
    }
    let service = |_| async { Response::stream(http::Response::new(()), stream) };
    let (memory, handle, _) = serve(service, Timeouts::default());
    let mut peer = Peer::connect(&memory);
    let received = ask(&mut peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(received.header("transfer-encoding"), Some("chunked"));
    assert_eq!(peer.bytes(9).await, b"4\r\none\n\r\n");
    assert_eq!(handle.connections().len(), 2);
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
    while !handle.connections().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
