//! Lines: bytes up to LF, or CR LF.

use crate::corpus::lines as body;
use crate::stream;
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use switchboard_proto::{FrameError, Line, LineBatch, Lines, Terminator};

/// Bytes that meet the rules of lines more often than chance would have them.
fn line_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => Just(b'\n'), 4 => Just(b'\r'), 8 => Just(b'a'), 1 => any::<u8>()];
    prop::collection::vec(byte, 0..60)
}

/// The lines of a stream that arrives whole and breaks no rule, as text and terminator.
fn lines(stream: &[u8]) -> Vec<(Vec<u8>, Terminator)> {
    let (lines, error) = stream::read::<Lines>([stream], stream.len());
    assert_eq!(error, None);
    lines.into_iter().map(|line| (line.as_bytes().to_vec(), line.terminator())).collect()
}

/// What becomes of a stream that arrives a byte at a time.
fn read_bytewise(stream: &[u8], frame_bytes: usize) -> (Vec<Line>, Option<FrameError>) {
    stream::read::<Lines>(stream.chunks(1), frame_bytes)
}

proptest! {
    // What is compared with what is in the body; its input's layout is in `stream`.
    #[test]
    fn any_split_gives_the_same_lines_and_the_same_error(
        frame_bytes in 0_u8..12,
        sizes in prop::collection::vec(0_u8..6, 0..20),
        stream in line_bytes(),
    ) {
        body::run(&[&[frame_bytes, sizes.len() as u8], &sizes[..], &stream].concat());
    }

    #[test]
    fn exactly_the_limit_passes_and_one_more_does_not(
        text in prop::collection::vec(prop_oneof![Just(b'\r'), any::<u8>()], 1..40),
        terminator in prop::sample::select(&[Terminator::Lf, Terminator::CrLf][..]),
        size in 1_usize..45,
    ) {
        let mut text = text;
        text.retain(|byte| *byte != b'\n');
        // A CR before LF would belong to the terminator.
        text.push(b'x');
        let stream = [&text[..], terminator.as_bytes()].concat();
        let (lines, error) = stream::read::<Lines>(stream.chunks(size), text.len());
        prop_assert_eq!((&lines[0][..], lines.len(), error), (&text[..], 1, None));

        let limit = text.len() - 1;
        let (lines, error) = stream::read::<Lines>(stream.chunks(size), limit);
        prop_assert_eq!((lines.len(), error), (0, Some(FrameError::TooLong { limit })));
    }

    #[test]
    fn a_decoded_stream_encodes_to_itself(
        stream in prop_oneof![line_bytes(), prop::collection::vec(any::<u8>(), 0..60)],
    ) {
        let (lines, error) = stream::read::<Lines>([&stream[..]], stream.len());
        prop_assert_eq!(error, None);
        prop_assert_eq!(stream::write::<Lines>(lines), stream);
    }

    #[test]
    fn a_line_is_never_longer_than_the_limit_nor_holds_a_line_feed(
        frame_bytes in 0_usize..12,
        stream in line_bytes(),
    ) {
        let (lines, _) = stream::read::<Lines>([&stream[..]], frame_bytes);
        prop_assert!(lines.iter().all(|line| line.len() <= frame_bytes && !line.contains(&b'\n')));
    }
}

#[test]
fn a_line_keeps_what_it_was_ended_with() {
    let expected =
        [(b"a".to_vec(), Terminator::Lf), (b"b".to_vec(), Terminator::CrLf), (b"c".to_vec(), Terminator::None)];
    assert_eq!(lines(b"a\nb\r\nc"), expected);
}

#[test]
fn a_cr_inside_a_line_is_content() {
    assert_eq!(lines(b"a\rb\r\r\n"), [(b"a\rb\r".to_vec(), Terminator::CrLf)]);
}

#[test]
fn a_cr_at_the_end_of_the_input_is_content() {
    assert_eq!(lines(b"a\r"), [(b"a\r".to_vec(), Terminator::None)]);
}

#[test]
fn an_empty_line_is_a_line() {
    assert_eq!(lines(b"\n\r\n"), [(vec![], Terminator::Lf), (vec![], Terminator::CrLf)]);
}

#[test]
fn a_stream_that_ends_with_its_last_line_has_no_empty_one_behind_it() {
    assert_eq!(lines(b"a\n").len(), 1);
}

#[test]
fn an_empty_stream_has_no_line() {
    assert_eq!(lines(b""), []);
}

#[test]
fn bytes_that_are_not_utf_8_survive() {
    assert_eq!(lines(b"\xff\xc3\n"), [(b"\xff\xc3".to_vec(), Terminator::Lf)]);
}

#[test]
fn a_line_of_exactly_the_limit_may_still_end_with_crlf() {
    let (lines, error) = read_bytewise(b"hello\r\n", 5);
    assert_eq!((lines, error), (vec![Line::from("hello")], None));
}

