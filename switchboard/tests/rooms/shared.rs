//! Rooms that several nodes publish to: one order, the same ids, and a gap or a reset where something is gone.

use crate::harness::node::{Member, Node, told};
use crate::harness::patience::secs;
use serde_json::Value;
use std::sync::Arc;
use switchboard::log::replica::{Engine as _, MemoryEngine, MemoryLog, ReplicatedLog, ReplicatedOptions};
use switchboard::log::{PageLimit, RoomLog};
use switchboard::prelude::*;
use switchboard::{Format, Join, JoinError, Message, MessageId, PublishError, Room};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

const ALL: PageLimit = PageLimit { messages: 99, bytes: 1 << 20 };

struct Shared {
    node: Node,
    engine: Arc<MemoryEngine>,
}

impl Shared {
    async fn start(log: &MemoryLog) -> Self {
        let engine = log.engine();
        let log = ReplicatedLog::new(engine.clone(), ReplicatedOptions::default(), &Handle::current());
        let hub = Hub::builder().log(Arc::new(log) as Arc<dyn RoomLog>).build().unwrap();
        Self { node: Node::on(hub).await, engine }
    }

    async fn room(&self, name: &str) -> Room {
        let room = self.node.quiet(name);
        room.opened(None).await.unwrap();
        room
    }

    async fn member(&mut self, name: &str, since: Option<MessageId>) -> Member {
        let room = self.node.quiet(name);
        room.opened(since).await.unwrap();
        self.node.join(&room, Format::Json, Join { since, ..Join::default() }).await
    }
}

/// Numbers and texts of messages; other notices by their type.
fn shown(lines: &[Value]) -> Vec<String> {
    let one = |line: &Value| match line["event"].as_str() {
        None => format!("{} {}", line["seq"], line["text"].as_str().unwrap()),
        Some("gap") => format!("gap {} from {}", line["lost"], line["from_seq"]),
        Some(other) => other.to_owned(),
    };
    lines.iter().map(one).collect()
}

async fn heard(member: &mut Member) -> Vec<String> {
    shown(&told(&mut member.peer).await)
}

#[tokio::test(start_paused = true)]
async fn members_on_two_nodes_are_shown_the_same_messages_in_the_same_order() {
    let log = MemoryLog::new();
    let (mut one, mut two) = (Shared::start(&log).await, Shared::start(&log).await);
    let (mut alice, mut bob) = (one.member("lobby", None).await, two.member("Lobby", None).await);
    assert_eq!(alice.seat.joined_at(), bob.seat.joined_at());
    let mut published = Vec::new();
    for number in 0..20 {
        published.push(alice.seat.publish(format!("a{number}")).unwrap());
        published.push(bob.seat.publish(format!("b{number}")).unwrap());
    }
    let mut ids = Vec::new();
    for publication in published {
        ids.push(publication.await.unwrap().id.seq);
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=40).collect::<Vec<_>>());
    let text = |message: &Arc<Message>| format!("{} {}", message.id.seq, message.payload.escape_ascii());
    let [history, others] =
        [&one, &two].map(|shared| shared.node.quiet("lobby").history(99).iter().map(text).collect::<Vec<_>>());
    assert_eq!((history.len(), &history), (40, &others));
    // Each gets all but its own.
    let without = |letter: char| history.iter().filter(|one| !one.contains(letter)).cloned().collect::<Vec<_>>();
    assert_eq!(heard(&mut alice).await, without('a'));
    assert_eq!(heard(&mut bob).await, without('b'));
}

