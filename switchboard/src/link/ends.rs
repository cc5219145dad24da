//! When a connection ends because what it was shown to be has an end: its stamp, and the clock that the stamp is of.
//!
//! An end is a time of day, and times of day are set: by somebody's hand, by the network, when a machine wakes up. So a stamp is of a
//! clock of its own ([`EndClock`]), and no timer runs: the worker's sweep compares it, as it does with deadlines.

use super::{Link, State, WATCHED};
use crate::metrics::Lane;
use crate::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use switchboard_proto::{CloseReason, Output, Second};
use tokio::time::Instant;

/// How long before its end somebody is told.
const TOLD_BEFORE: Second = 60;

/// What a clock of the day may differ from the time that passed without having been set: it is read a moment later.
const SET_BY: Duration = Duration::from_secs(1);

/// No end.
pub(super) const NEVER: Second = Second::MAX;

/// It is over. No stamp is that low: the first sweep is in second 1.
const OVER: Second = 0;

/// How long somebody still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeLeft {
    /// For good, or it is over.
    Nothing,
    /// More than a minute.
    Long,
    /// So many seconds.
    Short(Second),
}

/// The time by which ends come: it goes on as time passes here, and ahead when the clock of the day is set ahead; never back.
///
/// Whoever was told an hour has an hour, though the clock of the day is set back meanwhile. If it is set ahead, or the machine slept,
/// the hour is over when the clock says so: for a new connection it would be as well. So no clock makes an hour longer than it is.
#[derive(Debug, Default)]
struct EndTime {
    /// What the clock of the day said when no time had passed.
    zero: Option<SystemTime>,
    /// By how much it was set ahead since, in all.
    ahead: Duration,
}

impl EndTime {
    /// The time, when `passed` has passed and it is `day`.
    fn now(&mut self, passed: Duration, day: SystemTime) -> Duration {
        let Some(zero) = day.checked_sub(passed) else { return passed + self.ahead };
        let known = *self.zero.get_or_insert(zero);
        match zero.duration_since(known) {
            Ok(ahead) if ahead >= SET_BY => {
                // Whole seconds, so that a stamp stays at the sweep that it is for.
                let ahead = Duration::from_secs(ahead.as_secs());
                self.ahead = self.ahead.saturating_add(ahead);
                self.zero = Some(known + ahead);
            }
            Err(back) if back.duration() >= SET_BY => self.zero = Some(zero),
            _ => {}
        }
        passed.saturating_add(self.ahead)
    }

    /// The first second in which `end` is over.
    fn stamp(&mut self, end: SystemTime, passed: Duration, day: SystemTime) -> Second {
        let left = end.duration_since(day).unwrap_or_default();
        let end = self.now(passed, day).saturating_add(left);
        let seconds = end.as_secs().saturating_add(u64::from(end.subsec_nanos() > 0));
        Second::try_from(seconds).unwrap_or(NEVER).clamp(1, NEVER - 1)
    }
}

/// One worker's.
#[derive(Default)]
pub(crate) struct EndClock {
    /// When its sweep began to count.
    started: OnceLock<Instant>,
    time: Mutex<EndTime>,
    /// The second of the last sweep.
    now: AtomicU32,
}

impl EndClock {
    /// Steps to the second now; once for each sweep of those that are counted from `started` on.
    pub(crate) fn step(&self, started: Instant) {
        let passed = self.started.get_or_init(|| started).elapsed();
        let now = self.time.lock().now(passed, SystemTime::now());
        // Relaxed: whoever asks in the middle of a sweep may hear of it a second later.
        self.now.store(Second::try_from(now.as_secs()).unwrap_or(NEVER), Ordering::Relaxed);
    }

    fn now(&self) -> Second {
        self.now.load(Ordering::Relaxed)
    }

    fn stamp(&self, end: SystemTime) -> Second {
        let passed = self.started.get_or_init(Instant::now).elapsed();
        self.time.lock().stamp(end, passed, SystemTime::now())
    }
}

impl Link {
    /// Has it end at `end`, or never by itself; in place of what was said before. Comes too late if it is over already.
    pub(crate) fn ends_at(&self, end: Option<SystemTime>) {
        let stamp = end.map_or(NEVER, |end| self.tick.ends.stamp(end));
        // The sweep looks at it, and says that it is over, under the same lock.
        let _state = self.state.lock();
        if !self.is_over() {
            self.ends.store(stamp, Ordering::Relaxed);
        }
    }

    /// Whether it has come to that end: what is still said in its name is too late.
    pub(crate) fn is_over(&self) -> bool {
        // Relaxed: whoever asks goes by what the sweep has said, and not by when.
        self.ends.load(Ordering::Relaxed) == OVER
    }

    /// Ends it if it is over: at once, since what lies in its socket comes too late.
    pub(super) fn sweep_end(&self, state: &mut State) {
        let end = self.ends.load(Ordering::Relaxed);
        if end != OVER && self.tick.ends.now() >= end {
            self.ends.store(OVER, Ordering::Relaxed);
            self.end_locked(state, CloseReason::Expired);
        }
    }

