//! What `/stats` says, over time: counters become rates, and the last minutes are kept for sparklines.

use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;

/// Seconds that are kept: no terminal is wider.
const KEPT: usize = 400;

/// What is drawn over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    Open,
    BytesIn,
    BytesOut,
    Delivered,
    Memory,
}

/// The sums of a server: now, and before.
#[derive(Debug, Default)]
pub(super) struct Sums {
    now: Value,
    before: Value,
    /// Between the two.
    apart: Duration,
    courses: [VecDeque<u64>; 5],
}

impl Sums {
    /// Takes what came, so long after what came before.
    pub(super) fn take(&mut self, sums: Value, apart: Duration) {
        let is_another = uptime(&sums) < uptime(&self.now);
        self.before = std::mem::replace(&mut self.now, sums);
        self.apart = apart;
        if is_another {
            // It was started again, and counts from nothing.
            self.before = Value::Null;
        }
        let points = [
            (Course::Open, self.number("/connections/open")),
            (Course::BytesIn, self.rate_of("bytes_in")),
            (Course::BytesOut, self.rate_of("bytes_out")),
            (Course::Delivered, self.rate("/deliveries")),
            (Course::Memory, self.number("/memory/bytes")),
        ];
        for (course, value) in points {
            let points = &mut self.courses[course as usize];
            points.extend(value);
            if points.len() > KEPT {
                points.pop_front();
            }
        }
    }

    pub(super) fn is_known(&self) -> bool {
        self.now.is_object()
    }

    /// What it says of itself at `pointer` (RFC 6901).
    pub(super) fn number(&self, pointer: &str) -> Option<u64> {
        self.now.pointer(pointer)?.as_u64()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.now["draining"] == true
    }

    /// Whether the log that it shares with other nodes takes messages, if there is one.
    pub(super) fn cluster(&self) -> Option<bool> {
        self.now.pointer("/cluster/up")?.as_bool()
    }

    /// How much a counter has grown in a second.
    pub(super) fn rate(&self, pointer: &str) -> Option<u64> {
        self.a_second(|sums| sums.pointer(pointer)?.as_u64())
    }

    /// The same of all transports together.
    pub(super) fn rate_of(&self, field: &str) -> Option<u64> {
        self.a_second(|sums| Some(total(sums.get("transports")?, |traffic| traffic[field].as_u64())))
    }

    /// The same of connections that have ended, for whatever reason.
    pub(super) fn closed_rate(&self) -> Option<u64> {
        self.a_second(|sums| Some(total(sums.pointer("/connections/closed")?, Value::as_u64)))
    }

    fn a_second(&self, counter: impl Fn(&Value) -> Option<u64>) -> Option<u64> {
        let grown = counter(&self.now)?.checked_sub(counter(&self.before)?)?;
        let rate = (u128::from(grown) * 1000).checked_div(self.apart.as_millis())?;
        Some(u64::try_from(rate).unwrap_or(u64::MAX))
    }

    /// The last `count` seconds of it.
    pub(super) fn course(&self, course: Course, count: usize) -> Vec<u64> {
        let points = &self.courses[course as usize];
        points.iter().skip(points.len().saturating_sub(count)).copied().collect()
    }
}

fn uptime(sums: &Value) -> u64 {
    sums["uptime_seconds"].as_u64().unwrap_or_default()
}

fn total(fields: &Value, number: impl Fn(&Value) -> Option<u64>) -> u64 {
    fields.as_object().into_iter().flat_map(|fields| fields.values()).filter_map(number).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counters_become_rates_and_a_server_that_was_started_again_has_none_yet() {
        let sums = |uptime: u64, deliveries: u64, bytes: u64| {
            json!({ "uptime_seconds": uptime, "deliveries": deliveries, "connections": { "open": 5, "closed": { "idle": deliveries } },
                "transports": { "tcp": { "bytes_in": bytes }, "ws": { "bytes_in": bytes } }, "memory": { "bytes": 1 } })
        };
        let mut all = Sums::default();
        all.take(sums(10, 100, 1000), Duration::ZERO);
        assert_eq!((all.rate("/deliveries"), all.number("/connections/open")), (None, Some(5)));
        all.take(sums(12, 300, 2000), Duration::from_secs(2));
        assert_eq!(
            (all.rate("/deliveries"), all.rate_of("bytes_in"), all.closed_rate()),
            (Some(100), Some(1000), Some(100))
        );
        all.take(sums(1, 400, 5), Duration::from_secs(2));
        assert_eq!(all.rate("/deliveries"), None);
        assert_eq!((all.course(Course::Delivered, 9), all.course(Course::Open, 2)), (vec![100], vec![5, 5]));
        all.take(json!({ "deliveries": -1, "transports": 7 }), Duration::from_secs(1));
        assert_eq!((all.rate("/deliveries"), all.rate_of("bytes_in")), (None, None));
    }
}
