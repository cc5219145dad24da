//! Whether the log is still the one that a node's rooms followed, and what there is in it that they have not heard of: looked at every 10 s, and
//! at once when the connection is there again.
//!
//! Decides, and asks nobody: `serving.rs` does.

use super::reports::{LogReport, Reports};
use super::{Incarnation, LogIdentity, Position};
use std::time::Duration;

/// Between two checks of all rooms.
const EVERY: Duration = Duration::from_secs(10);

/// A check that was not answered is made again after so long: a log that has no leader yet, for example.
const AGAIN: Duration = Duration::from_millis(500);

/// A log that seems to have gone back has, if it says so for so long: a copy that has just begun to lead may not know all of it yet.
const UNSURE: Duration = Duration::from_secs(2);

/// What a log's identity says to whoever knew another one, or the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the same, and has lost nothing: what its rooms have behind `after` is to be asked, so many times; the answers have this number.
    Same { after: Position, number: u64 },
    /// It seems to have lost something: it is asked again soon, and nothing is appended to it before.
    Unsure,
    /// It has lost something, or is another one: between then and now.
    Lost { since: Duration },
}

/// Which log it was, and what it was known to have.
#[derive(Clone, Copy)]
struct Known {
    identity: LogIdentity,
    /// When this node got to know that.
    since: Duration,
    /// When it was so: earlier, if another node has reported it.
    seen: Duration,
}

impl Known {
    fn now(identity: LogIdentity, now: Duration) -> Self {
        Self { identity, since: now, seen: now }
    }
}

#[derive(Default)]
pub(super) struct Checks {
    at: Duration,
    known: Option<Known>,
    /// What was known to be there when the log was asked which one it is.
    asked: Option<Position>,
    /// Others were still to say then how far they know it.
    is_early: bool,
    /// What the other nodes know.
    reports: Reports,
    /// Where the log ended when its rooms were asked for last, and before that. What is asked may be a copy that is behind: all that was new at
    /// the last check is asked for once more.
    checked: [Position; 2],
    number: u64,
    /// Of the check under way: where the log ended, and how many answers are missing.
    under_way: Option<(Position, usize)>,
    /// Since when it seems to have lost something.
    unsure_since: Option<Duration>,
    /// The connection behind which it is known which log there is.
    connection: Option<u64>,
}

impl Checks {
    pub(super) fn at(&self) -> Duration {
        self.at
    }

    /// A check begins: the log is asked which one it is.
    pub(super) fn begin(&mut self, now: Duration) {
        self.at = now + EVERY;
        self.is_early = self.reports.are_missing(now);
        if let Some(Known { identity, since, seen }) = &mut self.known
            && let Some(further) = self.reports.furthest(identity.log).filter(|(furthest, _)| *furthest > identity.last)
        {
            (identity.last, *seen) = further;
            *since = now;
        }
        self.asked = self.known.map(|known| known.identity.last);
    }

    /// The connection is there again. Meanwhile the log may have gone back and then further than before, so all rooms are asked for.
    pub(super) fn reconnected(&mut self, now: Duration) {
        self.reports.reconnected(now);
        (self.checked, self.under_way) = ([Position(0); 2], None);
    }

    /// How far this node knows the log, if it does.
    pub(super) fn report(&self, node: Incarnation, is_asking: bool, now: Duration) -> Option<LogReport> {
        let report =
            |known: Known| LogReport { node, known: known.identity, age: now.saturating_sub(known.seen), is_asking };
        self.known.map(report)
    }

    /// Another node says how far it knows the log.
    pub(super) fn reported(&mut self, report: &LogReport, now: Duration) {
        if self.reports.hear(report, now) {
            self.at = now;
        }
    }

    /// Whether it is unknown what is behind the connection of this number: until it is known, nothing is appended there.
    pub(super) fn is_doubtful(&self, connection: u64) -> bool {
        self.connection != Some(connection)
    }

