//! Rooms that a log keeps: nothing is shown, or acknowledged, before the log has it, and what it has comes back.

use super::numbered;
use crate::harness::model_log::ModelLog;
use crate::harness::node::{Node, QUIET, shown};
use crate::harness::patience::secs;
use std::sync::Arc;
use std::time::Duration;
use switchboard::log::{Retention, RoomLog};
use switchboard::prelude::*;
use switchboard::{Format, HubLimits, Join, MessageId, Publication, PublishError, Room};
use tokio::time::{sleep, timeout};

async fn node(log: &Arc<ModelLog>) -> Node {
    Node::on(log.hub()).await
}

/// What has become of these by now: of each its number, an error, or nothing.
fn known(publications: &[Publication]) -> Vec<Option<Result<u64, PublishError>>> {
    publications.iter().map(|one| one.known().map(|known| known.map(|published| published.id.seq))).collect()
}

fn publish(room: &Room, range: std::ops::RangeInclusive<u64>) -> Vec<Publication> {
    range.map(|number| room.publish(number.to_string())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_message_is_shown_and_acknowledged_once_the_log_has_it() {
    let log = Arc::new(ModelLog::default());
    let mut node = node(&log).await;
    let mut alice = node.member("lobby").await;
    let lobby = node.quiet("lobby");
    let mut mine = alice.seat.publish("mine").unwrap();
    let others = publish(&lobby, 2..=4);
    assert!(timeout(secs(60), &mut mine).await.is_err(), "it waits");
    assert_eq!((alice.heard().await.len(), lobby.last_id().seq, lobby.history(9).len()), (0, 0, 0));
    assert_eq!((log.answer_one(), log.numbers("lobby")), (Some(()), vec![1]));
    assert_eq!(mine.await.map(|published| published.id), Ok(lobby.last_id()));
    assert_eq!(known(&others), [None, None, None]);
    // What came meanwhile is one batch.
    assert_eq!((log.is_asked(), log.answer(), log.numbers("lobby")), (1, 1, vec![1, 2, 3, 4]));
    assert_eq!(known(&others), [Some(Ok(2)), Some(Ok(3)), Some(Ok(4))]);
    assert_eq!(alice.heard().await, numbered(2..=4));
    let history: Vec<_> = lobby.history(9).iter().map(|message| message.id.seq).collect();
    assert_eq!(history, [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn what_the_log_cannot_keep_is_shown_to_nobody_and_takes_no_number() {
    let log = Arc::new(ModelLog::default());
    let mut node = node(&log).await;
    let mut alice = node.member("lobby").await;
    let lobby = node.quiet("lobby");
    let lost = publish(&lobby, 1..=1);
    let kept = publish(&lobby, 2..=3);
    log.fail_one();
    assert_eq!(known(&lost), [Some(Err(PublishError::Unavailable))]);
    log.answer();
    assert_eq!((known(&kept), log.numbers("lobby")), (vec![Some(Ok(1)), Some(Ok(2))], vec![1, 2]));
    assert_eq!(alice.heard().await, ["[lobby] 2", "[lobby] 3"]);
    let forgotten = publish(&lobby, 4..=4);
    log.drop_all();
    assert_eq!(known(&forgotten), [Some(Err(PublishError::Unavailable))], "the log is gone");
    assert_eq!(node.hub.metrics().refused_unavailable, 2);
}

#[tokio::test(start_paused = true)]
async fn no_more_waits_for_the_log_than_may() {
    let log = Arc::new(ModelLog::default());
    let hub = log.hub();
    let full = |room: &Room, payload: &[u8]| {
        let waiting = (0..5000).take_while(|_| room.publish(payload).known().is_none()).count();
        assert_eq!(room.publish(payload).known(), Some(Err(PublishError::Unavailable)));
        waiting
    };
    let count = full(&hub.room("small").unwrap(), b"x");
    assert!((2000..=4096).contains(&count), "{count}");
    let large = vec![b'x'; 64 << 10];
    assert_eq!(full(&hub.room("large").unwrap(), &large), 15);
    let rooms = (0..100).take_while(|number| full(&hub.room(&format!("room-{number}")).unwrap(), &large) == 15).count();
    assert!((60..70).contains(&rooms), "{rooms} times 960 KiB");
    assert!(hub.metrics().unsettled_bytes <= 64 << 20);
    log.answer();
    assert_eq!(hub.metrics().unsettled_bytes, 0);
    // One that is longer than all that may wait is taken when nothing waits.
    let long = hub.room("long").unwrap().publish(vec![b'x'; 2 << 20]);
    log.answer();
    assert_eq!(known(&[long]), [Some(Ok(1))]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_64_publications_under_way_is_not_read_from() {
    let log = Arc::new(ModelLog::default());
    let mut node = node(&log).await;
    let mut alice = node.member("lobby").await;
    for number in 1..=100 {
        alice.peer.send(format!("{number}\n")).await;
    }
    let mut taken = 0;
    let moment = Duration::from_millis(1);
    while let Ok(line) = timeout(moment, alice.conn.recv()).await {
        drop(alice.seat.publish(line.unwrap().unwrap()).unwrap());
        taken += 1;
    }
    assert_eq!(taken, 64);
    log.answer();
    while let Ok(line) = timeout(moment, alice.conn.recv()).await {
        drop(alice.seat.publish(line.unwrap().unwrap()).unwrap());
        taken += 1;
    }
    assert_eq!(taken, 100);
}

#[tokio::test(start_paused = true)]
async fn rooms_come_back_and_whoever_was_there_goes_on_where_it_was() {
    let log = Arc::new(ModelLog::default());
    let before = log.hub();
    let lobby = before.room("Lobby").unwrap();
    let first = publish(&lobby, 1..=5);
    log.answer();
    let (first, last) = (shown(first.into_iter().next().unwrap()), lobby.last_id());
    drop((before, lobby));
    let mut node = node(&log).await;
    assert_eq!(node.hub.rooms(None, 9).rooms[0].name.as_str(), "Lobby");
    let lobby = node.quiet("lobby");
    assert_eq!((lobby.last_id(), lobby.history(9).len()), (last, 5));
    assert_eq!(node.hub.metrics().history_messages, 5);
    let mut alice = node.join(&lobby, Format::Text, Join { since: Some(first), ..Join::default() }).await;
    let next = publish(&lobby, 6..=6);
    log.answer();
    assert_eq!(known(&next), [Some(Ok(6))]);
    let heard: Vec<_> = numbered(2..=6).iter().map(|line| line.replace("lobby", "Lobby")).collect();
    assert_eq!(alice.heard().await, heard, "no reset and no gap");
}

#[tokio::test(start_paused = true)]
async fn a_room_that_was_empty_for_long_keeps_its_epoch_and_its_number() {
    let log = Arc::new(ModelLog::default());
    let node = node(&log).await;
    let lobby = node.quiet("lobby");
    publish(&lobby, 1..=3);
    log.answer();
    let last = lobby.last_id();
    // Nothing was said here: nothing is left of it.
    drop((lobby, node.quiet("silent")));
    for again in [true, false] {
        sleep(secs(700)).await;
        assert_eq!((node.hub.rooms(None, 9).total, node.hub.metrics().history_bytes), (0, 0));
        let lobby = if again { node.quiet("lobby") } else { node.hub.find(&"lobby".parse().unwrap()).unwrap() };
        assert_eq!(lobby.last_id(), last);
    }
    assert!(node.hub.find(&"silent".parse().unwrap()).is_none());
    let lobby = node.quiet("lobby");
    let next = publish(&lobby, 4..=4);
    log.answer();
    assert_eq!((known(&next), lobby.last_id()), (vec![Some(Ok(4))], MessageId { seq: 4, ..last }));
}

#[tokio::test(start_paused = true)]
async fn memory_has_the_newest_of_what_the_log_is_told_to_keep() {
    let log = Arc::new(ModelLog::default());
    let hub = |messages| {
        let options = RoomOptions { history_messages: Some(1000), ..QUIET };
        let limits = HubLimits { history_messages: messages, ..HubLimits::default() };
        let hub =
            Hub::builder().limits(limits).room_options(move |_| options).log(Arc::clone(&log) as Arc<dyn RoomLog>);
        hub.build().unwrap()
    };
    let lobby = hub(10).room("lobby").unwrap();
    publish(&lobby, 1..=50);
    log.answer();
    assert_eq!((lobby.history(99).len(), log.numbers("lobby").len()), (10, 50));
    let retention = Retention { messages: Some(1000), ..Retention::default() };
    assert_eq!(log.retained.lock().values().next(), Some(&retention));
    let again = hub(20).room("lobby").unwrap();
    assert_eq!((again.history(99).len(), again.last_id()), (20, lobby.last_id()));
}

#[tokio::test(start_paused = true)]
async fn rooms_that_are_not_durable_or_have_no_name_ask_no_log() {
    let log = Arc::new(ModelLog::default());
    let hub = log.hub();
    let media = hub.room_with(&"media".parse().unwrap(), RoomOptions { durable: false, ..QUIET }).unwrap();
    for room in [media, hub.unnamed(QUIET)] {
        assert_eq!(shown(room.publish("x")).seq, 1);
    }
    assert_eq!(log.is_asked(), 0);
}
