//! What a client gets that a policy knows, or does not, in memory.

#![allow(clippy::disallowed_methods, reason = "a test is the program itself, and sees all of a room")]

mod forged;

use super::served::{client_admitted, client_with, frame, paragraph};
use super::*;
use switchboard::policy::{self, Authenticating, Credentials, Policy, Refusal};
use switchboard::testing::Peer;
use switchboard::{Hub, HubLimits, Rights, UserName};

/// `alice` shows `sb_alice` and may do everything in `ops*`, `bob` shows `sb_bob` and only reads there, but not what was; nobody
/// else may do anything there. `hidden` is for nobody, `lobby` for everybody.
struct Known;

impl Policy for Known {
    fn authenticate(&self, credentials: Credentials, _: policy::Claimant) -> Authenticating<'_> {
        let Credentials::Token(token) = credentials else { unreachable!("there are no others") };
        let shown = match token.reveal() {
            "sb_expired" => Err(Refusal::Expired),
            "sb_later" => Err(Refusal::Unavailable),
            token => token.strip_prefix("sb_").and_then(|name| UserName::parse(name).ok()).ok_or(Refusal::Wrong),
        };
        let principal = shown.map(|name| Arc::new(Principal::named(name).groups(["staff"])));
        Box::pin(async { principal })
    }

    fn rights(&self, who: &Principal, room: &RoomName) -> Rights {
        match (room.as_str(), who.name().map(UserName::as_str)) {
            // As a listener says of everybody with `auth=off`.
            (_, None) if who.credential().is_some() => Rights::ALL,
            ("lobby", _) => Rights::ALL,
            (room, Some("alice")) if room.starts_with("ops") => Rights::ALL,
            (room, Some("bob")) if room.starts_with("ops") => Rights::JOIN,
            _ => Rights::NONE,
        }
    }

    fn may_be_called(&self, who: &Principal, name: &UserName) -> bool {
        !name.as_str().to_ascii_lowercase().starts_with("alice")
            || who.name().is_some_and(|who| who.as_str() == "alice")
    }
}

fn hub() -> Hub {
    Hub::with_policy(HubLimits::default(), Arc::new(Known))
}

/// The head and the body of an answer with an end.
async fn ask_with(hub: &Hub, access: Access, request: &str, headers: &[&str], body: &str) -> (String, String) {
    ask_of(client_with(hub.clone(), access), request, headers, body).await
}

async fn ask_of(mut peer: Peer, request: &str, headers: &[&str], body: &str) -> (String, String) {
    let headers: String = headers.iter().flat_map(|header| [*header, "\r\n"]).collect();
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    peer.send(head + body).await;
    let head = paragraph(&mut peer).await;
    let rest = peer.rest().await.expect("it is closed in order");
    (head, String::from_utf8(rest).expect("it is UTF-8"))
}

async fn ask(hub: &Hub, request: &str, headers: &[&str]) -> (String, String) {
    ask_with(hub, Access::default(), request, headers, "hi").await
}

/// The status and the code of a refusal, and what it says of authentication.
async fn refusal(hub: &Hub, request: &str, headers: &[&str]) -> (u16, String, Option<String>) {
    let (head, body) = ask(hub, request, headers).await;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let code = body.split('"').nth(3).unwrap_or_default().to_owned();
    (status, code, header(&head, "www-authenticate"))
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
}

const ALICE: &str = "authorization: Bearer sb_alice";
const BOB: &str = "authorization: bearer sb_bob";
const REALM: &str = "Bearer realm=\"switchboard\"";

#[tokio::test(start_paused = true)]
async fn who_shows_nothing_is_asked_for_a_token_and_who_may_not_is_told_so() {
    let hub = hub();
    for request in [
        "POST /rooms/ops",
        "GET /rooms/ops/messages",
        "GET /rooms/ops/members",
        "GET /rooms/ops/events",
        "HEAD /rooms/ops/events",
        "GET /rooms/ops/messages?follow=1",
    ] {
        let (status, code, challenge) = refusal(&hub, request, &[]).await;
        assert_eq!((status, challenge.as_deref()), (401, Some(REALM)), "{request}");
        assert!(request.starts_with("HEAD") || code == "not-authorized", "{request}: {code}");
        let (status, code, challenge) = refusal(&hub, request, &["authorization: Bearer sb_carol"]).await;
        let insufficient = format!("{REALM}, error=\"insufficient_scope\"");
        assert_eq!((status, challenge), (403, Some(insufficient)), "{request}");
        assert!(request.starts_with("HEAD") || code == "not-allowed", "{request}: {code}");
    }
    assert!(hub.find(&RoomName::parse("ops").unwrap()).is_none(), "none of them made it");
}

