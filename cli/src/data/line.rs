//! A line that is a message, as rooms write them and `switchboard data export` does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use std::str::FromStr;
use switchboard::{Message, MessageId, RoomName, UserName};

/// The message, or what is wrong with it.
pub(super) fn message(line: &[u8]) -> Result<Message, String> {
    let object: Map<String, Value> =
        serde_json::from_slice(line).map_err(|error| format!("no JSON object: {error}"))?;
    let room: RoomName = field(&object, "room")?.ok_or("it has no `room`")?;
    let id: MessageId = field(&object, "id")?.ok_or("it has no `id`")?;
    let time = text(&object, "time")?.ok_or("it has no `time`")?;
    let time = humantime::parse_rfc3339(time).map_err(|error| format!("`time`: {error}"))?;
    let name =
        |key| text(&object, key)?.map(UserName::parse_any).transpose().map_err(|error| format!("`{key}`: {error}"));
    let payload = match (text(&object, "text")?, text(&object, "base64")?) {
        (Some(text), None) => text.to_owned().into(),
        (None, Some(text)) => STANDARD.decode(text).map_err(|error| format!("`base64`: {error}"))?.into(),
        _ => return Err("it has not one of `text` and `base64`".to_owned()),
    };
    Ok(Message { room, id, time, from: name("from")?, user: name("user")?, payload })
}

fn field<T: FromStr<Err: std::fmt::Display>>(object: &Map<String, Value>, key: &str) -> Result<Option<T>, String> {
    text(object, key)?.map(str::parse).transpose().map_err(|error| format!("`{key}`: {error}"))
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{key}` is not a text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchboard::Format;

    #[test]
    fn what_rooms_write_is_read_as_the_same_message() {
        let time = humantime::parse_rfc3339("2026-01-02T03:04:05.678Z").unwrap();
        let id: MessageId = "k3f9-7".parse().unwrap();
        for payload in [&b"hi \"there\"\n"[..], b"\xff\x00", b""] {
            for from in [Some(UserName::guest(3)), None] {
                let (room, payload) = (RoomName::parse("ops").unwrap(), payload.to_vec().into());
                let written = Message { room, id, time, user: from.clone(), from, payload };
                let mut line = Vec::new();
                Format::Json.message(&written, &mut line);
                assert_eq!(message(&line), Ok(written));
            }
        }
    }

    #[test]
    fn what_is_no_message_is_told() {
        let line = r#"{"room":"a","id":"k3f9-7","time":"2026-01-02T03:04:05Z","text":"x"}"#;
        assert!(message(line.as_bytes()).is_ok());
        for (part, other, told) in [
            ("}", "", "no JSON object"),
            ("room", "rom", "no `room`"),
            ("\"a\"", "\"a b\"", "`room`: "),
            ("k3f9-7", "7", "`id`: "),
            ("Z", "", "`time`: "),
            ("\"x\"", "5", "`text` is not a text"),
            ("text", "base64", "`base64`: "),
            ("text", "txt", "not one of"),
        ] {
            let fault = message(line.replacen(part, other, 1).as_bytes()).unwrap_err();
            assert!(fault.contains(told), "{fault}");
        }
    }
}
