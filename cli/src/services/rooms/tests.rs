#![allow(clippy::disallowed_methods, reason = "a test is the program itself, and sees all of a room")]

use super::*;
use switchboard::testing::{self, Peer};
use switchboard::{HubLimits, Server, Timeouts};

pub(super) fn settings(rate: Option<u32>) -> Settings {
    Settings {
        format: Format::Text,
        room: None,
        commands: true,
        echo: true,
        rate: Pace::new(rate.unwrap_or(0)),
        new_rooms: Replaceable::default(),
        overflow: None,
        admission: Replaceable::default(),
        known_by: KnownBy::default(),
    }
}

/// Somebody who was welcomed to a hub of these limits.
async fn peer(limits: HubLimits, rate: Option<u32>) -> Peer {
    let listener = Arc::new(Listener::new(settings(rate), Hub::with_limits(limits)));
    let mut peer = testing::serve(move |conn| serve::<GuardedLines>(conn, &listener), Timeouts::default());
    assert!(peer.line().await.starts_with("* you are guest-1 in lobby"));
    peer
}

async fn ask(peer: &mut Peer, line: &str) -> String {
    peer.send(format!("{line}\n")).await;
    peer.line().await
}

#[tokio::test(start_paused = true)]
async fn as_many_rooms_as_one_may_be_in() {
    let mut peer = peer(HubLimits { rooms_per_connection: 3, ..HubLimits::default() }, None).await;
    for room in ["a", "b"] {
        assert!(ask(&mut peer, &format!("/join {room}")).await.starts_with(&format!("* [{room}] you joined")));
    }
    assert_eq!(ask(&mut peer, "/join c").await, "! too-many-rooms: limit on rooms of one connection reached: 3\n");
    // The current room is the one that it was.
    assert_eq!(ask(&mut peer, "hi").await, "[b] guest-1: hi\n");
    assert_eq!(ask(&mut peer, "/leave a").await, "* [a] you left; now in b\n");
    assert!(ask(&mut peer, "/join c").await.starts_with("* [c] you joined"));
}

#[tokio::test(start_paused = true)]
async fn as_many_rooms_as_there_may_be() {
    let mut peer = peer(HubLimits { rooms: 2, ..HubLimits::default() }, None).await;
    assert!(ask(&mut peer, "/join a").await.starts_with("* [a] you joined"));
    assert_eq!(ask(&mut peer, "/join b").await, "! too-many-rooms: limit on rooms reached: 2\n");
    assert!(ask(&mut peer, "/join A").await.starts_with("* [a] you joined"));
}

