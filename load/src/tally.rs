//! What one thread counts, and the snapshots of it that the main thread puts together.

use crate::schedule::SECOND;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::ops::{Add, Index, IndexMut, Range, Sub};
use switchboard::Escaped;

/// Latencies are kept to three digits up to this; more counts as this.
const MOST: u64 = 100 * SECOND;

/// How many different errors are told apart; the others are counted together.
const MOST_ERRORS: usize = 20;

/// A histogram of nanoseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    let Ok(histogram) = Histogram::new_with_bounds(1, MOST, 3) else {
        unreachable!("the bounds are in order, and three digits are few")
    };
    histogram
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Sent,
    /// Replies or deliveries, each verified.
    Received,
    /// Missing when a later one came.
    Skipped,
    /// Of those, how many came after all.
    Reordered,
    Duplicated,
    /// Not what was sent.
    Corrupt,
    /// Had not come at the end, nor any after them.
    Unanswered,
    /// Was due, and there was nobody to send it to, or who took it.
    Unsent,
    /// Of what was skipped, unanswered or unsent: what falls into the measured time; and of that, what came after all.
    Missing,
    MissingCame,
    /// The server's notices that it dropped something.
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
pub(crate) struct Counts([u64; COUNTS]);

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
    /// Messages that did not come, and that the server did not report.
    pub(crate) fn lost(&self) -> u64 {
        let missing = self[Count::Skipped] + self[Count::Unanswered] + self[Count::Unsent];
        missing.saturating_sub(self[Count::Reordered] + self[Count::Announced])
    }

    /// Of those, the ones that belong to the measured time.
    pub(crate) fn lost_in_measured(&self) -> u64 {
        self[Count::Missing].saturating_sub(self[Count::MissingCame] + self[Count::Announced]).min(self.lost())
    }
}

/// One thread's part of one interval.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// When the interval ended, since the run began.
    pub(crate) until: u64,
    /// Since the thread began.
    pub(crate) counts: Counts,
    /// Of what came in the interval.
    pub(crate) latency: Histogram<u64>,
    /// How late messages left: the generator's own part of it.
    pub(crate) lag: Histogram<u64>,
    /// CPU time of the thread since it began.
    pub(crate) cpu: u64,
}

/// What a thread leaves at its end.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) counts: Counts,
    pub(crate) connect: Histogram<u64>,
    pub(crate) errors: BTreeMap<String, u64>,
    /// Connections that never received anything.
    pub(crate) silent: u64,
}

/// One thread's counters.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    pub(crate) connect: Histogram<u64>,
    latency: Histogram<u64>,
    lag: Histogram<u64>,
    pub(crate) errors: BTreeMap<String, u64>,
    /// Messages that were due then are measured; those before it only until it begins.
    measured: Range<u64>,
}

impl Tally {
    pub(crate) fn new(measured: Range<u64>) -> Self {
        let [connect, latency, lag] = std::array::from_fn(|_| histogram());
        Self { counts: Counts::default(), connect, latency, lag, errors: BTreeMap::new(), measured }
    }

    /// So many messages that were due then have come now.
    pub(crate) fn received(&mut self, due: u64, now: u64, count: u64) {
        self.counts[Count::Received] += count;
        let begun = now >= self.measured.start;
        if !begun || self.measured.contains(&due) {
            self.latency.saturating_record_n(now.saturating_sub(due), count);
        }
    }

    /// A message came, and so many before it did not.
    pub(crate) fn skipped(&mut self, count: u32, now: u64) {
        self.counts[Count::Skipped] += u64::from(count);
        if now >= self.measured.start {
            self.counts[Count::Missing] += u64::from(count);
        }
    }

    /// One of those came after all.
    pub(crate) fn reordered(&mut self, now: u64) {
        self.counts[Count::Reordered] += 1;
        if now >= self.measured.start {
            self.counts[Count::MissingCame] += 1;
        }
    }

    /// These messages of one sender never came: unanswered, or not even sent. Their times rise with their numbers.
    pub(crate) fn missed(&mut self, what: Count, numbers: Range<u32>, due: impl Fn(u32) -> u64) {
        self.counts[what] += numbers.len() as u64;
        let before = |time| first(numbers.clone(), |number| due(number) >= time);
        self.counts[Count::Missing] += u64::from(before(self.measured.end) - before(self.measured.start));
    }

    /// A message that was due then leaves now, and nothing but this thread kept it.
    pub(crate) fn left(&mut self, due: u64, now: u64) {
        self.lag.saturating_record(now.saturating_sub(due));
    }

    /// Counts an error. Its words may be a server's, so they are escaped.
    pub(crate) fn error(&mut self, text: &str) {
        let text = Escaped(text.as_bytes()).to_string();
        let known = self.errors.len() < MOST_ERRORS || self.errors.contains_key(&text);
        *self.errors.entry(if known { text } else { "others".to_owned() }).or_default() += 1;
    }

    /// Nothing that is due from then on is measured.
    pub(crate) fn end(&mut self, at: u64) {
        self.measured.end = self.measured.end.min(at);
    }

    /// When the measured time begins.
    pub(crate) fn measured_from(&self) -> u64 {
        self.measured.start
    }

    /// What has come since the last snapshot.
    pub(crate) fn cut(&mut self, until: u64, cpu: u64) -> Snapshot {
        let latency = std::mem::replace(&mut self.latency, histogram());
        let lag = std::mem::replace(&mut self.lag, histogram());
        Snapshot { until, counts: self.counts, latency, lag, cpu }
    }
}

/// The first of the numbers for which something is so that stays so for all behind it; their end if it is so for none.
pub(crate) fn first(numbers: Range<u32>, is_so: impl Fn(u32) -> bool) -> u32 {
    let Range { mut start, mut end } = numbers;
    while start < end {
        let middle = start + (end - start) / 2;
        if is_so(middle) {
            end = middle;
        } else {
            start = middle + 1;
        }
    }
    start
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
    fn what_never_came_is_lost_and_is_measured_by_when_it_was_due() {
        let mut tally = Tally::new(100..200);
        let due = |number: u32| u64::from(number) * 10;
        tally.missed(Count::Unanswered, 8..13, due);
        tally.missed(Count::Unsent, 13..23, due);
        assert_eq!((tally.counts.lost(), tally.counts.lost_in_measured()), (15, 10));
        tally.missed(Count::Unsent, 23..23, due);
        // What comes late was not lost.
        tally.skipped(2, 90);
        tally.skipped(3, 150);
        tally.reordered(160);
        assert_eq!((tally.counts.lost(), tally.counts.lost_in_measured()), (19, 12));
    }

    #[test]
    fn the_first_number_is_found() {
        for at in 3..=9 {
            assert_eq!(first(3..9, |number| number >= at), at);
        }
        assert_eq!(first(3..3, |_| true), 3);
    }

    #[test]
    fn errors_are_told_apart_up_to_a_bound() {
        let mut tally = Tally::new(0..1);
        tally.error("\u{1b}[2J");
        for number in 0..100 {
            tally.error(&format!("error {number}"));
            tally.error("error 0");
        }
        assert!(tally.errors.keys().all(|error| !error.contains('\u{1b}')));
        assert_eq!(tally.errors.len(), MOST_ERRORS + 1);
        assert_eq!((tally.errors["error 0"], tally.errors["others"]), (101, 81));
    }
}
