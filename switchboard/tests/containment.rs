//! A panic of a user's code ends what it was called for. What serves everybody goes on: ticks, sweeps, accept and datagram loops.
//! (Codecs, what answers requests, wakers, values and logs: the files beside this one.)

mod codecs;
mod http;
mod logs;
mod values;
mod wakers;

use crate::harness::mote::{door, stranger};
use crate::harness::node::Node;
use crate::harness::patience::{secs, until};
use crate::harness::served::{Served, echo};
use bytes::{Bytes, BytesMut};
use std::future::Ready;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{Format, FrameError, Join, Memory, MessageId, Output, TellError, Udp};

/// Where the panic is.
const ENCODE: u8 = 0;
const CARRIES: u8 = 1;
const FROM: u8 = 2;
/// In encoding, and again when what it was about is dropped.
const TWICE: u8 = 3;

/// Lines, of a user who did not think of everything.
#[derive(Default)]
struct Touchy<const AT: u8>(Lines);

struct Word<const AT: u8>(Line);

fn check<const AT: u8>(at: u8, payload: &[u8]) {
    let is_planted = payload.windows(4).any(|part| part == b"boom");
    if is_planted && AT == TWICE && at == ENCODE {
        std::panic::panic_any(Dear(Vec::new()));
    }
    assert!(AT != at || !is_planted, "as planted");
}

impl<const AT: u8> From<Bytes> for Word<AT> {
    fn from(payload: Bytes) -> Self {
        check::<AT>(FROM, &payload);
        Self(payload.into())
    }
}

impl<const AT: u8> Codec for Touchy<AT> {
    type Frame = Word<AT>;

    fn decode(&mut self, input: &mut BytesMut, limit: usize) -> std::result::Result<Option<Word<AT>>, FrameError> {
        Ok(self.0.decode(input, limit)?.map(Word))
    }

    fn carries(payload: &[u8]) -> bool {
        check::<AT>(CARRIES, payload);
        true
    }

    fn encode(&mut self, word: Word<AT>, output: &mut Output) {
        check::<AT>(ENCODE, &word.0);
        self.0.encode(word.0, output);
    }
}

type BoxFuture = Pin<Box<dyn Future<Output = Result> + Send>>;

/// Sits in a room and listens.
fn member<C: Codec<Frame: From<Bytes> + Send> + Send>(room: &Room) -> impl Fn(Connection<C>) -> BoxFuture + use<C> {
    let room = room.clone();
    move |mut conn| {
        let room = room.clone();
        Box::pin(async move {
            let _seat = conn.join(&room)?;
            while conn.recv().await?.is_some() {}
            Ok(())
        })
    }
}

