//! What a server keeps alive, by the resident memory of its process, which it has for itself: tests beside it would count too.

use crate::harness::alone::{in_a_process_of_its_own, resident};
use crate::harness::node::{Member, Node};
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::{Format, HubLimits, Join, Overflow};

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
