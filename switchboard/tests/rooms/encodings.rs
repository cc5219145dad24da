//! Rooms in encodings of a user's own: any protocol, every overflow policy, and each message encoded once.

use crate::harness::node::{QUIET, shown};
use crate::harness::patience::secs;
use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use switchboard::grammar::{Message, Notice};
use switchboard::prelude::*;
use switchboard::testing::{self, Peer};
use switchboard::{Codec, Encoding, EventStream, Format, FrameError, Join, JoinError, MessageId, Output, Overflow};
use switchboard::{UserName, WebSocketMessage};
use tokio::time::{sleep, timeout};

/// A member that gets `room` in `encoding`, and says why it could not.
fn listening<C, E>(room: &Room, encoding: E, join: Join) -> impl Fn(Connection<C>) -> Listening + Clone + use<C, E>
where
    C: Codec,
    E: Encoding<C> + Clone,
{
    let room = room.clone();
    move |mut conn| {
        let (room, encoding) = (room.clone(), encoding.clone());
        Box::pin(async move {
            let _seat = conn.join_as(&room, encoding, join)?;
            while conn.recv().await?.is_some() {}
            Ok(())
        })
    }
}

type Listening = std::pin::Pin<Box<dyn Future<Output = Result> + Send>>;

/// Pushes of Redis (RESP3) in a codec that only writes bytes.
#[derive(PartialEq, Clone)]
struct Resp;

impl Encoding<Raw> for Resp {
    fn message(&self, message: &Message) -> Option<Bytes> {
        let (room, payload) = (message.room.as_str(), &message.payload);
        let mut push = BytesMut::new();
        push.put_slice(
            format!(">3\r\n$7\r\nmessage\r\n${}\r\n{room}\r\n${}\r\n", room.len(), payload.len()).as_bytes(),
        );
        push.put_slice(payload);
        push.put_slice(b"\r\n");
        Some(push.freeze())
    }

    fn notice(&self, notice: &Notice) -> Option<Bytes> {
        let Notice::Gap { lost, .. } = notice else { return None };
        Some(format!(">2\r\n$3\r\ngap\r\n:{lost}\r\n").into())
    }
}

#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Frame = Bytes;

    fn decode(&mut self, input: &mut BytesMut, _: usize) -> std::result::Result<Option<Bytes>, FrameError> {
        Ok((!input.is_empty()).then(|| input.split().freeze()))
    }

    fn encode(&mut self, frame: Bytes, output: &mut Output) {
        output.share(frame);
    }
}

