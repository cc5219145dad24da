//! A connection as a stream of bytes, for code that only knows tokio's traits.

use super::{Connection, Until};
use crate::error::ConnectionError;
use crate::link::{ConnectionId, PeerAddr};
use bytes::{Buf as _, Bytes};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use switchboard_proto::{CloseReason, Raw};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of one write: more would only make one connection's queue longer while others wait.
const WRITE_BYTES: usize = 64 << 10;

/// A connection that implements tokio's `AsyncRead` and `AsyncWrite`, for another library to speak its protocol on.
///
/// It is still listed, counted, limited and drained like any other connection. After a shutdown it still receives;
/// dropping it closes it as a [`Connection`] is closed. A drain does not end its input: see
/// [`draining`](Self::draining).
///
/// # Errors
/// Once the connection is closed, reading and writing fail with the [`ConnectionError`] inside. The kind is
/// `ConnectionReset` if the peer reset it or vanished, `TimedOut` for a deadline, `UnexpectedEof` if TLS was cut off,
/// and `ConnectionAborted` otherwise; writing after a shutdown is `BrokenPipe`.
///
/// # Cancel safety
/// Safe, as for a socket: nothing read or queued is lost when `read` or `write` is cancelled.
#[derive(Debug)]
pub struct ByteStream {
    conn: Connection<Raw>,
    /// What was received and not read yet.
    rest: Bytes,
    is_shut_down: bool,
}

impl Connection<Raw> {
    /// Turns the connection into a stream that implements tokio's `AsyncRead` and `AsyncWrite`.
    ///
    /// # Examples
    /// ```
    /// use switchboard::prelude::*;
    /// use switchboard::{Raw, testing};
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// /// Answers once all has come.
    /// async fn count(conn: Connection<Raw>) -> Result {
    ///     let (mut stream, mut all) = (conn.into_io(), Vec::new());
    ///     stream.read_to_end(&mut all).await?;
    ///     stream.write_all(format!("{} bytes", all.len()).as_bytes()).await?;
    ///     Ok(stream.shutdown().await?)
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// let mut peer = testing::serve(count, Timeouts::default());
    /// peer.send([0; 1000]).await;
    /// peer.finish();
    /// assert_eq!(peer.rest().await.unwrap(), b"1000 bytes");
    /// # });
    /// ```
    pub fn into_io(self) -> ByteStream {
        ByteStream { conn: self, rest: Bytes::new(), is_shut_down: false }
    }
}

impl ByteStream {
    /// Whether the server is draining: finish soon, as whatever is left is aborted at the end of the grace period.
    pub fn is_draining(&self) -> bool {
        self.conn.is_draining()
    }

    /// Waits until the server drains. The future borrows nothing, so it can be awaited alongside a read.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        self.conn.draining()
    }

    /// As [`Connection::closed`].
    ///
    /// # Cancel safety
    /// Safe.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + use<> {
        self.conn.closed()
    }

    /// The peer's address.
    pub fn peer(&self) -> &PeerAddr {
        self.conn.peer()
    }

    /// The connection's number, unique in its server.
    pub fn id(&self) -> ConnectionId {
        self.conn.id()
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.rest.is_empty() && buffer.remaining() > 0 {
            let received = ready!(this.conn.0.poll_recv(cx, Until::End)).map_err(broken)?;
            let Some(bytes) = received else { return Poll::Ready(Ok(())) };
            this.rest = bytes;
        }
        let count = this.rest.len().min(buffer.remaining());
        buffer.put_slice(&this.rest[..count]);
        this.rest.advance(count);
        if this.rest.is_empty() {
            // Or it would keep the memory of its read.
            this.rest = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_shut_down {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let bytes = &bytes[..bytes.len().min(WRITE_BYTES)];
        let link = &self.conn.0.link;
        ready!(link.poll_send(cx, 1, |output| output.put(bytes)))
            .map_err(|reason| broken(ConnectionError::Closed(reason)))?;
        Poll::Ready(Ok(bytes.len()))
    }

    /// Waits until the socket has taken all that is queued.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let link = &self.conn.0.link;
        link.poll_flushed(cx).map_err(|reason| broken(ConnectionError::Closed(reason)))
    }

    /// Finishes sending, and waits until all that is queued has left. Receiving goes on.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut_down {
            self.is_shut_down = true;
            self.conn.0.finish();
        }
        self.poll_flush(cx)
    }
}

fn broken(error: ConnectionError) -> io::Error {
    let kind = match error {
        ConnectionError::Closed(CloseReason::PeerReset | CloseReason::PeerLost) => io::ErrorKind::ConnectionReset,
        ConnectionError::Closed(CloseReason::Idle | CloseReason::SlowConsumer) => io::ErrorKind::TimedOut,
        ConnectionError::Closed(CloseReason::Truncated) => io::ErrorKind::UnexpectedEof,
        _ => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error)
}
