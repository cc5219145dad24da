//! WebSocket frames.

use crate::corpus::websocket::{self as body, Batches, Outcome, read};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use switchboard_proto::{
    Aside, CloseReason, Codec, FrameError, Output, WebSocket, WebSocketClient, WebSocketKind, WebSocketMessage,
};

/// A client's frame, which may break any rule.
#[derive(Debug, Clone)]
struct Sent {
    first: u8,
    payload: Vec<u8>,
    key: [u8; 4],
    is_masked: bool,
    length_form: u8,
}

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        let mask = if self.is_masked { 0x80 } else { 0 };
        let length = self.payload.len();
        let mut bytes = vec![self.first];
        match self.length_form {
            _ if length >= 126 => {
                bytes.push(mask + 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            0..8 => bytes.push(mask | length as u8),
            8 => {
                bytes.push(mask + 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend((length as u64 | u64::from(self.length_form & 1) << 63).to_be_bytes());
            }
        }
        if self.is_masked {
            bytes.extend(self.key);
        }
        let key = if self.is_masked { self.key } else { [0; 4] };
        bytes.extend(self.payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }
}

/// Mostly what a client may send, sometimes not.
fn sent() -> impl Strategy<Value = Sent> {
    let first = prop_oneof![
        8 => prop::sample::select(vec![0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x80, 0x89, 0x8a]),
        1 => Just(0x88),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        4 => "\\PC{0,6}".prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 0..8),
        1 => (1000_u16..1016).prop_map(|code| code.to_be_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 120..135),
        1 => Just("→".as_bytes()[..2].to_vec()),
    ];
    let is_masked = prop::bool::weighted(0.98);
    let length_form = prop_oneof![30 => Just(0_u8), 1 => 8_u8..12];
    (first, payload, any::<[u8; 4]>(), is_masked, length_form)
        .prop_map(|(first, payload, key, is_masked, length_form)| Sent { first, payload, key, is_masked, length_form })
}

proptest! {
    // What is compared with what is in the body; its input's layout is in `stream`.
    #[test]
    fn any_split_gives_the_same_messages_answers_and_error(
        frame_bytes in 6_u8..255,
        sizes in prop::collection::vec(0_u8..8, 0..20),
        frames in prop::collection::vec(sent(), 0..8),
        lost in 0_usize..4,
    ) {
        let mut stream: Vec<u8> = frames.iter().flat_map(Sent::bytes).collect();
        stream.truncate(stream.len().saturating_sub(lost));
        body::run(&[&[frame_bytes, sizes.len() as u8], &sizes[..], &stream].concat());
    }

    #[test]
    fn what_a_client_writes_a_server_reads(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 0..5),
        seed: [u8; 16],
        size in 1_usize..3000,
    ) {
        let mut client = WebSocketClient::seeded(seed);
        let mut output = Output::default();
        for payload in &payloads {
            client.encode(WebSocketMessage::binary(payload.clone()), &mut output);
        }
        let expected: Vec<_> =
            payloads.into_iter().map(|payload| Outcome::Message(WebSocketKind::Binary, payload)).collect();
        let stream = output.into_bytes();
        let together = read::<Batches>(stream.chunks(size), 2000);
        prop_assert_eq!((&together.0, together.1), (&expected, None));
        prop_assert_eq!(read::<WebSocket>(stream.chunks(size), 2000), (expected, None));
    }
}

#[test]
fn a_batch_ends_before_what_is_long_and_at_64_messages() {
    let lengths = |payloads: &[usize]| {
        let (mut client, mut output) = (WebSocketClient::seeded([7; 16]), Output::default());
        for length in payloads {
            client.encode(WebSocketMessage::binary(vec![b'x'; *length]), &mut output);
        }
        let mut input = BytesMut::from(&output.into_bytes()[..]);
        let mut server = WebSocket::default();
        std::iter::from_fn(|| server.decode_batch(&mut input, 64 << 10).unwrap().map(|batch| batch.len())).collect()
    };
    let told: [(&[usize], Vec<usize>); 4] = [
        (&[0; 100], vec![64, 36]),
        (&[10, 10, 1024, 1023, 10], vec![2, 1, 2]),
        (&[1000; 7], vec![5, 2]),
        (&[60_000, 1, 60_000], vec![1, 1, 1]),
    ];
    for (payloads, expected) in told {
        let found: Vec<_> = lengths(payloads);
        assert_eq!(found, expected, "{payloads:?}");
    }
}

fn server_frame(message: impl Into<WebSocketMessage>) -> Bytes {
    let mut output = Output::default();
    WebSocket::default().encode(message.into(), &mut output);
    output.into_bytes()
}

