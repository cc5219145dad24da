//! Lines under a policy: who presents a token, what it may do then, and what is done before.

use super::tests::settings;
use super::*;
use crate::policy::configured::FilePolicy;
use crate::policy::rules::{At, Grant, Rules, TokenSection};
use switchboard::grammar::ErrorCode;
use switchboard::testing::{self, Peer};
use switchboard::{CloseReason, Glob, HubLimits, Rights, Timeouts};

const AT: At = At { line: 1, column: 1 };

/// Alice may do everything in ops and the lobby, bob may be in ops, and carol may do there whatever one may do without being there; nobody
/// else may do anything.
fn hub() -> Hub {
    let token = |name: &str, grants: &[(&str, Rights)]| TokenSection {
        grants: grants
            .iter()
            .map(|(rooms, rights)| Grant { at: AT, rooms: Glob::parse(rooms).unwrap(), rights: *rights })
            .collect(),
        ..TokenSection::of(name, &[&format!("{name}s-token")])
    };
    let rules = Rules {
        tokens: vec![
            token("alice", &[("ops", Rights::ALL), ("lobby", Rights::ALL)]),
            token("bob", &[("ops", Rights::JOIN)]),
            token("carol", &[("ops*", Rights::HISTORY | Rights::PUBLISH)]),
        ],
        ..Rules::default()
    };
    let bridge = UserName::parse("bridge").unwrap();
    Hub::with_policy(HubLimits::default(), Arc::new(FilePolicy::new(&rules, vec![bridge])))
}

fn peer(hub: &Hub, admission: Admission) -> Peer {
    peer_of(hub, Settings { admission: Replaceable::new(admission), ..settings(None) })
}

fn peer_of(hub: &Hub, settings: Settings) -> Peer {
    let listener = Arc::new(Listener::new(settings, hub.clone()));
    testing::serve(move |conn| serve::<GuardedLines>(conn, &listener), Timeouts::default())
}

/// The next line, without its end.
async fn line(peer: &mut Peer) -> String {
    peer.line().await.trim_end().to_owned()
}

async fn ask(peer: &mut Peer, asked: &str) -> String {
    peer.send(format!("{asked}\n")).await;
    line(peer).await
}

