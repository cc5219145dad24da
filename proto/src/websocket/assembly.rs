//! Frames that are received, joined to messages: fragments, control frames between them, and what is not whole yet.

use super::header::{Header, Opcode};
use super::utf8::Utf8;
use super::{NO_CODE, WebSocketKind, WebSocketMessage};
use crate::{CloseCode, FrameError};
use bytes::{Buf as _, Bytes, BytesMut};

/// Fragments without any payload in one message: others are bounded by the bytes that they bring.
const EMPTY_FRAGMENTS: u16 = 1024;

/// Whether the frames that are received must be masked: a client's, and no others (RFC 6455 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Masking {
    Required,
    Forbidden,
}

/// What is known of the stream beyond the bytes that are still in the input.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    /// Bytes of the first frame's payload that are unmasked, and checked if they are text.
    seen: usize,
    utf8: Utf8,
    /// Nothing that follows is looked at.
    pub(super) closed: bool,
    /// The message whose last fragment has not come. Boxed, since most connections have none.
    message: Option<Box<Partial>>,
    /// What is to be done before anything else is decoded.
    pub(super) control: Option<Box<Control>>,
}

#[derive(Debug)]
struct Partial {
    kind: WebSocketKind,
    bytes: BytesMut,
    empty_fragments: u16,
}

#[derive(Debug)]
pub(super) enum Control {
    Ping(Bytes),
    Close(u16),
}

impl Assembly {
    /// Takes the next message off the front of `input`, if it is all there.
    #[inline]
    pub(super) fn decode(
        &mut self,
        input: &mut BytesMut,
        frame_bytes: usize,
        masking: Masking,
    ) -> Result<Option<WebSocketMessage>, FrameError> {
        if self.is_between()
            && let Some(header) = Header::of_whole(input, masking)
            && header.payload_bytes <= frame_bytes
        {
            return take_whole(input, &header).map(Some);
        }
        self.decode_any(input, frame_bytes, masking)
    }

    /// Whether the input begins with a frame of which nothing is known yet, and which may be a message.
    #[inline]
    pub(super) fn is_between(&self) -> bool {
        self.seen == 0 && !self.closed && self.message.is_none() && self.control.is_none()
    }

