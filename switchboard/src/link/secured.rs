//! What was agreed on when a connection was secured. Plain figures: who secures it is a transport's business.

use super::Link;
use bytes::Bytes;

/// Who is at the other end of a TLS connection, and what was negotiated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The peer's certificate, followed by its intermediates, as DER (RFC 5280). It was verified, and the peer has its
    /// key. Empty if the peer presented none: clients do so only if [asked](crate::Tls::require_client_certificates).
    pub peer_certificates: Vec<Bytes>,
    /// The host that the client asked for (SNI, RFC 6066 §3), in lower case.
    pub server_name: Option<String>,
    /// The protocol negotiated by ALPN (RFC 7301), such as `h2`.
    pub protocol: Option<String>,
}

impl Link {
    /// What its socket knows of that, until it is closed.
    pub(crate) fn tls(&self) -> Option<TlsInfo> {
        self.state.lock().outbox.sink()?.tls()
    }
}
