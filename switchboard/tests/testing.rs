//! A whole server is tested without sockets and without real time, as its program makes it.

use std::time::Duration;
use switchboard::http::{Request, Response};
use switchboard::prelude::*;
use switchboard::{DatagramLimits, Datagrams, PeerAddr, Rate, RepliesPerSource, Udp, Validation, testing};
use tokio::time::{Instant, timeout};

/// A chat over lines and WebSockets, with what was said over HTTP, and datagrams that say something.
fn chat_server(lobby: &Room) -> Server {
    let [lines, pages, sensed] = [(); 3].map(|()| lobby.clone());
    Server::new()
        .tcp("127.0.0.1:7002", move |conn: Connection<Lines>| talk(conn, lines.clone()))
        .http("127.0.0.1:7003", move |request| std::future::ready(page(request, pages.clone())))
        .udp("127.0.0.1:7004", move |reading: Datagram<'_>, reply: &mut DatagramReply<'_>| {
            sensed.publish(reading.payload);
            reply.write("thanks");
        })
}

async fn talk<C>(mut conn: Connection<C>, lobby: Room) -> Result
where
    C: Codec<Frame: From<bytes::Bytes> + AsRef<[u8]>>,
{
    let seat = conn.join(&lobby)?;
    seat.publish("* somebody came").unwrap();
    while let Some(line) = conn.recv().await? {
        seat.publish(line).unwrap();
    }
    Ok(())
}

fn page(request: Request, lobby: Room) -> Response {
    match request.uri().path() {
        "/ws" => request.upgrade(&[], move |conn: Connection<WebSocket>| talk(conn, lobby)),
        "/last" => http::Response::new(lobby.history(1).remove(0).payload.clone()).into(),
        "/stream" => Response::stream(http::Response::new(()), async move |mut conn: Connection<Lines>| {
            let _seat = conn.join(&lobby)?;
            while conn.recv().await?.is_some() {}
            Ok::<(), switchboard::BoxError>(())
        }),
        _ => http::StatusCode::NOT_FOUND.into(),
    }
}

#[tokio::test(start_paused = true)]
async fn lines_websockets_requests_streams_and_datagrams_meet_in_one_server() {
    let app = testing::start(chat_server(&Hub::new().room("lobby").unwrap()));
    let mut ann = app.connect("tcp://127.0.0.1:7002");
    let mut bob = app.websocket("/ws").await;
    assert_eq!(ann.line().await, "* somebody came\n");
    bob.send("hi").await;
    assert_eq!(ann.line().await, "hi\n");
    let mut stream = app.get("/stream").await;

    let mut sensor = app.udp("127.0.0.1:7004");
    sensor.send("kitchen 21.5");
    assert_eq!(sensor.recv().await, "thanks");
    assert_eq!((ann.line().await, bob.text().await), ("kitchen 21.5\n".to_owned(), "kitchen 21.5".to_owned()));
    assert_eq!(stream.line().await, "kitchen 21.5\n");

    let mut last = app.get("http://127.0.0.1:7003/last").await;
    assert_eq!((last.status().as_u16(), last.text().await), (200, "kitchen 21.5".to_owned()));
    assert_eq!(app.post("/nowhere", "x").await.status(), 404);

    ann.finish();
    assert_eq!(ann.closed().await, CloseReason::PeerClosed);
    let drained = app.drain().await;
    assert_eq!((drained.aborted, bob.closed().await), (0, Some(1012)));
}

#[tokio::test(start_paused = true)]
async fn time_passes_at_once_while_a_whole_server_waits() {
    async fn wait(mut conn: Connection<Lines>) -> Result {
        tokio::time::sleep(Duration::from_hours(1)).await;
        conn.send(format!("{}", conn.peer())).await?;
        Ok(())
    }
    let app = testing::start(Server::new().tls("127.0.0.1:7000", &certificates(), wait));
    let (began, mut peer) = (Instant::now(), app.connect("tls"));
    assert_eq!(peer.line().await, "127.0.0.1:49152\n");
    assert_eq!(began.elapsed(), Duration::from_hours(1));
}

