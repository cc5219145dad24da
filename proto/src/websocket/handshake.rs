//! The two headers of the handshake that are computed (RFC 6455 §4).

use super::{WebSocket, WebSocketClient};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// RFC 6455 §1.3: who answers with a hash over it has understood that this is a WebSocket.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Bytes behind a key.
const KEY_BYTES: usize = 16;

impl WebSocket {
    /// The only version there is, as in `Sec-WebSocket-Version`.
    pub const VERSION: &'static str = "13";

    /// What answers a `Sec-WebSocket-Key`, as `Sec-WebSocket-Accept`; `None` if the key is not 16 bytes in base64.
    pub fn accept(key: &[u8]) -> Option<String> {
        let bytes = STANDARD.decode(key).ok()?;
        let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
        (bytes.len() == KEY_BYTES).then(|| STANDARD.encode(digest))
    }
}

impl WebSocketClient {
    /// A `Sec-WebSocket-Key`, of random bytes.
    pub fn key(random: [u8; KEY_BYTES]) -> String {
        STANDARD.encode(random)
    }
}
