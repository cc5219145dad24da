//! The read side of a streamed answer: the client has nothing more to say, but it can leave.

use crate::link::Source;
use crate::turn::Turn;
use std::io;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

/// Discards what a client sends after its request. When the client's input ends, so does the answer: a client that waits for
/// more keeps its side open, and one that closes it looks the same as one that is gone.
pub(super) struct Deaf(pub(super) Box<dyn Source>);

impl Source for Deaf {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut turn = Turn::default();
        loop {
            ready!(self.0.poll_read(cx, buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            let is_over = turn.is_over(buffer.filled().len());
            buffer.clear();
            if is_over {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.read_now(buffer)? > 0 {
            // Discarded; and a client that sends without end does not keep us reading without end.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(0)
    }

    fn held_bytes(&self) -> usize {
        self.0.held_bytes()
    }
}
