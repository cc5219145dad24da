//! A log that panics costs the line that was to be logged.

use crate::harness::mote::stranger;
use crate::harness::patience::{secs, until};
use crate::harness::served::{Served, echo};
use switchboard::prelude::*;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

struct Broken;

impl Subscriber for Broken {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("switchboard")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        panic!("as planted")
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_log_that_panics_ends_no_accept_loop_and_no_sweep() {
    let _broken = tracing::subscriber::set_default(Broken);
    let timeouts = Timeouts { idle: Some(secs(60)), ..Timeouts::default() };
    let limits = Limits { connections: 2, ..Limits::default() };
    let served = Served::in_memory(Server::new().timeouts(timeouts).limits(limits), |server, memory| {
        server.memory(&memory, echo)
    });
    let (mut first, second) = (served.connect(), served.connect());
    until(|| served.handle.connections().len() == 2).await;
    let _refused = served.connect();
    until(|| served.handle.metrics().closed(CloseReason::TooManyConnections) == 1).await;
    drop(second);
    until(|| served.handle.connections().len() == 1).await;
    // The sweep comes late, and says so.
    tokio::time::advance(secs(10)).await;
    first.send("fine\n").await;
    assert_eq!(first.line().await, "fine\n");
    assert_eq!(first.closed().await, CloseReason::Idle);
    let mut late = served.connect();
    late.send("fine\n").await;
    assert_eq!(late.line().await, "fine\n");
}

#[tokio::test]
async fn a_log_that_panics_ends_no_datagram_loop() {
    let _broken = tracing::subscriber::set_default(Broken);
    let answer = |datagram: Datagram<'_>, reply: &mut DatagramReply<'_>| {
        assert_ne!(datagram.payload, b"panic", "as planted");
        reply.write(datagram.payload);
    };
    let served = Served::start(Server::new().workers(0).udp("127.0.0.1:0", answer)).await;
    let stranger = stranger(&served).await;
    stranger.say("panic").await;
    assert_eq!(stranger.ask("fine").await, "fine");
}
