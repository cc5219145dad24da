//! What was posted to a worker and is not delivered yet, and the publishers that wait until it is.
//!
//! Publishing never waits, and no member makes it fail. But a publisher that sends more than a worker can deliver is not read from
//! until the worker has caught up: a connection waits in its next `recv`, an HTTP request before it publishes. Only the
//! worker's load decides, never a member that reads slowly.

use super::Link;
use super::held_up::{HeldUp, Waiter};
use crate::sync::{AtomicUsize, Mutex};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A worker with more than this to deliver is behind: some ms of work, or 16 of the longest frames. A message or two where
/// threads are to meet in it.
const BEHIND_BYTES: usize = if cfg!(test) { 512 } else { 1 << 20 };

/// One worker's backlog.
#[derive(Default)]
pub(crate) struct Backlog {
    bytes: AtomicUsize,
    waiting: Mutex<HeldUp>,
}

impl Backlog {
    /// Bytes that are not delivered yet.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        // Relaxed: a sum to compare with a limit. A waiter looks again under a lock.
        self.bytes.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn is_behind(&self) -> bool {
        self.bytes() > BEHIND_BYTES
    }

    /// Counts what was posted. Returns whether the worker is behind now.
    pub(crate) fn add(&self, bytes: usize) -> bool {
        self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > BEHIND_BYTES
    }

    /// Subtracts what was delivered, and lets waiters go on if it was enough. Returns how many.
    pub(crate) fn delivered(&self, bytes: usize) -> usize {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        let publishers = {
            let mut waiting = self.waiting.lock();
            if self.is_behind() {
                return 0;
            }
            waiting.take()
        };
        let count = publishers.len();
        publishers.into_iter().for_each(Waiter::go_on);
        count
    }

    /// Lets a connection go on once the worker has caught up. Returns whether it has to wait.
    pub(crate) fn wait(&self, link: &Arc<Link>) -> bool {
        let mut waiting = self.waiting.lock();
        // Under the lock that delivery takes after counting: either the count is seen here, or the waiter is seen
        // there.
        let is_behind = self.is_behind();
        if is_behind {
            waiting.add(Waiter::connection(link));
        }
        is_behind
    }

    /// Waits in a task until the worker has caught up.
    pub(crate) async fn caught_up(&self) {
        let mut place = None;
        poll_fn(|cx| {
            // Lock before looking, as in `wait`.
            let mut waiting = self.waiting.lock();
            waiting.poll_in_task(&mut place, self.is_behind(), cx)
        })
        .await;
    }

    /// Nobody delivers any more, and nobody need wait for it.
    pub(crate) fn end(&self) {
        self.bytes.store(0, Ordering::Relaxed);
        self.delivered(0);
    }
}
