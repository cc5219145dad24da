//! Batches of datagrams and the replies to them, and the loop of a listener without connections.

use super::ends::{Ends, Family};
use super::gso::{Sent, Transmits, send_alone};
use super::incoming::Incoming;
use super::{Datagram, DatagramReply, Gate};
use crate::error::{discard, logged, panic_text};
use crate::metrics::{DatagramCounts, DatagramFate};
use std::cell::Cell;
use std::io;
use std::net::UdpSocket;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use switchboard_proto::Escaped;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio_util::sync::CancellationToken;
use tracing::{Level, enabled, error, trace};

/// Datagrams in one system call.
pub(super) const BATCH: usize = 64;

/// How much of a datagram a log line shows.
const TRACED_BYTES: usize = 1024;

/// Batches that are read once the drain begins, and in the last read of a connection: more than a socket's receive buffer holds of the
/// smallest datagrams, but not what keeps arriving.
const LAST_BATCHES: usize = 128;

/// Answers what one socket receives until the `drain`, and what it holds at that point.
pub(crate) async fn answer<H>(
    (socket, family): (UdpSocket, Family),
    gate: Arc<Gate>,
    handler: Arc<H>,
    counts: DatagramCounts,
    drain: CancellationToken,
) where
    H: Fn(Datagram<'_>, &mut DatagramReply<'_>),
{
    let socket = readable(socket);
    let batch = || {
        exchange((socket.get_ref(), family), &counts, |datagram, _, reply| answered(&gate, &*handler, datagram, reply))
    };
    while let Some(ready) = drain.run_until_cancelled(socket.readable()).await {
        let Ok(mut ready) = ready else { return };
        let (received, unsent) = batch();
        // A batch that is not full has emptied the socket: the event loop reports the next datagram.
        if received < BATCH {
            ready.clear_ready();
        }
        drop(ready);
        send_later(socket.get_ref(), unsent, &counts).await;
        tokio::task::coop::consume_budget().await;
    }
    take_rest(&counts, batch).await;
}

