//! A peer that speaks in datagrams.

use crate::transport::udp::in_memory::Socket;
use bytes::Bytes;
use std::net::SocketAddr;

/// Somebody who sends datagrams and gets those that are for them.
pub struct DatagramPeer(Socket);

impl std::fmt::Debug for DatagramPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DatagramPeer").field(&self.address()).finish()
    }
}

impl DatagramPeer {
    pub(super) fn of(socket: Socket) -> Self {
        Self(socket)
    }

    /// Where the server sees it.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Sends a datagram. It is lost if 1,024 are waiting to be looked at.
    pub fn send(&self, payload: impl Into<Bytes>) {
        self.0.send(payload.into());
    }

    /// Receives a datagram. Who does not receive loses what comes behind 1,024 of them.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn recv(&mut self) -> Bytes {
        self.0.recv().await
    }
}
