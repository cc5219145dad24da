//! The stream of Server-Sent Events, from the side that sends it (WHATWG HTML, "Server-sent events").
//!
//! The format ([`Format::Events`](crate::Format)) writes an event's fields; this codec only ends events.

use crate::{Codec, FrameError, Output};
use bytes::{Bytes, BytesMut};
use std::time::Duration;

/// The codec that ends each event with an empty line. Nothing is expected from the reader: input is discarded.
///
/// An answer that is streamed in it is `text/event-stream`. If nothing is sent for [`Timeouts::ping`](crate::Timeouts::ping), a
/// [comment](Self::KEEPALIVE) keeps it alive.
#[derive(Debug, Default)]
pub struct EventStream;

impl EventStream {
    /// A comment: it is no event, but keeps intermediaries from taking the stream for dead.
    pub const KEEPALIVE: Bytes = Bytes::from_static(b":");

    /// An event with this text as its data, line by line, for `onmessage` in a browser. Lines may end in LF, CR or both.
    pub fn data(text: &str) -> Bytes {
        let mut event = String::with_capacity("data: ".len() + text.len());
        // A reader ends a line at any of the three.
        for line in text.replace("\r\n", "\n").split(['\n', '\r']) {
            let separator = if event.is_empty() { "" } else { "\n" };
            event.extend([separator, "data: ", line]);
        }
        event.into()
    }

    /// Asks the reader to wait this long before it reconnects.
    pub fn retry(wait: Duration) -> Bytes {
        format!("retry: {}", wait.as_millis()).into()
    }
}

impl Codec for EventStream {
    type Frame = Bytes;

    const MEDIA_TYPE: Option<&'static str> = Some("text/event-stream");

    fn decode(&mut self, input: &mut BytesMut, _: usize) -> Result<Option<Bytes>, FrameError> {
        input.clear();
        Ok(None)
    }

    fn encode(&mut self, event: Bytes, output: &mut Output) {
        output.share(event);
        output.put(b"\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_has_a_field_for_each_line() {
        for (text, event) in [
            ("", "data: "),
            ("hi", "data: hi"),
            ("a\nb\r\nc\rd", "data: a\ndata: b\ndata: c\ndata: d"),
            ("a\n", "data: a\ndata: "),
            (" id: 7\n\nevent: x", "data:  id: 7\ndata: \ndata: event: x"),
        ] {
            assert_eq!(EventStream::data(text), event);
        }
    }
}
