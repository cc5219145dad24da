//! What servers speak, as far as a load needs it: how to say hello and publish, and what is at the front of the input.
//!
//! Written from the protocols' specifications and independent of the servers' codecs. Input is parsed as it arrives, in any split.
//! Holds no connection: what has to be known about one is passed in.

mod mqtt;
mod nats;
mod resp;
mod websocket;

pub(crate) use websocket::{Handshake, Mask};

use crate::typed::Secret;
use memchr::memchr;

/// Input without a line end in this many bytes is none of these protocols. A line of the longest payload in JSON fits.
pub(crate) const FRAME_BYTES: usize = 256 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Lines: any chat or echo server, and the text and raw formats of switchboard's rooms.
    Lines,
    /// nats-server: SUB, PUB, MSG.
    Nats,
    /// Redis: SUBSCRIBE and PUBLISH in RESP2.
    Resp,
    /// MQTT 3.1.1 at QoS 0.
    Mqtt,
    /// Messages of a WebSocket (RFC 6455).
    Ws,
    /// A datagram is a message.
    Datagrams,
}

/// What is at the front of the input. `used` bytes of it have been handled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Incomplete,
    /// May hold a payload.
    Message {
        text: &'a [u8],
        used: usize,
    },
    /// Part of the protocol; nothing to count.
    Other {
        used: usize,
    },
    /// Wants an answer, such as a ping.
    Answer {
        answer: Vec<u8>,
        used: usize,
    },
    /// The server complains, or speaks something else. The connection may go on.
    Complaint {
        text: String,
        used: usize,
    },
}

impl Protocol {
    pub(crate) const NAMES: [(&'static str, Self); 5] =
        [("lines", Self::Lines), ("nats", Self::Nats), ("resp", Self::Resp), ("mqtt", Self::Mqtt), ("ws", Self::Ws)];

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, protocol)| *protocol == self).map_or("datagrams", |(name, _)| name)
    }

    /// Whether who publishes in a room is a member of it, and so hears the others.
    pub(crate) fn publishers_are_members(self) -> bool {
        matches!(self, Self::Lines | Self::Ws)
    }

    /// What a connection says first, to hear `room` if it is given. A WebSocket has its handshake before that.
    pub(crate) fn hello(self, connection: usize, room: Option<&str>) -> Vec<u8> {
        match self {
            Self::Lines | Self::Ws | Self::Datagrams => Vec::new(),
            Self::Nats => nats::hello(room),
            Self::Resp => room.map(resp::subscribe).unwrap_or_default(),
            Self::Mqtt => mqtt::hello(connection, room),
        }
    }

    /// Writes a message for `room`, whose payload of `size` bytes `put` adds.
    pub(crate) fn publish(
        self,
        room: &str,
        size: usize,
        mask: Mask,
        output: &mut Vec<u8>,
        put: impl FnOnce(&mut Vec<u8>),
    ) {
        match self {
            Self::Nats => nats::publish(room, size, output),
            Self::Resp => resp::publish(room, size, output),
            Self::Mqtt => mqtt::publish(room, size, output),
            Self::Ws => return mask.frame(size, output, put),
            Self::Lines | Self::Datagrams => {}
        }
        put(output);
        match self {
            Self::Lines => output.push(b'\n'),
            Self::Nats | Self::Resp => output.extend_from_slice(b"\r\n"),
            Self::Mqtt | Self::Ws | Self::Datagrams => {}
        }
    }

    /// What is at the front of the input, which is not empty.
    pub(crate) fn step(self, input: &[u8]) -> Step<'_> {
        match self {
            Self::Lines => line(input),
            Self::Nats => nats::step(input),
            Self::Resp => resp::step(input),
            Self::Mqtt => mqtt::step(input),
            Self::Ws => websocket::step(input),
            Self::Datagrams => Step::Message { text: input, used: input.len() },
        }
    }
}

fn line(input: &[u8]) -> Step<'_> {
    match split_line(input) {
        Some((text, used)) => Step::Message { text, used },
        None => Step::Incomplete,
    }
}

/// The first line without its end, and how long it is with it.
fn split_line(input: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr(b'\n', input)?;
    let text = &input[..end];
    Some((text.strip_suffix(b"\r").unwrap_or(text), end + 1))
}

/// What shows a server of lines a token, if there is one.
pub(crate) fn auth(token: Option<&Secret>) -> Vec<u8> {
    token.map(|token| format!("/auth {}\n", token.expose()).into_bytes()).unwrap_or_default()
}

