//! Connections over memory, under a paused clock: framing, deadlines, close reasons, drain.

use crate::harness::batches::Batches;
use crate::harness::patience::{secs, until};
use crate::harness::served::{Served, echo};
use bytes::BytesMut;
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::testing::{self, Peer};
use switchboard::{BoxError, ConnectionError, FrameError, Handle, Memory, Output};
use tokio::sync::Notify;
use tokio::time::{Instant, advance, sleep};

type BoxFuture = Pin<Box<dyn Future<Output = Result> + Send>>;

#[tokio::test(start_paused = true)]
async fn lines_come_back_with_the_end_they_came_with() {
    let mut peer = testing::serve(echo, Timeouts::default());
    peer.send("lf\ncrlf\r\nnone").await;
    peer.finish();
    assert_eq!(peer.rest().await.unwrap(), b"lf\ncrlf\r\nnone");
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
}

/// Told to two who wait, one of them in a task of its own, while the handler does something else.
#[tokio::test(start_paused = true)]
async fn who_waits_for_the_end_is_told_why_it_came() {
    let (told, mut heard) = tokio::sync::mpsc::channel(2);
    let (memory, server) = (Memory::new(), Server::new());
    let handle = server.handle();
    let handler = move |mut conn: Connection<Lines>| {
        let told = told.clone();
        async move {
            let (aside, closed) = (told.clone(), conn.closed());
            drop(tokio::spawn(async move { aside.send(closed.await).await }));
            assert!(conn.recv().await?.is_some());
            told.send(conn.closed().await).await?;
            Ok::<_, switchboard::BoxError>(())
        }
    };
    let timeouts = Timeouts { write: Some(secs(5)), ..Timeouts::default() };
    drop(tokio::spawn(
        server.workers(0).timeouts(timeouts).memory(&memory, handler).serve_until(std::future::pending()),
    ));
    let mut peer = testing::Peer::connect(&memory);
    peer.send("hi\n").await;
    sleep(secs(60)).await;
    assert!(heard.try_recv().is_err(), "nobody has ended it");
    let id = handle.connections().list(None, 1)[0].id;
    assert!(handle.connections().close(id));
    assert_eq!((heard.recv().await, heard.recv().await), (Some(CloseReason::Closed), Some(CloseReason::Closed)));
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_connection_that_was_dropped_can_be_waited_for() {
    let memory = Memory::new();
    let server = Server::new().workers(0).memory(&memory, echo);
    drop(tokio::spawn(server.serve_until(std::future::pending())));
    let client = switchboard::Client::new();
    let conn: Connection<Lines> = client.memory(&memory).await.unwrap();
    let closed = conn.closed();
    drop(conn);
    assert_eq!(closed.await, CloseReason::Finished);
    let conn: Connection<Lines> = client.memory(&memory).await.unwrap();
    let (closed, again) = (conn.closed(), conn.closed());
    conn.close();
    assert_eq!((closed.await, again.await), (CloseReason::Closed, CloseReason::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_frame_may_arrive_byte_by_byte() {
    let mut peer = testing::serve(echo, Timeouts::default());
    for byte in b"slow\n" {
        peer.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(peer.line().await, "slow\n");
}

#[tokio::test(start_paused = true)]
async fn recv_is_cancel_safe_in_the_middle_of_a_frame() {
    let mut peer = testing::serve(
        async |mut conn: Connection<Lines>| -> Result {
            let mut cancelled = 0;
            let line = loop {
                tokio::select! {
                    line = conn.recv() => break line?,
                    () = sleep(secs(1)) => cancelled += 1,
                }
            };
            conn.send(format!("{cancelled} {}", line.unwrap())).await?;
            Ok(())
        },
        Timeouts::default(),
    );
    peer.send("half").await;
    sleep(Duration::from_millis(2500)).await;
    peer.send(" and half\n").await;
    assert_eq!(peer.line().await, "2 half and half\n");
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_told_why_it_is_closed_by_a_handler_that_has_a_last_word() {
    let handler = async |mut conn: Connection<Lines>| -> Result {
        while let Some(line) = conn.recv().await.inspect_err(|error| conn.last_word(error.to_string()))? {
            conn.send(line).await?;
        }
        Ok(())
    };
    let mut peer = testing::serve(handler, Timeouts { idle: Some(secs(60)), ..Timeouts::default() });
    peer.send("hi\n").await;
    assert_eq!(peer.rest().await.unwrap(), b"hi\nconnection closed: idle\n");
    assert_eq!(peer.closed().await, CloseReason::Idle);
}

#[tokio::test(start_paused = true)]
async fn a_last_word_comes_behind_answers_that_fill_the_outbox_if_the_socket_takes_them() {
    let handler = async |mut conn: Connection<Lines>| -> Result {
        let line = conn.recv().await?.expect("a line");
        conn.send(line).await?;
        conn.last_word("bye");
        Ok(())
    };
    let limits = Limits { outbox_frames: 1, ..Limits::default() };
    let memory = Memory::new();
    let server = Server::new().workers(0).limits(limits).memory(&memory, handler);
    tokio::spawn(server.serve_until(std::future::pending()));
    let mut peer = Peer::connect(&memory);
    peer.send("hi\n").await;
    assert_eq!(peer.rest().await.unwrap(), b"hi\nbye\n");
}

#[tokio::test(start_paused = true)]
async fn an_idle_peer_is_closed_at_the_idle_timeout_and_not_before() {
    let started = Instant::now();
    let mut peer = testing::serve(echo, Timeouts { idle: Some(secs(60)), ..Timeouts::default() });
    assert_eq!(peer.closed().await, CloseReason::Idle);
    let waited = started.elapsed();
    // The peer never finishes, so it gets its linger time as well.
    assert!(waited > secs(60) && waited <= secs(61 + 4), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn time_in_which_nothing_ran_is_not_held_against_a_peer() {
    let timeouts = Timeouts { idle: Some(secs(60)), ..Timeouts::default() };
    let mut peer = testing::serve(echo, timeouts);
    for line in ["first\n", "behind an hour\n"] {
        peer.send(line).await;
        assert_eq!(peer.line().await, line);
        advance(secs(3600)).await;
        sleep(secs(50)).await;
    }
    assert_eq!(peer.closed().await, CloseReason::Idle);
}

#[tokio::test(start_paused = true)]
async fn time_in_which_nothing_ran_is_none_of_the_grace_period() {
    let (memory, go_on) = (Memory::new(), Arc::new(Notify::new()));
    let server = Server::new().grace(secs(30)).memory(&memory, {
        let go_on = Arc::clone(&go_on);
        move |conn: Connection<Lines>| {
            let go_on = Arc::clone(&go_on);
            async move {
                go_on.notified().await;
                drop(conn);
                Ok::<(), BoxError>(())
            }
        }
    });
    let served = Served::over(&memory, server).await;
    let mut peer = served.connect();
    until(|| served.handle.connections().len() == 1).await;
    served.handle.drain();
    sleep(secs(20)).await;
    advance(secs(3600)).await;
    sleep(secs(5)).await;
    go_on.notify_one();
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::Drained);
    assert_eq!(served.drained.await.unwrap().aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn input_renews_the_idle_timeout() {
    let mut peer = testing::serve(echo, Timeouts { idle: Some(secs(60)), ..Timeouts::default() });
    for _ in 0..5 {
        advance(secs(50)).await;
        peer.send("still here\n").await;
        assert_eq!(peer.line().await, "still here\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_works_is_not_idle() {
    let mut peer = testing::serve(
        async |mut conn: Connection<Lines>| -> Result {
            while let Some(line) = conn.recv().await? {
                sleep(secs(300)).await;
                conn.send(line).await?;
            }
            Ok(())
        },
        Timeouts { idle: Some(secs(60)), ..Timeouts::default() },
    );
    peer.send("a long job\n").await;
    assert_eq!(peer.line().await, "a long job\n");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_is_closed_as_a_slow_consumer() {
    let mut peer = testing::serve(
        async |mut conn: Connection<Lines>| -> Result {
            loop {
                conn.send("x".repeat(1000)).await?;
            }
        },
        Timeouts::default(),
    );
    assert_eq!(peer.closed().await, CloseReason::SlowConsumer);
}

#[tokio::test(start_paused = true)]
async fn a_line_over_the_limit_closes_and_a_last_word_is_still_sent() {
    let memory = Memory::new();
    let served = Served::over(
        &memory,
        Server::new().limits(Limits { frame_bytes: 10, ..Limits::default() }).memory(
            &memory,
            async |mut conn: Connection<Lines>| -> Result {
                loop {
                    match conn.recv().await {
                        Ok(Some(line)) => conn.send(line).await?,
                        Err(ConnectionError::Frame(FrameError::TooLong { limit })) => {
                            conn.send(format!("at most {limit}")).await?;
                            return Ok(());
                        }
                        _ => return Ok(()),
                    }
                }
            },
        ),
    )
    .await;
    let mut peer = served.connect();
    peer.send("exactly 10\nmore than 10\n").await;
    assert_eq!(peer.line().await, "exactly 10\n");
    assert_eq!(peer.line().await, "at most 10\n");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::FrameTooLong);
    assert_eq!(served.handle.metrics().closed(CloseReason::FrameTooLong), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_the_connection_as_a_reset() {
    let memory = Memory::new();
    let served = Served::over(&memory, Server::new().memory(&memory, echo)).await;
    let mut peer = served.connect();
    peer.send("hello\n").await;
    assert_eq!(peer.line().await, "hello\n");
    peer.reset();
    until(|| served.handle.metrics().closed(CloseReason::PeerReset) == 1).await;
    assert!(served.handle.connections().is_empty());
}

/// Takes lines slowly, and answers each; tells which it took.
fn slow_echo(taken: &Arc<Mutex<Vec<String>>>) -> impl Fn(Connection<Lines>) -> BoxFuture + Send + Sync + 'static {
    let taken = Arc::clone(taken);
    move |mut conn| {
        let taken = Arc::clone(&taken);
        Box::pin(async move {
            conn.send("welcome").await?;
            sleep(secs(1)).await;
            while let Some(line) = conn.recv().await? {
                taken.lock().push(line.to_string());
                sleep(secs(1)).await;
                conn.send(line).await?;
            }
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_received_is_handled_though_nobody_hears_the_answers() {
    let (memory, taken) = (Memory::new(), Arc::default());
    let served = Served::over(&memory, Server::new().memory(&memory, slow_echo(&taken))).await;
    let mut peer = served.connect();
    peer.send("1\n2\n3\n4\n5\n6\nhalf").await;
    drop(peer);
    until(|| served.handle.metrics().closed(CloseReason::PeerReset) == 1).await;
    assert_eq!(*taken.lock(), ["1", "2", "3", "4", "5", "6", "half"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_says_on_after_it_stopped_listening_is_handled() {
    let (memory, taken) = (Memory::new(), Arc::default());
    let served = Served::over(&memory, Server::new().memory(&memory, slow_echo(&taken))).await;
    let mut peer = served.connect();
    peer.stop_listening();
    sleep(secs(60)).await;
    peer.send("late\n").await;
    until(|| !taken.lock().is_empty()).await;
    assert_eq!(served.handle.connections().len(), 1);
    drop(peer);
    until(|| served.handle.metrics().closed(CloseReason::PeerReset) == 1).await;
    assert_eq!(*taken.lock(), ["late"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_only_sends_hears_soon_that_nobody_listens() {
    let memory = Memory::new();
    let handler = async |mut conn: Connection<Lines>| -> Result {
        loop {
            conn.send("tick").await?;
        }
    };
    let served = Served::over(&memory, Server::new().memory(&memory, handler)).await;
    let (mut gone, mut bystander) = (served.connect(), served.connect());
    assert_eq!(bystander.line().await, "tick\n");
    gone.send("never read\n").await;
    drop(gone);
    let began = Instant::now();
    until(|| served.handle.metrics().closed(CloseReason::PeerReset) == 1).await;
    assert!(began.elapsed() < secs(5), "{:?}", began.elapsed());
    assert_eq!(bystander.line().await, "tick\n");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_nothing_for_a_peer_that_is_gone_is_dropped() {
    let memory = Memory::new();
    let handler = async |mut conn: Connection<Lines>| -> Result {
        conn.send("welcome").await?;
        std::future::pending().await
    };
    let served = Served::over(&memory, Server::new().memory(&memory, handler)).await;
    drop(served.connect());
    until(|| served.handle.metrics().closed(CloseReason::PeerReset) == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_connection_alone() {
    let memory = Memory::new();
    let handler = async |mut conn: Connection<Lines>| -> Result {
        while let Some(line) = conn.recv().await? {
            assert!(line != "panic", "as asked");
            conn.send(line).await?;
        }
        Ok(())
    };
    let served = Served::over(&memory, Server::new().memory(&memory, handler)).await;
    let (mut bystander, mut victim) = (served.connect(), served.connect());
    victim.send("before\npanic\n").await;
    assert_eq!(victim.line().await, "before\n");
    victim.finish();
    assert_eq!(victim.closed().await, CloseReason::HandlerPanic);
    bystander.send("fine\n").await;
    assert_eq!(bystander.line().await, "fine\n");
}

/// Lines, but for the end of which it should say something and panics.
#[derive(Default)]
struct Speechless(Lines);

impl Codec for Speechless {
    type Frame = Line;

    fn decode(&mut self, input: &mut bytes::BytesMut, limit: usize) -> std::result::Result<Option<Line>, FrameError> {
        self.0.decode(input, limit)
    }

    fn farewell(&mut self, _: CloseReason, _: Option<u16>, _: &str) -> Option<bytes::Bytes> {
        panic!("as planted")
    }

    fn encode(&mut self, line: Line, output: &mut switchboard::Output) {
        self.0.encode(line, output);
    }
}

/// An error that cannot even be told.
struct Unspeakable;

impl From<Unspeakable> for BoxError {
    fn from(_: Unspeakable) -> Self {
        panic!("as planted")
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_what_ends_a_connection_is_its_own_too() {
    let (speechless, unspeakable) = (Memory::new(), Memory::new());
    let say = async |mut conn: Connection<Speechless>| -> Result { Ok(conn.send("last").await?) };
    let fail = async |_: Connection<Lines>| Err::<(), _>(Unspeakable);
    let server = Server::new().memory(&speechless, say).memory(&unspeakable, fail);
    let served = Served::over(&speechless, server).await;
    let mut peer = served.connect();
    assert_eq!(peer.line().await, "last\n");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::Finished);
    let mut peer = Peer::connect(&unspeakable);
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::HandlerPanic);
    let metrics = served.handle.metrics();
    until(|| served.handle.connections().is_empty()).await;
    assert_eq!((metrics.closed(CloseReason::Finished), metrics.closed(CloseReason::HandlerPanic)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_handler_is_its_close_reason() {
    let mut peer =
        testing::serve(async |_: Connection<Lines>| -> Result { Err("no luck".into()) }, Timeouts::default());
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::HandlerError);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_was_meant_is_its_reason_unless_the_peer_has_finished() {
    for (finishes, reason) in [(false, CloseReason::Closed), (true, CloseReason::PeerClosed)] {
        let handler = async |mut conn: Connection<Lines>| -> Result {
            while conn.recv().await?.is_some_and(|line| line != "go") {}
            conn.send("bye").await?;
            conn.close();
            Ok(())
        };
        let mut peer = testing::serve(handler, Timeouts::default());
        if finishes {
            peer.finish();
        } else {
            peer.send("go\n").await;
        }
        assert_eq!(peer.rest().await.unwrap(), b"bye\n");
        peer.finish();
        assert_eq!(peer.closed().await, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_peer_that_never_stops_sending_a_drain_hears_what_its_socket_holds() {
    let (memory, heard) = (Memory::new(), Arc::new(Mutex::new(Vec::new())));
    let hearing = Arc::clone(&heard);
    let handler = move |mut conn: Connection<Lines>| {
        let hearing = Arc::clone(&hearing);
        async move {
            conn.draining().await;
            while let Some(line) = conn.recv().await? {
                hearing.lock().push(line.to_str_lossy().into_owned());
            }
            Ok::<(), BoxError>(())
        }
    };
    let served = Served::over(&memory, Server::new().memory(&memory, handler)).await;
    let mut peer = served.connect();
    peer.send("before\n".repeat(9_000)).await;
    served.handle.drain();
    for _ in 0..1_000 {
        peer.send("after\n".repeat(1_000)).await;
    }
    peer.finish();
    let drained = served.drained.await.unwrap();
    assert_eq!((drained.finished, drained.aborted), (1, 0));
    let heard = heard.lock();
    assert!(heard[..9_000].iter().all(|line| line == "before"));
    assert!(heard.len() < 400_000, "{}", heard.len());
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_at_the_end_all_arrives_although_input_is_unread() {
    let mut peer = testing::serve(
        async |mut conn: Connection<Lines>| -> Result {
            for _ in 0..1024 {
                conn.send("y".repeat(1023)).await?;
            }
            Ok(())
        },
        Timeouts::default(),
    );
    peer.send("never read by the handler\n").await;
    peer.finish();
    assert_eq!(peer.rest().await.unwrap().len(), 1024 * 1024);
    assert_eq!(peer.closed().await, CloseReason::Finished);
}

#[tokio::test(start_paused = true)]
async fn a_polite_close_leaves_what_was_sent_to_a_peer_that_reads_late() {
    let handler = async |mut conn: Connection<Lines>| -> Result {
        conn.send("z".repeat(50_000)).await?;
        conn.recv().await?;
        Ok(())
    };
    let mut peer = testing::serve(handler, Timeouts { idle: Some(secs(5)), ..Timeouts::default() });
    assert_eq!(peer.closed().await, CloseReason::Idle);
    assert_eq!(peer.rest().await.unwrap().len(), 50_001);
}

#[tokio::test(start_paused = true)]
async fn drain_hands_over_what_was_received_and_then_none() {
    let memory = Memory::new();
    let gate = Arc::new(Notify::new());
    let handler = {
        let gate = Arc::clone(&gate);
        move |mut conn: Connection<Lines>| {
            let gate = Arc::clone(&gate);
            async move {
                gate.notified().await;
                while let Some(line) = conn.recv().await? {
                    conn.send(line).await?;
                }
                conn.send("bye").await?;
                Ok::<(), BoxError>(())
            }
        }
    };
    let served = Served::over(&memory, Server::new().memory(&memory, handler)).await;
    let mut peer = served.connect();
    peer.send("one\ntwo\npartial").await;
    until(|| served.handle.connections().len() == 1).await;
    served.handle.drain();
    tokio::task::yield_now().await;
    gate.notify_one();
    assert_eq!(peer.rest().await.unwrap(), b"one\ntwo\nbye\n");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::Drained);
    let drained = served.drained.await.unwrap();
    assert_eq!((drained.finished, drained.aborted), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_for_input_drains_by_itself() {
    let memory = Memory::new();
    let served = Served::over(&memory, Server::new().memory(&memory, echo)).await;
    let mut peer = served.connect();
    peer.send("hi\n").await;
    assert_eq!(peer.line().await, "hi\n");
    served.handle.drain();
    assert_eq!(peer.rest().await.unwrap(), b"");
    peer.finish();
    assert_eq!(served.drained.await.unwrap().finished, 1);
    assert!(Peer::connect(&served.memory).rest().await.is_err(), "a drained listener refuses");
}

/// A handler that does not finish.
async fn stays(conn: Connection<Lines>) -> Result {
    std::future::pending::<()>().await;
    drop(conn);
    Ok(())
}

/// Drains a connection that stays, at most 30 seconds unless `change` says otherwise. That many it takes.
async fn is_aborted_after(grace: u64, change: impl FnOnce(&Handle)) {
    let memory = Memory::new();
    let served = Served::over(&memory, Server::new().grace(secs(30)).memory(&memory, stays)).await;
    let mut peer = served.connect();
    until(|| served.handle.connections().len() == 1).await;
    change(&served.handle);
    let began = Instant::now();
    served.handle.drain();
    assert_eq!(peer.closed().await, CloseReason::Aborted);
    let drained = served.drained.await.unwrap();
    assert_eq!((drained.finished, drained.aborted), (0, 1));
    assert!(began.elapsed() >= secs(grace) && began.elapsed() < secs(grace + 2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_finish_is_aborted_after_the_grace_period() {
    is_aborted_after(30, |_| {}).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_takes_as_long_as_the_grace_period_that_is_set_when_it_begins() {
    is_aborted_after(5, |handle| handle.set_grace(secs(5))).await;
}

#[tokio::test(start_paused = true)]
async fn abort_ends_a_drain_now() {
    let memory = Memory::new();
    let server = Server::new().memory(&memory, stays);
    let served = Served::over(&memory, server).await;
    let _peer = served.connect();
    until(|| served.handle.connections().len() == 1).await;
    let began = Instant::now();
    served.handle.drain();
    tokio::task::yield_now().await;
    served.handle.abort();
    assert_eq!(served.drained.await.unwrap().aborted, 1);
    assert!(began.elapsed() < secs(1));
}

#[tokio::test(start_paused = true)]
async fn to_abort_or_drain_once_more_changes_nothing() {
    let memory = Memory::new();
    let served = Served::over(&memory, Server::new().memory(&memory, echo)).await;
    let mut peer = served.connect();
    peer.send("hello\n").await;
    assert_eq!(peer.line().await, "hello\n");
    for _ in 0..2 {
        served.handle.abort();
        served.handle.drain();
    }
    let drained = served.drained.await.unwrap();
    assert_eq!(drained.finished + drained.aborted, 1);
    // Of a server that has ended, too.
    served.handle.abort();
    served.handle.drain();
    assert!(served.handle.connections().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_dropped_ends_everything_at_once() {
    let memory = Memory::new();
    let served = Served::over(&memory, Server::new().memory(&memory, echo)).await;
    let mut peer = served.connect();
    peer.send("hello\n").await;
    assert_eq!(peer.line().await, "hello\n");
    served.drained.abort();
    assert_eq!(peer.closed().await, CloseReason::Aborted);
    assert!(served.handle.connections().is_empty());
    assert!(served.connect().rest().await.is_err(), "and nobody is accepted");
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_wait_for_the_drain() {
    let memory = Memory::new();
    let server = Server::new().memory(&memory, async |mut conn: Connection<Lines>| -> Result {
        conn.draining().await;
        conn.send("draining").await?;
        Ok(())
    });
    let served = Served::over(&memory, server).await;
    let mut peer = served.connect();
    until(|| served.handle.connections().len() == 1).await;
    served.handle.drain();
    assert_eq!(peer.line().await, "draining\n");
}

#[tokio::test(start_paused = true)]
async fn live_connections_are_listed_looked_up_and_closed() {
    let memory = Memory::new();
    let served = Served::over(&memory, Server::new().memory(&memory, echo)).await;
    let (mut first, _second) = (served.connect(), served.connect());
    let connections = served.handle.connections();
    until(|| connections.len() == 2).await;
    advance(secs(10)).await;
    first.send("12345\n").await;
    assert_eq!(first.line().await, "12345\n");
    until(|| connections.list(None, 1)[0].bytes_out == 6).await;

    let page = connections.list(None, 1);
    let info = connections.get(page[0].id).unwrap();
    assert_eq!((info.transport, info.listener.as_str()), ("memory", "memory"));
    assert_eq!((info.bytes_in, info.bytes_out, info.frames_in, info.frames_out), (6, 6, 1, 1));
    assert!(info.age >= secs(10) && info.quiet <= secs(1));
    assert_eq!(connections.list(Some(info.id), 10).len(), 1, "the next page");

    assert!(connections.close(info.id));
    assert_eq!(first.rest().await.unwrap(), b"");
    first.finish();
    assert_eq!(first.closed().await, CloseReason::Closed);
    assert!(!connections.close(info.id), "it is gone");
    assert_eq!(connections.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_frame_counts_as_the_messages_that_it_is() {
    let memory = Memory::new();
    let limits = Limits { outbox_frames: 100, ..Limits::default() };
    let server = Server::new().limits(limits).memory(&memory, async |mut conn: Connection<Batches>| {
        while let Some(batch) = conn.recv().await? {
            // More than is sent in one poll.
            for _ in 0..50 {
                conn.send(batch.clone()).await?;
            }
        }
        Ok::<(), BoxError>(())
    });
    let served = Served::over(&memory, server).await;
    let mut peer = served.connect();
    let counted =
        || served.handle.connections().list(None, 1).first().map_or((0, 0), |info| (info.frames_in, info.frames_out));
    peer.send("1\n2\n3\n").await;
    until(|| counted() == (3, 150)).await;
    peer.finish();
    assert_eq!(peer.rest().await.unwrap().len(), 50 * 6);
}

#[tokio::test(start_paused = true)]
async fn frames_of_many_messages_are_held_to_the_bound_on_frames() {
    let (memory, sent) = (Memory::new(), Arc::new(AtomicUsize::new(0)));
    let limits = Limits { outbox_frames: 100, ..Limits::default() };
    let counter = Arc::clone(&sent);
    let server = Server::new().limits(limits).memory(&memory, move |mut conn: Connection<Batches>| {
        let counter = Arc::clone(&counter);
        async move {
            let Some(batch) = conn.recv().await? else { return Ok(()) };
            for _ in 0..50_000 {
                conn.send(batch.clone()).await?;
                counter.fetch_add(1, Ordering::SeqCst);
            }
            Ok::<(), BoxError>(())
        }
    });
    let served = Served::over(&memory, server).await;
    let mut peer = served.connect();
    peer.send("1\n".repeat(60)).await;
    sleep(secs(2)).await;
    // The pipe takes 64 KiB, the outbox two batches, since the first one leaves room.
    let stuck_at = sent.load(Ordering::SeqCst);
    assert!((546..=552).contains(&stuck_at), "{stuck_at}");
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_fails_at_once_and_a_deaf_handler_is_dropped() {
    let (memory, dropped) = (Memory::new(), Arc::new(AtomicBool::new(false)));
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let seen = Arc::clone(&dropped);
    let server = Server::new().memory(&memory, move |conn: Connection<Lines>| {
        let flag = Flag(Arc::clone(&seen));
        async move {
            std::future::pending::<()>().await;
            drop((conn, flag));
            Ok::<(), BoxError>(())
        }
    });
    let served = Served::over(&memory, server).await;
    let mut peer = served.connect();
    let connections = served.handle.connections().clone();
    until(|| connections.len() == 1).await;
    connections.close(connections.list(None, 1)[0].id);
    assert_eq!(peer.closed().await, CloseReason::Closed);
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn send_waits_while_the_outbox_is_full_and_goes_on_when_the_peer_reads() {
    let (memory, sent) = (Memory::new(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&sent);
    let limits = Limits { outbox_bytes: 10_000, ..Limits::default() };
    let server = Server::new().limits(limits).memory(&memory, move |mut conn: Connection<Lines>| {
        let counter = Arc::clone(&counter);
        async move {
            for _ in 0..1000 {
                conn.send("z".repeat(999)).await?;
                counter.fetch_add(1, Ordering::SeqCst);
            }
            Ok::<(), BoxError>(())
        }
    });
    let served = Served::over(&memory, server).await;
    let mut peer = served.connect();
    sleep(secs(2)).await;
    // The pipe takes 64 KiB, the outbox 10 KB and the frame that passed its limit.
    let stuck_at = sent.load(Ordering::SeqCst);
    assert!((65..=85).contains(&stuck_at), "{stuck_at}");
    assert_eq!(peer.rest().await.unwrap().len(), 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_connections_are_refused() {
    let memory = Memory::new();
    let limits = Limits { connections: 2, ..Limits::default() };
    let served = Served::over(&memory, Server::new().limits(limits).memory(&memory, echo)).await;
    let (first, mut second) = (served.connect(), served.connect());
    second.send("in\n").await;
    assert_eq!(second.line().await, "in\n");
    assert_eq!(served.connect().rest().await.unwrap(), b"", "closed at once");
    assert_eq!(served.handle.metrics().closed(CloseReason::TooManyConnections), 1);
    first.reset();
    until(|| served.handle.connections().len() == 1).await;
    let mut third = served.connect();
    third.send("now\n").await;
    assert_eq!(third.line().await, "now\n");
}

#[tokio::test(start_paused = true)]
async fn above_the_memory_budget_the_largest_holder_is_closed() {
    let memory = Memory::new();
    let limits = Limits { memory_bytes: 400_000, ..Limits::default() };
    let handler = async |mut conn: Connection<Lines>| -> Result {
        while let Some(line) = conn.recv().await? {
            let bytes: usize = line.to_str_lossy().parse()?;
            for _ in 0..bytes / 1000 {
                conn.send("m".repeat(999)).await?;
            }
        }
        Ok(())
    };
    let served = Served::over(&memory, Server::new().limits(limits).memory(&memory, handler)).await;
    let (mut small, mut large) = (served.connect(), served.connect());
    small.send("200000\n").await;
    large.send("300000\n").await;
    assert_eq!(large.closed().await, CloseReason::OutOfMemory);
    assert_eq!(served.handle.connections().len(), 1);
    let mut got = 0;
    while got < 200_000 {
        got += small.line().await.len();
    }
}

/// Lines, counted as long as they are not whole: in all connections now, and at most.
#[derive(Default)]
struct Counted {
    lines: Lines,
    partial: usize,
}

static PARTIAL: AtomicUsize = AtomicUsize::new(0);
static MOST_PARTIAL: AtomicUsize = AtomicUsize::new(0);

impl Counted {
    fn set(&mut self, partial: usize) {
        let before = std::mem::replace(&mut self.partial, partial);
        let all = PARTIAL.fetch_add(partial, Ordering::SeqCst) + partial - before;
        PARTIAL.fetch_sub(before, Ordering::SeqCst);
        MOST_PARTIAL.fetch_max(all, Ordering::SeqCst);
    }
}

impl Codec for Counted {
    type Frame = Line;

    fn decode(&mut self, bytes: &mut BytesMut, max_bytes: usize) -> Result<Option<Line>, FrameError> {
        let decoded = self.lines.decode(bytes, max_bytes);
        self.set(bytes.len());
        decoded
    }

    fn encode(&mut self, frame: Line, output: &mut Output) {
        self.lines.encode(frame, output);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[tokio::test(start_paused = true)]
async fn above_the_memory_budget_nothing_more_is_read() {
    const LIMIT: usize = 1 << 20;
    let memory = Memory::new();
    let handler = async |mut conn: Connection<Counted>| -> Result {
        while let Some(line) = conn.recv().await? {
            conn.send(line).await?;
        }
        Ok(())
    };
    let timeouts = Timeouts { idle: Some(secs(60)), ..Timeouts::default() };
    let limits = Limits { memory_bytes: LIMIT, ..Limits::default() };
    let served = Served::over(&memory, Server::new().limits(limits).timeouts(timeouts).memory(&memory, handler)).await;
    let mut small = served.connect();
    let mut crowd: Vec<_> = (0..100).map(|_| served.connect()).collect();
    for peer in &mut crowd {
        peer.send("x".repeat(60_000)).await;
    }
    small.send("heard\n").await;
    assert_eq!(small.line().await, "heard\n");
    let is_all_read = || served.handle.connections().list(None, 1000).iter().all(|peer| peer.bytes_in > 0);
    let closed = || served.handle.metrics().closed(CloseReason::OutOfMemory);
    until(|| is_all_read() && closed() >= 80).await;
    // One read more than fits, and below 4 KiB of each of the others.
    let most = MOST_PARTIAL.load(Ordering::SeqCst);
    assert!(most <= LIMIT + (64 << 10) + 100 * 4096, "{most}");
    assert!(closed() < 100, "{}", closed());
    // Whoever stays is heard to the end.
    served.handle.drain();
    assert_eq!(served.drained.await.unwrap().aborted, 0);
}

/// What rooms deliver in one tick is about to be written: more than fits for that long has nobody closed.
#[tokio::test(start_paused = true)]
async fn what_is_about_to_be_written_closes_nobody() {
    const MEMBERS: usize = 40;
    let (memory, hub) = (Memory::new(), Hub::new());
    let [room, other] = ["room", "other"].map(|name| hub.room(name).unwrap());
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let member = {
        let (room, other) = (room.clone(), other.clone());
        move |mut conn: Connection<Lines>| {
            let (room, other) = (room.clone(), other.clone());
            async move {
                let _seats = (conn.join(&room)?, conn.join(&other)?);
                while conn.recv().await?.is_some() {}
                Ok::<_, BoxError>(())
            }
        }
    };
    let served = Served::over(&memory, Server::new().limits(limits).memory(&memory, member)).await;
    let peers: Vec<_> = (0..MEMBERS).map(|_| served.connect()).collect();
    until(|| other.member_count() == MEMBERS).await;
    room.publish("x".repeat(60_000));
    for mut peer in peers {
        assert_eq!(peer.line().await.len(), 60_001);
    }
    assert_eq!(served.handle.metrics().closed(CloseReason::OutOfMemory), 0);
}

/// However many others wait as well, who use up what memory there is each time.
#[tokio::test(start_paused = true)]
async fn a_member_that_holds_nothing_waits_once_for_memory() {
    let (crowded, quiet, room) = (Memory::new(), Memory::new(), Hub::new().room("quiet").unwrap());
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let member = {
        let room = room.clone();
        move |mut conn: Connection<Lines>| {
            let room = room.clone();
            async move {
                let _seat = conn.join(&room)?;
                while let Some(line) = conn.recv().await? {
                    room.publish(&line[..]);
                }
                Ok::<_, BoxError>(())
            }
        }
    };
    let server = Server::new().limits(limits).memory(&crowded, echo).memory(&quiet, member);
    let served = Served::over(&crowded, server).await;
    let mut speaker = Peer::connect(&quiet);
    until(|| room.member_count() == 1).await;
    let mut crowd: Vec<_> = (0..200).map(|_| served.connect()).collect();
    for peer in &mut crowd {
        peer.send("x".repeat(60_000)).await;
    }
    let closed = || served.handle.metrics().closed(CloseReason::OutOfMemory);
    until(|| closed() > 0).await;
    speaker.send("said\n").await;
    assert_eq!(speaker.line().await, "said\n");
    assert!(closed() < 60, "{} of those in the crowd came first", closed());
}

#[tokio::test(start_paused = true)]
async fn what_a_closed_connection_does_not_give_back_holds_nobody_up() {
    let memory = Memory::new();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeping = Arc::clone(&kept);
    let limits = Limits { memory_bytes: 100_000, ..Limits::default() };
    let server = Server::new().limits(limits).memory(&memory, move |mut conn: Connection<Lines>| {
        let keeping = Arc::clone(&keeping);
        async move {
            let line = conn.recv().await?;
            if line.is_none_or(|line| &line[..] != b"keep") {
                return echo(conn).await;
            }
            tokio::spawn(async move {
                assert!(conn.recv().await.is_err());
                keeping.lock().push(conn);
            });
            Ok(())
        }
    });
    let served = Served::over(&memory, server).await;
    let mut keepers: Vec<_> = (0..5).map(|_| served.connect()).collect();
    for keeper in &mut keepers {
        keeper.send(format!("keep\n{}", "x".repeat(40_000))).await;
    }
    until(|| served.handle.metrics().closed(CloseReason::OutOfMemory) == 5).await;
    assert!(kept.lock().len() >= 3, "they hold more than the limit, and go on doing so");
    sleep(secs(1)).await;
    let mut other = served.connect();
    let before = Instant::now();
    other.send(format!("first\nfirst\n{}\n", "y".repeat(6000))).await;
    assert_eq!(other.line().await, "first\n");
    assert_eq!(other.line().await.len(), 6001);
    assert!(before.elapsed() < secs(1), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_move_to_a_task_of_its_own() {
    let memory = Memory::new();
    let served = Served::over(
        &memory,
        Server::new().memory(&memory, async |conn: Connection<Lines>| -> Result {
            tokio::spawn(echo(conn));
            Ok(())
        }),
    )
    .await;
    let mut peer = served.connect();
    peer.send("moved\n").await;
    assert_eq!(peer.line().await, "moved\n");
    served.handle.drain();
    assert_eq!(peer.rest().await.unwrap(), b"");
    peer.finish();
    assert_eq!(served.drained.await.unwrap().finished, 1);
}

#[tokio::test(start_paused = true)]
async fn length_delimited_frames_carry_any_bytes() {
    let handler = async |mut conn: Connection<Length>| -> Result {
        while let Some(payload) = conn.recv().await? {
            conn.send(payload).await?;
        }
        Ok(())
    };
    let mut peer = testing::serve(handler, Timeouts::default());
    peer.send(b"\0\0\0\x03a\nb\0\0\0\0").await;
    peer.finish();
    assert_eq!(peer.rest().await.unwrap(), b"\0\0\0\x03a\nb\0\0\0\0");
    let mut peer = testing::serve(handler, Timeouts::default());
    peer.send(b"\0\0\0\x05abc").await;
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::BadFrame);
    let mut peer = testing::serve(handler, Timeouts::default());
    peer.send(b"\xff\xff\xff\xff").await;
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::FrameTooLong);
}

#[tokio::test(start_paused = true)]
async fn a_read_full_of_short_lines_does_not_hold_the_worker() {
    let memory = Memory::new();
    let served = Served::over(&memory, Server::new().memory(&memory, echo)).await;
    let (mut flood, mut other) = (served.connect(), served.connect());
    other.send("hi\n").await;
    assert_eq!(other.line().await, "hi\n");
    flood.send("\n".repeat(60_000)).await;
    other.send("in between\n").await;
    // The other's answer comes while most of the flood is still unanswered.
    assert_eq!(other.line().await, "in between\n");
    let answered = served.handle.connections().list(None, 1)[0].frames_in;
    assert!(answered < 60_000, "{answered}");
    drop(flood);
}

#[tokio::test(start_paused = true)]
async fn frames_may_be_limited_for_a_while() {
    let handler = |mut conn: Connection<Lines>| async move {
        conn.limit_frames(1024);
        let first = conn.recv().await?.unwrap_or_default();
        conn.limit_frames(usize::MAX);
        let second = conn.recv().await?.unwrap_or_default();
        conn.send(format!("{} {}", first.len(), second.len())).await?;
        conn.limit_frames(1);
        let error = conn.recv().await.unwrap_err();
        conn.last_word(error.to_string());
        Ok::<_, BoxError>(())
    };
    let mut peer = testing::serve(handler, Timeouts::default());
    peer.send(["a".repeat(1024), "b".repeat(5000), "c".repeat(1025), String::new()].join("\n")).await;
    assert_eq!(peer.line().await, "1024 5000\n");
    assert_eq!(peer.line().await, "frame is longer than 1024 bytes\n");
    assert_eq!(peer.closed().await, CloseReason::FrameTooLong);
}
