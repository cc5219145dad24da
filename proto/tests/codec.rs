//! What every codec shares: the end of input unless overridden, and the text of errors.

use bytes::BytesMut;
use switchboard_proto::{Codec, FrameError, Output};

/// A codec that overrides nothing and never finds a frame.
#[derive(Default)]
struct Patient;

impl Codec for Patient {
    type Frame = ();

    fn decode(&mut self, _: &mut BytesMut, _: usize) -> Result<Option<()>, FrameError> {
        Ok(None)
    }

    fn encode(&mut self, (): (), _: &mut Output) {}
}

#[test]
fn input_that_ends_between_frames_is_no_error() {
    assert_eq!(Patient.decode_end(&mut BytesMut::new(), 9), Ok(None));
}

#[test]
fn input_that_ends_inside_a_frame_is_truncated() {
    assert_eq!(Patient.decode_end(&mut BytesMut::from("half"), 9), Err(FrameError::Truncated));
}

#[test]
fn an_error_says_what_was_wrong_and_where_the_limit_is() {
    assert_eq!(FrameError::TooLong { limit: 9 }.to_string(), "frame is longer than 9 bytes");
    assert_eq!(FrameError::Truncated.to_string(), "input ended inside a frame");
    assert_eq!(FrameError::Malformed("no mask").to_string(), "malformed frame: no mask");
}
