//! The one task of a connection: it runs the handler, writes when a full socket takes more, and closes.

use super::Connection;
use crate::error::{BoxError, ConnectionError};
use crate::hub::Source;
use crate::hub::peer::{Peer, ReturnedSource};
use crate::metrics::Metrics;
use crate::worker::{Assigned, Worker, panic_text};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker, ready};
use switchboard_proto::{CloseReason, Codec, Ending};
use tokio::io::ReadBuf;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

/// What the task of a connection needs besides the connection.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: CancellationToken,
}

/// Runs `handler` on the connection and closes it afterwards. Returns once the socket is closed and counted.
pub(crate) async fn serve<C, H, F, E>(
    peer: Arc<Peer>,
    source: Box<dyn Source>,
    (worker, admitted): (Assigned, impl Sized),
    context: Context,
    handler: Arc<H>,
) where
    C: Codec,
    H: Fn(Connection<C>) -> F,
    F: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    let entered = Entered::new(&peer, &worker);
    if context.drain.is_cancelled() {
        peer.drain();
    }
    debug!(conn.id = %peer.id, peer.addr = %peer.address, listener = peer.listener.name, "connection opened");

    let mut known = None;
    let outcome = {
        let connection = Connection::new(Arc::clone(&peer), Arc::clone(&worker), context.drain.clone(), source);
        let mut handler = pin!(async { handler(connection).await.map_err(Into::into) });
        poll_fn(|cx| {
            if peer.poll_drive(cx, &mut known).is_ready() {
                return Poll::Ready(Outcome::Dropped);
            }
            // A panic ends this connection and no other. What the handler shares with others is theirs to keep sound,
            // as it is for any panic in a task.
            match peer.staged(|| catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx)))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(Ok(()))) => Poll::Ready(Outcome::Finished),
                Ok(Poll::Ready(Err(error))) => Poll::Ready(Outcome::Failed(error)),
                Err(panic) => Poll::Ready(Outcome::Panicked(panic_text(&*panic))),
            }
        })
        .await
    };
    // The handler may have given the connection to a task of its own.
    let returned = poll_fn(|cx| {
        if peer.poll_drive(cx, &mut known).is_ready() {
            return Poll::Ready(None);
        }
        peer.poll_returned().map(Some)
    })
    .await;

    let finished = returned.as_ref().is_some_and(|returned| returned.finished);
    let reason = peer.start_close(outcome.reason(finished, &context));
    let reset = !close(&peer, &worker, reason, returned, &mut known).await;
    let unwritten = peer.finish_close(reset);
    drop((entered, admitted));
    report(&peer, reason, unwritten, outcome, &context.metrics);
}

/// The lists that a connection is in, for as long as its task lives.
struct Entered<'a>(&'a Peer, &'a Worker);

impl<'a> Entered<'a> {
    fn new(peer: &'a Arc<Peer>, worker: &'a Worker) -> Self {
        worker.enter(Arc::clone(peer));
        Self(peer, worker)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.1.leave(self.0.id);
    }
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
    fn reason(&self, peer_finished: bool, context: &Context) -> CloseReason {
        match self {
            Self::Finished if context.drain.is_cancelled() => CloseReason::Drained,
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
async fn close(
    peer: &Peer,
    worker: &Worker,
    reason: CloseReason,
    returned: Option<ReturnedSource>,
    known: &mut Option<Waker>,
) -> bool {
    let Some(mut returned) = returned else { return false };
    if reason.ending() == Ending::Abrupt {
        return false;
    }
    let mut sending = true;
    poll_fn(|cx| {
        if peer.poll_drive(cx, known).is_ready() {
            return Poll::Ready(false);
        }
        if sending {
            if ready!(peer.poll_finish_sending(cx)).is_err() {
                return Poll::Ready(false);
            }
            sending = false;
        }
        while !returned.finished {
            let mut shared = worker.read_buffer.lock();
            let mut buffer = ReadBuf::new(&mut shared);
            let read = ready!(returned.source.poll_read(cx, &mut buffer));
            returned.finished = read.is_err() || buffer.filled().is_empty();
        }
        Poll::Ready(true)
    })
    .await
}

/// Logs and counts the end, once.
fn report(peer: &Peer, reason: CloseReason, unwritten: usize, outcome: Outcome, metrics: &Metrics) {
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