    /// What was asked for was not answered.
    pub(super) fn failed(&mut self, now: Duration) {
        self.under_way = None;
        self.at = self.at.min(now + AGAIN);
    }

    /// The log has something of this node's there.
    pub(super) fn appended(&mut self, position: Position, now: Duration) {
        if let Some(known) = self.known.as_mut().filter(|known| known.identity.last < position) {
            *known = Known::now(LogIdentity { last: position, ..known.identity }, now);
        }
    }

    /// Which log is behind the connection of this number; `questions` will be asked about its rooms.
    pub(super) fn identified(
        &mut self,
        (identity, connection): (LogIdentity, u64),
        questions: usize,
        now: Duration,
    ) -> Verdict {
        let mut last = identity.last;
        if let Some(Known { identity: known, since, .. }) = self.known {
            let is_other = known.log != identity.log;
            // What came to be known meanwhile may be newer than the answer.
            let has_lost = !is_other && self.asked.is_some_and(|asked| asked > identity.last);
            let unsure_since = *self.unsure_since.get_or_insert(now);
            if !is_other && (self.is_early || has_lost && now < unsure_since + UNSURE) {
                self.connection = None;
                self.failed(now);
                return Verdict::Unsure;
            }
            self.unsure_since = None;
            if is_other || has_lost {
                (self.known, self.connection) = (Some(Known::now(identity, now)), Some(connection));
                (self.checked, self.under_way) = ([Position(0); 2], None);
                self.reports.forget_log(now);
                return Verdict::Lost { since };
            }
            last = last.max(known.last);
        }
        self.reports.forget_silent(now);
        self.known = Some(Known::now(LogIdentity { last, ..identity }, now));
        self.connection = Some(connection);
        self.number += 1;
        self.under_way = (questions > 0).then_some((identity.last, questions));
        Verdict::Same { after: self.checked[1], number: self.number }
    }

