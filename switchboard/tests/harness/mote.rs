//! A device that speaks in datagrams.

use super::patience::patiently;
use super::served::Served;
use std::net::SocketAddr;
use switchboard::Validation;
use switchboard::prelude::*;
use tokio::net::UdpSocket;

/// Lets in who says the word; answers all others with what they sent.
pub(crate) fn door(datagram: Datagram<'_>, reply: &mut DatagramReply<'_>) -> Validation {
    if datagram.payload == b"open" {
        return Validation::Given;
    }
    reply.write(datagram.payload);
    Validation::Missing
}

pub(crate) async fn stranger(served: &Served) -> Mote {
    stranger_of(served.address()).await
}

pub(crate) async fn stranger_of(address: SocketAddr) -> Mote {
    let socket = UdpSocket::bind(SocketAddr::new(address.ip(), 0)).await.unwrap();
    socket.connect(address).await.unwrap();
    Mote(socket)
}

/// A device that speaks in datagrams.
pub(crate) struct Mote(pub(crate) UdpSocket);

impl Mote {
    pub(crate) async fn say(&self, payload: impl AsRef<[u8]>) {
        self.0.send(payload.as_ref()).await.unwrap();
    }

    pub(crate) async fn bytes(&self) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 16];
        let count = patiently(self.0.recv(&mut buffer)).await.unwrap();
        buffer.truncate(count);
        buffer
    }

    pub(crate) async fn next(&self) -> String {
        String::from_utf8(self.bytes().await).unwrap()
    }

    pub(crate) async fn ask(&self, payload: impl AsRef<[u8]>) -> String {
        self.say(payload).await;
        self.next().await
    }
}
