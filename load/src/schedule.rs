//! When everything is due: messages, connections, replacements, and the cuts of time.
//!
//! Pure: the same options and seed give the same schedule, whatever the server does. So a message that leaves late, since the
//! server or the generator was busy, still counts its latency from when it was due. Times are nanoseconds since the run began.

use crate::random::Random;
use std::ops::Range;
use std::time::Duration;

pub(crate) const SECOND: u64 = 1_000_000_000;

/// A duration as the schedule counts time; 584 years are the most.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// An open loop: this many messages a second, whether or not the earlier ones were answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Messages a second, from all senders together.
    pub(crate) rate: u64,
    /// The time over which the rate rises from nothing.
    pub(crate) ramp: u64,
}

impl Pace {
    /// When a message is due; the first has index 0.
    ///
    /// While the rate rises in a straight line, the messages due grow with the square of time.
    pub(crate) fn due(&self, index: u64) -> u64 {
        let (index, rate, ramp) = (index as f64, self.rate as f64 / SECOND as f64, self.ramp as f64);
        let rising = rate * ramp / 2.0;
        let due = if index < rising { (2.0 * ramp * index / rate).sqrt() } else { ramp + (index - rising) / rate };
        whole(due)
    }
}

/// What is measured, and what is before and after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phases {
    pub(crate) ramp: u64,
    pub(crate) warmup: u64,
    pub(crate) duration: u64,
}

impl Phases {
    pub(crate) fn measured(&self) -> Range<u64> {
        let from = self.ramp + self.warmup;
        from..from + self.duration
    }

    /// When the interval that holds `time` ends: each second, and where what is measured begins and ends.
    pub(crate) fn next_cut(&self, time: u64) -> u64 {
        let Range { start, end } = self.measured();
        let (from, end) = if time < start { (0, start) } else { (start, end.max(time + 1)) };
        (from + ((time - from) / SECOND + 1) * SECOND).min(end)
    }
}

/// Who sends when: senders take turns, in an order that the seed gives.
///
/// One thread's part of it, since each thread has senders of its own.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Of these senders, by their place in a round.
    own: Vec<Slot>,
    /// All senders, of all threads.
    senders: u64,
    round: u64,
    position: usize,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    place: u64,
    sender: usize,
}

impl Turns {
    /// The turns of the senders for which `own` gives a number of the thread's.
    pub(crate) fn new(senders: usize, seed: u64, own: impl Fn(usize) -> Option<usize>) -> Self {
        let order = Random::new(seed).order(senders);
        let places = order.iter().enumerate().filter_map(|(place, sender)| {
            let sender = own(*sender)?;
            Some(Slot { place: place as u64, sender })
        });
        Self { own: places.collect(), senders: senders as u64, round: 0, position: 0 }
    }

    /// When the next message is due, if this thread sends any.
    pub(crate) fn next_due(&self, pace: &Pace) -> Option<u64> {
        let next = self.own.get(self.position)?;
        Some(pace.due(self.round * self.senders + next.place))
    }

    /// Whose message that is; the next one's turn comes.
    pub(crate) fn take(&mut self) -> Option<usize> {
        let sender = self.own.get(self.position)?.sender;
        self.position += 1;
        if self.position == self.own.len() {
            (self.round, self.position) = (self.round + 1, 0);
        }
        Some(sender)
    }

    /// Where each sender stands in a round: `due` of its message number `n`, from 0, is `pace.due(n × senders + place)`.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.own.iter().map(|place| (place.sender, place.place))
    }
}

/// Which connections are replaced, and when: evenly spread over time, each one before any a second time.
#[derive(Debug)]
pub(crate) struct Churn {
    order: Vec<usize>,
    rate: u64,
    done: u64,
}

impl Churn {
    /// `rate` replacements a second; none if it is 0.
    pub(crate) fn new(connections: usize, rate: u64, seed: u64) -> Self {
        Self { order: Random::new(seed ^ 0x0063_6875_726e).order(connections), rate, done: 0 }
    }

    pub(crate) fn next_due(&self) -> Option<u64> {
        let counts = self.rate > 0 && !self.order.is_empty();
        counts.then(|| Pace { rate: self.rate, ramp: 0 }.due(self.done + 1))
    }

    pub(crate) fn take(&mut self) -> Option<usize> {
        let index = usize::try_from(self.done).ok()?.checked_rem(self.order.len())?;
        self.done += 1;
        Some(self.order[index])
    }
}

/// When to open connection `index` of `connections`, so that they are spread evenly over `over`.
pub(crate) fn opening(index: usize, connections: usize, over: u64) -> u64 {
    whole(over as f64 * index as f64 / connections.max(1) as f64)
}

impl Random {
    pub(crate) fn nonce(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    /// The numbers below `count` in some order.
    fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<_> = (0..count).collect();
        for last in (1..count).rev() {
            let other = self.next() % (last as u64 + 1);
            order.swap(last, other as usize);
        }
        order
    }
}

