//! Relays two connections: what arrives on each is sent on the other.
//!
//! Knows no addresses: the caller has both connections.

use super::reading::is_bare;
use super::{Connection, Receiving, Until};
use crate::error::ConnectionError;
use bytes::Bytes;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use switchboard_proto::{CloseReason, Codec, passed};
use tokio::time::{Instant, Sleep, sleep};

/// While so much is queued for one side, nothing is read from the other: with one read more that is 128 KiB each way.
const QUEUED_BYTES: usize = 64 << 10;

/// Passes what arrives on each connection to the other, until both have finished.
///
/// - When one side finishes sending, the other sees the end of its input after everything that was sent. The other
///   direction goes on.
/// - If one side reads slowly, the other is read slowly too: at most 128 KiB wait in each direction, or
///   [`Limits::outbox_bytes`](crate::Limits::outbox_bytes) if that is less.
/// - If one connection breaks, the other is reset: half an upload must not look like a whole one.
/// - A drain does not end the relay: it waits for both sides to finish, and aborts them at the end of the grace period.
/// - [`Timeouts::idle`](crate::Timeouts::idle) counts from the last byte in either direction. For a limit of the
///   relay's own, see [`Relay::idle`].
///
/// Frames are passed on one by one, so a WebSocket can be relayed to a byte stream as well as two streams to each
/// other. Everything runs in the calling task; no task or queue is added.
///
/// # Cancel safety
/// Dropping it closes both connections, as dropping them does.
///
/// # Examples
/// ```
/// use switchboard::prelude::*;
/// use switchboard::{Memory, Raw, relay};
///
/// /// A proxy: whoever comes is passed on to `upstream`.
/// async fn proxy(conn: Connection<Raw>, upstream: Memory) -> Result {
///     let upstream: Connection<Raw> = Client::new().memory(&upstream).await?;
///     let relayed = relay(conn, upstream).await;
///     println!("{} bytes sent, {} received: {}", relayed.forth, relayed.back, relayed.end);
///     Ok(())
/// }
/// ```
pub fn relay<A, B>(first: Connection<A>, second: Connection<B>) -> Relay<A, B>
where
    A: Codec<Frame: Into<Bytes> + From<Bytes>>,
    B: Codec<Frame: Into<Bytes> + From<Bytes>>,
{
    Relay {
        connections: Some((first, second)),
        forth: Way::default(),
        back: Way::default(),
        idle: None,
        half: None,
        sleep: None,
    }
}

/// Two connections being relayed by [`relay`]. Awaiting it gives a [`Relayed`].
#[must_use = "nothing is passed on unless it is awaited"]
pub struct Relay<A: Codec, B: Codec> {
    /// Until it is over.
    connections: Option<(Connection<A>, Connection<B>)>,
    forth: Way,
    back: Way,
    idle: Option<Duration>,
    half: Option<Duration>,
    /// Until nothing may have gone through for this long.
    sleep: Option<(Duration, Pin<Box<Sleep>>)>,
}

/// Payload bytes that were passed on, as in [`Relayed`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RelayedBytes {
    /// From the first connection to the second.
    pub forth: u64,
    /// From the second to the first.
    pub back: u64,
}

/// The result of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relayed {
    /// Payload bytes received on the first connection and queued for the second.
    pub forth: u64,
    /// The same from the second to the first.
    pub back: u64,
    /// Why it ended.
    pub end: RelayEnd,
}

/// Why a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayEnd {
    /// Both sides have finished sending, and all of it was passed on.
    Finished,
    /// Nothing passed in either direction for as long as [`Relay::idle`] allows, or [`Relay::half`].
    Idle,
    /// The first connection was closed for this reason, or could not be read.
    First(CloseReason),
    /// The second one was.
    Second(CloseReason),
}

impl fmt::Display for RelayEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("both sides finished"),
            Self::Idle => f.write_str("idle"),
            Self::First(reason) => write!(f, "first side: {reason}"),
            Self::Second(reason) => write!(f, "second side: {reason}"),
        }
    }
}

impl<A: Codec, B: Codec> Relay<A, B> {
    /// Ends the relay once nothing was received from or written to either side for `limit`, to the second. Whoever
    /// waits for the rest of what the other side sends is reset, for the same reason as where a connection breaks.
    pub fn idle(self, limit: Duration) -> Self {
        Self { idle: Some(limit), ..self }
    }

    /// Like [`idle`](Self::idle), but only once one side has finished sending, for the other side, which may have forgotten to. If both are
    /// set, the shorter one applies then.
    pub fn half(self, limit: Duration) -> Self {
        Self { half: Some(limit), ..self }
    }

    /// Logs the ordinary end of each connection as `trace` instead of `debug`: for a caller that logs the pair as one.
    pub fn logged_as_one(self) -> Self {
        if let Some((first, second)) = &self.connections {
            first.0.link.part_of_pair();
            second.0.link.part_of_pair();
        }
        self
    }

    /// What was passed on so far.
    pub fn passed(&self) -> RelayedBytes {
        RelayedBytes { forth: self.forth.bytes, back: self.back.bytes }
    }
}

