//! The one task of a connection: it runs the handler, writes when a full socket takes more, and closes.

use super::Connection;
use crate::error::{BoxError, ConnectionError};
use crate::hub::Source;
use crate::hub::peer::{Peer, ReturnedSource};
use crate::worker::{Assigned, panic_text};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use switchboard_proto::{CloseReason, Codec, Ending};
use tokio::io::ReadBuf;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

/// Runs `handler` on the connection and closes it afterwards. Done once the socket is closed and counted.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice in each connection's task")]
pub(crate) fn serve<C, H, F, E>(
    entered: Entered<impl Send>,
    source: Box<dyn Source>,
    handler: Arc<H>,
) -> impl Future<Output = ()> + Send
where
    C: Codec,
    H: Fn(Connection<C>) -> F + Send + Sync,
    F: Future<Output = Result<(), E>> + Send,
    E: Into<BoxError>,
{
    async move {
        let peer = &entered.peer;
        let connection = Connection::new(Arc::clone(peer), source);
        // An option that is filled in place, so that the handler's future is not held twice across an await.
        let mut running = pin!(None);
        let mut outcome = match caught(|| handler(connection)) {
            Ok(future) => {
                running.set(Some(future));
                None
            }
            Err(panic) => Some(panic),
        };
        let outcome = poll_fn(|cx| {
            let Some(running) = running.as_mut().as_pin_mut() else {
                return Poll::Ready(outcome.take().unwrap_or(Outcome::Finished));
            };
            if peer.poll_drive(cx).is_ready() {
                return Poll::Ready(Outcome::Dropped);
            }
            match peer.staged(|| caught(|| running.poll(cx))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(Ok(()))) => Poll::Ready(Outcome::Finished),
                Ok(Poll::Ready(Err(error))) => Poll::Ready(Outcome::Failed(error.into())),
                Err(panic) => Poll::Ready(panic),
            }
        })
        .await;
        running.set(None);
        // The handler may have given the connection to a task of its own.
        let mut returned = poll_fn(|cx| {
            if peer.poll_drive(cx).is_ready() {
                return Poll::Ready(None);
            }
            peer.poll_returned().map(Some)
        })
        .await;

        let finished = returned.as_ref().is_some_and(|returned| returned.finished);
        let reason = peer.start_close(outcome.reason(finished, &peer.listener.drain));
        let mut sending = true;
        let politely = poll_fn(|cx| poll_close(peer, cx, reason, &mut returned, &mut sending)).await;
        let unwritten = peer.finish_close(!politely);
        let peer = Arc::clone(peer);
        // Out of every list before it is logged and counted as closed.
        drop(entered);
        report(&peer, reason, unwritten, outcome);
    }
}

/// A connection in its worker's list, for as long as its task lives.
pub(crate) struct Entered<A> {
    peer: Arc<Peer>,
    worker: Assigned,
    /// Held for what its end gives back.
    _admitted: A,
}

impl<A> Entered<A> {
    pub(crate) fn new(peer: Arc<Peer>, worker: Assigned, admitted: A) -> Self {
        worker.enter(Arc::clone(&peer));
        if peer.listener.drain.is_cancelled() {
            peer.drain();
        }
        debug!(conn.id = %peer.id, peer.addr = %peer.address, listener = peer.listener.name, "connection opened");
        Self { peer, worker, _admitted: admitted }
    }
}

impl<A> Drop for Entered<A> {
    fn drop(&mut self) {
        self.worker.leave(self.peer.id);
    }
}

/// Calls the handler's code. A panic ends this connection and no other; what the handler shares with others is theirs to
/// keep sound, as it is for any panic in a task.
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, Outcome> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| Outcome::Panicked(panic_text(&*panic)))
}

/// How the handler ended.
enum Outcome {
    Finished,
    Failed(BoxError),
    Panicked(BoxError),
    Dropped,
}

impl Outcome {
    /// The close reason, if none was noted before.
    fn reason(&self, peer_finished: bool, drain: &CancellationToken) -> CloseReason {
        match self {
            Self::Finished if drain.is_cancelled() => CloseReason::Drained,
            Self::Finished if peer_finished => CloseReason::PeerClosed,
            Self::Finished => CloseReason::Finished,
            Self::Failed(_) => CloseReason::HandlerError,
            Self::Panicked(_) => CloseReason::HandlerPanic,
            Self::Dropped => CloseReason::Aborted,
        }
    }
}

/// Flushes, shuts down the write side, then reads and discards until the peer has finished: a socket closed over unread
/// input is reset, and the peer loses what it had not read yet. Says whether all of that came to its end.
fn poll_close(
    peer: &Peer,
    cx: &mut Context<'_>,
    reason: CloseReason,
    returned: &mut Option<ReturnedSource>,
    sending: &mut bool,
) -> Poll<bool> {
    let Some(returned) = returned else { return Poll::Ready(false) };
    if reason.ending() == Ending::Abrupt || peer.poll_drive(cx).is_ready() {
        return Poll::Ready(false);
    }
    if *sending {
        if ready!(peer.poll_finish_sending(cx)).is_err() {
            return Poll::Ready(false);
        }
        *sending = false;
    }
    while !returned.finished {
        let mut shared = peer.tick.read_buffer.lock();
        let mut buffer = ReadBuf::new(&mut shared);
        let read = ready!(returned.source.poll_read(cx, &mut buffer));
        returned.finished = read.is_err() || buffer.filled().is_empty();
    }
    Poll::Ready(true)
}

/// Logs and counts the end, once.
fn report(peer: &Peer, reason: CloseReason, unwritten: usize, outcome: Outcome) {
    let metrics = &peer.listener.metrics;
    metrics.count_close(reason);
    let traffic = &peer.traffic;
    let bytes_in = traffic.bytes_in.load(Ordering::Relaxed);
    let bytes_out = traffic.bytes_out.load(Ordering::Relaxed);
    let frames_in = traffic.frames_in.load(Ordering::Relaxed);
    let frames_out = traffic.frames_out.load(Ordering::Relaxed);
    let age = peer.opened.elapsed();
    macro_rules! closed {
        ($log:ident, $($field:tt)*) => {
            $log!(
                conn.id = %peer.id, peer.addr = %peer.address, close.reason = %reason, $($field)*
                ?age, bytes_in, bytes_out, frames_in, frames_out, unwritten, "connection closed"
            )
        };
    }
    let own_error = match outcome {
        Outcome::Panicked(error) => Some(error),
        // A handler that passes on why its connection was closed has found no error of its own.
        Outcome::Failed(error) if !error.is::<ConnectionError>() => Some(error),
        _ => None,
    };
    if own_error.is_none() && reason.is_ordinary() {
        return closed!(debug,);
    }
    match (metrics.may_log_abnormal(), own_error) {
        (Some(withheld), Some(error)) => closed!(error, error, withheld,),
        (Some(withheld), None) => closed!(info, withheld,),
        (None, _) => closed!(debug,),
    }
}
