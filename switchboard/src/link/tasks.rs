//! Tasks of the user's beside connections: a drain waits for them, a panic of one ends that one alone, and the end of the grace period
//! ends them all. Knows nothing of what they do.

use super::ConnectionId;
use crate::error::{BoxError, discard, panic_text};
use crate::metrics::Metrics;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

/// All that are spawned on one server, or client. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    pub(crate) tracker: TaskTracker,
    /// Cancelled once none may go on.
    pub(crate) abort: CancellationToken,
    pub(super) metrics: Arc<Metrics>,
}

impl Tasks {
    pub(crate) fn new(abort: CancellationToken, metrics: Arc<Metrics>) -> Self {
        Self { tracker: TaskTracker::new(), abort, metrics }
    }

    /// Spawns `task` for a connection, or for none in particular.
    pub(crate) fn spawn<F>(&self, runtime: &Handle, connection: Option<ConnectionId>, task: F) -> Spawned<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let contained = Contained { task: Some(task), connection, metrics: Arc::clone(&self.metrics) };
        let abort = self.abort.clone();
        let task = async move { abort.run_until_cancelled_owned(contained).await.flatten() };
        Spawned(self.tracker.spawn_on(task, runtime))
    }
}

/// A task spawned by [`Connection::spawn`](crate::Connection::spawn) or [`Handle::spawn`](crate::Handle::spawn).
/// Awaiting it gives the task's result, or `None` if the task panicked or was aborted.
///
/// Dropping it lets the task go on.
pub struct Spawned<T>(JoinHandle<Option<T>>);

impl<T> Spawned<T> {
    /// Aborts the task: it is dropped at its next `.await`.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl<T> Future for Spawned<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        // An error means that it was aborted, or panicked while it was dropped.
        Pin::new(&mut self.0).poll(cx).map(|joined| joined.ok().flatten())
    }
}

impl<T> fmt::Debug for Spawned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawned").field("is_finished", &self.is_finished()).finish()
    }
}

pin_project! {
    /// A task whose panic is logged, and ends it alone.
    struct Contained<F> {
        #[pin]
        task: Option<F>,
        connection: Option<ConnectionId>,
        metrics: Arc<Metrics>,
    }
}

impl<F: Future> Future for Contained<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let mut this = self.project();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let task = this.task.as_mut().as_pin_mut();
            let polled = task.map_or(Poll::Ready(None), |task| task.poll(cx).map(Some));
            if polled.is_ready() {
                this.task.set(None);
            }
            polled
        }));
        polled.unwrap_or_else(|panic| {
            let text = panic_text(&*panic);
            discard(panic);
            report(*this.connection, &text, this.metrics);
            Poll::Ready(None)
        })
    }
}

fn report(connection: Option<ConnectionId>, error: &BoxError, metrics: &Metrics) {
    let Some(withheld) = metrics.may_log_abnormal() else { return };
    error!(conn.id = connection.map(|id| id.0), error, withheld, "task panicked");
}
