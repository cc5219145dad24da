//! A member that something is dropped for, while others publish and its socket takes more.

use super::stage::{Served, Stage, explore, finish, join, listen, read};
use super::sync_slot;
use crate::config::Limits;
use crate::hub::membership::Join;
use crate::hub::room::Overflow;
use shuttle::future::{block_on, spawn};
use switchboard_proto::Format;
use tokio::sync::oneshot;

/// A member whose outbox takes two frames, and the number of the last message before it came.
fn losing(stage: &Stage, overflow: Overflow) -> (Served, u64) {
    let (joined, joining) = oneshot::channel();
    let joined = sync_slot(joined);
    let (hub, room) = (stage.hub.clone(), stage.room.clone());
    let served = stage.serve(Limits { outbox_frames: 2, ..Limits::default() }, move |mut conn| {
        let me = hub.enter(&conn, Format::Text);
        let seat = me.join(&room, Join { overflow: Some(overflow), ..Join::default() }).unwrap();
        joined(seat.joined_at().seq);
        async move {
            while conn.recv().await?.is_some() {}
            drop(seat);
            Ok(())
        }
    });
    (served, block_on(joining).unwrap())
}

#[test]
fn gaps_add_up_whatever_is_dropped_meanwhile() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Latest] {
        explore(move |stage| {
            let (Served { heard, mut says, task, .. }, joined) = losing(stage, overflow);
            let talkers = [stage.talker("a", 4), stage.talker("b", 4)];
            let heard = spawn(listen(heard));
            join(talkers);
            finish(&mut says);
            block_on(task).unwrap();
            let mut published = stage.published(joined).into_iter().zip(joined + 1..);
            for line in block_on(heard).unwrap() {
                let Some((lost, from)) = gap(&line) else {
                    let (text, _) = published.next().unwrap();
                    assert_eq!(line, format!("[r] {text}"));
                    continue;
                };
                assert_eq!(published.next().unwrap().1, from, "{line}");
                assert!(published.by_ref().take(lost - 1).count() == lost - 1, "{line}");
            }
            assert_eq!(published.next(), None, "all was told, or told of");
        });
    }
}

/// How many messages `line` says were lost, and from which number.
fn gap(line: &str) -> Option<(usize, u64)> {
    let (lost, from) = line.strip_prefix("* [r] lost ")?.split_once(" message")?;
    Some((lost.parse().unwrap(), from.split_once("from ")?.1.parse().unwrap()))
}

/// Nothing more is said, and it does not end: what is queued for it leaves by itself.
#[test]
fn a_slow_reader_that_something_is_dropped_for_hears_of_all_of_it() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Latest] {
        explore(move |stage| {
            let (Served { mut heard, mut says, task, .. }, _) = losing(stage, overflow);
            let talkers = [stage.talker("a", 4), stage.talker("b", 4)];
            let mut received = String::new();
            let told = |received: &str| -> usize {
                let whole = received.rsplit_once('\n').map_or("", |(whole, _)| whole);
                whole.lines().map(|line| gap(line).map_or(1, |(lost, _)| lost)).sum()
            };
            while told(&received) < 8 {
                received += std::str::from_utf8(&block_on(read(&mut heard)).unwrap()).unwrap();
            }
            join(talkers);
            finish(&mut says);
            block_on(task).unwrap();
        });
    }
}
