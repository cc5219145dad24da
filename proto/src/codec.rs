//! The contract between bytes on a stream and frames.
//!
//! A codec sees neither sockets nor time. The connection gives it what was read and hands out the frames that it finds;
//! to send, the codec writes into an [`Output`], which the connection's outbox owns.

use crate::{CloseReason, Output};
use bytes::{Bytes, BytesMut};

/// Turns the bytes of a stream into frames and back.
///
/// `Default` is the state of a new connection. The same bytes must give the same frames however they are split, or at
/// least the same messages in them ([`count`](Self::count)). It is `Sync` so that a connection is, which handlers lend to async
/// functions; it is never called by two threads at once.
pub trait Codec: Default + Send + Sync + 'static {
    /// What one message is.
    type Frame: Send + 'static;

    /// Appended to a frame that is text for people, if nothing else would end its line on their screens.
    const TEXT_END: &'static [u8] = b"";

    /// What an answer over HTTP is that is streamed in this codec, where that is always the same: its `Content-Type`, unless its head has
    /// one.
    const MEDIA_TYPE: Option<&'static str> = None;

    /// Takes the next frame from the front of `input`, or `None` when more bytes are needed.
    ///
    /// `frame_bytes` is the longest payload to accept. Refuse a longer one by [`FrameError::if_longer`] as soon as its
    /// length is known, not once all of it is there. If a codec still wants more when it has been given four times the
    /// limit and 4 KiB, its peer is refused as if the codec had done so.
    ///
    /// It is called again with the same bytes and more after them, so a codec may remember how far it has looked.
    ///
    /// # Errors
    /// The bytes can never become a frame; the stream is not read again.
    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Self::Frame>, FrameError>;

    /// Takes the last frame, once the peer has finished sending and [`decode`](Self::decode) needs more bytes.
    ///
    /// # Errors
    /// [`FrameError::Truncated`], unless overridden, if bytes are left over.
    fn decode_end(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Self::Frame>, FrameError> {
        let _ = frame_bytes;
        if input.is_empty() { Ok(None) } else { Err(FrameError::Truncated) }
    }

    /// How many of the protocol's own messages a frame is, for counters and limits: more than one if the codec makes
    /// one frame of messages that arrived together. The number in one frame may depend on how the bytes were split; the
    /// total number of messages must not.
    #[inline]
    fn count(frame: &Self::Frame) -> usize {
        let _ = frame;
        1
    }

    /// Whether the peer gets a frame with this payload as one frame with the same payload.
    fn carries(payload: &[u8]) -> bool {
        let _ = payload;
        true
    }

    /// What the protocol does besides frames. Called whenever [`decode`](Self::decode) has given `None`; the result is
    /// acted on before anything else is decoded.
    fn aside(&mut self) -> Option<Aside> {
        None
    }

    /// What tells the peer, after all frames, why its connection ends; `None` if the protocol cannot express it. `code`
    /// is the protocol's own close code, if one other than that for `reason` is called for; `text` is for people to
    /// read.
    fn farewell(&mut self, reason: CloseReason, code: Option<u16>, text: &str) -> Option<Bytes> {
        let _ = (reason, code, text);
        None
    }

    /// Bytes of unfinished frames that the codec holds itself, besides what it leaves in the input.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Writes one frame. Several codecs may write on one connection, so a frame must not depend on what was written
    /// before it.
    fn encode(&mut self, frame: Self::Frame, output: &mut Output);

    /// Identifies the settings by which this codec writes: two codecs with the same number write the same bytes for a
    /// frame. Rooms encode once for all members whose codec has the same type and number. Override it together with
    /// [`with_settings`](Self::with_settings).
    fn settings(&self) -> u64 {
        0
    }

    /// A codec that writes like those with these `settings`, and has received nothing.
    fn with_settings(settings: u64) -> Self {
        let _ = settings;
        Self::default()
    }

    /// A codec that writes frames like this one and has received nothing, for senders beside it. Override it if what is
    /// written depends on more than the frame and [`settings`](Self::settings), such as a seed.
    fn encoder(&mut self) -> Self {
        Self::with_settings(self.settings())
    }
}

/// What a protocol does by itself, without the handler.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Aside {
    /// Send these bytes, after what the handler has sent so far.
    Answer(Bytes),
    /// The peer has said that it sends no more frames; it is sent this code in return.
    Finished {
        /// The protocol's close code.
        code: u16,
    },
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The payload is longer than the limit; none of it is delivered.
    #[error("frame is longer than {limit} bytes")]
    TooLong {
        /// The longest payload accepted, in bytes.
        limit: usize,
    },
    /// The first frame looks like the beginning of another protocol: see [`GuardedLines`](crate::GuardedLines).
    #[error("this looks like {protocol}, which is not supported here")]
    Foreign {
        /// What it is taken for.
        protocol: &'static str,
    },
    /// The peer finished in the middle of a frame.
    #[error("input ended inside a frame")]
    Truncated,
    /// The peer finished without announcing it, as this protocol requires: the peer, or something on the way, cut the
    /// connection.
    #[error("input ended without a close")]
    Unannounced,
    /// What was announced as text is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// The bytes break the codec's rules.
    #[error("malformed frame: {0}")]
    Malformed(&'static str),
}

impl FrameError {
    /// [`TooLong`](Self::TooLong) if a payload of `length` bytes is longer than `limit`: what
    /// [`Codec::decode`](crate::Codec::decode) asks for the length that is announced, or for what has come of a payload whose end is
    /// still missing.
    ///
    /// # Errors
    /// If it is.
    ///
    /// # Examples
    /// ```
    /// use switchboard_proto::FrameError;
    ///
    /// fn decode(input: &[u8], frame_bytes: usize) -> Result<Option<&[u8]>, FrameError> {
    ///     let Some((length, rest)) = input.split_first() else { return Ok(None) };
    ///     FrameError::if_longer(usize::from(*length), frame_bytes)?;
    ///     Ok(rest.get(..usize::from(*length)))
    /// }
    /// assert_eq!(decode(b"\x02hi", 5), Ok(Some(&b"hi"[..])));
    /// assert_eq!(decode(b"\x09", 5), Err(FrameError::TooLong { limit: 5 }));
    /// ```
    pub fn if_longer(length: usize, limit: usize) -> Result<(), Self> {
        if length > limit { Err(Self::TooLong { limit }) } else { Ok(()) }
    }
}
