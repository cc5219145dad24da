//! The contract between bytes on a stream and frames.
//!
//! A codec sees neither sockets nor time. The connection gives it what was read and hands out what it finds;
//! for sending, the codec writes into an [`Output`], which the connection's outbox owns.

use crate::{CloseReason, Output};
use bytes::{Bytes, BytesMut};

/// Turns the bytes of a stream into frames and back.
///
/// `Default` makes the state of a new connection. The same bytes must give the same frames however they are
/// split, or the same messages in them ([`count`](Self::count)).
pub trait Codec: Default + Send + 'static {
    /// What one message is.
    type Frame: Send + 'static;

    /// Stands behind a frame that is text for people, where nothing else would end its line on their screens.
    const TEXT_END: &'static [u8] = b"";

    /// Takes the next frame from the front of `input`, or `None` when more bytes are needed.
    ///
    /// `frame_bytes` is the longest payload to accept. Called again with the same bytes and more behind them, so
    /// a codec may remember how far it has looked.
    ///
    /// # Errors
    /// The bytes can never become a frame; the stream is not read again.
    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Self::Frame>, FrameError>;

    /// Takes the last frame, once the peer has finished sending and [`decode`](Self::decode) wants more.
    ///
    /// # Errors
    /// [`FrameError::Truncated`], unless overridden, if bytes are left over.
    fn decode_end(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Self::Frame>, FrameError> {
        let _ = frame_bytes;
        if input.is_empty() { Ok(None) } else { Err(FrameError::Truncated) }
    }

    /// How many of the protocol's own messages a frame is, for counters and limits: more than one if the codec makes one frame of
    /// what came together. How many that are may depend on how the bytes were split; all messages there are may not.
    #[inline]
    fn count(frame: &Self::Frame) -> usize {
        let _ = frame;
        1
    }

    /// Whether a frame with this payload comes out at the peer as one frame with this payload.
    fn carries(payload: &[u8]) -> bool {
        let _ = payload;
        true
    }

    /// What the protocol does beside its frames. Asked whenever [`decode`](Self::decode) gave `None`; what is done then comes
    /// before anything else is decoded.
    fn aside(&mut self) -> Option<Aside> {
        None
    }

    /// What tells the peer why its connection ends, behind all frames; `None` where the protocol has no words for it.
    /// `code` is the one that is due, as the protocol numbers its ends, where it is not for `reason` alone to say; `text` is for
    /// people to read.
    fn farewell(&mut self, reason: CloseReason, code: Option<u16>, text: &str) -> Option<Bytes> {
        let _ = (reason, code, text);
        None
    }

    /// Bytes of unfinished frames that the codec holds itself, beside what it leaves in the input.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Writes one frame. On one connection frames may come from several codecs, so none depends on what was written before it.
    fn encode(&mut self, frame: Self::Frame, output: &mut Output);

    /// Stands for how this codec is set to write: of two that give the same number each writes the same for a frame. Rooms write
    /// once for all members of one codec that give the same. Overridden together with [`with_settings`](Self::with_settings).
    fn settings(&self) -> u64 {
        0
    }

    /// A codec that writes as those that give `settings` do, and has received nothing.
    fn with_settings(settings: u64) -> Self {
        let _ = settings;
        Self::default()
    }

    /// A codec that writes frames as this one does and has received nothing, for who sends beside it. To be overridden where
    /// what is written depends on more than the frame and [`settings`](Self::settings): on a seed.
    fn encoder(&mut self) -> Self {
        Self::with_settings(self.settings())
    }
}

/// What a protocol does by itself, without the handler's knowledge.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Aside {
    /// These bytes are sent, behind what the handler has sent by now.
    Answer(Bytes),
    /// The peer has said that it sends no more frames; it is told this code in turn.
    Finished {
        /// As the protocol numbers its ends.
        code: u16,
    },
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The payload is longer than the limit; nothing of it is delivered.
    #[error("frame is longer than {limit} bytes")]
    TooLong {
        /// The longest payload accepted, in bytes.
        limit: usize,
    },
    /// The first frame is how another protocol begins: see [`GuardedLines`](crate::GuardedLines).
    #[error("this looks like {protocol}, which is not supported here")]
    Foreign {
        /// What it is taken for.
        protocol: &'static str,
    },
    /// The peer finished in the middle of a frame.
    #[error("input ended inside a frame")]
    Truncated,
    /// The peer finished without having said so, as it must here: it, or somebody on the way, was cut off.
    #[error("input ended without a close")]
    Unannounced,
    /// What is announced as text is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// The bytes break the codec's rules.
    #[error("malformed frame: {0}")]
    Malformed(&'static str),
}
