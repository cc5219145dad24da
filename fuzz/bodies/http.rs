//! HTTP/1.1: whatever a client sends is answered alike, in whatever pieces it comes, and becomes a WebSocket exactly when
//! RFC 6455 §4.2.1 says so.
//!
//! Through the public API, over memory, under a clock that stands still.

use crate::stream::Arrival;
use std::time::Duration;
use switchboard::Memory;
use switchboard::http::{Request, Response};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use tokio::time::sleep;

/// Of a longer stream the pieces, a millisecond each, would take as long as a head may.
const MOST_BYTES: usize = 4096;

/// How a client of HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// What an answer says behind which the connection ends, escaped.
const CLOSE: &str = r"connection: close\r\n";

/// hyper's answer to a head that is none, behind its version, escaped.
const BAD_HEAD: &str = r" 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

/// Ways in which hyper says [`BAD_HEAD`], escaped: what is no head has no version, so that it takes its own, or that of the
/// request before, as it happens. To HTTP/1.0 the end of the connection goes without saying.
const BAD_HEADS: [&str; 2] = [
    r"HTTP/1.0 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
    r"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
];

/// Panics if the answers to `data`, an [`Arrival`] whose limit is that of a body, depend on its pieces, or one is wrong.
pub(crate) fn run(data: &[u8]) {
    let Some(arrival) = Arrival::parse(data).filter(|arrival| arrival.stream.len() <= MOST_BYTES) else { return };
    let whole = exchange(&[arrival.stream], arrival.frame_bytes);
    if let Some(head) = Head::read(arrival.stream) {
        assert_eq!(whole.0.starts_with("HTTP/1.1 101 "), head.opens_websocket(), "{head:?}: {whole:?}");
    }
    let pieces = exchange(&arrival.pieces, arrival.frame_bytes);
    // Frames of HTTP/2 have no order between streams, and behind other requests its preface is none: then the connection has
    // to end as it should, and no more.
    let is_http2 = arrival.stream.windows(PREFACE.len()).any(|window| window == PREFACE);
    let is_right = is_http2 || is_same(&pieces, &whole) || ends_sooner(&pieces, &whole);
    assert!(is_right, "{pieces:?}, not {whole:?} of {arrival:?}");
}

fn is_same(pieces: &(String, CloseReason), whole: &(String, CloseReason)) -> bool {
    let before = |answers: &str| BAD_HEADS.iter().find_map(|end| answers.strip_suffix(end)).map(str::to_owned);
    pieces == whole || pieces.1 == whole.1 && before(&pieces.0).is_some_and(|own| before(&whole.0) == Some(own))
}

/// Whether hyper, which saw less at a time, has only stopped before it did with the whole.
fn ends_sooner(pieces: &(String, CloseReason), whole: &(String, CloseReason)) -> bool {
    // A head without an end is looked at when its first piece comes: what is wrong with the rest may go unsaid.
    let more = whole.0.strip_prefix(&pieces.0).unwrap_or_default().replace(CLOSE, "");
    let is_unsaid = whole.1 == CloseReason::BadFrame && more.get("HTTP/1.1".len()..) == Some(BAD_HEAD);
    // A body that nobody reads is passed over if it is there; if not, the connection ends, and the answer says so.
    let is_told = pieces.0.contains(CLOSE) && whole.0.replace(CLOSE, "").starts_with(&pieces.0.replace(CLOSE, ""));
    is_unsaid || is_told
}

/// All that a client is answered, escaped, and why its connection ended.
fn exchange(pieces: &[&[u8]], body_bytes: usize) -> (String, CloseReason) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let memory = Memory::new();
        let server = Server::new().workers(0);
        let server = server.listen_http(memory.clone(), move |request| serve(request, body_bytes));
        // It ends with the runtime.
        drop(tokio::task::spawn(server.serve_until(std::future::pending())));
        let mut peer = Peer::connect(&memory);
        for piece in pieces {
            peer.send(piece).await;
            // Over when the server has done all that it can.
            sleep(Duration::from_millis(1)).await;
        }
        peer.finish();
        let answers = peer.rest().await.unwrap();
        let reason = peer.closed().await;
        assert!(!matches!(reason, CloseReason::HandlerPanic | CloseReason::HandlerError), "{reason}");
        (undated(&answers), reason)
    })
}

async fn serve(mut request: Request, body_bytes: usize) -> Response {
    match request.uri().path() {
        "/ws" => request.upgrade(&["chat"], async |mut conn| {
            while let Some(message) = conn.recv().await? {
                conn.send(message).await?;
            }
            Ok::<_, switchboard::BoxError>(())
        }),
        "/stream" => {
            Response::stream(http::Response::new(()), async |mut conn: Connection<Lines>| conn.send("one").await)
        }
        _ => match request.body(body_bytes).await {
            Ok(body) => http::Response::new(body).into(),
            Err(error) => error.into(),
        },
    }
}

/// Two runs may be in different seconds.
fn undated(answers: &[u8]) -> String {
    let lines = answers.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"date: "));
    lines.map(|line| line.escape_ascii().to_string()).collect()
}

/// The head of a first request that is written as plainly as can be. Others may be understood or not.
#[derive(Debug)]
struct Head<'a> {
    request: &'a str,
    headers: Vec<(String, &'a str)>,
}

impl<'a> Head<'a> {
    fn read(stream: &'a [u8]) -> Option<Self> {
        let end = stream.windows(4).position(|window| window == b"\r\n\r\n")?;
        let mut lines = std::str::from_utf8(&stream[..end]).ok()?.split("\r\n");
        let request = lines.next().filter(|request| is_printable(request))?;
        let headers: Option<Vec<_>> = lines.map(header).collect();
        let head = Self { request, headers: headers? };
        let framed = ["content-length", "transfer-encoding", "expect"];
        let is_plain = head.values("host").count() == 1 && framed.iter().all(|name| head.values(name).next().is_none());
        is_plain.then_some(head)
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(own, _)| own == name).map(|(_, value)| *value)
    }

    fn lists(&self, name: &str, token: &str) -> bool {
        self.values(name).flat_map(|value| value.split(',')).any(|own| own.trim().eq_ignore_ascii_case(token))
    }

    fn opens_websocket(&self) -> bool {
        let keys: Vec<_> = self.values("sec-websocket-key").collect();
        self.request == "GET /ws HTTP/1.1"
            && self.lists("upgrade", "websocket")
            && self.lists("connection", "upgrade")
            && self.values("sec-websocket-version").collect::<Vec<_>>() == ["13"]
            && matches!(keys[..], [key] if is_key(key))
    }
}

fn header(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.split_once(':')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (is_name && is_printable(value)).then(|| (name.to_ascii_lowercase(), value.trim()))
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

/// 16 bytes in base64: 22 digits, of which the last holds two bits, and the padding.
fn is_key(key: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let Some(digits) = key.strip_suffix("==") else { return false };
    digits.len() == 22 && digits.bytes().all(is_digit) && digits.ends_with(['A', 'Q', 'g', 'w'])
}
