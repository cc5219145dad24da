//! What appends cost (docs/decisions/0010-nats.md). By hand: with a release build, on a quiet machine.
//!
//! With `NATS_URL` another server than one of its own, and with `NATS_PROFILE` another profile than `memory`.

use super::{Node, room};
use crate::harness::nats_server::Nats;
use std::sync::Arc;
use std::time::Duration;
use switchboard::log::replica::{AppendError, Position};
use switchboard::log::{NatsOptions, NatsProfile};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const TIME: Duration = Duration::from_secs(4);
const ENVELOPE: &str = "____________________________________________________________________________________________________\
                        ____________________________________________________________________________________________________";

#[tokio::test]
#[ignore = "measures, by hand: needs a release build and a quiet machine"]
async fn envelopes() {
    let profile =
        std::env::var("NATS_PROFILE").map_or(NatsProfile::Memory, |profile| profile.parse().expect("a profile"));
    let own = Nats::start("").await;
    let options = match std::env::var("NATS_URL") {
        Ok(url) => NatsOptions { profile, ..NatsOptions::new([url.parse().expect("an address")]) },
        Err(_) => own.as_ref().expect("nats-server is installed").options(profile),
    };
    for rooms in [1, 10, 100, 1_000] {
        let node = Arc::new(Node::open(options.clone()).await.expect("a log"));
        let mut publishing = JoinSet::new();
        for number in 0..rooms {
            publishing.spawn(publish(Arc::clone(&node), format!("r{rooms}-{number}")));
        }
        let mut took: Vec<Duration> = publishing.join_all().await.into_iter().flatten().collect();
        took.sort_unstable();
        let percentile = |percent: usize| took[(took.len() - 1) * percent / 100];
        println!(
            "{profile}, {rooms} rooms: {} a second; p50 {:?}, p99 {:?}",
            took.len() as u64 / TIME.as_secs(),
            percentile(50),
            percentile(99)
        );
    }
}

async fn publish(node: Arc<Node>, name: String) -> Vec<Duration> {
    let (room, until) = (room(&name), Instant::now() + TIME);
    let (mut took, mut last) =
        (Vec::new(), node.last(&room).await.expect("an answer").map_or(0, |last| last.position.0));
    while Instant::now() < until {
        let asked = Instant::now();
        match node.append(&room, last, ENVELOPE).await {
            Ok(Position(position)) => {
                last = position;
                took.push(asked.elapsed());
            }
            Err(AppendError::Busy) => sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
    took
}
