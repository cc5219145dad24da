//! The latest events of an audit, kept in memory for whoever asks, and for those who follow.

use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::watch;

/// Events, of about 250 bytes each.
const KEPT: usize = 10_000;

/// Bytes of all of them: some have long reasons.
const KEPT_BYTES: usize = 4 << 20;

/// One event, as it stands in a file.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) seq: u64,
    pub(crate) event: &'static str,
    /// An object on a line.
    pub(crate) line: String,
}

#[derive(Debug, Default)]
pub(super) struct Recent {
    kept: Mutex<Kept>,
    /// Grows with each event.
    told: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Recorded>,
    bytes: usize,
}

impl Recent {
    pub(super) fn add(&self, recorded: Recorded) {
        let next = recorded.seq + 1;
        let mut kept = self.kept.lock();
        kept.bytes += recorded.line.len();
        // Two may come in the other order.
        let place = kept.events.iter().rposition(|known| known.seq < recorded.seq).map_or(0, |before| before + 1);
        kept.events.insert(place, recorded);
        while kept.events.len() > KEPT || kept.bytes > KEPT_BYTES {
            let Some(oldest) = kept.events.pop_front() else { break };
            kept.bytes -= oldest.line.len();
        }
        drop(kept);
        self.told.send_modify(|told| *told = next.max(*told));
    }

    /// At most `limit` from number `from` on that `takes` takes, the oldest first.
    pub(super) fn from(&self, from: u64, limit: usize, takes: impl Fn(&Recorded) -> bool) -> Vec<Recorded> {
        let kept = self.kept.lock();
        let begin = kept.events.partition_point(|event| event.seq < from);
        kept.events.range(begin..).filter(|event| takes(event)).take(limit).cloned().collect()
    }

    /// The newest `limit` that `takes` takes, the oldest first.
    pub(super) fn newest(&self, limit: usize, takes: impl Fn(&Recorded) -> bool) -> Vec<Recorded> {
        let kept = self.kept.lock();
        let mut newest: Vec<_> = kept.events.iter().rev().filter(|event| takes(event)).take(limit).cloned().collect();
        newest.reverse();
        newest
    }

    /// The number of the next event, now and whenever there is one more.
    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(seq: u64, bytes: usize) -> Recorded {
        Recorded { seq, event: if seq.is_multiple_of(2) { "even" } else { "odd" }, line: "x".repeat(bytes) }
    }

    fn seqs(events: &[Recorded]) -> Vec<u64> {
        events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn the_latest_are_kept_in_their_order_and_within_bounds() {
        let recent = Recent::default();
        let follower = recent.follow();
        for seq in [0, 2, 1, 3, 4] {
            recent.add(recorded(seq, 10));
        }
        assert_eq!(seqs(&recent.from(1, 3, |_| true)), [1, 2, 3]);
        assert_eq!(seqs(&recent.newest(2, |event| event.event == "even")), [2, 4]);
        assert_eq!(*follower.borrow(), 5);
        for seq in 5..20_000 {
            recent.add(recorded(seq, 10));
        }
        assert_eq!(seqs(&recent.from(0, 1, |_| true)), [10_000]);
        for seq in 20_000..20_100 {
            recent.add(recorded(seq, 100 << 10));
        }
        assert_eq!(recent.newest(usize::MAX, |_| true).len(), 40);
    }
}
