//! One open peer as its handler sees it, and the task that runs the handler and closes the connection after it.

mod about;
mod beside;
mod closing;
mod drive;
mod handler;
mod input;
mod joining;
mod opening;
mod pace;
mod reading;
mod relay;
mod secured;
mod sender;
mod sending;
mod split;
mod stream;

pub(crate) use beside::{hold, serve_beside};
pub(crate) use drive::serve;
pub use handler::{Handler, HandlerOutput};
pub(crate) use opening::open;
pub use relay::{Relay, RelayEnd, Relayed, RelayedBytes, relay};
pub use sender::{Sender, TrySendError};
pub use split::{RecvHalf, SendHalf};
pub use stream::ByteStream;

use crate::error::{ConnectionError, contained};
use crate::link::{ConnectionId, Envelope, Farewell, Link, PeerAddr, Returned, Source};
use crate::turn::spend;
use bytes::{Bytes, BytesMut};
use input::InputBuffer;
use pace::Pace;
use std::fmt;
use std::future::poll_fn;
use std::num::NonZeroU16;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use switchboard_proto::{Aside, CloseReason, Codec, FrameError};

/// Of tokio's 128 steps one for so many bytes: 512 KiB before others get their turn, below 1 ms of copying.
const BYTES_PER_BUDGET: usize = 4 << 10;

/// And one for so many frames: asking for it costs 3 ns, where all else that is done for a short line costs 60.
const FRAMES_PER_BUDGET: u8 = 4;

/// What may stand around a payload, before a codec that wants more is taken for one that has no limit.
const AROUND_BYTES: usize = 4 << 10;

/// One open peer: frames in, frames out.
///
/// The handler owns it. The connection is closed once the handler has finished and this is dropped: what is queued is
/// flushed first, and the peer gets [`Timeouts::linger`](crate::Timeouts::linger) to finish too.
///
/// Receiving and sending both borrow the connection, so one task does them in turn. To do both at once, send through a
/// [`sender`](Self::sender), or [`split`](Self::split) the connection:
///
/// ```compile_fail,E0499
/// # use switchboard::prelude::*;
/// # async fn run(mut conn: Connection<Lines>) -> Result {
/// tokio::select! {
///     line = conn.recv() => println!("{:?}", line?),
///     sent = conn.send("hi") => sent?, // cannot borrow `conn` as mutable more than once at a time
/// }
/// # Ok(())
/// # }
/// ```
/// ```
/// # use switchboard::prelude::*;
/// # async fn run(mut conn: Connection<Lines>) -> Result {
/// let sender = conn.sender();
/// tokio::select! {
///     line = conn.recv() => println!("{:?}", line?),
///     sent = sender.send("hi") => sent?,
/// }
/// # Ok(())
/// # }
/// ```
pub struct Connection<C: Codec>(
    /// Boxed, because a future holds what it is given once more for each async fn that passes it on.
    Box<Receiving<C>>,
);

struct Receiving<C: Codec> {
    link: Arc<Link>,
    codec: C,
    envelope: Envelope,
    input: InputBuffer,
    source: Option<Box<dyn Source>>,
    /// The handler gets no more input.
    finished: bool,
    /// Or none until it reads on through a drain.
    drained: bool,
    /// Frames that may be taken before tokio's budget is asked again.
    paid: u8,
    /// Where the listener has a rate.
    pace: Pace,
    /// The peer has finished sending, or is gone.
    peer_finished: bool,
    /// What the protocol answers by itself, while the outbox is full.
    answer: Option<Box<Bytes>>,
    /// What the peer is told at the end, where that is known already.
    close_code: Option<NonZeroU16>,
    /// How long a frame may be, in KiB; 0 is as long as the listener has it.
    frame_kib: u16,
}

impl<C: Codec> fmt::Debug for Connection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, address) = (self.0.link.id, self.0.link.client());
        f.debug_struct("Connection").field("id", &id).field("peer", address).finish_non_exhaustive()
    }
}

impl<C: Codec> Connection<C> {
    pub(crate) fn new(link: Arc<Link>, source: Box<dyn Source>) -> Self {
        Self::begun(link, source, BytesMut::new(), Envelope::Bare)
    }

