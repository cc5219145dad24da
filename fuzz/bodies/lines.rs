//! Lines: a stream in any pieces gives the lines a plain split gives, and writing them gives the stream back.

use crate::stream::{self, Arrival};
use switchboard_proto::{FrameError, Line, Lines, Terminator};

/// Panics if `Lines` breaks its contract on `data`, an [`Arrival`].
pub(crate) fn run(data: &[u8]) {
    let Some(arrival) = Arrival::parse(data) else { return };
    let (lines, error) = stream::read::<Lines>(arrival.pieces.iter().copied(), arrival.frame_bytes);
    let texts: Vec<_> = lines.iter().map(|line| (line.as_bytes(), line.terminator())).collect();
    let expected = split(arrival.stream, arrival.frame_bytes);
    assert_eq!((texts, error), expected, "{arrival:?}");

    let good = lines.iter().map(wire_bytes).sum();
    assert!(error.is_some() || good == arrival.stream.len());
    assert_eq!(stream::write::<Lines>(lines), arrival.stream[..good], "{arrival:?}");
}

/// What a stream means, by the shortest rule there is. It sees the whole stream at once.
fn split(stream: &[u8], frame_bytes: usize) -> (Vec<(&[u8], Terminator)>, Option<FrameError>) {
    let mut lines = Vec::new();
    for line in stream.split_inclusive(|byte| *byte == b'\n') {
        let (text, terminator) = match line {
            [text @ .., b'\r', b'\n'] => (text, Terminator::CrLf),
            [text @ .., b'\n'] => (text, Terminator::Lf),
            text => (text, Terminator::None),
        };
        if text.len() > frame_bytes {
            return (lines, Some(FrameError::TooLong { limit: frame_bytes }));
        }
        lines.push((text, terminator));
    }
    (lines, None)
}

fn wire_bytes(line: &Line) -> usize {
    line.len() + line.terminator().as_bytes().len()
}