#[tokio::test(start_paused = true)]
async fn each_right_is_asked_for_what_it_gives() {
    let hub = hub();
    let (head, body) = ask(&hub, "POST /rooms/ops", &[ALICE]).await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && body.starts_with("{\"event\":\"published\",\"room\":\"ops\""),
        "{head}{body}"
    );
    let (_, body) = ask(&hub, "GET /rooms/ops/messages", &[ALICE]).await;
    assert!(body.contains("\"from\":\"alice\",\"user\":\"alice\","), "{body}");
    for (request, status) in
        [("POST /rooms/ops", 403), ("GET /rooms/ops/messages", 403), ("GET /rooms/ops/members", 403)]
    {
        assert_eq!(refusal(&hub, request, &[BOB]).await.0, status, "{request}");
    }
    // It may join what is there, and makes nothing.
    assert_eq!(refusal(&hub, "GET /rooms/ops2/events", &[BOB]).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_one_may_not_join_looks_the_same_whether_it_is_there_or_not() {
    let hub = hub();
    assert!(ask(&hub, "POST /rooms/ops.1", &[ALICE]).await.0.starts_with("HTTP/1.1 200 "));
    for path in ["POST /rooms/ops.", "GET /rooms/ops./messages", "GET /rooms/ops./members", "GET /rooms/ops./events"] {
        for headers in [&[][..], &["authorization: Bearer sb_carol"]] {
            let there = ask(&hub, &path.replace("ops.", "ops.1"), headers).await;
            let missing = ask(&hub, &path.replace("ops.", "ops.2"), headers).await;
            let undated = |head: &str| head.lines().filter(|line| !line.starts_with("date:")).collect::<String>();
            assert_eq!((undated(&there.0), there.1), (undated(&missing.0), missing.1), "{path}");
        }
    }
    for (headers, rooms) in [(&[ALICE][..], 2), (&[BOB], 2), (&[], 1)] {
        let (_, body) = ask(&hub, "GET /rooms", headers).await;
        assert!(body.contains(&format!("\"total\":{rooms}}}")), "{body}");
        assert_eq!(body.contains("ops.1"), rooms == 2, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_shown_and_wrong_is_an_error_and_never_nobody() {
    let hub = hub();
    let wrong = (401, "not-authorized".to_owned(), Some(format!("{REALM}, error=\"invalid_token\"")));
    let long = format!("authorization: Bearer {}", "a".repeat(9 << 10));
    for shown in ["authorization: Bearer nobody", "authorization: Bearer", "authorization: Basic YTpi", &long] {
        assert_eq!(refusal(&hub, "POST /rooms/lobby", &[shown]).await, wrong, "{shown:.40}");
    }
    let expired = refusal(&hub, "POST /rooms/lobby", &["authorization: Bearer sb_expired"]).await;
    let said = format!("{REALM}, error=\"invalid_token\", error_description=\"expired\"");
    assert_eq!(expired, (401, "token-expired".to_owned(), Some(said)));
    let (head, body) = ask(&hub, "POST /rooms/lobby", &["authorization: Bearer sb_later"]).await;
    assert!(head.starts_with("HTTP/1.1 503 ") && body.contains("auth-unavailable"), "{head}{body}");
    assert_eq!(header(&head, "retry-after").as_deref(), Some("5"));
    let twice = refusal(&hub, "POST /rooms/lobby", &[ALICE, ALICE]).await;
    assert_eq!((twice.0, &*twice.1), (400, "bad-argument"));
    // Pages of other origins ask first, without any.
    assert!(ask(&hub, "OPTIONS /rooms/ops", &[]).await.0.starts_with("HTTP/1.1 204 "));
    assert_eq!(refusal(&hub, "GET /nowhere", &["authorization: Bearer nobody"]).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_somebodys_is_refused_whether_or_not_it_is_there() {
    let hub = hub();
    let (status, code, _) = refusal(&hub, "POST /rooms/lobby?name=ALICE", &[BOB]).await;
    assert_eq!((status, &*code), (403, "name-reserved"));
    for path in ["/ws?name=alice.2", "/rooms/lobby/ws?name=alice"] {
        let (_, mut peer) = socket(&hub, path, BOB).await;
        assert!(frame(&mut peer).await.1.starts_with(b"{\"error\":\"name-reserved\","), "{path}");
    }
    assert!(ask(&hub, "POST /rooms/lobby?name=alice.2", &[ALICE]).await.0.starts_with("HTTP/1.1 200 "));
    let (_, body) = ask(&hub, "GET /rooms/lobby/messages", &[]).await;
    assert!(body.contains("\"from\":\"alice.2\""), "{body}");
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_is_told_who_it_is() {
    let hub = hub();
    let you = "{\"event\":\"you\",\"name\":\"alice\",\"authenticated\":true,\"groups\":[\"staff\"]}\n";
    assert_eq!(ask(&hub, "GET /me", &[ALICE]).await.1, you);
    let nobody = "{\"event\":\"you\",\"name\":\"http\",\"authenticated\":false,\"groups\":[]}\n";
    assert_eq!(ask(&hub, "GET /me", &[]).await.1, nobody);
    assert_eq!(ask(&Hub::new(), "GET /me", &[ALICE]).await.1, nobody, "without a policy nobody knows");
}

#[tokio::test(start_paused = true)]
async fn where_authentication_is_required_nobody_gets_more_than_the_page() {
    let client = |hub: &Hub| client_admitted(hub.clone(), Admission::Required, Access::default());
    for hub in [hub(), Hub::new()] {
        for request in ["POST /rooms/lobby", "GET /rooms", "GET /me", "GET /ws", "GET /rooms/lobby/ws"] {
            let (head, _) = ask_of(client(&hub), request, &[], "").await;
            assert!(
                head.starts_with("HTTP/1.1 401 ") && header(&head, "www-authenticate").is_some(),
                "{request}: {head}"
            );
        }
        for request in ["GET /", "GET /switchboard.js", "GET /openapi.json"] {
            assert!(ask_of(client(&hub), request, &[], "").await.0.starts_with("HTTP/1.1 200 "), "{request}");
        }
    }
    assert!(ask_of(client(&hub()), "GET /rooms", &[ALICE], "").await.0.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(start_paused = true)]
async fn where_authentication_is_required_a_websocket_shows_its_token_first() {
    let hub = hub();
    for (path, joined) in [("/rooms/ops/ws", "{\"event\":\"you-joined\""), ("/ws?room=ops", "{\"event\":\"welcome\"")] {
        let peer = client_admitted(hub.clone(), Admission::Required, Access::default());
        let (head, mut peer) = socket_of(peer, path, "x-nothing: shown").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(frame(&mut peer).await.1.starts_with(b"{\"error\":\"not-authorized\","), "{path}");
        say(&mut peer, "hello").await;
        assert!(frame(&mut peer).await.1.starts_with(b"{\"error\":\"not-authorized\","), "{path}");
        assert!(hub.find(&RoomName::parse("ops").unwrap()).is_none(), "nothing is made until then");
        say(&mut peer, "/auth sb_alice").await;
        assert_eq!(frame(&mut peer).await.1, b"{\"event\":\"authorized\",\"name\":\"alice\"}", "{path}");
        let told = String::from_utf8(frame(&mut peer).await.1).unwrap();
        assert!(told.starts_with(joined), "{told}");
        drop(peer);
        while hub.find(&RoomName::parse("ops").unwrap()).is_some_and(|room| room.member_count() > 0) {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        tokio::time::sleep(std::time::Duration::from_mins(20)).await;
    }
    let peer = client_admitted(hub.clone(), Admission::Required, Access::default());
    let (_, mut peer) = socket_of(peer, "/rooms/ops/ws", "x-nothing: shown").await;
    frame(&mut peer).await;
    for _ in 0..3 {
        say(&mut peer, "/auth nobody").await;
        assert!(frame(&mut peer).await.1.starts_with(b"{\"error\":\"not-authorized\","));
    }
    assert_eq!(frame(&mut peer).await.1, b"{\"event\":\"closed\",\"reason\":\"auth-failed\"}");
    assert_eq!(frame(&mut peer).await, (0x88, [&1008_u16.to_be_bytes()[..], b"auth-failed"].concat()));
    let peer = client_admitted(hub.clone(), Admission::Required, Access::default());
    let (_, mut patient) = socket_of(peer, "/rooms/ops/ws", "x-nothing: shown").await;
    frame(&mut patient).await;
    for _ in 0..3 {
        say(&mut patient, "/auth sb_later").await;
        assert!(frame(&mut patient).await.1.starts_with(b"{\"error\":\"auth-unavailable\","));
    }
    say(&mut patient, "/auth sb_alice").await;
    assert_eq!(frame(&mut patient).await.1, b"{\"event\":\"authorized\",\"name\":\"alice\"}", "none was wrong");
    let peer = client_admitted(hub.clone(), Admission::Required, Access::default());
    let (_, mut silent) = socket_of(peer, "/rooms/ops/ws", "x-nothing: shown").await;
    frame(&mut silent).await;
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    assert_eq!(frame(&mut silent).await, (0x88, [&1008_u16.to_be_bytes()[..], b"handshake-timeout"].concat()));
}

#[tokio::test(start_paused = true)]
async fn a_listener_of_requests_may_say_who_everybody_is_or_ask_nobody() {
    let hub = hub();
    let as_alice = || client_admitted(hub.clone(), Admission::As(UserName::parse("alice").unwrap()), Access::default());
    assert!(ask_of(as_alice(), "POST /rooms/ops", &[], "hi").await.0.starts_with("HTTP/1.1 200 "));
    let (_, body) = ask_of(as_alice(), "GET /rooms/ops/messages", &[], "").await;
    assert!(body.contains("\"from\":\"alice\",\"user\":\"alice\""), "{body}");
    assert!(ask_of(as_alice(), "POST /rooms/hidden", &[], "hi").await.0.starts_with("HTTP/1.1 403 "));
    assert!(ask_of(as_alice(), "GET /me", &[BOB], "").await.0.starts_with("HTTP/1.1 400 "), "it is somebody already");
    for page in ["origin: https://evil.example", "sec-fetch-site: cross-site"] {
        assert!(ask_of(as_alice(), "POST /rooms/ops", &[page], "hi").await.0.starts_with("HTTP/1.1 403 "), "{page}");
    }
    let (_, mut peer) = socket_of(as_alice(), "/rooms/ops/ws", "x-nothing: shown").await;
    assert!(frame(&mut peer).await.1.starts_with(b"{\"event\":\"you-joined\""));
    let open = || client_admitted(hub.clone(), Admission::Off, Access::default());
    assert!(ask_of(open(), "POST /rooms/hidden", &[], "hi").await.0.starts_with("HTTP/1.1 200 "));
    assert!(
        ask_of(open(), "GET /rooms/hidden/messages", &["authorization: Bearer any"], "").await.1.contains("\"hi\"")
    );
    assert!(ask_of(open(), "POST /rooms/hidden?name=alice", &[], "hi").await.0.starts_with("HTTP/1.1 403 "));
    let (_, mut peer) = socket_of(open(), "/rooms/hidden/ws", "x-nothing: shown").await;
    let told = String::from_utf8(frame(&mut peer).await.1).unwrap();
    assert!(told.ends_with("\"may\":[\"publish\",\"history\",\"presence\"]}"), "{told}");
    let mut events = open();
    events.send("GET /rooms/hidden/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(paragraph(&mut events).await.starts_with("HTTP/1.1 200 "));
    paragraph(&mut events).await;
    ask_of(open(), "POST /rooms/hidden", &[], "live").await;
    while !paragraph(&mut events).await.contains("\"live\"") {}
}

#[tokio::test(start_paused = true)]
async fn a_token_is_in_a_url_only_where_that_is_allowed_and_for_what_has_no_end() {
    let (hub, in_urls) = (hub(), Access { is_in_urls: true });
    let (head, _) = ask_with(&hub, Access::default(), "GET /rooms/ops/events?access_token=sb_alice", &[], "").await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    for (request, status) in [
        ("HEAD /rooms/ops/events?access_token=sb_alice", 200),
        ("HEAD /rooms/ops/events?access_token=sb_no%20", 401),
        ("GET /rooms/ops/messages?access_token=sb_alice", 400),
        ("POST /rooms/ops?access_token=sb_alice", 400),
        ("GET /rooms/ops/events?access_token=sb_alice&access_token=sb_alice", 400),
    ] {
        let (head, body) = ask_with(&hub, in_urls, request, &[], "").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")) && !body.contains("sb_"), "{request}: {head}{body}");
    }
    let (head, _) = ask_with(&hub, in_urls, "GET /rooms/ops/events?access_token=sb_alice", &[ALICE], "").await;
    assert!(head.starts_with("HTTP/1.1 400 "), "two ways: {head}");
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_for_a_token_and_opens_one_stream() {
    let hub = hub();
    for (headers, status) in [(&[][..], 401), (&["authorization: Bearer nobody"], 401), (&[ALICE, ALICE], 400)] {
        assert_eq!(refusal(&hub, "POST /tickets", headers).await.0, status, "{headers:?}");
    }
    assert_eq!(refusal(&Hub::new(), "POST /tickets", &[ALICE]).await.0, 401, "without a policy nobody is anybody");
    assert_eq!(refusal(&hub, "POST /tickets?name=alice", &[ALICE]).await.0, 400);
    assert_eq!(refusal(&hub, "GET /tickets", &[ALICE]).await.0, 405);
    for admission in [Admission::Off, Admission::As(UserName::parse("alice").unwrap())] {
        let (head, _) =
            ask_of(client_admitted(hub.clone(), admission, Access::default()), "POST /tickets", &[], "").await;
        assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    }
    // One connection, since each is another server here.
    let mut peer = client_admitted(hub, Admission::Required, Access::default());
    let send = |request: &str, header: &str| format!("{request} HTTP/1.1\r\nhost: localhost\r\n{header}\r\n\r\n");
    peer.send(send("POST /tickets", ALICE)).await;
    let head = paragraph(&mut peer).await;
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    assert_eq!(header(&head, "cache-control").as_deref(), Some("no-store"));
    let given: serde_json::Value = serde_json::from_str(&peer.line().await).expect("an object");
    assert!(given["event"] == "ticket" && given["expires"].is_string(), "{given}");
    let ticket = given["ticket"].as_str().expect("a text");
    // None of these uses it up.
    for (request, shown, status) in [
        ("HEAD /rooms/ops/events?", "x-y: z", 400),
        ("GET /rooms/ops/messages?", "x-y: z", 400),
        ("POST /rooms/ops?", "x-y: z", 400),
        ("GET /rooms/ops/events?", ALICE, 400),
        ("GET /rooms/ops/events?access_token=sb_alice&", "x-y: z", 400),
        ("GET /rooms/ops/events?ticket=00000000000000000000000000000000&", "x-y: z", 400),
        ("GET /rooms/ops/events?x", "x-y: z", 400),
        ("GET /rooms/ops/events?x%3d", "x-y: z", 400),
    ] {
        peer.send(send(&format!("{request}ticket={ticket}"), shown)).await;
        let head = paragraph(&mut peer).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request} {head}");
        if !request.starts_with("HEAD") {
            let told = peer.line().await;
            assert!(told.contains("\"bad-argument\"") && !told.contains(ticket), "{told}");
        }
    }
    peer.send(send("GET /rooms/ops/events?ticket=00000000000000000000000000000000", "x-y: z")).await;
    let head = paragraph(&mut peer).await;
    assert!(head.starts_with("HTTP/1.1 401 ") && head.contains("error=\"invalid_token\""), "{head}");
    peer.line().await;
    peer.send(send(&format!("GET /rooms/ops/events?ticket={ticket}"), "x-y: z")).await;
    assert!(paragraph(&mut peer).await.starts_with("HTTP/1.1 200 "));
    let joined = paragraph(&mut peer).await;
    assert!(joined.contains("\"may\":[\"publish\",\"history\",\"presence\"]"), "as alice: {joined}");
}

/// Opens a WebSocket. Gives the head of the answer, too.
async fn socket(hub: &Hub, path: &str, header: &str) -> (String, Peer) {
    socket_of(client_with(hub.clone(), Access::default()), path, header).await
}

/// Sends a short text, masked with nothing.
pub(super) async fn say(peer: &mut Peer, text: &str) {
    let length = u8::try_from(text.len()).unwrap();
    peer.send([&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()).await;
}

pub(super) async fn socket_of(mut peer: Peer, path: &str, header: &str) -> (String, Peer) {
    let key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    let upgrade = "connection: upgrade\r\nupgrade: websocket";
    peer.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{upgrade}\r\n{key}\r\n{header}\r\n\r\n")).await;
    (paragraph(&mut peer).await, peer)
}

#[tokio::test(start_paused = true)]
async fn a_websocket_shows_its_token_as_a_subprotocol_which_is_not_repeated() {
    let hub = hub();
    let offered = "sec-websocket-protocol: switchboard, switchboard.bearer.sb_alice";
    let (head, mut peer) = socket(&hub, "/rooms/ops/ws", offered).await;
    assert!(head.starts_with("HTTP/1.1 101 ") && !head.contains("sb_"), "{head}");
    assert_eq!(header(&head, "sec-websocket-protocol").as_deref(), Some("switchboard"));
    let (_, joined) = frame(&mut peer).await;
    let joined = String::from_utf8(joined).expect("it is UTF-8");
    assert!(joined.ends_with("\"may\":[\"publish\",\"history\",\"presence\"]}"), "{joined}");
    assert!(hub.has(&UserName::parse("alice").unwrap()));
    let (head, _) = socket(&hub, "/rooms/ops/ws", "sec-websocket-protocol: switchboard.bearer.nobody").await;
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
}

#[tokio::test(start_paused = true)]
async fn a_websocket_is_told_by_a_frame_that_it_may_not_and_is_closed() {
    let hub = hub();
    for (header, code) in [("x-nothing: shown", "not-authorized"), ("authorization: Bearer sb_carol", "not-allowed")] {
        let (head, mut peer) = socket(&hub, "/rooms/ops/ws", header).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let told = frame(&mut peer).await.1;
        assert!(told.starts_with(format!("{{\"error\":\"{code}\",").as_bytes()), "{header}: {}", told.escape_ascii());
        assert_eq!(frame(&mut peer).await, (0x88, [&1008_u16.to_be_bytes()[..], b"closed"].concat()), "{header}");
    }
    // Whoever gives commands goes on, and can show a token by one.
    let (_, mut peer) = socket(&hub, "/ws?room=ops", "x-nothing: shown").await;
    assert!(frame(&mut peer).await.1.starts_with(b"{\"error\":\"not-allowed\","));
    assert!(frame(&mut peer).await.1.starts_with(b"{\"event\":\"welcome\","));
    assert!(hub.find(&RoomName::parse("ops").unwrap()).is_none(), "none of them made it");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_have_what_was_is_told_of_a_gap_and_then_of_what_comes() {
    let hub = hub();
    for _ in 0..3 {
        assert!(ask(&hub, "POST /rooms/ops", &[ALICE]).await.0.starts_with("HTTP/1.1 200 "));
    }
    let room = hub.find(&RoomName::parse("ops").unwrap()).expect("it was made");
    let first = room.history(3)[0].id;
    let mut peer = client_with(hub.clone(), Access::default());
    peer.send(format!("GET /rooms/ops/events HTTP/1.1\r\nhost: localhost\r\n{BOB}\r\nlast-event-id: {first}\r\n\r\n"))
        .await;
    assert!(paragraph(&mut peer).await.starts_with("HTTP/1.1 200 "));
    assert!(paragraph(&mut peer).await.contains("\"may\":[]"));
    let gap = paragraph(&mut peer).await;
    assert!(gap.contains("\"event\":\"gap\",\"room\":\"ops\",\"lost\":2,\"from_seq\":2"), "{gap}");
    room.publish("live");
    let live = paragraph(&mut peer).await;
    assert!(live.contains("\"seq\":4") && live.contains("\"live\""), "{live}");
}

#[tokio::test(start_paused = true)]
async fn a_request_speaks_in_the_name_that_a_connection_of_the_same_somebody_has() {
    let hub = hub();
    let (head, _peer) = socket(&hub, "/rooms/lobby/ws", ALICE).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    while !hub.has(&UserName::parse("alice").unwrap()) {
        tokio::task::yield_now().await;
    }
    assert!(ask(&hub, "POST /rooms/lobby", &[ALICE]).await.0.starts_with("HTTP/1.1 200 "));
    let (_, body) = ask(&hub, "GET /rooms/lobby/messages", &[]).await;
    assert!(body.contains("\"from\":\"alice\",\"user\":\"alice\""), "{body}");
}
