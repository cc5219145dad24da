//! What a server keeps alive, by the resident memory of its process, which it has for itself: tests beside it would count too.

use crate::harness::alone::{in_a_process_of_its_own, resident};
use crate::harness::node::{Member, Node};
use crate::harness::served::{Served, echo};
use std::time::{Duration, SystemTime};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{Format, HubLimits, Join, Memory, Overflow};

/// What the memory transport takes.
const PIPE_BYTES: usize = 64 << 10;

/// Lets a tick pass.
async fn tick() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[test]
fn a_message_that_waits_keeps_no_others_alive() {
    in_a_process_of_its_own(a_message_that_waits_keeps_no_others_alive, async {
        tokio::time::pause();
        let hub = Hub::with_limits(HubLimits { history_messages: 0, ..HubLimits::default() });
        let timeouts = Timeouts { write: Some(Duration::from_mins(1)), ..Timeouts::default() };
        let mut node = Node::with(hub, Server::new().timeouts(timeouts)).await;
        let rooms: Vec<_> = (0..400).map(|number| node.quiet(&format!("r{number}"))).collect();
        let latest = Join { overflow: Some(Overflow::Latest), ..Join::default() };
        let _slow = slow_members(&mut node, &rooms, latest).await;
        let before = resident();
        for room in &rooms {
            // One batch, of which the last one stays.
            (0..60).for_each(|_| _ = room.publish("x".repeat(1000)));
            tick().await;
        }
        let grown = resident().saturating_sub(before);
        assert!(grown < 8 << 20, "{grown} bytes are kept for 400 messages of 1 KB");
    });
}

/// Members that read nothing, whose pipes are full.
async fn slow_members(node: &mut Node, rooms: &[Room], join: Join) -> Vec<Member> {
    let mut slow = Vec::new();
    for room in rooms {
        slow.push(node.join(room, Format::Text, join).await);
        // More than a pipe and what is moved to be written next.
        (0..3).for_each(|_| _ = room.publish("x".repeat(PIPE_BYTES)));
        tick().await;
    }
    slow
}

#[test]
fn a_short_frame_that_waits_takes_little_memory() {
    in_a_process_of_its_own(a_short_frame_that_waits_takes_little_memory, async {
        tokio::time::pause();
        let hub = Hub::with_limits(HubLimits { history_messages: 0, ..HubLimits::default() });
        let timeouts = Timeouts { write: Some(Duration::from_mins(1)), ..Timeouts::default() };
        let mut node = Node::with(hub, Server::new().timeouts(timeouts)).await;
        let rooms: Vec<_> = (0..50).map(|number| node.quiet(&format!("r{number}"))).collect();
        let join = Join { overflow: Some(Overflow::DropNewest), ..Join::default() };
        let _slow = slow_members(&mut node, &rooms, join).await;
        let before = resident();
        for room in &rooms {
            for _ in 0..200 {
                (0..10).for_each(|_| _ = room.publish("x"));
                tick().await;
            }
        }
        let grown = resident().saturating_sub(before) / (50 * 2000);
        assert!(grown < 256, "{grown} bytes are kept for each message of one");
    });
}

/// A peer that reads all but the last lines of what it said would have the server hold a read for the price of those.
#[test]
fn the_rest_of_what_is_answered_keeps_no_read_alive() {
    in_a_process_of_its_own(the_rest_of_what_is_answered_keeps_no_read_alive, async {
        tokio::time::pause();
        let memory = Memory::new();
        let timeouts = Timeouts { write: Some(Duration::from_mins(1)), ..Timeouts::default() };
        let served = Served::over(&memory, Server::new().timeouts(timeouts).memory(&memory, echo)).await;
        let mut peers: Vec<_> = (0..200).map(|_| served.connect()).collect();
        // Once before it counts, so that the pipes have grown; 122 bytes are left, since an empty one gives its memory back.
        for peer in &mut peers {
            ask(peer, &[63_000]).await;
            ask(peer, &[56_000, 3999]).await;
            read(peer, 30 * 4096).await;
        }
        let before = resident();
        for peer in &mut peers {
            ask(peer, &[63_000]).await;
            ask(peer, &[56_000, 3999]).await;
            // Of 123,124 bytes the pipe holds the next 65,536, and 4340 are left.
            read(peer, 13 * 4096).await;
        }
        let grown = resident().saturating_sub(before);
        // 12 MiB of reads would come on top of what the pipes have grown by.
        assert!(grown < 12 << 20, "{grown} bytes are kept for 200 times 4 KB");
    });
}

/// Sends lines of these lengths at once.
async fn ask(peer: &mut Peer, lengths: &[usize]) {
    let lines: String = lengths.iter().map(|length| "x".repeat(*length) + "\n").collect();
    peer.send(lines).await;
    tick().await;
}

/// Reads at least so much, and keeps nothing of it.
async fn read(peer: &mut Peer, bytes: usize) {
    let mut read = 0;
    while read < bytes {
        read += peer.chunk().await.unwrap().len();
    }
    tick().await;
}

/// Ten thousand with an end, each of which is looked at once a second: a stamp, and a place in the list of who is told before; no timer.
#[test]
fn connections_that_end_some_day_take_little_memory() {
    in_a_process_of_its_own(connections_that_end_some_day_take_little_memory, async {
        tokio::time::pause();
        const COUNT: usize = 10_000;
        let limits = Limits { connections: COUNT, ..Limits::default() };
        let mut node = Node::with(Hub::new(), Server::new().limits(limits)).await;
        let mut all = Vec::with_capacity(COUNT);
        for _ in 0..COUNT {
            let (peer, conn) = node.connect().await;
            let me = node.hub.enter(&conn, Format::Text);
            all.push((peer, conn, me));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let before = resident();
        for (_, _, me) in &all {
            me.expire_at(Some(SystemTime::now() + Duration::from_hours(1)));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let grown = resident().saturating_sub(before) / COUNT;
        assert!(grown <= 64, "{grown} bytes are kept for each");
    });
}
