//! One connection as everybody but its handler sees it: who it is, its outbox, its stamps, and how it ends.
//!
//! Senders, the tick, the sweep, drain and operators all hold an `Arc<Link>`; only the connection's own task closes it.
//! To get something from that task, others set a flag and wake it.

pub(crate) mod backlog;
mod behind;
pub(crate) mod budget;
mod closed;
mod counting;
pub(crate) mod delivery;
mod ending;
mod ends;
mod envelope;
pub(crate) mod figure;
mod half_close;
mod hearing;
mod held_up;
pub(crate) mod occupancy;
mod origin;
pub(crate) mod outbox;
mod passing;
mod proxies;
pub(crate) mod read_buffer;
pub(crate) mod roster;
mod secured;
pub(crate) mod sharing;
mod socket;
mod staging;
mod streaming;
mod tasks;
pub(crate) mod tick;
mod tuning;
mod unheard;
mod waiters;

pub use closed::ClosedInfo;
pub(crate) use closed::{Called, ClosedRing};
pub(crate) use delivery::Undeliverable;
pub(crate) use ending::{Farewell, Returned};
pub(crate) use ends::{EndClock, TimeLeft};
pub(crate) use envelope::Envelope;
pub use origin::{ConnectionId, PeerAddr, UnixUser};
pub(crate) use origin::{Horizon, ListenerSettings, Provenance};
pub(crate) use proxies::Begins;
pub use proxies::Proxies;
pub use secured::TlsInfo;
pub(crate) use socket::{Gathering, OpenError, Sink, Source, space};
pub use tasks::Spawned;
pub(crate) use tasks::Tasks;
pub use tuning::{Tuned, Tuning};

use crate::metrics::{Lane, Traffic};
use crate::sync::{self, Mutex};
use origin::Whence;
use outbox::{Flushed, Outbox, Unsendable};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker, ready};
use switchboard_proto::{CloseReason, Output, Second, Stamp};
use tick::Tick;
use tokio::time::Instant;
use waiters::{Waiters, wake};

/// The socket takes no more; the task goes on writing.
const BLOCKED: u16 = 1;
/// Closed: receiving and sending fail, and the handler has the linger time to finish.
const CLOSING: u16 = 2;
/// Receiving ends after what has already arrived.
const DRAINING: u16 = 4;
/// The time to finish is over.
const FORCED: u16 = 8;
/// Ended without any time to finish.
const ABORTED: u16 = 16;
/// The task has not run yet.
const NEW: u16 = 32;
/// The handler does not run yet: the stamp of reading is that of the handshake.
const OPENING: u16 = 64;
/// Nothing more is sent, though receiving goes on.
const FINISHED: u16 = 128;
/// Closing, and what the peer sent is received first: see `unheard.rs`.
const UNHEARD: u16 = 256;
/// The end of that is the peer's own.
const COMPLETE: u16 = 512;
/// Others send on it as well: see `sharing.rs`.
const SHARED: u16 = 1024;
/// Its sending half is apart, and keeps it open.
const SPLIT: u16 = 2048;
/// Its handler has reset it.
const RESET: u16 = 4096;
/// Somebody watches how long it still has, to tell the peer; see `ends.rs`.
const WATCHED: u16 = 8192;
/// Its handler tells of its end, with that of another one.
const PART: u16 = 16384;

const NOT_READING: Second = Second::MAX;