#[tokio::test(start_paused = true)]
async fn a_member_resumes_on_another_node() {
    let log = MemoryLog::new();
    let (mut one, mut two) = (Shared::start(&log).await, Shared::start(&log).await);
    let alice = one.member("lobby", None).await;
    let mut last = alice.seat.joined_at();
    for number in 1..=5 {
        last = alice.seat.publish(number.to_string()).unwrap().await.unwrap().id;
    }
    let mut bob = two.member("lobby", Some(MessageId { seq: 2, ..last })).await;
    assert_eq!(heard(&mut bob).await, ["3 3", "4 4", "5 5"]);
    // It hears nothing of what is appended now, so that it is behind whoever comes from the other one.
    two.engine.set_deaf(true);
    last = alice.seat.publish("6").unwrap().await.unwrap().id;
    assert_eq!(two.node.quiet("lobby").last_id().seq, 5);
    let bold = two.node.connect().await;
    let me = two.node.hub.enter(&bold.1, Format::Json);
    let ahead = Join { since: Some(last), ..Join::default() };
    assert_eq!(me.join(&two.node.quiet("lobby"), ahead).err(), Some(JoinError::Unavailable), "nobody has waited");
    let mut carol = two.member("lobby", Some(last)).await;
    alice.seat.publish("7").unwrap().await.unwrap();
    two.engine.set_deaf(false);
    alice.seat.publish("8").unwrap().await.unwrap();
    assert_eq!(heard(&mut carol).await, ["7 7", "8 8"]);
    assert_eq!(heard(&mut bob).await, ["6 6", "7 7", "8 8"]);
}

