//! Values of the user's that panic when they are dropped: a will, a task and what it gives, a handler's state, an encoding.

use super::{Dear, Endless};
use crate::harness::patience::{secs, until};
use crate::harness::served::{Served, echo};
use bytes::Bytes;
use std::future::poll_fn;
use switchboard::grammar::{Message, Notice};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{Encoding, Join, Memory};

fn planted() -> impl Future<Output = ()> + Send {
    poll_fn(|_| panic!("as planted"))
}

#[tokio::test(start_paused = true)]
async fn a_will_that_panics_when_it_is_dropped_is_published_though_its_handler_panics() {
    let room = Hub::new().room("r").unwrap();
    let (failing, plain, left) = (Memory::new(), Memory::new(), room.clone());
    let server =
        Server::new().memory(&plain, super::member::<Lines>(&room)).memory(&failing, move |conn: Connection<Lines>| {
            let left = left.clone();
            async move {
                let will = Bytes::from_owner(Dear(b"gone".to_vec()));
                let _seat = conn.join(&left).unwrap().will(will);
                planted().await;
            }
        });
    let served = Served::over(&plain, server).await;
    let mut peer = served.connect();
    until(|| room.member_count() == 1).await;
    assert_eq!(Peer::connect(&failing).closed().await, CloseReason::HandlerPanic);
    assert_eq!(peer.line().await, "gone\n");
    peer.finish();
    assert_eq!(served.stop().await.aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_spawned_may_panic_wherever_it_ends() {
    let served = Served::in_memory(Server::new().grace(secs(1)), |server, memory| {
        server.memory(&memory, async |conn: Connection<Lines>| {
            conn.spawn(planted());
            conn.spawn(async { Dear(Vec::new()) });
            conn.spawn(Endless);
        })
    });
    let mut peer = served.connect();
    peer.finish();
    assert_eq!(peer.closed().await, CloseReason::Finished);
    served.handle.spawn(Endless).abort();
    served.handle.spawn(Endless);
    assert!(served.handle.spawn(planted()).await.is_none());
    let drained = served.stop().await;
    assert!(drained.elapsed < secs(3), "{drained:?}");
}

#[derive(Clone)]
struct Sticky;

impl Drop for Sticky {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "as planted");
    }
}

#[tokio::test(start_paused = true)]
async fn state_that_panics_when_it_is_dropped_ends_its_connection_and_no_drain() {
    let (sticky, plain) = (Memory::new(), Memory::new());
    let server =
        Server::new().memory(&sticky, (Sticky, async |_: Connection<Lines>, _: Sticky| {})).memory(&plain, echo);
    let served = Served::over(&plain, server).await;
    for _ in 0..2 {
        assert_eq!(Peer::connect(&sticky).closed().await, CloseReason::HandlerPanic);
    }
    let mut peer = served.connect();
    peer.send("fine\n").await;
    assert_eq!(peer.line().await, "fine\n");
    peer.finish();
    let drained = served.stop().await;
    assert_eq!((drained.aborted, drained.elapsed < secs(3)), (0, true));
}

/// What the encoding does not bear.
const MESSAGE: u8 = 0;
const EQUALITY: u8 = 1;
const END: u8 = 2;
const LOSS: u8 = 10;
const PRESENCE: u8 = 11;

struct Odd<const AT: u8>;

fn reach<const AT: u8>(at: u8) {
    assert!(AT != at || std::thread::panicking(), "as planted");
}

impl<const AT: u8> PartialEq for Odd<AT> {
    fn eq(&self, _: &Self) -> bool {
        reach::<AT>(EQUALITY);
        true
    }
}

impl<const AT: u8> Drop for Odd<AT> {
    fn drop(&mut self) {
        reach::<AT>(END);
    }
}

impl<const AT: u8> Encoding<Lines> for Odd<AT> {
    fn message(&self, message: &Message) -> Option<Line> {
        reach::<AT>(MESSAGE);
        Some(message.payload.clone().into())
    }

    fn notice(&self, notice: &Notice) -> Option<Line> {
        // What it can tell of losses is asked when it joins, the rest while the room delivers.
        reach::<AT>(if matches!(notice, Notice::Gap { .. } | Notice::Reset { .. }) { LOSS } else { PRESENCE });
        None
    }
}

async fn an_odd_encoding_ends_its_members_alone<const AT: u8>() {
    let hub = Hub::new();
    let room = hub.room("r").unwrap();
    let (odd, plain, named) = (Memory::new(), Memory::new(), Memory::new());
    let (joined, entered) = (room.clone(), room.clone());
    let enter = move |mut conn: Connection<Lines>| {
        let (hub, room) = (hub.clone(), entered.clone());
        async move {
            let me = hub.enter(&conn, Format::Text);
            let _seat = me.join(&room, Join::default())?;
            while conn.recv().await?.is_some() {}
            Ok::<(), switchboard::BoxError>(())
        }
    };
    let listen = move |mut conn: Connection<Lines>| {
        let joined = joined.clone();
        async move {
            let _seat = conn.join_as(&joined, Odd::<AT>, Join::default())?;
            while conn.recv().await?.is_some() {}
            Ok::<(), switchboard::BoxError>(())
        }
    };
    let server = Server::new().memory(&plain, super::member::<Lines>(&room)).memory(&odd, listen).memory(&named, enter);
    let served = Served::over(&plain, server).await;
    let mut peer = served.connect();
    let mut victims = [Peer::connect(&odd), Peer::connect(&odd)];
    tokio::time::sleep(secs(1)).await;
    // All who can be told are told of this one.
    let mut newcomer = Peer::connect(&named);
    tokio::time::sleep(secs(3)).await;
    newcomer.finish();
    newcomer.closed().await;
    room.publish("said");
    for victim in &mut victims {
        victim.finish();
        victim.closed().await;
    }
    until(|| room.member_count() == 1).await;
    room.publish("after");
    assert_eq!((peer.line().await, peer.line().await), ("said\n".to_owned(), "after\n".to_owned()));
    peer.finish();
    let drained = served.stop().await;
    assert_eq!((drained.aborted, drained.elapsed < secs(3)), (0, true));
}

#[tokio::test(start_paused = true)]
async fn an_encoding_that_panics_anywhere_ends_its_members_alone() {
    an_odd_encoding_ends_its_members_alone::<MESSAGE>().await;
    an_odd_encoding_ends_its_members_alone::<EQUALITY>().await;
    an_odd_encoding_ends_its_members_alone::<END>().await;
    an_odd_encoding_ends_its_members_alone::<LOSS>().await;
    an_odd_encoding_ends_its_members_alone::<PRESENCE>().await;
}