/// Reads what the socket holds when the server drains. Replies that find it full are lost.
pub(super) async fn take_rest(counts: &DatagramCounts, batch: impl Fn() -> (usize, Unsent)) {
    for _ in 0..LAST_BATCHES {
        let (received, unsent) = batch();
        counts.add(DatagramFate::Lost, unsent.len() as u64);
        if received < BATCH {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// The same for what a connection reads last, without waiting: `batch` says how many there were.
pub(super) fn take_rest_now(mut batch: impl FnMut() -> usize) {
    for _ in 0..LAST_BATCHES {
        if batch() < BATCH {
            return;
        }
    }
}

/// Lets `handler` answer a datagram that is heard and may be answered.
#[inline]
pub(super) fn answered<H>(gate: &Gate, handler: &H, datagram: Datagram<'_>, reply: &mut DatagramReply<'_>) -> Fate
where
    H: Fn(Datagram<'_>, &mut DatagramReply<'_>),
{
    if !gate.hears(&datagram) || !gate.answers(datagram.source) {
        return Fate::Refused;
    }
    handler(datagram, reply);
    if reply.wanted && gate.lets_out(reply, datagram.source) { Fate::Taken } else { Fate::Refused }
}

/// Registers a socket with the calling event loop.
///
/// For reading only: with interest in writing, the kernel wakes the event loop for each datagram that has left, which is 8 %
/// of a reply.
pub(super) fn readable(socket: UdpSocket) -> AsyncFd<UdpSocket> {
    let Ok(socket) = watch(socket, Interest::READABLE) else { unreachable!("the worker's event loop runs") };
    socket
}

/// Registers a socket with the event loop, for one interest.
#[expect(deprecated, reason = "its successor is unsafe for types that may change their descriptor; a socket does not")]
pub(super) fn watch(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    AsyncFd::with_interest(socket, interest)
}

/// Sends what the socket did not take at once. Nothing is received in the meantime, so nothing more piles up.
pub(super) async fn send_later(socket: &UdpSocket, unsent: Unsent, counts: &DatagramCounts) {
    if unsent.is_empty() {
        return;
    }
    let other = socket.try_clone().and_then(|socket| watch(socket, Interest::WRITABLE));
    let Ok(writable) = other else {
        return counts.add(DatagramFate::Lost, unsent.len() as u64);
    };
    for (payload, ends) in unsent {
        match writable.async_io(Interest::WRITABLE, |socket| Ok(send_alone(socket, &payload, ends)?)).await {
            Ok(()) => counts.add(DatagramFate::Out, 1),
            Err(_) => counts.add(DatagramFate::Lost, 1),
        }
    }
}

/// Replies that the socket did not take at once.
pub(super) type Unsent = Vec<(Vec<u8>, Ends)>;

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Taken,
    /// On purpose; counted.
    Refused,
    /// It was sent from here, and has come back. Not counted as received.
    Own,
}

/// Receives one batch and sends the replies to it. Returns how many were received.
pub(super) fn exchange(
    (socket, family): (&UdpSocket, Family),
    counts: &DatagramCounts,
    mut handler: impl FnMut(Datagram<'_>, Ends, &mut DatagramReply<'_>) -> Fate,
) -> (usize, Unsent) {
    let new = || Box::new(Scratch { incoming: Incoming::new(), replies: Transmits::new(socket) });
    let mut scratch = SCRATCH.take().unwrap_or_else(new);
    let Scratch { incoming, replies } = &mut *scratch;
    // An error belongs to some datagram sent earlier, or there is none to receive.
    let received = incoming.receive(socket, family).unwrap_or(0);
    let mut own = 0;
    for index in 0..received {
        let (payload, ends) = incoming.datagram(index);
        let start = replies.text.len();
        let mut reply = DatagramReply::behind(&mut replies.text);
        let datagram = Datagram { payload, source: ends.peer };
        let fate = handled(datagram, &mut reply, counts, |datagram, reply| handler(datagram, ends, reply));
        match fate {
            Fate::Taken if reply.wanted => replies.seal(start, ends),
            Fate::Taken => {}
            Fate::Refused => replies.text.truncate(start),
            Fate::Own => own += 1,
        }
    }
    counts.add(DatagramFate::In, (received - own) as u64);
    let full = replies.send(socket, counts) == Sent::Full;
    let unsent = |(payload, ends): (&[u8], Ends)| (payload.to_vec(), ends);
    let unsent = if full { replies.datagrams().map(unsent).collect() } else { Unsent::new() };
    replies.clear();
    SCRATCH.set(Some(scratch));
    (received, unsent)
}

/// Calls a handler for one datagram. A panic costs only the answer to that one.
#[inline]
pub(super) fn handled<'a>(
    datagram: Datagram<'_>,
    reply: &mut DatagramReply<'a>,
    counts: &DatagramCounts,
    handler: impl FnOnce(Datagram<'_>, &mut DatagramReply<'a>) -> Fate,
) -> Fate {
    let Datagram { payload, source } = datagram;
    if enabled!(Level::TRACE) {
        logged(|| trace!("Received from {source}: {}", Escaped(&payload[..payload.len().min(TRACED_BYTES)])));
    }
    let handled = catch_unwind(AssertUnwindSafe(|| handler(datagram, reply)));
    let fate = handled.unwrap_or_else(|panic| {
        if counts.metrics.may_log_abnormal().is_some() {
            logged(|| error!(peer.addr = %source, error = %panic_text(&*panic), "datagram handler panicked"));
        }
        discard(panic);
        Fate::Refused
    });
    if fate == Fate::Refused {
        counts.add(DatagramFate::Refused, 1);
    }
    fate
}

thread_local! {
    /// Memory for one batch. The kernel's headers hold addresses of their own and cannot move between threads, so they
    /// stay here. From one batch to the next only is remembered which hosts joined replies do not reach, from any socket.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

struct Scratch {
    incoming: Incoming,
    replies: Transmits,
}
