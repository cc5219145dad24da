//! The client protocol of nats-server: lines, and payloads whose lengths a line gives. Bytes in, operations out, and the other way round.
//!
//! Knows no sockets, and nothing of what is said by it.

use bytes::{Buf as _, Bytes, BytesMut};
use std::io::Write as _;
use switchboard_proto::Escaped;

/// The longest line that is read. What a server tells of itself is the longest: it lists the other servers.
const LINE_BYTES: usize = 64 << 10;

/// The most bytes that headers and payload of one message may have. The stream takes 320 KiB; an answer about a message has that in base64.
pub(super) const MESSAGE_BYTES: usize = 1 << 20;

/// The most of these that headers may be. Those of an answer are some hundred bytes.
const HEADERS_BYTES: usize = 64 << 10;

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ServerLine {
    /// What it is, as JSON.
    Info(Bytes),
    Message(Received),
    Ping,
    Pong,
    /// What was said was understood.
    Ok,
    /// It was not, or was not allowed; most of these end the connection.
    Error(String),
}

/// A message, as a subscription gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) subject: Bytes,
    /// The number of the subscription.
    pub(super) subscription: u64,
    /// Where an answer goes, if one is wanted.
    pub(super) reply: Option<Bytes>,
    /// With the line that they begin with; empty if there are none.
    pub(super) headers: Headers,
    pub(super) payload: Bytes,
}

impl Received {
    /// What it takes.
    pub(super) fn bytes(&self) -> usize {
        self.subject.len() + self.headers.len() + self.payload.len()
    }
}

/// The headers of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Headers(Bytes);

impl Headers {
    fn len(&self) -> usize {
        self.0.len()
    }

    /// The number in the first line, if it is there: 503 is that nobody answers.
    pub(super) fn status(&self) -> Option<u16> {
        let line = self.0.split(|byte| *byte == b'\r').next()?;
        let status = line.strip_prefix(b"NATS/1.0 ")?;
        std::str::from_utf8(status.get(..3)?).ok()?.parse().ok()
    }

    /// The value of the first one of that name.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let mut lines = std::str::from_utf8(&self.0).ok()?.split("\r\n").skip(1);
        lines.find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The same, as a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.parse().ok()
    }
}

/// Why a connection cannot be read any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    #[error("it sent a line that is longer than {LINE_BYTES} bytes")]
    LongLine,
    #[error("it sent a message that is longer than {MESSAGE_BYTES} bytes")]
    LongMessage,
    #[error("it sent headers that are longer than {HEADERS_BYTES} bytes")]
    LongHeaders,
    #[error("it does not speak the protocol of nats-server")]
    Foreign,
}

/// Takes the next operation off `input`, if all of it is there.
pub(super) fn decode(input: &mut BytesMut) -> Result<Option<ServerLine>, WireError> {
    // A line is short: looking through a payload that follows it costs nothing, as the first line end is found before.
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return if input.len() > LINE_BYTES { Err(WireError::LongLine) } else { Ok(None) };
    };
    if end > LINE_BYTES {
        return Err(WireError::LongLine);
    }
    let line = &input[..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (word, rest) =
        line.split_at(line.iter().position(|byte| *byte == b' ' || *byte == b'\t').unwrap_or(line.len()));
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if is("MSG") || is("HMSG") {
        return message(input, end, is("HMSG"));
    }
    let operation = if is("PING") {
        ServerLine::Ping
    } else if is("PONG") {
        ServerLine::Pong
    } else if is("+OK") {
        ServerLine::Ok
    } else if is("-ERR") {
        ServerLine::Error(Escaped(rest.trim_ascii()).to_string().trim_matches('\'').to_owned())
    } else if is("INFO") {
        ServerLine::Info(Bytes::copy_from_slice(rest.trim_ascii()))
    } else {
        return Err(WireError::Foreign);
    };
    input.advance(end + 1);
    Ok(Some(operation))
}

