//! Rooms that a log keeps: nothing is shown, or acknowledged, before the log has it, and what it has comes back.

use super::numbered;
use crate::harness::model_log::ModelLog;
use crate::harness::node::{Member, Node, QUIET, shown};
use crate::harness::patience::secs;
use std::sync::Arc;
use std::time::Duration;
use switchboard::log::{PageLimit, Retention, RoomLog};
use switchboard::prelude::*;
use switchboard::{Format, HubLimits, Join, JoinError, MessageId, Page, Publication, PublishError, Room};
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
async fn what_is_purged_is_gone_from_memory_and_log_unless_the_log_fails_and_what_comes_meanwhile_stays() {
    let log = Arc::new(ModelLog::default());
    let node = node(&log).await;
    let lobby = node.quiet("lobby");
    publish(&lobby, 1..=3);
    log.answer();
    let known = lobby.last_id();
    let failing = lobby.purge();
    log.fail_one();
    assert!(failing.await.is_err());
    assert_eq!((lobby.history(9).len(), log.numbers("lobby")), (3, vec![1, 2, 3]));
    let purged = lobby.purge();
    publish(&lobby, 4..=4);
    assert_eq!(lobby.history(9).len(), 3, "not before the log has forgotten it");
    log.answer();
    assert_eq!(purged.await, Ok(known));
    let left: Vec<_> = lobby.history(9).iter().map(|message| message.id.seq).collect();
    assert_eq!((left, log.numbers("lobby")), (vec![4], vec![4]));
    let past = lobby.past(MessageId { seq: 1, ..known }, PageLimit { messages: 9, bytes: 1 << 20 });
    log.answer();
    let Page { notice, messages, .. } = past.await.unwrap();
    assert!(matches!(notice, Some(switchboard::grammar::Notice::Gap { lost: 2, from_seq: 2, .. })), "{notice:?}");
    assert_eq!(messages.len(), 1);
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

/// A node whose rooms have 10 messages in memory, and a room that 300 long ones were published to.
async fn deep(log: &Arc<ModelLog>) -> (Node, Room, MessageId) {
    let limits = HubLimits { history_messages: 10, ..HubLimits::default() };
    let hub = Hub::builder().limits(limits).log(Arc::clone(log) as Arc<dyn RoomLog>).build().unwrap();
    let node = Node::on(hub).await;
    let lobby = node.quiet("lobby");
    let long = "x".repeat(1000);
    let all: Vec<_> = (1..=300).map(|number| lobby.publish(format!("{number} {long}"))).collect();
    log.answer();
    let first = shown(all.into_iter().next().unwrap());
    (node, lobby, first)
}

/// The numbers of the messages, and the notices, that a member gets while the log answers.
async fn read(log: &ModelLog, member: &mut Member) -> (Vec<u64>, Vec<String>, usize) {
    let (mut numbers, mut notices, mut pages) = (Vec::new(), Vec::new(), 0);
    loop {
        let heard = member.heard().await;
        for line in &heard {
            match line.strip_prefix("[lobby] ").and_then(|text| text.split(' ').next()?.parse().ok()) {
                Some(number) => numbers.push(number),
                None => notices.push(line.clone()),
            }
        }
        if log.answer_one().is_some() {
            pages += 1;
        } else if heard.is_empty() {
            return (numbers, notices, pages);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn since_goes_as_far_back_as_the_log_a_page_at_a_time() {
    let log = Arc::new(ModelLog::default());
    let (mut node, lobby, first) = deep(&log).await;
    let mut alice = node.join(&lobby, Format::Text, Join { since: Some(first), ..Join::default() }).await;
    lobby.publish("301 ");
    let (numbers, notices, pages) = read(&log, &mut alice).await;
    assert_eq!((numbers, notices.len()), ((2..=301).collect(), 0));
    assert!((10..40).contains(&pages), "{pages} pages");
    // The same for one that is there.
    alice.seat.resume(MessageId { seq: 250, ..first }).unwrap();
    assert_eq!(read(&log, &mut alice).await.0, (251..=301).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_the_log_has_dropped_or_cannot_read_is_a_gap() {
    let log = Arc::new(ModelLog::default());
    let (mut node, lobby, first) = deep(&log).await;
    log.drop_oldest("lobby", 100);
    let since = Join { since: Some(first), ..Join::default() };
    let mut alice = node.join(&lobby, Format::Text, since).await;
    let (numbers, notices, _) = read(&log, &mut alice).await;
    assert_eq!((numbers, notices), ((101..=300).collect(), vec!["* [lobby] lost 99 messages, from 2".to_owned()]));
    let mut bob = node.join(&lobby, Format::Text, since).await;
    assert!(bob.heard().await.is_empty());
    log.fail_one();
    let (numbers, notices, _) = read(&log, &mut bob).await;
    assert_eq!((numbers, notices), ((291..=300).collect(), vec!["* [lobby] lost 289 messages, from 2".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_from_another_incarnation_gets_the_newest_from_the_log_too() {
    let log = Arc::new(ModelLog::default());
    let (mut node, lobby, _) = deep(&log).await;
    drop(lobby);
    sleep(secs(700)).await;
    assert_eq!(node.hub.rooms(None, 9).total, 0);
    let since = Join { since: Some("0-0".parse().unwrap()), ..Join::default() };
    let mut alice = node.join(&node.quiet("lobby"), Format::Text, since).await;
    let (numbers, notices, _) = read(&log, &mut alice).await;
    assert_eq!((numbers, notices.len()), ((291..=300).collect(), 1));
    assert!(notices[0].contains("started over"));
}

#[tokio::test(start_paused = true)]
async fn a_past_is_read_from_memory_or_from_the_log() {
    let log = Arc::new(ModelLog::default());
    let (_node, lobby, first) = deep(&log).await;
    let limit = PageLimit { messages: 20, bytes: 1 << 20 };
    let read = |since: u64| {
        let reading = tokio::spawn(lobby.past(MessageId { seq: since, ..first }, limit));
        let log = Arc::clone(&log);
        async move {
            let asked = log.answer();
            let page: Page = reading.await.unwrap().unwrap();
            (asked, page.notice.is_some(), page.messages.iter().map(|message| message.id.seq).collect::<Vec<_>>())
        }
    };
    assert_eq!(read(0).await, (1, false, (1..=20).collect()));
    assert_eq!(read(295).await, (0, false, (296..=300).collect()));
    assert_eq!((read(300).await, lobby.before_recent().seq), ((0, false, vec![]), 290));
    log.drop_oldest("lobby", 100);
    assert_eq!(read(90).await, (1, true, (101..=120).collect()));
    let reading = tokio::spawn(lobby.past(first, limit));
    log.fail_one();
    assert!(reading.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_any_more_once_a_hub_is_settled() {
    let log = Arc::new(ModelLog::default());
    let hub = log.hub();
    hub.settled().await;
    let last = publish(&hub.room("lobby").unwrap(), 1..=9);
    let waits = tokio::spawn({
        let hub = hub.clone();
        async move { hub.settled().await }
    });
    sleep(secs(1)).await;
    log.answer_one();
    sleep(secs(1)).await;
    assert!(!waits.is_finished());
    log.answer();
    waits.await.unwrap();
    assert_eq!(known(&last)[8], Some(Ok(9)));
}

#[tokio::test(start_paused = true)]
async fn a_will_is_shown_once_the_log_has_it_and_to_nobody_if_it_cannot() {
    let log = Arc::new(ModelLog::default());
    let mut node = node(&log).await;
    let mut observer = node.member("lobby").await;
    for is_kept in [true, false] {
        let Member { peer, seat, me, conn } = node.member("lobby").await;
        let will = seat.will("gone");
        drop(will);
        assert_eq!((observer.heard().await.len(), log.is_asked()), (0, 1), "it waits for the log");
        if is_kept {
            log.answer();
            assert_eq!(observer.heard().await.len(), 1);
            assert_eq!(log.numbers("lobby"), [1]);
        } else {
            log.fail_one();
            assert_eq!((observer.heard().await.len(), log.numbers("lobby")), (0, vec![1]));
        }
        drop((peer, me, conn));
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_cannot_be_told_of_gaps_goes_back_as_far_as_memory_and_no_further() {
    let log = Arc::new(ModelLog::default());
    let (mut node, lobby, first) = deep(&log).await;
    let (_peer, conn) = node.connect().await;
    let me = node.hub.enter(&conn, Format::Raw);
    let since = |seq| Join { since: Some(MessageId { seq, ..first }), ..Join::default() };
    for seq in [1, 289] {
        let gone = me.join(&lobby, since(seq)).map(drop);
        assert_eq!(gone, Err(JoinError::Gone { since: MessageId { seq, ..first } }));
    }
    let mut raw = node.join(&lobby, Format::Raw, since(290)).await;
    assert_eq!(log.is_asked(), 0, "nobody has to read for it");
    let heard = raw.heard().await;
    assert!(heard.len() == 10 && heard[0].starts_with("291 "), "{heard:.20?}");
    lobby.publish("bare");
    assert!(raw.heard().await.is_empty(), "not before the log has it");
    log.answer();
    assert_eq!(raw.heard().await, ["bare"]);
}
