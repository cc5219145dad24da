//! What the threads of a run share: its beginning and end, and how far they are.

use crate::clock::Clock;
use mio::Waker;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Not yet, or never.
const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    /// The clock's time at which the run begins.
    start: AtomicU64,
    /// The run's time at which it ends early.
    stop: AtomicU64,
    /// How far each thread is with its connections.
    pub(crate) readiness: Vec<Readiness>,
    /// Threads that still send.
    sending: AtomicUsize,
    wakers: Vec<Waker>,
    pub(crate) rooms: Vec<RoomState>,
    /// Messages that each publisher has sent, and, once nothing more becomes due, those that it was to send.
    pub(crate) published: Vec<AtomicU32>,
    pub(crate) owed: Vec<AtomicU32>,
    /// The first thing that went wrong, to report if nothing goes right.
    pub(crate) first_error: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
pub(crate) struct Readiness {
    pub(crate) ready: AtomicUsize,
    pub(crate) failed: AtomicUsize,
}

/// One room, for publishers that publish as fast as it delivers.
#[derive(Debug, Default)]
pub(crate) struct RoomState {
    /// Members that are waited for.
    pub(crate) members: AtomicI64,
    /// Deliveries that have not come yet.
    pub(crate) outstanding: AtomicI64,
}

// Only counts and times are shared, and none of them guards other memory: Relaxed is enough, and a waker makes itself seen.
impl Shared {
    pub(crate) fn new(clock: Clock, wakers: Vec<Waker>, rooms: usize, publishers: usize) -> Self {
        Self {
            clock,
            start: AtomicU64::new(NEVER),
            stop: AtomicU64::new(NEVER),
            readiness: wakers.iter().map(|_| Readiness::default()).collect(),
            sending: AtomicUsize::new(wakers.len()),
            wakers,
            rooms: (0..rooms).map(|_| RoomState::default()).collect(),
            published: (0..publishers).map(|_| AtomicU32::new(0)).collect(),
            owed: (0..publishers).map(|_| AtomicU32::new(0)).collect(),
            first_error: Mutex::new(None),
        }
    }

    /// Connections that are ready, and ones that will never be.
    pub(crate) fn ready(&self) -> (usize, usize) {
        let sum =
            |of: fn(&Readiness) -> &AtomicUsize| self.readiness.iter().map(|one| of(one).load(Ordering::Relaxed)).sum();
        (sum(|one| &one.ready), sum(|one| &one.failed))
    }

    pub(crate) fn begin(&self, at: u64) {
        self.start.store(at, Ordering::Relaxed);
        self.wake();
    }

    /// Ends the run before its time; a second time has no effect.
    pub(crate) fn stop(&self) {
        let begun = self.begins().unwrap_or(0);
        let now = self.clock.now().saturating_sub(begun);
        // The second caller finds it done.
        let _ = self.stop.compare_exchange(NEVER, now, Ordering::Relaxed, Ordering::Relaxed);
        self.wake();
    }

    pub(crate) fn begins(&self) -> Option<u64> {
        Some(self.start.load(Ordering::Relaxed)).filter(|start| *start != NEVER)
    }

    pub(crate) fn stops(&self) -> Option<u64> {
        Some(self.stop.load(Ordering::Relaxed)).filter(|stop| *stop != NEVER)
    }

    /// One thread has sent all that it will.
    pub(crate) fn finish_sending(&self) {
        self.sending.fetch_sub(1, Ordering::Relaxed);
        self.wake();
    }

    pub(crate) fn all_is_sent(&self) -> bool {
        self.sending.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn wake(&self) {
        for waker in &self.wakers {
            // A thread that cannot be woken looks by itself, at the latest at its next cut.
            let _ = waker.wake();
        }
    }

    pub(crate) fn report(&self, error: String) {
        self.first_error.lock().get_or_insert(error);
    }
}
