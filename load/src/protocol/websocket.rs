//! WebSocket from a client's side: the upgrade, masked frames out, plain frames in. Messages in fragments are not understood.

use super::{Step, shown};
use crate::typed::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use sha1::{Digest as _, Sha1};

/// What a server joins to the key (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A longer answer to an upgrade is not one.
const HEAD_BYTES: usize = 16 << 10;

/// The upgrade of one connection.
#[derive(Debug)]
pub(crate) struct Handshake {
    key: String,
}

impl Handshake {
    pub(crate) fn new(nonce: u128) -> Self {
        Self { key: STANDARD.encode(nonce.to_be_bytes()) }
    }

    pub(crate) fn request(&self, host: &str, path: &str, token: Option<&Secret>) -> String {
        let token = token.map(|token| format!("Authorization: Bearer {}\r\n", token.expose()));
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n{}\r\n",
            self.key,
            token.unwrap_or_default()
        )
    }

    /// How long the server's answer is, once it has come; what is wrong with it otherwise.
    pub(crate) fn answered(&self, input: &[u8]) -> Result<Option<usize>, String> {
        let Some(end) = memmem::find(input, b"\r\n\r\n") else {
            return if input.len() > HEAD_BYTES { Err("no answer to the upgrade".to_owned()) } else { Ok(None) };
        };
        let head = String::from_utf8_lossy(&input[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        if status.split(' ').nth(1) != Some("101") {
            return Err(format!("WebSocket refused: {}", shown(status.as_bytes())));
        }
        let fields = lines.filter_map(|line| line.split_once(':'));
        let accept =
            fields.filter(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Accept")).map(|(_, value)| value.trim());
        let expected = STANDARD.encode(Sha1::new().chain_update(&self.key).chain_update(GUID).finalize());
        if accept.last() == Some(&expected) {
            Ok(Some(end + 4))
        } else {
            Err("Sec-WebSocket-Accept is wrong".to_owned())
        }
    }
}

/// The key that a connection masks its frames with. A server only undoes it, so that one will do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mask([u8; 4]);

impl Mask {
    pub(crate) fn new(key: u32) -> Self {
        Self(key.to_be_bytes())
    }

    /// Writes a message whose payload of `size` bytes `put` adds: a text, which every server takes.
    pub(super) fn frame(self, size: usize, output: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
        output.push(0x81);
        match u16::try_from(size) {
            Ok(short @ 0..126) => output.push(0x80 | short as u8),
            Ok(medium) => {
                output.push(0xfe);
                output.extend_from_slice(&medium.to_be_bytes());
            }
            Err(_) => {
                output.push(0xff);
                output.extend_from_slice(&(size as u64).to_be_bytes());
            }
        }
        output.extend_from_slice(&self.0);
        let start = output.len();
        put(output);
        let (words, rest) = output[start..].as_chunks_mut::<4>();
        for word in words {
            *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(self.0)).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(self.0) {
            *byte ^= key;
        }
    }
}

pub(super) fn step(input: &[u8]) -> Step<'_> {
    let [first, second, ..] = input else { return Step::Incomplete };
    let (head, length) = match second & 0x7f {
        126 => match input.get(2..4) {
            Some(length) => (4, length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))),
            None => return Step::Incomplete,
        },
        127 => match input.get(2..10) {
            Some(length) => (10, length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))),
            None => return Step::Incomplete,
        },
        short => (2, usize::from(short)),
    };
    if second & 0x80 != 0 || length > super::FRAME_BYTES {
        return Step::Complaint { text: "not a frame from a WebSocket server".to_owned(), used: input.len() };
    }
    let used = head + length;
    let Some(payload) = input.get(head..used) else { return Step::Incomplete };
    match first {
        0x81 | 0x82 => Step::Message { text: payload, used },
        // A key of zero leaves the payload as it is, which is at most 125 bytes.
        0x89 => Step::Answer { answer: [&[0x8a, 0x80 | length as u8, 0, 0, 0, 0], payload].concat(), used },
        0x8a => Step::Other { used },
        0x88 => Step::Complaint { text: closed(payload), used },
        _ => Step::Complaint { text: "a message in fragments".to_owned(), used },
    }
}

fn closed(payload: &[u8]) -> String {
    match payload {
        [high, low, text @ ..] => format!("closed: {} {}", u16::from_be_bytes([*high, *low]), shown(text)),
        _ => "closed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_needs_101_and_the_right_key() {
        // The example of RFC 6455 §1.3.
        let handshake = Handshake { key: "dGhlIHNhbXBsZSBub25jZQ==".to_owned() };
        let answer = "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(handshake.answered(answer.as_bytes()), Ok(Some(answer.len())));
        assert_eq!(handshake.answered(&answer.as_bytes()[..answer.len() - 1]), Ok(None));
        assert_eq!(
            handshake.answered(answer.replace("s3p", "t3p").as_bytes()),
            Err("Sec-WebSocket-Accept is wrong".into())
        );
        assert_eq!(
            handshake.answered(b"HTTP/1.1 404 Not Found\r\n\r\n"),
            Err("WebSocket refused: HTTP/1.1 404 Not Found".to_owned())
        );
        assert!(handshake.answered(&vec![b'x'; HEAD_BYTES + 1]).is_err());
        assert!(handshake.request("h:1", "/ws", None).starts_with("GET /ws HTTP/1.1\r\nHost: h:1\r\n"));
    }
}
