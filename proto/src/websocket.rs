//! WebSocket: messages in masked frames from clients, in plain ones from servers (RFC 6455).
//!
//! A server's frame is the same for everybody, so that it is encoded once and shared. Control frames never come out as
//! frames: what they ask for is an [`Aside`]. Knows nothing of the HTTP handshake; no extension is understood.

mod handshake;
mod header;
mod mask;
mod utf8;

use crate::{Aside, CloseCode, CloseReason, Codec, FrameError, Output};
use bytes::{Bytes, BytesMut};
use header::{Header, Opcode};
use mask::Keys;
use std::ops::Deref;
use utf8::Utf8;

/// Fragments without any payload in one message: others are bounded by the bytes that they bring.
const EMPTY_FRAGMENTS: u16 = 1024;

/// The longest payload of a control frame (RFC 6455 §5.5).
const CONTROL_BYTES: usize = 125;

/// A close frame without a code, which is never sent as a number (RFC 6455 §7.4.1).
const NO_CODE: u16 = 1005;

/// What asks a client for a sign of life: a ping without payload.
pub const WEBSOCKET_PING: &[u8] = &[0x89, 0];

/// The codec of a server: takes masked frames, writes plain ones.
#[derive(Debug, Default)]
pub struct WebSocket(Assembly);

impl Codec for WebSocket {
    type Frame = WebSocketMessage;

    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Self::Frame>, FrameError> {
        self.0.decode(input, frame_bytes, Masking::Required)
    }

    fn decode_end(&mut self, input: &mut BytesMut, _: usize) -> Result<Option<Self::Frame>, FrameError> {
        self.0.decode_end(input)
    }

    fn encode(&mut self, message: WebSocketMessage, output: &mut Output) {
        header::put(output, message.kind.into(), message.bytes.len(), None);
        output.share(message.bytes);
    }

    fn aside(&mut self) -> Option<Aside> {
        match *self.0.control.take()? {
            Control::Ping(payload) => Some(Aside::Answer(control_frame(Opcode::Pong, &payload))),
            Control::Close(code) => Some(Aside::Finished { code }),
        }
    }

    fn farewell(&mut self, reason: CloseReason, code: Option<u16>, text: &str) -> Option<Bytes> {
        Some(control_frame(Opcode::Close, &close_payload(code.unwrap_or(close_code(reason)), text)))
    }

    fn held_bytes(&self) -> usize {
        self.0.held_bytes()
    }
}

impl WebSocket {
    /// The frame that tells a client why its connection ends: `code`, or the one that `reason` stands for, and the
    /// reason's own code as text.
    pub fn close_frame(reason: CloseReason, code: Option<u16>) -> Bytes {
        control_frame(Opcode::Close, &close_payload(code.unwrap_or(close_code(reason)), reason.code()))
    }
}

/// The codec of a client: takes plain frames, writes masked ones.
///
/// The keys of masks follow from a seed, which [`seeded`](Self::seeded) takes; by default everybody knows it. They keep
/// proxies that know no WebSocket from reading a payload as HTTP (RFC 6455 §10.3), and keep nothing secret.
#[derive(Debug, Default)]
pub struct WebSocketClient {
    assembly: Assembly,
    keys: Keys,
    closed_with: Option<u16>,
}

impl WebSocketClient {
    /// Masks with keys that follow from `seed`, a random one.
    pub fn seeded(seed: [u8; 16]) -> Self {
        Self { keys: Keys::seeded(seed), ..Self::default() }
    }

    /// The code of the server's close frame, once that has been received: 1005 if it has none.
    pub fn closed_with(&self) -> Option<u16> {
        self.closed_with
    }

    /// The frame that says that nothing more will be sent, with a code of RFC 6455 §7.4 and at most 123 bytes of text.
    pub fn close_frame(&mut self, code: u16, text: &str) -> Bytes {
        self.masked(Opcode::Close, &close_payload(code, text))
    }

    fn masked(&mut self, opcode: Opcode, payload: &[u8]) -> Bytes {
        let mut output = Output::default();
        self.put_masked(opcode, payload, &mut output);
        output.into_bytes()
    }

    fn put_masked(&mut self, opcode: Opcode, payload: &[u8], output: &mut Output) {
        let key = self.keys.next_key();
        header::put(output, opcode, payload.len(), Some(key));
        let mut masked = payload.to_vec();
        mask::apply(&mut masked, key, 0);
        output.share(masked.into());
    }
}

impl Codec for WebSocketClient {
    type Frame = WebSocketMessage;

    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Self::Frame>, FrameError> {
        self.assembly.decode(input, frame_bytes, Masking::Forbidden)
    }

    /// A server says that it finishes (RFC 6455 §7.1.5, code 1006).
    fn decode_end(&mut self, input: &mut BytesMut, _: usize) -> Result<Option<Self::Frame>, FrameError> {
        match self.assembly.decode_end(input)? {
            None if !self.assembly.closed => Err(FrameError::Unannounced),
            end => Ok(end),
        }
    }

    fn encode(&mut self, message: WebSocketMessage, output: &mut Output) {
        self.put_masked(message.kind.into(), &message.bytes, output);
    }

    /// Its keys follow from the next ones of this one's.
    fn encoder(&mut self) -> Self {
        let mut seed = [0; 16];
        for part in seed.chunks_exact_mut(4) {
            part.copy_from_slice(&self.keys.next_key());
        }
        Self::seeded(seed)
    }

    fn aside(&mut self) -> Option<Aside> {
        match *self.assembly.control.take()? {
            Control::Ping(payload) => Some(Aside::Answer(self.masked(Opcode::Pong, &payload))),
            Control::Close(code) => {
                self.closed_with = Some(code);
                Some(Aside::Finished { code })
            }
        }
    }

