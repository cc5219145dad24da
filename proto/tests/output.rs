//! Encoded bytes on their way out.

use crate::corpus::output as body;
use bytes::Bytes;
use proptest::prelude::*;
use std::io::IoSlice;
use switchboard_proto::Output;

/// A payload large enough to be kept by reference.
const LARGE: usize = 4096;

fn filled(output: &Output) -> usize {
    let mut slices = [IoSlice::new(&[]); 16];
    output.slices(&mut slices)
}

proptest! {
    // The model, and how two bytes make a step, are in the body. Clearing is rare, so that queues grow.
    #[test]
    fn whatever_is_done_it_holds_what_a_plain_vector_would(
        steps in prop::collection::vec(
            (
                prop_oneof![20 => b'0'..b'7', 1 => Just(b'7'), 3 => Just(b'8'), 3 => Just(b'9')],
                prop_oneof![any::<u8>(), 0_u8..4, Just(255_u8)],
            ),
            0..60,
        ),
    ) {
        let data: Vec<u8> = steps.into_iter().flat_map(|(which, amount)| [which, amount]).collect();
        body::run(&data);
    }
}

#[test]
fn many_small_pieces_leave_as_one_slice() {
    let mut output = Output::default();
    for _ in 0..100 {
        output.put(b"small");
        output.share(Bytes::from_static(b"small too"));
    }
    assert_eq!(filled(&output), 1);
    assert_eq!(output.front().len(), output.len());
}

#[test]
fn a_large_piece_is_not_copied() {
    let piece = Bytes::from(vec![b'x'; LARGE]);
    let mut output = Output::default();
    output.share(piece.clone());
    assert_eq!(output.front().as_ptr(), piece.as_ptr());
}

#[test]
fn a_small_piece_does_not_hold_the_memory_it_came_from() {
    let read = Bytes::from(vec![b'x'; LARGE]);
    let mut output = Output::default();
    output.share(read.slice(..9));
    assert!(read.is_unique());
}

#[test]
fn no_more_slices_are_filled_than_given() {
    let mut output = Output::default();
    for _ in 0..5 {
        output.share(Bytes::from(vec![b'x'; LARGE]));
    }
    let mut slices = [IoSlice::new(&[]); 3];
    assert_eq!(output.slices(&mut slices), 3);
    assert_eq!(output.slices(&mut []), 0);
}

#[test]
fn a_written_piece_is_given_back_while_others_wait() {
    let piece = Bytes::from(vec![b'x'; LARGE]);
    let mut output = Output::default();
    output.share(piece.clone());
    output.put(b"behind it");
    output.advance(LARGE - 1);
    assert!(!piece.is_unique());
    output.advance(1);
    assert!(piece.is_unique());
}

#[test]
fn a_piece_that_is_cut_off_is_given_back() {
    let piece = Bytes::from(vec![b'x'; LARGE]);
    let mut output = Output::default();
    output.put(b"before it");
    let length = output.len();
    output.share(piece.clone());
    output.truncate(length);
    assert!(piece.is_unique());
}

#[test]
fn clear_gives_everything_back() {
    let piece = Bytes::from(vec![b'x'; LARGE]);
    let mut output = Output::default();
    output.share(piece.clone());
    output.put(b"behind it");
    output.clear();
    assert!(piece.is_unique());
    assert!(output.is_empty());
}

#[test]
fn an_encoder_that_failed_leaves_no_trace() {
    let mut output = Output::default();
    output.put(b"whole");
    let length = output.len();
    output.put(b"half of a fr");
    output.truncate(length);
    output.put(b" again");
    assert_eq!(output.front(), b"whole again");
}

#[test]
fn what_is_appended_stands_behind_what_was_there() {
    let (mut output, mut staged) = (Output::default(), Output::default());
    output.put(b"before, ");
    staged.put(b"staged");
    output.append(&mut staged);
    assert_eq!(output.front(), b"before, staged");
    assert!(staged.is_empty());
}

#[test]
fn appending_does_not_copy_a_large_piece() {
    let piece = Bytes::from(vec![b'x'; LARGE]);
    let (mut output, mut staged) = (Output::default(), Output::default());
    staged.share(piece.clone());
    output.append(&mut staged);
    assert_eq!(output.front().as_ptr(), piece.as_ptr());
}

#[test]
#[should_panic(expected = "more written than queued")]
fn more_cannot_be_written_than_is_queued() {
    let mut output = Output::default();
    output.put(b"four");
    output.advance(5);
}

#[test]
#[should_panic(expected = "grows only at its end")]
fn it_cannot_be_cut_to_more_than_it_holds() {
    Output::default().truncate(1);
}
