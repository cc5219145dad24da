//! A connection's source and outbox, as hyper reads and writes.

use super::Site;
use super::exchange::Exchange;
use super::frames::FrameProgress;
use crate::ConnectionError;
use crate::Turn;
use crate::link::{Farewell, Returned, Source, space};
use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{HeaderValue, ORIGIN};
use http::{HeaderMap, Request};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use switchboard_proto::{CloseReason, Output};
use tokio::io::ReadBuf;
use tokio::time::{Sleep, sleep};

/// Bytes that one write puts into the outbox, whose bound is checked before each.
const WRITE_BYTES: usize = 64 << 10;

/// Bytes of answers that may wait in the outbox before more is made: enough for one write, but little for a client that does
/// not read.
const WAITING_BYTES: usize = 64 << 10;

/// What a byte of input costs of a turn: 16 KiB may be a thousand frames, or heads.
const INPUT_WEIGHT: usize = 4;

/// The answer to a head that never became complete (RFC 9110 §15.5.9).
const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Says that requests which may be on their way are no longer answered: RFC 9113 §6.8.
const GO_AWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0";

pub(super) struct Wire {
    exchange: Arc<Exchange>,
    /// Until it is returned, or passed on to a handler.
    source: Option<Box<dyn Source>>,
    /// Read, and more than hyper wanted at the time.
    surplus: BytesMut,
    peer_finished: bool,
    /// Over HTTP/2: how many requests hyper had begun when it was last asked to begin those that came before the end.
    begun: Option<u32>,
    /// The client has stopped sending; it is answered until then.
    end: Option<Pin<Box<Sleep>>>,
    turn: Turn,
    /// The turn is over: others have theirs before hyper gets more.
    rests: bool,
    /// Those of HTTP/2.
    frames: Option<Box<FrameProgress>>,
}

impl Wire {
    pub(super) fn new(exchange: Arc<Exchange>, source: Box<dyn Source>) -> Self {
        Self {
            exchange,
            source: Some(source),
            surplus: BytesMut::new(),
            peer_finished: false,
            begun: None,
            end: None,
            turn: Turn::default(),
            rests: false,
            frames: None,
        }
    }

    /// HTTP/2 is spoken, from the preface on.
    pub(super) fn multiplex(&mut self) {
        self.exchange.multiplex();
        self.frames = Some(Box::new(FrameProgress::new()));
    }

    /// The source, and what was read from it that is no longer HTTP, after hyper's `read`.
    pub(super) fn into_source(mut self, read: &Bytes) -> Option<(Box<dyn Source>, BytesMut)> {
        let mut input = BytesMut::with_capacity(read.len() + self.surplus.len());
        input.extend_from_slice(read);
        input.extend_from_slice(&self.surplus);
        self.exchange.goes_on();
        Some((self.source.take()?, input))
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut wanted: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if std::mem::take(&mut this.rests) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let room = wanted.remaining();
        let link = &this.exchange.link;
        let allowance = ready!(link.poll_allowance_beside(cx, || this.exchange.own_bytes()));
        if !this.surplus.is_empty() {
            let count = wanted.remaining().min(this.surplus.len());
            wanted.put_slice(&this.surplus[..count]);
            follow(&this.exchange, this.frames.as_deref_mut(), &this.surplus[..count]);
            this.surplus.advance(count);
            this.rests = this.turn.is_over(count * INPUT_WEIGHT);
            this.exchange.reads_into(room);
            if this.surplus.is_empty() {
                // An idle connection owns no buffer.
                this.surplus = BytesMut::new();
                this.exchange.keeps(0);
            }
            return Poll::Ready(Ok(()));
        }
        let mut count = 0;
        let (exchange, mut frames) = (Arc::clone(&this.exchange), this.frames.take());
        let filled = this.poll_fill(cx, allowance, |bytes| {
            let (now, later) = bytes.split_at(bytes.len().min(wanted.remaining()));
            wanted.put_slice(now);
            follow(&exchange, frames.as_deref_mut(), now);
            count = now.len();
            later
        });
        this.frames = frames;
        ready!(filled)?;
        this.rests = this.turn.is_over(count * INPUT_WEIGHT);
        this.exchange.reads_into(room);
        Poll::Ready(Ok(()))
    }
}

