//! Messages that arrived together, as one frame: for a codec that treats all messages alike, so that a short one costs
//! little more than copying it.

use super::assembly::Masking;
use super::header::{self, Header, Opcode};
use super::{WebSocket, WebSocketKind, WebSocketMessage};
use crate::output::SHARE_BYTES;
use crate::{Codec as _, FrameError, Output};
use bytes::{Bytes, BytesMut};

/// Of the input, what one batch is made of, as far as its messages are that short.
const BATCH_BYTES: usize = 4 << 10;

/// Messages in one batch: with more, the bounds of an outbox, which takes a batch whole, would mean less.
const BATCH_MESSAGES: usize = 64;

/// Messages that arrived together: at least one, and at most 64. A long one is by itself.
#[derive(Debug, Clone)]
pub struct WebSocketBatch(Messages);

#[derive(Debug, Clone)]
enum Messages {
    /// Frames as they arrived, but unmasked, each of which is a message that an output copies.
    Short {
        frames: Bytes,
        count: usize,
    },
    One(WebSocketMessage),
}

impl WebSocketBatch {
    /// How many messages they are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    #[inline]
    pub fn len(&self) -> usize {
        match self.0 {
            Messages::Short { count, .. } => count,
            Messages::One(_) => 1,
        }
    }

    /// Each message: its kind and its payload.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (WebSocketKind, &[u8])> {
        let (mut one, mut rest) = match &self.0 {
            Messages::Short { frames, .. } => (None, &frames[..]),
            Messages::One(message) => (Some((message.kind, &message.bytes[..])), &[][..]),
        };
        std::iter::from_fn(move || one.take().or_else(|| next(&mut rest)))
    }
}

/// The next message of `frames`.
#[inline]
fn next<'a>(frames: &mut &'a [u8]) -> Option<(WebSocketKind, &'a [u8])> {
    let header = Header::of_whole(frames, Masking::Required)?;
    let frame = frames.split_off(..header.bytes + header.payload_bytes)?;
    Some((header.kind(), &frame[header.bytes..]))
}

impl From<WebSocketMessage> for WebSocketBatch {
    fn from(message: WebSocketMessage) -> Self {
        Self(Messages::One(message))
    }
}

impl WebSocket {
    /// Like [`Codec::decode`](crate::Codec::decode), but also takes the messages after the first, as long as each is one
    /// short frame.
    ///
    /// # Errors
    /// The next frame is not one, or too long.
    #[inline]
    pub fn decode_batch(
        &mut self,
        input: &mut BytesMut,
        frame_bytes: usize,
    ) -> Result<Option<WebSocketBatch>, FrameError> {
        if self.0.is_between() {
            let (end, count) = unmask_short(input, frame_bytes);
            if count > 0 {
                return Ok(Some(WebSocketBatch(Messages::Short { frames: input.split_to(end).freeze(), count })));
            }
        }
        Ok(self.decode(input, frame_bytes)?.map(WebSocketBatch::from))
    }

    /// Writes each message of `batch`, behind `prefix` if there is one, as
    /// [`encode_behind`](Self::encode_behind) writes one.
    #[inline]
    pub fn encode_batch(&mut self, prefix: Option<&WebSocketMessage>, batch: WebSocketBatch, output: &mut Output) {
        let before = prefix.map_or(&[][..], |prefix| prefix);
        // Of which kind they are at most.
        let kind = prefix.map_or(WebSocketKind::Text, WebSocketMessage::kind);
        match (batch.0, prefix) {
            (Messages::Short { frames, .. }, _) => {
                let mut frames = &frames[..];
                while let Some((own, payload)) = next(&mut frames) {
                    let opcode = if kind == WebSocketKind::Text { own.into() } else { Opcode::Binary };
                    header::put_plain(output, opcode, before.len() + payload.len());
                    output.put(before);
                    output.put(payload);
                }
            }
            (Messages::One(message), Some(prefix)) => self.encode_behind(prefix, message, output),
            (Messages::One(message), None) => self.encode(message, output),
        }
    }
}

/// Unmasks the messages that `input` begins with, as many as make a batch: up to which byte, and how many.
#[inline]
fn unmask_short(input: &mut [u8], frame_bytes: usize) -> (usize, usize) {
    let most = frame_bytes.min(SHARE_BYTES - 1);
    let (mut end, mut count) = (0, 0);
    while count < BATCH_MESSAGES && end < BATCH_BYTES {
        let frame = &mut input[end..];
        let Some(header) = Header::of_whole(frame, Masking::Required).filter(|header| header.payload_bytes <= most)
        else {
            break;
        };
        let payload = &mut frame[header.bytes..header.bytes + header.payload_bytes];
        let is_ascii = header.unmask(payload, 0);
        if header.opcode == Opcode::Text && !is_ascii && str::from_utf8(payload).is_err() {
            // As it came, for when it is the first and refused.
            header.unmask(payload, 0);
            break;
        }
        end += header.bytes + header.payload_bytes;
        count += 1;
    }
    (end, count)
}
