//! The read side of a streamed answer: the client has nothing more to say, but it can leave.

use crate::hub::Source;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::ReadBuf;
use tokio::time::{Sleep, sleep};

/// Passes over what a client sends behind its request, up to its end.
pub(super) struct Deaf {
    source: Box<dyn Source>,
    linger: Duration,
    /// Until then the client, which has stopped sending, is answered.
    end: Option<Pin<Box<Sleep>>>,
}

impl Deaf {
    pub(super) fn new(source: Box<dyn Source>, linger: Duration) -> Self {
        Self { source, linger, end: None }
    }
}

impl Source for Deaf {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.end.is_none() {
            ready!(self.source.poll_read(cx, buffer))?;
            if buffer.filled().is_empty() {
                self.end = Some(Box::pin(sleep(self.linger)));
            }
            buffer.clear();
        }
        self.end.as_mut().map_or(Poll::Ready(()), |end| end.as_mut().poll(cx)).map(Ok)
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.end.is_none() && self.source.read_now(buffer)? > 0 {
            // Passed over, and whoever sends without end is not read without end.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(0)
    }

    fn held_bytes(&self) -> usize {
        self.source.held_bytes()
    }
}
