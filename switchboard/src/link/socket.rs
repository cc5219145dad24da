//! What a link needs of its socket; each transport implements it.

use crate::error::BoxError;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::ReadBuf;

/// The write side of a connection's socket.
pub(crate) trait Sink: Send {
    /// Writes what the socket takes now. `WouldBlock` hands the rest to the connection's task, which polls.
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// How many bytes, of those that the last write was given and did not say that it took, cannot be taken back: they were
    /// made part of something whole. They must come first in the next write.
    fn committed_bytes(&self) -> usize {
        0
    }

    /// Writes, or wakes the task once the socket takes more. The interest stays registered.
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Tells the peer that nothing more will come.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The address of ours that the peer has reached, where there are such.
    fn local_addr(&self) -> Option<SocketAddr> {
        None
    }

    /// Tells the peer why the connection is about to be closed, where the transport can.
    fn reason(&mut self, reason: switchboard_proto::CloseReason) {
        let _ = reason;
    }

    /// Sends one frame past all that is queued, which is thrown away, where the transport can.
    fn last_frame(&mut self, frame: &[u8]) {
        let _ = frame;
    }

    /// How many of the bytes that it took since this was last asked only told frames apart, and stayed here.
    fn framing_bytes(&mut self) -> usize {
        0
    }

    /// Bytes that it holds on to beside what is queued, which the memory budget counts while the socket takes no more.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Who the peer is, and what was agreed on, where that was.
    fn tls(&self) -> Option<super::TlsInfo> {
        None
    }

    /// Whose process the peer is, where the kernel says so.
    fn unix_user(&self) -> Option<super::UnixUser> {
        None
    }

    /// Makes the coming close a reset: what the kernel still holds is thrown away.
    fn reset(&mut self);
}

/// What a socket may hold unread, where it does not say: four times what Linux gives one by default.
const SOCKET_BYTES: usize = 1 << 20;

/// The read side of a connection's socket.
pub(crate) trait Source: Send + Sync {
    /// Agrees with the peer on how to speak, before the handler runs; at once where there is nothing to agree on.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OpenError>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Reads into `buffer`, which has space for as much as a worker reads at once, or at least for
    /// [`least_bytes`](Self::least_bytes); nothing read is the end of input.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;

    /// Reads what the kernel has now, whether or not the event loop has heard of it yet.
    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// The space that a read needs: more than one byte where what is read is whole records or datagrams.
    fn least_bytes(&self) -> usize {
        1
    }

    /// How much the socket holds, at most, that was not read yet.
    fn socket_bytes(&self) -> usize {
        SOCKET_BYTES
    }

    /// How many of the `count` bytes that were just read tell frames apart, and did not come from the peer.
    fn framing_bytes(&mut self, count: usize) -> usize {
        let _ = count;
        0
    }

    /// Bytes that were read from the kernel and are no input yet, which the memory budget counts.
    fn held_bytes(&self) -> usize {
        0
    }
}

/// How much of the `whole` space for a read `source` gets, which is to read about `most`.
#[inline]
pub(crate) fn space(source: &dyn Source, most: usize, whole: usize) -> usize {
    if most >= whole { whole } else { most.max(source.least_bytes()).min(whole) }
}

/// Why a connection never opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The peer left without a word, as a probe of the port does.
    Left,
    /// The socket broke.
    Broken(io::Error),
    /// What the peer said, or that it stopped saying it.
    Failed(BoxError),
}

/// Where sinks gather what they write, to send it together at the end of a tick.
pub(crate) trait Gathering: Send + Sync {
    /// Sends what was gathered.
    fn flush(self: Arc<Self>);
}
