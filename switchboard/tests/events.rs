//! Answers that stream events: what they are, that they are kept alive, and what is published as events of their own.

use crate::harness::http2_client::{Client, piece};
use crate::harness::node::{QUIET, shown};
use crate::harness::patience::{secs, until};
use crate::harness::served::Served;
use switchboard::http::{Request, Response, types};
use switchboard::prelude::*;
use switchboard::testing::{self, HttpAnswer, Running};
use switchboard::{EventStream, PlainEvents};
use tokio::time::{Duration, Instant, sleep, timeout};

async fn live(_: Request, room: Room) -> Response {
    Response::stream(types::Response::new(()), |conn| watch(conn, room))
}

async fn watch(mut conn: Connection<EventStream>, room: Room) -> Result {
    conn.send(EventStream::data("hello")).await?;
    let _seat = conn.join_as(&room, PlainEvents, Join::default())?;
    while conn.recv().await?.is_some() {}
    Ok(())
}

/// A server, and a client that has heard the hello.
async fn streaming(room: &Room, timeouts: Timeouts) -> (Running, HttpAnswer) {
    let server = Server::new().timeouts(timeouts).http("127.0.0.1:7010", (room.clone(), live));
    let app = testing::start(server);
    let mut answer = app.get("/").await;
    assert_eq!(event(&mut answer).await, "data: hello\n");
    until(|| room.member_count() > 0).await;
    (app, answer)
}

/// The next event, or comment.
async fn event(answer: &mut HttpAnswer) -> String {
    let mut event = String::new();
    loop {
        match &*answer.line().await {
            "\n" => return event,
            line => event.push_str(line),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_events_says_what_it_is_unless_its_head_does() {
    let (app, answer) = streaming(&Hub::new().unnamed(QUIET), Timeouts::default()).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    drop(app);
    let other = async |_: Request| {
        let head =
            types::Response::builder().header("content-type", "text/event-stream; charset=utf-8").body(()).unwrap();
        Response::stream(head, async |_: Connection<EventStream>| {})
    };
    let app = testing::start(Server::new().http("127.0.0.1:7010", other));
    assert_eq!(app.get("/").await.headers()["content-type"], "text/event-stream; charset=utf-8");
    let lines = async |_: Request| {
        Response::stream(types::Response::new(()), async |mut conn: Connection<Lines>| conn.last_word("hi"))
    };
    let app = testing::start(Server::new().http("127.0.0.1:7010", lines));
    assert!(app.get("/").await.headers().get("content-type").is_none(), "lines may be anything");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_of_events_is_kept_alive_by_comments() {
    let room = Hub::new().unnamed(QUIET);
    let (_app, mut answer) = streaming(&room, Timeouts::default()).await;
    let mut since = Instant::now();
    for _ in 0..3 {
        assert_eq!(event(&mut answer).await, ":\n");
        let quiet = since.elapsed();
        assert!((secs(29)..secs(33)).contains(&quiet), "{quiet:?}");
        since = Instant::now();
    }
    // One that is not quiet has none.
    for _ in 0..5 {
        sleep(secs(20)).await;
        room.publish("still here");
        assert!(event(&mut answer).await.ends_with("\ndata: still here\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_kept_alive_only_if_it_is_of_events_and_that_is_asked_for() {
    let none = Timeouts { ping: None, ..Timeouts::default() };
    let (_app, mut answer) = streaming(&Hub::new().unnamed(QUIET), none).await;
    assert!(timeout(Duration::from_hours(1), answer.line()).await.is_err());
    let lines = async |_: Request| {
        Response::stream(types::Response::new(()), async |mut conn: Connection<Lines>| -> Result {
            conn.send("hello").await?;
            while conn.recv().await?.is_some() {}
            Ok(())
        })
    };
    let app = testing::start(Server::new().http("127.0.0.1:7010", lines));
    let mut answer = app.get("/").await;
    assert_eq!(answer.line().await, "hello\n");
    assert!(timeout(Duration::from_hours(1), answer.line()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_published_is_an_event_of_its_own_and_a_loss_is_named() {
    let room = Hub::new().unnamed(QUIET);
    let (_app, mut answer) = streaming(&room, Timeouts::default()).await;
    let id = shown(room.publish("{\"a\":1}\nand more"));
    assert_eq!(event(&mut answer).await, format!("id: {id}\ndata: {{\"a\":1}}\ndata: and more\n"));
    room.publish([0xff, 0xfe]);
    let gap = event(&mut answer).await;
    assert!(gap.starts_with("event: gap\ndata: {\"event\":\"gap\",") && gap.contains("\"lost\":1"), "{gap}");
}

#[tokio::test(start_paused = true)]
async fn over_http2_a_quiet_stream_is_kept_alive_too() {
    let room = Hub::new().unnamed(QUIET);
    let server = Served::http((room, live));
    let mut client = Client::connect(&server).await;
    let answer = client.get("/").await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "data: hello\n\n");
    let since = Instant::now();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), ":\n\n");
    assert!(since.elapsed() < secs(33), "{:?}", since.elapsed());
}
