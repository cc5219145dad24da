//! What programs need that were written on the library: each asserted in a few lines of a user's code, in memory and without waiting.
//! The corners of each are tested where its own file is.

use crate::harness::patience::{patiently, secs};
use crate::harness::served::{Served, nowhere};
use crate::harness::tls_peer::Pair;
use switchboard::grammar::{Message, Notice};
use switchboard::http::{Request, Response, StatusCode};
use switchboard::prelude::*;
use switchboard::testing;
use switchboard::{Handler, Memory, Rate, Sender, Tcp, Tls, Transport as _, Trust, TrySendError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// A server with one listener of TCP.
fn serving<C: Codec>(handler: impl Handler<C>) -> testing::Running {
    testing::start(Server::new().tcp("127.0.0.1:7000", handler))
}

/// Receives to the end.
async fn listen(mut conn: Connection<Lines>) -> Result {
    while conn.recv().await?.is_some() {}
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_reset_or_closed_for_a_reason() {
    let app = serving(async |mut conn: Connection<Lines>| -> Result {
        match &*conn.recv().await?.unwrap_or_default().to_str_lossy() {
            "reset" => conn.reset(),
            "close" => conn.close_as(CloseReason::Idle),
            _ => return Err(CloseReason::SlowConsumer.into()),
        }
        Ok(())
    });
    for (said, reason) in
        [("reset", CloseReason::Reset), ("close", CloseReason::Idle), ("else", CloseReason::SlowConsumer)]
    {
        let mut peer = app.connect("tcp");
        peer.send(format!("{said}\n")).await;
        peer.finish();
        assert_eq!(peer.closed().await, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_goes_on_through_a_drain_on_both_halves() {
    let app = serving(async |conn: Connection<Lines>| -> Result {
        let (mut from, to) = conn.split();
        assert_eq!(from.recv().await?, None);
        assert!(from.is_draining() && to.is_draining(), "the peer has not finished");
        while let Some(line) = from.recv_in_drain().await? {
            to.send(line).await?;
        }
        to.finish();
        Ok(())
    });
    let mut peer = app.connect("tcp");
    sleep(secs(1)).await;
    app.handle().drain();
    sleep(secs(1)).await;
    peer.send("the rest\n").await;
    peer.finish();
    assert_eq!(peer.rest().await.unwrap(), b"the rest\n");
    assert_eq!(app.drain().await.aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn another_task_sends_and_hears_of_the_end() {
    let (told, mut given) = mpsc::channel::<Sender<Lines>>(1);
    let app = serving((told, async |mut conn: Connection<Lines>, told: mpsc::Sender<_>| -> Result {
        let sender = conn.sender();
        told.send(sender.clone()).await?;
        // Both at once, though both are of one connection.
        tokio::select! {
            line = conn.recv() => assert_eq!(line?.unwrap(), "bye"),
            sent = async { sender.send("hi").await?; sleep(secs(60)).await; Ok::<(), ConnectionError>(()) } => sent?,
        }
        Ok(())
    }));
    let mut peer = app.connect("tcp");
    let sender = given.recv().await.unwrap();
    let closed = tokio::spawn(sender.closed());
    sender.clone().try_send("from elsewhere").unwrap();
    let mut lines = [peer.line().await, peer.line().await];
    lines.sort();
    assert_eq!(lines, ["from elsewhere\n", "hi\n"]);
    peer.send("bye\n").await;
    peer.finish();
    peer.closed().await;
    assert_eq!(sender.try_send("late"), Err(TrySendError::Closed(closed.await.unwrap())));
}

#[tokio::test(start_paused = true)]
async fn tasks_belong_to_the_drain() {
    let app = serving(async |conn: Connection<Lines>| drop(conn.spawn(sleep(secs(5)))));
    app.connect("tcp").closed().await;
    app.handle().spawn(sleep(secs(7)));
    assert_eq!(app.drain().await.elapsed, secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_connection_says_how_it_came_and_its_listener_has_a_name() {
    let tell = async |mut conn: Connection<Lines>| -> Result {
        let info = conn.info();
        conn.send(format!("{} by {}", info.transport, info.listener)).await?;
        Ok(())
    };
    let app = testing::start(Server::new().listen(Tcp::new("127.0.0.1:7000").named("front"), tell));
    assert_eq!(app.connect("tcp").line().await, "tcp by front\n");
    let place = async |mut conn: Connection<Lines>| -> Result {
        let address = conn.local_addr().map(|address| address.to_string());
        Ok(conn.send(address.unwrap_or_default()).await?)
    };
    let served = Served::start(Server::new().workers(0).tcp("127.0.0.1:0", place)).await;
    let mut conn = Client::new().tcp::<Lines>(served.address()).await.unwrap();
    assert_eq!(patiently(conn.recv()).await.unwrap().unwrap(), &*served.address().to_string());
}

#[tokio::test]
async fn clients_show_certificates_and_a_handler_sees_them() {
    let (server, ann) = (Pair::new(&["localhost"]), Pair::new(&["ann"]));
    let trust = |pair: &Pair| Trust::pem(&pair.certificate).unwrap();
    let who = async |mut conn: Connection<Lines>| -> Result {
        let tls = conn.tls().ok_or("no TLS")?;
        Ok(conn.send(format!("{} for {:?}", tls.peer_certificates.len(), tls.server_name)).await?)
    };
    let listener = Tls::new("127.0.0.1:0", &server.certificates()).require_client_certificates(&trust(&ann));
    let served = Served::start(Server::new().workers(0).listen(listener, who)).await;
    let shown = trust(&server).identity(&ann.certificates());
    let address = format!("localhost:{}", served.address().port());
    let mut conn = patiently(Client::new().tls::<Lines>(address, &shown)).await.unwrap();
    assert_eq!(patiently(conn.recv()).await.unwrap().unwrap(), "1 for Some(\"localhost\")");
}

#[tokio::test(start_paused = true)]
async fn bytes_are_frames_a_stream_or_passed_on() {
    let inside = Memory::new();
    let reverse = async |conn: Connection<Raw>| -> Result {
        let (mut stream, mut all) = (conn.into_io(), Vec::new());
        stream.read_to_end(&mut all).await?;
        all.reverse();
        Ok(stream.write_all(&all).await?)
    };
    let _upstream = Served::over(&inside, Server::new().memory(&inside, reverse)).await;
    let app = serving((inside, async |conn: Connection<Raw>, inside: Memory| -> Result {
        relay(conn, Client::new().memory::<Raw>(&inside).await?).await;
        Ok(())
    }));
    let mut peer = app.connect("tcp");
    peer.send("abc").await;
    peer.finish();
    assert_eq!(peer.rest().await.unwrap(), b"cba");
}

#[tokio::test(start_paused = true)]
async fn rooms_without_a_name_speak_an_encoding_of_ones_own_and_tell_of_gaps_or_do_not() {
    #[derive(PartialEq)]
    struct Numbered;
    impl Encoding<Lines> for Numbered {
        fn message(&self, message: &Message) -> Option<Line> {
            Some(format!("{}", message.id.seq).into())
        }

        fn notice(&self, notice: &Notice) -> Option<Line> {
            matches!(notice, Notice::Gap { .. }).then(|| "gap".into())
        }
    }
    let hub = Hub::new();
    for (overflow, has_gap) in [(Overflow::Latest, true), (Overflow::Conflate, false)] {
        let room = hub.unnamed(RoomOptions { overflow, presence: PresenceNotices::Off, ..RoomOptions::default() });
        let app = serving((room.clone(), async |mut conn: Connection<Lines>, room: Room| -> Result {
            let _seat = conn.join_as(&room, Numbered, Join::default())?;
            while conn.recv().await?.is_some() {}
            Ok(())
        }));
        let mut peer = app.connect("tcp");
        sleep(secs(1)).await;
        for _ in 0..40_000 {
            room.publish("state");
            tokio::task::yield_now().await;
        }
        let (mut last, mut gaps) = (String::new(), 0);
        while last != "40000\n" {
            last = peer.line().await;
            gaps += usize::from(last == "gap\n");
        }
        assert_eq!((gaps > 0, hub.rooms(None, 10).total), (has_gap, 0), "{overflow:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_listener_has_limits_and_a_rate() {
    let echo = async |mut conn: Connection<Lines>| -> Result {
        while let Some(line) = conn.recv().await? {
            conn.send(line).await?;
        }
        Ok(())
    };
    let strict = Limits { frame_bytes: 10, connections: 1, ..Limits::default() };
    let listener = Tcp::new("127.0.0.1:7000").limited(strict).throttled(Rate::new(1, 1));
    let app = testing::start(Server::new().listen(listener, echo).tcp("127.0.0.1:7001", echo));
    let (mut peer, began) = (app.connect("127.0.0.1:7000"), Instant::now());
    peer.send("1\n2\n3\n").await;
    for number in ["1\n", "2\n", "3\n"] {
        assert_eq!(peer.line().await, number);
    }
    assert!(began.elapsed() >= secs(2));
    assert_eq!(app.connect("127.0.0.1:7000").rest().await.unwrap(), b"", "there is one already");
    let mut other = app.connect("127.0.0.1:7001");
    other.send("a line of more than ten\n").await;
    assert_eq!(other.line().await, "a line of more than ten\n");
}

#[tokio::test(start_paused = true)]
async fn a_whole_server_is_tested_in_memory_with_state_requests_and_datagrams() {
    let room = Hub::new().room("readings").unwrap();
    let datagrams = room.clone();
    let watch = async |conn: Connection<Lines>, room: Room| -> Result {
        let _seat = conn.join(&room)?;
        listen(conn).await
    };
    let last = async |_: Request, room: Room| -> Result<Response, StatusCode> {
        let newest = room.history(1).pop().ok_or(StatusCode::NOT_FOUND)?;
        Ok(switchboard::http::types::Response::new(newest.payload.clone()).into())
    };
    let server = Server::new()
        .tcp("127.0.0.1:7000", (room.clone(), watch))
        .http("127.0.0.1:7001", (room, last))
        .udp("127.0.0.1:7002", move |datagram, _| _ = datagrams.publish(datagram.payload));
    let app = testing::start(server);
    let mut peers = [app.connect("tcp"), app.connect("tcp")];
    assert_eq!(app.get("/").await.status(), 404);
    sleep(secs(1)).await;
    app.udp("udp").send(switchboard::bytes::Bytes::from("21.5"));
    for peer in &mut peers {
        assert_eq!(peer.line().await, "21.5\n");
    }
    assert_eq!(app.get("/").await.text().await, "21.5");
}

#[tokio::test]
async fn a_failure_to_connect_names_the_address() {
    let free = nowhere();
    let error = Client::new().tcp::<Lines>(free).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to tcp://{free}"));
}
