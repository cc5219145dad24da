//! Threads that meet in a connection, in thousands of orders that shuttle picks at the locks and flags of `sync.rs`.
//!
//! A worker's tick and its connections' tasks take turns on one thread in truth; here each has its own, so that they meet
//! anywhere. A run in which nobody can go on fails too: that is how a wake-up that was lost shows.
//!
//! Each run prints its seed; `INTERLEAVINGS_SEED=N` repeats it, and `INTERLEAVINGS=N` picks N orders
//! for each test and way of picking instead of 100.
//!
//! Twenty faults were planted by hand, one at a time, and each was found within 100 orders. Among them: `BLOCKED` cleared behind
//! the lock of the flush, `dirty` cleared behind the flush, the inbox or the dirty list found empty under one lock and filled
//! under another, no second look for a drain after the waker is there, a drain flagged behind its wake, a message or a join
//! posted behind the room's lock, an outbox called idle under another lock, `told` not given back, `left_room`, `give_back`,
//! `wants_space` or a forced end that wake nobody, a close that does not wait for what is on its way from a room.

#![allow(clippy::print_stdout, reason = "tests; a seed is told")]

mod held_up;
mod overflow;
mod policies;
mod stage;

use crate::config::Limits;
use crate::hub::membership::Join;
use crate::hub::session::{Session, TellError};
use crate::link::Link;
use bytes::Bytes;
use shuttle::future::{block_on, spawn};
use shuttle::thread;
use stage::{Served, Stage, explore, finish, join, listen, read, say};
use std::future::{Future, pending};
use std::sync::{Arc, OnceLock};
use switchboard_proto::{CloseReason, Format};
use tokio::sync::oneshot;

/// In which numbers a member was there: behind the first, and up to one from the second to the third.
type Stay = Arc<OnceLock<(u64, u64, u64)>>;

#[test]
fn what_is_published_reaches_a_slow_reader_once_and_in_order() {
    explore(|stage| reach_a_slow_reader(stage, 1));
}

#[test]
fn what_is_published_reaches_a_slow_reader_of_several_rooms() {
    explore(|stage| reach_a_slow_reader(stage, 2));
}

#[test]
fn a_slow_reader_that_only_listens_hears_everything() {
    // Its end would write what nobody else does.
    explore(|stage| {
        let (Served { mut heard, mut says, task, .. }, _me) = introduce(stage, Limits::default());
        let talkers = [stage.talker("a", 4), stage.talker("b", 4)];
        let mut received = Vec::new();
        block_on(async {
            while received.split(|byte| *byte == b'\n').count() <= 8 {
                received.extend(read(&mut heard).await.unwrap());
            }
        });
        join(talkers);
        let received = String::from_utf8(received).unwrap();
        assert_eq!(received.lines().collect::<Vec<_>>(), stage.published(0));
        finish(&mut says);
        block_on(task).unwrap();
    });
}

/// Its input ends at any time, and with it its stay: what was published before is told to the end.
fn reach_a_slow_reader(stage: &Stage, rooms: usize) {
    let stay = Stay::default();
    let Served { heard, mut says, task, .. } = stage.serve(Limits::default(), {
        let (room, other, stay) = (stage.room.clone(), stage.hub.room("other").unwrap(), Arc::clone(&stay));
        move |mut conn| {
            let (room, stay) = (room.clone(), Arc::clone(&stay));
            let other = (rooms > 1).then(|| conn.join(&other).unwrap());
            async move {
                let seat = conn.join(&room)?;
                let joined = seat.joined_at().seq;
                while conn.recv().await?.is_some() {}
                let before = room.last_id().seq;
                drop((seat, other));
                stay.set((joined, before, room.last_id().seq)).unwrap();
                Ok(())
            }
        }
    });
    let talkers = [stage.talker("a", 3), stage.talker("b", 3)];
    let heard = spawn(listen(heard));
    finish(&mut says);
    block_on(task).unwrap();
    join(talkers);
    let heard = block_on(heard).unwrap();
    let (joined, before, after) = *stay.get().unwrap();
    assert!(stage.published(joined).starts_with(&heard), "{heard:?} of {:?}", stage.published(joined));
    let last = joined + heard.len() as u64;
    assert!((before..=after).contains(&last), "heard up to {last}, and left within {before} to {after}");
}

#[test]
fn a_past_is_told_once_and_in_order_while_others_publish() {
    explore(|stage| {
        let first = stage.room.publish("0").published().unwrap().id;
        let talkers = [stage.talker("a", 3), stage.talker("b", 3)];
        let Served { heard, mut says, task, .. } = stage.serve(Limits::default(), {
            let (hub, room) = (stage.hub.clone(), stage.room.clone());
            move |mut conn| {
                let me = hub.enter(&conn, Format::Raw);
                let seat = me.join(&room, Join { since: Some(first), ..Join::default() }).unwrap();
                async move {
                    while conn.recv().await?.is_some() {}
                    drop(seat);
                    Ok(())
                }
            }
        });
        let heard = spawn(listen(heard));
        join(talkers);
        finish(&mut says);
        block_on(task).unwrap();
        assert_eq!(block_on(heard).unwrap(), stage.published(1));
    });
}

