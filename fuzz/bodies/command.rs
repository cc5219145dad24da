//! Commands: any frame is text or a command or is refused, and whatever it says reaches a member as one clean line.

use bytes::Bytes;
use std::time::SystemTime;
use switchboard_proto::{
    Command, Epoch, Escaped, Failure, Format, Input, Message, MessageId, Reply, RoomName, UserName, parse,
};

/// Panics if a rule of the grammar is broken on `data`, one frame.
pub(crate) fn run(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    match parse(frame.clone()) {
        Ok(Input::Text(text)) => {
            let escaped = frame.starts_with(b"//");
            assert!(escaped || !frame.starts_with(b"/"), "a command was taken for text");
            assert_eq!(text, frame.slice(usize::from(escaped)..));
            show(text);
        }
        Ok(Input::Command(command)) => {
            assert!(frame.starts_with(b"/") && !frame.starts_with(b"//"), "text was taken for a command");
            obey(command, &frame);
        }
        Err(failure) => refuse(&failure),
    }
}

/// What a command says is either the rest of its frame or reads back as it is written.
fn obey(command: Command, frame: &Bytes) {
    match command {
        Command::Pub { text, .. } | Command::Msg { text, .. } => {
            assert!(frame.ends_with(&text));
            show(text);
        }
        Command::Join { room, since, cookie } => {
            assert_eq!(RoomName::parse(room.as_str()), Ok(room));
            assert!(since.is_none_or(|id| id.to_string().parse() == Ok(id)));
            assert!(cookie.is_none_or(|cookie| cookie.to_string().parse() == Ok(cookie)));
        }
        Command::Name { name, secret } => {
            assert!(!name.is_reserved());
            assert!(secret.is_none_or(|secret| format!("{secret:?}") == "NameSecret(…)"));
            assert_eq!(UserName::parse(name.as_str()), Ok(name));
        }
        Command::Leave { room } | Command::Who { room } => {
            assert!(room.is_none_or(|room| RoomName::parse(room.as_str()) == Ok(room)));
        }
        Command::Auth(token) => assert_eq!(format!("{token:?}"), "Token(…)"),
        Command::Format(format) => assert_eq!(format.to_string().parse(), Ok(format)),
        Command::Rooms
        | Command::History { .. }
        | Command::Whoami
        | Command::Clock
        | Command::Ping
        | Command::Help
        | Command::Quit => (),
    }
}

/// An explanation is short, and is none of the peer's words.
fn refuse(failure: &Failure) {
    assert!(failure.text.len() < 100 && failure.text.is_ascii(), "{failure}");
    for format in [Format::Text, Format::Json, Format::Raw] {
        assert!(format.failure(failure).is_some_and(|frame| is_clean(&frame)));
    }
}

fn show(payload: Bytes) {
    let Ok(room) = RoomName::parse("lobby") else { unreachable!("a name") };
    let id = MessageId { epoch: Epoch::new(1), seq: 7 };
    let from = UserName::guest(7);
    let direct = Reply::Direct { from: from.clone(), text: payload.clone() };
    let message =
        Message { room, id, time: SystemTime::UNIX_EPOCH, from: Some(from.clone()), user: Some(from), payload };
    for (format, start, end) in [(Format::Text, "[lobby] guest-7: ", ""), (Format::Json, r#"{"room":"lobby","#, "\"}")]
    {
        let mut frame = Vec::new();
        format.message(&message, &mut frame);
        assert!(frame.starts_with(start.as_bytes()) && frame.ends_with(end.as_bytes()));
        assert!(is_clean(&frame));
        assert!(format.reply(&direct).iter().all(|frame| is_clean(frame)));
    }
    let mut frame = Vec::new();
    Format::Raw.message(&message, &mut frame);
    assert_eq!(frame, message.payload);
}

/// Nothing that a log would escape, but tab.
fn is_clean(frame: &[u8]) -> bool {
    frame.split(|byte| *byte == b'\t').all(|part| Escaped(part).to_string().as_bytes() == part)
}
