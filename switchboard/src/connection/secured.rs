//! Who is at the other end of a TLS connection.

use super::Connection;
use crate::link::TlsInfo;
use switchboard_proto::Codec;

impl<C: Codec> Connection<C> {
    /// Who the peer is, and what was agreed on, where the connection is TLS and not closed yet. `None` on all others, also of a
    /// streamed answer of HTTP/2: its [request](crate::http::Request::tls) can tell.
    ///
    /// Copied each time from what the session keeps.
    pub fn tls(&self) -> Option<TlsInfo> {
        self.0.link.tls()
    }
}
