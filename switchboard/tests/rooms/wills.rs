//! What is published when a member goes.

use crate::harness::node::{Node, user};
use crate::harness::patience::{secs, until};
use crate::harness::served::Served;
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{BoxError, Format, Join, Memory, RoomOptions, UserName};
use tokio::time::sleep;

/// Serves on a hub, with a handler that leaves a will and then leaves as it is told.
async fn leaving(hub: &Hub) -> Served {
    let (memory, hub) = (Memory::new(), hub.clone());
    let lobby = hub.room_with(&"lobby".parse().unwrap(), RoomOptions::default()).unwrap();
    let handler = move |mut conn: Connection<Lines>| {
        let (hub, lobby) = (hub.clone(), lobby.clone());
        async move {
            let me = hub.enter(&conn, Format::Text);
            let _seat = me.join(&lobby, Join::default())?.will("gone");
            conn.send("in").await?;
            while let Some(line) = conn.recv().await? {
                match &line[..] {
                    b"return" => return Ok(()),
                    b"error" => return Err("as asked".into()),
                    b"hang" => std::future::pending().await,
                    _ => panic!("as asked"),
                }
            }
            Ok::<(), BoxError>(())
        }
    };
    Served::over(&memory, Server::new().memory(&memory, handler)).await
}

#[tokio::test(start_paused = true)]
async fn a_will_is_published_however_the_handler_ends() {
    let mut node = Node::start().await;
    let lobby = node.hub.room("lobby").unwrap();
    let mut observer = node.join(&lobby, Format::Text, Join::default()).await;
    let Served { memory, handle, .. } = leaving(&node.hub).await;
    let ways = ["return", "error", "panic", "hang", "finish", "reset", "close by id", "close by name", "vanish"];
    for (number, way) in (2..).zip(ways) {
        sleep(secs(2)).await;
        let mut peer = Peer::connect(&memory);
        assert_eq!(peer.line().await, "in\n");
        assert_eq!(observer.heard().await, [format!("* [lobby] guest-{number} joined")], "{way}");
        let close_by_id = || assert!(handle.connections().close(handle.connections().list(None, 1)[0].id));
        match way {
            "finish" => peer.finish(),
            "reset" => peer.reset(),
            "vanish" => drop(peer),
            "close by id" => close_by_id(),
            "close by name" => assert!(node.hub.close(&UserName::guest(number))),
            _ => peer.send(format!("{way}\n")).await,
        }
        if way == "hang" {
            sleep(Duration::from_millis(1)).await;
            close_by_id();
            sleep(secs(4)).await;
        }
        assert_eq!(observer.heard().await, [format!("[lobby] guest-{number}: gone")], "{way}");
        assert_eq!(lobby.member_count(), 1);
        until(|| handle.connections().is_empty()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_draining_nobody_is_told_who_leaves_and_wills_are_not_published() {
    let mut node = Node::start().await;
    let lobby = node.hub.room("lobby").unwrap();
    let mut observer = node.join(&lobby, Format::Text, Join::default()).await;
    let Served { memory, handle, drained, .. } = leaving(&node.hub).await;
    let mut peers = [Peer::connect(&memory), Peer::connect(&memory)];
    for peer in &mut peers {
        assert_eq!(peer.line().await, "in\n");
    }
    sleep(secs(3)).await;
    assert_eq!(observer.heard().await, ["* [lobby] 2 joined, 0 left: 3 members"]);
    handle.drain();
    peers.iter_mut().for_each(Peer::finish);
    let drained = drained.await.unwrap();
    assert_eq!((drained.finished, drained.aborted, lobby.member_count()), (2, 0, 1));
    sleep(secs(3)).await;
    assert_eq!(observer.heard().await, [""; 0]);
    assert_eq!(lobby.last_id().seq, 0);
}

#[tokio::test(start_paused = true)]
async fn a_will_comes_in_the_name_that_the_member_had_last() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let mut bob = node.member("lobby").await;
    let alice = node.member("lobby").await;
    let seat = alice.seat.will("bye");
    alice.me.rename(user("alice")).unwrap();
    drop(alice.me);
    drop(seat);
    assert_eq!(bob.heard().await, ["[lobby] alice: bye"]);
    assert_eq!(lobby.history(1)[0].from, Some(user("alice")));
}
