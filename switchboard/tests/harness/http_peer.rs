//! A client of HTTP and WebSocket that writes bytes, well or badly, and reads answers. In memory, under a paused clock.

use super::served::Served;
use switchboard::http::Service;
use switchboard::prelude::*;
use switchboard::testing::Peer;

/// An answer: its status line and headers in lower case, and its body.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Served {
    pub(crate) fn http(service: impl Service) -> Self {
        Self::in_memory(Server::new(), |server, memory| server.listen_http(memory, service))
    }

    /// Connects, and opens a WebSocket.
    pub(crate) async fn websocket(&self) -> Peer {
        let mut peer = self.connect();
        let received = ask(&mut peer, UPGRADE).await;
        assert_eq!(received.status, 101, "{received:?}");
        peer
    }
}

/// With the key of RFC 6455 §1.3.
pub(crate) const UPGRADE: &str = "GET /any HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

pub(crate) async fn ask(peer: &mut Peer, request: impl AsRef<[u8]>) -> Received {
    peer.send(request).await;
    answer(peer).await
}

/// Receives one answer, whose length is given.
pub(crate) async fn answer(peer: &mut Peer) -> Received {
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

/// A client's frame, masked with zeros: the first byte says what it is.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0xfe);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
