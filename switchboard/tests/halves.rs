//! One connection in several tasks: senders, halves, and reading through a drain.

use crate::harness::http_peer::{UPGRADE, ask, frame};
use crate::harness::mote::{door, stranger};
use crate::harness::patience::{patiently, until};
use crate::harness::served::Served;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use switchboard::http::{Request, Response};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{BoxError, ConnectionError, Datagrams, Limits, RecvHalf, SendHalf, Sender, TrySendError, Udp};
use tokio::sync::Notify;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Serves lines in memory, with outboxes of four frames.
fn serves<H, F>(handler: H) -> Served
where
    H: Fn(Connection<Lines>) -> F + Send + Sync + 'static,
    F: Future<Output = Result> + Send + 'static,
{
    let limits = Limits { outbox_frames: 4, ..Limits::default() };
    Served::in_memory(Server::new().limits(limits), |server, memory| server.memory(&memory, handler))
}

/// Answers each line once the peer has sent them all.
async fn repeat(mut from: RecvHalf<Lines>, to: SendHalf<Lines>) -> Result {
    let mut lines = Vec::new();
    while let Some(line) = from.recv_in_drain().await? {
        lines.push(line);
    }
    drop(from);
    for line in lines {
        to.send(line).await?;
    }
    to.finish();
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_drain_can_be_read_through() {
    let seen = Arc::new(Notify::new());
    let drained = Arc::clone(&seen);
    let served = serves(move |mut conn| {
        let drained = Arc::clone(&drained);
        async move {
            assert!(conn.recv().await?.is_none());
            assert!(conn.is_draining(), "it is not the peer's end");
            assert!(conn.recv().await?.is_none(), "and stays so");
            drained.notify_one();
            while let Some(line) = conn.recv_in_drain().await? {
                conn.send(line).await?;
            }
            conn.send("end").await?;
            Ok(())
        }
    });
    let mut peer = served.connect();
    peer.send("begun before").await;
    served.left(1).await;
    served.handle.drain();
    seen.notified().await;
    peer.send(" the drain\nwithin\n").await;
    assert_eq!(peer.line().await, "begun before the drain\n");
    assert_eq!(peer.line().await, "within\n");
    sleep(secs(5)).await;
    peer.send("last").await;
    peer.finish();
    assert_eq!(peer.rest().await.unwrap(), b"lastend\n");
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
    assert_eq!(served.drained.await.unwrap().aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_goes_on_through_a_drain_is_aborted_after_the_grace_period() {
    let served = Served::in_memory(Server::new().grace(secs(30)), |server, memory| {
        server.memory(&memory, async |mut conn: Connection<Lines>| -> Result {
            while conn.recv_in_drain().await?.is_some() {}
            Ok(())
        })
    });
    let mut peer = served.connect();
    served.left(1).await;
    served.handle.drain();
    for _ in 0..29 {
        sleep(secs(1)).await;
        peer.send("more\n").await;
    }
    assert_eq!(served.handle.connections().len(), 1);
    assert_eq!(peer.closed().await, CloseReason::Aborted);
    assert_eq!(served.drained.await.unwrap().aborted, 1);
}

#[tokio::test(start_paused = true)]
async fn two_tasks_own_the_halves_of_a_connection() {
    let served = serves(async |conn| {
        let (mut from, to) = conn.split();
        let (pass, mut passed) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(line) = passed.recv().await {
                to.send::<Line>(line).await?;
            }
            to.send("end").await?;
            to.finish();
            Ok::<_, ConnectionError>(())
        });
        // The handler's end is not the connection's.
        tokio::spawn(async move {
            while let Ok(Some(line)) = from.recv().await {
                pass.send(line).await.unwrap();
            }
        });
        Ok(())
    });
    let mut peer = served.connect();
    for line in ["one\n", "two\n"] {
        peer.send(line).await;
        assert_eq!(peer.line().await, line);
        sleep(secs(60)).await;
    }
    peer.finish();
    assert_eq!(peer.rest().await.unwrap(), b"end\n");
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_second_half_whichever_that_is() {
    for receiver_first in [true, false] {
        let served = serves(move |conn| async move {
            let (from, to) = conn.split();
            let (first, second): (Box<dyn Send>, Box<dyn Send>) =
                if receiver_first { (Box::new(from), Box::new(to)) } else { (Box::new(to), Box::new(from)) };
            drop(first);
            tokio::spawn(async move {
                sleep(secs(60)).await;
                drop(second);
            });
            Ok(())
        });
        let mut peer = served.connect();
        assert!(timeout(secs(59), peer.chunk()).await.is_err(), "one half is left");
        assert!(timeout(secs(2), peer.rest()).await.unwrap().unwrap().is_empty());
        peer.finish();
        assert_eq!(peer.closed().await, CloseReason::Finished, "receiver first: {receiver_first}");
    }
}

/// The upload of a relay, which a drain must not cut short.
#[tokio::test(start_paused = true)]
async fn a_drain_leaves_halves_their_time() {
    let served = serves(async |conn| {
        let (from, to) = conn.split();
        assert!(!from.is_draining() && !to.is_draining());
        tokio::spawn(repeat(from, to));
        Ok(())
    });
    let mut peer = served.connect();
    peer.send("one\n").await;
    served.left(1).await;
    served.handle.drain();
    sleep(secs(20)).await;
    for number in 0..9 {
        peer.send(format!("{number}\n")).await;
    }
    peer.finish();
    assert_eq!(peer.rest().await.unwrap(), b"one\n0\n1\n2\n3\n4\n5\n6\n7\n8\n");
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
    assert_eq!(served.drained.await.unwrap().aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn halves_that_hang_are_aborted_after_the_grace_period() {
    let (told, heard) = oneshot::channel();
    let told = Mutex::new(Some(told));
    let served = serves(move |conn| {
        let told = told.lock().take();
        async move {
            let (mut from, to) = conn.split();
            tokio::spawn(async move {
                let received = from.recv_in_drain().await;
                let sent = to.send("too late").await;
                told.unwrap().send((received.unwrap_err(), sent.unwrap_err())).unwrap();
                std::future::pending::<()>().await;
                drop((from, to));
            });
            Ok(())
        }
    });
    let mut peer = served.connect();
    served.left(1).await;
    served.handle.drain();
    assert_eq!(peer.closed().await, CloseReason::Aborted);
    let aborted = ConnectionError::Closed(CloseReason::Aborted);
    assert_eq!(heard.await.unwrap(), (aborted, aborted));
    assert_eq!(served.drained.await.unwrap().aborted, 1);
}

/// A thread of its own sends within the poll in which the handler has sent.
#[tokio::test(start_paused = true)]
async fn what_others_send_stands_behind_what_was_sent_before() {
    let served = Served::in_memory(Server::new(), |server, memory| {
        server.memory(&memory, async |mut conn: Connection<Lines>| -> Result {
            conn.send("one").await?;
            let sender = conn.sender();
            let threaded = |sender: Sender<Lines>, line: &'static str| {
                std::thread::spawn(move || sender.try_send(line)).join().unwrap()
            };
            threaded(sender.clone(), "two")?;
            conn.send("three").await?;
            conn.send("four").await?;
            threaded(sender.clone(), "five")?;
            tokio::task::yield_now().await;
            conn.send("six").await?;
            threaded(sender, "seven")?;
            Ok(())
        })
    });
    let mut peer = served.connect();
    assert_eq!(peer.rest().await.unwrap(), b"one\ntwo\nthree\nfour\nfive\nsix\nseven\n");
}

/// Of a connection that holds 4 frames, beside 1 KiB in its pipe.
#[tokio::test(start_paused = true)]
async fn senders_wait_for_room_beside_each_other_and_the_outbox_keeps_its_bounds() {
    let senders = Arc::new(Mutex::new(None));
    let own = Arc::clone(&senders);
    let served = serves(move |mut conn| {
        *own.lock() = Some(conn.sender());
        async move {
            while conn.recv().await?.is_some() {}
            Ok(())
        }
    });
    let mut peer = served.connect();
    until(|| senders.lock().is_some()).await;
    let sender: Sender<Lines> = senders.lock().take().unwrap();
    let line = "x".repeat(64 << 10);
    // What the pipe takes leaves by the tick; what is full then stays so.
    while timeout(secs(1), sender.send(line.clone())).await.is_ok() {}
    let Err(TrySendError::Full(Line { .. })) = sender.try_send(line.clone()) else { panic!("it is full") };
    for _ in 0..10_000 {
        assert!(matches!(sender.try_send("y"), Err(TrySendError::Full(_))));
    }
    let waiting: Vec<_> = (0..20)
        .map(|number| {
            let sender = sender.clone();
            tokio::spawn(async move { sender.send(format!("late {number}")).await })
        })
        .collect();
    sleep(secs(1)).await;
    assert!(waiting.iter().all(|task| !task.is_finished()));
    let mut late = 0;
    while late < 20 {
        late += usize::from(peer.line().await.starts_with("late"));
    }
    for task in waiting {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_sends_without_waiting_in_order_and_hears_that_its_outbox_is_full() {
    let served = serves(async |mut conn| {
        conn.send("first").await?;
        for number in 0..3 {
            conn.try_send(format!("{number}"))?;
        }
        assert_eq!(conn.recv().await?.unwrap(), "go");
        let line = "x".repeat(64 << 10);
        let full = loop {
            match conn.try_send(line.clone()) {
                Ok(()) => {}
                Err(TrySendError::Full(line)) => break line,
                Err(closed) => return Err(closed.into()),
            }
        };
        assert_eq!(full, line.as_str(), "given back");
        conn.writable().await;
        conn.try_send("last")?;
        assert_eq!(conn.recv().await?, None);
        let half = conn.sender();
        drop(conn);
        assert_eq!(half.try_send("late"), Err(TrySendError::Closed(CloseReason::Finished)));
        Ok(())
    });
    let mut peer = served.connect();
    for line in ["first\n", "0\n", "1\n", "2\n"] {
        assert_eq!(peer.line().await, line);
    }
    peer.send("go\n").await;
    // Nothing leaves until this reads.
    sleep(secs(1)).await;
    let mut long = 0;
    while peer.line().await != "last\n" {
        long += 1;
    }
    assert!((4..100).contains(&long), "{long}");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_refuses_what_its_handler_would_send_without_waiting() {
    let handler = async |mut conn: Connection<Lines>| {
        assert_eq!(conn.recv().await, Err(ConnectionError::Closed(CloseReason::Idle)));
        assert_eq!(conn.try_send("late"), Err(TrySendError::Closed(CloseReason::Idle)));
        conn.last_word("it was so");
    };
    let timeouts = Timeouts { idle: Some(secs(60)), ..Timeouts::default() };
    let mut peer = switchboard::testing::serve(handler, timeouts);
    assert_eq!(peer.rest().await.unwrap(), b"it was so\n");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::Idle);
}

#[tokio::test(start_paused = true)]
async fn a_sender_fails_once_its_connection_was_dropped_or_has_finished_sending() {
    let served = serves(async |mut conn| {
        let sender = conn.sender();
        let mut half = conn.finish();
        assert_eq!(sender.try_send("late"), Err(TrySendError::Closed(CloseReason::Finished)));
        assert!(half.recv().await?.is_some(), "receiving goes on");
        assert_eq!(sender.send("late").await, Err(ConnectionError::Closed(CloseReason::Finished)));
        Ok(())
    });
    let mut peer = served.connect();
    assert_eq!(peer.rest().await.unwrap(), b"");
    peer.send("hi\n").await;
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::Finished);

    let served = serves(async |mut conn| {
        let sender = conn.sender();
        conn.close();
        assert_eq!(sender.send("late").await, Err(ConnectionError::Closed(CloseReason::Closed)));
        sleep(secs(1)).await;
        Ok(())
    });
    assert_eq!(served.connect().rest().await.unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_outlives_its_connection_keeps_it_from_nothing_and_knows_why_it_ended() {
    let senders = Arc::new(Mutex::new(Vec::new()));
    let own = Arc::clone(&senders);
    let served = serves(move |mut conn| {
        own.lock().push(conn.sender());
        async move {
            while conn.recv().await?.is_some() {}
            Ok(())
        }
    });
    let mut peer = served.connect();
    served.left(1).await;
    let sender = senders.lock().pop().unwrap();
    let line = "x".repeat(64 << 10);
    while timeout(secs(1), sender.send(line.clone())).await.is_ok() {}
    let (waits, ended) = (sender.clone(), sender.closed());
    let waiting = tokio::spawn(async move { waits.send("late").await });
    tokio::task::yield_now().await;
    peer.finish();
    peer.rest().await.unwrap();
    assert_eq!(waiting.await.unwrap(), Err(ConnectionError::Closed(CloseReason::PeerClosed)));
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
    assert_eq!(ended.await, CloseReason::PeerClosed);
    served.left(0).await;
    assert_eq!(sender.try_send("late"), Err(TrySendError::Closed(CloseReason::PeerClosed)));
    assert_eq!(sender.closed().await, CloseReason::PeerClosed);
    served.handle.drain();
    assert_eq!(served.drained.await.unwrap().aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_room_hears_of_the_end() {
    let (told, heard) = oneshot::channel();
    let told = Mutex::new(Some(told));
    let served = serves(move |conn| {
        let told = told.lock().take().unwrap();
        async move {
            let (from, to) = conn.split();
            tokio::spawn(async move {
                let line = "x".repeat(64 << 10);
                while to.send(line.clone()).await.is_ok() {}
                told.send(to.send("late").await).unwrap();
            });
            std::future::pending::<()>().await;
            drop(from);
            Ok(())
        }
    });
    let peer = served.connect();
    served.left(1).await;
    sleep(secs(1)).await;
    let id = served.handle.connections().list(None, 1)[0].id;
    assert!(served.handle.connections().close(id));
    assert_eq!(heard.await.unwrap(), Err(ConnectionError::Closed(CloseReason::Closed)));
    drop(peer);
}

/// Its close frame stands behind what was sent before, and nothing behind that: not the answer to a ping, nor a second one.
#[tokio::test(start_paused = true)]
async fn a_websocket_is_split_like_any_other_connection() {
    let served = Served::in_memory(Server::new(), |server, memory| {
        server.listen_websocket(memory, async |conn: Connection<WebSocket>| -> Result {
            let (mut from, to) = conn.split();
            let sender = to.clone();
            assert_eq!(from.recv().await?, Some("hi".into()));
            tokio::spawn(async move {
                sender.send("one").await.unwrap();
                to.send(WebSocketMessage::from(Bytes::from_static(b"two"))).await.unwrap();
                to.finish();
                sender.send("late").await.unwrap_err();
            });
            assert_eq!(from.recv().await?, Some("still".into()));
            assert_eq!(from.recv().await?, None);
            Ok(())
        })
    });
    let mut peer = served.connect();
    ask(&mut peer, UPGRADE).await;
    peer.send(frame(0x81, b"hi")).await;
    assert_eq!(peer.bytes(5).await, b"\x81\x03one");
    assert_eq!(peer.bytes(5).await, b"\x81\x03two");
    assert_eq!(peer.bytes(12).await, b"\x88\x0a\x03\xe8finished");
    peer.send(frame(0x89, b"ping")).await;
    peer.send(frame(0x81, b"still")).await;
    peer.send(frame(0x88, &1000_u16.to_be_bytes())).await;
    assert_eq!(peer.rest().await.unwrap(), b"");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
}

/// A member's own answers, what it is told by its room, and what a sender sends: each in its order.
#[tokio::test(start_paused = true)]
async fn a_sender_and_a_room_send_to_one_connection() {
    let room = Hub::new().room("lobby").unwrap();
    let (lobby, senders) = (room.clone(), Arc::new(Mutex::new(None)));
    let own = Arc::clone(&senders);
    let served = Served::in_memory(Server::new(), |server, memory| {
        server.memory(&memory, move |mut conn: Connection<Lines>| {
            let joined = conn.join(&lobby);
            *own.lock() = Some(conn.sender());
            async move {
                let _seat = joined?;
                while let Some(line) = conn.recv().await? {
                    conn.send(line).await?;
                }
                Ok::<_, switchboard::BoxError>(())
            }
        })
    });
    let mut peer: Peer = served.connect();
    until(|| room.member_count() == 1).await;
    let sender = senders.lock().take().unwrap();
    for number in 0..100 {
        room.publish(format!("room {number}"));
        sender.send(format!("sender {number}")).await.unwrap();
        peer.send(format!("own {number}\n")).await;
    }
    let mut next = [("room", 0), ("sender", 0), ("own", 0)];
    for _ in 0..300 {
        let line = peer.line().await;
        let (_, number) = next.iter_mut().find(|(from, _)| line.starts_with(from)).unwrap();
        assert!(line.ends_with(&format!(" {number}\n")), "{line} where {number} is next");
        *number += 1;
    }
}

/// Who has sent all may be silent for as long as it is answered.
#[tokio::test(start_paused = true)]
async fn a_peer_that_has_finished_is_not_idle() {
    let timeouts = Timeouts { idle: Some(secs(30)), ..Timeouts::default() };
    let served = Served::in_memory(Server::new().timeouts(timeouts), |server, memory| {
        server.memory(&memory, async |mut conn: Connection<Lines>| -> Result {
            while conn.recv().await?.is_some() {}
            for number in 0..9 {
                sleep(secs(10)).await;
                conn.send(format!("{number}")).await?;
            }
            Ok(())
        })
    });
    let mut peer = served.connect();
    peer.send("go\n").await;
    sleep(secs(1)).await;
    peer.finish();
    assert_eq!(peer.rest().await.unwrap(), b"0\n1\n2\n3\n4\n5\n6\n7\n8\n");
    assert_eq!(peer.closed().await, CloseReason::PeerClosed);
}

/// Nobody waits for what it says.
#[tokio::test(start_paused = true)]
async fn a_peer_that_nobody_receives_from_is_not_idle() {
    let timeouts = Timeouts { idle: Some(secs(30)), ..Timeouts::default() };
    let served = Served::in_memory(Server::new().timeouts(timeouts), |server, memory| {
        server.memory(&memory, async |conn: Connection<Lines>| -> Result {
            let (mut from, to) = conn.split();
            assert!(timeout(secs(1), from.recv()).await.is_err());
            drop(from);
            sleep(secs(100)).await;
            to.send("late").await?;
            Ok(())
        })
    });
    let mut peer = served.connect();
    assert_eq!(peer.line().await, "late\n");
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::Finished);
}

/// Datagrams, and the lines of an answer to a request, leave like any others.
#[tokio::test]
async fn a_datagram_peer_is_sent_to_from_elsewhere() {
    let (told, mut heard) = tokio::sync::mpsc::channel(1);
    let handler = move |mut conn: Connection<Datagrams>| {
        let told = told.clone();
        async move {
            told.send(conn.sender()).await?;
            while conn.recv().await?.is_some() {}
            Ok::<_, BoxError>(())
        }
    };
    let served = Served::start(Server::new().workers(1).udp_peers(Udp::new("127.0.0.1:0"), door, handler)).await;
    let mote = stranger(&served).await;
    mote.say("open").await;
    let sender = patiently(heard.recv()).await.unwrap();
    for number in 0..100 {
        sender.send(Bytes::from(format!("{number}"))).await.unwrap();
        assert_eq!(mote.next().await, number.to_string());
    }
    served.stop().await;
    assert_eq!(sender.try_send(Bytes::new()), Err(TrySendError::Closed(CloseReason::Drained)));
}

/// A stream of HTTP: what a sender says is chunks like all else, and its end stands behind them.
#[tokio::test(start_paused = true)]
async fn an_answer_is_streamed_from_elsewhere() {
    let served = Served::in_memory(Server::new(), |server, memory| {
        server.listen_http(memory, async |_: Request| {
            Response::stream(http::Response::new(()), async |conn: Connection<Lines>| -> Result {
                let (from, to) = conn.split();
                to.send("one").await?;
                let sender = to.clone();
                from.spawn(async move { sender.send("two").await }).await.unwrap()?;
                to.finish();
                Ok(())
            })
        })
    });
    let mut peer = served.connect();
    peer.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let answer = String::from_utf8(peer.rest().await.unwrap()).unwrap();
    assert!(answer.ends_with("\r\n\r\n4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n"), "{answer}");
    peer.finish();
    peer.closed().await;
}

/// What is sent is discarded then, a few frames for each one that is received.
#[tokio::test(start_paused = true)]
async fn who_sends_to_a_peer_that_listens_no_more_waits_for_whoever_receives() {
    let (told, heard) = oneshot::channel();
    let told = Mutex::new(Some(told));
    let served = serves(move |conn| {
        let told = told.lock().take().unwrap();
        async move {
            let (mut from, to) = conn.split();
            from.spawn(async move {
                let mut sent = 0;
                while sent < 20 && to.send(format!("{sent}")).await.is_ok() {
                    sent += 1;
                }
                told.send(sent)
            });
            while from.recv().await?.is_some() {
                sleep(secs(1)).await;
            }
            Ok(())
        }
    });
    let mut peer = served.connect();
    peer.stop_listening();
    peer.send("x\n".repeat(20)).await;
    served.left(1).await;
    peer.finish();
    assert_eq!(heard.await.unwrap(), 20);
}