/// `MSG subject sid [reply] bytes`, or `HMSG subject sid [reply] bytes-of-headers bytes`, and what follows that line.
fn message(input: &mut BytesMut, end: usize, has_headers: bool) -> Result<Option<ServerLine>, WireError> {
    let words: Vec<_> = input[..end].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).skip(1).collect();
    let number = |word: &[u8]| std::str::from_utf8(word).ok().and_then(|word| word.parse::<u64>().ok());
    let lengths = if has_headers { 2 } else { 1 };
    if words.len() < 2 + lengths || words.len() > 3 + lengths {
        return Err(WireError::Foreign);
    }
    let total = number(words[words.len() - 1]).ok_or(WireError::Foreign)? as usize;
    let of_headers = if has_headers { number(words[words.len() - 2]).ok_or(WireError::Foreign)? as usize } else { 0 };
    let subscription = number(words[1]).ok_or(WireError::Foreign)?;
    if total > MESSAGE_BYTES || of_headers > total {
        return Err(WireError::LongMessage);
    }
    if of_headers > HEADERS_BYTES {
        return Err(WireError::LongHeaders);
    }
    if input.len() < end + 1 + total + 2 {
        return Ok(None);
    }
    let behind = end + 1 + total;
    if &input[behind..behind + 2] != b"\r\n" {
        return Err(WireError::Foreign);
    }
    let subject = Bytes::copy_from_slice(words[0]);
    let reply = (words.len() == 3 + lengths).then(|| Bytes::copy_from_slice(words[2]));
    // Copied: a slice would keep all that was read with it for as long as a room keeps the message.
    let mut body = Bytes::copy_from_slice(&input[end + 1..behind]);
    input.advance(behind + 2);
    let headers = Headers(body.split_to(of_headers));
    Ok(Some(ServerLine::Message(Received { subject, subscription, reply, headers, payload: body })))
}

/// Writes that messages of `subject` are wanted, as number `subscription`.
pub(super) fn subscribe(subject: &str, subscription: u64, output: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = write!(output, "SUB {subject} {subscription}\r\n");
}

/// The same, of messages each of which goes to one of those that have subscribed in this group.
pub(super) fn subscribe_among(group: &str, subject: &str, subscription: u64, output: &mut Vec<u8>) {
    let _ = write!(output, "SUB {subject} {group} {subscription}\r\n");
}

/// Writes that they are not wanted any more.
pub(super) fn unsubscribe(subscription: u64, output: &mut Vec<u8>) {
    let _ = write!(output, "UNSUB {subscription}\r\n");
}

/// Writes a message. `reply` is where an answer goes, empty if none is wanted; `headers` are lines with their ends, empty if there are none.
pub(super) fn publish(subject: &str, reply: &str, headers: &str, payload: &[u8], output: &mut Vec<u8>) {
    let space = if reply.is_empty() { "" } else { " " };
    if headers.is_empty() {
        let _ = write!(output, "PUB {subject}{space}{reply} {}\r\n", payload.len());
    } else {
        let length = VERSION.len() + headers.len() + 2;
        let _ = write!(output, "HPUB {subject}{space}{reply} {length} {}\r\n", length + payload.len());
        output.extend_from_slice(VERSION.as_bytes());
        output.extend_from_slice(headers.as_bytes());
        output.extend_from_slice(b"\r\n");
    }
    output.extend_from_slice(payload);
    output.extend_from_slice(b"\r\n");
}

const VERSION: &str = "NATS/1.0\r\n";

