//! Where a request ends: what two programs in a row could read differently is answered at most once, and nothing behind it
//! is taken for a request (request smuggling).

use crate::harness::http_peer::{Received, answer};
use crate::harness::patience::secs;
use crate::harness::served::Served;
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
async fn only_answer(server: &Served, request: &str) -> Received {
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

/// RFC 9112 §6.3 has the chunks count, and the connection end; §6.1 lets a server refuse, and that is the safer of the two.
#[tokio::test(start_paused = true)]
async fn two_lengths_are_refused_wherever_the_request_stands() {
    let server = Served::http(echo);
    let (length, chunks) = ("Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n");
    for headers in [[length, chunks], [chunks, length]] {
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\n{}\r\n2\r\nab\r\n0\r\n\r\n{SMUGGLED}", headers.concat());
        assert_eq!(only_answer(&server, &request).await.status, 400);
        for first in
            ["GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"]
        {
            let mut peer = server.connect();
            peer.send(format!("{first}{request}")).await;
            assert_eq!(answer(&mut peer).await.status, 200);
            assert_eq!(answer(&mut peer).await.status, 400);
            assert_eq!(peer.rest().await.unwrap(), b"");
        }
    }
}

/// Of RFC 9112 §3.2's four forms: a host alone is for CONNECT, `*` for OPTIONS, and a fragment is in none.
#[tokio::test(start_paused = true)]
async fn what_is_asked_for_is_a_path() {
    let server = Served::http(echo);
    for target in ["rooms", "x:80", "*", "/a#b", "#", "/a?b#c", "http://x/a#b"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n{SMUGGLED}");
        assert_eq!(only_answer(&server, &request).await.status, 400, "{target}");
    }
    for request in ["GET /a?b=%23", "GET http://x/a?b=%23", "OPTIONS *"] {
        let mut peer = server.connect();
        peer.send(format!("{request} HTTP/1.1\r\nHost: x\r\nReferer: /#a\r\n\r\n")).await;
        assert_eq!(answer(&mut peer).await.status, 200, "{request}");
    }
}

/// What is coded in another way is not the body that was meant.
#[tokio::test(start_paused = true)]
async fn a_body_is_coded_once() {
    let server = Served::http(echo);
    for (status, coding) in [
        (400, "chunked\r\nTransfer-Encoding: chunked"),
        (501, "chunked, chunked"),
        (501, "gzip, chunked"),
        (501, "gzip\r\nTransfer-Encoding: chunked"),
        (501, ", chunked"),
    ] {
        let request =
            format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {coding}\r\n\r\n2\r\nab\r\n0\r\n\r\n{SMUGGLED}");
        assert_eq!(only_answer(&server, &request).await.status, status, "{coding}");
    }
}

/// Of two requests in one, whom each is for can be read in two ways as well.
#[tokio::test(start_paused = true)]
async fn whom_a_request_is_for_is_said_once() {
    let server = Served::http(echo);
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n",
        "GET / HTTP/1.1\rHost: x\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
        "GET / x HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: x\r\n\r\n",
        "G\0T / HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        assert_eq!(only_answer(&server, &format!("{head}{SMUGGLED}")).await.status, 400, "{head:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_length_that_can_be_read_in_two_ways_is_none() {
    let server = Served::http(echo);
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
    let server = Served::http(echo);
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
    let server = Served::http(echo);
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
    unread_is_no_request(&Served::http(|_| async { http::StatusCode::NO_CONTENT })).await;
}

/// It has the request for as long as it takes to answer.
#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_has_read_by_the_answer_is_no_request() {
    let server = Served::http(|request: Request| async move {
        drop(request);
        http::StatusCode::NO_CONTENT
    });
    unread_is_no_request(&server).await;
}

async fn unread_is_no_request(server: &Served) {
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
