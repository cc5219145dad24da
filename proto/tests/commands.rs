//! What a frame asks for.

use bytes::Bytes;
use proptest::prelude::*;
use switchboard_proto::{
    Command, Cookie, ErrorCode, Failure, Format, Input, MessageId, NameSecret, RoomName, Token, UserName, parse,
};

fn read(frame: &str) -> Result<Input, Failure> {
    parse(Bytes::copy_from_slice(frame.as_bytes()))
}

fn command(frame: &str) -> Command {
    match read(frame) {
        Ok(Input::Command(command)) => command,
        other => panic!("{frame:?} is {other:?}"),
    }
}

#[track_caller]
fn assert_refused(frame: &str, code: ErrorCode) {
    match read(frame) {
        Err(failure) => assert_eq!(failure.code, code, "{frame:?}: {failure}"),
        Ok(input) => panic!("{frame:?} is {input:?}"),
    }
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

fn id(text: &str) -> MessageId {
    text.parse().unwrap()
}

const COOKIE: Cookie = Cookie([0, 0x1b, 0x2c, 0x3d, 0x4e, 0x5f, 0xff]);

fn secret() -> NameSecret {
    "000102030405060708090a0b0c0d0eff".parse().unwrap()
}

/// Every command with the fewest and the most it can say, written and meant.
fn written() -> Vec<(&'static str, Command)> {
    let (lobby, ops) = (room("lobby"), room("ops"));
    let join = |since, cookie| Command::Join { room: lobby.clone(), since, cookie };
    vec![
        ("/join lobby", join(None, None)),
        ("/join lobby since=k3f9-7", join(Some(id("k3f9-7")), None)),
        ("/join lobby since=k3f9-7 cookie=001b2c3d4e5fff", join(Some(id("k3f9-7")), Some(COOKIE))),
        ("/join lobby cookie=001B2C3D4E5FFF since=k3f9-7", join(Some(id("k3f9-7")), Some(COOKIE))),
        ("/leave", Command::Leave { room: None }),
        ("/leave ops", Command::Leave { room: Some(ops.clone()) }),
        ("/pub ops all  good ", Command::Pub { room: ops.clone(), text: "all  good ".into() }),
        ("/name Alice", Command::Name { name: UserName::parse("alice").unwrap(), secret: None }),
        (
            "/name Alice secret=000102030405060708090a0b0c0d0eFF",
            Command::Name { name: UserName::parse("alice").unwrap(), secret: Some(secret()) },
        ),
        ("/who", Command::Who { room: None }),
        ("/who ops", Command::Who { room: Some(ops) }),
        ("/rooms", Command::Rooms),
        ("/msg guest-7 psst", Command::Msg { to: UserName::guest(7), text: "psst".into() }),
        ("/history", Command::History { count: None }),
        ("/history 20", Command::History { count: Some(20) }),
        ("/format text", Command::Format(Format::Text)),
        ("/format json", Command::Format(Format::Json)),
        ("/format raw", Command::Format(Format::Raw)),
        ("/auth s3cret", Command::Auth(Token::new("s3cret"))),
        ("/whoami", Command::Whoami),
        ("/clock", Command::Clock),
        ("/ping", Command::Ping),
        ("/help", Command::Help),
        ("/quit", Command::Quit),
    ]
}

/// The verb of a command as it is typed. No wildcard: a new command is to be written down here and in [`written`].
fn verb(command: &Command) -> &'static str {
    match command {
        Command::Join { .. } => "/join",
        Command::Leave { .. } => "/leave",
        Command::Pub { .. } => "/pub",
        Command::Name { .. } => "/name",
        Command::Who { .. } => "/who",
        Command::Rooms => "/rooms",
        Command::Msg { .. } => "/msg",
        Command::History { .. } => "/history",
        Command::Format(_) => "/format",
        Command::Auth(_) => "/auth",
        Command::Whoami => "/whoami",
        Command::Clock => "/clock",
        Command::Ping => "/ping",
        Command::Help => "/help",
        Command::Quit => "/quit",
    }
}

#[test]
fn every_command_is_what_it_says() {
    for (frame, meant) in written() {
        assert_eq!(command(frame), meant, "{frame}");
        assert_eq!(frame.split(' ').next(), Some(verb(&meant)));
    }
}

#[test]
fn the_help_tells_every_command_and_no_other() {
    let mut told: Vec<_> = Command::HELP.iter().map(|(usage, _)| usage.split(' ').next().unwrap()).collect();
    let mut known: Vec<_> = written().iter().map(|(_, command)| verb(command)).collect();
    told.sort_unstable();
    known.sort_unstable();
    known.dedup();
    assert_eq!(told, known);
}

