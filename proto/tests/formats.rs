//! What a member is told, byte for byte.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::HashSet;
use std::time::{Duration, SystemTime};
use switchboard_proto::{
    Authenticated, CloseReason, Cookie, ErrorCode, Escaped, Failure, Format, FormatError, Message, MessageId, Notice,
    Reply, Rights, RoomName, RoomSummary, Token, UserName,
};

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

/// DESIGN's example, with another payload.
fn message(payload: impl Into<Bytes>) -> Message {
    Message {
        room: room("lobby"),
        id: "k3f9-7".parse().unwrap(),
        // 2026-01-02T03:04:05.678Z
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_678),
        from: Some(user("alice")),
        user: None,
        payload: payload.into(),
    }
}

fn frame(format: Format, message: &Message) -> String {
    let mut out = b"before ".to_vec();
    format.message(message, &mut out);
    String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
}

/// Every notice with its line and its object.
fn notices() -> Vec<(Notice, &'static str, &'static str)> {
    let lobby = room("lobby");
    vec![
        (
            Notice::Joined { room: lobby.clone(), name: user("bob") },
            "* [lobby] bob joined",
            r#"{"event":"joined","room":"lobby","name":"bob"}"#,
        ),
        (
            Notice::Left { room: lobby.clone(), name: user("bob") },
            "* [lobby] bob left",
            r#"{"event":"left","room":"lobby","name":"bob"}"#,
        ),
        (
            Notice::Presence { room: lobby.clone(), joined: 12, left: 3, renamed: 0, members: 60 },
            "* [lobby] 12 joined, 3 left: 60 members",
            r#"{"event":"presence","room":"lobby","joined":12,"left":3,"members":60}"#,
        ),
        (
            Notice::Presence { room: lobby.clone(), joined: 0, left: 1, renamed: 30, members: 60 },
            "* [lobby] 0 joined, 1 left, 30 renamed: 60 members",
            r#"{"event":"presence","room":"lobby","joined":0,"left":1,"renamed":30,"members":60}"#,
        ),
        (
            Notice::Renamed { room: lobby.clone(), from: UserName::guest(7), to: user("bob") },
            "* [lobby] guest-7 is now bob",
            r#"{"event":"renamed","room":"lobby","from":"guest-7","to":"bob"}"#,
        ),
        (
            Notice::Gap { room: lobby.clone(), lost: 3, from_seq: 5 },
            "* [lobby] lost 3 messages, from 5",
            r#"{"event":"gap","room":"lobby","lost":3,"from_seq":5}"#,
        ),
        (
            Notice::Reset { room: lobby, epoch: "p01z".parse().unwrap() },
            "* [lobby] started over as p01z: earlier messages are gone",
            r#"{"event":"reset","room":"lobby","epoch":"p01z"}"#,
        ),
        (
            Notice::Removed { room: room("ops") },
            "* [ops] you were removed: not allowed",
            r#"{"event":"removed","room":"ops","reason":"not-allowed"}"#,
        ),
        (
            Notice::Head {
                room: room("ops"),
                id: "k3f9-7".parse().unwrap(),
                repair: Some("http://10.0.0.5:8082".into()),
            },
            "* [ops] is at k3f9-7; what is lost is at http://10.0.0.5:8082",
            r#"{"event":"head","room":"ops","id":"k3f9-7","repair":"http://10.0.0.5:8082"}"#,
        ),
        (
            Notice::Head { room: room("ops"), id: "k3f9-0".parse().unwrap(), repair: None },
            "* [ops] is at k3f9-0",
            r#"{"event":"head","room":"ops","id":"k3f9-0"}"#,
        ),
        (
            Notice::Announcement { text: "maintenance at 12:00".into() },
            "* announcement: maintenance at 12:00",
            r#"{"event":"announcement","text":"maintenance at 12:00"}"#,
        ),
        (Notice::Expiring { seconds: 60 }, "* your authorization ends in 60 s", r#"{"event":"expiring","seconds":60}"#),
        (Notice::Closed { reason: CloseReason::Idle }, "* closed: idle", r#"{"event":"closed","reason":"idle"}"#),
    ]
}

/// Every reply but help with its line and its object.
fn replies() -> Vec<(Reply, &'static str, &'static str)> {
    let (lobby, guest) = (room("lobby"), UserName::guest(7));
    vec![
        (
            Reply::Welcome { name: guest.clone(), room: Some(lobby.clone()) },
            "* you are guest-7 in lobby; /help lists the commands",
            r#"{"event":"welcome","name":"guest-7","room":"lobby"}"#,
        ),
        (
            Reply::Welcome { name: guest.clone(), room: None },
            "* you are guest-7 in no room; /help lists the commands",
            r#"{"event":"welcome","name":"guest-7","room":null}"#,
        ),
        (
            Reply::Joined { room: lobby.clone(), members: 1, id: "k3f9-7".parse().unwrap(), may: None },
            "* [lobby] you joined at k3f9-7: 1 member",
            r#"{"event":"you-joined","room":"lobby","members":1,"id":"k3f9-7"}"#,
        ),
        (
            Reply::Left { room: lobby.clone(), current: Some(room("ops")) },
            "* [lobby] you left; now in ops",
            r#"{"event":"you-left","room":"lobby","current":"ops"}"#,
        ),
        (
            Reply::Left { room: lobby.clone(), current: None },
            "* [lobby] you left; now in no room",
            r#"{"event":"you-left","room":"lobby","current":null}"#,
        ),
        (Reply::Named { name: user("bob") }, "* you are bob", r#"{"event":"named","name":"bob"}"#),
        (
            Reply::Who { room: lobby.clone(), members: vec![user("bob"), guest], total: 2 },
            "* [lobby] 2 members: bob, guest-7",
            r#"{"event":"who","room":"lobby","members":["bob","guest-7"],"total":2}"#,
        ),
        (
            Reply::Who { room: lobby.clone(), members: vec![user("bob")], total: 5000 },
            "* [lobby] 5000 members: bob, and 4999 more",
            r#"{"event":"who","room":"lobby","members":["bob"],"total":5000}"#,
        ),
        (
            Reply::Who { room: lobby.clone(), members: vec![], total: 5 },
            "* [lobby] 5 members",
            r#"{"event":"who","room":"lobby","members":[],"total":5}"#,
        ),
        (
            Reply::Rooms {
                rooms: vec![
                    RoomSummary { name: lobby.clone(), members: 3 },
                    RoomSummary { name: room("ops"), members: 1 },
                ],
                total: 2,
            },
            "* 2 rooms: lobby (3), ops (1)",
            r#"{"event":"rooms","rooms":[{"room":"lobby","members":3},{"room":"ops","members":1}],"total":2}"#,
        ),
        (
            Reply::Direct { from: user("bob"), text: "psst".into() },
            "@bob: psst",
            r#"{"event":"direct","from":"bob","text":"psst"}"#,
        ),
        (
            Reply::History { room: lobby.clone(), count: 1 },
            "* [lobby] 1 message of history",
            r#"{"event":"history","room":"lobby","count":1}"#,
        ),
        (
            Reply::Published { room: lobby, id: "k3f9-7".parse().unwrap(), time: message("").time },
            "* [lobby] published as k3f9-7",
            r#"{"event":"published","room":"lobby","seq":7,"id":"k3f9-7","time":"2026-01-02T03:04:05.678Z"}"#,
        ),
        (Reply::Formatted { format: Format::Json }, "* format is json", r#"{"event":"format","format":"json"}"#),
        (Reply::Challenge { cookie: Cookie([1; 7]) }, "cookie=01010101010101", "cookie=01010101010101"),
        (Reply::Pong, "* pong", r#"{"event":"pong"}"#),
        (Reply::Bye, "* bye", r#"{"event":"bye"}"#),
    ]
    .into_iter()
    .chain(replies_to_those_who_are_known())
    .collect()
}

/// The same of what needs somebody who knows tokens, and of what goes with it.
fn replies_to_those_who_are_known() -> Vec<(Reply, &'static str, &'static str)> {
    vec![
        (
            Reply::Joined { room: room("ops"), members: 1, id: "k3f9-7".parse().unwrap(), may: Some(Rights::ALL) },
            "* [ops] you joined at k3f9-7: 1 member",
            r#"{"event":"you-joined","room":"ops","members":1,"id":"k3f9-7","may":["publish","history","presence"]}"#,
        ),
        (
            Reply::Joined { room: room("ops"), members: 1, id: "k3f9-7".parse().unwrap(), may: Some(Rights::JOIN) },
            "* [ops] you joined at k3f9-7: 1 member",
            r#"{"event":"you-joined","room":"ops","members":1,"id":"k3f9-7","may":[]}"#,
        ),
        (Reply::Authorized { name: None, expires: None }, "* authorized", r#"{"event":"authorized"}"#),
        (
            Reply::Authorized { name: Some(user("alice")), expires: None },
            "* authorized as alice",
            r#"{"event":"authorized","name":"alice"}"#,
        ),
        (
            Reply::Authorized { name: Some(user("alice")), expires: Some(message("").time) },
            "* authorized as alice until 2026-01-02T03:04:05Z",
            r#"{"event":"authorized","name":"alice","expires":"2026-01-02T03:04:05.678Z"}"#,
        ),
        (
            Reply::You { name: UserName::guest(7), authenticated: None },
            "* you are guest-7, not authenticated",
            r#"{"event":"you","name":"guest-7","authenticated":false,"groups":[]}"#,
        ),
        (
            Reply::You { name: user("alice"), authenticated: Some(Authenticated::default()) },
            "* you are alice, in no group",
            r#"{"event":"you","name":"alice","authenticated":true,"groups":[]}"#,
        ),
        (
            Reply::You {
                name: user("alice"),
                authenticated: Some(Authenticated {
                    groups: vec!["staff".parse().unwrap(), "board".parse().unwrap()],
                    expires: Some(message("").time),
                }),
            },
            "* you are alice, in staff and board, until 2026-01-02T03:04:05Z",
            r#"{"event":"you","name":"alice","authenticated":true,"groups":["staff","board"],"expires":"2026-01-02T03:04:05.678Z"}"#,
        ),
        (
            Reply::Ticket { ticket: Token::new("5d3c"), expires: message("").time },
            "* ticket 5d3c until 2026-01-02T03:04:05Z",
            r#"{"event":"ticket","ticket":"5d3c","expires":"2026-01-02T03:04:05.678Z"}"#,
        ),
        (
            Reply::Clock { milliseconds: 1_764_322_271_123 },
            "* clock 1764322271123",
            r#"{"event":"clock","milliseconds":1764322271123}"#,
        ),
    ]
}

#[test]
fn a_message_is_the_line_and_the_object_of_the_design() {
    let message = message("hi");
    assert_eq!(frame(Format::Text, &message), "[lobby] alice: hi");
    assert_eq!(frame(Format::Raw, &message), "hi");
    assert_eq!(
        frame(Format::Json, &message),
        r#"{"room":"lobby","seq":7,"id":"k3f9-7","time":"2026-01-02T03:04:05.678Z","from":"alice","text":"hi"}"#
    );
}

#[test]
fn a_message_of_the_program_itself_names_nobody() {
    let message = Message { from: None, ..message("hi") };
    assert_eq!(frame(Format::Text, &message), "[lobby] hi");
    assert!(frame(Format::Json, &message).ends_with(r#","from":null,"text":"hi"}"#));
}

#[test]
fn only_json_tells_whom_a_publisher_was_shown_to_be() {
    let message = Message { from: Some(user("alice.2")), user: Some(user("alice")), ..message("hi") };
    assert_eq!(frame(Format::Text, &message), "[lobby] alice.2: hi");
    assert!(frame(Format::Json, &message).ends_with(r#","from":"alice.2","user":"alice","text":"hi"}"#));
}

#[test]
fn a_payload_that_is_not_utf_8_is_replaced_in_text_and_base64_in_json() {
    let message = message(&b"a\xff\xfe\x00b"[..]);
    assert_eq!(frame(Format::Text, &message), "[lobby] alice: a\u{fffd}\u{fffd} b");
    assert!(frame(Format::Json, &message).ends_with(r#","base64":"Yf/+AGI="}"#));
}

#[test]
fn text_cannot_drive_a_terminal_or_forge_a_line() {
    let cases = [
        ("a\tb", "a\tb"),
        ("a\n[lobby] bob: b", "a [lobby] bob: b"),
        ("a\r\nb", "a  b"),
        ("\u{1b}[2J\u{7}", " [2J "),
        ("\u{9b}2J\u{7f}", " 2J "),
        ("a\u{2028}b\u{2029}c", "a b c"),
        ("\u{202e}evil\u{2066}", " evil "),
        ("naïve 🦀", "naïve 🦀"),
    ];
    for (payload, shown) in cases {
        assert_eq!(frame(Format::Text, &message(payload)), format!("[lobby] alice: {shown}"), "{payload:?}");
        let direct = Reply::Direct { from: user("bob"), text: payload.into() };
        assert_eq!(Format::Text.reply(&direct), [format!("@bob: {shown}")]);
        let failure = Failure::new(ErrorCode::BadName, payload);
        assert_eq!(Format::Text.failure(&failure).unwrap(), format!("! bad-name: {shown}"));
    }
}

#[test]
fn json_escapes_what_text_replaces() {
    let object = frame(Format::Json, &message("\"\\\t\r\n\u{1b}\u{7f}\u{9b}\u{2028}\u{202e}é"));
    assert!(object.ends_with(r#","text":"\"\\\t\r\n\u001b\u007f\u009b\u2028\u202eé"}"#), "{object}");
}

#[test]
fn a_log_escapes_the_characters_that_text_replaces_and_tab() {
    for character in '\0'..=char::MAX {
        let text = String::from(character);
        let replaced = frame(Format::Text, &message(text.clone())) != format!("[lobby] alice: {text}");
        let escaped = Escaped(text.as_bytes()).to_string() != text;
        assert_eq!(escaped, replaced || character == '\t', "{character:?}");
    }
}

#[test]
fn a_time_that_cannot_be_written_becomes_the_nearest() {
    let cases = [
        (SystemTime::UNIX_EPOCH, "1970-01-01T00:00:00.000Z"),
        (SystemTime::UNIX_EPOCH - Duration::from_secs(1), "1970-01-01T00:00:00.000Z"),
        (SystemTime::UNIX_EPOCH + Duration::from_hours(70_389_528), "9999-12-31T23:59:59.000Z"),
    ];
    for (time, written) in cases {
        let object = frame(Format::Json, &Message { time, ..message("hi") });
        assert!(object.contains(&format!(r#""time":"{written}""#)), "{object}");
    }
}

#[test]
fn every_notice_has_a_line_an_object_and_nothing_in_raw() {
    for (notice, line, object) in notices() {
        assert_eq!(Format::Text.notice(&notice).unwrap(), line);
        assert_eq!(Format::Json.notice(&notice).unwrap(), object);
        assert_eq!(Format::Raw.notice(&notice), None);
    }
}

#[test]
fn every_reply_has_a_line_and_an_object() {
    for (reply, line, object) in replies() {
        assert_eq!(Format::Text.reply(&reply), [line]);
        assert_eq!(Format::Json.reply(&reply), [object]);
    }
}

#[test]
fn raw_answers_commands_as_text_does_and_is_payloads_otherwise() {
    for (reply, line, _) in replies() {
        let expected = match &reply {
            Reply::Welcome { .. } => vec![],
            Reply::Direct { text, .. } => vec![text.clone()],
            _ => vec![Bytes::from_static(line.as_bytes())],
        };
        assert_eq!(Format::Raw.reply(&reply), expected);
    }
    assert_eq!(Format::Raw.reply(&Reply::Help), Format::Text.reply(&Reply::Help));
    let bytes = Bytes::from_static(b"\xff\0\n");
    let mut out = Vec::new();
    Format::Raw.message(&message(bytes.clone()), &mut out);
    assert_eq!(out, bytes);
}

#[test]
fn a_failure_has_a_line_and_an_object() {
    let failure = Failure::new(ErrorCode::NameTaken, r#""bob" is taken"#);
    assert_eq!(Format::Text.failure(&failure).unwrap(), r#"! name-taken: "bob" is taken"#);
    assert_eq!(Format::Raw.failure(&failure), Format::Text.failure(&failure));
    let object = r#"{"error":"name-taken","text":"\"bob\" is taken"}"#;
    assert_eq!(Format::Json.failure(&failure).unwrap(), object);
}

#[test]
fn an_event_is_the_object_behind_its_id_or_its_name() {
    let object = frame(Format::Json, &message("a\nb"));
    assert_eq!(frame(Format::Events, &message("a\nb")), format!("id: k3f9-7\ndata: {object}"));
    let notice = Notice::Gap { room: room("lobby"), lost: 3, from_seq: 5 };
    let event = "event: gap\ndata: {\"event\":\"gap\",\"room\":\"lobby\",\"lost\":3,\"from_seq\":5}";
    assert_eq!(Format::Events.notice(&notice).unwrap(), event);
    // Behind these a reader goes on too, though no message has come.
    let reset = Notice::Reset { room: room("lobby"), epoch: message("").id.epoch };
    let event = "id: k3f9-0\nevent: reset\ndata: {\"event\":\"reset\",\"room\":\"lobby\",\"epoch\":\"k3f9\"}";
    assert_eq!(Format::Events.notice(&reset).unwrap(), event);
    let joined = Reply::Joined { room: room("lobby"), members: 1, id: message("").id, may: None };
    let event = "id: k3f9-7\nevent: you-joined\ndata: \
        {\"event\":\"you-joined\",\"room\":\"lobby\",\"members\":1,\"id\":\"k3f9-7\"}";
    assert_eq!(Format::Events.reply(&joined), [event]);
    let direct = Reply::Direct { from: user("bob"), text: "psst".into() };
    let event = "event: direct\ndata: {\"event\":\"direct\",\"from\":\"bob\",\"text\":\"psst\"}";
    assert_eq!(Format::Events.reply(&direct), [event]);
    let failure = Failure::new(ErrorCode::NameTaken, "bob is taken");
    let event = "event: failure\ndata: {\"error\":\"name-taken\",\"text\":\"bob is taken\"}";
    assert_eq!(Format::Events.failure(&failure).unwrap(), event);
}

#[test]
fn help_is_lines_behind_stars_or_one_object() {
    let lines = Format::Text.reply(&Reply::Help);
    assert!(lines.iter().all(|line| line.starts_with(b"* ") && line.len() <= 100), "{lines:?}");
    assert_eq!(lines[4], "* /who [ROOM]                         list the members of a room, or of the current one");
    let [object] = &*Format::Json.reply(&Reply::Help) else { panic!("several objects") };
    let object: Value = serde_json::from_slice(object).unwrap();
    assert_eq!(object["event"], "help");
    assert_eq!(object["commands"][0]["usage"], "/join ROOM [since=ID] [cookie=HEX]");
    assert_eq!(object["commands"].as_array().unwrap().len() + 1, lines.len());
}

#[test]
fn a_challenge_is_at_most_three_times_the_shortest_join() {
    for format in [Format::Text, Format::Json, Format::Raw] {
        let [challenge] = &*format.reply(&Reply::Challenge { cookie: Cookie([255; 7]) }) else { panic!("one frame") };
        assert!(challenge.len() <= 3 * "/join a".len());
    }
}

#[test]
fn a_format_is_read_as_it_is_written() {
    for format in [Format::Text, Format::Json, Format::Raw] {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    // Nobody may ask for events on a transport that does not stream them.
    for unknown in ["xml", "events"] {
        assert_eq!(unknown.parse::<Format>(), Err(FormatError));
    }
}

/// Any bytes, and text with all that text can have.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        any::<String>().prop_map(String::into_bytes),
        "[\t\n\r\u{1b}\u{7f}-\u{9f}\u{61c}\u{2000}-\u{2070}\"\\\\a]{0,32}".prop_map(String::into_bytes),
        // A character cut short.
        "[é€🦀]{1,8}".prop_map(|text| text.into_bytes().split_last().unwrap().1.to_vec()),
    ]
}

proptest! {
    #[test]
    fn a_text_line_holds_no_character_that_drives_a_terminal(payload in payload()) {
        let line = frame(Format::Text, &message(payload.clone()));
        let shown = line.strip_prefix("[lobby] alice: ").unwrap();
        // Character by character, what is not UTF-8 being one for each broken sequence.
        for (shown, sent) in shown.chars().zip(String::from_utf8_lossy(&payload).chars()) {
            let escaped = Escaped(shown.to_string().as_bytes()).to_string();
            prop_assert!(shown == '\t' || escaped == shown.to_string(), "{shown:?}");
            prop_assert!(shown == sent || shown == ' ');
        }
        prop_assert_eq!(shown.chars().count(), String::from_utf8_lossy(&payload).chars().count());
    }

    #[test]
    fn an_object_is_one_line_and_gives_the_payload_back(payload in payload(), seq in any::<u64>(), random in any::<u32>()) {
        let epoch = switchboard_proto::Epoch::new(random);
        let line = frame(Format::Json, &Message { id: MessageId { epoch, seq }, ..message(payload.clone()) });
        prop_assert_eq!(Escaped(line.as_bytes()).to_string(), line.as_str());
        let object: Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(&object["seq"], seq);
        prop_assert_eq!(&object["id"], &format!("{epoch}-{seq}"));
        match String::from_utf8(payload) {
            Ok(text) => prop_assert_eq!(&object["text"], &text),
            Err(_) => prop_assert!(object["base64"].is_string() && object.get("text").is_none()),
        }
    }

    #[test]
    fn an_error_s_object_gives_its_text_back(text in any::<String>()) {
        let failure = Failure::new(ErrorCode::RateLimited, text.clone());
        let object: Value = serde_json::from_slice(&Format::Json.failure(&failure).unwrap()).unwrap();
        prop_assert_eq!(&object["error"], "rate-limited");
        prop_assert_eq!(&object["text"], &text);
    }
}

/// `docs/protocol.md` shows each form as it is.
mod protocol {
    use super::*;

    fn document() -> String {
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md")).unwrap()
    }

    #[test]
    fn documents_every_error_code() {
        let document = document();
        for code in ErrorCode::ALL {
            assert!(document.contains(&format!("| `{code}` |")), "{code} is not in docs/protocol.md");
        }
    }

    #[test]
    fn documents_every_command() {
        let document = document();
        for (usage, _) in switchboard_proto::Command::HELP {
            // A table's cell escapes its own separator.
            assert!(
                document.contains(&format!("`{}`", usage.replace('|', "\\|"))),
                "{usage} is not in docs/protocol.md"
            );
        }
    }

    #[test]
    fn shows_every_notice_and_reply_as_it_is() {
        let document = document();
        let notices = notices().into_iter().map(|(_, line, object)| (line, object));
        let replies = replies().into_iter().map(|(_, line, object)| (line, object));
        let mut shown = HashSet::new();
        for (line, object) in notices.chain(replies) {
            let event = object.split(',').next();
            // The first of a kind stands for the others.
            if !line.starts_with("cookie=") && shown.insert(event) {
                assert!(document.contains(&format!("`{line}`")), "{line} is not in docs/protocol.md");
                assert!(document.contains(&format!("`{object}`")), "{object} is not in docs/protocol.md");
            }
        }
    }
}

/// A peer chooses what has to be escaped: it costs one allocation, and no more than it takes.
#[test]
fn a_message_is_written_into_memory_that_was_sized_before() {
    let payloads =
        [vec![1; 5000], vec![b'"'; 5000], vec![b'a'; 5000], vec![0xff; 5000], "\u{2028}".repeat(2000).into()];
    for (format, payload) in
        [Format::Json, Format::Text].into_iter().flat_map(|format| payloads.clone().map(|payload| (format, payload)))
    {
        let mut out = Vec::new();
        format.message(&message(payload.clone()), &mut out);
        let slack = out.capacity() - out.len();
        // Text gets shorter where something is cleaned away, and is not counted before.
        let spare = if format == Format::Text { payload.len() } else { 160 };
        assert!(slack <= spare, "{format}: {slack} bytes are spare behind {} of {:?}", out.len(), payload[0]);
    }
}
