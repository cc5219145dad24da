//! Merges the snapshots that a run's threads take into intervals.

use crate::options::Plan;
use crate::tally::{Counts, Snapshot, histogram};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// A second of a run, or a part of one, over all threads.
#[derive(Debug, Clone)]
pub(crate) struct Interval {
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) measured: bool,
    /// In this interval alone.
    pub(crate) counts: Counts,
    pub(crate) latency: Histogram<u64>,
    pub(crate) lag: Histogram<u64>,
    /// Of one core, by the busiest thread.
    pub(crate) busiest: f64,
    /// CPU time of all threads.
    pub(crate) cpu: u64,
}

/// Merges the snapshots of all threads into intervals.
#[derive(Debug)]
pub(crate) struct Gatherer {
    threads: Vec<Seen>,
    /// Those that some thread has not reported yet, by their end.
    partial: BTreeMap<u64, (usize, Interval)>,
    pub(crate) whole: Vec<Interval>,
    measured_from: u64,
}

/// What a thread's last snapshot said.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    until: u64,
    counts: Counts,
    cpu: u64,
}

impl Gatherer {
    pub(crate) fn new(plan: &Plan) -> Self {
        let threads = vec![Seen::default(); plan.threads];
        let measured_from = plan.phases.measured().start;
        Self { threads, partial: BTreeMap::new(), whole: Vec::new(), measured_from }
    }

    /// Takes a thread's snapshot. Returns the interval if that was the last one missing.
    pub(crate) fn take(&mut self, thread: usize, snapshot: Snapshot) -> Option<&Interval> {
        let threads = self.threads.len();
        let before = &mut self.threads[thread];
        let Snapshot { until, counts, latency, lag, cpu } = snapshot;
        let from = before.until;
        let blank = || Interval {
            from,
            until,
            measured: until > self.measured_from,
            counts: Counts::default(),
            latency: histogram(),
            lag: histogram(),
            busiest: 0.0,
            cpu: 0,
        };
        let (told, interval) = self.partial.entry(until).or_insert_with(|| (0, blank()));
        *told += 1;
        interval.counts = interval.counts + (counts - before.counts);
        add(&mut interval.latency, &latency);
        add(&mut interval.lag, &lag);
        let spent = cpu.saturating_sub(before.cpu);
        interval.cpu += spent;
        interval.busiest = interval.busiest.max(busy(spent, until - from));
        *before = Seen { until, counts, cpu };
        if *told < threads {
            return None;
        }
        let (_, interval) = self.partial.remove(&until)?;
        self.whole.push(interval);
        self.whole.last()
    }

    /// What all threads measured, up to the end or until the run was stopped.
    pub(super) fn measured(&self) -> Measured {
        let mut sum = Measured {
            latency: histogram(),
            lag: histogram(),
            counts: Counts::default(),
            cpu: 0,
            time: 0,
            busiest: 0.0,
        };
        for interval in self.whole.iter().filter(|interval| interval.measured) {
            let length = interval.until - interval.from;
            add(&mut sum.latency, &interval.latency);
            add(&mut sum.lag, &interval.lag);
            sum.counts = sum.counts + interval.counts;
            sum.cpu += interval.cpu;
            sum.time += length;
            sum.busiest += interval.busiest * length as f64;
        }
        sum.busiest /= sum.time.max(1) as f64;
        sum
    }
}

/// The share of a core that a thread had: at most one, even if it looked at the clock late.
fn busy(spent: u64, time: u64) -> f64 {
    (spent as f64 / time.max(1) as f64).min(1.0)
}

/// All measured intervals together.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) latency: Histogram<u64>,
    pub(super) lag: Histogram<u64>,
    pub(super) counts: Counts,
    /// CPU time of all threads.
    pub(super) cpu: u64,
    pub(super) time: u64,
    /// Of one core, by the busiest thread of each interval.
    pub(super) busiest: f64,
}

/// Adds these times to the ones already there.
pub(crate) fn add(sum: &mut Histogram<u64>, part: &Histogram<u64>) {
    let Ok(()) = sum.add(part) else { unreachable!("they have the same bounds") };
}
