//! The server that runs, for those who watch and steer it: what it was started with, how far it is, and what its operators have said.
//!
//! Everybody shares one. Knows no request: `services/admin` answers those.

use crate::logging::LostLines;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use switchboard::Limits;
use tokio::time::Instant;

/// What all services and the signals share of one run.
#[derive(Debug)]
pub(crate) struct Run {
    started: SystemTime,
    since: Instant,
    limits: Limits,
    workers: usize,
    lost_lines: LostLines,
    /// It accepts connections.
    is_serving: AtomicBool,
    /// An operator has said that it wants none.
    is_put_aside: AtomicBool,
    listeners: Mutex<Vec<Listening>>,
    reloads: Mutex<Reloaded>,
}

/// Where a service can be reached.
#[derive(Debug, Clone)]
pub(crate) struct Listening {
    pub(crate) service: &'static str,
    pub(crate) url: String,
}

/// How readings of the file have ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reloaded {
    /// The last one was taken.
    pub(crate) is_good: bool,
    /// When what is in force was read.
    pub(crate) since: SystemTime,
    pub(crate) count: u64,
    pub(crate) failures: u64,
}

impl Default for Run {
    fn default() -> Self {
        Self::new(Limits::default(), 1, LostLines::default())
    }
}

impl Run {
    pub(crate) fn new(limits: Limits, workers: usize, lost_lines: LostLines) -> Self {
        let started = SystemTime::now();
        Self {
            started,
            since: Instant::now(),
            limits,
            workers,
            lost_lines,
            is_serving: AtomicBool::new(false),
            is_put_aside: AtomicBool::new(false),
            listeners: Mutex::default(),
            reloads: Mutex::new(Reloaded { is_good: true, since: started, count: 0, failures: 0 }),
        }
    }

    pub(crate) fn started(&self) -> SystemTime {
        self.started
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.since.elapsed()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    pub(crate) fn lost_lines(&self) -> u64 {
        self.lost_lines.count()
    }

    /// It accepts connections from now on, at these addresses.
    pub(crate) fn serves(&self, listeners: Vec<Listening>) {
        *self.listeners.lock() = listeners;
        // Relaxed: a flag to be told, which guards nothing.
        self.is_serving.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Relaxed)
    }

    /// Whether balancers are to send it connections, if nothing else is in the way.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.is_put_aside.load(Ordering::Relaxed)
    }

    /// Says that it is ready, or that it is not; whoever is connected notices nothing.
    pub(crate) fn set_wanted(&self, is_wanted: bool) {
        self.is_put_aside.store(!is_wanted, Ordering::Relaxed);
    }

    pub(crate) fn listeners(&self) -> Vec<Listening> {
        self.listeners.lock().clone()
    }

    pub(crate) fn reloads(&self) -> Reloaded {
        *self.reloads.lock()
    }

    /// What is in force was read again, or is what it was.
    pub(crate) fn reloaded(&self, is_good: bool) {
        let mut reloads = self.reloads.lock();
        reloads.count += 1;
        reloads.is_good = is_good;
        if is_good {
            reloads.since = SystemTime::now();
        } else {
            reloads.failures += 1;
        }
    }
}
