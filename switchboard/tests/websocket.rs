//! WebSockets: opened by a request, then connections like any other.

use crate::harness::http_peer::{self, UPGRADE, ask, frame};
use crate::harness::patience::secs;
use crate::harness::served::Served;
use bytes::{Bytes, BytesMut};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use switchboard::http::Request;
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{Aside, CloseCode, FrameError, Limits, Memory, Output};
use tokio::task::JoinSet;
use tokio::time::Instant;

async fn echo(mut conn: Connection<WebSocket>) -> Result {
    while let Some(message) = conn.recv().await? {
        conn.send(message).await?;
    }
    Ok(())
}

fn echoes(timeouts: Timeouts) -> Served {
    Served::in_memory(Server::new().timeouts(timeouts), |server, memory| server.listen_websocket(memory, echo))
}

/// A close frame of the server's.
fn close(code: u16, reason: &str) -> Vec<u8> {
    [&[0x88, 2 + reason.len() as u8], &code.to_be_bytes()[..], reason.as_bytes()].concat()
}

async fn closed(mut peer: Peer) -> CloseReason {
    peer.finish();
    peer.closed().await
}

#[tokio::test(start_paused = true)]
async fn a_websocket_is_opened_spoken_and_closed() {
    let server = echoes(Timeouts::default());
    let mut peer = server.connect();
    server.left(1).await;
    let id = server.handle.connections().list(None, 9)[0].id;
    let received = ask(&mut peer, UPGRADE).await;
    assert_eq!(received.status, 101);
    // RFC 6455 §1.3; the header is in lower case here.
    assert_eq!(received.header("sec-websocket-accept"), Some("s3pplmbitxaq9kygzzhzrbk+xoo="));
    assert_eq!((received.header("upgrade"), received.header("connection")), (Some("websocket"), Some("upgrade")));
    assert_eq!((received.header("content-length"), received.header("transfer-encoding")), (None, None));
    for (first, text) in [(0x81, "hi"), (0x82, "\0"), (0x81, "")] {
        peer.send(frame(first, text.as_bytes())).await;
        let expected = [&[first, text.len() as u8], text.as_bytes()].concat();
        assert_eq!(peer.bytes(2 + text.len()).await, expected);
    }
    let listed = server.handle.connections().get(id).unwrap();
    assert_eq!((listed.transport, listed.listener.as_str()), ("ws", "ws+memory"));
    peer.send(frame(0x88, &4321_u16.to_be_bytes())).await;
    assert_eq!(peer.rest().await.unwrap(), close(4321, "peer-closed"));
    assert_eq!(closed(peer).await, CloseReason::PeerClosed);
}

