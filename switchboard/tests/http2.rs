//! HTTP/2: requests, streamed answers and WebSockets beside each other on one connection.

use crate::harness::http_peer::{ask, frame};
use crate::harness::http2_client::{Client, Whole, connect, get, piece, pump, whole};
use crate::harness::http2_frames::{DATA, END_HEADERS, END_STREAM, HEADERS, POST, hello, http2};
use crate::harness::patience::{secs, until};
use crate::harness::served::Served;
use bytes::Bytes;
use std::sync::Arc;
use switchboard::http::{Request, Response};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{Format, Join, Limits, PresenceNotices, RoomOptions};
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a client says at least: the preface and empty settings.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn serve(mut request: Request) -> Response {
    match request.uri().path() {
        "/stream" => Response::stream(http::Response::new(()), one_line),
        "/fail" => Response::stream(http::Response::new(()), fail),
        "/flood" => Response::stream(http::Response::new(()), flood::<Lines>),
        "/ws" if *request.method() == http::Method::GET => request.upgrade(&["chat"], echo),
        "/ws/flood" => request.upgrade(&[], flood),
        "/long" => http::Response::new(vec![b'x'; LONG]).into(),
        "/late" => {
            tokio::time::sleep(secs(5)).await;
            http::Response::new("late").into()
        }
        "/panic" => panic!("as asked"),
        "/body" => match request.body(10).await {
            Ok(body) => http::Response::new(body).into(),
            Err(error) => error.into(),
        },
        _ if *request.method() == http::Method::CONNECT => http::StatusCode::METHOD_NOT_ALLOWED.into(),
        _ => {
            let host = request.headers().get("host").map_or("", |host| host.to_str().unwrap());
            http::Response::new(format!("{} {} {host}", request.method(), request.uri())).into()
        }
    }
}

const LONG: usize = 4 << 20;

async fn one_line(mut conn: Connection<Lines>) -> Result {
    conn.send("one").await?;
    assert!(conn.recv().await?.is_none());
    if conn.is_draining() {
        conn.send("bye").await?;
    }
    Ok(())
}

async fn fail(mut conn: Connection<Lines>) -> Result {
    conn.send("one").await?;
    tokio::time::sleep(secs(1)).await;
    Err("as asked".into())
}

async fn flood<C: Codec<Frame: From<&'static str>>>(mut conn: Connection<C>) -> Result {
    loop {
        conn.send("x").await?;
    }
}