#[test]
fn answers_come_in_their_order_and_messages_in_theirs() {
    explore(|stage| {
        let Served { heard, mut says, task, .. } = stage.serve(Limits::default(), {
            let (hub, room) = (stage.hub.clone(), stage.room.clone());
            move |mut conn| {
                let (me, room) = (hub.enter(&conn, Format::Raw), room.clone());
                async move {
                    let seat = me.join(&room, Join { echo: true, ..Join::default() })?;
                    while let Some(line) = conn.recv().await? {
                        seat.publish(&line)?;
                        conn.send(format!("ok {line}")).await?;
                    }
                    Ok(())
                }
            }
        });
        let heard = spawn(listen(heard));
        block_on(async {
            say(&mut says, "1\n2\n3\n").await;
            finish(&mut says);
        });
        block_on(task).unwrap();
        let (answers, messages): (Vec<_>, Vec<_>) =
            block_on(heard).unwrap().into_iter().partition(|line| line.starts_with("ok"));
        assert_eq!(answers, ["ok 1", "ok 2", "ok 3"]);
        assert_eq!(messages, ["1", "2", "3"]);
    });
}

/// Runs `work` here, or in a task of its own.
async fn run_or_give_away(given_away: bool, work: impl Future<Output = ()> + Send + 'static) {
    if given_away {
        drop(spawn(work));
    } else {
        work.await;
    }
}

#[test]
fn senders_that_wait_for_room_go_on() {
    for given_away in [false, true] {
        explore(move |stage| {
            // Two, since they meet in the tick's list.
            let served = [(), ()].map(|()| {
                let limits = Limits { outbox_frames: 2, ..Limits::default() };
                stage.serve(limits, |mut conn| async move {
                    let sending = async move {
                        for number in 1..=6 {
                            conn.send(number.to_string()).await.unwrap();
                        }
                    };
                    run_or_give_away(given_away, sending).await;
                    Ok(())
                })
            });
            let listening = served.map(|Served { heard, mut says, task, .. }| {
                spawn(async move {
                    let heard = listen(heard).await;
                    finish(&mut says);
                    task.await.unwrap();
                    heard
                })
            });
            for heard in listening {
                assert_eq!(block_on(heard).unwrap(), ["1", "2", "3", "4", "5", "6"]);
            }
        });
    }
}

#[test]
fn a_connection_ends_once_whoever_ends_it() {
    let drain: Ending = Link::drain;
    let close: Ending = |link| link.end(CloseReason::Closed);
    for ends in [vec![drain], vec![close], vec![drain, close]] {
        for given_away in [false, true] {
            let ends = ends.clone();
            explore(move |stage| end_of_a_connection(stage, &ends, given_away));
        }
    }
}

#[test]
fn what_was_said_is_taken_whenever_its_peer_stops_listening() {
    for given_away in [false, true] {
        explore(move |stage| {
            let taken: Arc<parking_lot::Mutex<Vec<String>>> = Arc::default();
            let Served { heard, mut says, link, task } = stage.serve(Limits::default(), {
                let (room, taken) = (stage.room.clone(), Arc::clone(&taken));
                move |mut conn| {
                    let (seat, taken) = (conn.join(&room).unwrap(), Arc::clone(&taken));
                    async move {
                        let answering = async move {
                            while let Ok(Some(line)) = conn.recv().await {
                                taken.lock().push(line.to_string());
                                conn.send(line).await.unwrap();
                            }
                            drop(seat);
                        };
                        run_or_give_away(given_away, answering).await;
                        Ok(())
                    }
                }
            });
            let talker = stage.talker("a", 2);
            let leaves = thread::spawn(move || drop(heard));
            block_on(async {
                say(&mut says, "1\n2\n3\n").await;
                finish(&mut says);
            });
            block_on(task).unwrap();
            join([talker]);
            leaves.join().unwrap();
            assert_eq!(*taken.lock(), ["1", "2", "3"]);
            assert_eq!(link.listener.metrics.ended(), 1);
        });
    }
}

type Ending = fn(&Link);

fn end_of_a_connection(stage: &Stage, ends: &[Ending], given_away: bool) {
    let Served { heard, mut says, link, task } = stage.serve(Limits::default(), {
        let room = stage.room.clone();
        move |mut conn| {
            let seat = conn.join(&room).unwrap();
            async move {
                let listening = async move {
                    while let Ok(Some(_)) = conn.recv().await {}
                    drop(seat);
                };
                run_or_give_away(given_away, listening).await;
                Ok(())
            }
        }
    });
    let talker = stage.talker("a", 2);
    let ending: Vec<_> = ends
        .iter()
        .map(|end| {
            let (end, link) = (*end, Arc::clone(&link));
            thread::spawn(move || end(&link))
        })
        .collect();
    let heard = block_on(listen(heard));
    finish(&mut says);
    block_on(task).unwrap();
    join(ending);
    join([talker]);
    assert!(stage.published(0).starts_with(&heard), "{heard:?}");
    assert_eq!(link.listener.metrics.ended(), 1);
    assert_eq!(stage.worker.link_count(), 0);
}

