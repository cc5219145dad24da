//! When the keys at a URL are asked for: every ten minutes, and when a token has a key that is not among them.
//!
//! Decides and asks nobody: it is told the time, and what came of it.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Between two answers, give or take a tenth: servers that were started together do not ask together.
const EVERY: Duration = Duration::from_mins(10);

/// After an attempt that failed.
const AGAIN: Duration = Duration::from_mins(1);

/// Between two attempts because of a token that nobody can check. Whoever makes tokens up has no more asked for (RFC 7517 says nothing of it;
/// others were made to ask without end).
const APART: Duration = Duration::from_secs(30);

/// The times of one URL.
#[derive(Debug)]
pub(crate) struct Asking {
    times: Mutex<Times>,
    /// Grows whenever an attempt has ended.
    ended: watch::Sender<u64>,
}

#[derive(Debug)]
struct Times {
    due: Instant,
    began: Option<Instant>,
    is_under_way: bool,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Answered,
    /// And there are keys from before.
    Failed,
    /// And there are none.
    FailedWithout,
}

impl Asking {
    /// Is due at once.
    pub(crate) fn new(now: Instant) -> Self {
        let times = Times { due: now, began: None, is_under_way: false };
        Self { times: Mutex::new(times), ended: watch::Sender::new(0) }
    }

    /// When it is due, unless it is under way.
    pub(crate) fn due(&self) -> Option<Instant> {
        let times = self.times.lock();
        (!times.is_under_way).then_some(times.due)
    }

    /// Whether it is due, and so under way from now on.
    pub(crate) fn begins(&self, now: Instant) -> bool {
        let mut times = self.times.lock();
        let begins = !times.is_under_way && times.due <= now;
        if begins {
            (times.is_under_way, times.began) = (true, Some(now));
            // Whoever asks meanwhile, because of what changes, has it done again.
            times.due = now + 2 * EVERY;
        }
        begins
    }

    /// An attempt has ended. `random` says which part of the tenth is added.
    pub(crate) fn ends(&self, now: Instant, attempt: Attempt, random: u8) {
        let mut times = self.times.lock();
        let wait = match attempt {
            Attempt::Answered => EVERY,
            Attempt::Failed => AGAIN,
            Attempt::FailedWithout => APART,
        };
        // From 0.9 to 1.1 of it.
        let wait = wait * (900 + u32::from(random) * 200 / 255) / 1000;
        times.is_under_way = false;
        times.due = times.due.min(now + wait);
        drop(times);
        self.ended.send_modify(|count| *count += 1);
    }

    /// Asks for it now: the operator wants it.
    pub(crate) fn refresh(&self, now: Instant) {
        self.times.lock().due = now;
    }

    /// Asks for it because of a token, and gives by what one hears that it was done; nothing if that was a moment ago.
    pub(crate) fn want(&self, now: Instant) -> Option<watch::Receiver<u64>> {
        let mut times = self.times.lock();
        let ended = self.ended.subscribe();
        if !times.is_under_way {
            if times.began.is_some_and(|began| now - began < APART) {
                return None;
            }
            times.due = now;
        }
        Some(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn keys_are_asked_for_every_ten_minutes_or_so() {
        let start = Instant::now();
        let asking = Asking::new(start);
        assert!(asking.begins(start) && !asking.begins(start) && asking.due().is_none());
        for (attempt, random, wait) in [
            (Attempt::Answered, 0, 540),
            (Attempt::Answered, 255, 660),
            (Attempt::Failed, 0, 54),
            (Attempt::FailedWithout, 255, 33),
        ] {
            // Further off than any.
            asking.times.lock().due = start + secs(10_000);
            asking.ends(start, attempt, random);
            assert_eq!(asking.due(), Some(start + secs(wait)), "{attempt:?} {random}");
        }
    }

    #[test]
    fn tokens_have_them_asked_for_every_half_minute_at_most() {
        let start = Instant::now();
        let asking = Asking::new(start);
        let mut asked = 0;
        for second in 0..120 {
            let now = start + secs(second);
            for _ in 0..1000 {
                let _ = asking.want(now);
            }
            if asking.begins(now) {
                asked += 1;
                assert!(asking.want(now).is_some(), "it is under way");
                asking.ends(now, Attempt::Answered, 128);
            }
        }
        assert_eq!(asked, 4);
    }

    #[test]
    fn an_operator_has_them_asked_for_at_once_and_behind_what_is_under_way() {
        let start = Instant::now();
        let asking = Asking::new(start);
        assert!(asking.begins(start));
        asking.refresh(start + secs(1));
        assert!(!asking.begins(start + secs(1)));
        asking.ends(start + secs(2), Attempt::Answered, 128);
        assert!(asking.begins(start + secs(2)));
        asking.ends(start + secs(3), Attempt::Answered, 128);
        assert!(!asking.begins(start + secs(4)));
        asking.refresh(start + secs(4));
        assert!(asking.begins(start + secs(4)));
    }
}
