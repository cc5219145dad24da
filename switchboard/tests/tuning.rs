//! Settings that change while a server runs: those of a listener, and the limits of all.

use crate::harness::node::Node;
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{Memory, Transport as _, Tuned, Tuning};
use tokio::time::sleep;

async fn echo(mut conn: Connection<Lines>) -> Result {
    while let Some(line) = conn.recv().await? {
        conn.send(line).await?;
    }
    Ok(())
}

fn idle(seconds: u64) -> Tuned {
    let idle = Some(Duration::from_secs(seconds));
    Tuned { timeouts: Some(Timeouts { idle, ..Timeouts::default() }), ..Tuned::default() }
}

async fn says(peer: &mut Peer, line: &str) {
    peer.send(format!("{line}\n")).await;
    assert_eq!(peer.line().await, format!("{line}\n"));
}

#[tokio::test(start_paused = true)]
async fn connections_keep_the_timeouts_that_they_came_with_and_new_ones_have_those_of_now() {
    let (memory, tuning) = (Memory::new(), Tuning::default());
    tuning.set(idle(100));
    let server = Server::new().workers(0).listen(memory.clone().tuned(&tuning), echo);
    let bound = server.bind().await.unwrap();
    tokio::spawn(bound.serve_until(std::future::pending()));
    let mut first = Peer::connect(&memory);
    says(&mut first, "a").await;
    tuning.set(idle(10));
    let mut second = Peer::connect(&memory);
    says(&mut second, "b").await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(second.closed().await, CloseReason::Idle);
    says(&mut first, "c").await;
    sleep(Duration::from_mins(2)).await;
    assert_eq!(first.closed().await, CloseReason::Idle);
}

#[tokio::test(start_paused = true)]
async fn limits_hold_at_once_for_all_connections_and_for_the_frames_of_those_who_come() {
    let memory = Memory::new();
    let server = Server::new().workers(0).limits(Limits { connections: 1, ..Limits::default() });
    let bound = server.listen(memory.clone(), echo).bind().await.unwrap();
    let handle = bound.handle();
    tokio::spawn(bound.serve_until(std::future::pending()));
    let mut first = Peer::connect(&memory);
    says(&mut first, "first").await;
    assert_eq!(Peer::connect(&memory).rest().await.unwrap_or_default(), b"", "one too many");
    handle.set_limits(Limits { connections: 2, frame_bytes: 4, ..Limits::default() }).unwrap();
    let mut second = Peer::connect(&memory);
    says(&mut second, "four").await;
    says(&mut first, "longer than four").await;
    second.send("fiver\n").await;
    assert_eq!(second.closed().await, CloseReason::FrameTooLong);
    let fault = handle.set_limits(Limits { connections: 0, ..Limits::default() }).unwrap_err();
    assert!(!fault.faults.is_empty());
    let mut third = Peer::connect(&memory);
    says(&mut third, "then").await;
}

#[tokio::test(start_paused = true)]
async fn what_rooms_keep_follows_the_memory_for_all_messages_down_and_up() {
    let hub = Hub::new();
    let server = Server::new().workers(0).hub(&hub);
    let node = Node::with(hub, server).await;
    let room = node.quiet("ops");
    let kept = || {
        for _ in 0..64 {
            room.publish([b'x'; 1024]);
        }
        room.history(64).len()
    };
    assert_eq!(kept(), 64);
    let limit = |memory_bytes| node.handle.set_limits(Limits { memory_bytes, ..Limits::default() }).unwrap();
    limit(64 * 1024);
    assert!((1..40).contains(&kept()), "half of it at most");
    limit(1 << 30);
    assert_eq!(kept(), 64);
}