pub(crate) struct Link {
    pub(crate) id: ConnectionId,
    whence: Whence,
    pub(crate) listener: Arc<ListenerSettings>,
    pub(crate) opened: Instant,
    pub(crate) traffic: Traffic,
    /// What the task must look at; see the constants.
    attention: sync::AtomicU16,
    /// A [`Protocol`].
    protocol: AtomicU8,
    /// Which transport it counts for.
    carrier: AtomicU8,
    /// It may have to wait for another worker; see [`State::behind`].
    falls_behind: AtomicBool,
    reading_since: AtomicU32,
    /// When anything went through it last.
    last: AtomicU32,
    /// When what it was shown to be has an end, by the worker's [`EndClock`].
    ends: AtomicU32,
    /// Messages that were not queued for it after all, or not any more.
    lost_messages: AtomicU32,
    /// How many subscriptions deliver to it.
    subscriptions: AtomicU32,
    /// How many have ended that the tick does not know of yet.
    leaving: sync::AtomicU32,
    pub(crate) tick: Arc<Tick>,
    state: Mutex<State>,
}

/// What is spoken on a connection, as far as that makes a difference to those who look after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Protocol {
    /// Frames of a codec, from the first byte on.
    Frames,
    /// Requests and answers.
    Http,
    /// One answer, for as long as it goes on.
    Stream,
    /// The same of events, beside which comments keep it alive.
    Events,
    /// The same in chunks.
    EventsInChunks,
    /// Messages in both directions, beside which it can be pinged.
    WebSocket,
    /// Nothing more: the protocol has told the peer.
    Ended,
}

struct State {
    outbox: Outbox,
    reason: Option<CloseReason>,
    /// Since when the handler, and then the peer, has had its time to finish.
    lingering: Stamp,
    /// The task that owns the connection.
    driver: Option<Waker>,
    /// Others who wait for something of it.
    waiting: Option<Box<Waiters>>,
    /// A sender waits for space.
    wants_space: bool,
    /// What the `Connection` gave back when it was dropped.
    returned: Option<Box<Returned>>,
    /// When it was asked for a sign of life.
    pinged: Stamp,
    input_charge: budget::Charge,
    /// Another worker that was behind when it published to it.
    behind: Option<Arc<Tick>>,
    /// Since when it has been waiting for a worker to catch up, or for memory.
    held_up_since: Stamp,
    /// What it has published that is to be confirmed.
    unconfirmed: i16,
    /// How often it need not be once more.
    turns: u8,
    /// How often what was posted to it is on its way to be told again.
    repeats: u16,
}

impl Link {
    pub(crate) fn new(
        id: ConnectionId,
        origin: Provenance,
        listener: Arc<ListenerSettings>,
        sink: Box<dyn Sink>,
        tick: Arc<Tick>,
    ) -> Arc<Self> {
        let carrier = listener.counts.spoken_number(false);
        listener.counts.opened(false, 1);
        Arc::new(Self {
            id,
            opened: origin.accepted.unwrap_or_else(Instant::now),
            whence: origin.into(),
            listener,
            traffic: Traffic::default(),
            attention: sync::AtomicU16::new(NEW),
            protocol: AtomicU8::new(Protocol::Frames as u8),
            carrier: AtomicU8::new(carrier),
            falls_behind: AtomicBool::new(false),
            reading_since: AtomicU32::new(NOT_READING),
            last: AtomicU32::new(tick.now()),
            ends: AtomicU32::new(ends::NEVER),
            lost_messages: AtomicU32::new(0),
            subscriptions: AtomicU32::new(0),
            leaving: sync::AtomicU32::new(0),
            tick,
            state: Mutex::new(State {
                outbox: Outbox::new(sink),
                reason: None,
                lingering: Stamp::NONE,
                driver: None,
                waiting: None,
                wants_space: false,
                returned: None,
                pinged: Stamp::NONE,
                input_charge: budget::Charge::default(),
                behind: None,
                held_up_since: Stamp::NONE,
                unconfirmed: 0,
                turns: 0,
                repeats: 0,
            }),
        })
    }

    // Sending.

    /// Queues one frame, which counts as `frames`; or waits, if the outbox is full.
    #[inline]
    pub(crate) fn poll_send(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        frames: usize,
        encode: impl FnOnce(&mut Output),
    ) -> Poll<Result<(), CloseReason>> {
        match staging::push(self, frames, encode) {
            None => Poll::Ready(Ok(())),
            Some(encode) => self.poll_queue(cx, frames, encode),
        }
    }

