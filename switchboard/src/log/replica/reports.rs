//! What nodes tell each other of the log: how far each knows it.
//!
//! After an older copy of the log was put back, a node that has seen less than another sees nothing wrong, and would give numbers again that the
//! other has shown. So behind each new connection a node asks the others how far the log went, and appends nothing before they have answered.

use super::{Incarnation, LogIdentity, Position};
use bytes::{Buf as _, BufMut as _, Bytes};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// The format that this version writes, and reads.
const FORMAT: u8 = 1;

/// How long the others are waited for: one whose connection broke at the same time tries again within 2 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who has reported nothing for so long is not waited for next time: each does at every check.
const FORGOTTEN: Duration = Duration::from_secs(25);

/// Nodes that are known; what more of them report counts, but they are not waited for.
const MOST_NODES: usize = 256;

/// One node's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogReport {
    pub(super) node: Incarnation,
    pub(super) known: LogIdentity,
    /// How long ago that was known.
    pub(super) age: Duration,
    /// The others are to report too.
    pub(super) is_asking: bool,
}

impl LogReport {
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(42);
        bytes.put_u8(FORMAT);
        bytes.put_u8(self.is_asking.into());
        bytes.put_u64(self.node.0);
        bytes.put_u128(self.known.log);
        bytes.put_u64(self.known.last.0);
        bytes.put_u64(self.age.as_millis() as u64);
        bytes.into()
    }

    /// None if it is no report of this format. Earlier versions of it said nothing of its age, and so it is new.
    pub(super) fn parse(mut bytes: &[u8]) -> Option<Self> {
        if bytes.try_get_u8().ok()? != FORMAT {
            return None;
        }
        let is_asking = bytes.try_get_u8().ok()? != 0;
        let node = Incarnation(bytes.try_get_u64().ok()?);
        let known = LogIdentity { log: bytes.try_get_u128().ok()?, last: Position(bytes.try_get_u64().ok()?) };
        let age = Duration::from_millis(bytes.try_get_u64().unwrap_or(0));
        Some(Self { node, known, age, is_asking })
    }
}

/// What the others have reported.
#[derive(Default)]
pub(super) struct Reports {
    /// When each reported last.
    heard: HashMap<Incarnation, Duration>,
    /// Who has not reported behind this connection yet, and until when that is waited for.
    awaited: HashSet<Incarnation>,
    until: Duration,
    /// The furthest that is known of the log that was reported last, and since when.
    furthest: Option<(LogIdentity, Duration)>,
    /// When it was found to have lost something. Who was cut off then may report much later what it knew before.
    lost_at: Option<Duration>,
}

impl Reports {
    /// The connection is another one: whoever was there before is waited for.
    pub(super) fn reconnected(&mut self, now: Duration) {
        self.awaited = self.heard.keys().copied().collect();
        self.until = now + PATIENCE;
    }

    /// Another node has reported. Says whether that was the last one to be waited for.
    pub(super) fn hear(&mut self, report: &LogReport, now: Duration) -> bool {
        if self.heard.len() < MOST_NODES || self.heard.contains_key(&report.node) {
            self.heard.insert(report.node, now);
        }
        let since = now.saturating_sub(report.age);
        let before = self.furthest(report.known.log);
        if self.lost_at.is_none_or(|lost_at| since > lost_at)
            && before.is_none_or(|(last, _)| last <= report.known.last)
        {
            self.furthest = Some((report.known, since));
        }
        self.awaited.remove(&report.node) && self.awaited.is_empty()
    }

    /// Whether somebody is waited for.
    pub(super) fn are_missing(&mut self, now: Duration) -> bool {
        if now >= self.until {
            for silent in self.awaited.drain() {
                self.heard.remove(&silent);
            }
        }
        !self.awaited.is_empty()
    }

    /// How far any of them knows this log, and since when.
    pub(super) fn furthest(&self, log: u128) -> Option<(Position, Duration)> {
        self.furthest.filter(|(furthest, _)| furthest.log == log).map(|(furthest, since)| (furthest.last, since))
    }

    /// All is well: whoever has been silent for long is not there any more.
    pub(super) fn forget_silent(&mut self, now: Duration) {
        self.heard.retain(|_, heard| *heard + FORGOTTEN > now);
    }

    /// The log has lost what was known before, whoever reports it.
    pub(super) fn forget_log(&mut self, now: Duration) {
        self.furthest = None;
        self.lost_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Duration = Duration::from_secs(100);

    fn report(node: u64, log: u128, last: u64) -> LogReport {
        let known = LogIdentity { log, last: Position(last) };
        LogReport { node: Incarnation(node), known, age: Duration::ZERO, is_asking: false }
    }

    #[test]
    fn whoever_was_there_is_waited_for_and_not_for_long() {
        let mut reports = Reports::default();
        reports.reconnected(NOW);
        assert!(!reports.are_missing(NOW), "nobody else was ever heard");
        assert!(!reports.hear(&report(1, 7, 5), NOW));
        reports.hear(&report(2, 7, 9), NOW);
        reports.hear(&report(1, 7, 6), NOW);
        assert_eq!((reports.furthest(7), reports.furthest(8)), (Some((Position(9), NOW)), None));
        reports.reconnected(NOW);
        assert!(!reports.hear(&report(1, 7, 6), NOW) && reports.are_missing(NOW));
        assert!(reports.hear(&report(2, 7, 9), NOW) && !reports.are_missing(NOW));
        reports.reconnected(NOW);
        assert!(reports.are_missing(NOW) && !reports.are_missing(NOW + PATIENCE));
        reports.reconnected(NOW);
        assert!(!reports.are_missing(NOW), "they were silent");
    }

    #[test]
    fn whoever_is_silent_while_all_is_well_is_not_waited_for() {
        let mut reports = Reports::default();
        reports.hear(&report(1, 7, 5), NOW);
        reports.hear(&report(2, 7, 5), NOW + FORGOTTEN);
        reports.forget_silent(NOW + FORGOTTEN);
        reports.reconnected(NOW * 2);
        assert!(reports.hear(&report(2, 7, 5), NOW * 2), "it alone is waited for");
    }

    #[test]
    fn what_was_known_before_the_log_lost_it_is_reported_in_vain() {
        let mut reports = Reports::default();
        reports.hear(&report(1, 7, 9), NOW);
        reports.forget_log(NOW);
        assert_eq!(reports.furthest(7), None);
        let second = Duration::from_secs(1);
        // It was cut off meanwhile.
        reports.hear(&LogReport { age: second * 11, ..report(2, 7, 9) }, NOW + second * 10);
        assert_eq!(reports.furthest(7), None);
        reports.hear(&LogReport { age: second, ..report(1, 7, 6) }, NOW + second * 10);
        assert_eq!(reports.furthest(7), Some((Position(6), NOW + second * 9)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_nothing_else(node: u64, log: u128, last: u64, is_asking: bool, age: u32, cut in 0..34_usize) {
            let written = LogReport { is_asking, age: Duration::from_millis(age.into()), ..report(node, log, last) };
            let bytes = written.encode();
            prop_assert_eq!(LogReport::parse(&bytes), Some(written));
            let of_no_age = LogReport { age: Duration::ZERO, ..written };
            prop_assert_eq!(LogReport::parse(&bytes[..34]), Some(of_no_age), "an earlier version's");
            prop_assert_eq!(LogReport::parse(&bytes[..cut]), None);
        }
    }
}
