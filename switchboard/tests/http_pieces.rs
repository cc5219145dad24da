//! What a client of HTTP/1.1 sends is answered alike in whatever pieces it comes, and becomes a WebSocket when it should.
//!
//! The claim is the fuzz target's, and so are the streams that are replayed here.

#[path = "../../fuzz/bodies/http.rs"]
mod body;

use crate::seeds;
use proptest::prelude::*;

#[test]
fn answers_do_not_depend_on_pieces_on_any_seed() {
    seeds::replay("http", body::run);
}

/// What requests are made of, well or badly.
const PARTS: &[&str] = &[
    "GET /ws HTTP/1.1\r\n",
    "GET /a HTTP/1.1\r\n",
    "GET /stream HTTP/1.1\r\n",
    "POST /a HTTP/1.1\r\n",
    "HEAD /stream HTTP/1.0\r\n",
    "Host: x\r\n",
    "Host: x\r\n",
    "Connection: Upgrade\r\n",
    "Connection: keep-alive, upgrade\r\n",
    "Connection: close\r\n",
    "Upgrade: websocket\r\n",
    "Upgrade: h2c,WebSocket\r\n",
    "Sec-WebSocket-Version: 13\r\n",
    "Sec-WebSocket-Version: 12\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n",
    "Sec-WebSocket-Protocol: other,chat\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\n",
    "\r\n",
    "\r\n",
    "hello",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "PRI * HTTP/2.0\r\n",
    "\x01\u{5}",
    "\n",
    " ",
    ":",
];

/// A handshake that is right, a request with a body, and a message.
const WHOLE: &[&str] = &[
    "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "\x01\u{1}\0\0\0\0a",
];

fn parts() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![
        prop::collection::vec(prop::sample::select(PARTS), 0..16),
        prop::collection::vec(prop_oneof![4 => prop::sample::select(WHOLE), 1 => prop::sample::select(PARTS)], 0..6),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn answers_do_not_depend_on_pieces(
        body_bytes in 3_u8..8,
        sizes in prop::collection::vec(0_u8..40, 1..8),
        parts in parts(),
    ) {
        body::run(&[&[body_bytes, sizes.len() as u8], &sizes[..], parts.concat().as_bytes()].concat());
    }
}
