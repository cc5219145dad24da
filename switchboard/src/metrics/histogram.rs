//! How long things take: counts in steps whose bounds are fixed, and the sum.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The most steps of one, that for all longer ones included.
const MOST_STEPS: usize = 16;

/// Counts durations, from any thread.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [Duration],
    counts: [AtomicU64; MOST_STEPS],
    nanos: AtomicU64,
}

/// Durations that were counted, by length.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Durations {
    /// Upper bounds, shortest first, each with how many durations were at most that long.
    pub steps: Vec<(Duration, u64)>,
    /// How many there were, including those above the last bound.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
}

impl Histogram {
    /// A histogram with these upper bounds, shortest first.
    ///
    /// # Panics
    /// There are more than 15.
    pub fn new(bounds: &'static [Duration]) -> Self {
        assert!(bounds.len() < MOST_STEPS, "a histogram has at most 15 bounds");
        Self { bounds, counts: Default::default(), nanos: AtomicU64::new(0) }
    }

    /// Counts one.
    pub fn record(&self, duration: Duration) {
        // Relaxed: statistics, which guard no other memory.
        self.counts[self.step(duration)].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos(duration), Ordering::Relaxed);
    }

    fn step(&self, duration: Duration) -> usize {
        self.bounds.iter().position(|bound| duration <= *bound).unwrap_or(self.bounds.len())
    }

    /// What was counted so far.
    pub fn durations(&self) -> Durations {
        let mut count = 0;
        let mut until = |step: usize| {
            count += self.counts[step].load(Ordering::Relaxed);
            count
        };
        let steps = self.bounds.iter().enumerate().map(|(step, bound)| (*bound, until(step))).collect();
        let count = until(self.bounds.len());
        Durations { steps, count, sum: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)) }
    }
}

impl Durations {
    /// Adds the counts of another one with the same bounds.
    pub fn add(&mut self, other: &Self) {
        for ((_, count), (_, more)) in self.steps.iter_mut().zip(&other.steps) {
            *count += more;
        }
        self.count += other.count;
        self.sum += other.sum;
    }
}

/// 584 years, which nothing lasts.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: &[Duration] = &[Duration::from_secs(1), Duration::from_secs(10)];

    #[test]
    fn each_step_counts_what_is_not_longer() {
        let histogram = Histogram::new(BOUNDS);
        for millis in [0, 1000, 1001, 10_000, 60_000] {
            histogram.record(Duration::from_millis(millis));
        }
        let mut durations = histogram.durations();
        assert_eq!(durations.steps, [(BOUNDS[0], 2), (BOUNDS[1], 4)]);
        assert_eq!((durations.count, durations.sum), (5, Duration::from_millis(72_001)));
        durations.add(&histogram.durations());
        assert_eq!((durations.count, durations.steps[1].1), (10, 8));
    }
}