/// What RFC 6455 §4.2.1 asks for, one thing missing each time; the connection goes on speaking HTTP.
#[tokio::test(start_paused = true)]
async fn a_bad_handshake_is_refused() {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let cases = [
        (426, "GET", "1.1", "Upgrade: websocket\r\n", ""),
        (426, "GET", "1.1", "Upgrade: websocket\r\n", "Upgrade: h2c\r\n"),
        (426, "GET", "1.1", "Sec-WebSocket-Version: 13\r\n", ""),
        (426, "GET", "1.1", "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Version: 8\r\n"),
        (426, "GET", "1.1", "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Version: 13, 8\r\n"),
        (400, "GET", "1.1", "Connection: Upgrade\r\n", ""),
        (400, "GET", "1.1", key, ""),
        (400, "GET", "1.1", key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n"),
        (400, "GET", "1.1", key, "Sec-WebSocket-Key: c2hvcnQ=\r\n"),
        (400, "GET", "1.1", key, &key.repeat(2)),
        (405, "POST", "1.1", "", ""),
        (400, "GET", "1.1", "Host: x\r\n", ""),
    ];
    let server = echoes(Timeouts::default());
    for (status, method, version, without, with) in cases {
        let mut peer = server.connect();
        let request = format!(
            "{method} / HTTP/{version}\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\n{key}\r\n"
        );
        let request = if without.is_empty() { request } else { request.replace(without, with) };
        let received = ask(&mut peer, &request).await;
        assert_eq!(received.status, status, "{request}");
        if status == 426 {
            assert_eq!(received.header("sec-websocket-version"), Some("13"));
            assert_eq!(received.header("upgrade"), Some("websocket"));
            assert_eq!(received.header("connection"), Some("upgrade, close"));
        }
        // What a client that believes in its WebSocket says next is no request.
        assert_eq!(peer.rest().await.unwrap(), b"", "{request}");
    }
}

/// Its frames could not be told from its body.
#[tokio::test(start_paused = true)]
async fn a_handshake_with_a_body_is_refused() {
    for length in ["Content-Length: 3", "Transfer-Encoding: chunked"] {
        let server = echoes(Timeouts::default());
        let mut peer = server.connect();
        let request = UPGRADE.replacen("\r\n\r\n", &format!("\r\n{length}\r\n\r\n"), 1);
        assert_eq!(ask(&mut peer, request).await.status, 400, "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_subprotocol_of_the_clients_that_is_known_is_agreed_on() {
    let known = ["room.v2", "room.v1"];
    let server = Served::http(move |request: Request| async move { request.upgrade(&known, echo) });
    for (offered, agreed) in [
        ("", None),
        ("Sec-WebSocket-Protocol: other\r\n", None),
        ("Sec-WebSocket-Protocol: other, room.v1, room.v2\r\n", Some("room.v1")),
        ("Sec-WebSocket-Protocol: other\r\nSec-WebSocket-Protocol: room.v2\r\n", Some("room.v2")),
        ("Sec-WebSocket-Protocol: Room.V1\r\n", None),
    ] {
        let mut peer = server.connect();
        let received = ask(&mut peer, UPGRADE.replacen("\r\n\r\n", &format!("\r\n{offered}\r\n"), 1)).await;
        assert_eq!((received.status, received.header("sec-websocket-protocol")), (101, agreed), "{offered}");
        assert_eq!(received.header("sec-websocket-extensions"), None);
    }
}

/// Frames may come in one piece with the request, and be more than hyper takes at once.
#[tokio::test(start_paused = true)]
async fn what_comes_behind_the_handshake_is_not_lost() {
    let server = echoes(Timeouts::default());
    let mut peer = server.connect();
    let mut sent = UPGRADE.as_bytes().to_vec();
    for _ in 0..3_000 {
        sent.extend(frame(0x82, b"0123456789"));
    }
    assert_eq!(ask(&mut peer, sent).await.status, 101);
    assert_eq!(peer.bytes(3_000 * 12).await, b"\x82\x0a0123456789".repeat(3_000));
}

/// The answer to the handshake waits for room like any other.
#[tokio::test(start_paused = true)]
async fn a_handshake_may_stand_behind_an_answer_that_fills_the_outbox() {
    for excess in [0, 1 << 10, 60 << 10, 1 << 20] {
        let body = (1 << 20) + (64 << 10) + excess;
        let server = Served::http(move |request: Request| async move {
            if request.is_websocket() {
                request.upgrade(&[], echo)
            } else {
                http::Response::new(vec![b'x'; body]).into()
            }
        });
        let mut peer = server.connect();
        peer.send(format!("GET / HTTP/1.1\r\nHost: x\r\n\r\n{UPGRADE}")).await;
        peer.send(frame(0x81, b"hi")).await;
        tokio::time::sleep(secs(5)).await;
        assert_eq!(http_peer::answer(&mut peer).await.body.len(), body);
        assert_eq!(http_peer::answer(&mut peer).await.status, 101);
        assert_eq!(peer.bytes(4).await, b"\x81\x02hi");
    }
}

/// A WebSocket whose messages go out behind a prefix.
#[derive(Default)]
struct Marked(WebSocket);

impl Codec for Marked {
    type Frame = WebSocketMessage;

    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Self::Frame>, FrameError> {
        self.0.decode(input, frame_bytes)
    }

    fn aside(&mut self) -> Option<Aside> {
        self.0.aside()
    }

    fn encode(&mut self, message: WebSocketMessage, output: &mut Output) {
        self.0.encode_behind(&"> ".into(), message, output);
    }
}

#[tokio::test(start_paused = true)]
async fn a_websocket_can_have_a_codec_of_ones_own() {
    let echo = async |mut conn: Connection<Marked>| -> Result {
        while let Some(message) = conn.recv().await? {
            conn.send(message).await?;
        }
        Ok(())
    };
    let server = Served::http(move |request: Request| std::future::ready(request.upgrade_to(&[], echo)));
    let mut peer = server.connect();
    assert_eq!(ask(&mut peer, UPGRADE).await.status, 101);
    peer.send([frame(0x81, b"hi"), frame(0x89, b""), frame(0x82, b"ho")].concat()).await;
    assert_eq!(peer.bytes(14).await, b"\x81\x04> hi\x8a\x00\x82\x04> ho");
}

/// What no client may send: the code of RFC 6455 §7.4 for it, and only this connection ends.
#[tokio::test(start_paused = true)]
async fn a_bad_frame_ends_its_own_connection_with_its_code() {
    let large = |length: u64| [&[0x82, 0xff], &length.to_be_bytes()[..], &[0; 4]].concat();
    let fragments = |count| [&frame(0x02, b"x")[..], &frame(0x00, b"x").repeat(count)[..]].concat();
    let cases = [
        (1002, CloseReason::BadFrame, b"\x81\x02hi".to_vec()),
        (1002, CloseReason::BadFrame, frame(0xc1, b"hi")),
        (1002, CloseReason::BadFrame, frame(0x83, b"hi")),
        (1002, CloseReason::BadFrame, frame(0x80, b"hi")),
        (1002, CloseReason::BadFrame, frame(0x09, b"hi")),
        (1002, CloseReason::BadFrame, frame(0x89, &[0; 126])),
        (1002, CloseReason::BadFrame, frame(0x88, &999_u16.to_be_bytes())),
        (1002, CloseReason::BadFrame, frame(0x88, b"\x03")),
        (1002, CloseReason::BadFrame, large(1 << 63)),
        (1002, CloseReason::BadFrame, [frame(0x01, b""), frame(0x00, b"").repeat(2_000)].concat()),
        (1007, CloseReason::BadFrame, frame(0x81, b"\xff")),
        (1007, CloseReason::BadFrame, [frame(0x01, b"\xe2\x82"), frame(0x80, b"\x28")].concat()),
        (1009, CloseReason::FrameTooLong, large(65_537)),
        (1009, CloseReason::FrameTooLong, large((1 << 63) - 1)),
        (1009, CloseReason::FrameTooLong, fragments(1_000_000)),
    ];
    let server = echoes(Timeouts::default());
    let mut other = server.websocket().await;
    for (code, reason, bytes) in cases {
        let mut peer = server.websocket().await;
        // What is not read any more may be refused, as by a socket.
        peer.send(&bytes).await;
        assert_eq!(peer.rest().await.unwrap(), close(code, reason.code()), "{:?}", &bytes[..bytes.len().min(20)]);
        assert_eq!(closed(peer).await, reason);
        other.send(frame(0x81, b"hi")).await;
        assert_eq!(other.bytes(4).await, b"\x81\x02hi");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_say_why_it_closes_in_a_code_and_words_of_its_own() {
    /// The text is too long, and would be cut within its last letter.
    async fn refuse(mut conn: Connection<WebSocket>) -> Result {
        let words = match conn.recv().await? {
            Some(_) => "no ticket".to_owned(),
            None => "é".repeat(62),
        };
        conn.send("sorry").await?;
        conn.close_with(CloseCode::new(4401).unwrap(), &words);
        Ok(())
    }
    let server = Served::in_memory(Server::new(), |server, memory| server.listen_websocket(memory, refuse));
    let mut peer = server.websocket().await;
    peer.send(frame(0x81, b"hi")).await;
    let expected = [b"\x81\x05sorry", &close(4401, "no ticket")[..]].concat();
    assert_eq!(peer.rest().await.unwrap(), expected);
    assert_eq!(closed(peer).await, CloseReason::Closed);

    // Who has closed is told its own code.
    let mut peer = server.websocket().await;
    peer.send(frame(0x88, &4321_u16.to_be_bytes())).await;
    let expected = [b"\x81\x05sorry", &close(4321, "peer-closed")[..]].concat();
    assert_eq!(peer.rest().await.unwrap(), expected);
    assert_eq!(closed(peer).await, CloseReason::PeerClosed);

    let mut peer = server.websocket().await;
    server.handle.drain();
    let expected = [b"\x81\x05sorry", &close(4401, &"é".repeat(61))[..]].concat();
    assert_eq!(peer.rest().await.unwrap(), expected);
    assert_eq!(closed(peer).await, CloseReason::Drained);
}

#[tokio::test(start_paused = true)]
async fn each_way_to_end_has_its_code() {
    async fn obey(mut conn: Connection<WebSocket>) -> Result {
        match conn.recv().await?.as_deref() {
            Some(b"fail") => Err("as asked".into()),
            Some(b"panic") => panic!("as asked"),
            Some(b"wait") => std::future::pending().await,
            _ => Ok(()),
        }
    }
    let server = Served::in_memory(Server::new(), |server, memory| server.listen_websocket(memory, obey));
    for (word, code, reason) in [
        ("finish", 1000, CloseReason::Finished),
        ("fail", 1011, CloseReason::HandlerError),
        ("panic", 1011, CloseReason::HandlerPanic),
    ] {
        let mut peer = server.websocket().await;
        peer.send(frame(0x81, word.as_bytes())).await;
        assert_eq!(peer.rest().await.unwrap(), close(code, reason.code()));
        assert_eq!(closed(peer).await, reason);
    }
    for word in ["wait", ""] {
        let mut peer = server.websocket().await;
        if !word.is_empty() {
            peer.send(frame(0x81, word.as_bytes())).await;
        }
        let id = server.handle.connections().list(None, 9)[0].id;
        server.handle.connections().close(id);
        assert_eq!(peer.rest().await.unwrap(), close(1008, "closed"));
        assert_eq!(closed(peer).await, CloseReason::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_in_their_place() {
    let server = echoes(Timeouts::default());
    let mut peer = server.websocket().await;
    // Also between the fragments of a message.
    let sent = [frame(0x81, b"a"), frame(0x89, b"1"), frame(0x01, b"b"), frame(0x89, b""), frame(0x80, b"c")];
    peer.send(sent.concat()).await;
    assert_eq!(peer.bytes(3 + 3 + 2 + 4).await, b"\x81\x01a\x8a\x011\x8a\x00\x81\x02bc");
}

/// Pongs wait for room like any frame, and nothing is read meanwhile.
#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_that_reads_no_pongs_is_bounded() {
    let limits = Limits { outbox_bytes: 16 << 10, ..Limits::default() };
    let server =
        Served::in_memory(Server::new().limits(limits), |server, memory| server.listen_websocket(memory, echo));
    let mut peer = server.websocket().await;
    let began = Instant::now();
    // Ten times what the pipes and all limits hold.
    peer.send(frame(0x89, &[0; 125]).repeat(20_000)).await;
    assert_eq!(peer.closed().await, CloseReason::SlowConsumer);
    assert!((secs(10)..secs(13)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_silent_websocket_is_pinged_and_stays_if_it_answers() {
    let server = echoes(Timeouts::default());
    let mut peer = server.websocket().await;
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(peer.bytes(2).await, b"\x89\x00");
        assert!((secs(30)..secs(33)).contains(&began.elapsed()), "{:?}", began.elapsed());
        peer.send(frame(0x8a, b"")).await;
    }
    let began = Instant::now();
    assert_eq!(peer.bytes(2).await, b"\x89\x00");
    assert_eq!(peer.closed().await, CloseReason::PeerLost);
    assert!((secs(60)..secs(65)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

/// A listener that wants input is not satisfied by pongs.
#[tokio::test(start_paused = true)]
async fn with_an_idle_timeout_nobody_is_pinged() {
    let server = echoes(Timeouts { idle: Some(secs(100)), ..Timeouts::default() });
    let mut peer = server.websocket().await;
    assert_eq!(peer.rest().await.unwrap(), close(1008, "idle"));
    assert_eq!(closed(peer).await, CloseReason::Idle);
}

/// A quarter of the grace period, and nobody is told twice.
#[tokio::test(start_paused = true)]
async fn a_drain_closes_websockets_over_a_while() {
    let grace = secs(20);
    let server = Served::in_memory(Server::new().grace(grace), |server, memory| server.listen_websocket(memory, echo));
    let mut peers = Vec::new();
    for _ in 0..10_000 {
        peers.push(server.websocket().await);
    }
    server.handle.drain();
    let began = Instant::now();
    let mut ends = JoinSet::new();
    for mut peer in peers {
        ends.spawn(async move {
            assert_eq!(peer.rest().await.unwrap(), close(1012, "drained"));
            let told = began.elapsed();
            peer.finish();
            told
        });
    }
    let mut at = ends.join_all().await;
    at.sort();
    assert!(at[0] < secs(1) && at[9_999] > secs(4) && at[9_999] < secs(6), "{:?} {:?}", at[0], at[9_999]);
    assert!(at[4_000] > secs(1) && at[6_000] < secs(4), "{:?} {:?}", at[4_000], at[6_000]);
    let drained = server.drained.await.unwrap();
    assert_eq!((drained.finished, drained.aborted), (10_000, 0));
}

/// Few are not kept waiting, and until it is told a WebSocket is served.
#[tokio::test(start_paused = true)]
async fn a_drain_of_few_websockets_is_over_at_once() {
    let server = echoes(Timeouts::default());
    let mut peers = Vec::new();
    for _ in 0..120 {
        peers.push(server.websocket().await);
    }
    server.handle.drain();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let mut served = 0;
    for peer in &mut peers {
        peer.send(frame(0x81, b"hi")).await;
        served += usize::from(peer.bytes(4).await == b"\x81\x02hi");
        peer.finish();
    }
    assert!((1..120).contains(&served), "{served}");
    assert!(server.drained.await.unwrap().elapsed < secs(1));
}

#[tokio::test(start_paused = true)]
async fn nothing_becomes_a_websocket_while_the_server_drains() {
    let asked = Arc::new(tokio::sync::Notify::new());
    let known = Arc::clone(&asked);
    let server = Served::http(move |request: Request| {
        let asked = Arc::clone(&known);
        async move {
            asked.notify_one();
            tokio::time::sleep(secs(1)).await;
            request.upgrade(&[], echo)
        }
    });
    let mut peer = server.connect();
    peer.send(UPGRADE).await;
    asked.notified().await;
    server.handle.drain();
    let received = http_peer::answer(&mut peer).await;
    assert_eq!((received.status, received.header("connection")), (503, Some("close")));
}

/// One handler for lines and messages, and one encoding for all members of a kind.
#[tokio::test(start_paused = true)]
async fn lines_and_messages_meet_in_one_room() {
    async fn chat<C>(mut conn: Connection<C>, room: Room) -> Result
    where
        C: Codec,
        C::Frame: Into<Bytes> + From<Bytes>,
    {
        let seat = conn.join(&room)?;
        while let Some(frame) = conn.recv().await? {
            let bytes: Bytes = frame.into();
            seat.publish(bytes).unwrap();
        }
        Ok(())
    }
    let room = Hub::new().room("lobby").unwrap();
    let lines = Memory::new();
    let server = Served::in_memory(Server::new(), |server, memory| {
        server.memory(&lines, (room.clone(), chat::<Lines>)).listen_websocket(memory, (room, chat))
    });
    let mut line = Peer::connect(&lines);
    let (mut first, mut second) = (server.websocket().await, server.websocket().await);
    server.left(3).await;
    line.send("from a line\n").await;
    assert_eq!(first.bytes(13).await, b"\x81\x0bfrom a line");
    assert_eq!(second.bytes(13).await, b"\x81\x0bfrom a line");
    first.send(frame(0x82, b"from a message")).await;
    assert_eq!(line.line().await, "from a message\n");
    assert_eq!(second.bytes(16).await, b"\x81\x0efrom a message", "text, because it is");
    first.send(frame(0x82, b"\xff\n")).await;
    assert_eq!(second.bytes(4).await, b"\x82\x02\xff\n");
}

/// An upgrade is a connection's own affair: nothing is left of it, whoever comes and goes.
#[tokio::test(start_paused = true)]
async fn a_thousand_websockets_leave_nothing_behind() {
    let open = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&open);
    let handler = move |conn: Connection<WebSocket>| {
        counted.fetch_add(1, Ordering::Relaxed);
        let counted = Arc::clone(&counted);
        async move {
            let result = echo(conn).await;
            counted.fetch_sub(1, Ordering::Relaxed);
            result
        }
    };
    let server = Served::in_memory(Server::new(), |server, memory| server.listen_websocket(memory, handler));
    let mut peers = Vec::new();
    for _ in 0..1_000 {
        peers.push(server.websocket().await);
    }
    assert_eq!(open.load(Ordering::Relaxed), 1_000);
    let mut list = String::new();
    for (number, mut peer) in peers.into_iter().enumerate() {
        write!(list, "{number} ").unwrap();
        if number % 2 == 0 { peer.finish() } else { peer.reset() }
    }
    server.left(0).await;
    assert_eq!(open.load(Ordering::Relaxed), 0, "{list}");
}