    /// As [`decode`](Self::decode), whatever comes next. Apart: most messages are one frame that has come whole, and come by the
    /// dozen.
    #[inline(never)]
    fn decode_any(
        &mut self,
        input: &mut BytesMut,
        frame_bytes: usize,
        masking: Masking,
    ) -> Result<Option<WebSocketMessage>, FrameError> {
        while self.control.is_none() {
            if self.closed {
                input.clear();
                break;
            }
            let Some(header) = Header::parse(input, masking)? else { break };
            if header.opcode.is_control() {
                if input.len() < header.bytes + header.payload_bytes {
                    break;
                }
                self.control(&header, take_frame(input, &header))?;
                continue;
            }
            let kind = self.kind_of(&header, frame_bytes)?;
            self.look(input, &header, kind)?;
            if self.seen < header.payload_bytes {
                break;
            }
            self.seen = 0;
            let payload = take_frame(input, &header);
            if let Some(message) = self.assemble(kind, payload, header.is_last)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    pub(super) fn decode_end(&mut self, input: &mut BytesMut) -> Result<Option<WebSocketMessage>, FrameError> {
        if input.is_empty() && self.message.is_none() { Ok(None) } else { Err(FrameError::Truncated) }
    }

    /// What the message is that this frame belongs to, if it may stand here and is not too long.
    fn kind_of(&self, header: &Header, frame_bytes: usize) -> Result<WebSocketKind, FrameError> {
        let (kind, before) = match (header.opcode, &self.message) {
            (Opcode::Continuation, None) => return Err(FrameError::Malformed("continuation of nothing")),
            (Opcode::Continuation, Some(message)) => (message.kind, message.bytes.len()),
            (_, Some(_)) => return Err(FrameError::Malformed("message inside another")),
            (Opcode::Text, None) => (WebSocketKind::Text, 0),
            (_, None) => (WebSocketKind::Binary, 0),
        };
        // From the header alone, before any payload is kept.
        if header.payload_bytes > frame_bytes.saturating_sub(before) {
            return Err(FrameError::TooLong { limit: frame_bytes });
        }
        Ok(kind)
    }

    /// Unmasks what has come of the first frame's payload, and fails at the first byte that is not UTF-8.
    fn look(&mut self, input: &mut BytesMut, header: &Header, kind: WebSocketKind) -> Result<(), FrameError> {
        let here = (input.len() - header.bytes).min(header.payload_bytes);
        let fresh = &mut input[header.bytes + self.seen..header.bytes + here];
        let is_ascii = header.unmask(fresh, self.seen);
        if kind == WebSocketKind::Text {
            self.utf8.check(fresh, is_ascii)?;
        }
        self.seen = here;
        Ok(())
    }

    /// Joins a whole fragment with those before it, and gives the message once it is the last.
    fn assemble(
        &mut self,
        kind: WebSocketKind,
        payload: BytesMut,
        is_last: bool,
    ) -> Result<Option<WebSocketMessage>, FrameError> {
        let is_empty = payload.is_empty();
        let bytes = match self.message.take() {
            None if is_last => payload,
            None => {
                self.message = Some(Box::new(Partial { kind, bytes: payload, empty_fragments: is_empty.into() }));
                return Ok(None);
            }
            Some(mut message) => {
                message.bytes.extend_from_slice(&payload);
                message.empty_fragments += u16::from(is_empty);
                if message.empty_fragments > EMPTY_FRAGMENTS {
                    return Err(FrameError::Malformed("too many empty fragments"));
                }
                if !is_last {
                    self.message = Some(message);
                    return Ok(None);
                }
                message.bytes
            }
        };
        self.utf8.finish()?;
        Ok(Some(WebSocketMessage { kind, bytes: bytes.freeze() }))
    }

    fn control(&mut self, header: &Header, mut payload: BytesMut) -> Result<(), FrameError> {
        header.unmask(&mut payload, 0);
        let control = match header.opcode {
            Opcode::Ping => Control::Ping(Bytes::copy_from_slice(&payload)),
            Opcode::Close => {
                self.closed = true;
                self.message = None;
                Control::Close(received_code(&payload)?)
            }
            // Whoever sends it shows that it lives, which every byte does.
            _ => return Ok(()),
        };
        self.control = Some(Box::new(control));
        Ok(())
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.bytes.len())
    }
}

/// Takes the first frame off the input, which is all there and a message.
#[inline]
fn take_whole(input: &mut BytesMut, header: &Header) -> Result<WebSocketMessage, FrameError> {
    let end = header.bytes + header.payload_bytes;
    let payload = &mut input[header.bytes..end];
    let is_ascii = header.unmask(payload, 0);
    let kind = header.kind();
    if kind == WebSocketKind::Text && !is_ascii && str::from_utf8(payload).is_err() {
        return Err(FrameError::NotUtf8);
    }
    let mut bytes = input.split_to(end).freeze();
    bytes.advance(header.bytes);
    Ok(WebSocketMessage { kind, bytes })
}

/// Takes the first frame off the input, which is all there, and gives its payload.
fn take_frame(input: &mut BytesMut, header: &Header) -> BytesMut {
    let end = header.bytes + header.payload_bytes;
    // The last one too leaves the memory where it is: once no frame is in it, the next read is.
    let mut frame = input.split_to(end);
    frame.advance(header.bytes);
    frame
}

/// The code in a close frame's payload, if it may be there (RFC 6455 §7.4, and the registry that it founded).
fn received_code(payload: &[u8]) -> Result<u16, FrameError> {
    let Some((code, text)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(NO_CODE) } else { Err(FrameError::Malformed("half a close code")) };
    };
    let code = u16::from_be_bytes(*code);
    if CloseCode::new(code).is_none() {
        return Err(FrameError::Malformed("bad close code"));
    }
    str::from_utf8(text).map_err(|_| FrameError::NotUtf8)?;
    Ok(code)
}
