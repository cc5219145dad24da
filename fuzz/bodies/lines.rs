//! Lines: a stream in any pieces gives the lines a plain split gives, one by one or in batches, and writing them gives the stream
//! back.

use crate::stream::{self, Arrival};
use bytes::BytesMut;
use switchboard_proto::{Codec, FrameError, Line, LineBatch, Lines, Output, Terminator};

/// Panics if `Lines` breaks its contract on `data`, an [`Arrival`].
pub(crate) fn run(data: &[u8]) {
    let Some(arrival) = Arrival::parse(data) else { return };
    let (lines, error) = stream::read::<Lines>(arrival.pieces.iter().copied(), arrival.frame_bytes);
    let texts: Vec<_> = lines.iter().map(|line| (line.as_bytes(), line.terminator())).collect();
    let expected = split(arrival.stream, arrival.frame_bytes);
    assert_eq!((texts, error), expected, "{arrival:?}");

    let (batches, error) = stream::read::<Batches>(arrival.pieces.iter().copied(), arrival.frame_bytes);
    let texts: Vec<_> = batches.iter().flat_map(LineBatch::texts).collect();
    assert_eq!((texts, error), (expected.0.iter().map(|line| line.0).collect(), expected.1), "{arrival:?}");
    for batch in &batches {
        assert_eq!((batch.iter().count(), batch.texts().count()), (batch.len(), batch.len()), "{arrival:?}");
    }

    let good = lines.iter().map(wire_bytes).sum();
    assert!(error.is_some() || good == arrival.stream.len());
    assert_eq!(stream::write::<Lines>(lines), arrival.stream[..good], "{arrival:?}");
    assert_eq!(stream::write::<Batches>(batches), arrival.stream[..good], "{arrival:?}");
}

/// What a codec is that takes lines in batches.
#[derive(Default)]
struct Batches(Lines);

impl Codec for Batches {
    type Frame = LineBatch;

    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<LineBatch>, FrameError> {
        self.0.decode_batch(input, frame_bytes)
    }

    fn decode_end(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<LineBatch>, FrameError> {
        Ok(self.0.decode_end(input, frame_bytes)?.map(LineBatch::from))
    }

    fn count(batch: &LineBatch) -> usize {
        batch.len()
    }

    fn encode(&mut self, batch: LineBatch, output: &mut Output) {
        output.share(batch.into_bytes());
    }
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