fn certificates() -> switchboard::Certificates {
    crate::harness::tls_peer::Pair::new(&["localhost"]).certificates()
}

#[tokio::test(start_paused = true)]
async fn datagram_peers_are_met_validated_and_served_without_a_socket() {
    async fn echo(mut conn: Connection<Datagrams>) -> Result {
        assert!(matches!(conn.peer(), PeerAddr::Ip(_)));
        while let Some(frame) = conn.recv().await? {
            conn.send(frame).await?;
        }
        Ok(())
    }
    let meet = |datagram: Datagram<'_>, reply: &mut DatagramReply<'_>| {
        if datagram.payload == b"cookie" {
            return Validation::Given;
        }
        reply.write("who?");
        Validation::Missing
    };
    let timeouts = Timeouts { idle: Some(Duration::from_mins(5)), ..Timeouts::default() };
    let udp = Udp::new("0.0.0.0:7005").timeouts(timeouts);
    let app = testing::start(Server::new().udp_peers(udp, meet, echo));
    let mut peer = app.udp("udp");
    peer.send("hello");
    assert_eq!(peer.recv().await, "who?");
    for said in ["cookie", "hello", ""] {
        peer.send(said);
        assert_eq!(peer.recv().await, said);
    }
    assert_eq!(app.handle().connections().len(), 1);
    tokio::time::sleep(Duration::from_mins(6)).await;
    assert_eq!(app.handle().metrics().closed(CloseReason::Idle), 1);
    peer.send("hello");
    assert_eq!(peer.recv().await, "who?", "a stranger again");
}

#[tokio::test(start_paused = true)]
async fn datagrams_that_wait_when_the_drain_begins_are_taken() {
    let heard = Hub::new().room("heard").unwrap();
    let room = heard.clone();
    let answering = Server::new().udp("127.0.0.1:7004", move |datagram, reply| {
        room.publish(datagram.payload);
        reply.write("thanks");
    });
    let app = testing::start(answering);
    let mut sensor = app.udp("udp");
    for said in ["1", "2", "3"] {
        sensor.send(said);
    }
    assert_eq!(app.drain().await.aborted, 0);
    assert_eq!(heard.last_id().seq, 3);
    for _ in 0..3 {
        assert_eq!(sensor.recv().await, "thanks");
    }

    let echo = async |mut conn: Connection<Datagrams>| -> Result {
        while let Some(frame) = conn.recv().await? {
            conn.send(frame).await?;
        }
        Ok(())
    };
    let app = testing::start(Server::new().udp_peers(Udp::new("127.0.0.1:7005"), |_, _| Validation::Given, echo));
    let mut peer = app.udp("udp");
    peer.send("hello");
    assert_eq!(app.drain().await, Drained { finished: 1, aborted: 0, elapsed: Duration::ZERO });
    assert_eq!(peer.recv().await, "hello");
}

#[tokio::test(start_paused = true)]
async fn what_a_datagram_listener_refuses_it_refuses_without_a_socket_too() {
    let limits = DatagramLimits { replies: RepliesPerSource::AtMost(Rate::new(1, 2)), ..DatagramLimits::default() };
    let udp = Udp::new("127.0.0.1:7006").limits(limits);
    let app = testing::start(Server::new().datagrams(udp, |datagram, reply| reply.write(datagram.payload)));
    let mut peer = app.udp("udp");
    for said in ["one", "two", "three"] {
        peer.send(said);
    }
    assert_eq!((peer.recv().await, peer.recv().await), ("one".into(), "two".into()));
    assert!(timeout(Duration::from_secs(1), peer.recv()).await.is_err());
    assert_eq!(app.handle().metrics().datagrams_refused.get(), 1);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "there is no listener tcp, but http://127.0.0.1:7003")]
async fn a_listener_that_is_not_there_is_told() {
    let service = async |_: Request| Response::from(http::StatusCode::OK);
    drop(testing::start(Server::new().http("127.0.0.1:7003", service)).connect("tcp"));
}
