//! Length-delimited frames: a stream in any pieces gives the payloads its headers announce, and writing them gives
//! the stream back.

use crate::stream::{self, Arrival};
use switchboard_proto::{FrameError, Length};

/// Panics if `Length` breaks its contract on `data`, an [`Arrival`].
pub(crate) fn run(data: &[u8]) {
    let Some(arrival) = Arrival::parse(data) else { return };
    let (payloads, error) = stream::read::<Length>(arrival.pieces.iter().copied(), arrival.frame_bytes);
    let found: Vec<&[u8]> = payloads.iter().map(AsRef::as_ref).collect();
    assert_eq!((found, error), split(arrival.stream, arrival.frame_bytes), "{arrival:?}");

    let good = payloads.iter().map(|payload| size_of::<u32>() + payload.len()).sum();
    assert!(error.is_some() || good == arrival.stream.len());
    assert_eq!(stream::write::<Length>(payloads), arrival.stream[..good], "{arrival:?}");
}

/// What a stream means, by the shortest rule there is. It sees the whole stream at once.
fn split(mut stream: &[u8], frame_bytes: usize) -> (Vec<&[u8]>, Option<FrameError>) {
    let mut payloads = Vec::new();
    while !stream.is_empty() {
        let Some((header, behind)) = stream.split_first_chunk() else {
            return (payloads, Some(FrameError::Truncated));
        };
        let length = u32::from_be_bytes(*header) as usize;
        if length > frame_bytes {
            return (payloads, Some(FrameError::TooLong { limit: frame_bytes }));
        }
        let Some((payload, behind)) = behind.split_at_checked(length) else {
            return (payloads, Some(FrameError::Truncated));
        };
        payloads.push(payload);
        stream = behind;
    }
    (payloads, None)
}
