//! Connections that their handlers end on purpose: with a reason of theirs, or by a reset.

use crate::harness::http_peer::{UPGRADE, ask, frame};
use crate::harness::http2_client::Client;
use crate::harness::mote::{door, stranger};
use crate::harness::patience::patiently;
use crate::harness::served::{Served, address};
use crate::harness::tls_peer::{Pair, client, over};
use bytes::Bytes;
use rustls::version::TLS13;
use std::io;
use std::time::Duration;
use switchboard::http::{Request, Response};
use switchboard::prelude::*;
use switchboard::{ConnectionError, Datagrams, Ending, Udp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn serves<F>(handler: impl Fn(Connection<Lines>) -> F + Send + Sync + 'static) -> Served
where
    F: Future<Output = Result> + Send + 'static,
{
    Served::in_memory(Server::new(), |server, memory| server.memory(&memory, handler))
}

/// Answers, fills what is between, and resets once it is told to.
async fn flood(mut conn: Connection<Lines>) -> Result {
    conn.recv().await?;
    conn.send("lost").await?;
    conn.reset();
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_reset_throws_away_what_is_queued_and_is_logged_and_counted_as_one() {
    let served = serves(flood);
    let mut peer = served.connect();
    peer.send("go\nunread\n").await;
    assert_eq!(peer.rest().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(peer.closed().await, CloseReason::Reset);
    served.left(0).await;
    assert_eq!(served.handle.metrics().closed(CloseReason::Reset), 1);
}

/// What it does then is its own affair, for as long as it may linger; the other half and senders fail at once.
#[tokio::test(start_paused = true)]
async fn a_handler_goes_on_after_a_reset() {
    let served = serves(async |mut conn| {
        let sender = conn.sender();
        let (mut from, to) = conn.split();
        let began = Instant::now();
        to.reset();
        assert_eq!(from.recv().await, Err(ConnectionError::Closed(CloseReason::Reset)));
        assert_eq!(sender.send("late").await, Err(ConnectionError::Closed(CloseReason::Reset)));
        assert_eq!(sender.closed().await, CloseReason::Reset);
        assert_eq!(began.elapsed(), Duration::ZERO);
        sleep(secs(1)).await;
        Ok(())
    });
    let mut peer = served.connect();
    let began = Instant::now();
    assert_eq!(peer.closed().await, CloseReason::Reset);
    assert_eq!(began.elapsed(), secs(1));
    assert!(peer.rest().await.is_err());
}

/// Not told an end that nobody had come to.
#[tokio::test(start_paused = true)]
async fn what_was_finished_can_still_be_reset() {
    let served = serves(async |mut conn| {
        for _ in 0..64 {
            conn.send("x".repeat(8 << 10)).await?;
        }
        let half = conn.finish();
        sleep(secs(1)).await;
        half.reset();
        sleep(secs(2)).await;
        Ok(())
    });
    let mut peer = served.connect();
    sleep(secs(2)).await;
    assert!(peer.rest().await.is_err());
    assert_eq!(peer.closed().await, CloseReason::Reset);
}

#[tokio::test(start_paused = true)]
async fn the_reason_that_came_first_stands_and_it_is_a_reset_all_the_same() {
    let served = Served::in_memory(Server::new(), |server, memory| {
        server.memory(&memory, async |mut conn: Connection<Length>| -> Result {
            assert!(conn.recv().await.is_err());
            conn.send(Bytes::from_static(b"lost")).await?;
            conn.reset();
            Ok(())
        })
    });
    let mut peer = served.connect();
    peer.send([0xff; 4]).await;
    assert!(peer.rest().await.is_err());
    assert_eq!(peer.closed().await, CloseReason::FrameTooLong);
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_say_for_which_reason_it_closes() {
    for reason in CloseReason::ALL {
        let served = serves(move |mut conn| async move {
            conn.send("bye").await?;
            conn.close_as(reason);
            Ok(())
        });
        let mut peer = served.connect();
        let received = peer.rest().await;
        match reason.ending() {
            Ending::Polite => assert_eq!(received.unwrap(), b"bye\n", "{reason}"),
            Ending::Abrupt => assert!(received.is_err(), "{reason}"),
        }
        peer.finish();
        assert_eq!(peer.closed().await, reason);
        served.left(0).await;
        assert_eq!(served.handle.metrics().closed(reason), 1, "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_a_handler_returns_as_its_error_is_why_it_closes() {
    for reason in CloseReason::ALL {
        let served = serves(move |mut conn| async move {
            conn.send("bye").await?;
            Err(reason.into())
        });
        let mut peer = served.connect();
        assert_eq!(peer.rest().await.is_ok(), reason.ending() == Ending::Polite, "{reason}");
        peer.finish();
        assert_eq!(peer.closed().await, reason);
        served.left(0).await;
        assert_eq!(served.handle.metrics().closed(reason), 1, "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_websocket_is_told_the_code_of_that_reason_or_reset_without_one() {
    let served = Served::in_memory(Server::new(), |server, memory| {
        server.listen_websocket(memory, async |mut conn: Connection<WebSocket>| -> Result {
            if conn.recv().await? == Some("reset".into()) {
                conn.reset();
            } else {
                conn.close_as(CloseReason::BadFrame);
            }
            Ok(())
        })
    });
    let mut peer = served.connect();
    ask(&mut peer, UPGRADE).await;
    peer.send(frame(0x81, b"nonsense")).await;
    assert_eq!(peer.bytes(13).await, b"\x88\x0b\x03\xeabad-frame");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::BadFrame);
    let mut peer = served.connect();
    ask(&mut peer, UPGRADE).await;
    peer.send(frame(0x81, b"reset")).await;
    assert!(peer.rest().await.is_err());
    assert_eq!(peer.closed().await, CloseReason::Reset);
}

/// Its stream alone: the client goes on.
#[tokio::test(start_paused = true)]
async fn of_a_websocket_over_http2_the_stream_is_reset() {
    async fn serve(request: Request) -> Response {
        match request.uri().path() {
            "/ws" => request.upgrade(&[], async |mut conn: Connection<WebSocket>| -> Result {
                conn.recv().await?;
                conn.send("lost").await?;
                conn.reset();
                Ok(())
            }),
            _ => http::Response::new("still here").into(),
        }
    }
    let served = Served::in_memory(Server::new(), |server, memory| server.listen_http(memory, serve));
    let mut client = Client::connect(&served).await;
    let mut websocket = client.websocket("/ws").await.unwrap();
    websocket.send(&frame(0x81, b"go")).await;
    served.until(|handle| handle.metrics().closed(CloseReason::Reset) == 1).await;
    assert_eq!(client.get("/").await.status(), 200);
}

#[tokio::test]
async fn a_peer_over_tcp_or_tls_gets_a_reset() {
    let pair = Pair::new(&["localhost"]);
    let server = Server::new().workers(1).tcp("127.0.0.1:0", flood);
    let served = Served::start(server.tls("127.0.0.1:0", &pair.certificates(), flood)).await;
    let mut tcp = TcpStream::connect(served.address()).await.unwrap();
    tcp.write_all(b"go\nunread\n").await.unwrap();
    let error = patiently(tcp.read_to_end(&mut Vec::new())).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let tls = TcpStream::connect(address(&served.urls[1])).await.unwrap();
    let mut tls = over(tls, "localhost", client(&[&pair], &[&TLS13])).await.unwrap();
    tls.write_all(b"go\n").await.unwrap();
    tls.flush().await.unwrap();
    let error = patiently(tls.read_to_end(&mut Vec::new())).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    served.left(0).await;
    assert_eq!(served.handle.metrics().closed(CloseReason::Reset), 2);
}

/// Of datagrams nobody is told; the peer is a stranger again.
#[tokio::test]
async fn a_datagram_peer_that_is_reset_is_a_stranger_again() {
    async fn once(mut conn: Connection<Datagrams>) -> Result {
        conn.recv().await?;
        conn.reset();
        Ok(())
    }
    let served = Served::start(Server::new().workers(1).udp_peers(Udp::new("127.0.0.1:0"), door, once)).await;
    let mote = stranger(&served).await;
    mote.say("open").await;
    served.until(|handle| handle.metrics().closed(CloseReason::Reset) == 1).await;
    served.left(0).await;
    assert_eq!(mote.ask("hi").await, "hi");
}

#[tokio::test(start_paused = true)]
async fn of_a_client_the_server_gets_a_reset() {
    let served = serves(async |mut conn| {
        while conn.recv().await?.is_some() {}
        Ok(())
    });
    let client = switchboard::Client::new();
    let mut conn: Connection<Lines> = client.memory(&served.memory).await.unwrap();
    conn.send("hi").await.unwrap();
    conn.reset();
    served.until(|handle| handle.metrics().closed(CloseReason::PeerReset) == 1).await;
}
