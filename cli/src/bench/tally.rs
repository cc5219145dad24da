//! What one thread counts, and the snapshots of it that the main thread puts together.

use super::schedule::SECOND;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::ops::{Add, Index, IndexMut, Range, Sub};

/// Latencies are kept to three digits up to this; more counts as this.
const MOST: u64 = 100 * SECOND;

/// Different errors that are told apart; the others are counted together.
const MOST_ERRORS: usize = 20;

/// A histogram of nanoseconds.
pub(super) fn histogram() -> Histogram<u64> {
    let Ok(histogram) = Histogram::new_with_bounds(1, MOST, 3) else {
        unreachable!("the bounds are in order, and three digits are few")
    };
    histogram
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Sent,
    /// Replies or deliveries, each verified.
    Received,
    /// Missing when a later one came.
    Skipped,
    /// Of those, came after all.
    Reordered,
    Duplicated,
    /// Not what was sent.
    Corrupt,
    /// Had not come at the end, nor any after them.
    Unanswered,
    /// Notices of the server that it dropped something.
    Gaps,
    /// Messages that it said it dropped.
    Announced,
    Opened,
    Failed,
    /// Connections that the server ended.
    Closed,
    /// Of slow readers.
    SlowClosed,
    Replaced,
    /// Complaints of the server.
    Complaints,
    BytesSent,
    BytesReceived,
}

const COUNTS: usize = Count::BytesReceived as usize + 1;

/// A number for each [`Count`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts([u64; COUNTS]);

impl Index<Count> for Counts {
    type Output = u64;

    fn index(&self, count: Count) -> &u64 {
        &self.0[count as usize]
    }
}

impl IndexMut<Count> for Counts {
    fn index_mut(&mut self, count: Count) -> &mut u64 {
        &mut self.0[count as usize]
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|index| self.0[index] + other.0[index]))
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|index| self.0[index] - other.0[index]))
    }
}

impl Counts {
    /// Messages that did not come, and of which the server said nothing.
    pub(super) fn lost(&self) -> u64 {
        let missing = self[Count::Skipped] + self[Count::Unanswered];
        missing.saturating_sub(self[Count::Reordered] + self[Count::Announced])
    }
}

/// One thread's part of one interval.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// When the interval ended, since the run began.
    pub(super) until: u64,
    /// Since the thread began.
    pub(super) counts: Counts,
    /// Of what came in the interval.
    pub(super) latency: Histogram<u64>,
    /// How late messages left: the generator's own part of it.
    pub(super) lag: Histogram<u64>,
    /// CPU time of the thread since it began.
    pub(super) cpu: u64,
}

/// What a thread leaves at its end.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) counts: Counts,
    pub(super) connect: Histogram<u64>,
    pub(super) errors: BTreeMap<String, u64>,
    /// Connections that never received anything.
    pub(super) silent: u64,
}

/// One thread's counters.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) counts: Counts,
    pub(super) connect: Histogram<u64>,
    latency: Histogram<u64>,
    lag: Histogram<u64>,
    pub(super) errors: BTreeMap<String, u64>,
    /// Messages that were due then are measured; those before it only until it begins.
    measured: Range<u64>,
}

impl Tally {
    pub(super) fn new(measured: Range<u64>) -> Self {
        let [connect, latency, lag] = std::array::from_fn(|_| histogram());
        Self { counts: Counts::default(), connect, latency, lag, errors: BTreeMap::new(), measured }
    }

    /// So many messages that were due then have come now.
    pub(super) fn received(&mut self, due: u64, now: u64, count: u64) {
        self.counts[Count::Received] += count;
        let begun = now >= self.measured.start;
        if !begun || self.measured.contains(&due) {
            self.latency.saturating_record_n(now.saturating_sub(due), count);
        }
    }

    /// A message that was due then leaves now, and nothing but this thread kept it.
    pub(super) fn left(&mut self, due: u64, now: u64) {
        self.lag.saturating_record(now.saturating_sub(due));
    }

    pub(super) fn error(&mut self, text: String) {
        let known = self.errors.len() < MOST_ERRORS || self.errors.contains_key(&text);
        *self.errors.entry(if known { text } else { "others".to_owned() }).or_default() += 1;
    }

    /// Nothing that is due from then on is measured.
    pub(super) fn end(&mut self, at: u64) {
        self.measured.end = self.measured.end.min(at);
    }

    /// What came since the last snapshot.
    pub(super) fn cut(&mut self, until: u64, cpu: u64) -> Snapshot {
        let latency = std::mem::replace(&mut self.latency, histogram());
        let lag = std::mem::replace(&mut self.lag, histogram());
        Snapshot { until, counts: self.counts, latency, lag, cpu }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_due_in_the_window_is_measured() {
        let mut tally = Tally::new(100_000..200_000);
        tally.received(50_000, 60_000, 1);
        assert_eq!(tally.cut(100_000, 0).latency.len(), 1);
        tally.received(90_000, 110_000, 1);
        tally.received(199_999, 400_000, 3);
        tally.received(200_000, 400_000, 1);
        let snapshot = tally.cut(200_000, 0);
        assert_eq!((snapshot.latency.len(), snapshot.counts[Count::Received]), (3, 6));
        assert!(snapshot.latency.max() >= 200_000);
    }

    #[test]
    fn lost_is_what_nobody_accounts_for() {
        let mut counts = Counts::default();
        counts[Count::Skipped] = 10;
        counts[Count::Reordered] = 3;
        counts[Count::Announced] = 4;
        counts[Count::Unanswered] = 2;
        assert_eq!(counts.lost(), 5);
    }

    #[test]
    fn errors_are_told_apart_up_to_a_bound() {
        let mut tally = Tally::new(0..1);
        for number in 0..100 {
            tally.error(format!("error {number}"));
            tally.error("error 0".to_owned());
        }
        assert_eq!(tally.errors.len(), MOST_ERRORS + 1);
        assert_eq!((tally.errors["error 0"], tally.errors["others"]), (101, 80));
    }
}
