//! Options of a listener that a reload changes while the listener goes on.
//!
//! Whoever reads an option of a URL hands a cell of it to the endpoint; the listener holds the same cell. Certificates have cells of their own.

use crate::services::{Admission, Share};
use crate::web::guard::Guard;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use switchboard::{Rate, Timeouts};

/// A value that may be replaced while it is in use. Its clones are the same cell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replaceable<T>(Arc<RwLock<T>>);

impl<T: Clone> Replaceable<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(value)))
    }

    /// What holds now.
    pub(crate) fn now(&self) -> T {
        self.0.read().clone()
    }

    /// Has this hold from now on.
    pub(crate) fn set(&self, value: T) {
        *self.0.write() = value;
    }

    /// Has what `other` says hold from now on.
    pub(crate) fn follow(&self, other: &Self) {
        self.set(other.now());
    }
}

/// How many frames a second are read from one connection, or any number. Its clones are the same cell, which is read for each frame.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace(Arc<AtomicU32>);

impl Pace {
    /// Zero is off.
    pub(crate) fn new(per_second: u32) -> Self {
        Self(Arc::new(AtomicU32::new(per_second)))
    }

    /// What holds now. A second's frames may come at once.
    pub(crate) fn now(&self) -> Option<Rate> {
        // Relaxed: a setting that guards no other memory; so in `follow`.
        let per_second = self.0.load(Ordering::Relaxed);
        (per_second > 0).then(|| Rate::new(per_second, per_second))
    }

    pub(crate) fn follow(&self, other: &Self) {
        self.0.store(other.0.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// How long a connection may send nothing, if there is a limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle(pub(crate) Option<Duration>);

/// Those of one listener.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveOptions {
    /// `origins`, where it speaks HTTP.
    pub(crate) guard: Option<Replaceable<Arc<Guard>>>,
    /// `new-rooms`, where there are rooms.
    pub(crate) new_rooms: Option<Replaceable<Option<Share>>>,
    /// `rate`, where there are rooms; but over UDP, where strangers have it too, it stays.
    pub(crate) rate: Option<Pace>,
    /// `auth`, where it can be said.
    pub(crate) admission: Option<Replaceable<Admission>>,
    /// `idle`, where its connections have that and not their service.
    pub(crate) idle: Option<Idle>,
    /// `idle`, where pairs of connections have it: of a proxy.
    pub(crate) idle_pairs: Option<Replaceable<Option<Duration>>>,
}

impl LiveOptions {
    /// Those of its connections, where all have `shared`.
    pub(crate) fn timeouts(&self, shared: Timeouts) -> Timeouts {
        Timeouts { idle: self.idle.map_or(shared.idle, |Idle(idle)| idle), ..shared }
    }

    /// Has a listener do as the same one does in another reading of the file.
    pub(crate) fn follow(&self, read: &Self) {
        if let (Some(guard), Some(read)) = (&self.guard, &read.guard) {
            guard.follow(read);
        }
        if let (Some(new_rooms), Some(read)) = (&self.new_rooms, &read.new_rooms) {
            new_rooms.follow(read);
        }
        if let (Some(rate), Some(read)) = (&self.rate, &read.rate) {
            rate.follow(read);
        }
        if let (Some(admission), Some(read)) = (&self.admission, &read.admission) {
            admission.follow(read);
        }
        if let (Some(idle), Some(read)) = (&self.idle_pairs, &read.idle_pairs) {
            idle.follow(read);
        }
    }
}
