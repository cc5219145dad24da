//! Wakers of a user's runtime that panic: whoever wakes them goes on.

use super::Unwakeable;
use crate::harness::node::Node;
use crate::harness::served::{Served, echo};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use switchboard::prelude::*;

fn waker() -> Waker {
    Waker::from(Arc::new(Unwakeable))
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_when_a_drain_begins_ends_no_drain() {
    let served = Served::in_memory(Server::new(), |server, memory| server.memory(&memory, echo));
    let mut peer = served.connect();
    peer.send("hi\n").await;
    assert_eq!(peer.line().await, "hi\n");
    let waker = waker();
    let mut draining = pin!(served.handle.draining());
    assert!(draining.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    served.handle.drain();
    peer.finish();
    assert_eq!(served.drained.await.unwrap().aborted, 0);
    draining.await;
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_when_a_worker_has_caught_up_ends_no_tick() {
    let mut node = Node::start().await;
    let (room, _behind) = (node.quiet("r"), node.member("r").await);
    let (mut peer, mut conn) = node.connect().await;
    tokio::task::yield_now().await;
    for _ in 0..40 {
        room.publish("x".repeat(60_000));
    }
    let waker = waker();
    let mut ready = pin!(room.ready());
    assert!(ready.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    room.ready().await;
    conn.send("fine").await.unwrap();
    assert_eq!(peer.line().await, "fine\n");
}