/// A usage with its placeholders filled in: with every option, or with none.
fn filled(usage: &str, options: bool) -> String {
    let words = usage.split(' ').filter(|word| options || !word.starts_with('['));
    let words = words.map(|word| match word.trim_matches(['[', ']']) {
        "ROOM" => "lobby",
        "NAME" => "alice",
        "TEXT" => "two words",
        "TOKEN" => "s3cret",
        "N" => "20",
        "since=ID" => "since=k3f9-7",
        "cookie=HEX" => "cookie=001b2c3d4e5fff",
        "secret=HEX" => "secret=000102030405060708090a0b0c0d0eff",
        "text|json|raw" => "json",
        plain => plain,
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn every_usage_in_the_help_is_taken() {
    for (usage, _) in Command::HELP {
        for frame in [filled(usage, true), filled(usage, false)] {
            assert_eq!(usage.split(' ').next(), Some(verb(&command(&frame))), "{frame}");
        }
    }
}

#[test]
fn a_command_without_its_arguments_tells_its_usage() {
    for (usage, _) in Command::HELP {
        let needs = usage.split(' ').nth(1).is_some_and(|word| !word.starts_with('['));
        let (verb, _) = usage.split_once(' ').unwrap_or((usage, ""));
        if needs {
            let failure = read(verb).unwrap_err();
            assert_eq!((failure.code, failure.text), (ErrorCode::BadArgument, format!("usage: {usage}")));
        }
    }
    assert_refused("/pub lobby", ErrorCode::BadArgument);
    assert_refused("/msg alice", ErrorCode::BadArgument);
}

#[test]
fn a_command_with_too_many_arguments_is_refused() {
    for (usage, _) in Command::HELP.iter().filter(|(usage, _)| !usage.ends_with("TEXT")) {
        assert_refused(&format!("{} more", filled(usage, true)), ErrorCode::BadArgument);
    }
    assert_refused("/join lobby since=a-1 since=a-1", ErrorCode::BadArgument);
    assert_refused("/join lobby cookie=001b2c3d4e5fff cookie=001b2c3d4e5fff", ErrorCode::BadArgument);
    assert_refused("/join lobby Since=a-1", ErrorCode::BadArgument);
}

#[test]
fn a_secret_is_of_32_digits_and_is_not_told() {
    let digits = "000102030405060708090a0b0c0d0eff";
    for wrong in
        ["", "0", &digits[1..], &format!("{digits}0"), &digits.replace('f', "g"), &format!("+{}", &digits[1..])]
    {
        let failure = read(&format!("/name bob secret={wrong}")).unwrap_err();
        assert_eq!(failure.code, ErrorCode::BadArgument, "{wrong:?}");
        assert!(wrong.len() < 2 || !failure.text.contains(wrong), "{failure}");
    }
    for misused in ["x", "NameSecret=1", &format!("cookie={digits}"), digits] {
        assert_refused(&format!("/name bob {misused}"), ErrorCode::BadArgument);
    }
    assert!(!format!("{:?}", read(&format!("/name bob secret={digits}"))).contains("0e"));
    let others = [0, 15, 31].map(|place| {
        let mut other = digits.to_owned();
        other.replace_range(place..=place, "9");
        other.parse::<NameSecret>().unwrap()
    });
    assert!(others.iter().all(|other| *other != secret()), "each digit counts");
}

#[test]
fn what_is_not_a_command_is_text() {
    for text in ["", "hi", " /help", "hi /help", "\u{1b}[2J", "*", "! name-taken: no", "[lobby] alice: hi"] {
        assert_eq!(read(text), Ok(Input::Text(Bytes::copy_from_slice(text.as_bytes()))), "{text:?}");
    }
}

#[test]
fn two_slashes_are_one() {
    assert_eq!(read("//x"), Ok(Input::Text("/x".into())));
    assert_eq!(read("//"), Ok(Input::Text("/".into())));
    assert_eq!(read("///join lobby"), Ok(Input::Text("//join lobby".into())));
    // Only where a command could begin.
    assert_eq!(command("/pub a //x"), Command::Pub { room: room("a"), text: "//x".into() });
}

#[test]
fn an_unknown_command_is_refused() {
    for frame in ["/", "/ join lobby", "/joi lobby", "/joinlobby", "/join\u{a0}lobby", "/jöin", "/help\0"] {
        assert_refused(frame, ErrorCode::UnknownCommand);
    }
}

#[test]
fn command_names_have_no_case_and_what_follows_has() {
    assert_eq!(command("/JOIN Lobby"), command("/join lobby"));
    assert_eq!(command("/Ping"), Command::Ping);
    assert_ne!(command("/auth SECRET"), command("/auth secret"));
    assert_refused("/format JSON", ErrorCode::BadArgument);
}

#[test]
fn blanks_between_arguments_may_be_many_and_before_text_is_one() {
    assert_eq!(command("/join \t lobby\t "), command("/join lobby"));
    assert_eq!(command("/who "), Command::Who { room: None });
    assert_eq!(command("/pub  a\t\tb "), Command::Pub { room: room("a"), text: "\tb ".into() });
    assert_eq!(command("/pub a "), Command::Pub { room: room("a"), text: Bytes::new() });
}

#[test]
fn a_bad_name_is_told_from_a_bad_argument() {
    for frame in ["/join #a", "/leave a/b", "/pub é x", "/who ,", "/name server", "/name guest-1", "/msg a:b x"] {
        assert_refused(frame, ErrorCode::BadName);
    }
    assert_refused(&format!("/join {}", "a".repeat(65)), ErrorCode::BadName);
    let bad =
        ["/history -1", "/history +1", "/history x", "/history 99999999999999999999", "/join a since=7", "/format xml"];
    for frame in bad {
        assert_refused(frame, ErrorCode::BadArgument);
    }
    for cookie in ["", "00", "001b2c3d4e5ff", "001b2c3d4e5fff0", "+01b2c3d4e5fff", "001b2c3d4e5fxx"] {
        assert_refused(&format!("/join a cookie={cookie}"), ErrorCode::BadArgument);
    }
}

#[test]
fn control_characters_in_arguments_are_refused_and_in_text_are_kept() {
    for control in ["\0", "\u{1b}[2J", "\r", "\n", "\u{7f}", "\u{9b}", "\u{2028}", "\u{202e}"] {
        assert_refused(&format!("/auth a{control}b"), ErrorCode::BadArgument);
        assert_refused(&format!("/join a{control}b"), ErrorCode::BadArgument);
        assert_refused(&format!("/pub a{control} x"), ErrorCode::BadArgument);
        let kept = Command::Pub { room: room("a"), text: Bytes::copy_from_slice(control.as_bytes()) };
        assert_eq!(command(&format!("/pub a {control}")), kept);
    }
    assert_eq!(parse(Bytes::from_static(b"/auth \xff")).unwrap_err().code, ErrorCode::BadArgument);
}

#[test]
fn text_is_not_copied() {
    let frame = Bytes::from_static(b"/pub a rest");
    let Ok(Input::Command(Command::Pub { text, .. })) = parse(frame.clone()) else { panic!("not a publication") };
    assert_eq!(text.as_ptr(), frame[7..].as_ptr());
}

#[test]
fn a_token_does_not_show_in_debug_output() {
    let command = command("/auth s3cret");
    assert_eq!(format!("{command:?}"), "Auth(Token(…))");
    assert_ne!(command, Command::Auth(Token::new("s3cre")));
    assert_ne!(command, Command::Auth(Token::new("s3cret5")));
    assert_ne!(command, Command::Auth(Token::new("s3creT")));
}

/// Bytes that come near to commands.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let words = Command::HELP.map(|(usage, _)| filled(usage, true));
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        "/[a-z]{0,8}[ \t]{0,2}[a-z=-]{0,8}[ \t]{0,2}.{0,8}".prop_map(String::into_bytes),
        (prop::sample::select(words.to_vec()), any::<prop::sample::Index>(), any::<u8>()).prop_map(
            |(words, index, byte)| {
                let mut frame = words.into_bytes();
                let at = index.index(frame.len());
                frame[at] = byte;
                frame
            }
        ),
    ]
}

proptest! {
    #[test]
    fn any_frame_is_read_without_a_panic(frame in frame()) {
        let frame = Bytes::from(frame);
        match parse(frame.clone()) {
            Ok(Input::Text(text)) => {
                let escaped = frame.starts_with(b"//");
                prop_assert!(escaped || !frame.starts_with(b"/"));
                prop_assert_eq!(text, frame.slice(usize::from(escaped)..));
            }
            Ok(Input::Command(_)) => prop_assert!(frame.starts_with(b"/")),
            // An explanation is ours alone: nothing of what the peer sent is in it.
            Err(failure) => prop_assert!(failure.text.len() < 100 && failure.text.is_ascii()),
        }
    }

    #[test]
    fn any_text_can_be_published_by_escaping_it(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut frame = if text.starts_with(b"/") { b"/".to_vec() } else { Vec::new() };
        frame.extend_from_slice(&text);
        prop_assert_eq!(parse(frame.into()), Ok(Input::Text(text.into())));
    }

    #[test]
    fn text_is_the_rest_byte_for_byte(text in prop::collection::vec(any::<u8>(), 0..64)) {
        let frame = [b"/pub lobby ", text.as_slice()].concat();
        let meant = Command::Pub { room: room("lobby"), text: text.into() };
        prop_assert_eq!(parse(frame.into()), Ok(Input::Command(meant)));
    }

    #[test]
    fn a_cookie_is_read_back_as_it_was_written(bytes in any::<[u8; 7]>()) {
        let cookie = Cookie(bytes);
        prop_assert_eq!(cookie.to_string().len(), 14);
        prop_assert_eq!(cookie.to_string().parse(), Ok(cookie));
    }
}
