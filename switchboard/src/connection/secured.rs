//! Who is at the other end of a connection, where TLS or the kernel says so.

use super::Connection;
use crate::hub::policy::Claimant;
use crate::link::{TlsInfo, UnixUser};
use switchboard_proto::Codec;

impl<C: Codec> Connection<C> {
    /// Who the peer is and what was negotiated, if the connection is TLS and not closed yet. `None` for all others,
    /// including a streamed answer over HTTP/2; ask its [request](crate::http::Request::tls).
    ///
    /// Each call copies it from the session.
    pub fn tls(&self) -> Option<TlsInfo> {
        self.0.link.tls()
    }

    /// The user whose process connected, if it did so over a Unix socket that is not closed yet. `None` for all others, including a
    /// streamed answer over HTTP/2; ask its [request](crate::http::Request::unix_user).
    pub fn unix_user(&self) -> Option<UnixUser> {
        self.0.link.unix_user()
    }

    /// What a [`Policy`](crate::policy::Policy) may want to know of whoever shows a credential here.
    pub fn claimant(&self) -> Claimant {
        let link = &self.0.link;
        Claimant::on(link, link.client().clone(), link.via())
    }
}