/// Follows what hyper gets over HTTP/2.
fn follow(exchange: &Exchange, frames: Option<&mut FrameProgress>, bytes: &[u8]) {
    if let Some(frames) = frames {
        exchange.bodies(|untaken| frames.read(bytes, untaken));
    }
}

impl Wire {
    /// Takes back what hyper has read but not looked at.
    pub(super) fn put_back(&mut self, read: &[u8]) {
        if read.is_empty() && self.surplus.is_empty() {
            return;
        }
        self.surplus = [read, &self.surplus].concat().as_slice().into();
        self.exchange.keeps(self.surplus.capacity());
        self.exchange.begun(self.surplus.len());
    }

    /// Whether the client begins with `preface`: waits until it has sent enough to tell, or anything at all if `preface` is empty.
    pub(super) fn poll_begins(&mut self, cx: &mut Context<'_>, preface: &[u8]) -> Poll<io::Result<bool>> {
        loop {
            if preface.is_empty() && !self.surplus.is_empty() {
                return Poll::Ready(Ok(false));
            }
            let count = self.surplus.len().min(preface.len());
            if self.surplus[..count] != preface[..count] || (count == preface.len() && count > 0) {
                return Poll::Ready(Ok(count == preface.len() && self.surplus.starts_with(preface)));
            }
            let allowance = ready!(self.exchange.link.poll_relief(cx));
            ready!(self.poll_fill(cx, allowance, |bytes| bytes))?;
            if self.surplus.len() == count {
                return Poll::Ready(Ok(false));
            }
        }
    }