    /// A connection of which `input` was read already, and whose frames go out in `envelope`.
    pub(crate) fn begun(link: Arc<Link>, source: Box<dyn Source>, input: BytesMut, envelope: Envelope) -> Self {
        let codec = match catch_unwind(C::default) {
            Ok(codec) => codec,
            Err(panic) => {
                // There is nothing yet that gives the source back, which the task of the connection waits for.
                link.give_back(Returned { source, peer_finished: false, farewell: None });
                resume_unwind(panic)
            }
        };
        Self(Box::new(Receiving {
            link,
            codec,
            envelope,
            input: InputBuffer::begun(input),
            source: Some(source),
            finished: false,
            drained: false,
            paid: 0,
            pace: Pace::default(),
            peer_finished: false,
            answer: None,
            close_code: None,
            frame_kib: 0,
        }))
    }

    /// Receives the next frame, or `None` once the peer has finished sending, or once the server (or client) is
    /// draining. [`is_draining`](Self::is_draining) tells which: in a drain the peer may have more to send, and
    /// [`recv_in_drain`](Self::recv_in_drain) goes on.
    ///
    /// What was received before the peer broke off, or before writing to it failed, is handed over first.
    ///
    /// Waits at most [`Timeouts::idle`](crate::Timeouts::idle). Frames are at most
    /// [`Limits::frame_bytes`](crate::Limits::frame_bytes) long.
    ///
    /// # Errors
    /// [`ConnectionError::Frame`] if the bytes are not a frame: the connection cannot be read again, but can still
    /// send. [`ConnectionError::Closed`] once it is closed, for example reset, idle, or by an operator.
    ///
    /// # Cancel safety
    /// Safe: bytes of a partial frame stay for the next call.
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<C::Frame>, ConnectionError>> + use<'_, C> {
        poll_fn(|cx| self.0.poll_recv(cx, Until::Drain))
    }

    /// Receives the next frame like [`recv`](Self::recv), but goes on while the server (or client) is draining: `None`
    /// means that the peer has finished sending. For relays and uploads, which must not mistake a drain for the end of
    /// input.
    ///
    /// Whatever is not finished by the end of the grace period is aborted. The two can be mixed: after `recv` has given
    /// `None` in a drain, this continues where it stopped.
    ///
    /// # Errors
    /// As for `recv`.
    ///
    /// # Cancel safety
    /// Safe: bytes of a partial frame stay for the next call.
    ///
    /// # Examples
    /// ```
    /// # use switchboard::prelude::*;
    /// async fn count(mut conn: Connection<Lines>) -> Result {
    ///     let mut lines = 0;
    ///     while let Some(_) = conn.recv_in_drain().await? {
    ///         lines += 1;
    ///     }
    ///     conn.send(format!("{lines} lines")).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn recv_in_drain(&mut self) -> impl Future<Output = Result<Option<C::Frame>, ConnectionError>> + use<'_, C> {
        poll_fn(|cx| self.0.poll_recv(cx, Until::End))
    }

    /// The codec, to set it up for this connection; each starts as its type's `Default`.
    pub fn codec_mut(&mut self) -> &mut C {
        &mut self.0.codec
    }

    /// The peer's address; behind a proxy that says so ([`Proxies`](crate::Proxies)), its client's.
    pub fn peer(&self) -> &PeerAddr {
        self.0.link.client()
    }

    /// This connection's number, unique in its server.
    pub fn id(&self) -> ConnectionId {
        self.0.link.id
    }

    /// Waits until the connection ends, whoever ends it, and gives the reason. From then on nothing is received or
    /// sent; what is queued may still be on its way.
    ///
    /// The future borrows nothing, so it can be awaited alongside [`recv`](Self::recv), in another task, or after the
    /// connection was dropped. That a peer has left is noticed by receiving, or by a failed write; this does neither.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + use<C> {
        self.0.link.ended()
    }

    /// Whether the server is draining; if so, that is why [`recv`](Self::recv) gave `None`.
    pub fn is_draining(&self) -> bool {
        self.0.link.is_draining()
    }

    /// Waits until the server drains. Handlers that wait in [`recv`](Self::recv) do not need this: `recv` ends by
    /// itself.
    ///
    /// The future borrows nothing, so it can be awaited alongside `recv`.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<C> {
        self.0.link.listener.told.clone().cancelled_owned()
    }
}

impl<C: Codec> Receiving<C> {
    #[inline]
    fn poll_recv(&mut self, cx: &mut Context<'_>, until: Until) -> Poll<Result<Option<C::Frame>, ConnectionError>> {
        let mut rest = None;
        // Frames come by the dozen: for all but the first of a read this is all.
        if !self.input.is_empty()
            && self.answer.is_none()
            && self.link.goes_on_taking(self.paid == 0)
            && self.is_paid(cx)
        {
            let before = self.input.bytes.len();
            match self.find() {
                Ok(Some(frame)) => {
                    let count = C::count(&frame);
                    self.took(cx, before, count);
                    self.link.handling(count);
                    return Poll::Ready(Ok(Some(frame)));
                }
                other => rest = Some((before, other)),
            }
        }
        self.poll_more(cx, until, rest)
    }

