//! How many datagrams of each kind came from a group in `json`, where they differ.

use super::relayed::Came;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Of one listener, since the start.
#[derive(Debug, Default)]
pub(crate) struct GroupCounts {
    /// As it was bound, once something has come.
    listener: OnceLock<String>,
    all: [AtomicU64; Came::ALL.len()],
}

impl GroupCounts {
    /// Its connection is one of this listener.
    pub(super) fn belongs_to(&self, listener: Option<&str>) {
        self.listener.get_or_init(|| listener.unwrap_or_default().to_owned());
    }

    pub(super) fn add(&self, came: Came) {
        // Relaxed: numbers to be shown, which guard nothing; so below.
        self.all[came as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were of each kind, if it has been heard of.
    pub(crate) fn now(&self) -> Option<(&str, [(&'static str, u64); Came::ALL.len()])> {
        let listener = self.listener.get()?;
        Some((listener, Came::ALL.map(|came| (came.name(), self.all[came as usize].load(Ordering::Relaxed)))))
    }
}