    /// Reads once, about `most` bytes. What `take` leaves of it is surplus.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        take: impl FnOnce(&[u8]) -> &[u8],
    ) -> Poll<io::Result<()>> {
        let Some(source) = self.source.as_deref_mut() else { return Poll::Ready(Ok(())) };
        let link = &self.exchange.link;
        // All of it: TLS wants space for a whole record.
        let mut shared = link.tick.read_buffer.lock();
        let space = space(source, most, shared.bytes.len());
        let mut buffer = ReadBuf::new(&mut shared.bytes[..space]);
        let result = match source.poll_read(cx, &mut buffer) {
            // Nothing is under way, so nothing was cut off: many clients leave TLS without a word.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof && self.exchange.is_between() => {
                Ok(0)
            }
            Poll::Ready(result) => result.map(|()| buffer.filled().len()),
            Poll::Pending if link.is_draining() && self.exchange.is_waiting() => {
                // The kernel may hold more than the event loop has reported. A request that is not complete by now never will be.
                source.read_now(&mut shared.bytes).or(Ok(0))
            }
            Poll::Pending if self.exchange.takes_look() => match source.read_now(&mut shared.bytes[..space]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                result => result,
            },
            // Nor does anything follow an answer that could not be written.
            Poll::Pending if link.is_cut_off() => source.read_now(&mut shared.bytes[..space]).or(Ok(0)),
            Poll::Pending => return Poll::Pending,
        };
        match result {
            Ok(0) => {
                self.peer_finished = !link.is_draining();
                drop(shared);
                return self.poll_end(cx);
            }
            Ok(count) => {
                self.exchange.received(&shared.bytes[..count]);
                let later = take(&shared.bytes[..count]);
                if !later.is_empty() {
                    self.surplus.extend_from_slice(later);
                    self.exchange.keeps(self.surplus.capacity());
                }
            }
            Err(error) => {
                // What came before is answered all the same, though nobody reads it.
                self.peer_finished = true;
                link.broken(&error);
                drop(shared);
                return self.poll_end(cx);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Passes on that the client has stopped sending. `printf … | nc -N` does so at once and still wants an answer; a client
    /// that is really gone looks the same. So hyper, which would drop the request, hears of it a little later.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.exchange.is_answered() {
            // A client that is gone does not read either. hyper looks again once it has written.
            return Poll::Pending;
        }
        let begun = self.exchange.streams();
        if begun.is_some() && self.begun != begun {
            // hyper reads everything there is before it begins a request, and drops what it has not begun by the end.
            self.begun = begun;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.exchange.is_answering() {
            let linger = self.exchange.link.listener.timeouts.linger;
            let end = self.end.get_or_insert_with(|| Box::pin(sleep(linger)));
            ready!(end.as_mut().poll(cx));
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let link = &self.exchange.link;
        // A few bytes of requests can cause a hundred times as many bytes of answers: while memory is short, each answer waits
        // until those before it have left.
        let is_short = link.tick.budget.is_exceeded();
        ready!(link.poll_below(cx, if is_short { 1 } else { WAITING_BYTES }));
        if self.exchange.is_waiting() {
            return self.poll_write_unasked(cx, &slices.iter().flat_map(|slice| &**slice).copied().collect::<Vec<_>>());
        }
        let mut count = 0;
        let encode = |output: &mut Output| {
            for slice in slices {
                let taken = slice.len().min(WRITE_BYTES - count);
                output.put(&slice[..taken]);
                count += taken;
            }
        };
        let queued = ready!(if is_short { link.poll_queue(cx, 1, encode) } else { link.poll_send(cx, 1, encode) });
        let closed = |reason| io::Error::new(io::ErrorKind::BrokenPipe, ConnectionError::Closed(reason));
        Poll::Ready(queued.map(|()| count).map_err(closed))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Done: what is queued is the outbox's.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.exchange.flushed();
        Poll::Ready(Ok(()))
    }

    /// Done: closing is the connection's own.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Wire {
    /// Writes what hyper says about a head that it does not understand, and that no service has seen.
    fn poll_write_unasked(&self, cx: &mut Context<'_>, answer: &[u8]) -> Poll<io::Result<usize>> {
        let marked = marked(answer, &self.exchange.site, self.exchange.origin());
        let queued = ready!(self.exchange.link.poll_send(cx, 1, |output| output.put(&marked)));
        let closed = |reason| io::Error::new(io::ErrorKind::BrokenPipe, ConnectionError::Closed(reason));
        Poll::Ready(queued.map(|()| answer.len()).map_err(closed))
    }
}

/// An answer that is only a head, with the headers that the service has for it.
fn marked(answer: &[u8], site: &Site, origin: Option<HeaderValue>) -> Vec<u8> {
    let mut headers = HeaderMap::new();
    let head = origin.map(|origin| {
        let (mut head, ()) = Request::new(()).into_parts();
        head.headers.insert(ORIGIN, origin);
        head
    });
    (site.unasked)(head.as_ref(), &mut headers);
    let Some(head) = answer.strip_suffix(b"\r\n").filter(|head| head.ends_with(b"\r\n")) else {
        return answer.to_vec();
    };
    let mut marked = head.to_vec();
    for (name, value) in &headers {
        marked.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    marked.extend(b"\r\n");
    marked
}

impl Drop for Wire {
    fn drop(&mut self) {
        let Some(source) = self.source.take() else { return };
        let is_cut = self.exchange.is_reading_head();
        let is_multiplexed = self.exchange.is_multiplexed();
        let (site, origin) = (Arc::clone(&self.exchange.site), self.exchange.origin());
        let farewell: Farewell = Box::new(move |reason| match reason {
            CloseReason::HandshakeTimeout if is_cut => Some(marked(TIMED_OUT, &site, origin).into()),
            CloseReason::Idle if is_multiplexed => Some(Bytes::from_static(GO_AWAY)),
            _ => None,
        });
        let returned = Returned { source, peer_finished: self.peer_finished, farewell: Some(farewell) };
        self.exchange.link.give_back(returned);
        self.exchange.ended();
    }
}