#[tokio::test(start_paused = true)]
async fn behind_an_older_copy_no_number_is_given_again_by_a_node_that_had_seen_less() {
    let log = MemoryLog::new();
    let (mut one, mut two) = (Shared::start(&log).await, Shared::start(&log).await);
    let (mut alice, mut bob) = (one.member("lobby", None).await, two.member("lobby", None).await);
    alice.seat.publish("before").unwrap().await.unwrap();
    two.engine.set_deaf(true);
    let seen = alice.seat.publish("seen").unwrap().await.unwrap().id;
    log.go_away();
    log.go_back(2);
    two.engine.set_deaf(false);
    log.come_back();
    // It waits for what the other one has to say, and fails with the epoch that it was to be in.
    assert_eq!(bob.seat.publish("second").unwrap().await.err(), Some(PublishError::Unavailable));
    let third = bob.seat.publish("third").unwrap().await.unwrap().id;
    assert!(third.epoch != seen.epoch && third.seq == 1, "{third} behind {seen}");
    sleep(secs(1)).await;
    assert_eq!(heard(&mut alice).await, ["reset", "1 third"]);
    assert_eq!(heard(&mut bob).await, ["1 before", "reset"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hears_nothing_finds_the_end_within_ten_seconds() {
    let log = MemoryLog::new();
    let (mut one, mut two) = (Shared::start(&log).await, Shared::start(&log).await);
    let (alice, mut bob) = (one.member("lobby", None).await, two.member("lobby", None).await);
    sleep(secs(5)).await;
    two.engine.set_deaf(true);
    alice.seat.publish("unheard").unwrap().await.unwrap();
    assert_eq!(heard(&mut bob).await.len(), 0);
    sleep(secs(11)).await;
    assert_eq!(heard(&mut bob).await, ["1 unheard"]);
}

#[tokio::test(start_paused = true)]
async fn while_the_log_is_away_nothing_is_shown_and_publishers_are_told() {
    let log = MemoryLog::new();
    let (mut one, mut two) = (Shared::start(&log).await, Shared::start(&log).await);
    let (alice, mut bob) = (one.member("lobby", None).await, two.member("lobby", None).await);
    log.go_away();
    assert!(one.engine.health().is_err());
    let publication = alice.seat.publish("lost").unwrap();
    assert_eq!(timeout(secs(8), publication).await.unwrap(), Err(PublishError::Unavailable));
    let room = one.node.quiet("elsewhere");
    assert!(room.opened(None).await.is_err(), "2 s are over");
    assert_eq!(
        one.node.hub.enter(&alice.conn, Format::Json).join(&room, Join::default()).err(),
        Some(JoinError::Unavailable)
    );
    let kept = alice.seat.publish("kept").unwrap();
    sleep(secs(1)).await;
    log.come_back();
    assert_eq!(kept.await.map(|kept| kept.id.seq), Ok(1));
    assert_eq!(heard(&mut bob).await, ["1 kept"]);
    room.opened(None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_log_that_has_lost_everything_begins_anew_and_members_are_told() {
    let log = MemoryLog::new();
    let (mut one, mut two) = (Shared::start(&log).await, Shared::start(&log).await);
    let (mut alice, mut bob) = (one.member("lobby", None).await, two.member("lobby", None).await);
    let before = alice.seat.publish("before").unwrap().await.unwrap().id;
    sleep(secs(5)).await;
    log.lose_all();
    log.come_back();
    sleep(secs(12)).await;
    let after = bob.seat.publish("after").unwrap().await.unwrap().id;
    assert_ne!(before.epoch, after.epoch);
    assert_eq!(heard(&mut alice).await, ["reset", "1 after"]);
    assert_eq!(heard(&mut bob).await, ["1 before", "reset"]);
    assert_eq!(one.room("lobby").await.last_id(), after);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_behind_when_the_log_went_back_gives_no_number_again() {
    let log = MemoryLog::new();
    // The one that is behind looks first.
    let (mut two, mut one) = (Shared::start(&log).await, Shared::start(&log).await);
    let (mut alice, bob) = (one.member("lobby", None).await, two.member("lobby", None).await);
    let first = alice.seat.publish("1").unwrap().await.unwrap().id;
    two.engine.set_deaf(true);
    let second = alice.seat.publish("2").unwrap().await.unwrap().id;
    // By this it knows how far the log was.
    two.member("other", None).await.seat.publish("x").unwrap().await.unwrap();
    assert_eq!((two.node.quiet("lobby").last_id(), one.node.quiet("lobby").last_id()), (first, second));
    log.go_away();
    // The room's beginning, and its first message.
    log.go_back(2);
    two.engine.set_deaf(false);
    let under_way = bob.seat.publish("under way").unwrap();
    log.come_back();
    assert_eq!(timeout(secs(20), under_way).await.unwrap(), Err(PublishError::Unavailable), "{second:?} was shown");
    let again = bob.seat.publish("again").unwrap().await.unwrap();
    assert_ne!(again.id.epoch, first.epoch);
    // The other node is sure of it only then.
    sleep(secs(5)).await;
    assert_eq!(heard(&mut alice).await, ["reset", "1 again"]);
}

#[tokio::test(start_paused = true)]
async fn what_memory_does_not_keep_any_more_is_read_from_the_log_of_all() {
    let log = MemoryLog::new();
    let (mut one, mut two) = (Shared::start(&log).await, Shared::start(&log).await);
    let alice = one.member("lobby", None).await;
    let start = alice.seat.joined_at();
    // Envelopes of one and of nine.
    for _ in 0..60 {
        let burst: Vec<_> = (0..10).map(|_| alice.seat.publish("x").unwrap()).collect();
        for publication in burst {
            publication.await.unwrap();
        }
    }
    // Another room's are between them.
    one.member("other", None).await.seat.publish("y").unwrap().await.unwrap();
    let mut bob = two.member("lobby", Some(MessageId { seq: 5, ..start })).await;
    let numbers: Vec<_> = told(&mut bob.peer).await.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (6..=600).collect::<Vec<_>>());
    assert!(two.node.quiet("lobby").history(1000).len() <= 256, "memory has less");
    let room = two.node.quiet("lobby");
    for (since, limit) in [(0, 3), (7, 30), (333, 20), (599, 5)] {
        let page = room.past(MessageId { seq: since, ..start }, PageLimit { messages: limit, bytes: 1 << 20 });
        let page = page.await.unwrap();
        let seqs: Vec<_> = page.messages.iter().map(|message| message.id.seq).collect();
        assert_eq!((page.notice, seqs), (None, (since + 1..=(since + limit as u64).min(600)).collect()), "{since}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_log_dropped_before_a_node_read_it_is_a_gap() {
    let log = MemoryLog::new();
    let (mut one, mut two) = (Shared::start(&log).await, Shared::start(&log).await);
    let (alice, mut bob) = (one.member("lobby", None).await, two.member("lobby", None).await);
    sleep(secs(5)).await;
    two.engine.set_deaf(true);
    for number in 1..=300 {
        alice.seat.publish(number.to_string()).unwrap().await.unwrap();
    }
    two.engine.set_deaf(false);
    alice.seat.publish("last").unwrap().await.unwrap();
    let heard = heard(&mut bob).await;
    // The log keeps 256 envelopes.
    assert_eq!((&heard[0][..], &heard[1][..], &heard[256][..]), ("gap 45 from 1", "46 46", "301 last"));
}

#[tokio::test(start_paused = true)]
async fn what_is_purged_on_one_node_is_gone_on_all_and_its_numbers_are_not_used_again() {
    let log = MemoryLog::new();
    let (mut one, mut two) = (Shared::start(&log).await, Shared::start(&log).await);
    let (alice, mut bob) = (one.member("lobby", None).await, two.member("lobby", None).await);
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(alice.seat.publish(number.to_string()).unwrap().await.unwrap().id);
    }
    assert_eq!(two.node.quiet("lobby").purge().await, Ok(ids[2]));
    let mut late = Shared::start(&log).await;
    let mut carol = late.member("lobby", Some(ids[0])).await;
    for node in [&one, &two, &late] {
        let page = node.node.quiet("lobby").past(ids[0], ALL).await.unwrap();
        assert_eq!((page.messages.len(), node.node.quiet("lobby").last_id()), (0, ids[2]));
    }
    let next = alice.seat.publish("4").unwrap().await.unwrap().id;
    assert_eq!(next, MessageId { seq: 4, ..ids[0] });
    assert_eq!(heard(&mut bob).await, ["1 1", "2 2", "3 3", "4 4"], "he was told before");
    assert_eq!(heard(&mut carol).await, ["gap 2 from 2", "4 4"]);
    let mut dan = two.member("lobby", Some(ids[1])).await;
    assert_eq!(heard(&mut dan).await, ["gap 1 from 3", "4 4"]);
    assert_eq!(one.node.quiet("lobby").purge().await, Ok(next));
    assert_eq!(one.node.quiet("lobby").purge().await, Ok(next), "there is nothing more to forget");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hears_nothing_forgets_what_another_has_purged_within_ten_seconds() {
    let log = MemoryLog::new();
    let (mut one, mut two) = (Shared::start(&log).await, Shared::start(&log).await);
    let (alice, mut bob) = (one.member("lobby", None).await, two.member("lobby", None).await);
    alice.seat.publish("1").unwrap().await.unwrap();
    sleep(secs(5)).await;
    two.engine.set_deaf(true);
    let last = alice.seat.publish("2").unwrap().await.unwrap().id;
    assert_eq!(one.node.quiet("lobby").purge().await, Ok(last));
    assert_eq!(two.node.quiet("lobby").history(9).len(), 1, "it knows nothing of that yet");
    sleep(secs(11)).await;
    assert_eq!((two.node.quiet("lobby").history(9).len(), two.node.quiet("lobby").last_id()), (0, last));
    assert_eq!(heard(&mut bob).await, ["1 1", "gap 1 from 2"]);
}

#[tokio::test(start_paused = true)]
async fn while_the_log_is_away_nothing_is_purged_and_whoever_asks_is_told() {
    let log = MemoryLog::new();
    let mut one = Shared::start(&log).await;
    let alice = one.member("lobby", None).await;
    alice.seat.publish("1").unwrap().await.unwrap();
    log.go_away();
    let purged = timeout(secs(6), one.node.quiet("lobby").purge()).await.expect("it is told in time");
    assert!(purged.unwrap_err().to_string().contains("has not answered in time"));
    log.come_back();
    alice.seat.publish("2").unwrap().await.unwrap();
    assert_eq!(one.node.quiet("lobby").history(9).len(), 2);
}
