//! What switchboard's rooms tell a member besides messages (docs/protocol.md), as text and as JSON. Other servers say none of it.

use crate::protocol::shown;
use std::str;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The server takes commands.
    Welcome,
    /// An answer: the connection is in the room that it wanted.
    Joined,
    /// So many messages were dropped for this connection.
    Gap { lost: u64 },
    /// The server wants a token, or another one.
    TokenWanted(String),
    /// Something that was asked for cannot be done.
    Complaint(String),
}

pub(super) fn parse(text: &[u8]) -> Option<Notice> {
    let text = str::from_utf8(text).ok()?;
    match text.split_at_checked(2)? {
        ("* ", rest) => told(rest),
        ("! ", rest) if rest.starts_with("not-authorized") => Some(Notice::TokenWanted(shown(rest.as_bytes()))),
        ("! ", rest) => Some(Notice::Complaint(shown(rest.as_bytes()))),
        ("{\"", _) => object(text),
        _ => None,
    }
}

fn told(text: &str) -> Option<Notice> {
    if text.starts_with("you are ") && text.contains("/help") {
        return Some(Notice::Welcome);
    }
    let (_, said) = text.strip_prefix('[')?.split_once("] ")?;
    if said.starts_with("you joined") {
        return Some(Notice::Joined);
    }
    let (lost, _) = said.strip_prefix("lost ")?.split_once(" message")?;
    Some(Notice::Gap { lost: lost.parse().ok()? })
}

fn object(text: &str) -> Option<Notice> {
    let object: serde_json::Value = serde_json::from_str(text).ok()?;
    if let Some(error) = object["error"].as_str() {
        let told = format!("{error}: {}", object["text"].as_str().unwrap_or_default());
        return Some(Notice::Complaint(shown(told.as_bytes())));
    }
    match object["event"].as_str()? {
        "gap" => Some(Notice::Gap { lost: object["lost"].as_u64()? }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_told_from_what_people_say() {
        let cases = [
            ("* you are guest-7 in lobby; /help lists the commands", Some(Notice::Welcome)),
            ("* [bench] you joined at k3f9-7: 1 member", Some(Notice::Joined)),
            ("* [bench] lost 3 messages, from 5", Some(Notice::Gap { lost: 3 })),
            ("* [bench] lost 1 message, from 5", Some(Notice::Gap { lost: 1 })),
            ("* [bench] guest-2 joined", None),
            ("* you are bob", None),
            ("! rate-limited: too fast", Some(Notice::Complaint("rate-limited: too fast".to_owned()))),
            ("! not-authorized: who?", Some(Notice::TokenWanted("not-authorized: who?".to_owned()))),
            (r#"{"event":"gap","room":"lobby","lost":3,"from_seq":5}"#, Some(Notice::Gap { lost: 3 })),
            ("! \u{1b}]0;x\u{7}", Some(Notice::Complaint("\\u{1b}]0;x\\u{7}".to_owned()))),
            (r#"{"error":"x","text":"\u001b[2J\u202e"}"#, Some(Notice::Complaint("x: \\u{1b}[2J\\u{202e}".to_owned()))),
            (r#"{"error":"no-room","text":"none"}"#, Some(Notice::Complaint("no-room: none".to_owned()))),
            (r#"{"event":"joined","room":"lobby","name":"bob"}"#, None),
            ("hello", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }
}
