//! What a node says to the others, by a bus that only listens.

use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use switchboard::Hub;
use switchboard::cluster::{
    AskError, Bus, BusAnswer, BusEvents, Cluster, NodeId, NodeRecord, NodeRecords, PutError, RecordsAway, ReplyTo,
};
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::advance;

/// Keeps no record, and counts beats.
#[derive(Default)]
struct Listening {
    events: Mutex<Option<Arc<dyn BusEvents>>>,
    beats: Mutex<usize>,
}

impl Listening {
    fn say(&self, word: String) {
        let events = self.events.lock().clone();
        events.expect("it is watched").told(word.into(), None);
    }
}

impl NodeRecords for Listening {
    fn put(&self, _: &str, _: u64, _: Bytes, _: Option<Duration>, done: BusAnswer<u64, PutError>) {
        done(Err(PutError::Unknown("nothing is kept".into())));
    }

    fn record(&self, _: &str, done: BusAnswer<Option<NodeRecord>, RecordsAway>) {
        done(Err(RecordsAway("nothing is kept".into())));
    }
}

impl Bus for Listening {
    fn watch(&self, _: NodeId, events: Arc<dyn BusEvents>) {
        *self.events.lock() = Some(events);
    }

    fn tell_all(&self, word: Bytes) {
        *self.beats.lock() += usize::from(word.starts_with(b"beat"));
    }

    fn tell(&self, _: NodeId, _: Bytes) {}

    fn ask(&self, _: NodeId, _: Bytes, _: Duration, done: BusAnswer<Bytes, AskError>) {
        done(Err(AskError::NobodyThere));
    }

    fn answer(&self, _: &ReplyTo, _: Bytes) {}
}

#[tokio::test(start_paused = true)]
async fn a_node_goes_on_beating_while_it_forgets_the_rooms_of_another() {
    let bus = Arc::new(Listening::default());
    let (cluster, hub) = (Cluster::new(Arc::clone(&bus) as _), Hub::new());
    cluster.serve(&hub, &Handle::current());
    for version in 1..=10 {
        let rooms: Vec<_> = (0..2000).map(|room| format!("r{version}-{room} 1 1 0 0")).collect();
        bus.say(format!("news 1 7 {version}\n{}", rooms.join("\n")));
    }
    while cluster.metrics().rooms_elsewhere < 20_000 {
        yield_now().await;
    }
    bus.say("bye 1 7\n".to_owned());
    let before = *bus.beats.lock();
    let mut moments = 0;
    while cluster.metrics().rooms_elsewhere > 0 {
        // As if each moment took longer than a beat.
        advance(Duration::from_secs(2)).await;
        moments += 1;
    }
    let beats = *bus.beats.lock() - before;
    assert!(moments > 10 && beats > moments / 2, "{beats} in {moments} moments");
}
