//! Whether the log is still the one that a node's rooms followed, and what there is in it that they have not heard of: looked at every 10 s, and
//! at once when the connection is there again.
//!
//! Decides, and asks nobody: `serving.rs` does.

use super::{LogIdentity, Position};
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

#[derive(Default)]
pub(super) struct Checks {
    at: Duration,
    /// Which log it was, and what it was known to have; and when that was known.
    known: Option<(LogIdentity, Duration)>,
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

    /// A check begins.
    pub(super) fn begin(&mut self, now: Duration) {
        self.at = now + EVERY;
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
        if let Some((known, since)) = self.known.as_mut().filter(|(known, _)| known.last < position) {
            (known.last, *since) = (position, now);
        }
    }

    /// Which log is behind the connection of this number; `questions` will be asked about its rooms.
    pub(super) fn identified(
        &mut self,
        (identity, connection): (LogIdentity, u64),
        questions: usize,
        now: Duration,
    ) -> Verdict {
        if let Some((known, since)) = self.known {
            let is_other = known.log != identity.log;
            let unsure_since = *self.unsure_since.get_or_insert(now);
            if !is_other && known.last > identity.last && now < unsure_since + UNSURE {
                self.connection = None;
                self.failed(now);
                return Verdict::Unsure;
            }
            self.unsure_since = None;
            if is_other || known.last > identity.last {
                (self.known, self.connection) = (Some((identity, now)), Some(connection));
                (self.checked, self.under_way) = ([Position(0); 2], None);
                return Verdict::Lost { since };
            }
        }
        (self.known, self.connection) = (Some((identity, now)), Some(connection));
        self.number += 1;
        self.under_way = (questions > 0).then_some((identity.last, questions));
        Verdict::Same { after: self.checked[1], number: self.number }
    }

    /// One question of the check of this number was answered, or not.
    pub(super) fn answered(&mut self, number: u64, is_answered: bool, now: Duration) {
        if number != self.number {
            return;
        }
        if !is_answered {
            return self.failed(now);
        }
        if let Some((last, left)) = &mut self.under_way {
            *left -= 1;
            if *left == 0 {
                self.checked = [*last, self.checked[0]];
                self.under_way = None;
            }
        }
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
            checks.answered(number, true, NOW);
            checks.answered(number, true, NOW);
        }
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
        checks.appended(Position(9), NOW * 2);
        assert!(checks.is_doubtful(2) && !checks.is_doubtful(1));
        assert_eq!(checks.identified(log(1, 8), 0, NOW * 3), Verdict::Unsure);
        assert!(checks.is_doubtful(1) && checks.at() <= NOW * 3 + AGAIN);
        assert_eq!(checks.identified(log(1, 8), 0, NOW * 3 + UNSURE), Verdict::Lost { since: NOW * 2 });
        assert_eq!(checks.identified(log(1, 8), 0, NOW * 4), same(0, 2), "it was told");
        assert_eq!(checks.identified(log(2, 99), 0, NOW * 5), Verdict::Lost { since: NOW * 4 });
    }

    #[test]
    fn a_leader_that_does_not_know_all_of_the_log_yet_has_lost_nothing() {
        let mut checks = Checks::default();
        assert_eq!(checks.identified(log(1, 7), 0, NOW), same(0, 1));
        assert_eq!(checks.identified(log(1, 5), 0, NOW), Verdict::Unsure);
        assert_eq!(checks.identified(log(1, 7), 0, NOW + AGAIN), same(0, 2));
        assert!(!checks.is_doubtful(1));
        assert_eq!(checks.identified(log(1, 6), 0, NOW * 2), Verdict::Unsure, "from the beginning");
    }
}
