//! Rooms of several nodes: hubs that share one nats-server, as the servers of several machines do.

use crate::harness::nats_server::Nats;
use crate::harness::patience::{patiently, until};
use std::sync::Arc;
use switchboard::log::replica::{ReplicatedLog, ReplicatedOptions};
use switchboard::log::{Cursor, NatsEngine, NatsProfile, PageLimit, RoomLog};
use switchboard::{Hub, MessageId, Page, Publication, Room};
use tokio::runtime::Handle;

/// A node: its hub, whose rooms it shares with others.
struct Node {
    hub: Hub,
    log: Arc<ReplicatedLog>,
}

impl Node {
    async fn start(nats: &Nats, profile: NatsProfile) -> Self {
        let engine = NatsEngine::open(nats.options(profile)).await.expect("a log");
        let log = Arc::new(ReplicatedLog::new(Arc::new(engine), ReplicatedOptions::default(), &Handle::current()));
        let hub = Hub::builder().log(Arc::clone(&log) as Arc<dyn RoomLog>).build().expect("nothing is read");
        Self { hub, log }
    }

    async fn room(&self, name: &str) -> Room {
        let room = self.hub.room(name).unwrap();
        patiently(room.opened(None)).await.expect("the log answers");
        room
    }
}

fn texts(room: &Room) -> Vec<String> {
    let text = |payload: &[u8]| std::str::from_utf8(payload).unwrap().to_owned();
    room.history(usize::MAX).iter().map(|message| text(&message.payload)).collect()
}

fn ids(room: &Room) -> Vec<MessageId> {
    room.history(usize::MAX).iter().map(|message| message.id).collect()
}

#[tokio::test]
async fn all_nodes_have_the_same_order_and_the_same_ids() {
    let Some(nats) = Nats::start("").await else { return };
    let nodes = [Node::start(&nats, NatsProfile::Memory).await, Node::start(&nats, NatsProfile::Memory).await];
    let rooms = [nodes[0].room("ops").await, nodes[1].room("OPS").await];
    let mut published: Vec<Publication> = Vec::new();
    for number in 0..50 {
        for (room, name) in rooms.iter().zip(["a", "b"]) {
            published.push(room.publish(format!("{name}{number}")));
        }
    }
    for publication in published {
        patiently(publication).await.expect("the log has it");
    }
    until(|| rooms.iter().all(|room| room.last_id().seq == 100)).await;
    assert_eq!((ids(&rooms[0]), texts(&rooms[0])), (ids(&rooms[1]), texts(&rooms[1])));
    assert_eq!(ids(&rooms[0]).iter().map(|id| id.seq).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    for name in ["a", "b"] {
        let own: Vec<_> = texts(&rooms[0]).into_iter().filter(|text| text.starts_with(name)).collect();
        assert_eq!(
            own,
            (0..50).map(|number| format!("{name}{number}")).collect::<Vec<_>>(),
            "each node's in its order"
        );
    }
    // Whoever knows it from one goes on with another, also one that comes later.
    let late = Node::start(&nats, NatsProfile::Memory).await;
    let room = late.room("ops").await;
    assert_eq!(ids(&room), ids(&rooms[0]));
    let Page { notice, messages, .. } = room.since(ids(&rooms[0])[96]);
    assert_eq!((notice, messages.len()), (None, 3));
}

#[tokio::test]
async fn a_restart_of_the_nats_server_loses_nothing_that_was_acknowledged() {
    let Some(mut nats) = Nats::start("").await else { return };
    let nodes = [Node::start(&nats, NatsProfile::File).await, Node::start(&nats, NatsProfile::File).await];
    let rooms = [nodes[0].room("ops").await, nodes[1].room("ops").await];
    patiently(rooms[0].publish("before")).await.expect("it is kept");
    nats.kill();
    let during = rooms[1].publish("during");
    nats.resume().await;
    patiently(during).await.expect("it waits for the server");
    patiently(rooms[0].publish("after")).await.expect("it is kept");
    until(|| rooms.iter().all(|room| room.last_id().seq == 3)).await;
    assert_eq!(texts(&rooms[0]), ["before", "during", "after"]);
    assert_eq!(ids(&rooms[0]), ids(&rooms[1]));
    assert!(nodes[0].log.health().is_ok());
}

#[tokio::test]
async fn what_was_in_memory_only_begins_anew() {
    let Some(mut nats) = Nats::start("").await else { return };
    let node = Node::start(&nats, NatsProfile::Memory).await;
    let room = node.room("ops").await;
    let before = patiently(room.publish("before")).await.expect("it is kept");
    nats.kill();
    nats.resume().await;
    until(|| room.last_id().epoch != before.id.epoch).await;
    let after = patiently(room.publish("after")).await.expect("it is kept");
    assert_eq!((after.id.seq, texts(&room)), (1, vec!["after".to_owned()]));
}

#[tokio::test]
async fn what_is_purged_is_gone_from_the_stream_and_the_order_goes_on() {
    let Some(nats) = Nats::start("").await else { return };
    let nodes = [Node::start(&nats, NatsProfile::File).await, Node::start(&nats, NatsProfile::File).await];
    let (one, two, other) = (nodes[0].room("ops").await, nodes[1].room("ops").await, nodes[0].room("other").await);
    let kept = patiently(other.publish("kept")).await.expect("the log has it").id;
    let mut last = kept;
    for number in 1..=5 {
        last = patiently(one.publish(number.to_string())).await.expect("the log has it").id;
    }
    assert_eq!(patiently(two.purge()).await, Ok(last));
    until(|| texts(&one).is_empty() && texts(&two).is_empty()).await;
    let (done, told) = tokio::sync::oneshot::channel();
    let limit = PageLimit { messages: 99, bytes: 1 << 20 };
    let all = Cursor::After(MessageId { seq: 0, ..last });
    nodes[0].log.read(one.name(), all, limit, Box::new(move |read| _ = done.send(read)));
    assert_eq!(patiently(told).await.expect("it answers").expect("it can be read"), []);
    let late = Node::start(&nats, NatsProfile::File).await;
    let room = late.room("ops").await;
    assert_eq!((room.last_id(), texts(&room).len()), (last, 0));
    let next = patiently(room.publish("6")).await.expect("the log has it").id;
    assert_eq!(next, MessageId { seq: 6, ..last });
    until(|| [&one, &two, &room].iter().all(|room| texts(room) == ["6"])).await;
    assert_eq!((ids(&late.room("other").await), texts(&other)), (vec![kept], vec!["kept".to_owned()]));
}