/// The examples of RFC 6455 §5.7.
#[test]
fn the_examples_of_the_rfc_are_read_and_written() {
    let hello = || Outcome::Message(WebSocketKind::Text, b"Hello".to_vec());
    let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(read::<WebSocket>([&masked[..]], 5), (vec![hello()], None));
    let fragments = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
    assert_eq!(read::<WebSocketClient>([&fragments[..]], 5).0, [hello()]);
    assert_eq!(server_frame("Hello"), [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f][..]);
    assert_eq!(server_frame(WebSocketMessage::binary(vec![0; 256]))[..4], [0x82, 0x7e, 0x01, 0x00]);
    let long = server_frame(WebSocketMessage::binary(vec![0; 65_536]));
    assert_eq!(long[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn bytes_that_are_not_utf8_are_sent_as_binary() {
    assert_eq!(server_frame(Bytes::from_static(b"\xff"))[0], 0x82);
    assert_eq!(server_frame(Bytes::from_static("ü".as_bytes()))[0], 0x81);
}

/// With each form of a length, copied and shared.
#[test]
fn a_message_behind_a_prefix_is_sent_as_both_in_one() {
    let pieces =
        [Bytes::new(), "echo: ".into(), vec![b'x'; 119].into(), vec![b'x'; 120].into(), vec![b'x'; 70_000].into()];
    let pieces = pieces.into_iter().chain([Bytes::from_static(b"\xff")]);
    let messages: Vec<WebSocketMessage> =
        pieces.flat_map(|piece| [piece.clone().into(), WebSocketMessage::binary(piece)]).collect();
    for (prefix, message) in messages.iter().flat_map(|prefix| messages.iter().map(move |message| (prefix, message))) {
        let mut output = Output::default();
        WebSocket::default().encode_behind(prefix, message.clone(), &mut output);
        let both = Bytes::from([&prefix[..], message].concat());
        let is_text = [prefix, message].iter().all(|piece| piece.kind() == WebSocketKind::Text);
        let both = if is_text { both.into() } else { WebSocketMessage::binary(both) };
        assert_eq!(output.into_bytes(), server_frame(both), "{} behind {}", message.len(), prefix.len());
    }
}

#[test]
fn a_message_too_long_is_refused_from_its_header_alone() {
    let mut input = BytesMut::from(&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4][..]);
    let result = WebSocket::default().decode(&mut input, 65_535);
    assert_eq!(result, Err(FrameError::TooLong { limit: 65_535 }));
}

#[test]
fn a_million_tiny_fragments_hold_no_more_than_a_message_may_have() {
    let mut codec = WebSocket::default();
    let mut input = BytesMut::from(&[0x02, 0x80, 0, 0, 0, 0][..]);
    let mut result = codec.decode(&mut input, 1000);
    for _ in 0..1_000_000 {
        input.extend_from_slice(&[0x00, 0x81, 0, 0, 0, 0, b'x']);
        result = codec.decode(&mut input, 1000);
        if result.is_err() {
            break;
        }
        assert!(codec.held_bytes() + input.len() <= 1000);
    }
    assert_eq!(result, Err(FrameError::TooLong { limit: 1000 }));
}

#[test]
fn what_is_not_text_fails_before_its_frame_is_whole() {
    let mut codec = WebSocket::default();
    let mut input = BytesMut::from(&[0x81, 0xfe, 0xff, 0xff, 0, 0, 0, 0, b'a', 0xff][..]);
    assert_eq!(codec.decode(&mut input, 65_535), Err(FrameError::NotUtf8));
}

#[test]
fn a_ping_is_answered_before_what_follows_is_read() {
    let mut codec = WebSocket::default();
    let mut input = BytesMut::from(&[0x89, 0x81, 0, 0, 0, 0, b'?', 0x81, 0x81, 0, 0, 0, 0, b'a'][..]);
    assert_eq!(codec.decode(&mut input, 10), Ok(None));
    assert_eq!(codec.aside(), Some(Aside::Answer(Bytes::from_static(b"\x8a\x01?"))));
    assert_eq!(codec.decode(&mut input, 10), Ok(Some("a".into())));
}

#[test]
fn every_close_reason_has_a_code_that_may_be_sent_and_says_its_own() {
    for reason in CloseReason::ALL {
        let frame = WebSocket::close_frame(reason, None);
        let (frames, error) = read::<WebSocketClient>([&frame[..]], 0);
        let [Outcome::Finished(code)] = frames[..] else { panic!("{reason}: {frames:?}") };
        assert_eq!((error, code == 1005), (None, false), "{reason}");
        assert!(frame.ends_with(reason.code().as_bytes()), "{reason}");
    }
    assert_eq!(WebSocket::close_frame(CloseReason::Drained, None)[2..4], 1012_u16.to_be_bytes());
    assert_eq!(WebSocket::close_frame(CloseReason::PeerClosed, Some(1005)), [0x88, 0][..]);
    assert_eq!(WebSocket::close_frame(CloseReason::PeerClosed, Some(4000))[2..4], 4000_u16.to_be_bytes());
}

#[test]
fn a_client_is_not_told_that_a_server_has_finished_which_was_cut_off() {
    let message = server_frame("hi");
    for stream in [&[][..], &message] {
        assert_eq!(read::<WebSocketClient>([stream], 10).1, Some(FrameError::Unannounced));
        let closed = [stream, &WebSocket::close_frame(CloseReason::Finished, None)].concat();
        assert_eq!(read::<WebSocketClient>([&closed[..]], 10).1, None);
    }
}

#[test]
fn a_client_closes_with_masked_text_of_at_most_125_bytes() {
    let mut client = WebSocketClient::seeded([7; 16]);
    let frame = client.close_frame(1000, &"ü".repeat(100));
    assert_eq!(frame[1], 0x80 + 124, "a character is not cut");
    assert_eq!(read::<WebSocket>([&frame[..]], 0), (vec![Outcome::Finished(1000)], None));
}
