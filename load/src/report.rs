//! What a run has found: put together from the threads' snapshots, and shown as text or JSON.
//!
//! The fields of [`Report`] are the schema of `--json`, which docs/bench.md describes. What is there stays; new ones may come.

mod circumstances;
mod gather;
mod html;
pub(crate) mod text;
mod verdict;

use circumstances::Circumstances;
use gather::Measured;
pub(crate) use gather::{Gatherer, Interval, add};

use crate::options::{Load, Plan};
use crate::process::Usage;
use crate::schedule::SECOND;
use crate::tally::{Count, Counts, Rest, Snapshot, histogram};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use verdict::{BUSY, Limits};

/// Of the schema. It rises when a field changes its meaning or goes.
const SCHEMA: u32 = 1;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: u32,
    #[serde(flatten)]
    circumstances: Circumstances,
    scenario: &'static str,
    url: String,
    protocol: &'static str,
    options: Options,
    /// Whether somebody ended the run before its time.
    stopped_early: bool,
    measured_s: f64,
    /// In the measured time.
    sent: u64,
    received: u64,
    sent_per_s: f64,
    received_per_s: f64,
    /// What was due in the measured time and never came.
    unanswered: u64,
    latency_us: Option<Spread>,
    lag_us: Option<Spread>,
    connect_us: Option<Spread>,
    verified: Verified,
    connections: Connections,
    errors: BTreeMap<String, u64>,
    generator: Generator,
    server: Option<Server>,
    machine_busy_share: Option<f64>,
    intervals: Vec<IntervalReport>,
    warnings: Vec<String>,
    limits: Limits,
    passed: bool,
    broken: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Options {
    connections: usize,
    size: usize,
    /// Null for `max`.
    rate: Option<u64>,
    /// Null at a constant rate.
    in_flight: Option<u32>,
    duration_s: f64,
    warmup_s: f64,
    ramp_s: f64,
    churn: u64,
    slow_readers: usize,
    publishers: usize,
    rooms: usize,
    source_addresses: usize,
    seed: u64,
    threads: usize,
}

/// Where times lie, in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Spread {
    count: u64,
    min: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    /// These only of enough times that one of them lies above it.
    p99: Option<f64>,
    p999: Option<f64>,
    p9999: Option<f64>,
    max: f64,
}

/// Over the whole run, warm-up included.
#[derive(Debug, Serialize)]
struct Verified {
    lost: u64,
    /// Of those, the ones that could not be sent; in rooms, times those that were to hear them.
    unsent: u64,
    duplicated: u64,
    reordered: u64,
    corrupt: u64,
    gaps_announced: u64,
    lost_announced: u64,
}

#[derive(Debug, Serialize)]
struct Connections {
    wanted: usize,
    opened: u64,
    failed: u64,
    closed_by_server: u64,
    slow_closed: u64,
    replaced: u64,
    silent: u64,
    opening_s: f64,
}

#[derive(Debug, Serialize)]
struct Generator {
    threads: usize,
    /// Of one core, by the busiest thread.
    busiest_share: f64,
    cpu_us_per_message: Option<f64>,
    bottleneck: bool,
}

#[derive(Debug, Serialize)]
struct Server {
    /// Of one core.
    cpu_share: f64,
    cpu_us_per_message: Option<f64>,
    memory_bytes: u64,
    /// By how much its memory grew from before the first connection to the end of what was measured.
    memory_bytes_per_connection: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct IntervalReport {
    /// Since the run began.
    from_s: f64,
    until_s: f64,
    measured: bool,
    sent: u64,
    received: u64,
    latency_us: Option<Spread>,
    busiest_share: f64,
}

impl Spread {
    pub(crate) fn of(times: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| micros(times.value_at_quantile(quantile));
        let rare = |quantile, one_of| (times.len() >= one_of).then(|| at(quantile));
        (!times.is_empty()).then(|| Self {
            count: times.len(),
            min: micros(times.min()),
            mean: (times.mean() / 10.0).round() / 100.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: rare(0.99, 100),
            p999: rare(0.999, 1000),
            p9999: rare(0.9999, 10_000),
            max: micros(times.max()),
        })
    }
}

fn micros(nanoseconds: u64) -> f64 {
    (nanoseconds as f64 / 10.0).round() / 100.0
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / SECOND as f64
}

/// What a run leaves.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) gathered: Gatherer,
    /// Each thread's part after the last whole interval, and what it leaves.
    pub(crate) rests: Vec<(Snapshot, Rest)>,
    /// Before the first connection, and when what is measured began and ended.
    pub(crate) usage: [Usage; 3],
    pub(crate) opening: u64,
    pub(crate) stopped_early: bool,
}

