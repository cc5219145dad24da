//! What makes a run's figures doubtful, and whether it has passed: which of the `--max-…` are broken, and by what.

use super::{Connections, Report, Verified, micros, text};
use crate::options::{Plan, Scenario};
use crate::schedule::nanoseconds;
use hdrhistogram::Histogram;
use serde::Serialize;

/// A thread busier than this could hardly have done more.
pub(super) const BUSY: f64 = 0.9;

/// If the generator itself sends messages this late, the figures are worth little.
const LATE: u64 = 1_000_000;

/// What was allowed.
#[derive(Debug, Serialize)]
pub(super) struct Limits {
    failed: u64,
    lost: Option<u64>,
    p99_us: Option<f64>,
}

impl Limits {
    pub(super) fn of(plan: &Plan) -> Self {
        let p99_us = plan.max_p99.map(|most| micros(nanoseconds(most)));
        Self { failed: plan.max_failed, lost: plan.max_lost, p99_us }
    }

    /// As typed.
    fn told(&self) -> String {
        let p99 = self.p99_us.map(|most| format!("--max-p99 {}", text::time(most)));
        let lost = self.lost.map(|most| format!("--max-lost {most}"));
        let failed = format!("--max-failed {}", self.failed);
        p99.into_iter().chain(lost).chain([failed]).collect::<Vec<_>>().join(", ")
    }
}

impl Report {
    /// Which of the `--max-…` are broken, and by what.
    pub(crate) fn broken(&self) -> Option<String> {
        (!self.passed).then(|| self.broken.join("; "))
    }

    /// Whether it has passed, and what that means.
    pub(super) fn verdict(&self) -> String {
        match self.broken() {
            None => format!("passed: {}", self.limits.told()),
            Some(broken) => format!("failed: {broken}"),
        }
    }

    /// Says what makes the figures doubtful.
    pub(super) fn warn(&mut self, plan: &Plan, lag: u64) {
        let mut warnings = Vec::new();
        if self.generator.bottleneck {
            let share = self.generator.busiest_share * 100.0;
            warnings.push(format!(
                "the generator was the bottleneck: its busiest thread used {share:.0} % of a core; try --threads or a lower rate"
            ));
        }
        if lag > LATE {
            let lag = text::time(micros(lag));
            warnings.push(format!(
                "1 % of the messages left {lag} late or later: the generator did not get the CPU in time"
            ));
        }
        let silent = self.connections.silent;
        if silent > 0 {
            warnings.push(format!("{silent} connections received nothing"));
        }
        if self.verified.unsent > 0 {
            warnings.push(format!("{} of the lost could not be sent", text::number(self.verified.unsent)));
        }
        if self.stopped_early {
            warnings.push("stopped early".to_owned());
        }
        if plan.url.scheme.is_tls() && plan.ca.is_none() {
            warnings.push("the server's certificate was not checked (--ca)".to_owned());
        }
        self.warnings = warnings;
    }

    /// Says which of the `--max-…` are broken.
    pub(super) fn judge(&mut self, plan: &Plan, answered: &Histogram<u64>) {
        let p99 = plan.max_p99.and_then(|most| self.judge_latency(micros(nanoseconds(most)), answered));
        let lost = plan.max_lost.and_then(|most| self.judge_losses(most, plan.scenario));
        self.broken = p99.into_iter().chain(lost).chain(self.judge_connections(plan.max_failed)).collect();
        self.passed = self.broken.is_empty();
    }

    /// What never came counts as later than everything that did.
    fn judge_latency(&self, most: f64, answered: &Histogram<u64>) -> Option<String> {
        let most_shown = text::time(most);
        let all = answered.len() + self.unanswered;
        if answered.is_empty() {
            return Some(format!("--max-p99 {most_shown}: nothing was received"));
        }
        let rank = all - all / 100;
        if rank > answered.len() {
            let [lost, all] = [self.unanswered, all].map(text::number);
            return Some(format!("--max-p99 {most_shown}: {lost} of {all} never arrived"));
        }
        let p99 = micros(answered.value_at_quantile(rank as f64 / answered.len() as f64));
        (p99 > most).then(|| format!("--max-p99 {most_shown}: it is {}", text::time(p99)))
    }

    fn judge_losses(&self, most: u64, scenario: Scenario) -> Option<String> {
        let Verified { lost, duplicated, reordered, corrupt, .. } = &self.verified;
        // Datagrams may come in any order.
        let wrong = duplicated + corrupt + if scenario == Scenario::Udp { 0 } else { *reordered };
        (*lost > most || wrong > 0).then(|| {
            format!("--max-lost {most}: {lost} lost, {duplicated} duplicated, {reordered} reordered, {corrupt} corrupt")
        })
    }

    fn judge_connections(&self, most: u64) -> Option<String> {
        let Connections { wanted, failed, closed_by_server, .. } = &self.connections;
        (failed + closed_by_server > most).then(|| {
            format!(
                "--max-failed {most}: {failed} of {wanted} connections failed, the server closed {closed_by_server}"
            )
        })
    }
}