async fn a_touchy_member_ends_alone<const AT: u8>() {
    let (room, touchy, plain) = (Hub::new().room("r").unwrap(), Memory::new(), Memory::new());
    let server = Server::new().memory(&touchy, member::<Touchy<AT>>(&room)).memory(&plain, member::<Lines>(&room));
    let served = Served::over(&plain, server).await;
    let mut peers = [served.connect(), served.connect()];
    let mut victims = [Peer::connect(&touchy), Peer::connect(&touchy)];
    until(|| room.member_count() == 4).await;
    for text in ["before", "boom", "behind"] {
        room.publish(text);
    }
    for victim in &mut victims {
        assert_eq!(victim.closed().await, CloseReason::HandlerPanic);
    }
    until(|| room.member_count() == 2).await;
    room.publish("after");
    for peer in &mut peers {
        for text in ["before\n", "boom\n", "behind\n", "after\n"] {
            assert_eq!(peer.line().await, text);
        }
        peer.finish();
    }
    assert_eq!(served.handle.metrics().closed(CloseReason::HandlerPanic), 2);
    let drained = served.stop().await;
    assert_eq!((drained.aborted, drained.elapsed < secs(3)), (0, true));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_encoding_of_what_a_room_delivers_ends_those_members_alone() {
    a_touchy_member_ends_alone::<ENCODE>().await;
    a_touchy_member_ends_alone::<CARRIES>().await;
    a_touchy_member_ends_alone::<FROM>().await;
    a_touchy_member_ends_alone::<TWICE>().await;
}

/// A member that is told what it missed, in words for people.
fn returning(hub: &Hub) -> impl Fn(Connection<Touchy<ENCODE>>) -> BoxFuture + use<> {
    let hub = hub.clone();
    move |mut conn| {
        let hub = hub.clone();
        Box::pin(async move {
            let (room, me) = (hub.room("r")?, hub.enter(&conn, Format::Text));
            me.rename("victim".parse()?)?;
            let since = Some(MessageId { seq: 0, ..room.last_id() });
            let _seat = me.join(&room, Join { since, ..Join::default() })?;
            while conn.recv().await?.is_some() {}
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_encoding_of_what_a_member_missed_ends_it_alone() {
    let (hub, touchy, plain) = (Hub::new(), Memory::new(), Memory::new());
    let room = hub.room("r").unwrap();
    let server = Server::new().memory(&touchy, returning(&hub)).memory(&plain, member::<Lines>(&room));
    let served = Served::over(&plain, server).await;
    let mut peer = served.connect();
    until(|| room.member_count() == 1).await;
    room.publish("boom");
    let mut victim = Peer::connect(&touchy);
    victim.finish();
    assert_eq!(victim.closed().await, CloseReason::HandlerPanic);
    room.publish("after");
    assert_eq!((peer.line().await, peer.line().await), ("boom\n".to_owned(), "after\n".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_encoding_of_what_is_said_to_one_ends_that_one_and_not_who_said_it() {
    let (touchy, mut node) = (Memory::new(), Node::start().await);
    let served = Served::over(&touchy, Server::new().memory(&touchy, returning(&node.hub))).await;
    let mut victim = served.connect();
    until(|| node.hub.has(&"victim".parse().unwrap())).await;
    let (mut peer, mut conn) = node.connect().await;
    let me = node.hub.enter(&conn, Format::Text);
    let told = me.tell(&"victim".parse().unwrap(), "boom");
    assert!(matches!(told, Err(TellError::NoSuchMember(_))), "{told:?}");
    assert_eq!(victim.closed().await, CloseReason::HandlerPanic);
    conn.send("fine").await.unwrap();
    assert_eq!(peer.line().await, "fine\n");
}

/// The waker of a runtime that is not tokio's, and not finished either.
struct Unwakeable;

impl Wake for Unwakeable {
    fn wake(self: Arc<Self>) {
        panic!("as planted")
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_ends_no_sweep() {
    let timeouts = Timeouts { idle: Some(secs(5)), ..Timeouts::default() };
    let mut node = Node::with(Hub::new(), Server::new().timeouts(timeouts)).await;
    let (_peer, mut conn) = node.connect().await;
    let (mut other, mut waiting) = node.connect().await;
    let (waker, mut closed) = (Waker::from(Arc::new(Unwakeable)), Box::pin(conn.closed()));
    assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    {
        let recv = pin!(conn.recv());
        assert!(recv.poll(&mut Context::from_waker(&waker)).is_pending());
    }
    tokio::time::sleep(secs(3)).await;
    let waits = tokio::spawn(async move { waiting.recv().await.map(drop) });
    tokio::time::sleep(secs(10)).await;
    assert!(waits.await.unwrap().is_err());
    assert_eq!(other.closed().await, CloseReason::Idle);
    drop(conn);
    until(|| node.handle.metrics().closed(CloseReason::Idle) == 2).await;
}

/// Bytes whose end nobody can bear.
struct Dear(Vec<u8>);

impl AsRef<[u8]> for Dear {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Dear {
    fn drop(&mut self) {
        panic!("as planted")
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_panics_when_it_has_been_written_ends_no_tick() {
    let mut node = Node::start().await;
    let (mut peer, mut conn) = node.connect().await;
    let (mut other, mut plain) = node.connect().await;
    conn.send(Line::from(Bytes::from_owner(Dear(vec![b'x'; 4000])))).await.unwrap();
    assert_eq!(peer.closed().await, CloseReason::HandlerPanic);
    plain.send("fine").await.unwrap();
    assert_eq!(other.line().await, "fine\n");
    drop(conn);
    until(|| node.handle.connections().len() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_before_it_waits_ends_no_accept_loop() {
    let served = Served::in_memory(Server::new(), |server, memory| {
        server.memory(&memory, |_: Connection<Lines>| -> Ready<Result> { panic!("as planted") })
    });
    for _ in 0..3 {
        assert_eq!(served.connect().closed().await, CloseReason::HandlerPanic);
    }
    assert_eq!(served.handle.metrics().closed(CloseReason::HandlerPanic), 3);
}

#[derive(Debug)]
struct Unspeakable;

impl std::fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("as planted")
    }
}

impl std::error::Error for Unspeakable {}

/// State that a handler cannot have a copy of.
struct Unique;

impl Clone for Unique {
    fn clone(&self) -> Self {
        panic!("as planted")
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_cannot_be_told_and_state_that_cannot_be_cloned_end_their_connections_alone() {
    let (failing, stateful, plain) = (Memory::new(), Memory::new(), Memory::new());
    let server = Server::new()
        .memory(&failing, async |_: Connection<Lines>| Err::<(), _>(Unspeakable))
        .memory(&stateful, (Unique, async |_: Connection<Lines>, _: Unique| {}))
        .memory(&plain, echo);
    let served = Served::over(&plain, server).await;
    for memory in [&failing, &stateful, &failing, &stateful] {
        let mut peer = Peer::connect(memory);
        peer.finish();
        peer.closed().await;
    }
    let mut peer = served.connect();
    peer.send("fine\n").await;
    assert_eq!(peer.line().await, "fine\n");
    assert_eq!(served.handle.metrics().closed(CloseReason::HandlerPanic), 2);
    assert_eq!(served.handle.metrics().closed(CloseReason::HandlerError), 2);
}

/// A handler that never ends, and ends badly.
struct Endless;

impl Future for Endless {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> std::task::Poll<()> {
        std::task::Poll::Pending
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "as planted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_when_it_is_dropped_ends_no_sweep_and_no_drain() {
    let keep = |conn: Connection<Lines>| async move {
        let _conn = conn;
        Endless.await;
    };
    let served = Served::in_memory(Server::new(), |server, memory| server.memory(&memory, keep));
    let mut peers = [served.connect(), served.connect()];
    until(|| served.handle.connections().len() == 2).await;
    for connection in served.handle.connections().list(None, 2) {
        served.handle.connections().close(connection.id);
    }
    for peer in &mut peers {
        peer.finish();
        peer.closed().await;
    }
    until(|| served.handle.connections().is_empty()).await;
    let _late = served.connect();
    until(|| served.handle.connections().len() == 1).await;
    assert_eq!(served.stop().await.aborted, 1);
}

#[tokio::test]
async fn a_handler_of_a_datagram_peer_that_panics_before_it_waits_ends_no_datagram_loop() {
    let panics = |_: Connection<switchboard::Datagrams>| -> Ready<Result> { panic!("as planted") };
    let server = Server::new().workers(1).udp_peers(Udp::new("127.0.0.1:0"), door, panics);
    let served = Served::start(server).await;
    let stranger = stranger(&served).await;
    for number in 1..4 {
        stranger.say("open").await;
        served.until(|handle| handle.metrics().closed(CloseReason::HandlerPanic) == number).await;
        assert_eq!(stranger.ask("hi").await, "hi");
    }
    assert_eq!(served.stop().await.aborted, 0);
}

#[tokio::test]
async fn a_datagram_handler_that_panics_costs_its_datagram_the_answer() {
    let answer = |datagram: Datagram<'_>, reply: &mut DatagramReply<'_>| {
        assert_ne!(datagram.payload, b"panic", "as planted");
        reply.write(datagram.payload);
    };
    let server = Server::new().workers(1).udp("127.0.0.1:0", answer);
    let served = Served::start(server).await;
    let stranger = stranger(&served).await;
    stranger.say("panic").await;
    assert_eq!(stranger.ask("fine").await, "fine");
    assert_eq!(served.stop().await.aborted, 0);
}
