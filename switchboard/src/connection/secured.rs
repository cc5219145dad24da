//! Who is at the other end of a TLS connection.

use super::Connection;
use crate::link::TlsInfo;
use switchboard_proto::Codec;

impl<C: Codec> Connection<C> {
    /// Who the peer is and what was negotiated, if the connection is TLS and not closed yet. `None` for all others,
    /// including a streamed answer over HTTP/2; ask its [request](crate::http::Request::tls).
    ///
    /// Each call copies it from the session.
    pub fn tls(&self) -> Option<TlsInfo> {
        self.0.link.tls()
    }
}