#[test]
fn a_handler_that_never_finishes_is_dropped_when_its_time_is_over() {
    for abort in [false, true] {
        explore(move |stage| {
            let Served { heard, link, task, .. } = stage.serve(Limits::default(), |conn| async move {
                let _held = conn;
                pending().await
            });
            let ending = thread::spawn({
                let link = Arc::clone(&link);
                move || {
                    if abort {
                        return link.abort(CloseReason::Aborted);
                    }
                    link.end(CloseReason::Closed);
                    // The seconds of the handler, and then those of the peer, which says nothing either.
                    for round in 0..10 {
                        sweep(&link, round * 10);
                    }
                }
            });
            block_on(listen(heard));
            if !abort {
                // Sweeps go on for as long as a worker does.
                while !task.is_finished() {
                    sweep(&link, 1000);
                    thread::yield_now();
                }
            }
            block_on(task).unwrap();
            ending.join().unwrap();
            assert_eq!(link.listener.metrics.ended(), 1);
        });
    }
}

/// As a worker does, but without any time in between.
fn sweep(link: &Arc<Link>, now: u32) {
    if link.sweep(now) {
        link.expire(now);
    }
}

/// A member of the room that listens, and its identity.
fn introduce(stage: &Stage, limits: Limits) -> (Served, Session) {
    let (introduce, introduced) = oneshot::channel();
    let introduce = sync_slot(introduce);
    let (hub, room) = (stage.hub.clone(), stage.room.clone());
    let served = stage.serve(limits, move |mut conn| {
        let me = hub.enter(&conn, Format::Raw);
        let seat = me.join(&room, Join::default()).unwrap();
        introduce(me);
        async move {
            while conn.recv().await?.is_some() {}
            drop(seat);
            Ok(())
        }
    });
    (served, block_on(introduced).unwrap())
}

/// Hands over what it is called with, once.
fn sync_slot<T>(sender: oneshot::Sender<T>) -> impl Fn(T) {
    let sender = std::cell::Cell::new(Some(sender));
    move |value| assert!(sender.take().unwrap().send(value).is_ok())
}

#[test]
fn what_one_is_told_alone_arrives_or_is_refused() {
    explore(|stage| {
        let (Served { mut heard, mut says, task, .. }, me) =
            introduce(stage, Limits { outbox_frames: 3, ..Limits::default() });
        let me = Arc::new(me);
        let tell = |name: &'static str| {
            let me = Arc::clone(&me);
            thread::spawn(move || {
                let told = (1..=3).map(|number| format!("{name}{number}")).filter(|text| {
                    let told = me.tell(&me.name(), Bytes::from(text.clone()));
                    assert!(matches!(told, Ok(()) | Err(TellError::Full(_))), "{told:?}");
                    told.is_ok()
                });
                told.collect::<Vec<_>>()
            })
        };
        let tellers = [tell("a"), tell("b")];
        // Whoever counts what is on its way comes back to nothing: then the last word is not refused.
        let reading = spawn(async move {
            let mut received = Vec::new();
            while !received.ends_with(b"end\n") {
                received.extend(read(&mut heard).await.unwrap());
            }
            (received, heard)
        });
        let told: Vec<Vec<String>> = tellers.into_iter().map(|teller| teller.join().unwrap()).collect();
        // The reader makes room for it.
        while me.tell(&me.name(), Bytes::from("end")).is_err() {
            thread::yield_now();
        }
        let (received, heard) = block_on(reading).unwrap();
        me.tell(&me.name(), Bytes::from("last")).unwrap();
        let last = spawn(listen(heard));
        stage.room.publish("more");
        finish(&mut says);
        block_on(task).unwrap();
        assert_eq!(block_on(last).unwrap(), ["last", "more"]);
        let received = String::from_utf8(received).unwrap();
        for (name, told) in ["a", "b"].into_iter().zip(told) {
            let of_one: Vec<&str> = received.lines().filter(|line| line.starts_with(name)).collect();
            assert_eq!(of_one, told);
        }
    });
}

#[test]
fn a_tick_that_has_ended_keeps_nobody() {
    explore(|stage| {
        let (Served { link, task, .. }, me) = introduce(stage, Limits::default());
        let talker = stage.talker("a", 2);
        stage.tick.abort();
        // It may be refused, if its outbox is full.
        let _ = me.tell(&me.name(), Bytes::from("b"));
        link.abort(CloseReason::Aborted);
        block_on(task).unwrap();
        join([talker]);
        while !stage.tick.is_finished() {
            thread::yield_now();
        }
        drop(me);
        assert_eq!(Arc::strong_count(&link), 1);
    });
}