impl Report {
    pub(crate) fn new(plan: &Plan, finding: Finding) -> Self {
        let Finding { gathered, rests, usage: [before, first, last], opening, stopped_early } = finding;
        let Measured { mut latency, lag, counts: window, cpu, time, busiest } = gathered.measured();
        let (mut connect, mut total, mut silent, mut errors) = (histogram(), Counts::default(), 0, BTreeMap::new());
        for (snapshot, rest) in rests {
            // What was due in time and came late is measured too.
            add(&mut latency, &snapshot.latency);
            add(&mut connect, &rest.connect);
            total = total + rest.counts;
            silent += rest.silent;
            for (error, count) in rest.errors {
                *errors.entry(error).or_default() += count;
            }
        }
        let messages = window[Count::Received];
        let per_message = |nanoseconds: u64| (messages > 0).then(|| nanoseconds as f64 / 1000.0 / messages as f64);
        let server = last.cpu.zip(first.cpu).filter(|_| !plan.server.is_empty()).map(|(last_cpu, first_cpu)| {
            let spent = last_cpu.saturating_sub(first_cpu);
            let growth = last.memory as f64 - before.memory as f64;
            Server {
                cpu_share: spent as f64 / time.max(1) as f64,
                cpu_us_per_message: per_message(spent),
                memory_bytes: last.memory,
                memory_bytes_per_connection: (growth / plan.all_connections() as f64).max(0.0),
            }
        });
        let mut report = Self {
            schema: SCHEMA,
            circumstances: Circumstances::now(),
            scenario: plan.scenario.name(),
            url: plan.url.typed.clone(),
            protocol: plan.protocol.name(),
            options: Options::of(plan),
            stopped_early,
            measured_s: seconds(time),
            sent: window[Count::Sent],
            received: messages,
            sent_per_s: window[Count::Sent] as f64 / seconds(time.max(1)),
            received_per_s: messages as f64 / seconds(time.max(1)),
            unanswered: total.lost_in_measured(),
            latency_us: Spread::of(&latency),
            lag_us: Spread::of(&lag),
            connect_us: Spread::of(&connect),
            verified: Verified::of(&total),
            connections: Connections::of(plan, &total, silent, opening),
            errors,
            generator: Generator {
                threads: plan.threads,
                busiest_share: busiest,
                cpu_us_per_message: per_message(cpu),
                bottleneck: busiest > BUSY,
            },
            server,
            machine_busy_share: last.machine_since(&first),
            intervals: gathered.whole.iter().map(IntervalReport::of).collect(),
            warnings: Vec::new(),
            limits: Limits::of(plan),
            passed: true,
            broken: Vec::new(),
        };
        report.warn(plan, lag.value_at_quantile(0.99));
        report.judge(plan, &latency);
        report
    }

    /// One line of JSON.
    pub(crate) fn json(&self) -> String {
        let Ok(text) = serde_json::to_string(self) else {
            unreachable!("its keys are texts, and writing to memory does not fail")
        };
        text + "\n"
    }
}

impl Options {
    fn of(plan: &Plan) -> Self {
        Self {
            connections: plan.connections,
            size: plan.size,
            rate: plan.rate(),
            in_flight: match plan.load {
                Load::Closed { in_flight } => Some(in_flight),
                Load::Open { .. } => None,
            },
            duration_s: seconds(plan.phases.duration),
            warmup_s: seconds(plan.phases.warmup),
            ramp_s: seconds(plan.phases.ramp.max(plan.opening)),
            churn: plan.churn,
            slow_readers: plan.slow_readers,
            publishers: plan.publishers,
            rooms: plan.rooms,
            source_addresses: plan.sources,
            seed: plan.seed,
            threads: plan.threads,
        }
    }
}

impl Verified {
    fn of(counts: &Counts) -> Self {
        Self {
            lost: counts.lost(),
            unsent: counts[Count::Unsent],
            duplicated: counts[Count::Duplicated],
            reordered: counts[Count::Reordered],
            corrupt: counts[Count::Corrupt],
            gaps_announced: counts[Count::Gaps],
            lost_announced: counts[Count::Announced],
        }
    }
}

impl Connections {
    fn of(plan: &Plan, counts: &Counts, silent: u64, opening: u64) -> Self {
        Self {
            wanted: plan.all_connections(),
            opened: counts[Count::Opened],
            failed: counts[Count::Failed],
            closed_by_server: counts[Count::Closed],
            slow_closed: counts[Count::SlowClosed],
            replaced: counts[Count::Replaced],
            silent,
            opening_s: seconds(opening),
        }
    }
}

impl IntervalReport {
    fn of(interval: &Interval) -> Self {
        Self {
            from_s: seconds(interval.from),
            until_s: seconds(interval.until),
            measured: interval.measured,
            sent: interval.counts[Count::Sent],
            received: interval.counts[Count::Received],
            latency_us: Spread::of(&interval.latency),
            busiest_share: interval.busiest,
        }
    }
}
