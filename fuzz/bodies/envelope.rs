//! Bytes from a log are an envelope or are refused, and there is one way to write each.

use switchboard::log::replica::{ENVELOPE_ENTRIES, FORMAT, LogEnvelope, Tail};

/// Panics if the bytes behind the first, which says whether they begin with a known format, are read as what is written otherwise.
pub(crate) fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let bytes = if kind % 2 == 0 { rest.to_vec() } else { [&[FORMAT], rest].concat() };
    if let Ok(envelope) = LogEnvelope::parse(&bytes) {
        assert!(envelope.entries.len() <= ENVELOPE_ENTRIES && envelope.last() + 1 >= envelope.first);
        // What is published behind it has numbers too.
        assert!(envelope.last() < u64::MAX / 2);
        assert_eq!(&envelope.encode()[..], &bytes[..]);
    }
    if let Ok(tail) = Tail::parse(&bytes) {
        assert_eq!(&tail.encode()[..], &bytes[..]);
    }
}
