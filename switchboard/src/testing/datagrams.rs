//! A peer that speaks in datagrams.

use crate::transport::udp::in_memory::Socket;
use bytes::Bytes;
use std::net::SocketAddr;

/// A peer that sends and receives datagrams.
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

    /// The address that the server sees.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Sends a datagram. It is lost if 1,024 are already waiting.
    pub fn send(&self, payload: impl Into<Bytes>) {
        self.0.send(payload.into());
    }

    /// Receives a datagram. At most 1,024 wait here; further ones are lost.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn recv(&mut self) -> Bytes {
        self.0.recv().await
    }
}