/// What a peer says, fit to be shown and counted.
pub(crate) fn shown(text: &[u8]) -> String {
    const MOST: usize = 120;
    switchboard::Escaped(&text[..text.len().min(MOST)]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every message, complaint and answer in the input, when it comes in pieces of `piece` bytes.
    fn steps(protocol: Protocol, input: &[u8], piece: usize) -> Vec<String> {
        let (mut held, mut found) = (Vec::new(), Vec::new());
        for chunk in input.chunks(piece) {
            held.extend_from_slice(chunk);
            while !held.is_empty() {
                let used = match protocol.step(&held) {
                    Step::Incomplete => break,
                    Step::Message { text, used } => {
                        found.push(format!("message {}", text.escape_ascii()));
                        used
                    }
                    Step::Answer { answer, used } => {
                        found.push(format!("answer {}", answer.escape_ascii()));
                        used
                    }
                    Step::Complaint { text, used } => {
                        found.push(format!("complaint {text}"));
                        used
                    }
                    Step::Other { used } => used,
                };
                assert!(used > 0 && used <= held.len());
                held.drain(..used);
            }
        }
        assert!(held.is_empty(), "{:?} is left", held.escape_ascii().to_string());
        found
    }

    #[track_caller]
    fn assert_steps(protocol: Protocol, input: &[u8], expected: &[&str]) {
        for piece in 1..=input.len() {
            assert_eq!(steps(protocol, input, piece), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn lines_end_with_lf_or_cr_lf() {
        assert_steps(Protocol::Lines, b"one\ntwo\r\n\n", &["message one", "message two", "message "]);
    }

    #[test]
    fn nats_sends_messages_pings_and_errors() {
        let input = b"INFO {\"server_id\":\"x\"}\r\nPING\r\nMSG room 1 5\r\n@a\r\nb\r\nMSG room 1 inbox 0\r\n\r\nPONG\r\n+OK\r\n-ERR 'no'\r\n";
        let expected = ["answer PONG\\r\\n", "message @a\\r\\nb", "message ", "complaint -ERR 'no'"];
        assert_steps(Protocol::Nats, input, &expected);
        assert_steps(Protocol::Nats, b"HTTP/1.1 400\r\n", &["complaint HTTP/1.1 400"]);
    }

    #[test]
    fn redis_sends_arrays_numbers_and_errors() {
        let input = b"*3\r\n$9\r\nsubscribe\r\n$4\r\nroom\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$4\r\n@\r\nx\r\n:12\r\n+OK\r\n$-1\r\n-ERR no\r\n";
        let expected = [
            "message subscribe",
            "message room",
            "message message",
            "message room",
            "message @\\r\\nx",
            "complaint -ERR no",
        ];
        assert_steps(Protocol::Resp, input, &expected);
        assert_steps(Protocol::Resp, b"hello\r\n", &["complaint hello"]);
        assert_steps(Protocol::Resp, b"$x\r\n", &["complaint $x"]);
    }

    #[test]
    fn mqtt_sends_publications_and_refusals() {
        let payload = [b'@'; 200];
        let mut publication = vec![0x30, 0xce, 0x01, 0, 4];
        publication.extend_from_slice(b"room");
        publication.extend_from_slice(&payload);
        let message = format!("message {}", "@".repeat(200));
        let input = [&[0x20, 2, 0, 0], &publication[..], &[0x90, 3, 0, 1, 0, 0xd0, 0]].concat();
        assert_steps(Protocol::Mqtt, &input, &[&message]);
        assert_steps(Protocol::Mqtt, &[0x20, 2, 0, 5], &["complaint connection refused, code 5"]);
        assert_steps(Protocol::Mqtt, &[0x90, 3, 0, 1, 0x80], &["complaint subscription refused"]);
    }

    #[test]
    fn websockets_send_messages_pings_and_closes() {
        let long = vec![b'@'; 300];
        let mut input = vec![0x81, 2, b'h', b'i', 0x89, 1, b'p', 0x82, 126, 1, 44];
        input.extend_from_slice(&long);
        input.extend_from_slice(&[0x88, 4, 0x03, 0xe9, b'b', b'y']);
        let message = format!("message {}", "@".repeat(300));
        let expected = ["message hi", "answer \\x8a\\x81\\x00\\x00\\x00\\x00p", &message, "complaint closed: 1001 by"];
        assert_steps(Protocol::Ws, &input, &expected);
    }

    #[test]
    fn what_is_published_can_be_taken_apart_again() {
        let write = |protocol: Protocol| {
            let mut output = Vec::new();
            protocol.publish("room", 5, Mask::new(7), &mut output, |output| output.extend_from_slice(b"@1234"));
            output
        };
        assert_eq!(write(Protocol::Lines), b"@1234\n");
        assert_eq!(write(Protocol::Datagrams), b"@1234");
        assert_eq!(write(Protocol::Nats), b"PUB room 5\r\n@1234\r\n");
        assert_eq!(write(Protocol::Resp), b"*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$5\r\n@1234\r\n");
        assert_eq!(steps(Protocol::Mqtt, &write(Protocol::Mqtt), 3), ["message @1234"]);
        let mut frame = write(Protocol::Ws);
        assert_eq!(frame[..2], [0x81, 0x85]);
        let key: Vec<_> = frame.drain(2..6).collect();
        let text: Vec<_> = frame[2..].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        assert_eq!(text, b"@1234");
    }
}
