//! WebSocket: messages in masked frames from clients, in plain ones from servers (RFC 6455).
//!
//! A server's frame is the same for everybody, so it is encoded once and shared. Control frames are not handed out as
//! frames: what they ask for is an [`Aside`]. Knows nothing of the HTTP handshake, and supports no extensions.

mod assembly;
mod batch;
mod handshake;
mod header;
mod mask;
mod message;
mod utf8;

pub use batch::WebSocketBatch;
pub use message::{WebSocketKind, WebSocketMessage};

use crate::{Aside, CloseReason, Codec, FrameError, Output};
use assembly::{Assembly, Control, Masking};
use bytes::{Bytes, BytesMut};
use header::Opcode;
use mask::Keys;

/// The longest payload of a control frame (RFC 6455 §5.5).
const CONTROL_BYTES: usize = 125;

/// A close frame without a code, which is never sent as a number (RFC 6455 §7.4.1).
const NO_CODE: u16 = 1005;

/// Asks a client for a sign of life: a ping without payload.
pub const WEBSOCKET_PING: &[u8] = &[0x89, 0];

/// The codec of a server: takes masked frames, writes plain ones.
#[derive(Debug, Default)]
pub struct WebSocket(Assembly);

impl Codec for WebSocket {
    type Frame = WebSocketMessage;

    #[inline]
    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Self::Frame>, FrameError> {
        self.0.decode(input, frame_bytes, Masking::Required)
    }

    fn decode_end(&mut self, input: &mut BytesMut, _: usize) -> Result<Option<Self::Frame>, FrameError> {
        self.0.decode_end(input)
    }

    #[inline]
    fn encode(&mut self, message: WebSocketMessage, output: &mut Output) {
        header::put_plain(output, message.kind.into(), message.bytes.len());
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
    /// Writes `prefix` and `message` as one message, which is text if both are: so that a codec around this one need
    /// not assemble the message in memory of its own first.
    #[inline]
    pub fn encode_behind(&mut self, prefix: &WebSocketMessage, message: WebSocketMessage, output: &mut Output) {
        let opcode = if prefix.kind == WebSocketKind::Text { message.kind.into() } else { Opcode::Binary };
        header::put_plain(output, opcode, prefix.bytes.len() + message.bytes.len());
        output.put(&prefix.bytes);
        output.share(message.bytes);
    }

    /// The frame that tells a client why its connection ends: `code`, or the one that `reason` stands for, and the
    /// reason's own code as text.
    pub fn close_frame(reason: CloseReason, code: Option<u16>) -> Bytes {
        control_frame(Opcode::Close, &close_payload(code.unwrap_or(close_code(reason)), reason.code()))
    }
}

/// The codec of a client: takes plain frames, writes masked ones.
///
/// The mask keys follow from a seed, set by [`seeded`](Self::seeded); the default is publicly known. They keep proxies
/// that do not know WebSocket from reading a payload as HTTP (RFC 6455 §10.3); they keep nothing secret.
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

    /// The code of the server's close frame, once that was received; 1005 if it has none.
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
