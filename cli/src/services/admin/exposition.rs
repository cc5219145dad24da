//! Metrics as Prometheus reads them: its text format, version 0.0.4. Knows no metric.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::{Display, Write as _};
use switchboard::Durations;

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What kind of numbers a metric has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricKind {
    /// It only grows.
    Counter,
    Gauge,
    Histogram,
}

impl MetricKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The text so far.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

/// Where the samples of one metric go.
pub(super) struct Samples<'a> {
    text: &'a mut String,
    name: &'static str,
    labels: &'static [&'static str],
}

impl Exposition {
    /// Begins a metric, of which all samples have `labels`.
    pub(super) fn metric(
        &mut self,
        name: &'static str,
        kind: MetricKind,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Samples<'_> {
        debug_assert!(!help.contains(['\\', '\n']), "{name}: what is written by hand needs no escapes");
        let text = &mut self.0;
        // Writing to a string cannot fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {}\n", kind.name());
        Samples { text, name, labels }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl Samples<'_> {
    /// Adds one, with a value for each label.
    pub(super) fn add(&mut self, values: &[&str], number: impl Display) {
        self.sample("", values, None, number);
    }

    /// Adds what a histogram consists of.
    pub(super) fn add_durations(&mut self, values: &[&str], durations: &Durations) {
        for (bound, count) in &durations.steps {
            self.sample("_bucket", values, Some(&bound.as_secs_f64().to_string()), count);
        }
        self.sample("_bucket", values, Some("+Inf"), durations.count);
        self.sample("_sum", values, None, durations.sum.as_secs_f64());
        self.sample("_count", values, None, durations.count);
    }

    fn sample(&mut self, suffix: &str, values: &[&str], bound: Option<&str>, number: impl Display) {
        debug_assert_eq!(values.len(), self.labels.len(), "{}", self.name);
        let text = &mut *self.text;
        text.push_str(self.name);
        text.push_str(suffix);
        let labels = self.labels.iter().copied().zip(values.iter().copied());
        let mut before = '{';
        for (label, value) in labels.chain(bound.map(|bound| ("le", bound))) {
            text.push(before);
            text.push_str(label);
            text.push_str("=\"");
            escape(value, text);
            text.push('"');
            before = ',';
        }
        let end = if before == ',' { "}" } else { "" };
        let _ = writeln!(text, "{end} {number}");
    }
}

/// A label's value has any characters; these three are written in another way.
fn escape(value: &str, text: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_its_labels_and_what_they_say_stays_on_its_line() {
        let mut exposition = Exposition::default();
        exposition.metric("a", MetricKind::Gauge, "One.", &[]).add(&[], 1);
        let mut samples = exposition.metric("b_total", MetricKind::Counter, "Two.", &["listener", "reason"]);
        samples.add(&["unix:///a\"\n\\b", "idle"], 7_u64);
        let expected = "# HELP a One.\n# TYPE a gauge\na 1\n# HELP b_total Two.\n# TYPE b_total counter\n\
                        b_total{listener=\"unix:///a\\\"\\n\\\\b\",reason=\"idle\"} 7\n";
        assert_eq!(exposition.into_text(), expected);
    }
}
