//! The one task of a connection: it runs the handler, writes when a full socket takes more, and closes.

use super::handler::HandlerOutput;
use crate::error::{BoxError, ConnectionError, discard, panic_text};
use crate::link::{Link, Returned, Source};
use crate::metrics::TransportTraffic;
use crate::node::Entered;
use crate::turn::Turn;
use pin_project_lite::pin_project;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use switchboard_proto::CloseReason;
use tokio::io::ReadBuf;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, trace};

/// Runs `handler` on the connection and closes it afterwards. Done once the socket is closed and counted.
pub(crate) fn serve<F, A>(
    entered: Entered<A>,
    source: Box<dyn Source>,
    handler: impl FnOnce(Arc<Link>, Box<dyn Source>) -> F,
) -> Serve<F, A> {
    let link = Arc::clone(&entered.link);
    let (running, phase) = match caught(|| handler(link, source)) {
        Ok(running) => (Some(running), Phase::Handling),
        Err(panic) => (None, Phase::Handled { outcome: panic }),
    };
    Serve { entered: Some(entered), running, phase }
}

/// The task of a connection without a handler: it writes, and closes the connection once whoever has it drops it.
pub(crate) fn keep<A>(entered: Entered<A>) -> Serve<std::future::Ready<Result<(), BoxError>>, A> {
    Serve { entered: Some(entered), running: None, phase: Phase::Handled { outcome: Outcome::Finished } }
}

impl<F, A> Serve<F, A> {
    /// A connection that ends before there was a handler, for the reason that was noted.
    pub(super) fn unopened(entered: Entered<A>, error: Option<BoxError>) -> Self {
        let outcome = error.map_or(Outcome::Dropped, Outcome::Unopened);
        Self { entered: Some(entered), running: None, phase: Phase::Handled { outcome } }
    }
}

pin_project! {
    /// The task of a connection. By hand, because an async fn keeps what it awaits twice, in every connection's memory.
    pub(crate) struct Serve<F, A> {
        // Until the connection is closed.
        entered: Option<Entered<A>>,
        // The handler, until it has finished.
        #[pin]
        running: Option<F>,
        phase: Phase,
    }
}

enum Phase {
    Handling,
    /// The handler may have given the connection to a task of its own: it is closed when that drops it. And what rooms
    /// published before it left them is on its way, as is what it was told.
    Handled {
        outcome: Outcome,
    },
    /// Boxed, since it is over soon, and all that are open would have room for it.
    Closing(Box<Closing>),
}

struct Closing {
    outcome: Outcome,
    reason: CloseReason,
    /// Until the peer has finished; none if there is nothing to wait for.
    source: Option<Box<dyn Source>>,
    sending: bool,
}

impl<F, A> Future for Serve<F, A>
where
    F: Future<Output: HandlerOutput>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(entered) = &*this.entered else { return Poll::Ready(()) };
        let link = &entered.link;
        loop {
            match this.phase {
                Phase::Handling => {
                    let outcome = ready!(poll_handler(link, this.running.as_mut(), cx));
                    // A panic while it is dropped changes nothing: it is over.
                    let _ = caught(|| this.running.set(None));
                    *this.phase = Phase::Handled { outcome };
                }
                Phase::Handled { outcome } => {
                    if link.is_owed() {
                        ready!(link.poll_drive(cx));
                    }
                    let (source, finished, farewell) = match link.poll_returned() {
                        Poll::Ready(Returned { source, peer_finished, farewell }) => {
                            (Some(source).filter(|_| !peer_finished), peer_finished, farewell)
                        }
                        Poll::Pending => {
                            ready!(link.poll_drive(cx));
                            link.abort(CloseReason::Aborted);
                            (None, false, None)
                        }
                    };
                    let reason = outcome.reason(finished, &link.listener.drain);
                    let mut outcome = std::mem::replace(outcome, Outcome::Finished);
                    let reason = caught(|| link.start_close(reason, farewell)).unwrap_or_else(|panic| {
                        // Its codec has no words for the end, which is the same.
                        outcome = panic;
                        link.start_close(reason, None)
                    });
                    *this.phase = Phase::Closing(Box::new(Closing { outcome, reason, source, sending: true }));
                }
                Phase::Closing(closing) => {
                    let politely = ready!(poll_close(link, cx, closing));
                    let finish = || link.finish_close(!politely);
                    // Values of the user's may be queued: what is left of them goes the second time.
                    let unwritten = caught(finish).unwrap_or_else(|_| finish());
                    let (link, reason) = (Arc::clone(link), closing.reason);
                    let outcome = std::mem::replace(&mut closing.outcome, Outcome::Finished);
                    // Out of every list before it is logged and counted as closed.
                    *this.entered = None;
                    // An error of the user's has to say what it is.
                    let _ = caught(|| report(&link, reason, unwritten, outcome));
                    return Poll::Ready(());
                }
            }
        }
    }
}

