//! What is sent in both directions: text or bytes.

use super::utf8;
use bytes::Bytes;
use std::ops::Deref;

/// The kind of a message: browsers deliver text as a string, and binary as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WebSocketKind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// One message, however it was fragmented. Cloning copies no payload.
///
/// A message made from bytes is text if they are UTF-8, else binary. It dereferences to its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketMessage {
    pub(super) kind: WebSocketKind,
    pub(super) bytes: Bytes,
}

impl WebSocketMessage {
    /// A binary message, even if the bytes are UTF-8.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self { kind: WebSocketKind::Binary, bytes: bytes.into() }
    }

    /// What it is.
    #[inline]
    pub fn kind(&self) -> WebSocketKind {
        self.kind
    }

    /// The payload, without a copy.
    #[inline]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl Deref for WebSocketMessage {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for WebSocketMessage {
    #[inline]
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
