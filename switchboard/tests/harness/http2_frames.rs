//! Frames of HTTP/2, as a client writes them that keeps to no rules.

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A GET or a POST of `/` of http, from `x`: indexed, but for the name.
pub(crate) const GET: &[u8] = b"\x82\x84\x86\x41\x01x";
pub(crate) const POST: &[u8] = b"\x83\x84\x86\x41\x01x";

/// A frame of HTTP/2 (RFC 9113 §4.1).
pub(crate) fn http2(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn hello() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &http2(SETTINGS, 0, 0, b"")[..]].concat()
}
