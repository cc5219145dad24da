//! Bytes as they come.

use bytes::BytesMut;
use proptest::prelude::*;
use switchboard_proto::{Codec, Output, Raw};

proptest! {
    #[test]
    fn all_bytes_come_in_order_in_frames_within_the_limit(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..10),
        frame_bytes in 0_usize..20,
    ) {
        let (mut input, mut output) = (BytesMut::new(), Output::default());
        for chunk in &chunks {
            input.extend_from_slice(chunk);
            while let Some(frame) = Raw.decode(&mut input, frame_bytes).unwrap() {
                prop_assert!((1..=frame_bytes.max(1)).contains(&frame.len()));
                Raw.encode(frame, &mut output);
            }
            prop_assert!(input.is_empty());
        }
        prop_assert_eq!(Raw.decode_end(&mut input, frame_bytes), Ok(None));
        prop_assert_eq!(&output.into_bytes()[..], chunks.concat());
    }
}
