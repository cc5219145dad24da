//! What came of a conference, as text and as JSON.

use super::flow::{Flow, Jitter};
use super::{Heard, Plan};
use crate::process::Usage;
use crate::report::text::usage;
use std::fmt::Write as _;
use std::time::Duration;

/// What it took, of the server, of this program and of the machine.
pub(super) struct Used {
    /// Nanoseconds that it took, warm-up included.
    pub(super) time: u64,
    /// Nanoseconds that the busier one of both threads had a CPU.
    pub(super) busiest: u64,
    pub(super) before: Usage,
    pub(super) after: Usage,
}

pub(super) struct Outcome {
    sent: u64,
    received: u64,
    pub(super) lost: u64,
    reordered: u64,
    /// In nanoseconds, sorted.
    delays: Vec<u64>,
    jitter: Jitter,
    added: Jitter,
    server: Option<Server>,
    busiest_share: f64,
    machine_share: Option<f64>,
}

/// What the server used.
struct Server {
    /// Of one core.
    share: f64,
    /// For each packet that was received, in the warm-up too.
    micros: Option<f64>,
}

impl Outcome {
    pub(super) fn new(plan: &Plan, sent: u64, Heard { flows, mut delays, all }: Heard, used: &Used) -> Self {
        delays.sort_unstable();
        let received: u64 = flows.values().map(|flow| flow.received).sum();
        // Nobody hears itself.
        let own = plan.speakers.min(plan.listeners) as u64;
        let expected = sent * plan.listeners as u64 - sent * own / plan.speakers as u64;
        let gaps: u64 = flows.values().map(Flow::lost).sum();
        let (mut jitter, mut added) = (Jitter::default(), Jitter::default());
        for flow in flows.values() {
            jitter.add(&flow.by_timestamp);
            added.add(&flow.by_departure);
        }
        let time = used.time.max(1) as f64;
        let spent = used.after.cpu.zip(used.before.cpu).filter(|_| !plan.server.is_empty());
        let server = spent.map(|(after, before)| {
            let nanos = after.saturating_sub(before) as f64;
            Server { share: nanos / time, micros: (all > 0).then(|| nanos / 1000.0 / all as f64) }
        });
        Self {
            sent,
            received,
            // What came before the first or behind the last is in no gap.
            lost: expected.saturating_sub(received).max(gaps),
            reordered: flows.values().map(|flow| flow.reordered).sum(),
            delays,
            jitter,
            added,
            server,
            busiest_share: used.busiest as f64 / time,
            machine_share: used.after.machine_since(&used.before),
        }
    }

    /// What so many in a thousand of the delays are below, in milliseconds.
    fn delay(&self, permille: usize) -> f64 {
        let place = self.delays.len() * permille / 1000;
        self.delays.get(place.min(self.delays.len().saturating_sub(1))).map_or(0.0, |nanos| *nanos as f64 / 1e6)
    }

    pub(super) fn text(&self, plan: &Plan) -> String {
        let Plan { speakers, listeners, rate, packet_bytes, .. } = plan;
        let Self { sent, received, lost, reordered, jitter, added, .. } = self;
        let mut text = format!(
            "media      {speakers} speakers × {rate}/s × {packet_bytes} B, {listeners} listeners\n\
             packets    {sent} sent, {received} received, {lost} lost, {reordered} out of order\n\
             one way    p50 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms, longest {:.3} ms\n\
             jitter     mean {:.3} ms (RFC 3550 A.8), of which added on the way {:.3} ms, at most {:.3} ms\n\
             generator  {}\n",
            self.delay(500),
            self.delay(990),
            self.delay(999),
            self.delay(1000),
            jitter.mean() / 1e6,
            added.mean() / 1e6,
            added.most / 1e6,
            usage(self.busiest_share, None, "packet", "of a core, by its busier thread"),
        );
        if let Some(Server { share, micros }) = &self.server {
            let _ = writeln!(text, "server     {}", usage(*share, *micros, "packet", "of a core"));
        }
        if let Some(share) = self.machine_share {
            let _ = writeln!(text, "machine    {}", usage(share, None, "packet", "of all cores busy"));
        }
        text
    }

    pub(super) fn json(&self, plan: &Plan) -> String {
        let millis = |nanos: f64| nanos / 1e6;
        let server = self.server.as_ref();
        let object = serde_json::json!({
            "scenario": "media",
            "speakers": plan.speakers,
            "listeners": plan.listeners,
            "sent": self.sent,
            "received": self.received,
            "lost": self.lost,
            "reordered": self.reordered,
            "one_way_ms": { "p50": self.delay(500), "p99": self.delay(990), "p99.9": self.delay(999), "max": self.delay(1000) },
            "jitter_ms": { "mean": millis(self.jitter.mean()), "max": millis(self.jitter.most) },
            "added_jitter_ms": { "mean": millis(self.added.mean()), "max": millis(self.added.most) },
            "generator": { "threads": 2, "busiest_share": self.busiest_share },
            "server": server.map(|server| serde_json::json!({ "cpu_share": server.share, "cpu_us_per_message": server.micros })),
            "machine_busy_share": self.machine_share,
        });
        format!("{object}\n")
    }

    /// Which limit is exceeded.
    pub(super) fn broken(&self, plan: &Plan) -> Option<String> {
        let p99 = Duration::from_secs_f64(self.delay(990) / 1000.0);
        match (plan.max_lost, plan.max_p99) {
            (Some(most), _) if self.lost > most => Some(format!("{} packets were lost, and {most} may be", self.lost)),
            (_, Some(most)) if p99 > most => Some(format!("p99 is {p99:?}, and may be {most:?}")),
            _ => None,
        }
    }
}
