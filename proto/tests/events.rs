//! The stream of Server-Sent Events.

use bytes::{Bytes, BytesMut};
use std::time::Duration;
use switchboard_proto::{Codec, EventStream, Output};

#[test]
fn an_empty_line_ends_each_event() {
    let mut output = Output::default();
    let events = [Bytes::from_static(b"id: k3f9-7\ndata: {}"), EventStream::KEEPALIVE];
    for event in events.into_iter().chain([EventStream::retry(Duration::from_millis(1500))]) {
        EventStream.encode(event, &mut output);
    }
    assert_eq!(output.into_bytes(), &b"id: k3f9-7\ndata: {}\n\n:\n\nretry: 1500\n\n"[..]);
}

#[test]
fn what_a_reader_sends_is_discarded() {
    let mut input = BytesMut::from("GET / HTTP/1.1\r\n");
    assert_eq!(EventStream.decode(&mut input, 4), Ok(None));
    assert!(input.is_empty());
}
