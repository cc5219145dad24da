//! What stands around frames on the wire: nothing, or the chunks of an HTTP body.
//!
//! A body in chunks has an end that can be told from a connection that broke, and its frames can be shared like any others.

use bytes::Bytes;
use switchboard_proto::{CloseReason, Output};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Envelope {
    Bare,
    /// Each frame is a chunk (RFC 9112 §7.1).
    Chunks,
}

impl Envelope {
    /// Writes what `encode` does, which is one frame.
    #[inline]
    pub(crate) fn put(self, output: &mut Output, encode: impl FnOnce(&mut Output)) {
        if self == Self::Bare { encode(output) } else { Self::put_chunk(output, encode) }
    }

    #[cold]
    fn put_chunk(output: &mut Output, encode: impl FnOnce(&mut Output)) {
        let mut chunk = Output::default();
        encode(&mut chunk);
        // An empty one would end the body.
        if !chunk.is_empty() {
            output.put(format!("{:x}\r\n", chunk.len()).as_bytes());
            output.append(&mut chunk);
            output.put(b"\r\n");
        }
    }

    /// The end, behind `farewell`. A body that was cut short is given none, and the client can tell.
    pub(crate) fn end(self, farewell: Option<Bytes>, reason: CloseReason) -> Option<Bytes> {
        if self == Self::Bare {
            return farewell;
        }
        let mut output = Output::default();
        if let Some(farewell) = farewell {
            self.put(&mut output, |output| output.share(farewell));
        }
        if reason.is_ordinary() {
            output.put(b"0\r\n\r\n");
        }
        Some(output.into_bytes())
    }
}
