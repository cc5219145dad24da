//! A run as a person reads it: a line for each second, and a summary.

use super::{Interval, Report, Spread, micros};
use crate::bench::tally::Count;
use std::fmt::Write as _;

impl Report {
    /// The plain summary.
    pub(in crate::bench) fn summary(&self) -> String {
        let mut text = String::new();
        // Writing to memory does not fail, here and below.
        let _ =
            writeln!(text, "{} {} over {}, {:.1} s measured", self.scenario, self.url, self.protocol, self.measured_s);
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<13}{value}");
        };
        let connections = &self.connections;
        let mut opened = format!("{} in {:.2} s", number(connections.opened), connections.opening_s);
        for (count, what) in [
            (connections.failed, "failed"),
            (connections.closed_by_server, "closed by the server"),
            (connections.slow_closed, "slow readers closed by the server"),
            (connections.replaced, "replaced"),
        ] {
            if count > 0 {
                let _ = write!(opened, ", {} {what}", number(count));
            }
        }
        row("connections", opened);
        if let Some(connect) = &self.connect_us {
            row("connecting", spread(connect));
        }
        if self.sent > 0 || self.received > 0 {
            row("sent", format!("{}, {} a second", number(self.sent), rounded(self.sent_per_s)));
            row("received", format!("{}, {} a second", number(self.received), rounded(self.received_per_s)));
        }
        if let Some(latency) = &self.latency_us {
            row("latency", spread(latency));
        }
        let verified = &self.verified;
        if self.sent > 0 {
            let mut text = format!(
                "{} lost, {} duplicated, {} reordered, {} corrupt",
                number(verified.lost),
                number(verified.duplicated),
                number(verified.reordered),
                number(verified.corrupt)
            );
            if verified.gaps_announced > 0 {
                let _ = write!(
                    text,
                    "; {} more in {} gaps that the server announced",
                    number(verified.lost_announced),
                    number(verified.gaps_announced)
                );
            }
            row("verified", text);
        }
        let generator = &self.generator;
        row(
            "generator",
            usage(generator.busiest_share, generator.cpu_us_per_message, "of a core at most for a thread"),
        );
        if let Some(server) = &self.server {
            row("server", usage(server.cpu_share, server.cpu_us_per_message, "of a core"));
            let each = rounded(server.memory_bytes_per_connection);
            row(
                "its memory",
                format!(
                    "{:.1} MiB, {each} B more for each connection",
                    server.memory_bytes as f64 / f64::from(1 << 20)
                ),
            );
        }
        if let Some(share) = self.machine_busy_share {
            row("machine", format!("{:.0} % of all cores busy", share * 100.0));
        }
        for (error, count) in &self.errors {
            row("error", format!("{} × {error}", number(*count)));
        }
        for warning in &self.warnings {
            row("warning", warning.clone());
        }
        text
    }
}

/// A second of a run in one line.
pub(in crate::bench) fn line(interval: &Interval) -> String {
    let length = (interval.until - interval.from).max(1) as f64 / 1e9;
    let each = |count| rounded(interval.counts[count] as f64 / length);
    let at = |quantile| time(micros(interval.latency.value_at_quantile(quantile)));
    let mut line = format!(
        "{:>5.0} s  {:>9} sent/s  {:>11} received/s",
        interval.until as f64 / 1e9,
        each(Count::Sent),
        each(Count::Received)
    );
    if !interval.latency.is_empty() {
        let _ = write!(line, "  p50 {:>7}  p99 {:>7}  max {:>7}", at(0.5), at(0.99), at(1.0));
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

fn spread(spread: &Spread) -> String {
    format!(
        "p50 {}  p90 {}  p99 {}  p99.9 {}  p99.99 {}  max {}",
        time(spread.p50),
        time(spread.p90),
        time(spread.p99),
        time(spread.p999),
        time(spread.p9999),
        time(spread.max)
    )
}

fn usage(share: f64, each: Option<f64>, of: &str) -> String {
    let each = each.map(|each| format!(", {each:.2} µs of CPU for each message received")).unwrap_or_default();
    format!("{:.0} % {of}{each}", share * 100.0)
}

/// Microseconds as a person reads them: three digits.
pub(in crate::bench) fn time(micros: f64) -> String {
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

#[allow(clippy::cast_sign_loss, reason = "nothing here is counted below zero")]
fn rounded(value: f64) -> String {
    number(value.round() as u64)
}

/// A number with its thousands apart.
pub(in crate::bench) fn number(value: u64) -> String {
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
