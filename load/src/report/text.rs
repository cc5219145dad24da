//! A run as a person reads it: a line for each second, and a summary.

use super::{Connections, Interval, Report, Spread, Verified};
use crate::tally::Count;
use std::fmt::Write as _;

impl Report {
    /// The plain summary.
    pub(crate) fn summary(&self) -> String {
        let mut text =
            format!("{} {} over {}, {:.1} s measured\n", self.scenario, self.url, self.protocol, self.measured_s);
        for (name, value) in self.rows() {
            // Writing to memory does not fail, here and below.
            let _ = writeln!(text, "  {name:<13}{value}");
        }
        text
    }

    /// Each line of the summary: its name, and what it says.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::from(self.circumstances.rows());
        rows.push(("connections", self.connections.told()));
        let spread_of = |name, times: &Option<Spread>| times.as_ref().map(|times| (name, spread(times)));
        rows.extend(spread_of("connecting", &self.connect_us));
        if self.sent > 0 || self.received > 0 {
            rows.push(("sent", format!("{}, {} a second", number(self.sent), rounded(self.sent_per_s))));
            rows.push(("received", format!("{}, {} a second", number(self.received), rounded(self.received_per_s))));
        }
        rows.extend(spread_of("latency", &self.latency_us));
        if self.scenario != "idle" {
            rows.push(("verified", self.verified.told()));
        }
        if self.unanswered > 0 {
            rows.push(("unanswered", format!("{} of what was due in the measured time", number(self.unanswered))));
        }
        let generator = &self.generator;
        let each = generator.cpu_us_per_message;
        rows.push(("generator", usage(generator.busiest_share, each, "message", "of a core, by its busiest thread")));
        if let Some(server) = &self.server {
            rows.push(("server", usage(server.cpu_share, server.cpu_us_per_message, "message", "of a core")));
            let mebibytes = server.memory_bytes as f64 / f64::from(1 << 20);
            let each = rounded(server.memory_bytes_per_connection);
            rows.push(("its memory", format!("{mebibytes:.1} MiB, {each} B more for each connection")));
        }
        if let Some(share) = self.machine_busy_share {
            rows.push(("machine", format!("{:.0} % of all cores busy", share * 100.0)));
        }
        rows.extend(self.errors.iter().map(|(error, count)| ("error", format!("{} × {error}", number(*count)))));
        rows.extend(self.warnings.iter().map(|warning| ("warning", warning.clone())));
        rows.push(("verdict", self.verdict()));
        rows
    }
}

impl Connections {
    fn told(&self) -> String {
        let mut text = format!("{} in {:.2} s", number(self.opened), self.opening_s);
        for (count, what) in [
            (self.failed, "failed"),
            (self.closed_by_server, "closed by the server"),
            (self.slow_closed, "slow readers closed by the server"),
            (self.replaced, "replaced"),
        ] {
            if count > 0 {
                let _ = write!(text, ", {} {what}", number(count));
            }
        }
        text
    }
}

impl Verified {
    fn told(&self) -> String {
        let [lost, duplicated, reordered, corrupt] =
            [self.lost, self.duplicated, self.reordered, self.corrupt].map(number);
        let mut text = format!("{lost} lost, {duplicated} duplicated, {reordered} reordered, {corrupt} corrupt");
        if self.gaps_announced > 0 {
            let [lost, gaps] = [self.lost_announced, self.gaps_announced].map(number);
            let _ = write!(text, "; {lost} more in {gaps} gaps that the server announced");
        }
        text
    }
}

/// A second of a run in one line.
pub(crate) fn line(interval: &Interval) -> String {
    let length = (interval.until - interval.from).max(1) as f64 / 1e9;
    let each = |count| rounded(interval.counts[count] as f64 / length);
    let mut line = format!(
        "{:>5.0} s  {:>9} sent/s  {:>11} received/s",
        interval.until as f64 / 1e9,
        each(Count::Sent),
        each(Count::Received)
    );
    if let Some(Spread { p50, p99, max, .. }) = Spread::of(&interval.latency) {
        let [p50, max] = [p50, max].map(time);
        let p99 = p99.map(|p99| format!("  p99 {:>7}", time(p99))).unwrap_or_default();
        let _ = write!(line, "  p50 {p50:>7}{p99}  max {max:>7}");
    }
    let lost = interval.counts.lost();
    if lost > 0 {
        let _ = write!(line, "  lost {}", number(lost));
    }
    if !interval.measured {
        line.push_str("  (warm-up)");
    }
    line
}

/// How times are distributed.
pub(crate) fn spread(spread: &Spread) -> String {
    let Spread { p50, p90, p99, p999, p9999, max, .. } = *spread;
    [("p50", Some(p50)), ("p90", Some(p90)), ("p99", p99), ("p99.9", p999), ("p99.99", p9999), ("max", Some(max))]
        .iter()
        .filter_map(|(name, value)| Some(format!("{name} {}", time((*value)?))))
        .collect::<Vec<_>>()
        .join("  ")
}

pub(crate) fn usage(share: f64, each: Option<f64>, what: &str, of: &str) -> String {
    let each = each.map(|each| format!("; {each:.2} µs for each {what} received")).unwrap_or_default();
    format!("{:.0} % {of}{each}", share * 100.0)
}

/// Microseconds with three significant digits.
pub(crate) fn time(micros: f64) -> String {
    let (value, unit) = match micros {
        ..1000.0 => (micros, "µs"),
        ..1_000_000.0 => (micros / 1000.0, "ms"),
        _ => (micros / 1_000_000.0, "s"),
    };
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

/// A whole number with its thousands separated.
#[allow(clippy::cast_sign_loss, reason = "nothing here is counted below zero")]
pub(crate) fn rounded(value: f64) -> String {
    number(value.round() as u64)
}

/// A number with its thousands separated.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_are_short() {
        let shown = [0.5, 9.99, 61.0, 999.0, 1200.0, 45_600.0, 1_000_000.0].map(time);
        assert_eq!(shown, ["0.50 µs", "9.99 µs", "61.0 µs", "999 µs", "1.20 ms", "45.6 ms", "1.00 s"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
    }
}