    /// As [`poll_send`](Self::poll_send), where nothing can be staged.
    #[inline(never)]
    pub(crate) fn poll_queue(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        frames: usize,
        encode: impl FnOnce(&mut Output),
    ) -> Poll<Result<(), CloseReason>> {
        let limits = &self.listener.limits;
        let mut state = self.state.lock();
        ready!(self.poll_place(&mut state, cx))?;
        state.outbox.push(frames, encode);
        self.queued(&mut state);
        self.sent(Lane::Tasks, frames);
        if !self.is(SHARED) {
            staging::open(self, state.outbox.space(limits.outbox_bytes, limits.outbox_frames));
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until a frame may be queued behind what was staged, or says why none may.
    #[inline]
    fn poll_place(self: &Arc<Self>, state: &mut State, cx: &Context<'_>) -> Poll<Result<(), CloseReason>> {
        let limits = &self.listener.limits;
        staging::take(self, |output, frames| self.append(state, output, frames));
        if self.is(CLOSING | FINISHED)
            && let Some(reason) = self.refuses(state)
        {
            return Poll::Ready(Err(reason));
        }
        if state.outbox.is_full(limits.outbox_bytes, limits.outbox_frames) {
            self.register(state, cx);
            state.wants_space = true;
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Polls the handler, and sends what it sent meanwhile: at once if nothing is queued, else behind what is.
    #[inline]
    pub(crate) fn staged<T>(self: &Arc<Self>, poll: impl FnOnce() -> T) -> T {
        let limits = &self.listener.limits;
        // A socket that took everything until now has an outbox with space, or will have at the next tick.
        let is_open = !self.is(BLOCKED | CLOSING | SHARED);
        let space = if is_open { (limits.outbox_bytes.min(staging::MOST_BYTES), limits.outbox_frames) } else { (0, 0) };
        staging::begin(self, space);
        let result = poll();
        staging::end(self, |output, frames| self.write_staged(output, frames));
        result
    }

    #[inline]
    fn write_staged(self: &Arc<Self>, output: &mut Output, frames: usize) {
        let mut state = self.state.lock();
        if !state.outbox.is_idle() {
            return self.append(&mut state, output, frames);
        }
        self.sent(Lane::Tasks, frames);
        let mut written = 0;
        let result = state.outbox.write_staged(self.tick.now(), output, frames, &mut written);
        self.wrote(Lane::Tasks, &mut state, written);
        self.flushed(&mut state, result);
    }

    /// Sees to what a flush has left.
    #[inline]
    fn flushed(self: &Arc<Self>, state: &mut State, result: io::Result<Flushed>) {
        match result {
            Ok(Flushed::Clean) => {}
            Ok(Flushed::Again) => self.queued(state),
            Ok(Flushed::Blocked) => {
                self.block();
                wake(state.driver.as_ref());
            }
            Err(error) => self.stop_hearing(state, &error),
        }
    }

    fn append(self: &Arc<Self>, state: &mut State, output: &mut Output, frames: usize) {
        state.outbox.append(output, frames);
        self.queued(state);
        self.sent(Lane::Tasks, frames);
    }

    /// Tells the tick, unless it knows or the task is writing already.
    fn queued(self: &Arc<Self>, state: &mut State) {
        state.outbox.recount(&self.tick.budget);
        if !state.outbox.dirty && state.outbox.blocked_since().is_none() && !self.is(UNHEARD) {
            state.outbox.dirty = true;
            self.tick.mark(Arc::clone(self));
        }
    }

    /// Writes what is queued without waiting, and says how much; the worker's tick calls it.
    pub(crate) fn flush(self: &Arc<Self>) -> usize {
        let mut state = self.state.lock();
        state.outbox.dirty = false;
        if state.outbox.blocked_since().is_some() || state.outbox.is_empty() {
            return 0;
        }
        let mut written = 0;
        let result = state.outbox.try_flush(self.tick.now(), &mut written);
        self.wrote(Lane::Tick, &mut state, written);
        self.flushed(&mut state, result);
        written as usize
    }

    #[inline]
    fn wrote(&self, lane: Lane, state: &mut State, written: u64) {
        // Even if nothing was written: a replay that the transport cannot carry has left the queue too.
        state.outbox.recount(&self.tick.budget);
        if written == 0 {
            return;
        }
        let framing = state.outbox.sink().map_or(0, Sink::framing_bytes);
        self.took(lane, written - framing as u64);
        self.last.store(self.tick.now(), Ordering::Relaxed);
        let limits = &self.listener.limits;
        if state.wants_space && state.outbox.has_space(limits.outbox_bytes, limits.outbox_frames) {
            state.wants_space = false;
            state.wake();
        }
    }

    // The connection's own task.

    /// Goes on with a blocked outbox, and says whether the handler's time is over. Called whenever the task runs.
    #[inline]
    pub(crate) fn poll_drive(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is(NEW) {
            // Once is enough: the task belongs to the runtime, and its waker never changes.
            self.state.lock().driver = Some(cx.waker().clone());
            self.attention.fetch_and(!NEW, Ordering::Release);
        }
        if self.is(FINISHED) {
            self.poll_half_close(cx);
        } else if self.is(BLOCKED) {
            // An error ends the connection, which the handler hears of.
            let _ = self.poll_flush(cx);
        }
        if self.is(FORCED | ABORTED) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.lock();
        let mut written = 0;
        let result = state.outbox.poll_flush(cx, self.tick.now(), &mut written);
        self.wrote(Lane::Tasks, &mut state, written);
        let result = ready!(result);
        self.unblock();
        if let Err(error) = &result {
            self.stop_hearing(&mut state, error);
        } else if state.outbox.is_fetching() {
            // Whoever has fetched it wakes this task.
            return Poll::Pending;
        }
        Poll::Ready(result)
    }

    #[inline]
    fn is(&self, flag: u16) -> bool {
        // Acquire pairs with the Release where the flag was set: what it announces is visible.
        self.attention.load(Ordering::Acquire) & flag != 0
    }
}

/// Whatever it is still charged with goes with it.
impl Drop for Link {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        state.outbox.charge.set(0, &self.tick.budget);
        state.input_charge.set(0, &self.tick.budget);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("id", &self.id).field("address", self.client()).finish_non_exhaustive()
    }
}

/// What a socket's error says about the peer.
pub(crate) fn reason_of(error: &io::Error) -> CloseReason {
    use io::ErrorKind::{HostUnreachable, InvalidData, NetworkUnreachable, PermissionDenied, TimedOut, UnexpectedEof};
    if let Some(reason) = unsendable(error) {
        return reason;
    }
    match error.kind() {
        TimedOut | HostUnreachable | NetworkUnreachable => CloseReason::PeerLost,
        // What a TLS session says of a record that nobody has agreed to, and of an end that nobody has.
        InvalidData => CloseReason::BadFrame,
        // And of a peer that does not take our certificate; a firewall says the same of its own, with nothing in it.
        PermissionDenied if error.get_ref().is_some() => CloseReason::HandshakeFailed,
        UnexpectedEof => CloseReason::Truncated,
        _ => CloseReason::PeerReset,
    }
}

/// Why what is queued cannot be sent, if it is no socket's error.
fn unsendable(error: &io::Error) -> Option<CloseReason> {
    error.get_ref().and_then(|error| error.downcast_ref()).map(|Unsendable(reason)| *reason)
}

impl State {
    fn charged_bytes(&self) -> usize {
        self.outbox.charge.bytes() + self.input_charge.bytes()
    }
}