/// docs/protocol.md, what comes early.
#[tokio::test(start_paused = true)]
async fn behind_you_joined_comes_each_message_once_and_in_order() {
    for ask in ["/join lobby since=0-0", "/leave\n/join lobby since=0-0"] {
        let mut peer = peer(HubLimits::default(), None).await;
        peer.send(format!("1\n2\n{ask}\n/pub lobby 3\n")).await;
        while !peer.line().await.starts_with("* [lobby] you joined at ") {}
        assert!(peer.line().await.starts_with("* [lobby] started over as "), "{ask}");
        for number in 1..=3 {
            assert_eq!(peer.line().await, format!("[lobby] guest-1: {number}\n"), "{ask}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn changes_are_possible_again_after_a_while() {
    let mut peer = peer(HubLimits::default(), None).await;
    for number in 0..20 {
        assert_eq!(ask(&mut peer, &format!("/name bob-{number}")).await, format!("* you are bob-{number}\n"));
    }
    let refused = "! rate-limited: too many joins, leaves and name changes; try again in 200 ms\n";
    for line in ["/name bob", "/join ops", "/leave"] {
        assert_eq!(ask(&mut peer, line).await, refused);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(ask(&mut peer, "/name bob").await, "* you are bob\n");
    assert_eq!(ask(&mut peer, "/leave").await, refused);
}

#[tokio::test(start_paused = true)]
async fn a_rate_pauses_what_comes_too_fast() {
    let mut peer = peer(HubLimits::default(), Some(10)).await;
    let started = Instant::now();
    peer.send("x\n".repeat(25)).await;
    for number in 1..=25 {
        assert_eq!(peer.line().await, "[lobby] guest-1: x\n");
        // Ten at once, and one each tenth of a second; timers are good to a millisecond.
        let due = Duration::from_millis(100) * (number - 10_u32.min(number));
        let late = started.elapsed().checked_sub(due).expect("it is not early");
        assert!(late < Duration::from_millis(5), "{number}: {late:?} late");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_is_changed_holds_for_who_is_there() {
    let listener = Arc::new(Listener::new(settings(None), Hub::new()));
    let rate = listener.rate.clone();
    let mut peer = testing::serve(move |conn| serve::<GuardedLines>(conn, &listener), Timeouts::default());
    assert!(peer.line().await.starts_with("* you are guest-1 in lobby"));
    let mut takes = async || {
        let started = Instant::now();
        peer.send("x\n".repeat(25)).await;
        for _ in 0..25 {
            assert_eq!(peer.line().await, "[lobby] guest-1: x\n");
        }
        started.elapsed().as_millis()
    };
    assert!(takes().await < 5);
    rate.follow(&Pace::new(10));
    let paced = takes().await;
    assert!((1400..1600).contains(&paced), "{paced}");
    rate.follow(&Pace::default());
    assert!(takes().await < 200);
}

#[tokio::test(start_paused = true)]
async fn a_datagram_member_has_five_minutes() {
    let endpoint = crate::endpoint::Endpoint::parse("rooms=udp://127.0.0.1:0").expect("it is sound");
    let server = (endpoint.add)(Server::new().workers(0), &Shared::default());
    let bound = server.bind().await.expect("a port is free");
    let (handle, address) = (bound.handle(), bound.urls()[0].replace("udp://", ""));
    let silence = async move {
        let mote = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port is free");
        mote.connect(address).await.expect("it is an address");
        mote.send(b"/join a").await.expect("it is sent");
        let mut cookie = [0; 64];
        let length = mote.recv(&mut cookie).await.expect("it is answered");
        mote.send(&[b"/join a ", &cookie[..length]].concat()).await.expect("it is sent");
        mote.recv(&mut cookie).await.expect("it is welcomed");
        tokio::time::sleep(Duration::from_mins(5)).await;
        assert_eq!(handle.connections().len(), 1);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(handle.connections().len(), 0);
        let length = mote.recv(&mut cookie).await.expect("it is joined");
        assert!(cookie[..length].starts_with(b"* [a] you joined"));
        let length = mote.recv(&mut cookie).await.expect("it is told");
        assert_eq!(&cookie[..length], b"* closed: idle\n");
    };
    assert_eq!(bound.serve_until(silence).await.aborted, 0);
}

#[test]
fn strangers_have_a_rate_and_this_machine_has_none() {
    let default = |typed: &str| {
        let endpoint = crate::endpoint::Endpoint::parse(typed).expect("it is sound");
        default_rate(endpoint.address.is_local())
    };
    for host in ["127.0.0.1", "127.1.2.3", "[::1]", "localhost", "LOCALHOST"] {
        assert_eq!(default(&format!("rooms=tcp://{host}:1")), None, "{host}");
    }
    for host in ["0.0.0.0", "[::]", "192.0.2.1", "example.org"] {
        assert_eq!(default(&format!("rooms=tcp://{host}:1")), Some(1000), "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_protocol_begins_with_is_not_published() {
    let hub = Hub::new();
    let watcher = hub.room("lobby").unwrap();
    for (sent, protocol) in
        [("POST / HTTP/1.1\r\nHost: x\r\n\r\n/name admin\nhi\n", "HTTP"), ("\u{16}\u{3}\n/name admin\nhi\n", "TLS")]
    {
        let listener = Arc::new(Listener::new(settings(None), hub.clone()));
        let mut peer = testing::serve(move |conn| serve::<GuardedLines>(conn, &listener), Timeouts::default());
        peer.line().await;
        peer.send(sent).await;
        let told = String::from_utf8(peer.rest().await.unwrap()).unwrap();
        assert_eq!(told, format!("! wrong-protocol: this looks like {protocol}, which is not supported here\n"));
        assert_eq!(peer.closed().await, switchboard::CloseReason::WrongProtocol);
    }
    assert_eq!(watcher.last_id().seq, 0);
    assert!(!hub.has(&switchboard::UserName::parse("admin").unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_first_command_behind_a_mark_or_telnet_is_a_command() {
    for begin in [&b"\xef\xbb\xbf"[..], b"\xff\xfb\x1f\xff\xfc\x20", b"\xff\xfc\x20\xef\xbb\xbf"] {
        let mut peer = peer(HubLimits::default(), None).await;
        peer.send([begin, b"/name bob\r\n"].concat()).await;
        let expected = [if begin.contains(&0xfb) { &b"\xff\xfe\x1f"[..] } else { b"" }, b"* you are bob\n"].concat();
        assert_eq!(peer.bytes(expected.len()).await, expected);
        // As a later one is, where one file comes behind another; text is not touched.
        assert_eq!(ask(&mut peer, "\u{feff}/ping").await, "* pong\n");
        assert_eq!(ask(&mut peer, "\u{feff}//ping").await, "[lobby] bob: /ping\n");
        assert_eq!(ask(&mut peer, "\u{feff}hi").await, "[lobby] bob: \u{feff}hi\n");
    }
}

/// What a line without an end means is said in docs/protocol.md; that a drain drops it is a test of connections.
#[tokio::test(start_paused = true)]
async fn a_last_line_without_an_end_counts_if_its_sender_has_finished_in_order() {
    let hub = Hub::new();
    let room = hub.room("lobby").unwrap();
    let begin = || {
        let listener = Arc::new(Listener::new(settings(None), hub.clone()));
        testing::serve(move |conn| serve::<GuardedLines>(conn, &listener), Timeouts::default())
    };
    let texts = || room.history(9).iter().map(|message| message.payload.clone()).collect::<Vec<_>>();
    let mut peer = begin();
    peer.send("one\nrest").await;
    peer.finish();
    peer.closed().await;
    assert_eq!(texts(), ["one", "rest"]);
    let mut peer = begin();
    peer.send("two\nhalf a li").await;
    let third = async {
        while texts().len() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), third).await.unwrap();
    peer.reset();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(texts(), ["one", "rest", "two"]);
}

/// Who is within the second that is told of together is counted at once, and told of as well.
#[tokio::test(start_paused = true)]
async fn what_is_told_of_who_came_before_one_ends_with_how_many_there_are() {
    let hub = Hub::new();
    let begin = || {
        let listener = Arc::new(Listener::new(settings(None), hub.clone()));
        testing::serve(move |conn| serve::<GuardedLines>(conn, &listener), Timeouts::default())
    };
    let mut peers = Vec::new();
    for _ in 0..3 {
        let mut peer = begin();
        peer.line().await;
        peers.push(peer);
    }
    let mut last = peers.pop().unwrap();
    let mut asked = String::new();
    last.send("/who\n").await;
    while !asked.contains("3 members") {
        asked = last.line().await;
    }
    // guest-2 came before it, and is among those who are told of.
    assert_eq!(last.line().await, "* [lobby] 1 joined, 0 left: 3 members\n");
}
