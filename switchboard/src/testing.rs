//! Peers in memory: handlers are tested without sockets and without real time.
//!
//! ```
//! use switchboard::prelude::*;
//! use switchboard::testing;
//!
//! async fn echo(mut conn: Connection<Lines>) -> Result {
//!     while let Some(line) = conn.recv().await? {
//!         conn.send(line).await?;
//!     }
//!     Ok(())
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let mut peer = testing::serve(echo, Timeouts::default());
//! peer.send("hello\n").await;
//! assert_eq!(peer.line().await, "hello\n");
//! peer.finish();
//! assert_eq!(peer.closed().await, CloseReason::PeerClosed);
//! # });
//! ```
//!
//! `#[tokio::test(start_paused = true)]`, of tokio's feature `test-util`, pauses the clock for a test.
//!
//! [`start`] runs a whole server, as a program builds it, with all its listeners but without their sockets.
//! Connections, requests and datagrams work, all under the paused clock too. Waiting for something that never comes has
//! no end, unless [`tokio::time::timeout`] ends it: at once, under a paused clock.
//!
//! ```
//! use switchboard::prelude::*;
//! use switchboard::testing;
//! # use std::time::Duration;
//! # use tokio::time::timeout;
//!
//! async fn chat(mut conn: Connection<Lines>, lobby: Room) -> Result {
//!     let seat = conn.join(&lobby)?;
//!     conn.send("welcome").await?;
//!     while let Some(line) = conn.recv().await? {
//!         seat.publish(line)?;
//!     }
//!     Ok(())
//! }
//!
//! fn server(lobby: Room) -> Server {
//!     Server::new().tcp("127.0.0.1:7002", (lobby, chat))
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let app = testing::start(server(Hub::new().room("lobby").unwrap()));
//! let (mut ann, mut bob) = (app.connect("tcp"), app.connect("tcp"));
//! assert_eq!(ann.line().await, "welcome\n");
//! bob.send("hi\n").await;
//! assert_eq!(ann.line().await, "hi\n");
//! assert!(timeout(Duration::from_secs(1), ann.line()).await.is_err());
//! # });
//! ```

#[cfg(feature = "http")]
mod answer;
mod datagrams;
#[cfg(feature = "http")]
mod requests;
mod running;
#[cfg(feature = "http")]
mod websocket;

#[cfg(feature = "http")]
pub use answer::HttpAnswer;
pub use datagrams::DatagramPeer;
pub use running::{Running, start};
#[cfg(feature = "http")]
pub use websocket::WebSocketPeer;

use crate::connection::Handler;
use crate::link::{Sink, Source};
use crate::server::Server;
use crate::transport::memory::{End, Memory};
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::ready;
use switchboard_proto::{CloseReason, Codec, Timeouts};
use tokio::io::ReadBuf;

/// Serves one peer with `handler` on this runtime, and returns the peer.
///
/// # Panics
/// Outside a tokio runtime.
pub fn serve<C: Codec>(handler: impl Handler<C>, timeouts: Timeouts) -> Peer {
    let memory = Memory::new();
    let server = Server::new().workers(0).timeouts(timeouts).listen(memory.clone(), handler);
    #[expect(clippy::disallowed_methods, reason = "the test's runtime owns the server")]
    drop(tokio::spawn(async move { server.serve_until(std::future::pending()).await }));
    Peer::connect(&memory)
}

/// The other end of a connection in memory.
pub struct Peer {
    end: End,
    received: Vec<u8>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("received", &self.received.len()).finish_non_exhaustive()
    }
}

impl Peer {
    /// Connects. A server that listens at `address` now or later accepts it; one that has ended resets it.
    pub fn connect(address: &Memory) -> Self {
        Self::of(address.connect())
    }

    fn of(end: End) -> Self {
        Self { end, received: Vec::new() }
    }

    /// Sends bytes, waiting while the pipe is full. What the server no longer accepts is lost, as with a socket.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let mut rest = bytes.as_ref();
        while !rest.is_empty() {
            match poll_fn(|cx| self.end.writer.poll_write(cx, &[IoSlice::new(rest)])).await {
                Ok(count) => rest = &rest[count..],
                Err(_) => return,
            }
        }
    }

    /// Receives one line, including its terminator; at the end of input or after a reset, what is left.
    pub async fn line(&mut self) -> String {
        loop {
            if let Some(line) = first_line(&mut self.received) {
                return line;
            }
            if !matches!(self.receive().await, Ok(1..)) {
                return text(&std::mem::take(&mut self.received));
            }
        }
    }

    /// Receives `count` bytes; fewer at the end of input or after a reset.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count && matches!(self.receive().await, Ok(1..)) {}
        let taken = count.min(self.received.len());
        self.received.drain(..taken).collect()
    }

    /// Receives what comes next; empty at the end of input.
    ///
    /// # Errors
    /// The connection was reset.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn chunk(&mut self) -> io::Result<Vec<u8>> {
        if self.received.is_empty() {
            self.receive().await?;
        }
        Ok(std::mem::take(&mut self.received))
    }

    /// Receives everything until the server ends the connection.
    ///
    /// # Errors
    /// The connection was reset.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.receive().await? > 0 {}
        Ok(std::mem::take(&mut self.received))
    }

    async fn receive(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 4096];
        let count = poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(self.end.reader.poll_read(cx, &mut buffer))?;
            std::task::Poll::Ready(io::Result::Ok(buffer.filled().len()))
        })
        .await?;
        self.received.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// Finishes sending; receiving goes on.
    pub fn finish(&mut self) {
        let mut noop = std::task::Context::from_waker(std::task::Waker::noop());
        // A pipe shuts down at once.
        let _ = self.end.writer.poll_shutdown(&mut noop);
    }

    /// Stops receiving while sending goes on, like a peer that has shut down its reading side.
    pub fn stop_listening(&mut self) {
        self.end.reader = End::pair(0).0.reader;
    }

    /// Resets the connection, like a peer that crashes.
    pub fn reset(mut self) {
        self.end.reset();
    }

    /// Waits until the server has closed the connection, and gives the reason.
    ///
    /// # Panics
    /// If the server ended without giving a reason.
    pub async fn closed(&mut self) -> CloseReason {
        let reason = poll_fn(|cx| self.end.reader.poll_left(cx)).await;
        let Some(reason) = reason else { panic!("the connection ended without a reason") };
        reason
    }
}

/// What was received as text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Takes the first line, its terminator included, if all of it is there.
fn first_line(received: &mut Vec<u8>) -> Option<String> {
    let end = received.iter().position(|byte| *byte == b'\n')?;
    Some(text(&received.drain(..=end).collect::<Vec<u8>>()))
}