    fn farewell(&mut self, reason: CloseReason, code: Option<u16>, text: &str) -> Option<Bytes> {
        Some(self.close_frame(code.unwrap_or(close_code(reason)), text))
    }

    fn held_bytes(&self) -> usize {
        self.assembly.held_bytes()
    }
}

/// What a message is: browsers hand out a string for text, and bytes for binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WebSocketKind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// One message, whatever fragments it came in. Cloning copies no payload.
///
/// Made from bytes it is text if they are UTF-8, else binary. It dereferences to its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketMessage {
    kind: WebSocketKind,
    bytes: Bytes,
}

impl WebSocketMessage {
    /// A binary message, also if it were text.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self { kind: WebSocketKind::Binary, bytes: bytes.into() }
    }

    /// What it is.
    pub fn kind(&self) -> WebSocketKind {
        self.kind
    }

    /// The same behind `prefix`. Text stays text unless the prefix is none, and is not checked again.
    pub fn prefixed(&self, prefix: &[u8]) -> Self {
        let is_text = self.kind == WebSocketKind::Text && utf8::is_text(prefix);
        let kind = if is_text { WebSocketKind::Text } else { WebSocketKind::Binary };
        let mut bytes = Vec::with_capacity(prefix.len() + self.bytes.len());
        bytes.extend_from_slice(prefix);
        bytes.extend_from_slice(&self.bytes);
        Self { kind, bytes: bytes.into() }
    }

    /// The payload, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl Deref for WebSocketMessage {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for WebSocketMessage {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Bytes> for WebSocketMessage {
    fn from(bytes: Bytes) -> Self {
        let kind = if utf8::is_text(&bytes) { WebSocketKind::Text } else { WebSocketKind::Binary };
        Self { kind, bytes }
    }
}

impl From<String> for WebSocketMessage {
    fn from(text: String) -> Self {
        Self { kind: WebSocketKind::Text, bytes: text.into() }
    }
}

impl From<&str> for WebSocketMessage {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<WebSocketMessage> for Bytes {
    fn from(message: WebSocketMessage) -> Self {
        message.bytes
    }
}

/// Whether the frames that are received must be masked: a client's, and no others (RFC 6455 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Masking {
    Required,
    Forbidden,
}

/// What is known of the stream beyond the bytes that are still in the input.
#[derive(Debug, Default)]
struct Assembly {
    /// Bytes of the first frame's payload that are unmasked, and checked if they are text.
    seen: usize,
    utf8: Utf8,
    /// Nothing that follows is looked at.
    closed: bool,
    /// The message whose last fragment has not come. Boxed, since most connections have none.
    message: Option<Box<Partial>>,
    /// What is to be done before anything else is decoded.
    control: Option<Box<Control>>,
}

#[derive(Debug)]
struct Partial {
    kind: WebSocketKind,
    bytes: BytesMut,
    empty_fragments: u16,
}

#[derive(Debug)]
enum Control {
    Ping(Bytes),
    Close(u16),
}

impl Assembly {
    fn decode(
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

    fn decode_end(&mut self, input: &mut BytesMut) -> Result<Option<WebSocketMessage>, FrameError> {
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
        if let Some(key) = header.mask {
            mask::apply(fresh, key, self.seen);
        }
        if kind == WebSocketKind::Text {
            self.utf8.check(fresh)?;
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
        if let Some(key) = header.mask {
            mask::apply(&mut payload, key, 0);
        }
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

    fn held_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.bytes.len())
    }
}

/// Takes the first frame off the input, which is all there, and gives its payload.
fn take_frame(input: &mut BytesMut, header: &Header) -> BytesMut {
    let end = header.bytes + header.payload_bytes;
    // The last one too leaves the memory where it is: once no frame is in it, the next read is.
    let mut frame = input.split_to(end);
    bytes::Buf::advance(&mut frame, header.bytes);
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

fn close_payload(code: u16, text: &str) -> Vec<u8> {
    if code == NO_CODE {
        return Vec::new();
    }
    let mut payload = code.to_be_bytes().to_vec();
    let text = &text[..text.floor_char_boundary(CONTROL_BYTES - payload.len())];
    payload.extend_from_slice(text.as_bytes());
    payload
}

fn control_frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut output = Output::default();
    header::put(&mut output, opcode, payload.len(), None);
    output.put(payload);
    output.into_bytes()
}

impl FrameError {
    /// The code of RFC 6455 §7.4 for it.
    pub fn close_code(&self) -> u16 {
        match self {
            Self::TooLong { .. } => 1009,
            Self::NotUtf8 => 1007,
            Self::Truncated | Self::Unannounced | Self::Malformed(_) | Self::Foreign { .. } => 1002,
        }
    }
}

/// The code that stands for a close reason, where no better one is known.
fn close_code(reason: CloseReason) -> u16 {
    match reason {
        CloseReason::PeerClosed | CloseReason::Finished => 1000,
        CloseReason::Aborted => 1001,
        CloseReason::BadFrame => 1002,
        CloseReason::FrameTooLong => 1009,
        CloseReason::HandlerError | CloseReason::HandlerPanic => 1011,
        // Service restart: whoever comes back does so after a random time (the registry of RFC 6455 §11.7).
        CloseReason::Drained => 1012,
        CloseReason::OutOfMemory | CloseReason::TooManyConnections | CloseReason::TooManyFromAddress => 1013,
        // A policy of ours, which the text names: idle, slow-consumer, closed …
        _ => 1008,
    }
}
