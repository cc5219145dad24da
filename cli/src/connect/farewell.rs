//! How a server says goodbye: rooms say why they close a connection. One that ends without a word was cut off, or its server died.

use super::{elsewhere, told};
use switchboard::CloseReason;
use switchboard::grammar::{Event, Notice, Reply};
use switchboard_load::typed::Url;

/// The longest line that says goodbye, or greets.
const LINE_BYTES: usize = 512;

/// How a server of TLS begins to say that it was not spoken to in TLS (RFC 8446 §5.1).
const TLS_ALERT: &[u8] = b"\x15\x03";

/// How a server of HTTP begins, whatever it was asked.
const HTTP_ANSWER: &[u8] = b"HTTP/1.";

/// What came first and last on a connection.
#[derive(Debug, Default)]
pub(super) struct Farewell {
    /// HTTP was typed, so that an answer in HTTP is no surprise.
    asks_http: bool,
    first: Vec<u8>,
    last: Vec<u8>,
}

/// What the end of a connection means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Finished,
    Closed(CloseReason),
    /// Rooms would have said why.
    Cut,
}

impl Farewell {
    /// Takes a frame, or bytes of a stream as they come.
    pub(super) fn handle_frame(&mut self, payload: &[u8], is_verbatim: bool) {
        if self.first.len() < LINE_BYTES && (is_verbatim || self.first.is_empty()) {
            let room = LINE_BYTES - self.first.len();
            self.first.extend_from_slice(&payload[..payload.len().min(room)]);
        }
        if !is_verbatim && !self.last.is_empty() {
            self.last.push(b'\n');
        }
        let end = &payload[payload.len().saturating_sub(LINE_BYTES)..];
        let old = (self.last.len() + end.len()).saturating_sub(LINE_BYTES);
        self.last.drain(..old);
        self.last.extend_from_slice(end);
    }

    /// Takes note of what is sent.
    pub(super) fn sent(&mut self, payload: &[u8]) {
        // Only until the server says something: a pipe may carry anything, and much of it.
        if self.first.is_empty() {
            self.asks_http |= payload.windows(7).any(|bytes| bytes == HTTP_ANSWER);
        }
    }

    /// What is wrong with a server that begins like this.
    pub(super) fn foreign(&self, payload: &[u8], url: &Url) -> Option<String> {
        if !self.first.is_empty() {
            return None;
        }
        if payload.starts_with(TLS_ALERT) {
            return Some(format!("the server wants TLS (type {})", elsewhere::with_tls(url)?));
        }
        let http = elsewhere::over_http(url).filter(|_| payload.starts_with(HTTP_ANSWER) && !self.asks_http)?;
        Some(format!("the server speaks HTTP (for rooms, type {http})"))
    }

    /// What else to say of the end, if it was the first that was heard of the server.
    pub(super) fn advice(&self, url: &Url) -> String {
        let advice = self.on_silence(url);
        if advice.is_empty() { advice } else { format!(" without a word{advice}") }
    }

    /// What to type instead, if nothing was heard of the server.
    pub(super) fn on_silence(&self, url: &Url) -> String {
        if self.first.is_empty() { elsewhere::of_silence(url) } else { String::new() }
    }

    pub(super) fn meaning(&self) -> Meaning {
        let line = |line: &[u8]| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            told::object(line).or_else(|| told::line(line))
        };
        // Of a line whose beginning is gone nobody knows what it says.
        let is_cut = self.last.len() >= LINE_BYTES;
        let lines = self.last.split(|byte| *byte == b'\n').skip(usize::from(is_cut));
        // What a room tells may come behind it: that others have gone, too.
        for last in lines.collect::<Vec<_>>().into_iter().rev() {
            match line(last) {
                Some(Event::Notice(Notice::Closed { reason })) => return Meaning::of(reason),
                Some(Event::Reply(Reply::Bye)) => return Meaning::Finished,
                event => {
                    if let Some(reason) = error(last, event).and_then(told::reason_named) {
                        return Meaning::Closed(reason);
                    }
                }
            }
        }
        let first = self.first.split(|byte| *byte == b'\n').next().and_then(line);
        match first {
            Some(Event::Reply(Reply::Welcome { .. } | Reply::Joined { .. })) => Meaning::Cut,
            _ => Meaning::Finished,
        }
    }
}

/// The code of an error, which may be the reason of what comes after it.
fn error(line: &[u8], event: Option<Event>) -> Option<&str> {
    if let Some(Event::Failure(failure)) = event {
        return Some(failure.code.code());
    }
    str::from_utf8(line.strip_prefix(b"! ")?).ok()?.split(':').next()
}

impl Meaning {
    fn of(reason: CloseReason) -> Self {
        match reason {
            CloseReason::PeerClosed | CloseReason::Finished | CloseReason::Drained => Self::Finished,
            reason => Self::Closed(reason),
        }
    }

    /// What to say of an end that is none.
    pub(super) fn fault(&self) -> Option<String> {
        match self {
            Self::Finished => None,
            Self::Closed(reason) => Some(format!("the server closed the connection: {reason}")),
            Self::Cut => Some("the connection was cut".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(pieces: &[&str], is_verbatim: bool) -> Meaning {
        let mut farewell = Farewell::default();
        for piece in pieces {
            farewell.handle_frame(piece.as_bytes(), is_verbatim);
        }
        farewell.meaning()
    }

    #[test]
    fn rooms_say_why_they_close_and_whoever_does_not_was_cut_off() {
        let welcome = "* you are guest-1 in lobby; /help lists the commands";
        let object = r#"{"event":"welcome","name":"guest-1","room":"lobby"}"#;
        for (last, expected) in [
            ("* closed: drained", Meaning::Finished),
            ("* bye", Meaning::Finished),
            (r#"{"event":"closed","reason":"idle"}"#, Meaning::Closed(CloseReason::Idle)),
            ("! frame-too-long: frame is longer than 1024 bytes", Meaning::Closed(CloseReason::FrameTooLong)),
            (r#"{"error":"frame-too-long","text":"too long"}"#, Meaning::Closed(CloseReason::FrameTooLong)),
            ("! no-room: none", Meaning::Cut),
            ("* closed: drained\n* [lobby] 1 joined, 2 left: 1 member", Meaning::Finished),
            ("* closed: idle\n[lobby] bob: hi", Meaning::Closed(CloseReason::Idle)),
            ("* closed: slow-consumer", Meaning::Closed(CloseReason::SlowConsumer)),
            ("[lobby] bob: * closed: drained", Meaning::Cut),
        ] {
            for first in [welcome, object] {
                assert_eq!(meaning(&[first, "[lobby] bob: hi", last], false), expected, "{last}");
                let stream = format!("{first}\r\n[lobby] bob: hi\r\n{last}\r\n");
                for at in 0..stream.len() {
                    assert_eq!(meaning(&[&stream[..at], &stream[at..]], true), expected, "{last}, in two at {at}");
                }
            }
        }
    }

    #[test]
    fn whoever_is_no_server_with_rooms_just_ends() {
        for pieces in [&[][..], &["echo: hi"], &["hello\n* you are guest-1 in lobby; /help lists the commands\n"]] {
            assert_eq!(meaning(pieces, true), Meaning::Finished);
        }
    }
}