/// What the answer begins with.
async fn code(peer: &mut Peer, asked: &str) -> String {
    ask(peer, asked).await.split(':').next().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn whoever_shows_nothing_may_do_nothing_and_a_token_changes_that() {
    let hub = hub();
    let mut peer = peer(&hub, Admission::Optional);
    assert_eq!(line(&mut peer).await, "* you are guest-1 in no room; /help lists the commands");
    for refused in ["/join ops", "/join nowhere", "/who ops", "/msg alice hi"] {
        let code = code(&mut peer, refused).await;
        assert!(["! not-allowed", "! no-such-room"].contains(&&*code), "{refused}: {code}");
    }
    assert_eq!(code(&mut peer, "/name alice").await, "! name-reserved");
    assert_eq!(code(&mut peer, "/name Alice.x").await, "! name-reserved");
    assert_eq!(ask(&mut peer, "/auth alices-token").await, "* authorized as alice");
    assert!(line(&mut peer).await.starts_with("* [lobby] you joined at "));
    assert!(ask(&mut peer, "/join ops").await.starts_with("* [ops] you joined at "));
    assert_eq!(ask(&mut peer, "hi").await, "[ops] alice: hi");
    assert_eq!(ask(&mut peer, "/whoami").await, "* you are alice, in no group");
    assert_eq!(code(&mut peer, "/name carol").await, "! name-reserved");
    assert_eq!(ask(&mut peer, "/name alice.2").await, "* you are alice.2");
}

#[tokio::test(start_paused = true)]
async fn a_right_that_one_has_not_is_refused_where_others_are_given() {
    let hub = hub();
    let (mut alice, mut bob) = (peer(&hub, Admission::Optional), peer(&hub, Admission::Optional));
    for (peer, token) in [(&mut alice, "alices-token"), (&mut bob, "bobs-token")] {
        line(peer).await;
        assert!(ask(peer, &format!("/auth {token}")).await.starts_with("* authorized as "));
    }
    line(&mut alice).await;
    assert!(ask(&mut alice, "/join ops").await.starts_with("* [ops] you joined at "));
    assert!(ask(&mut bob, "/join ops").await.starts_with("* [ops] you joined at "));
    assert_eq!(code(&mut bob, "hello").await, "! not-allowed");
    assert_eq!(code(&mut bob, "/pub ops hello").await, "! not-allowed");
    assert_eq!(code(&mut bob, "/history").await, "! not-allowed");
    assert_eq!(code(&mut bob, "/who").await, "! not-allowed");
    assert_eq!(code(&mut bob, "/join lobby").await, "! not-allowed");
    assert_eq!(code(&mut bob, "/msg alice hi").await, "! not-allowed");
    alice.send("to bob\n").await;
    assert_eq!(line(&mut bob).await, "[ops] alice: to bob");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_token_is_an_error_and_the_third_one_the_end() {
    let hub = hub();
    let mut peer = peer(&hub, Admission::Optional);
    line(&mut peer).await;
    for _ in 0..3 {
        assert_eq!(ask(&mut peer, "/auth mysecret").await, "! not-authorized: unknown credential");
    }
    assert_eq!(line(&mut peer).await, "* closed: auth-failed");
    assert_eq!(peer.closed().await, CloseReason::AuthFailed);
}

#[tokio::test(start_paused = true)]
async fn who_is_somebody_becomes_nobody_else() {
    let hub = hub();
    let mut peer = peer(&hub, Admission::Optional);
    line(&mut peer).await;
    assert_eq!(ask(&mut peer, "/auth bobs-token").await, "* authorized as bob");
    assert_eq!(ask(&mut peer, "/auth alices-token").await, "! not-authorized: you are bob; connect anew to be another");
    assert_eq!(ask(&mut peer, "/auth bobs-token").await, "* authorized as bob");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_made_for_whoever_has_to_show_a_token_and_has_not() {
    let hub = hub();
    let mut stranger = peer(&hub, Admission::Required);
    assert!(line(&mut stranger).await.starts_with("! not-authorized: a token is needed here: /auth TOKEN"));
    assert_eq!(ask(&mut stranger, "/ping").await, "* pong");
    for refused in ["hello", "/join ops", "/name carol", "/whoami"] {
        assert_eq!(code(&mut stranger, refused).await, "! not-authorized", "{refused}");
    }
    let mut alice = peer(&hub, Admission::Required);
    alice.send("/auth alices-token\n/join ops\nhi\n").await;
    line(&mut alice).await;
    assert_eq!(line(&mut alice).await, "* authorized as alice");
    assert_eq!(line(&mut alice).await, "* you are alice in lobby; /help lists the commands");
    assert!(line(&mut alice).await.starts_with("* [ops] you joined at "), "what stands behind it waits");
    assert_eq!(line(&mut alice).await, "[ops] alice: hi");
    let mut guest = peer(&hub, Admission::Optional);
    assert_eq!(line(&mut guest).await, "* you are guest-2 in no room; /help lists the commands", "alice alone was one");
}

#[tokio::test(start_paused = true)]
async fn who_says_much_or_nothing_before_its_token_is_closed() {
    let hub = hub();
    let mut talker = peer(&hub, Admission::Required);
    line(&mut talker).await;
    for _ in 0..8 {
        assert_eq!(ask(&mut talker, "/ping").await, "* pong");
    }
    assert_eq!(line(&mut talker).await, "* closed: auth-failed");
    assert_eq!(talker.closed().await, CloseReason::AuthFailed);
    let mut wordy = peer(&hub, Admission::Required);
    line(&mut wordy).await;
    wordy.send("x".repeat(8193)).await;
    assert_eq!(line(&mut wordy).await, "! frame-too-long: frame is longer than 8192 bytes", "though it has no end yet");
    assert_eq!(wordy.closed().await, CloseReason::FrameTooLong);
    let mut silent = peer(&hub, Admission::Required);
    line(&mut silent).await;
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(silent.closed().await, CloseReason::HandshakeTimeout);
}

#[tokio::test(start_paused = true)]
async fn what_a_handshake_took_is_part_of_the_time_for_a_token() {
    let settings = Settings { admission: Replaceable::new(Admission::Required), ..settings(None) };
    let listener = Arc::new(Listener::new(settings, hub()));
    let slow = move |conn: Connection<GuardedLines>| {
        let listener = Arc::clone(&listener);
        async move {
            tokio::time::sleep(Duration::from_secs(6)).await;
            serve(conn, &listener).await
        }
    };
    let began = Instant::now();
    let mut silent = testing::serve(slow, Timeouts::default());
    line(&mut silent).await;
    assert_eq!(silent.closed().await, CloseReason::HandshakeTimeout);
    // And the time to finish.
    assert!((10..=12).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_listener_may_say_who_everybody_is_or_ask_nobody() {
    let hub = hub();
    let mut bridge = peer(&hub, Admission::As(UserName::parse("bridge").unwrap()));
    assert_eq!(line(&mut bridge).await, "* you are bridge in no room; /help lists the commands");
    assert_eq!(code(&mut bridge, "/join ops").await, "! not-allowed");
    let mut local = peer(&hub, Admission::Off);
    assert_eq!(line(&mut local).await, "* you are guest-2 in lobby; /help lists the commands");
    assert!(ask(&mut local, "/join anything").await.starts_with("* [anything] you joined at "));
    assert_eq!(code(&mut local, "/name bridge").await, "! name-reserved");
}

#[tokio::test(start_paused = true)]
async fn a_room_that_one_may_not_join_is_refused_alike_whether_or_not_it_is_there() {
    let hub = hub();
    let (mut alice, mut carol) = (peer(&hub, Admission::Optional), peer(&hub, Admission::Optional));
    for (peer, token) in [(&mut alice, "alices-token"), (&mut carol, "carols-token")] {
        line(peer).await;
        assert!(ask(peer, &format!("/auth {token}")).await.starts_with("* authorized as "));
    }
    line(&mut alice).await;
    assert!(ask(&mut alice, "/join ops").await.starts_with("* [ops] you joined at "));
    for command in ["/join", "/who", "/pub"] {
        let there = ask(&mut carol, &format!("{command} ops x")).await.replace("ops", "ops2");
        assert_eq!(there, ask(&mut carol, &format!("{command} ops2 x")).await, "{command}");
        let there = ask(&mut carol, &format!("{command} ops")).await.replace("ops", "ops2");
        assert_eq!(there, ask(&mut carol, &format!("{command} ops2")).await, "{command}");
    }
    assert_eq!(ask(&mut carol, "/rooms").await, "* 0 rooms");
}

#[expect(clippy::disallowed_methods, reason = "a test is the program itself, and sees all of a room")]
#[tokio::test(start_paused = true)]
async fn who_may_not_be_in_the_only_room_of_a_listener_without_commands_is_turned_away() {
    let hub = hub();
    let ops = || Some(RoomName::parse("ops").unwrap());
    let mut stranger = peer_of(&hub, Settings { commands: false, room: ops(), ..settings(None) });
    stranger.send("/join lobby\n").await;
    assert_eq!(line(&mut stranger).await, "! not-allowed: no right to do this");
    assert_eq!(stranger.closed().await, CloseReason::Closed);
    let raw = Settings { format: Format::Raw, commands: false, room: ops(), ..settings(None) };
    let mut relayed = peer_of(&hub, raw);
    relayed.send("/auth alices-token\n/join lobby\nhi\n").await;
    assert_eq!(relayed.rest().await.unwrap(), b"", "a relay says nothing of its own");
    let required =
        Settings { commands: false, room: ops(), admission: Replaceable::new(Admission::Required), ..settings(None) };
    let mut alice = peer_of(&hub, required);
    line(&mut alice).await;
    assert_eq!(ask(&mut alice, "/auth alices-token").await, "* authorized as alice");
    alice.send("/join lobby\n").await;
    let lobby = hub.room("ops").unwrap();
    while lobby.last_id().seq == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(&lobby.history(1)[0].payload[..], b"/join lobby", "it is text");
}

#[tokio::test(start_paused = true)]
async fn a_room_that_one_may_not_make_does_not_count_as_made() {
    let hub = hub();
    let settings = Settings { new_rooms: Replaceable::new(Some(Share::new(1))), ..settings(None) };
    let listener = Listener::new(settings, hub.clone());
    let address = PeerAddr::Ip("192.0.2.1:1".parse().unwrap());
    let nobody = hub.session(UserName::http(), Format::Text).unwrap();
    for number in 0..3 {
        let name = RoomName::parse(&format!("r{number}")).unwrap();
        assert_eq!(listener.make(&nobody, &name, &address).map(drop).unwrap_err().code, ErrorCode::NotAllowed);
    }
    let alice = hub.session(UserName::http(), Format::Text).unwrap();
    alice.authorize(Arc::new(FilePolicy::by_listener(UserName::parse("alice").unwrap())));
    assert!(listener.make(&alice, &RoomName::parse("ops").unwrap(), &address).is_ok());
}
