//! A peer that speaks WebSocket.

use super::text;
use crate::connection::Connection;
use switchboard_proto::{WebSocketClient, WebSocketMessage};

/// The other end of a WebSocket.
#[derive(Debug)]
pub struct WebSocketPeer(Connection<WebSocketClient>);

impl WebSocketPeer {
    pub(super) fn of(connection: Connection<WebSocketClient>) -> Self {
        Self(connection)
    }

    /// Sends a message: text, if it is a string or its bytes are UTF-8. What the server no longer accepts is lost.
    pub async fn send(&mut self, message: impl Into<WebSocketMessage>) {
        // As with a socket.
        let _ = self.0.send(message.into()).await;
    }

    /// Receives a message; `None` once the server has closed.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn recv(&mut self) -> Option<WebSocketMessage> {
        self.0.recv().await.ok().flatten()
    }

    /// Receives a message as text; empty once the server has closed.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn text(&mut self) -> String {
        let message = self.recv().await;
        message.map(|message| text(&message)).unwrap_or_default()
    }

    /// Waits until the server has closed, ignoring what it sends until then. Returns the close code, if any.
    pub async fn closed(&mut self) -> Option<u16> {
        while self.recv().await.is_some() {}
        self.0.codec_mut().closed_with()
    }
}