async fn joined(room: &Room, count: usize) {
    while room.member_count() < count {
        sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn redis_pushes_are_fifteen_lines() {
    let room = Hub::new().room("prices").unwrap();
    let app = testing::start(Server::new().tcp("127.0.0.1:6379", listening(&room, Resp, Join::default())));
    let mut peer = app.connect("tcp");
    joined(&room, 1).await;
    room.publish("42");
    let pushed = b">3\r\n$7\r\nmessage\r\n$6\r\nprices\r\n$2\r\n42\r\n";
    assert_eq!(peer.bytes(pushed.len()).await, pushed);
}

#[tokio::test(start_paused = true)]
async fn frames_of_a_length_messages_of_a_websocket_and_events_are_each_an_encoding() {
    #[derive(PartialEq, Clone)]
    struct Numbered;
    impl Encoding<Length> for Numbered {
        fn message(&self, message: &Message) -> Option<Bytes> {
            Some([&message.id.seq.to_be_bytes()[..], &message.payload].concat().into())
        }
    }
    impl Encoding<WebSocket> for Numbered {
        fn message(&self, message: &Message) -> Option<WebSocketMessage> {
            Some(WebSocketMessage::binary(message.payload.clone()))
        }
    }
    impl Encoding<EventStream> for Numbered {
        fn message(&self, message: &Message) -> Option<Bytes> {
            Some(format!("id: {}\ndata: {}\n\n", message.id.seq, message.payload.escape_ascii()).into())
        }
    }
    let (room, join) = (Hub::new().room("r").unwrap(), Join::default());
    let streamed = room.clone();
    let server = Server::new()
        .tcp("127.0.0.1:1", listening::<Length, _>(&room, Numbered, join))
        .websocket("127.0.0.1:2", listening::<WebSocket, _>(&room, Numbered, join))
        .http("127.0.0.1:3", move |_| {
            let handler = listening::<EventStream, _>(&streamed, Numbered, join);
            std::future::ready(switchboard::http::Response::stream(http::Response::new(()), handler))
        });
    let app = testing::start(server);
    let (mut framed, mut socket, mut events) =
        (app.connect("tcp"), app.websocket("ws://127.0.0.1:2/").await, app.get("http://127.0.0.1:3/").await);
    joined(&room, 3).await;
    room.publish("hi");
    assert_eq!(framed.bytes(14).await, b"\0\0\0\x0a\0\0\0\0\0\0\0\x01hi");
    assert_eq!(socket.recv().await.unwrap(), WebSocketMessage::binary("hi"));
    assert_eq!((events.line().await, events.line().await), ("id: 1\n".to_owned(), "data: hi\n".to_owned()));
}

/// A member that did not read while 1,000 messages of 1 KB came, and what it gets then: numbers, and gaps.
async fn slow<E: Encoding<Raw> + Clone>(encoding: E, overflow: Overflow) -> (Peer, testing::Running) {
    let hub = Hub::new();
    let room = hub.unnamed(QUIET);
    let join = Join { overflow: Some(overflow), ..Join::default() };
    let limits = Limits { outbox_frames: 16, ..Limits::default() };
    let app = testing::start(Server::new().limits(limits).tcp("127.0.0.1:1", listening(&room, encoding, join)));
    let peer = app.connect("tcp");
    joined(&room, 1).await;
    for number in 1..=1000 {
        room.publish(format!("{number:01000}"));
        tokio::task::yield_now().await;
    }
    (peer, app)
}

#[tokio::test(start_paused = true)]
async fn every_overflow_policy_holds_for_an_encoding_that_tells_of_gaps() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Latest] {
        let (mut peer, _app) = slow(Lettered, overflow).await;
        let (mut got, mut lost, mut last) = (0, 0, 0);
        while let Ok(line) = timeout(secs(1), peer.line()).await {
            match line.trim_end().split_once(' ').unwrap() {
                ("gap", count) => lost += count.parse::<u64>().unwrap(),
                (_, number) => (got, last) = (got + 1, number.parse().unwrap()),
            }
        }
        assert_eq!((got + lost, lost > 0), (1000, true), "{overflow:?}: {got} and {lost}");
        assert_eq!(last == 1000, overflow != Overflow::DropNewest, "{overflow:?}: {last}");
    }
    let (mut peer, app) = slow(Lettered, Overflow::Disconnect).await;
    assert_eq!(app.handle().metrics().closed(CloseReason::SlowConsumer), 1);
    assert!(peer.rest().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_encoding_that_cannot_tell_of_gaps_loses_nothing_unsaid() {
    #[derive(PartialEq, Clone)]
    struct Mute;
    impl Encoding<Raw> for Mute {
        fn message(&self, message: &Message) -> Option<Bytes> {
            Some(message.payload.clone())
        }
    }
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Latest] {
        let (_peer, app) = slow(Mute, overflow).await;
        assert_eq!(app.handle().metrics().closed(CloseReason::SlowConsumer), 1, "{overflow:?}");
    }
}

/// `message 7` and `gap 3`; refuses what is said to one alone, and what begins with a dash.
#[derive(PartialEq, Clone)]
struct Lettered;

impl Encoding<Raw> for Lettered {
    fn message(&self, message: &Message) -> Option<Bytes> {
        (!message.payload.starts_with(b"-")).then(|| {
            let mut line = BytesMut::from(&b"message "[..]);
            line.put_slice(&message.payload);
            line.put_u8(b'\n');
            line.freeze()
        })
    }

    fn notice(&self, notice: &Notice) -> Option<Bytes> {
        let Notice::Gap { lost, .. } = notice else { return None };
        Some(format!("gap {lost}\n").into())
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_encoding_does_not_carry_is_a_gap() {
    let room = Hub::new().unnamed(QUIET);
    let app = testing::start(Server::new().tcp("127.0.0.1:1", listening(&room, Lettered, Join::default())));
    let mut peer = app.connect("tcp");
    joined(&room, 1).await;
    for said in ["one", "-two", "three"] {
        room.publish(said);
    }
    let heard = [peer.line().await, peer.line().await, peer.line().await];
    assert_eq!(heard, ["message one\n", "gap 1\n", "message three\n"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_told_to_whoever_comes_back_if_the_encoding_can() {
    let hub = Hub::with_limits(switchboard::HubLimits { history_messages: 1, ..switchboard::HubLimits::default() });
    let room = hub.unnamed(QUIET);
    let first = shown(room.publish("one"));
    room.publish("two");
    room.publish("three");
    let join = Join { since: Some(first), ..Join::default() };
    let app = testing::start(Server::new().tcp("127.0.0.1:1", listening(&room, Lettered, join)));
    let mut peer = app.connect("tcp");
    assert_eq!([peer.line().await, peer.line().await], ["gap 1\n", "message three\n"]);

    // It has no words for a room that has begun anew.
    let since = MessageId { epoch: switchboard::grammar::Epoch::new(1), seq: 1 };
    let (told, mut fate) = tokio::sync::mpsc::channel(1);
    let server = Server::new().tcp("127.0.0.1:1", move |conn: Connection<Raw>| {
        let (told, room) = (told.clone(), room.clone());
        async move {
            let join = Join { since: Some(since), ..Join::default() };
            told.try_send(conn.join_as(&room, Lettered, join).map(drop)).unwrap();
        }
    });
    let _peer = testing::start(server).connect("tcp");
    assert_eq!(fate.recv().await.unwrap(), Err(JoinError::Gone { since }));
}

/// Lines that begin with a letter of the connection's own.
#[derive(Default)]
struct Set(u8);

impl Codec for Set {
    type Frame = Bytes;

    fn decode(&mut self, input: &mut BytesMut, _: usize) -> std::result::Result<Option<Bytes>, FrameError> {
        Ok((!input.is_empty()).then(|| input.split().freeze()))
    }

    fn settings(&self) -> u64 {
        self.0.into()
    }

    fn with_settings(settings: u64) -> Self {
        Self(settings as u8)
    }

    fn encode(&mut self, frame: Bytes, output: &mut Output) {
        output.put(&[self.0.max(b'a')]);
        output.share(frame);
        output.put(b"\n");
    }
}

#[derive(Clone)]
struct Counted(Arc<AtomicUsize>);

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Encoding<Set> for Counted {
    fn message(&self, message: &Message) -> Option<Bytes> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Some(message.payload.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn a_room_encodes_once_for_all_who_have_an_equal_encoding_and_the_same_settings() {
    let (hub, counts) = (Hub::new(), [(); 2].map(|()| Counted(Arc::default())));
    let (room, encodings) = (hub.unnamed(QUIET), counts.clone());
    let joining = room.clone();
    let server = Server::new().tcp("127.0.0.1:1", move |mut conn: Connection<Set>| {
        let (room, encodings) = (joining.clone(), encodings.clone());
        async move {
            let Some(set) = conn.recv().await? else { return Ok::<(), switchboard::BoxError>(()) };
            conn.codec_mut().0 = set[0];
            let _seat = match set[1] {
                b'r' => conn.join(&room)?,
                which => conn.join_as(&room, encodings[usize::from(which - b'0')].clone(), Join::default())?,
            };
            while conn.recv().await?.is_some() {}
            Ok::<(), switchboard::BoxError>(())
        }
    });
    let (app, mut peers) = (testing::start(server), Vec::new());
    for number in 0..60 {
        let mut peer = app.connect("tcp");
        let set = ["a0", "b0", "a1", "b1", "ar", "br"][number % 6];
        peer.send(set).await;
        peers.push((set, peer));
    }
    joined(&room, 60).await;
    for said in ["one", "two"] {
        room.publish(said);
        for (set, peer) in &mut peers {
            assert_eq!(peer.line().await, format!("{}{said}\n", &set[..1]));
        }
    }
    // Two messages, for two settings each.
    assert_eq!(counts.map(|count| count.0.load(Ordering::Relaxed)), [4, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_an_encoding_ends_its_members_alone() {
    #[derive(PartialEq, Clone)]
    struct Touchy;
    impl Encoding<Raw> for Touchy {
        fn message(&self, message: &Message) -> Option<Bytes> {
            assert_ne!(message.payload, "boom", "as planted");
            Some(message.payload.clone())
        }
    }
    impl Drop for Touchy {
        fn drop(&mut self) {
            assert!(!std::thread::current().name().unwrap_or_default().is_empty(), "a test has a name");
        }
    }
    let (room, join) = (Hub::new().unnamed(QUIET), Join::default());
    let server = Server::new().tcp("127.0.0.1:1", listening(&room, Touchy, join));
    let app = testing::start(server.tcp("127.0.0.1:2", listening(&room, Lettered, join)));
    let (mut touchy, mut other) = (app.connect("127.0.0.1:1"), app.connect("127.0.0.1:2"));
    joined(&room, 2).await;
    room.publish("boom");
    assert_eq!(touchy.closed().await, CloseReason::HandlerPanic);
    assert_eq!(other.line().await, "message boom\n");
    room.publish("on");
    assert_eq!((other.line().await, app.handle().connections().len()), ("message on\n".to_owned(), 1));
}

#[tokio::test(start_paused = true)]
async fn a_session_has_an_encoding_and_a_name() {
    #[derive(PartialEq, Clone)]
    struct Polite;
    impl Encoding<Lines> for Polite {
        fn message(&self, message: &Message) -> Option<switchboard::Line> {
            Some(format!("{} said {}", message.from.as_ref()?, message.payload.escape_ascii()).into())
        }

        fn direct(&self, from: &UserName, text: &Bytes) -> Option<switchboard::Line> {
            Some(format!("{from} whispered {}", text.escape_ascii()).into())
        }
    }
    let hub = Hub::new();
    let (room, entered) = (hub.unnamed(QUIET), hub.clone());
    let seats = room.clone();
    let server = Server::new().tcp("127.0.0.1:1", move |mut conn: Connection<Lines>| {
        let (hub, room) = (entered.clone(), seats.clone());
        async move {
            let me = hub.enter_as(&conn, Polite);
            let _seat = me.join(&room, Join::default())?;
            while conn.recv().await?.is_some() {}
            Ok::<(), switchboard::BoxError>(())
        }
    });
    let app = testing::start(server);
    let mut peer = app.connect("tcp");
    joined(&room, 1).await;
    let clock = hub.session(UserName::parse("clock").unwrap(), Format::Text).unwrap();
    clock.publish(&room, "noon").unwrap();
    clock.tell(&UserName::guest(1), "late").unwrap();
    assert_eq!([peer.line().await, peer.line().await], ["clock said noon\n", "clock whispered late\n"]);
}