    /// One question of the check of this number was answered, or not. Says whether it was the last one.
    pub(super) fn answered(&mut self, number: u64, is_answered: bool, now: Duration) -> bool {
        if number == self.number && !is_answered {
            self.failed(now);
        }
        let Some((last, left)) = self.under_way.as_mut().filter(|_| number == self.number) else { return false };
        *left -= 1;
        let is_over = *left == 0;
        if is_over {
            self.checked = [*last, self.checked[0]];
            self.under_way = None;
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn log(log: u128, last: u64) -> (LogIdentity, u64) {
        (LogIdentity { log, last: Position(last) }, 1)
    }

    fn same(after: u64, number: u64) -> Verdict {
        Verdict::Same { after: Position(after), number }
    }

    #[test]
    fn what_was_new_at_the_last_check_is_asked_for_once_more() {
        let mut checks = Checks::default();
        for (last, after, number) in [(7, 0, 1), (9, 0, 2), (12, 7, 3), (12, 9, 4)] {
            assert_eq!(checks.identified(log(1, last), 2, NOW), same(after, number));
            assert!(!checks.answered(number, true, NOW) && checks.answered(number, true, NOW));
        }
    }

    #[test]
    fn behind_another_connection_all_rooms_are_asked_for() {
        let mut checks = Checks::default();
        for (last, after, number) in [(7, 0, 1), (9, 0, 2), (12, 7, 3)] {
            assert_eq!(checks.identified(log(1, last), 1, NOW), same(after, number));
            checks.answered(number, true, NOW);
        }
        checks.reconnected(NOW);
        assert!(!checks.answered(3, true, NOW), "of the connection before");
        assert_eq!(checks.identified(log(1, 15), 1, NOW), same(0, 4));
    }

    #[test]
    fn what_was_not_answered_is_asked_for_again_and_soon() {
        let mut checks = Checks::default();
        checks.begin(NOW);
        assert_eq!((checks.identified(log(1, 7), 2, NOW), checks.at()), (same(0, 1), NOW + EVERY));
        checks.answered(1, true, NOW);
        checks.answered(1, false, NOW);
        assert_eq!(checks.at(), NOW + AGAIN);
        assert_eq!(checks.identified(log(1, 9), 1, NOW), same(0, 2));
        // Of the check before.
        checks.answered(1, true, NOW);
        assert_eq!(checks.identified(log(1, 9), 1, NOW), same(0, 3));
    }

    #[test]
    fn a_log_that_goes_back_behind_what_this_node_has_appended_has_lost_something() {
        let mut checks = Checks::default();
        assert_eq!(checks.identified(log(1, 7), 0, NOW), same(0, 1));
        checks.begin(NOW);
        checks.appended(Position(9), NOW * 2);
        assert!(checks.is_doubtful(2) && !checks.is_doubtful(1));
        assert_eq!(checks.identified(log(1, 8), 0, NOW * 2), same(0, 2), "it was asked before");
        checks.begin(NOW * 3);
        assert_eq!(checks.identified(log(1, 8), 0, NOW * 3), Verdict::Unsure);
        assert!(checks.is_doubtful(1) && checks.at() <= NOW * 3 + AGAIN);
        assert_eq!(checks.identified(log(1, 8), 0, NOW * 3 + UNSURE), Verdict::Lost { since: NOW * 2 });
        checks.begin(NOW * 4);
        assert_eq!(checks.identified(log(1, 8), 0, NOW * 4), same(0, 3), "it was told");
        assert_eq!(checks.identified(log(2, 99), 0, NOW * 5), Verdict::Lost { since: NOW * 4 });
    }

    #[test]
    fn a_leader_that_does_not_know_all_of_the_log_yet_has_lost_nothing() {
        let mut checks = Checks::default();
        assert_eq!(checks.identified(log(1, 7), 0, NOW), same(0, 1));
        checks.begin(NOW);
        assert_eq!(checks.identified(log(1, 5), 0, NOW), Verdict::Unsure);
        assert_eq!(checks.identified(log(1, 7), 0, NOW + AGAIN), same(0, 2));
        assert!(!checks.is_doubtful(1));
        assert_eq!(checks.identified(log(1, 6), 0, NOW * 2), Verdict::Unsure, "from the beginning");
    }

    #[test]
    fn behind_another_connection_the_others_say_first_how_far_they_know_the_log() {
        let (own, other) = (Incarnation(1), Incarnation(2));
        let report = |last| LogReport { node: other, known: log(1, last).0, age: Duration::ZERO, is_asking: false };
        let mut checks = Checks::default();
        assert_eq!(checks.report(own, true, NOW), None, "nothing is known yet");
        checks.begin(NOW);
        assert_eq!(checks.identified(log(1, 7), 0, NOW), same(0, 1));
        checks.reported(&report(7), NOW);
        let told = LogReport { node: own, known: log(1, 7).0, age: AGAIN, is_asking: true };
        assert_eq!(checks.report(own, true, NOW + AGAIN), Some(told));
        checks.reconnected(NOW);
        checks.begin(NOW);
        assert_eq!(checks.identified(log(1, 7), 0, NOW), Verdict::Unsure);
        // That comes before the answer of a question that was asked before it.
        checks.begin(NOW);
        checks.reported(&report(9), NOW);
        assert_eq!(checks.identified(log(1, 7), 0, NOW), Verdict::Unsure);
        assert!(checks.is_doubtful(1) && checks.at() <= NOW);
        checks.begin(NOW);
        assert_eq!(checks.identified(log(1, 7), 0, NOW), Verdict::Unsure);
        checks.begin(NOW + UNSURE);
        assert!(matches!(checks.identified(log(1, 7), 0, NOW + UNSURE), Verdict::Lost { .. }));
        // Who has not seen it yet says so again: that is known.
        checks.reported(&report(9), NOW + UNSURE);
        checks.begin(NOW + UNSURE);
        assert_eq!(checks.identified(log(1, 7), 0, NOW + UNSURE), same(0, 2));
    }
}