/// Nanoseconds from a calculation; a double is exact to one of them for 104 days.
#[allow(clippy::cast_sign_loss, reason = "no time here is before the run began")]
fn whole(nanoseconds: f64) -> u64 {
    nanoseconds.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many messages are due up to and at a time.
    fn due_by(pace: Pace, time: u64) -> u64 {
        (0..1_000_000).take_while(|index| pace.due(*index) <= time).count() as u64
    }

    #[test]
    fn messages_are_evenly_spread() {
        let pace = Pace { rate: 1000, ramp: 0 };
        assert_eq!(
            [0, 1, 2, 1000, 3_600_000].map(|index| pace.due(index)),
            [0, 1_000_000, 2_000_000, SECOND, 3600 * SECOND]
        );
        // A rate that does not divide a second drifts by no message in a day.
        let pace = Pace { rate: 3, ramp: 0 };
        assert_eq!(pace.due(3 * 86_400), 86_400 * SECOND);
    }

    #[test]
    fn a_ramp_sends_half_as_many_and_then_keeps_the_rate() {
        let pace = Pace { rate: 1000, ramp: 2 * SECOND };
        assert_eq!(due_by(pace, 2 * SECOND), 1001);
        assert_eq!(due_by(pace, SECOND), 251);
        assert_eq!(due_by(pace, 3 * SECOND) - due_by(pace, 2 * SECOND), 1000);
        assert!((0..5000).map(|index| pace.due(index)).is_sorted());
    }

    #[test]
    fn threads_share_the_turns_without_overlap() {
        let pace = Pace { rate: 700, ramp: 0 };
        let turns = |thread: usize, threads: usize| {
            let mut turns = Turns::new(7, 42, |sender| (sender % threads == thread).then_some(sender));
            let next = move || {
                let due = turns.next_due(&pace)?;
                Some((due, turns.take()?))
            };
            std::iter::from_fn(next).take(70 / threads).collect::<Vec<_>>()
        };
        let alone = turns(0, 1);
        assert_eq!(alone.len(), 70);
        assert!(alone.is_sorted());
        let mut shared: Vec<_> = (0..2).flat_map(|thread| turns(thread, 2)).collect();
        shared.sort_unstable();
        let same = shared.iter().zip(&alone).take_while(|(one, other)| one == other).count();
        assert!(same > 50, "{shared:?}");
        // Each sender once in a round.
        let mut round: Vec<_> = alone[..7].iter().map(|(_, sender)| *sender).collect();
        round.sort_unstable();
        assert_eq!(round, (0..7).collect::<Vec<_>>());
    }

    #[test]
    fn a_sender_knows_when_each_of_its_messages_is_due() {
        let pace = Pace { rate: 900, ramp: SECOND };
        let mut turns = Turns::new(9, 7, Some);
        let places: std::collections::HashMap<_, _> = turns.places().collect();
        let mut sent = [0; 9];
        for _ in 0..100 {
            let due = turns.next_due(&pace).unwrap();
            let sender = turns.take().unwrap();
            assert_eq!(due, pace.due(sent[sender] * 9 + places[&sender]));
            sent[sender] += 1;
        }
    }

    #[test]
    fn a_thread_without_senders_has_nothing_due() {
        let mut turns = Turns::new(3, 0, |_| None);
        assert_eq!((turns.next_due(&Pace { rate: 1, ramp: 0 }), turns.take()), (None, None));
    }

    #[test]
    fn the_seed_gives_the_order() {
        let order = |seed| Random::new(seed).order(100);
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let mut sorted = order(1);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn churn_replaces_each_connection_before_any_twice() {
        let mut churn = Churn::new(10, 5, 3);
        let due: Vec<_> = std::iter::from_fn(|| Some((churn.next_due()?, churn.take()?))).take(20).collect();
        assert_eq!((due[0].0, due[19].0), (SECOND / 5, 4 * SECOND));
        let mut first: Vec<_> = due[..10].iter().map(|(_, index)| *index).collect();
        assert_eq!(first, due[10..].iter().map(|(_, index)| *index).collect::<Vec<_>>());
        first.sort_unstable();
        assert_eq!(first, (0..10).collect::<Vec<_>>());
        assert_eq!(Churn::new(10, 0, 3).next_due(), None);
        assert_eq!(Churn::new(0, 5, 3).next_due(), None);
    }

    #[test]
    fn time_is_cut_each_second_and_where_the_measurement_begins_and_ends() {
        let phases = Phases { ramp: SECOND / 2, warmup: SECOND, duration: 2 * SECOND + SECOND / 4 };
        let cut = |time: u64| std::iter::successors(Some(time), |time| Some(phases.next_cut(*time)));
        let cuts: Vec<_> = cut(0).take(6).map(|time| time / 250_000_000).collect();
        assert_eq!(cuts, [0, 4, 6, 10, 14, 15]);
        assert_eq!(phases.measured(), 1_500_000_000..3_750_000_000);
        let phases = Phases { ramp: 0, warmup: 0, duration: SECOND };
        assert_eq!(phases.next_cut(0), SECOND);
        assert!(phases.next_cut(SECOND) > SECOND);
    }

    #[test]
    fn connections_are_opened_over_the_ramp() {
        let times: Vec<_> = (0..4).map(|index| opening(index, 4, SECOND)).collect();
        assert_eq!(times, [0, 250_000_000, 500_000_000, 750_000_000]);
        assert_eq!(opening(3, 4, 0), 0);
    }
}
