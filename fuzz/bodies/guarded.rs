//! Lines of people: a stream in any pieces means one thing, and unless it begins as another protocol or as telnet it means
//! what plain lines do.

use crate::stream::{self, Arrival};
use bytes::BytesMut;
use switchboard_proto::{Aside, Codec, FrameError, GuardedLines, Line, LineBatch, Lines};

/// What becomes of a stream: its lines, what is answered to it, and how it ends.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Outcome {
    pub(crate) lines: Vec<Line>,
    pub(crate) answer: Vec<u8>,
    pub(crate) error: Option<FrameError>,
}

/// Panics if `GuardedLines` breaks its promises on `data`, an [`Arrival`].
pub(crate) fn run(data: &[u8]) {
    let Some(Arrival { frame_bytes, stream, pieces }) = Arrival::parse(data) else { return };
    // With a limit of nothing, two bytes that tell TLS are too long or not by how they come.
    let frame_bytes = frame_bytes.max(1);
    for carries_bytes in [false, true] {
        let codec = || {
            let mut codec = GuardedLines::default();
            if carries_bytes {
                codec.carry_bytes();
            }
            codec
        };
        let outcome = read(codec(), pieces.iter().copied(), frame_bytes);
        let whole = read(codec(), [stream], frame_bytes);
        assert_eq!((&outcome.lines, &outcome.error), (&whole.lines, &whole.error), "{stream:?}");
        assert_eq!(read_as(decode_batch, codec(), pieces.iter().copied(), frame_bytes), outcome, "{stream:?}");
        // What came together with a line that is refused may have been answered before that was looked at.
        assert!(outcome.error.is_some() || outcome.answer == whole.answer, "{stream:?}");
        let is_telnet = !carries_bytes && matches!(stream, [255, 241..=254, ..]);
        if is_telnet {
            assert!(outcome.answer.len() <= stream.len());
            continue;
        }
        assert_eq!(outcome.answer, [0; 0]);
        let (mut lines, error) = stream::read::<Lines>([stream], frame_bytes);
        if let Some(FrameError::Foreign { .. }) = outcome.error {
            lines.truncate(outcome.lines.len());
            assert!(lines.iter().all(|line| line.is_empty()), "{stream:?}");
        } else {
            assert_eq!(outcome.error, error, "{stream:?}");
        }
        assert_eq!(outcome.lines, lines, "{stream:?}");
        if outcome.error.is_none() {
            assert_eq!(stream::write::<GuardedLines>(outcome.lines), stream);
        }
    }
}

/// Reads pieces as a connection does.
pub(crate) fn read<'a>(codec: GuardedLines, pieces: impl IntoIterator<Item = &'a [u8]>, frame_bytes: usize) -> Outcome {
    let decode = |codec: &mut GuardedLines, input: &mut BytesMut, frame_bytes| {
        Ok(codec.decode(input, frame_bytes)?.into_iter().collect())
    };
    read_as(decode, codec, pieces, frame_bytes)
}

/// The lines of the next batch; none if there is none yet.
fn decode_batch(codec: &mut GuardedLines, input: &mut BytesMut, frame_bytes: usize) -> Result<Vec<Line>, FrameError> {
    let batch = codec.decode_batch(input, frame_bytes)?;
    Ok(batch.iter().flat_map(LineBatch::texts).map(|text| text.to_vec().into()).collect())
}

/// Reads pieces as a connection does, of which `decode` takes the next lines.
fn read_as<'a>(
    decode: impl Fn(&mut GuardedLines, &mut BytesMut, usize) -> Result<Vec<Line>, FrameError>,
    mut codec: GuardedLines,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    frame_bytes: usize,
) -> Outcome {
    let (mut outcome, mut input) = (Outcome::default(), BytesMut::new());
    let mut take = |input: &mut BytesMut, is_end: bool| {
        loop {
            let lines = decode(&mut codec, input, frame_bytes)?;
            if !lines.is_empty() {
                outcome.lines.extend(lines);
            } else if let Some(Aside::Answer(answer)) = codec.aside() {
                outcome.answer.extend(answer);
            } else {
                let last = if is_end { codec.decode_end(input, frame_bytes)? } else { None };
                outcome.lines.extend(last);
                return Ok(());
            }
        }
    };
    let whole = || {
        for piece in pieces {
            input.extend_from_slice(piece);
            take(&mut input, false)?;
        }
        take(&mut input, true)
    };
    let error = whole().err();
    Outcome { error, ..outcome }
}