    /// As [`poll_recv`](Self::poll_recv), where there is more to see to than the next frame. `rest` is what was found in place
    /// of one, and how much input there was.
    #[inline(never)]
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        until: Until,
        mut rest: Option<(usize, Found<C>)>,
    ) -> Poll<Result<Option<C::Frame>, ConnectionError>> {
        loop {
            if rest.is_none() {
                ready!(self.poll_takes(cx))?;
            }
            if rest.is_some() || !self.input.is_empty() {
                if rest.is_none() && self.paid == 0 {
                    if self.link.poll_allowance(cx).is_pending() {
                        self.input.rest(&self.link);
                        return Poll::Pending;
                    }
                    if !self.is_paid(cx) {
                        return Poll::Pending;
                    }
                }
                let (before, found) = rest.take().unwrap_or_else(|| (self.input.bytes.len(), self.find()));
                let decoded = match found {
                    Ok(Some(frame)) => Decoded::Frame(frame),
                    other => self.decode_rest(other, until)?,
                };
                match decoded {
                    Decoded::Frame(frame) => {
                        let count = C::count(&frame);
                        self.took(cx, before, count);
                        self.link.handling(count);
                        return Poll::Ready(Ok(Some(frame)));
                    }
                    Decoded::Aside => {
                        self.took(cx, before, 1);
                        continue;
                    }
                    Decoded::Nothing => self.left(cx, before),
                }
            }
            if self.finished {
                self.input.clear();
            }
            if self.finished || self.drained && until == Until::Drain {
                if self.link.is_unheard() {
                    self.link.received_all();
                    continue;
                }
                return Poll::Ready(self.end(until));
            }
            let allowance = ready!(self.link.poll_allowance(cx));
            ready!(self.poll_read(cx, until, allowance.saturating_sub(self.input.bytes.len()), |_| 0));
        }
    }

    /// Waits until the next frame may be taken, or says why none may.
    fn poll_takes(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        if let Some(reason) = self.link.taking() {
            return Poll::Ready(Err(ConnectionError::Closed(reason)));
        }
        if let Some(answer) = &self.answer {
            // While it waits nothing is read: a peer that asks and does not listen fills its outbox, and no more.
            let sent = ready!(self.link.poll_send(cx, 1, |output| output.put(answer)));
            self.answer = None;
            // Whoever has the other half may have finished sending.
            sent.or_else(
                |reason| if self.link.has_finished() { Ok(()) } else { Err(ConnectionError::Closed(reason)) },
            )?;
        }
        // What it sends may be published, and be more than the workers can deliver.
        if !((self.finished || self.drained) && self.input.is_empty()) {
            ready!(self.link.poll_caught_up(cx));
        }
        Poll::Ready(Ok(()))
    }

    /// Frames cost budget, or a read of one-byte lines would hold the worker for 32,768 of them; and the listener may have a rate.
    /// If there is none left, the task is woken.
    #[inline]
    fn is_paid(&mut self, cx: &mut Context<'_>) -> bool {
        if self.paid == 0
            && let Poll::Ready(budget) = tokio::task::coop::poll_proceed(cx)
        {
            budget.made_progress();
            self.paid = match self.link.listener.rate {
                None => FRAMES_PER_BUDGET,
                Some(rate) => self.pace.poll_take(cx, rate, self.link.opened, FRAMES_PER_BUDGET),
            };
        }
        self.paid > 0
    }

    /// Something was taken from the `before` bytes that were there: so many of the protocol's messages.
    #[inline]
    fn took(&mut self, cx: &mut Context<'_>, before: usize, count: usize) {
        self.paid -= 1;
        spend(cx, count.saturating_sub(1) / usize::from(FRAMES_PER_BUDGET));
        if count > 1
            && let Some(rate) = self.link.listener.rate
        {
            self.pace.owe(rate, self.link.opened, count - 1);
        }
        self.input.is_shared = true;
        self.left(cx, before);
    }

    /// What is left of the `before` bytes that were there is there still.
    #[inline]
    fn left(&mut self, cx: &mut Context<'_>, before: usize) {
        spend(cx, (before - self.input.bytes.len()) / BYTES_PER_BUDGET);
        if self.input.is_empty() {
            self.input.give_back(&self.link);
        }
    }

    /// What the end of input means, with nothing before it: some codecs are told of it, or hold a part of a frame.
    fn end(&mut self, until: Until) -> Result<Option<C::Frame>, ConnectionError> {
        self.link.awaits_nothing();
        if self.link.has_finished() || self.is_drained(until) {
            return Ok(None);
        }
        let found = self.find();
        match self.decode_rest(found, until)? {
            Decoded::Frame(frame) => Ok(Some(frame)),
            Decoded::Aside | Decoded::Nothing => Ok(None),
        }
    }

    /// Whether a drain ends what is received.
    fn is_drained(&self, until: Until) -> bool {
        until == Until::Drain && self.link.is_draining()
    }

    /// How long a frame may be.
    #[inline]
    fn frame_bytes(&self) -> usize {
        let limit = self.link.listener.limits.frame_bytes;
        if self.frame_kib == 0 { limit } else { limit.min(usize::from(self.frame_kib) << 10) }
    }

    /// What the codec makes of the input.
    #[inline]
    fn find(&mut self) -> Found<C> {
        let limit = self.frame_bytes();
        self.codec.decode(&mut self.input.bytes, limit)
    }

    /// What is no frame, apart from those that are: it comes once a read, and they come by the dozen.
    #[cold]
    fn decode_rest(&mut self, mut found: Found<C>, until: Until) -> Result<Decoded<C::Frame>, FrameError> {
        if let Ok(None) = found {
            if let Some(aside) = self.codec.aside() {
                self.see_to(aside);
                return Ok(Decoded::Aside);
            }
            if self.finished && !self.is_drained(until) {
                let frame_bytes = self.frame_bytes();
                found = self.codec.decode_end(&mut self.input.bytes, frame_bytes);
            }
            self.bound_input(&mut found);
        }
        match found {
            Ok(frame) => Ok(frame.map_or(Decoded::Nothing, Decoded::Frame)),
            Err(error) => {
                self.finished = true;
                self.input.clear();
                self.link.holding(0);
                self.close_code = NonZeroU16::new(error.close_code());
                self.link.note(match error {
                    FrameError::TooLong { .. } => CloseReason::FrameTooLong,
                    FrameError::Foreign { .. } => CloseReason::WrongProtocol,
                    _ => CloseReason::BadFrame,
                });
                Err(error)
            }
        }
    }

    /// Refuses what a codec waits for that does not look at the limit itself.
    fn bound_input(&self, found: &mut Found<C>) {
        let limit = self.frame_bytes();
        if matches!(found, Ok(None)) && self.input.bytes.len() > limit.saturating_mul(4).saturating_add(AROUND_BYTES) {
            *found = Err(FrameError::TooLong { limit });
        }
    }

    /// Does what the protocol asks for beside its frames.
    fn see_to(&mut self, aside: Aside) {
        match aside {
            Aside::Answer(_) if self.link.has_finished() => {}
            Aside::Answer(answer) => self.answer = Some(Box::new(answer)),
            Aside::Finished { code } => {
                self.finished = true;
                self.input.clear();
                self.close_code = NonZeroU16::new(code);
                self.link.note(CloseReason::PeerClosed);
            }
            _ => unreachable!("the library knows all that its own protocols ask for"),
        }
    }
}

impl<C: Codec> Receiving<C> {
    /// Gives the source back for the close, at which the peer is told `text`, or the reason's own.
    fn give_back(&mut self, text: Option<Box<str>>) {
        let Some(source) = self.source.take() else { return };
        let (envelope, code) = (self.envelope, self.close_code.map(NonZeroU16::get));
        // One that cannot be replaced has no last word; but what waits for the source gets it.
        let farewell = contained(|| std::mem::take(&mut self.codec)).ok().map(|mut codec| -> Farewell {
            Box::new(move |reason| {
                let text = text.as_deref().unwrap_or(reason.code());
                envelope.end(codec.farewell(reason, code, text), reason)
            })
        });
        self.link.give_back(Returned { source, peer_finished: self.peer_finished, farewell });
    }
}

impl<C: Codec> Drop for Receiving<C> {
    fn drop(&mut self) {
        self.give_back(None);
    }
}

/// What a codec has found in the input.
type Found<C> = Result<Option<<C as Codec>::Frame>, FrameError>;

/// What ends receiving, beside the peer's own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Drain,
    End,
}

/// What came of the input.
enum Decoded<T> {
    Frame(T),
    /// Something that the protocol sees to by itself.
    Aside,
    /// More is needed.
    Nothing,
}