pub(super) const PING: &[u8] = b"PING\r\n";
pub(super) const PONG: &[u8] = b"PONG\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Vec<ServerLine> {
        let mut input = BytesMut::from(bytes);
        let mut found = Vec::new();
        while let Some(operation) = decode(&mut input).expect("the protocol") {
            found.push(operation);
        }
        assert!(input.is_empty(), "{input:?}");
        found
    }

    fn delivery(subject: &str, subscription: u64, headers: &'static str, payload: &'static str) -> ServerLine {
        ServerLine::Message(Received {
            subject: Bytes::copy_from_slice(subject.as_bytes()),
            subscription,
            reply: None,
            headers: Headers(headers.into()),
            payload: payload.into(),
        })
    }

    #[test]
    fn what_a_server_says_is_understood() {
        let said = b"INFO {\"a\":1} \r\nMSG sb.l.1.x 7 3\r\nabc\r\nMSG s 7 reply.to 0\r\n\r\nPING\r\npong\r\n+OK\r\n-ERR 'Stale Connection'\r\n";
        let ServerLine::Message(asked) = delivery("s", 7, "", "") else { unreachable!("it is one") };
        let understood = [
            ServerLine::Info("{\"a\":1}".into()),
            delivery("sb.l.1.x", 7, "", "abc"),
            ServerLine::Message(Received { reply: Some("reply.to".into()), ..asked }),
            ServerLine::Ping,
            ServerLine::Pong,
            ServerLine::Ok,
            ServerLine::Error("Stale Connection".to_owned()),
        ];
        assert_eq!(all(said), understood);
    }

    #[test]
    fn headers_and_status_are_found() {
        let with = b"HMSG s 1 43 45\r\nNATS/1.0\r\nNats-Sequence: 12\r\nOther:x y \r\n\r\nhi\r\n";
        let [ServerLine::Message(with)] = &all(with)[..] else { panic!("one message") };
        assert_eq!((with.headers.number("nats-sequence"), with.headers.value("Other")), (Some(12), Some("x y")));
        assert_eq!((with.headers.status(), &with.payload[..]), (None, &b"hi"[..]));
        let nobody = b"HMSG s 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n";
        let [ServerLine::Message(nobody)] = &all(nobody)[..] else { panic!("one message") };
        assert_eq!(nobody.headers.status(), Some(503));
    }

    #[test]
    fn what_is_written_is_what_the_protocol_says() {
        let mut output = Vec::new();
        subscribe("a.>", 3, &mut output);
        subscribe_among("g", "a.>", 4, &mut output);
        unsubscribe(3, &mut output);
        publish("a.b", "", "", b"hi", &mut output);
        publish("a.b", "r", "K: v\r\n", b"hi", &mut output);
        let text = "SUB a.> 3\r\nSUB a.> g 4\r\nUNSUB 3\r\nPUB a.b 2\r\nhi\r\nHPUB a.b r 18 20\r\nNATS/1.0\r\nK: v\r\n\r\nhi\r\n";
        assert_eq!(std::str::from_utf8(&output).expect("a text"), text);
    }

    #[test]
    fn what_is_too_long_or_foreign_ends_it() {
        let fault = |bytes: &[u8]| decode(&mut BytesMut::from(bytes)).expect_err("a fault");
        assert_eq!(fault(&vec![b'x'; LINE_BYTES + 1]), WireError::LongLine);
        assert_eq!(fault(b"MSG s 1 1048577\r\n"), WireError::LongMessage);
        assert_eq!(fault(b"HMSG s 1 9 8\r\n"), WireError::LongMessage);
        assert_eq!(fault(b"HMSG s 1 65537 65537\r\n"), WireError::LongHeaders);
        for foreign in
            [&b"HTTP/1.1 200 OK\r\n"[..], b"MSG s\r\n", b"MSG s 1 2\r\nabcd", b"MSG s x 2\r\nab\r\n", b"\r\n"]
        {
            assert_eq!(fault(foreign), WireError::Foreign, "{foreign:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in vec(prop_oneof![Just(b' '), Just(b'\r'), Just(b'\n'), Just(b'1'), any::<u8>()], 0..200), head in "(MSG|HMSG|INFO|-ERR|) ?") {
            let mut input = BytesMut::from(head.as_bytes());
            input.extend_from_slice(&bytes);
            while let Ok(Some(_)) = decode(&mut input) {}
        }

        #[test]
        fn any_split_gives_the_same(cut in 0usize..80) {
            let said = b"HMSG s 1 43 45\r\nNATS/1.0\r\nNats-Sequence: 12\r\nOther:x y \r\n\r\nhi\r\nPING\r\n";
            let mut input = BytesMut::new();
            let mut found = Vec::new();
            for part in [&said[..cut.min(said.len())], &said[cut.min(said.len())..]] {
                input.extend_from_slice(part);
                while let Some(operation) = decode(&mut input).expect("the protocol") {
                    found.push(operation);
                }
            }
            prop_assert_eq!(found, all(said));
        }
    }
}
