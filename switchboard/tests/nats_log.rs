//! The log of rooms in NATS JetStream, with a nats-server that each test starts. Without one they say so and pass.

mod figures;
mod shared;

use crate::harness::nats_server::Nats;
use crate::harness::patience::{patiently, secs, until};
use crate::harness::tls_peer::Pair;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use switchboard::log::replica::{
    AppendError, CheckedRooms, Engine, EngineError, EngineEvents, LogIdentity, Position, Stored,
};
use switchboard::log::{NatsCredentials, NatsEngine, NatsError, NatsOptions, NatsProfile};
use switchboard::{RoomName, Trust};
use tokio::sync::oneshot;

/// What an engine has told unasked.
#[derive(Default)]
struct Heard {
    live: Mutex<Vec<(RoomName, Stored)>>,
    tails: Mutex<Vec<(RoomName, Vec<u8>)>>,
    reports: Mutex<Vec<Vec<u8>>>,
    reconnected: AtomicUsize,
}

impl EngineEvents for Heard {
    fn live(&self, room: &RoomName, stored: Stored) {
        self.live.lock().push((room.clone(), stored));
    }

    fn tail(&self, room: &RoomName, tail: &[u8]) {
        self.tails.lock().push((room.clone(), tail.to_vec()));
    }

    fn reported(&self, report: &[u8]) {
        self.reports.lock().push(report.to_vec());
    }

    fn reconnected(&self) {
        self.reconnected.fetch_add(1, Ordering::Relaxed);
    }
}

/// One node's engine, whose answers are waited for.
struct Node {
    engine: NatsEngine,
    heard: Arc<Heard>,
}

impl Node {
    async fn open(options: NatsOptions) -> Result<Self, NatsError> {
        let engine = NatsEngine::open(options).await?;
        let heard = Arc::new(Heard::default());
        engine.watch(Arc::clone(&heard) as Arc<dyn EngineEvents>);
        Ok(Self { engine, heard })
    }

    async fn ask<T: Send + 'static, E: Send + 'static>(
        &self,
        ask: impl FnOnce(&NatsEngine, Box<dyn FnOnce(Result<T, E>) + Send>),
    ) -> Result<T, E> {
        let (done, told) = oneshot::channel();
        ask(&self.engine, Box::new(move |answer| drop(done.send(answer))));
        patiently(told).await.expect("each question is answered")
    }

    async fn append(&self, room: &RoomName, after: u64, text: &'static str) -> Result<Position, AppendError> {
        self.ask(|engine, done| engine.append(room, Position(after), Bytes::from_static(text.as_bytes()), done)).await
    }

    async fn follow(&self, room: &RoomName) -> Result<(), EngineError> {
        self.ask(|engine, done| engine.follow(room, done)).await
    }

    async fn last(&self, room: &RoomName) -> Result<Option<Stored>, EngineError> {
        self.ask(|engine, done| engine.last(room, done)).await
    }

    async fn fetch(&self, room: &RoomName, from: u64) -> Result<Vec<Stored>, EngineError> {
        self.ask(|engine, done| engine.fetch(room, Position(from), done)).await
    }

    async fn identity(&self) -> Result<LogIdentity, EngineError> {
        self.ask(Engine::identity).await
    }

