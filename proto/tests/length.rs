//! Frames behind their length.

use crate::corpus::length as body;
use crate::stream;
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use switchboard_proto::{Codec, FrameError, Length};

/// A stream of frames, some longer than a small limit, perhaps cut short, perhaps with nonsense at its end.
fn framed_bytes() -> impl Strategy<Value = Vec<u8>> {
    let payloads = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..6);
    let nonsense = prop::collection::vec(any::<u8>(), 0..6);
    (payloads, nonsense, 0_usize..4).prop_map(|(payloads, nonsense, lost)| {
        let mut stream = stream::write::<Length>(payloads.into_iter().map(Bytes::from).collect());
        stream.extend(nonsense);
        stream.truncate(stream.len().saturating_sub(lost));
        stream
    })
}

proptest! {
    // What is compared with what is in the body; its input's layout is in `stream`.
    #[test]
    fn any_split_gives_the_same_frames_and_the_same_error(
        frame_bytes in 6_u8..20,
        sizes in prop::collection::vec(0_u8..8, 0..20),
        stream in framed_bytes(),
    ) {
        body::run(&[&[frame_bytes, sizes.len() as u8], &sizes[..], &stream].concat());
    }

    #[test]
    fn an_encoded_payload_decodes_to_itself(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 0..5),
        size in 1_usize..3000,
    ) {
        let stream = stream::write::<Length>(payloads.iter().cloned().map(Bytes::from).collect());
        let (decoded, error) = stream::read::<Length>(stream.chunks(size), 2000);
        prop_assert_eq!((decoded, error), (payloads.into_iter().map(Bytes::from).collect(), None));
    }
}

#[test]
fn the_header_is_the_length_in_big_endian() {
    assert_eq!(stream::write::<Length>(vec![Bytes::from(vec![b'x'; 258])])[..6], *b"\0\0\x01\x02xx");
}

#[test]
fn exactly_the_limit_passes_and_one_more_does_not() {
    let stream = stream::write::<Length>(vec![Bytes::from_static(b"hello")]);
    assert_eq!(stream::read::<Length>(stream.chunks(1), 5), (vec![Bytes::from_static(b"hello")], None));
    assert_eq!(stream::read::<Length>(stream.chunks(1), 4), (vec![], Some(FrameError::TooLong { limit: 4 })));
}

#[test]
fn a_frame_too_long_is_refused_from_its_header_alone() {
    let mut input = BytesMut::from(&[0xff; 4][..]);
    assert_eq!(Length.decode(&mut input, 1 << 20), Err(FrameError::TooLong { limit: 1 << 20 }));
}

#[test]
fn an_announced_length_allocates_nothing() {
    let mut input = BytesMut::from(&[0, 0xff, 0xff, 0xff][..]);
    assert_eq!(Length.decode(&mut input, 1 << 24), Ok(None));
    assert!(input.capacity() < 1 << 10);
}

#[test]
fn an_empty_payload_is_a_frame() {
    assert_eq!(stream::read::<Length>([&[0; 4][..]], 0), (vec![Bytes::new()], None));
}

#[test]
fn input_that_ends_inside_the_header_is_truncated() {
    assert_eq!(stream::read::<Length>([&[0, 0, 0][..]], 9), (vec![], Some(FrameError::Truncated)));
}

#[test]
fn input_that_ends_inside_the_payload_is_truncated() {
    assert_eq!(stream::read::<Length>([&b"\0\0\0\x02x"[..]], 9), (vec![], Some(FrameError::Truncated)));
}

#[test]
fn frames_before_the_truncated_one_are_delivered() {
    let stream = b"\0\0\0\x02hi\0\0";
    assert_eq!(
        stream::read::<Length>([&stream[..]], 9),
        (vec![Bytes::from_static(b"hi")], Some(FrameError::Truncated))
    );
}

#[test]
fn line_ends_in_a_payload_are_content() {
    let payloads = vec![Bytes::from_static(b"a\r\nb\n")];
    let stream = stream::write::<Length>(payloads.clone());
    assert_eq!(stream::read::<Length>([&stream[..]], 9), (payloads, None));
}
