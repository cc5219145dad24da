//! The stream of Server-Sent Events, from the side that sends it (WHATWG HTML, "Server-sent events").
//!
//! The format ([`Format::Events`](crate::Format)) writes an event's fields; this codec only ends events.

use crate::{Codec, FrameError, Output};
use bytes::{Bytes, BytesMut};
use std::time::Duration;

/// The codec that ends each event with an empty line. Nothing is expected from the reader: input is discarded.
#[derive(Debug, Default)]
pub struct EventStream;

impl EventStream {
    /// A comment: it is no event, but keeps intermediaries from taking the stream for dead.
    pub const KEEPALIVE: Bytes = Bytes::from_static(b":");

    /// Asks the reader to wait this long before it reconnects.
    pub fn retry(wait: Duration) -> Bytes {
        format!("retry: {}", wait.as_millis()).into()
    }
}

impl Codec for EventStream {
    type Frame = Bytes;

    fn decode(&mut self, input: &mut BytesMut, _: usize) -> Result<Option<Bytes>, FrameError> {
        input.clear();
        Ok(None)
    }

    fn encode(&mut self, event: Bytes, output: &mut Output) {
        output.share(event);
        output.put(b"\n\n");
    }
}