impl<A, B> Future for Relay<A, B>
where
    A: Codec<Frame: Into<Bytes> + From<Bytes>>,
    B: Codec<Frame: Into<Bytes> + From<Bytes>>,
{
    type Output = Relayed;

    /// # Panics
    /// If it is polled again after it is over.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Relayed> {
        let this = &mut *self;
        let Some((first, second)) = &mut this.connections else { panic!("the relay is over") };
        let before = this.forth.bytes + this.back.bytes;
        let forth = this.forth.poll(&mut first.0, &mut second.0, cx);
        let back = this.back.poll(&mut second.0, &mut first.0, cx);
        if this.forth.bytes + this.back.bytes > before {
            first.0.link.stir();
            second.0.link.stir();
        }
        let end = match (forth, back) {
            (Poll::Ready(Err(Broken::Source(reason))), _) | (_, Poll::Ready(Err(Broken::Target(reason)))) => {
                RelayEnd::First(reason)
            }
            (Poll::Ready(Err(Broken::Target(reason))), _) | (_, Poll::Ready(Err(Broken::Source(reason)))) => {
                RelayEnd::Second(reason)
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => RelayEnd::Finished,
            _ => {
                ready!(this.poll_idle(cx));
                RelayEnd::Idle
            }
        };
        let Some((first, second)) = this.connections.take() else { unreachable!("looked at above") };
        match end {
            RelayEnd::First(reason) if reason != CloseReason::Idle => second.reset(),
            RelayEnd::Second(reason) if reason != CloseReason::Idle => first.reset(),
            RelayEnd::Idle => {
                if !this.forth.is_over {
                    second.reset();
                }
                if !this.back.is_over {
                    first.reset();
                }
            }
            // Nothing is on its way any more.
            _ => {}
        }
        Poll::Ready(Relayed { forth: this.forth.bytes, back: this.back.bytes, end })
    }
}

impl<A: Codec, B: Codec> Relay<A, B> {
    /// Waits until nothing has gone through for as long as it may. One timer, which is looked at when it is over.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let half = self.half.filter(|_| self.forth.is_over || self.back.is_over);
        let limit = self.idle.into_iter().chain(half).min();
        let (Some(limit), Some((first, second))) = (limit, &self.connections) else { return Poll::Pending };
        // Once one side has finished, less time may be left than it was set to.
        if self.sleep.as_ref().is_none_or(|(set, _)| *set != limit) {
            self.sleep = Some((limit, Box::pin(sleep(limit))));
        }
        let Some((_, sleep)) = &mut self.sleep else { unreachable!("set above") };
        loop {
            ready!(sleep.as_mut().poll(cx));
            let (first, second) = (&first.0.link, &second.0.link);
            let now = first.tick.now();
            // Each side counts its own seconds.
            let quiet = first.quiet_seconds().min(second.quiet_seconds());
            if passed(Some(now.saturating_sub(quiet)), now, Some(limit)) {
                return Poll::Ready(());
            }
            let rest = limit.saturating_sub(Duration::from_secs(quiet.into())).max(Duration::from_secs(1));
            sleep.as_mut().reset(Instant::now() + rest);
        }
    }
}

impl<A: Codec, B: Codec> fmt::Debug for Relay<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, forth, back, idle, .. } = self;
        f.debug_struct("Relay")
            .field("connections", connections)
            .field("forth", &forth.bytes)
            .field("back", &back.bytes)
            .field("idle", idle)
            .finish_non_exhaustive()
    }
}

/// One of the two ways.
#[derive(Default)]
struct Way {
    bytes: u64,
    /// Received, and not queued yet.
    held: Option<Bytes>,
    /// The source has finished, and the target was told so.
    is_over: bool,
    /// The target had too much queued when it was looked at last.
    is_full: bool,
}

/// Which end of a way is closed, and why.
enum Broken {
    Source(CloseReason),
    Target(CloseReason),
}

impl Way {
    fn poll<A, B>(
        &mut self,
        source: &mut Receiving<A>,
        target: &mut Receiving<B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>>
    where
        A: Codec<Frame: Into<Bytes>>,
        B: Codec<Frame: Into<Bytes> + From<Bytes>>,
    {
        // A target that took everything has nothing queued, which need not be asked each time.
        let mut is_known = !self.is_full && !target.link.is_blocked();
        while !self.is_over {
            if let Some(bytes) = self.held.take() {
                is_known = false;
                let (length, frame) = (bytes.len(), B::Frame::from(bytes));
                let (count, mut frame) = (B::count(&frame), Some(frame));
                let queued = target.poll_pass(cx, (count, length), &mut frame);
                self.held = frame.map(Into::into);
                ready!(queued).map_err(Broken::Target)?;
            }
            if !std::mem::take(&mut is_known) {
                let most = QUEUED_BYTES.min(target.link.listener.limits.outbox_bytes);
                self.is_full = true;
                ready!(target.link.poll_below(cx, most));
                self.is_full = false;
            }
            if is_bare::<A, B>() && target.is_open() {
                let passed = ready!(source.poll_pass_on(cx, &target.link));
                if passed > 0 {
                    self.bytes += passed as u64;
                    // A target that has taken all of it has nothing queued.
                    is_known = source.has_passed_all();
                    continue;
                }
            }
            match ready!(source.poll_recv(cx, Until::End)) {
                Ok(Some(frame)) => {
                    let bytes = frame.into();
                    self.bytes += bytes.len() as u64;
                    self.held = Some(bytes);
                }
                Ok(None) => {
                    self.is_over = true;
                    target.finish();
                }
                Err(ConnectionError::Closed(reason)) => return Poll::Ready(Err(Broken::Source(reason))),
                Err(ConnectionError::Frame(_)) => {
                    let reason = source.link.noted().unwrap_or(CloseReason::BadFrame);
                    return Poll::Ready(Err(Broken::Source(reason)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
