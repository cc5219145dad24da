//! HTTP and WebSockets over the kernel's sockets, with and without TLS, on workers of their own.

use crate::harness::http_peer::{UPGRADE, frame};
use crate::harness::patience::{patiently, until};
use crate::harness::served::{Served, address, read_until};
use crate::harness::tls_peer::{Pair, TlsPeer, client, connect};
use rustls::version::TLS13;
use std::time::Duration;
use switchboard::http::{Request, Response};
use switchboard::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// Says who asked, how, and with which body.
async fn tell(mut request: Request) -> Response {
    let body = request.body(1 << 20).await.map(|body| body.len());
    let (is_local, is_secure) = (request.peer().ip().is_none_or(|peer| peer.ip().is_loopback()), request.is_secure());
    http::Response::new(format!("{} {is_local} {is_secure} {body:?}", request.method())).into()
}

async fn echo(mut conn: Connection<WebSocket>) -> Result {
    while let Some(message) = conn.recv().await? {
        conn.send(message).await?;
    }
    Ok(())
}

async fn post(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), length: usize, end: &str) {
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), &vec![b'x'; length]].concat()).await.unwrap();
    stream.flush().await.unwrap();
    let answer = read_until(stream, end.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn requests_and_messages_over_tcp_and_unix() {
    let path = std::env::temp_dir().join(format!("switchboard-http-{}", std::process::id()));
    let server = Server::new().http("127.0.0.1:0", tell).websocket("127.0.0.1:0", echo);
    let server = server.workers(2).listen_http(switchboard::Unix::new(&path), tell);
    let served = Served::start(server).await;
    let urls = &served.urls;
    assert!(urls[0].starts_with("http://127.0.0.1:") && urls[1].starts_with("ws://127.0.0.1:"), "{urls:?}");
    assert!(urls[2].starts_with("http+unix:///"), "{urls:?}");
    for _ in 0..4 {
        let mut stream = TcpStream::connect(address(&urls[0])).await.unwrap();
        post(&mut stream, 3, "POST true false Ok(3)").await;
        post(&mut stream, 300_000, "POST true false Ok(300000)").await;
        let mut stream = TcpStream::connect(address(&urls[1])).await.unwrap();
        talk(&mut stream).await;
    }
    let mut stream = UnixStream::connect(&path).await.unwrap();
    post(&mut stream, 3, "POST true false Ok(3)").await;
    drop(stream);
    assert_eq!(served.stop().await.aborted, 0);
}

/// Opens a WebSocket, and has messages of all sizes echoed.
async fn talk(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let head = read_until(stream, b"\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    for length in [0, 1, 125, 126, 65_535] {
        let sent = frame(0x82, &vec![b'x'; length]);
        stream.write_all(&sent).await.unwrap();
        stream.flush().await.unwrap();
        // The same but for the four bytes of the mask and the bit that announces it.
        let mut echoed = vec![0; sent.len() - 4];
        stream.read_exact(&mut echoed).await.unwrap();
        assert!(echoed[0] == 0x82 && echoed.ends_with(&vec![b'x'; length]), "{length}");
    }
}

/// A worker that is held up, as by a machine that sleeps or is moved: it looks at its sockets and its clock when it is over.
async fn held_up(request: Request) -> Response {
    if request.uri() == "/hold" {
        std::thread::sleep(Duration::from_millis(500));
    }
    tell(request).await
}

async fn hold(url: &str) {
    let mut stream = TcpStream::connect(address(url)).await.unwrap();
    stream.write_all(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn what_lies_in_a_socket_counts_before_a_deadline_does() {
    let timeouts = Timeouts { handshake: Some(Duration::from_millis(300)), ..Timeouts::default() };
    let server = Server::new().timeouts(timeouts).http("127.0.0.1:0", held_up).workers(1);
    let served = Served::start(server).await;
    let url = &served.urls[0];
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address(url)).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab").await.unwrap();
        streams.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    hold(url).await;
    for stream in &mut streams {
        stream.write_all(b"cd").await.unwrap();
    }
    for stream in &mut streams {
        let answer = read_until(stream, b")").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("Ok(4)"), "{answer}");
    }
}

#[tokio::test]
async fn requests_that_lie_in_sockets_are_answered_although_the_server_drains() {
    let served = Served::start(Server::new().http("127.0.0.1:0", held_up).workers(1)).await;
    let url = &served.urls[0];
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address(url)).await.unwrap();
        post(&mut stream, 1, "Ok(1)").await;
        streams.push(stream);
    }
    hold(url).await;
    for stream in &mut streams {
        stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab").await.unwrap();
    }
    served.handle.drain();
    for stream in &mut streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("Ok(2)"), "{answer}");
    }
    drop(streams);
    assert_eq!(served.drained.await.unwrap().aborted, 0);
}

async fn secure(url: &str, pair: &Pair, offered: &[&str]) -> std::io::Result<TlsPeer> {
    let mut config = client(&[pair], &[&TLS13]);
    config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
    connect(address(url), "localhost", config).await
}

#[tokio::test]
async fn requests_and_messages_over_tls() {
    let pair = Pair::new(&["localhost"]);
    let certificates = pair.certificates();
    let wss = switchboard::Tls::new("127.0.0.1:0", &certificates);
    let server = Server::new().https("127.0.0.1:0", &certificates, tell).listen_websocket(wss, echo);
    let Served { urls, handle, drained, .. } = Served::start(server.workers(2)).await;
    assert!(urls[0].starts_with("https://127.0.0.1:") && urls[1].starts_with("wss://127.0.0.1:"), "{urls:?}");
    for offered in [&[][..], &["http/1.1"]] {
        let mut stream = secure(&urls[0], &pair, offered).await.unwrap();
        post(&mut stream, 3, "POST true true Ok(3)").await;
        post(&mut stream, 300_000, "POST true true Ok(300000)").await;
    }
    // They left without a word, and owed none.
    until(|| handle.metrics().closed(CloseReason::PeerClosed) == 2).await;
    for (offered, agreed) in [(&["http/1.1", "h2"][..], "h2"), (&["http/1.0"], "http/1.0")] {
        let stream = secure(&urls[0], &pair, offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(agreed.as_bytes()));
    }
    assert!(secure(&urls[0], &pair, &["ftp"]).await.is_err(), "another server is meant");
    let mut stream = secure(&urls[1], &pair, &[]).await.unwrap();
    talk(&mut stream).await;
    let listed = handle.connections().list(None, 99);
    assert!(listed.iter().any(|info| info.transport == "wss" && info.listener == urls[1]), "{listed:?}");
    handle.drain();
    stream.shutdown().await.unwrap();
    let drained = patiently(drained).await.unwrap();
    assert_eq!(drained.aborted, 0);
}
