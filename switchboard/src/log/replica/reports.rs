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
    /// The others are to report too.
    pub(super) is_asking: bool,
}

impl LogReport {
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(34);
        bytes.put_u8(FORMAT);
        bytes.put_u8(self.is_asking.into());
        bytes.put_u64(self.node.0);
        bytes.put_u128(self.known.log);
        bytes.put_u64(self.known.last.0);
        bytes.into()
    }

    /// None if it is no report of this format.
    pub(super) fn parse(mut bytes: &[u8]) -> Option<Self> {
        if bytes.try_get_u8().ok()? != FORMAT {
            return None;
        }
        let is_asking = bytes.try_get_u8().ok()? != 0;
        let node = Incarnation(bytes.try_get_u64().ok()?);
        let known = LogIdentity { log: bytes.try_get_u128().ok()?, last: Position(bytes.try_get_u64().ok()?) };
        Some(Self { node, known, is_asking })
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
    /// The furthest that is known of the log that was reported last.
    furthest: Option<LogIdentity>,
    /// Until then others may report what is known to be lost.
    lost_until: Duration,
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
        if now >= self.lost_until {
            let before = self.furthest(report.known.log).unwrap_or(Position(0));
            self.furthest = Some(LogIdentity { last: report.known.last.max(before), ..report.known });
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

    /// How far any of them knows this log.
    pub(super) fn furthest(&self, log: u128) -> Option<Position> {
        self.furthest.filter(|furthest| furthest.log == log).map(|furthest| furthest.last)
    }

    /// All is well: whoever has been silent for long is not there any more.
    pub(super) fn forget_silent(&mut self, now: Duration) {
        self.heard.retain(|_, heard| *heard + FORGOTTEN > now);
    }

    /// The log has lost what was reported, and others may find that a little later.
    pub(super) fn forget_log(&mut self, now: Duration) {
        self.furthest = None;
        self.lost_until = now + 2 * PATIENCE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Duration = Duration::from_secs(100);

    fn report(node: u64, log: u128, last: u64) -> LogReport {
        let known = LogIdentity { log, last: Position(last) };
        LogReport { node: Incarnation(node), known, is_asking: false }
    }

    #[test]
    fn whoever_was_there_is_waited_for_and_not_for_long() {
        let mut reports = Reports::default();
        reports.reconnected(NOW);
        assert!(!reports.are_missing(NOW), "nobody else was ever heard");
        assert!(!reports.hear(&report(1, 7, 5), NOW));
        reports.hear(&report(2, 7, 9), NOW);
        reports.hear(&report(1, 7, 6), NOW);
        assert_eq!((reports.furthest(7), reports.furthest(8)), (Some(Position(9)), None));
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

    proptest! {
        #[test]
        fn what_is_written_is_read_and_nothing_else(node: u64, log: u128, last: u64, is_asking: bool, cut in 0..34_usize) {
            let written = LogReport { is_asking, ..report(node, log, last) };
            let bytes = written.encode();
            prop_assert_eq!(LogReport::parse(&bytes), Some(written));
            prop_assert_eq!(LogReport::parse(&bytes[..cut]), None);
        }
    }
}