#[test]
fn a_cr_beyond_the_limit_that_no_lf_follows_is_content_and_too_long() {
    assert_eq!(read_bytewise(b"hello\r", 5).1, Some(FrameError::TooLong { limit: 5 }));
    assert_eq!(read_bytewise(b"hello\r\r\n", 5).1, Some(FrameError::TooLong { limit: 5 }));
}

#[test]
fn a_line_is_refused_before_its_end_is_seen() {
    let (_, error) = stream::read::<Lines>([&[b'x'; 7][..]], 6);
    assert_eq!(error, Some(FrameError::TooLong { limit: 6 }));
}

#[test]
fn lines_before_one_that_is_too_long_are_delivered() {
    let (lines, error) = read_bytewise(b"one\ntwo\nthree\n", 3);
    assert_eq!(lines, [Line::from("one"), Line::from("two")]);
    assert_eq!(error, Some(FrameError::TooLong { limit: 3 }));
}

#[test]
fn a_last_line_without_an_end_is_held_to_the_limit_too() {
    assert_eq!(read_bytewise(b"four", 4), (vec![Line::from("four")], None));
    assert_eq!(read_bytewise(b"four", 3).1, Some(FrameError::TooLong { limit: 3 }));
}

/// The batches of a stream that arrives whole.
fn batches(stream: &[u8], frame_bytes: usize) -> (Vec<Vec<u8>>, Result<(), FrameError>) {
    let (mut lines, mut input, mut batches) = (Lines::default(), BytesMut::from(stream), Vec::new());
    let mut all = || {
        while let Some(batch) = lines.decode_batch(&mut input, frame_bytes)? {
            assert_eq!(batch.len(), batch.iter().count());
            batches.push(batch.into_bytes().to_vec());
        }
        Ok(())
    };
    let result = all();
    (batches, result)
}

#[test]
fn a_batch_has_64_lines_at_most_and_4_kib_unless_it_is_one_line() {
    let long = [&[b'x'; 5000][..], b"\n"].concat();
    let stream = [&b"\r\n".repeat(65), &long[..], &[b'y'; 4000], b"\n", &[b'z'; 96], b"\n", b"rest"].concat();
    let (batches, result) = batches(&stream, 5000);
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [128, 2, 5001, 4001, 97]);
    assert_eq!((&batches.concat()[..], result), (&stream[..stream.len() - 4], Ok(())));
}

#[test]
fn a_batch_ends_before_a_line_that_is_too_long() {
    let too_long = Err(FrameError::TooLong { limit: 5 });
    assert_eq!(batches(b"hello\r\nyou\nthree!\nno\n", 5), (vec![b"hello\r\nyou\n".to_vec()], too_long));
    assert_eq!(batches(b"hello\r\r\n\n", 5), (vec![], too_long));
}

#[test]
fn a_line_is_a_batch_that_ends_as_it_is_to_be_sent() {
    let batch = |line: Line| LineBatch::from(line).into_bytes();
    assert_eq!(batch(Line::from("hi")), "hi\n");
    let (lines, _) = read_bytewise(b"one\r\ntwo", 9);
    assert_eq!(batch(lines[0].clone()), "one\r\n");
    assert_eq!(batch(lines[0].clone().with_terminator(Terminator::None)), "one");
    assert_eq!(batch(lines[1].clone()), "two");
}

#[test]
fn a_line_made_from_text_ends_with_lf() {
    assert_eq!(stream::write::<Lines>(vec![Line::from("hi"), Line::from(String::from("ho"))]), b"hi\nho\n");
}

#[test]
fn a_line_is_ended_as_asked() {
    let line = Line::from("hi");
    assert_eq!(stream::write::<Lines>(vec![line.clone().with_terminator(Terminator::CrLf)]), b"hi\r\n");
    assert_eq!(stream::write::<Lines>(vec![line.with_terminator(Terminator::None)]), b"hi");
}

#[test]
fn lines_are_equal_when_their_texts_are() {
    assert_eq!(Line::from("hi"), Line::from("hi").with_terminator(Terminator::CrLf));
    assert_ne!(Line::from("hi"), Line::from("ho"));
}

#[test]
fn a_line_compares_with_strings() {
    assert_eq!(Line::from("hi"), "hi");
    assert_eq!(Line::from("hi"), *"hi");
    assert_ne!(Line::from("hi"), "hi\n");
}

#[test]
fn a_line_displays_what_is_not_utf_8_as_replacement_characters() {
    assert_eq!(Line::from(b"a\xffb".to_vec()).to_string(), "a\u{fffd}b");
}

#[test]
fn a_line_displays_within_a_width() {
    assert_eq!(format!("{:>4}|", Line::from("hi")), "  hi|");
}

#[test]
fn a_line_debugs_with_its_bytes_and_its_end() {
    assert_eq!(format!("{:?}", Line::from(b"a\xff".to_vec())), r#"Line(b"a\xff", Lf)"#);
}

#[test]
fn a_line_passes_its_text_on_without_a_copy() {
    let text = Bytes::from(vec![b'x'; 64]);
    let passed = Line::from(text.clone()).clone().into_bytes();
    assert_eq!(passed.as_ptr(), text.as_ptr());
}
