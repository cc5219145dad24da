//! Where a request ends: what two programs in a row could read differently is answered at most once, and nothing behind it
//! is taken for a request (request smuggling).

#![allow(clippy::unwrap_used, reason = "tests")]

mod http_peer;

use http_peer::{Received, Running, answer, secs};
use switchboard::CloseReason;
use switchboard::http::{Request, Response};

/// What the other program might take for a second request.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

async fn echo(mut request: Request) -> Response {
    match request.body(100).await {
        Ok(body) if body.is_empty() => http::Response::new(request.uri().to_string()).into(),
        Ok(body) => http::Response::new(body).into(),
        Err(error) => error.into(),
    }
}

/// The one answer to a request, behind which the connection was closed.
async fn only_answer(server: &Running, request: &str) -> Received {
    let mut peer = server.connect();
    peer.send(request).await;
    let received = answer(&mut peer).await;
    assert_eq!(received.header("connection"), Some("close"), "{request}");
    assert_eq!(peer.rest().await.unwrap(), b"", "{request}");
    peer.finish();
    let reason = peer.closed().await;
    assert!(!matches!(reason, CloseReason::HandlerPanic | CloseReason::HandlerError), "{request}");
    received
}

/// The chunks count, and then the connection ends (RFC 9112 §6.1).
#[tokio::test(start_paused = true)]
async fn of_two_lengths_the_chunks_count_and_nothing_follows() {
    let server = Running::http(echo);
    let (length, chunks) = ("Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n");
    for headers in [[length, chunks], [chunks, length]] {
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\n{}\r\n2\r\nab\r\n0\r\n\r\n{SMUGGLED}", headers.concat());
        let received = only_answer(&server, &request).await;
        assert_eq!((received.status, received.body.as_str()), (200, "ab"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_length_that_can_be_read_in_two_ways_is_none() {
    let server = Running::http(echo);
    for headers in [
        "Content-Length: +2\r\n",
        "Content-Length: 0x2\r\n",
        "Content-Length: 2 2\r\n",
        "Content-Length: 2,3\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551618\r\n",
        "Content-Length : 2\r\n",
        "Content-Length\r\n : 2\r\n",
        "X: y\r\n Content-Length: 2\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer\0-Encoding: chunked\r\n",
        "X: \rTransfer-Encoding: chunked\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\nab{SMUGGLED}");
        assert_eq!(only_answer(&server, &request).await.status, 400, "{headers}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_whose_end_is_in_doubt_ends_the_connection() {
    let server = Running::http(echo);
    for chunks in [
        "+2\r\nab\r\n0\r\n\r\n",
        "-2\r\nab\r\n0\r\n\r\n",
        "0x2\r\nab\r\n0\r\n\r\n",
        "\r\nab\r\n0\r\n\r\n",
        "2\nab\r\n0\r\n\r\n",
        "2\r\nab0\r\n\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "10000000000000002\r\nab\r\n0\r\n\r\n",
        "2;a\nb\r\nab\r\n0\r\n\r\n",
        "0\r\nTrailer\r\n\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{SMUGGLED}");
        assert_eq!(only_answer(&server, &request).await.status, 400, "{chunks:?}");
    }
}

/// What belongs to a request but is not its body is bounded too.
#[tokio::test(start_paused = true)]
async fn what_comes_between_chunks_and_behind_them_is_bounded() {
    let server = Running::http(echo);
    let long = "x".repeat(64 << 10);
    for chunks in [format!("2;{long}\r\nab\r\n0\r\n\r\n"), format!("0\r\nTrailer: {long}\r\n\r\n")] {
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{SMUGGLED}");
        assert_eq!(only_answer(&server, &request).await.status, 400);
    }
    // A body of one-byte chunks, each with an extension, is as long as its bytes and its time.
    let mut peer = server.connect();
    peer.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for _ in 0..101 {
        peer.send("1;a=b\r\nx\r\n").await;
    }
    assert_eq!(answer(&mut peer).await.status, 413);
    assert_eq!(peer.rest().await.unwrap(), b"");
}

/// A service that does not look at the body leaves it where it is, and hyper does not take it for a request.
#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_is_no_request() {
    let server = Running::http(|_| async { http::StatusCode::NO_CONTENT.into() });
    for length in [SMUGGLED.len(), 1 << 20] {
        let mut peer = server.connect();
        let body = SMUGGLED.repeat(length / SMUGGLED.len());
        peer.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len())).await;
        tokio::time::sleep(secs(1)).await;
        peer.send(body).await;
        peer.finish();
        let answers = String::from_utf8(peer.rest().await.unwrap()).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    }
}