    /// How long it still has.
    pub(crate) fn left(&self) -> TimeLeft {
        let (end, now) = (self.ends.load(Ordering::Relaxed), self.tick.ends.now());
        match end.saturating_sub(now) {
            _ if end == NEVER => TimeLeft::Nothing,
            0 => TimeLeft::Nothing,
            left @ ..=TOLD_BEFORE => TimeLeft::Short(left),
            _ => TimeLeft::Long,
        }
    }

    /// Somebody watches how long it still has from now on. Says whether nobody did.
    pub(crate) fn watch(&self) -> bool {
        // AcqRel: whoever stops to watch sees the end that was there when another one found it watched.
        self.attention.fetch_or(WATCHED, Ordering::AcqRel) & WATCHED == 0
    }

    /// And stops to.
    pub(crate) fn unwatch(&self) {
        self.attention.fetch_and(!WATCHED, Ordering::AcqRel);
    }

    /// Queues a frame that the server itself says now and then, whatever else is queued.
    pub(crate) fn tell_aside(self: &Arc<Self>, encode: impl FnOnce(&mut Output)) {
        if let Some(mut delivering) = self.delivering() {
            delivering.outbox().push(1, encode);
            // Not by the tick.
            self.sent(Lane::Tasks, 1);
            delivering.queued();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EndTime, NEVER};
    use std::time::{Duration, SystemTime};

    const HOUR: Duration = Duration::from_hours(1);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A clock, the day that it began, and the stamp of what ends an hour after that.
    fn an_hour() -> (EndTime, SystemTime, u32) {
        let (mut time, day) = (EndTime::default(), SystemTime::UNIX_EPOCH + 1000 * HOUR);
        time.now(seconds(1), day + seconds(1));
        let stamp = time.stamp(day + HOUR, seconds(1), day + seconds(1));
        assert_eq!(stamp, 3600);
        (time, day, stamp)
    }

    fn second(time: &mut EndTime, passed: u64, day: SystemTime) -> u32 {
        time.now(seconds(passed), day).as_secs() as u32
    }

    #[test]
    fn an_hour_is_an_hour_though_the_clock_is_set_back() {
        let (mut time, day, stamp) = an_hour();
        assert!(second(&mut time, 1800, day) < stamp, "it says that no time has passed");
        assert_eq!(second(&mut time, 3600, day + seconds(1800)), stamp);
    }

    #[test]
    fn an_hour_is_over_when_a_clock_that_is_set_ahead_says_so() {
        let (mut time, day, stamp) = an_hour();
        assert_eq!(second(&mut time, 60, day + seconds(3599)), stamp - 1);
        assert_eq!(second(&mut time, 61, day + HOUR), stamp);
    }

    #[test]
    fn an_hour_is_over_after_a_machine_that_slept_wakes_up() {
        let (mut time, day, stamp) = an_hour();
        assert!(second(&mut time, 3, day + 10 * HOUR) > stamp);
    }

    #[test]
    fn a_clock_that_was_wrong_for_a_while_does_not_count_for_those_who_come_later() {
        let (mut time, day, _) = an_hour();
        // A year ahead, and put right.
        second(&mut time, 10, day + 9000 * HOUR);
        second(&mut time, 11, day + seconds(11));
        let stamp = time.stamp(day + HOUR, seconds(12), day + seconds(12));
        let now = second(&mut time, 12, day + seconds(12));
        assert_eq!(stamp - now, 3588);
    }

    #[test]
    fn a_clock_that_is_read_a_moment_later_was_not_set() {
        let (mut time, day, stamp) = an_hour();
        for passed in 2..100_000 {
            let late = Duration::from_millis(u64::from(passed % 2 == 0) * 900);
            assert_eq!(second(&mut time, passed, day + seconds(passed) + late), passed as u32);
        }
        assert!(second(&mut time, 100_000, day + seconds(100_000)) > stamp);
    }

    #[test]
    fn a_set_clock_is_seen_by_whoever_comes_before_the_next_sweep() {
        let (mut time, day, _) = an_hour();
        let (passed, later) = (Duration::from_millis(5500), day + 2 * HOUR);
        let stamp = time.stamp(later + seconds(60), passed, later);
        let now = second(&mut time, 6, later + Duration::from_millis(500));
        assert!((59..=61).contains(&(stamp - now)), "{stamp} at {now}");
    }

    #[test]
    fn what_is_over_already_or_never_has_a_stamp() {
        let (mut time, day, _) = an_hour();
        assert!(time.stamp(day, seconds(10), day + seconds(10)) <= 10);
        assert!(time.stamp(day - 999 * HOUR, seconds(10), day + seconds(10)) <= 10);
        assert_eq!(time.stamp(day + 9_000_000 * HOUR, seconds(10), day + seconds(10)), NEVER - 1);
        assert!(EndTime::default().stamp(day, Duration::ZERO, day) >= 1);
    }
}
