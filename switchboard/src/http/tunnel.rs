//! An HTTP/2 stream as the source and sink of a WebSocket's connection (RFC 8441).
//!
//! hyper frames what is written here, and it leaves through the outbox of the connection that all streams share.

use super::exchange::Unfinished;
use crate::link::{Sink, Source, TlsInfo, UnixUser};
use hyper::rt::{Read as _, ReadBuf as HyperBuf, Write as _};
use hyper::upgrade::{OnUpgrade, Upgraded};
use parking_lot::Mutex;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::ReadBuf;

/// Bytes of one write, which becomes one HTTP/2 frame.
const WRITE_BYTES: usize = 16 << 10;

/// How many of those are on their way inside hyper while the client makes no room.
const WRITES: usize = 3;

enum Tunnel {
    /// hyper has not sent the head of the answer yet.
    Opening(OnUpgrade),
    Open(Upgraded),
    Broken,
}

impl Tunnel {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut Upgraded>>> {
        if let Self::Opening(opening) = self {
            *self = ready!(Pin::new(opening).poll(cx)).map_or(Self::Broken, Self::Open);
        }
        Poll::Ready(match self {
            Self::Open(upgraded) => Ok(Pin::new(upgraded)),
            _ => Err(io::ErrorKind::ConnectionReset.into()),
        })
    }
}

/// Both sides of the stream that `opening` becomes. The request counts as under way until both are dropped.
pub(super) fn sides(opening: OnUpgrade, answering: Unfinished) -> (Box<dyn Source>, Box<dyn Sink>) {
    let tunnel = Arc::new(Shared { tunnel: Mutex::new(Tunnel::Opening(opening)), answering });
    (Box::new(Reading(Arc::clone(&tunnel))), Box::new(Writing { shared: tunnel, written: 0, task: None }))
}

struct Shared {
    tunnel: Mutex<Tunnel>,
    answering: Unfinished,
}

impl Drop for Shared {
    /// hyper discards what has arrived by now, at most a window.
    fn drop(&mut self) {
        let Tunnel::Open(upgraded) = self.tunnel.get_mut() else { return };
        let (mut bytes, mut cx) = ([0; 4096], Context::from_waker(Waker::noop()));
        loop {
            let mut buffer = HyperBuf::new(&mut bytes);
            let read = Pin::new(&mut *upgraded).poll_read(&mut cx, buffer.unfilled());
            if !matches!(read, Poll::Ready(Ok(()))) || buffer.filled().is_empty() {
                return;
            }
            self.answering.exchange.taken(buffer.filled().len());
        }
    }
}

struct Reading(Arc<Shared>);

impl Source for Reading {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut tunnel = self.0.tunnel.lock();
        let upgraded = ready!(tunnel.poll_open(cx))?;
        let mut unfilled = HyperBuf::new(buffer.initialize_unfilled());
        ready!(upgraded.poll_read(cx, unfilled.unfilled()))?;
        let count = unfilled.filled().len();
        buffer.advance(count);
        self.0.answering.exchange.taken(count);
        Poll::Ready(Ok(()))
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        match self.poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer) {
            Poll::Ready(result) => result.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

struct Writing {
    shared: Arc<Shared>,
    /// What may still be inside hyper.
    written: usize,
    /// Whom hyper wakes when it takes more. hyper knows only whoever asked last, so the tick asks on behalf of this one.
    task: Option<Waker>,
}

impl Writing {
    fn wrote(&mut self, count: usize) -> usize {
        self.written = (self.written + count).min(WRITES * WRITE_BYTES);
        count
    }
}

fn write(upgraded: Pin<&mut Upgraded>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    match slices {
        [slice] => upgraded.poll_write(cx, &slice[..slice.len().min(WRITE_BYTES)]),
        slices => {
            let mut joined = Vec::new();
            for slice in slices {
                joined.extend_from_slice(&slice[..slice.len().min(WRITE_BYTES - joined.len())]);
            }
            upgraded.poll_write(cx, &joined)
        }
    }
}

impl Sink for Writing {
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = match &mut *self.shared.tunnel.lock() {
            Tunnel::Open(upgraded) => {
                let mut cx = Context::from_waker(self.task.as_ref().unwrap_or(Waker::noop()));
                write(Pin::new(upgraded), &mut cx, slices)
            }
            // The reading side may be waiting for it.
            _ => Poll::Pending,
        };
        match written {
            Poll::Ready(count) => Ok(self.wrote(count?)),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.task.as_ref().is_none_or(|task| !task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
        }
        let count = ready!(write(ready!(self.shared.tunnel.lock().poll_open(cx))?, cx, slices))?;
        Poll::Ready(Ok(self.wrote(count)))
    }

    fn held_bytes(&self) -> usize {
        self.written
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut tunnel = self.shared.tunnel.lock();
        ready!(tunnel.poll_open(cx))?.poll_shutdown(cx)
    }

    /// Those of the connection that the stream is inside.
    fn tls(&self) -> Option<TlsInfo> {
        self.shared.answering.exchange.link.tls()
    }

    /// Of the same.
    fn unix_user(&self) -> Option<UnixUser> {
        self.shared.answering.exchange.link.unix_user()
    }

    /// That of the connection that it is inside.
    fn local_addr(&self) -> Option<SocketAddr> {
        self.shared.answering.exchange.link.local_addr()
    }

    fn reset(&mut self) {
        *self.shared.tunnel.lock() = Tunnel::Broken;
        self.shared.answering.abort();
    }
}