    async fn check(&self, rooms: &[RoomName], after: u64) -> Result<CheckedRooms, EngineError> {
        self.ask(|engine, done| engine.check(rooms.to_vec(), Position(after), done)).await
    }
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

fn stored(position: u64, text: &'static str) -> Stored {
    Stored { position: Position(position), envelope: Bytes::from_static(text.as_bytes()) }
}

fn fault(opened: Result<Node, NatsError>) -> String {
    opened.err().expect("it is not to be opened").to_string()
}

#[tokio::test]
async fn at_most_one_envelope_is_kept_behind_each_other_and_everybody_hears_of_it() {
    let Some(nats) = Nats::start("").await else { return };
    let (ann, bob) = (
        Node::open(nats.options(NatsProfile::Memory)).await.unwrap(),
        Node::open(nats.options(NatsProfile::Memory)).await.unwrap(),
    );
    let (ops, other) = (room("Ops.EU"), room("other"));
    assert_eq!(ann.last(&ops).await, Ok(None));
    bob.follow(&ops).await.unwrap();
    assert_eq!(ann.append(&ops, 0, "a").await, Ok(Position(1)));
    assert_eq!(bob.append(&ops, 0, "b").await, Err(AppendError::Stale { last: Position(1) }));
    assert_eq!(bob.append(&other, 0, "c").await, Ok(Position(2)));
    assert_eq!(bob.append(&ops, 1, "d").await, Ok(Position(3)));
    assert_eq!(ann.append(&ops, 2, "e").await, Err(AppendError::Stale { last: Position(3) }));
    until(|| bob.heard.live.lock().len() == 2).await;
    // Upper and lower case are one room, also where it is another node that writes it so.
    assert_eq!(*bob.heard.live.lock(), [(room("ops.eu"), stored(1, "a")), (ops.clone(), stored(3, "d"))]);
    assert!(ann.heard.live.lock().is_empty(), "it follows nothing");
    assert_eq!(ann.last(&room("OPS.eu")).await, Ok(Some(stored(3, "d"))));
    assert_eq!(ann.fetch(&ops, 0).await, Ok(vec![stored(1, "a"), stored(3, "d")]));
    assert_eq!(ann.fetch(&ops, 2).await, Ok(vec![stored(3, "d")]));
    assert_eq!(ann.fetch(&ops, 4).await, Ok(vec![]));
    let changed = ann.check(&[ops.clone(), other.clone(), room("none")], 2).await;
    let found = vec![(ops.clone(), stored(3, "d"))];
    assert_eq!(changed, Ok(CheckedRooms { found, has_more: false }));
    assert_eq!(ann.check(&[ops.clone(), other], 3).await, Ok(CheckedRooms::default()));
    let identity = bob.identity().await.unwrap();
    assert_eq!((identity.last, ann.identity().await), (Position(3), Ok(identity)));
    ann.engine.tell_tail(&ops, Bytes::from_static(b"tail"));
    until(|| bob.heard.tails.lock().len() == 1).await;
    assert_eq!(*bob.heard.tails.lock(), [(ops.clone(), b"tail".to_vec())]);
    ann.engine.tell_nodes(Bytes::from_static(b"report"));
    until(|| [&ann, &bob].iter().all(|node| *node.heard.reports.lock() == [b"report"])).await;
    bob.engine.unfollow(&ops);
    assert_eq!(bob.append(&ops, 3, "f").await, Ok(Position(4)));
    assert_eq!(bob.heard.live.lock().len(), 2, "it follows it no more");
    let metrics = bob.engine.metrics();
    assert_eq!((metrics.appended, metrics.conflicts, metrics.unknown, metrics.in_flight_bytes), (3, 1, 0, 0));
}

#[tokio::test]
async fn a_check_that_finds_more_than_is_read_at_once_says_so_and_the_rest_is_found_by_another() {
    let Some(nats) = Nats::start("").await else { return };
    let node = Node::open(nats.options(NatsProfile::Memory)).await.unwrap();
    // 33 of these are 8 MiB: one is left, of which the server says that there is none.
    let long = Bytes::from(vec![b'x'; 250 << 10]);
    let mut rooms: Vec<_> = (0..34).map(|number| room(&format!("r{number}"))).collect();
    for room in &rooms {
        node.ask(|engine, done| engine.append(room, Position(0), long.clone(), done)).await.unwrap();
    }
    let mut counts = Vec::new();
    while !rooms.is_empty() {
        let CheckedRooms { found, has_more } = node.check(&rooms, 0).await.unwrap();
        rooms.retain(|room| found.iter().all(|(known, _)| known != room));
        assert_eq!(has_more, !rooms.is_empty());
        counts.push(found.len());
    }
    assert_eq!(counts, [33, 1]);
}

#[tokio::test]
async fn a_file_survives_a_kill_and_the_connection_comes_back() {
    let Some(mut nats) = Nats::start("").await else { return };
    let node = Node::open(nats.options(NatsProfile::File)).await.unwrap();
    let ops = room("ops");
    node.follow(&ops).await.unwrap();
    let identity = node.identity().await.unwrap();
    assert_eq!(node.append(&ops, 0, "a").await, Ok(Position(1)));
    until(|| node.heard.live.lock().len() == 1).await;
    nats.kill();
    let lost = node.append(&ops, 1, "b").await;
    assert!(matches!(lost, Err(AppendError::Unknown(_))), "{lost:?}");
    nats.resume().await;
    until(|| node.heard.reconnected.load(Ordering::Relaxed) == 1).await;
    let position = patiently(async {
        loop {
            // The stream is looked through first.
            if let Ok(position) = node.append(&ops, 1, "b").await {
                return position;
            }
        }
    })
    .await;
    assert_eq!((position, node.identity().await.map(|identity| identity.log)), (Position(2), Ok(identity.log)));
    until(|| node.heard.live.lock().len() == 2).await;
    assert_eq!(node.fetch(&ops, 1).await, Ok(vec![stored(1, "a"), stored(2, "b")]));
    assert_eq!(node.engine.health(), Ok(()));
}

#[tokio::test]
async fn what_was_in_memory_is_another_log_after_a_restart() {
    let Some(mut nats) = Nats::start("").await else { return };
    let node = Node::open(nats.options(NatsProfile::Memory)).await.unwrap();
    let (before, ops) = (node.identity().await.unwrap(), room("ops"));
    assert_eq!(node.append(&ops, 0, "a").await, Ok(Position(1)));
    nats.kill();
    nats.resume().await;
    until(|| node.heard.reconnected.load(Ordering::Relaxed) == 1).await;
    let after = patiently(async {
        loop {
            if let Ok(identity) = node.identity().await {
                return identity;
            }
        }
    })
    .await;
    assert!(after.log != before.log && after.last == Position(0));
    assert_eq!(node.last(&ops).await, Ok(None));
}

#[tokio::test]
async fn a_stream_of_another_kind_is_refused() {
    let Some(nats) = Nats::start("").await else { return };
    let _made = Node::open(nats.options(NatsProfile::Memory)).await.unwrap();
    let told = fault(Node::open(nats.options(NatsProfile::File)).await);
    assert_eq!(told, "the stream SB is not one for the profile file: its storage is \"memory\", and not \"file\"");
    let told = fault(Node::open(nats.options(NatsProfile::Durable)).await);
    assert!(told.ends_with("\"memory\", and not \"file\"; its num_replicas is 1, and not 3"), "{told}");
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_so() {
    let Some(nats) = Nats::start("authorization { user: ann, password: secret }").await else { return };
    let options = nats.options(NatsProfile::Memory);
    let told = fault(Node::open(options.clone()).await);
    assert!(told.ends_with("refuses: Authorization Violation"), "{told}");
    let user = |password: &str| NatsCredentials::User { name: "ann".to_owned(), password: password.to_owned() };
    let told = fault(Node::open(NatsOptions { credentials: user("guess"), ..options.clone() }).await);
    assert!(told.ends_with("refuses: Authorization Violation"), "{told}");
    Node::open(NatsOptions { credentials: user("secret"), ..options }).await.unwrap();
}

#[tokio::test]
async fn a_server_is_believed_by_its_certificate() {
    let (pair, other) = (Pair::new(&["127.0.0.1"]), Pair::new(&["127.0.0.1"]));
    let directory = std::env::temp_dir().join(format!("switchboard-nats-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    for (name, text) in [("cert", &pair.certificate), ("key", &pair.key)] {
        std::fs::write(directory.join(name), text).unwrap();
    }
    let at = directory.display();
    let Some(nats) = Nats::start(&format!("tls {{ cert_file: \"{at}/cert\", key_file: \"{at}/key\" }}")).await else {
        return;
    };
    let open = |trust: Trust| Node::open(NatsOptions { trust: Some(trust), ..nats.options(NatsProfile::Memory) });
    let node = open(Trust::pem(&pair.certificate).unwrap()).await.unwrap();
    assert_eq!(node.append(&room("ops"), 0, "a").await, Ok(Position(1)));
    let told = fault(open(Trust::pem(&other.certificate).unwrap()).await);
    assert!(told.contains("TLS with nats://127.0.0.1"), "{told}");
    let Some(plain) = Nats::start("").await else { return };
    let options = NatsOptions { trust: Some(Trust::anybody()), ..plain.options(NatsProfile::Memory) };
    assert!(fault(Node::open(options).await).ends_with("does not speak TLS"));
    let _ = std::fs::remove_dir_all(&directory);
}

#[tokio::test]
async fn a_server_that_is_away_is_passed_over_and_one_that_is_not_there_is_told() {
    let Some(mut nats) = Nats::start("").await else { return };
    let Some(gone) = Nats::start("").await else { return };
    let away = gone.server();
    drop(gone);
    let options = NatsOptions { servers: vec![away, nats.server()], ..nats.options(NatsProfile::Memory) };
    let node = Node::open(options).await.unwrap();
    assert_eq!(node.engine.metrics().standing.map(|standing| standing.server), Some(nats.server().to_string()));
    nats.kill();
    until(|| node.engine.metrics().standing.is_none()).await;
    tokio::time::timeout(secs(60), async {
        while node.engine.health().is_ok() {
            tokio::time::sleep(secs(1)).await;
        }
    })
    .await
    .expect("trouble that lasts is told");
    assert_eq!(node.follow(&room("ops")).await, Err(EngineError("it is not connected".into())));
}
