//! The two to fourteen bytes before a payload (RFC 6455 §5.2).

use super::assembly::Masking;
use super::{CONTROL_BYTES, WebSocketKind, mask};
use crate::{FrameError, Output};

const LAST: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// How a message begins that is one frame.
const TEXT: u8 = LAST | Opcode::Text as u8;
const BINARY: u8 = LAST | Opcode::Binary as u8;

/// In place of a length: the next two bytes hold it, or the next eight.
const IN_TWO: u8 = 126;
const IN_EIGHT: u8 = 127;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn parse(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    pub(super) fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }
}

impl From<WebSocketKind> for Opcode {
    #[inline]
    fn from(kind: WebSocketKind) -> Self {
        match kind {
            WebSocketKind::Text => Self::Text,
            WebSocketKind::Binary => Self::Binary,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) is_last: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: Option<[u8; 4]>,
    /// Of the header itself.
    pub(super) bytes: usize,
    pub(super) payload_bytes: usize,
}

impl Header {
    /// Reads the header of a message that is one frame and all there, if that is what `input` begins with: of what is anything
    /// else [`parse`](Self::parse) says what it is. The longest lengths are left to it too.
    #[inline]
    pub(super) fn of_whole(input: &[u8], masking: Masking) -> Option<Self> {
        let (first, masked, key_bytes) = (*input.first()?, masking.bit(), masking.key_bytes());
        let opcode = match first {
            TEXT => Opcode::Text,
            BINARY => Opcode::Binary,
            _ => return None,
        };
        // A bit of the wrong side is in the length, which then is none.
        let (length_bytes, payload_bytes) = match *input.get(1)? ^ masked {
            short @ ..IN_TWO => (2, usize::from(short)),
            IN_TWO => (4, u16::from_be_bytes(*input.get(2..)?.first_chunk()?).into()),
            _ => return None,
        };
        if length_bytes == 4 && payload_bytes < IN_TWO.into() {
            return None;
        }
        let bytes = length_bytes + key_bytes;
        if input.len() < bytes + payload_bytes {
            return None;
        }
        let mask = match masking {
            Masking::Required => Some(*input.get(length_bytes..)?.first_chunk()?),
            Masking::Forbidden => None,
        };
        Some(Self { is_last: true, opcode, mask, bytes, payload_bytes })
    }

    /// Of the message that begins with it.
    #[inline]
    pub(super) fn kind(&self) -> WebSocketKind {
        if self.opcode == Opcode::Text { WebSocketKind::Text } else { WebSocketKind::Binary }
    }

    /// Unmasks the part of the payload that begins at byte `offset` of it, and says whether that is ASCII.
    #[inline]
    pub(super) fn unmask(&self, payload: &mut [u8], offset: usize) -> bool {
        match self.mask {
            Some(key) => mask::apply(payload, key, offset),
            None => payload.is_ascii(),
        }
    }

    /// Reads the header at the front of `input`, or `None` when more bytes are needed.
    pub(super) fn parse(input: &[u8], masking: Masking) -> Result<Option<Self>, FrameError> {
        let Some((&[first, second], rest)) = input.split_first_chunk() else { return Ok(None) };
        if first & RESERVED != 0 {
            return Err(FrameError::Malformed("reserved bit is set"));
        }
        let opcode = Opcode::parse(first & OPCODE).ok_or(FrameError::Malformed("reserved opcode"))?;
        let is_last = first & LAST != 0;
        if second & MASKED != masking.bit() {
            return Err(FrameError::Malformed("masked by the wrong side"));
        }
        let short = second & LENGTH;
        if opcode.is_control() && (!is_last || usize::from(short) > CONTROL_BYTES) {
            return Err(FrameError::Malformed("control frame in fragments, or of more than 125 bytes"));
        }
        let Some((length, rest)) = length(short, rest)? else { return Ok(None) };
        let mask = match (masking, rest.first_chunk::<4>()) {
            (Masking::Forbidden, _) => None,
            (Masking::Required, Some(key)) => Some(*key),
            (Masking::Required, None) => return Ok(None),
        };
        let bytes = input.len() - rest.len() + mask.map_or(0, |key| key.len());
        // More than memory can hold is more than any limit.
        let payload_bytes = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(Some(Self { is_last, opcode, mask, bytes, payload_bytes }))
    }
}

impl Masking {
    /// In the second byte of a frame.
    #[inline]
    fn bit(self) -> u8 {
        match self {
            Self::Required => MASKED,
            Self::Forbidden => 0,
        }
    }

    #[inline]
    fn key_bytes(self) -> usize {
        match self {
            Self::Required => 4,
            Self::Forbidden => 0,
        }
    }
}

/// The payload's length, and what stands behind it. The shortest form is the only one.
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, FrameError> {
    match short {
        IN_TWO => {
            let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
            let length = u16::from_be_bytes(*length).into();
            if length < u64::from(IN_TWO) {
                return Err(FrameError::Malformed("length in more bytes than it needs"));
            }
            Ok(Some((length, rest)))
        }
        IN_EIGHT => {
            let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
            let length = u64::from_be_bytes(*length);
            if length > u64::MAX / 2 {
                return Err(FrameError::Malformed("length with its top bit set"));
            }
            if length <= u16::MAX.into() {
                return Err(FrameError::Malformed("length in more bytes than it needs"));
            }
            Ok(Some((length, rest)))
        }
        short => Ok(Some((short.into(), rest))),
    }
}

/// Writes the header of a server's frame that is not fragmented.
#[inline]
pub(super) fn put_plain(output: &mut Output, opcode: Opcode, payload_bytes: usize) {
    if payload_bytes < IN_TWO.into() {
        output.put(&[LAST | opcode as u8, payload_bytes as u8]);
    } else {
        put(output, opcode, payload_bytes, None);
    }
}

/// Writes the header of any frame that is not fragmented.
#[inline(never)]
pub(super) fn put(output: &mut Output, opcode: Opcode, payload_bytes: usize, mask: Option<[u8; 4]>) {
    let mut header = [0; 14];
    let masked = if mask.is_some() { MASKED } else { 0 };
    header[0] = LAST | opcode as u8;
    let mut bytes = 2;
    if payload_bytes < IN_TWO.into() {
        header[1] = masked | payload_bytes as u8;
    } else if let Ok(length) = u16::try_from(payload_bytes) {
        header[1] = masked | IN_TWO;
        header[2..4].copy_from_slice(&length.to_be_bytes());
        bytes = 4;
    } else {
        header[1] = masked | IN_EIGHT;
        header[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
        bytes = 10;
    }
    if let Some(key) = mask {
        header[bytes..bytes + 4].copy_from_slice(&key);
        bytes += 4;
    }
    output.put(&header[..bytes]);
}