async fn echo(mut conn: Connection<WebSocket>) -> Result {
    while let Some(message) = conn.recv().await? {
        conn.send(message).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_beside_each_other() {
    let server = Served::http(serve);
    let mut client = Client::connect(&server).await;
    let response = client.get("/a?b").await;
    assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
    assert_eq!(whole(response.into_body()).await, b"GET /a?b x");
    let late = client.begin(get("/late"));
    let long = client.begin(get("/long"));
    let post = http::Request::post("http://x/body").body(Whole(Bytes::from_static(b"abcd"))).unwrap();
    assert_eq!(whole(client.send(post).await.unwrap().into_body()).await, b"abcd");
    assert_eq!(whole(long.await.unwrap().unwrap().into_body()).await.len(), LONG);
    assert_eq!(whole(late.await.unwrap().unwrap().into_body()).await, b"late");
    assert_eq!(server.handle.connections().list(None, 9)[0].transport, "http");
    drop(client.sender);
    assert_eq!(client.closed.await.unwrap(), CloseReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn head_gets_the_headers_of_an_answer_and_no_body() {
    let server = Served::http(serve);
    let mut client = Client::connect(&server).await;
    for (path, length) in [("/long", Some(LONG)), ("/stream", None)] {
        let head = http::Request::head(format!("http://x{path}")).body(Whole::default()).unwrap();
        let response = client.send(head).await.unwrap();
        let told = response.headers().get("content-length").map(|length| length.to_str().unwrap().parse().unwrap());
        assert_eq!((response.status().as_u16(), told), (200, length), "{path}");
        assert!(hyper::body::Body::is_end_stream(response.body()), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_above_the_limit_ends_its_request_alone() {
    let server = Served::http(serve);
    let mut client = Client::connect(&server).await;
    let post = http::Request::post("http://x/body").body(Whole(Bytes::from(vec![b'x'; 1 << 20]))).unwrap();
    assert_eq!(client.send(post).await.unwrap().status(), 413);
    assert_eq!(client.get("/").await.status(), 200);
}

/// As a line of a shell does that posts and leaves.
#[tokio::test(start_paused = true)]
async fn what_was_asked_is_done_though_the_client_has_left() {
    let (heard, mut bodies) = tokio::sync::mpsc::unbounded_channel();
    let server = Served::http(move |mut request: Request| {
        let heard = heard.clone();
        async move {
            heard.send(request.body(99).await.unwrap()).unwrap();
            http::StatusCode::OK
        }
    });
    let mut peer = server.connect();
    // The first one is refused before any service has seen it.
    let twice = [POST, b"\x00\x04host\x01y"].concat();
    let posts = [(1, &twice[..]), (3, POST), (5, POST)].map(|(stream, head)| {
        [http2(HEADERS, END_HEADERS, stream, head), http2(DATA, END_STREAM, stream, b"x")].concat()
    });
    peer.send([hello(), posts.concat()].concat()).await;
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
    assert_eq!([bodies.try_recv().unwrap(), bodies.try_recv().unwrap()], ["x", "x"]);
    assert_eq!(server.handle.connections().list(None, 9).len(), 0);
}

/// The kind and the flags of each frame of stream 1 that has come.
async fn frames(peer: &mut Peer) -> Vec<(u8, u8)> {
    let bytes = peer.chunk().await.unwrap();
    let mut rest = &bytes[..];
    let mut frames = Vec::new();
    while let [high, middle, low, kind, flags, stream @ ..] = rest.get(..9).unwrap_or_default() {
        if stream == [0, 0, 0, 1] {
            frames.push((*kind, *flags));
        }
        rest = &rest[9 + usize::from(*high) * 65_536 + usize::from(*middle) * 256 + usize::from(*low)..];
    }
    frames
}

/// What is still on its way is passed over for a moment: some clients take a reset for the answer.
#[tokio::test(start_paused = true)]
async fn who_is_refused_may_send_its_body_to_the_end() {
    const DATA: &[u8] = b"\0\x03\xe8\0\0\0\0\0\x01";
    let data = [DATA, &[b'x'; 1_000]].concat();
    for goes_on in [true, false] {
        let server = Served::http(serve);
        let mut peer = server.connect();
        // POST of /body of http at x, in HPACK, and a part of the body.
        let head = b"\0\0\x0c\x01\x04\0\0\0\x01\x83\x04\x05/body\x86\x41\x01x";
        peer.send([HELLO, head, &data].concat()).await;
        tokio::time::sleep(secs(1)).await;
        assert_eq!(frames(&mut peer).await, [(1, 4), (0, 0), (0, 0)], "the answer, which has no end yet");
        if goes_on {
            peer.send(data.repeat(100)).await;
            peer.send(b"\0\0\0\0\x01\0\0\0\x01").await;
            tokio::time::sleep(secs(1)).await;
            assert!(frames(&mut peer).await.ends_with(&[(0, 1)]), "its end, and no reset");
        } else {
            tokio::time::sleep(secs(2)).await;
            assert_eq!(frames(&mut peer).await, [(0, 1), (3, 0)], "its end and a reset");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_ends_its_request_alone() {
    let server = Served::http(serve);
    let mut client = Client::connect(&server).await;
    let late = client.begin(get("/late"));
    assert!(client.send(get("/panic")).await.is_err());
    assert_eq!(whole(late.await.unwrap().unwrap().into_body()).await, b"late");
}

#[tokio::test(start_paused = true)]
async fn a_request_is_for_one_host_and_has_headers_within_bounds() {
    let server = Served::http(serve);
    let mut client = Client::connect(&server).await;
    let other = http::Request::get("http://x/").header("host", "y").body(Whole::default()).unwrap();
    assert_eq!(client.send(other).await.unwrap().status(), 400);
    let same = http::Request::get("http://x/").header("host", "x").body(Whole::default()).unwrap();
    assert_eq!(client.send(same).await.unwrap().status(), 200);
    let mut many = http::Request::get("http://x/");
    for number in 0..101 {
        many = many.header(format!("h{number}"), "x");
    }
    assert_eq!(client.send(many.body(Whole::default()).unwrap()).await.unwrap().status(), 431);
    let long = http::Request::get("http://x/").header("h", "x".repeat(20_000)).body(Whole::default()).unwrap();
    assert_eq!(client.send(long).await.unwrap().status(), 431);
    assert_eq!(client.get("/").await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_streamed_until_the_client_takes_it_back() {
    let server = Served::http(serve);
    let mut client = Client::connect(&server).await;
    let mut body = client.get("/stream").await.into_body();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "one\n");
    tokio::time::sleep(secs(1_000)).await;
    let listed = server.handle.connections().list(None, 9);
    assert_eq!(listed.len(), 2);
    assert_eq!((listed[1].frames_out, listed[1].listener.as_str()), (1, "http+memory"));
    drop(body);
    server.left(1).await;
    assert_eq!(server.handle.metrics().closed(CloseReason::PeerClosed), 1);
    assert_eq!(client.get("/").await.status(), 200);
    let _body = client.get("/stream").await.into_body();
    client.closed.abort();
    server.left(0).await;
}

#[tokio::test(start_paused = true)]
async fn an_operator_may_close_a_streamed_answer() {
    let server = Served::http(serve);
    let mut client = Client::connect(&server).await;
    let mut body = client.get("/stream").await.into_body();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "one\n");
    let id = server.handle.connections().list(None, 9)[1].id;
    assert!(server.handle.connections().close(id));
    assert!(piece(&mut body).await.is_none(), "the answer ends as it should");
    assert_eq!(client.get("/").await.status(), 200);
}

/// A client must not take half an answer for a whole one.
#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_is_reset() {
    let server = Served::http(serve);
    let mut client = Client::connect(&server).await;
    let mut body = client.get("/fail").await.into_body();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "one\n");
    assert!(piece(&mut body).await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_websocket_is_a_connection_like_any_other() {
    let server = Served::http(serve);
    let mut client = Client::connect(&server).await;
    let mut socket = client.websocket("/ws").await.unwrap();
    for size in [0, 1, 125, 30_000] {
        socket.send(&frame(0x82, &vec![b'x'; size])).await;
        let head = if size < 126 { 2 } else { 4 };
        let echoed = socket.bytes(head + size).await;
        assert!(echoed[0] == 0x82 && echoed[head..] == vec![b'x'; size], "{size}");
    }
    let listed = server.handle.connections().list(None, 9);
    assert_eq!(listed.iter().map(|info| info.transport).collect::<Vec<_>>(), ["http", "ws"]);
    // It is pinged, as any other, and closed if it does not answer.
    assert_eq!(socket.bytes(2).await, b"\x89\0");
    socket.send(&frame(0x8a, b"")).await;
    socket.send(&frame(0x88, b"\x03\xe8")).await;
    assert_eq!(socket.bytes(99).await[..4], *b"\x88\x0d\x03\xe8");
    drop(socket);
    server.left(1).await;
    // What no client may send ends its own connection with its code.
    let mut socket = client.websocket("/ws").await.unwrap();
    socket.send(b"\xff\xff").await;
    let farewell = socket.bytes(99).await;
    assert_eq!((farewell[0], &farewell[2..4]), (0x88, &b"\x03\xea"[..]));
    drop(socket);
    server.left(1).await;
    let socket = client.websocket("/ws").await.unwrap();
    drop(socket);
    server.left(1).await;
    assert_eq!(client.get("/").await.status(), 200);
}

/// A member of the room, told in `text`.
async fn listen<C>(mut conn: Connection<C>, room: Room) -> Result
where
    C: Codec<Frame: From<Bytes> + Into<Bytes>>,
{
    let me = Hub::new().enter(&conn, Format::Text);
    let _seat = me.join(&room, Join::default())?;
    while conn.recv().await?.is_some() {}
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn members_that_read_get_all_that_one_tick_brings() {
    let room = Hub::new()
        .room_with(&"r".parse().unwrap(), RoomOptions { presence: PresenceNotices::Off, ..RoomOptions::default() })
        .unwrap();
    let serving = room.clone();
    let serve = move |request: Request| {
        let room = serving.clone();
        async move {
            match request.uri().path() {
                "/ws" => request.upgrade(&[], move |conn| listen(conn, room.clone())),
                _ => {
                    Response::stream(http::Response::new(()), move |conn: Connection<Lines>| listen(conn, room.clone()))
                }
            }
        }
    };
    let limits = Limits { outbox_frames: 16, outbox_bytes: 10_000, ..Limits::default() };
    let server = Served::in_memory(Server::new().limits(limits), |server, memory| server.listen_http(memory, serve));
    let mut client = Client::connect(&server).await;
    let mut socket = client.websocket("/ws").await.unwrap();
    let mut body = client.get("/stream").await.into_body();
    until(|| room.member_count() == 2).await;
    let texts: Vec<String> = (0..100).map(|number| format!("{number:0>100}")).collect();
    for text in &texts {
        room.publish(text);
    }
    let expected = |end: &str| texts.iter().flat_map(|text| ["[r] ", text, end]).collect::<String>();
    let mut streamed = String::new();
    while streamed.len() < expected("\n").len() {
        streamed += std::str::from_utf8(&piece(&mut body).await.unwrap().unwrap()).unwrap();
    }
    assert_eq!(streamed, expected("\n"));
    let messages = socket.bytes(expected("--").len()).await;
    assert!(
        messages
            == expected("").as_bytes().chunks(104).flat_map(|text| [b"\x81\x68", text].concat()).collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn a_sub_protocol_is_agreed_on() {
    let server = Served::http(serve);
    let mut client = Client::connect(&server).await;
    client.get("/").await;
    let response = client.send(connect("/ws")).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["sec-websocket-protocol"]),
        (200, &"chat".parse().unwrap())
    );
    assert!(!response.headers().contains_key("sec-websocket-accept"));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_is_answered_as_rfc_8441_says() {
    let server = Served::http(serve);
    let mut client = Client::connect(&server).await;
    client.get("/").await;
    let mut old = connect("/ws");
    old.headers_mut().insert("sec-websocket-version", "12".parse().unwrap());
    let response = client.send(old).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["sec-websocket-version"]),
        (426, &"13".parse().unwrap())
    );
    assert_eq!(client.get("/ws").await.status(), 426, "no WebSocket was asked for");
    let mut other = connect("/ws");
    other.extensions_mut().insert(hyper::ext::Protocol::from_static("connect-udp"));
    assert_eq!(client.send(other).await.unwrap().status(), 405);
}

#[tokio::test(start_paused = true)]
async fn what_is_beside_a_connection_counts_towards_the_limit() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let server = Served::in_memory(Server::new().limits(limits), |server, memory| server.listen_http(memory, serve));
    let mut client = Client::connect(&server).await;
    let socket = client.websocket("/ws").await.unwrap();
    assert_eq!(client.get("/stream").await.status(), 503);
    assert_eq!(client.websocket("/ws").await.err(), Some(503));
    drop(socket);
    server.left(1).await;
    assert_eq!(client.get("/stream").await.status(), 200);
}

/// Who does not read one answer is reset there, and goes on elsewhere.
#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_is_reset() {
    for path in ["/long", "/flood"] {
        let server = Served::http(serve);
        let mut client = Client::with(&server, 64 << 10).await;
        let mut unread = client.get(path).await.into_body();
        for _ in 0..15 {
            assert_eq!(client.get("/").await.status(), 200);
            tokio::time::sleep(secs(1)).await;
        }
        let mut count = 0;
        let end = loop {
            match piece(&mut unread).await {
                Some(Ok(piece)) => count += piece.len(),
                end => break end,
            }
        };
        assert!(end.is_some_and(|end| end.is_err()) && count <= 64 << 10, "{path} {count}");
        server.left(1).await;
    }
}

/// A machine that slept, or was moved, wakes up behind all deadlines, and what clients said in time lies in its sockets.
#[tokio::test(start_paused = true)]
async fn time_in_which_nothing_ran_is_nobodys_fault() {
    let server = Served::http(serve);
    let mut client = Client::with(&server, 64 << 10).await;
    let body = client.get("/long").await.into_body();
    tokio::time::sleep(secs(5)).await;
    tokio::time::advance(secs(100)).await;
    assert_eq!(whole(body).await.len(), LONG);
}

#[tokio::test(start_paused = true)]
async fn a_client_may_read_slowly() {
    let server = Served::http(serve);
    let mut client = Client::with(&server, 64 << 10).await;
    let mut body = client.get("/long").await.into_body();
    let mut count = 0;
    while let Some(piece) = piece(&mut body).await {
        count += piece.unwrap().len();
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    assert_eq!(count, LONG);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_is_not_read_is_closed_alone() {
    let server = Served::http(serve);
    let mut client = Client::with(&server, 64 << 10).await;
    let _socket = client.websocket("/ws/flood").await.unwrap();
    until(|| server.handle.metrics().closed(CloseReason::SlowConsumer) == 1).await;
    server.left(1).await;
    for _ in 0..200 {
        // Its stream is gone as well, or these would be too many.
        assert_eq!(client.get("/").await.status(), 200);
    }
}

/// CVE-2023-44487: requests that are taken back at once cost a client its connection.
#[tokio::test(start_paused = true)]
async fn a_flood_of_resets_ends_the_connection() {
    let server = Served::http(serve);
    let mut peer = server.connect();
    // An indexed GET / of http, from whoever it is for, and its reset.
    let mut flood = HELLO.to_vec();
    for stream in (1..2_000_u32).step_by(2) {
        flood.extend(b"\0\0\x06\x01\x05");
        flood.extend(stream.to_be_bytes());
        flood.extend(b"\x82\x84\x86\x41\x01x");
        flood.extend(b"\0\0\x04\x03\0");
        flood.extend(stream.to_be_bytes());
        flood.extend(b"\0\0\0\x08");
    }
    peer.send(flood).await;
    assert_eq!(pump(peer, tokio::io::duplex(1 << 20).0).await, CloseReason::BadFrame);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_nothing_is_closed() {
    for hello in [HELLO, &HELLO[..10]] {
        let server = Served::http(serve);
        let mut peer = server.connect();
        peer.send(hello).await;
        let began = Instant::now();
        peer.rest().await.unwrap();
        peer.finish();
        assert_eq!(peer.closed().await, CloseReason::HandshakeTimeout);
        assert!((secs(10)..secs(13)).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_may_be_idle_for_a_minute() {
    let server = Served::http(serve);
    let mut client = Client::connect(&server).await;
    client.get("/").await;
    let began = Instant::now();
    assert_eq!(client.closed.await.unwrap(), CloseReason::Idle);
    assert!((secs(60)..secs(63)).contains(&began.elapsed()), "{:?}", began.elapsed());
    // It was told, so nothing that it might have sent has failed.
    assert!(client.connection.await.unwrap().is_ok());
}

/// What only looks like the preface is a request of HTTP/1.1.
#[tokio::test(start_paused = true)]
async fn the_first_bytes_tell_what_is_spoken() {
    let server = Served::http(serve);
    let mut peer = server.connect();
    for byte in b"PRI / HTTP/1.1\r\nHost: x\r\n\r" {
        peer.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&mut peer, "\n").await.body, "PRI / x");
    let mut peer = server.connect();
    for byte in HELLO {
        peer.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(peer.bytes(5).await[3..], [4, 0], "settings");
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_is_told_of_a_drain_and_closed_at_once() {
    let server = Served::http(serve);
    let mut client = Client::connect(&server).await;
    client.get("/").await;
    server.handle.drain();
    assert_eq!(client.closed.await.unwrap(), CloseReason::Drained);
    assert!(client.connection.await.unwrap().is_ok());
    let drained = server.drained.await.unwrap();
    assert!(drained.aborted == 0 && drained.elapsed < secs(1), "{drained:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_all_that_is_under_way_finish() {
    let server = Served::http(serve);
    let mut client = Client::connect(&server).await;
    let mut socket = client.websocket("/ws").await.unwrap();
    let late = client.begin(get("/late"));
    let mut body = client.get("/stream").await.into_body();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "one\n");
    server.handle.drain();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "bye\n");
    assert!(piece(&mut body).await.is_none());
    let farewell = socket.bytes(99).await;
    assert_eq!(farewell[..1], *b"\x88");
    assert!([1001, 1012].contains(&u16::from_be_bytes([farewell[2], farewell[3]])), "{farewell:?}");
    drop(socket);
    assert_eq!(whole(late.await.unwrap().unwrap().into_body()).await, b"late");
    assert_eq!(client.closed.await.unwrap(), CloseReason::Drained);
    assert_eq!(server.drained.await.unwrap().aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn more_requests_at_a_time_than_there_may_be_wait() {
    let asked = Arc::new(Notify::new());
    let known = Arc::clone(&asked);
    let server = Served::http(move |_| {
        let asked = Arc::clone(&known);
        async move {
            asked.notified().await;
            http::StatusCode::OK
        }
    });
    let client = Client::connect(&server).await;
    let answers: Vec<_> = (0..300).map(|_| client.begin(get("/"))).collect();
    for answer in answers {
        tokio::time::sleep(secs(1)).await;
        asked.notify_waiters();
        asked.notify_one();
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
}