/// Polls the handler, unless its time is over.
fn poll_handler<F>(link: &Arc<Link>, running: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<Outcome>
where
    F: Future<Output: HandlerOutput>,
{
    if link.poll_drive(cx).is_ready() {
        return Poll::Ready(Outcome::Dropped);
    }
    let Some(running) = running.as_pin_mut() else { unreachable!("the handler runs in this phase") };
    // What an error becomes is the user's code as well.
    let polled = || caught(|| running.poll(cx).map(HandlerOutput::into_result));
    // Also what is sent may be a value of the user's, which is dropped here.
    match caught(|| link.staged(polled)).and_then(|polled| polled) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(Ok(()))) => Poll::Ready(Outcome::Finished),
        Ok(Poll::Ready(Err(error))) => Poll::Ready(match error.downcast_ref() {
            Some(reason) => {
                link.end_as(*reason);
                Outcome::Finished
            }
            None => Outcome::Failed(error),
        }),
        Err(panic) => Poll::Ready(panic),
    }
}

/// Calls the handler's code. A panic ends this connection and no other; what the handler shares with others is theirs to
/// keep sound, as it is for any panic in a task.
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, Outcome> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic_text(&*panic);
        discard(panic);
        Outcome::Panicked(text)
    })
}

/// How the handler ended.
enum Outcome {
    Finished,
    Failed(BoxError),
    Panicked(BoxError),
    Dropped,
    /// There was no handler: the peer and we did not agree on how to speak.
    Unopened(BoxError),
}

impl Outcome {
    /// The close reason, if none was noted before.
    fn reason(&self, peer_finished: bool, drain: &CancellationToken) -> CloseReason {
        match self {
            Self::Finished if peer_finished => CloseReason::PeerClosed,
            Self::Finished if drain.is_cancelled() => CloseReason::Drained,
            Self::Finished => CloseReason::Finished,
            Self::Failed(_) => CloseReason::HandlerError,
            Self::Panicked(_) => CloseReason::HandlerPanic,
            Self::Dropped => CloseReason::Aborted,
            Self::Unopened(_) => CloseReason::HandshakeFailed,
        }
    }
}

/// Flushes, shuts down the write side, then reads and discards until the peer has finished: a socket closed over unread
/// input is reset, and the peer loses what it had not read yet. Says whether all of that came to its end.
fn poll_close(link: &Link, cx: &mut Context<'_>, closing: &mut Closing) -> Poll<bool> {
    if link.ends_abruptly(closing.reason) {
        return Poll::Ready(false);
    }
    if link.poll_drive(cx).is_ready() {
        // Past the shutdown only the peer's own end is missing: the kernel goes on sending what it holds.
        return Poll::Ready(!closing.sending && !link.is_aborted());
    }
    if closing.sending {
        if let Err(reason) = ready!(link.poll_finish_sending(cx)) {
            closing.reason = reason.unwrap_or(closing.reason);
            return Poll::Ready(false);
        }
        closing.sending = false;
    }
    let mut turn = Turn::default();
    while let Some(reading) = &mut closing.source {
        let mut shared = link.tick.read_buffer.lock();
        let mut buffer = ReadBuf::new(&mut shared.bytes);
        let read = ready!(reading.poll_read(cx, &mut buffer));
        if read.is_err() || buffer.filled().is_empty() {
            closing.source = None;
        } else if turn.is_over(buffer.filled().len()) {
            // Whoever sends without end is not read without end: tokio would allow 8 MiB of it in a row.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
    }
    Poll::Ready(true)
}

/// Logs and counts the end, once.
fn report(link: &Link, reason: CloseReason, unwritten: usize, outcome: Outcome) {
    let metrics = &link.listener.metrics;
    let life = link.opened.elapsed();
    metrics.count_close(link.carrier(), reason, Some(life));
    link.tick.closed.push(link, reason, life, unwritten);
    let TransportTraffic { bytes_in, bytes_out, frames_in, frames_out } = link.traffic.now();
    let age_us = life.as_micros() as u64;
    macro_rules! closed {
        ($log:ident, $($field:tt)*) => {
            $log!(
                conn.id = link.id.0, peer.addr = %link.client(), close.reason = %reason, $($field)*
                age_us, bytes_in, bytes_out, frames_in, frames_out, unwritten, "connection closed"
            )
        };
    }
    // What the peer was taken for, or what is wrong with what it sent.
    let fault = match &outcome {
        Outcome::Failed(error) if matches!(reason, CloseReason::WrongProtocol | CloseReason::BadFrame) => {
            Some(error.to_string())
        }
        _ => None,
    };
    let own_error = match outcome {
        Outcome::Unopened(error) => {
            let Some(withheld) = metrics.may_log_abnormal() else { return closed!(debug, error,) };
            return closed!(info, error, withheld,);
        }
        Outcome::Panicked(error) => Some(error),
        // A handler that passes on why its connection was closed has found no error of its own.
        Outcome::Failed(error) if !error.is::<ConnectionError>() => Some(error),
        _ => None,
    };
    // A balancer looks like that: it connects to see whether it can, and resets.
    let is_probe = reason == CloseReason::PeerReset && bytes_in == 0;
    if own_error.is_none() && (reason.is_ordinary() || is_probe) {
        if link.is_part_of_pair() {
            return closed!(trace,);
        }
        return closed!(debug,);
    }
    match (metrics.may_log_abnormal(), own_error) {
        (Some(withheld), Some(error)) => closed!(error, error, withheld,),
        (Some(withheld), None) => closed!(info, error = fault.as_deref(), withheld,),
        (None, _) => closed!(debug,),
    }
}
