//! To which upstream the next connection goes, and which of them are taken out for now.
//!
//! Counts and times alone: nothing is connected here.

use super::counts::State;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// Failures to connect in a row after which an upstream is taken out.
const FAILURES: u32 = 3;

/// For how long, the first time; each time twice as long.
const OUT: Duration = Duration::from_secs(5);
const OUT_MOST: Duration = Duration::from_mins(1);

/// How connections are spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Balance {
    /// To the one with the fewest for its weight.
    #[default]
    Least,
    /// In turn.
    Round,
    /// Those of one address to the same one, while that has no more than its share and a quarter.
    Address,
}

/// What is known of all upstreams.
#[derive(Debug)]
pub(super) struct Standings {
    balance: Balance,
    /// The most connections of each.
    most: usize,
    all: Vec<Standing>,
    /// Who is first in turn, and how many of its turn it has had.
    next: usize,
    had: u32,
}

/// What is known of one.
#[derive(Debug, Default)]
struct Standing {
    /// Its share, beside those of the others.
    weight: u32,
    open: usize,
    /// In a row.
    failures: u32,
    out: Option<Out>,
    /// It is taken out, as it does not pass its check.
    is_down: bool,
    /// It does not pass its check, but no other one was in.
    is_kept: bool,
}

/// It is taken out.
#[derive(Debug)]
struct Out {
    until: Instant,
    /// For how long, the last time.
    length: Duration,
    /// One connection tries whether it is back.
    is_tried: bool,
}

/// What a failure or a success has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    Nothing,
    Out(Duration),
    /// It fails, but is the last one that is in.
    Kept,
    In,
}

impl Standing {
    fn is_in(&self) -> bool {
        self.out.is_none() && !self.is_down
    }

    /// Whether it may be tried once more.
    fn is_due(&self, now: Instant) -> bool {
        !self.is_down && self.out.as_ref().is_some_and(|out| !out.is_tried && out.until <= now)
    }
}

impl Standings {
    /// One for each weight.
    pub(super) fn new(weights: &[u32], balance: Balance, most: usize) -> Self {
        let all = weights.iter().map(|weight| Standing { weight: *weight, ..Standing::default() });
        Self { balance, most, all: all.collect(), next: 0, had: 0 }
    }

    /// Counts a connection to the upstream that is best for a client, but for those that `tried` has; none if all have as many as
    /// they may. One that was taken out is tried once its time is over. If no other is left, so is one whose time is not.
    pub(super) fn take(&mut self, client: Option<IpAddr>, tried: &[usize], now: Instant) -> Option<usize> {
        let free = |(at, standing): &(usize, &Standing)| standing.open < self.most && !tried.contains(at);
        let among = |is: &dyn Fn(&Standing) -> bool| -> Vec<usize> {
            let all = self.all.iter().enumerate().filter(free);
            all.filter(|(_, standing)| is(standing)).map(|(at, _)| at).collect()
        };
        let due = among(&|standing| standing.is_due(now));
        let chosen = due.first().copied().or_else(|| self.best(&among(&Standing::is_in), client)).or_else(|| {
            // Those that are in have failed this one.
            (!tried.is_empty()).then(|| self.best(&among(&|standing| !standing.is_in()), client)).flatten()
        })?;
        if let Some(out) = &mut self.all[chosen].out {
            out.is_tried = true;
        }
        self.all[chosen].open += 1;
        self.count_turn(chosen);
        Some(chosen)
    }

    /// Its turn lasts for as many as its weight.
    fn count_turn(&mut self, chosen: usize) {
        self.had = if chosen == self.next { self.had + 1 } else { 1 };
        self.next = chosen;
        if self.had >= self.all[chosen].weight {
            (self.next, self.had) = ((chosen + 1) % self.all.len(), 0);
        }
    }

    /// Whether one that is not `tried` would take a connection if it had fewer.
    pub(super) fn is_full(&self, tried: &[usize]) -> bool {
        let mut others = self.all.iter().enumerate().filter(|(at, _)| !tried.contains(at));
        others.any(|(_, standing)| standing.is_in() && standing.open >= self.most)
    }

    /// A connection has ended, or was not made.
    pub(super) fn give_back(&mut self, at: usize) {
        self.all[at].open -= 1;
    }

    /// It was connected to.
    pub(super) fn succeeded(&mut self, at: usize) -> Turned {
        let standing = &mut self.all[at];
        let has_failed = standing.failures >= FAILURES;
        standing.failures = 0;
        if standing.out.take().is_some() || has_failed { Turned::In } else { Turned::Nothing }
    }

    /// It could not be connected to. The last one that is in stays so: a wrong guess would refuse everybody.
    pub(super) fn failed(&mut self, at: usize, now: Instant) -> Turned {
        let others = self.all.iter().enumerate().filter(|(other, standing)| *other != at && standing.is_in()).count();
        let standing = &mut self.all[at];
        standing.failures = standing.failures.saturating_add(1);
        let length = match &standing.out {
            // Somebody else's attempt from before.
            Some(out) if !out.is_tried => return Turned::Nothing,
            Some(out) => (out.length * 2).min(OUT_MOST),
            None if standing.failures < FAILURES => return Turned::Nothing,
            // Told once.
            None if others == 0 => return if standing.failures == FAILURES { Turned::Kept } else { Turned::Nothing },
            None => OUT,
        };
        let is_news = standing.out.is_none();
        standing.out = Some(Out { until: now + length, length, is_tried: false });
        if is_news { Turned::Out(length) } else { Turned::Nothing }
    }

    /// The attempt was given up by the client.
    pub(super) fn untried(&mut self, at: usize) {
        if let Some(out) = &mut self.all[at].out {
            out.is_tried = false;
        }
    }

    /// What a check has found. The last one that is in stays so.
    pub(super) fn checked(&mut self, at: usize, is_down: bool) -> Turned {
        let others = self.all.iter().enumerate().any(|(other, standing)| other != at && standing.is_in());
        let standing = &mut self.all[at];
        if standing.is_down == is_down && !standing.is_kept {
            return Turned::Nothing;
        }
        let was_kept = std::mem::replace(&mut standing.is_kept, is_down && !standing.is_down && !others);
        if standing.is_kept {
            return if was_kept { Turned::Nothing } else { Turned::Kept };
        }
        standing.is_down = is_down;
        if is_down { Turned::Out(Duration::ZERO) } else { Turned::In }
    }

    pub(super) fn state(&self, at: usize) -> State {
        match &self.all[at] {
            Standing { is_down: true, .. } => State::Down,
            Standing { out: Some(_), .. } => State::Out,
            Standing { is_kept, failures, .. } if *is_kept || *failures >= FAILURES => State::Failing,
            Standing { .. } => State::In,
        }
    }

    /// How many connections it has.
    pub(super) fn open(&self, at: usize) -> usize {
        self.all[at].open
    }

    /// The most that each may have.
    pub(super) fn most(&self) -> Option<usize> {
        (self.most < usize::MAX).then_some(self.most)
    }

    fn best(&self, among: &[usize], client: Option<IpAddr>) -> Option<usize> {
        let in_turn = |at: &usize| (at + self.all.len() - self.next) % self.all.len();
        let (open, weight) = (|at: &usize| self.all[*at].open, |at: &usize| self.all[*at].weight as usize);
        let fewest = |one: &&usize, other: &&usize| {
            let shares = (open(one) * weight(other)).cmp(&(open(other) * weight(one)));
            shares.then_with(|| in_turn(one).cmp(&in_turn(other)))
        };
        let least = || among.iter().min_by(fewest).copied();
        match (self.balance, client) {
            (Balance::Round, _) => among.iter().min_by_key(|at| in_turn(at)).copied(),
            (Balance::Address, Some(client)) => {
                // Its share and a quarter, with the one that comes (Mirrokni, Thorup, Zadimoghaddam: consistent hashing with bounded loads).
                let total: usize = among.iter().map(open).sum::<usize>() + 1;
                let all: usize = among.iter().map(weight).sum();
                let is_below = |at: &&usize| open(at) < (total * weight(at) * 5).div_ceil(all * 4);
                let kinship = |at: &usize| kinship(client, *at, self.all[*at].weight);
                among
                    .iter()
                    .filter(is_below)
                    .max_by(|one, other| kinship(one).total_cmp(&kinship(other)))
                    .copied()
                    .or_else(least)
            }
            (Balance::Least, _) | (Balance::Address, None) => least(),
        }
    }
}

/// How much an address belongs to an upstream, the same each time (rendezvous hashing, Thaler and Ravishankar; with weights, Schindelhauer and
/// Schomaker).
fn kinship(client: IpAddr, at: usize, weight: u32) -> f64 {
    let mut hasher = DefaultHasher::new();
    (client.to_canonical(), at).hash(&mut hasher);
    // As many bits as a float holds, and never 0 or 1.
    let share = ((hasher.finish() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    -f64::from(weight) / share.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn standings(count: usize, balance: Balance) -> Standings {
        Standings::new(&vec![1; count], balance, usize::MAX)
    }

    fn taken(standings: &mut Standings, count: usize) -> Vec<usize> {
        (0..count).map(|_| standings.take(None, &[], Instant::now()).expect("one")).collect()
    }

    /// Takes one out, by as many failures as it takes.
    fn fail(standings: &mut Standings, at: usize, now: Instant) -> Turned {
        let turned: Vec<_> = (0..FAILURES).map(|_| standings.failed(at, now)).collect();
        turned.into_iter().rfind(|turned| *turned != Turned::Nothing).unwrap_or(Turned::Nothing)
    }

    #[test]
    fn the_one_with_the_fewest_is_next_and_those_alike_come_in_turn() {
        let mut standings = standings(3, Balance::Least);
        assert_eq!(taken(&mut standings, 6), [0, 1, 2, 0, 1, 2]);
        standings.give_back(1);
        standings.give_back(1);
        assert_eq!(taken(&mut standings, 3), [1, 1, 2]);
    }

    #[test]
    fn in_turn_is_whatever_they_have() {
        let mut standings = standings(3, Balance::Round);
        assert_eq!(taken(&mut standings, 2), [0, 1]);
        standings.give_back(0);
        assert_eq!(taken(&mut standings, 3), [2, 0, 1]);
    }

    #[test]
    fn an_address_comes_to_the_same_one_while_that_is_not_too_full() {
        let client = |last| Some(IpAddr::from([192, 0, 2, last]));
        let mut spread = standings(4, Balance::Address);
        let found: Vec<_> = (0..=255).filter_map(|last| spread.take(client(last), &[], Instant::now())).collect();
        for at in 0..4 {
            let count = found.iter().filter(|found| **found == at).count();
            assert!((40..=81).contains(&count), "{count} of 256 came to {at}");
        }
        let mut other = standings(4, Balance::Address);
        let alone = other.take(client(7), &[], Instant::now()).expect("one");
        for _ in 0..10 {
            other.give_back(alone);
            assert_eq!(other.take(client(7), &[], Instant::now()), Some(alone));
        }
        let again: Vec<_> = (0..8).filter_map(|_| other.take(client(7), &[], Instant::now())).collect();
        assert!(again.iter().any(|at| *at != alone), "one address fills none of them");
    }

    #[test]
    fn each_has_its_share_by_weight_however_connections_are_spread() {
        for balance in [Balance::Least, Balance::Round] {
            let mut standings = Standings::new(&[3, 1], balance, usize::MAX);
            let mut counts = [0, 0];
            for at in taken(&mut standings, 40) {
                counts[at] += 1;
            }
            assert_eq!(counts, [30, 10], "{balance:?}");
        }
        // Nobody stays: all are alike each time.
        let mut standings = Standings::new(&[3, 1], Balance::Least, usize::MAX);
        let mut counts = [0, 0];
        for _ in 0..40 {
            let at = taken(&mut standings, 1)[0];
            counts[at] += 1;
            standings.give_back(at);
        }
        assert_eq!(counts, [30, 10]);
    }

    #[test]
    fn addresses_come_to_each_by_its_weight_and_stay_where_others_become_heavier() {
        let home = |weights: &[u32], last| {
            let client = Some(IpAddr::from([192, 0, 2, last]));
            Standings::new(weights, Balance::Address, usize::MAX).take(client, &[], Instant::now()).expect("one")
        };
        let homes = |weights: &[u32]| (0..=255).map(|last| home(weights, last)).collect::<Vec<_>>();
        let (even, heavy) = (homes(&[1, 1]), homes(&[3, 1]));
        let first = heavy.iter().filter(|at| **at == 0).count();
        assert!((170..=214).contains(&first), "{first} of 256 came to the one of weight 3 of 4");
        assert!(even.iter().zip(&heavy).all(|(even, heavy)| even == heavy || *heavy == 0));
    }

    #[test]
    fn an_upstream_that_fails_is_taken_out_for_longer_each_time_and_tried_by_one() {
        let (mut standings, mut now) = (standings(2, Balance::Least), Instant::now());
        assert_eq!(standings.failed(0, now), Turned::Nothing);
        assert_eq!(standings.succeeded(0), Turned::Nothing, "failures in a row count");
        assert_eq!(fail(&mut standings, 0, now), Turned::Out(OUT));
        for length in [5, 10, 20, 40, 60, 60] {
            assert_eq!(standings.take(None, &[], now + SECOND * (length - 1)), Some(1));
            now += SECOND * length;
            assert_eq!(standings.take(None, &[], now), Some(0));
            assert_eq!(standings.take(None, &[], now), Some(1), "one alone tries");
            assert_eq!(standings.failed(0, now), Turned::Nothing);
            standings.give_back(0);
        }
        now += OUT_MOST;
        assert_eq!(standings.take(None, &[], now), Some(0));
        assert_eq!(standings.succeeded(0), Turned::In);
        assert_eq!(standings.take(None, &[], now), Some(0));
    }

    #[test]
    fn the_last_one_is_never_taken_out_and_is_seen_to_fail() {
        let (mut standings, now) = (standings(2, Balance::Least), Instant::now());
        assert_eq!(fail(&mut standings, 0, now), Turned::Out(OUT));
        assert_eq!(fail(&mut standings, 1, now), Turned::Kept);
        assert_eq!(standings.failed(1, now), Turned::Nothing, "told once");
        assert_eq!([standings.state(0), standings.state(1)], [State::Out, State::Failing]);
        assert_eq!(standings.checked(1, true), Turned::Kept);
        assert_eq!(standings.checked(1, true), Turned::Nothing, "told once");
        assert_eq!(standings.take(None, &[], now), Some(1));
        assert_eq!(standings.take(None, &[1], now), Some(0), "rather than none");
        assert_eq!(standings.take(None, &[0, 1], now), None);
        assert_eq!(standings.succeeded(1), Turned::In);
        assert_eq!(standings.state(1), State::Failing, "it does not pass its check");
        assert_eq!(standings.checked(1, false), Turned::In);
        assert_eq!((standings.state(1), standings.checked(1, false)), (State::In, Turned::Nothing));
    }

    #[test]
    fn one_that_was_kept_is_taken_out_once_another_is_in() {
        let (mut standings, now) = (standings(2, Balance::Least), Instant::now());
        standings.checked(0, true);
        assert_eq!(standings.checked(1, true), Turned::Kept);
        assert_eq!(standings.checked(0, false), Turned::In);
        assert_eq!(standings.checked(1, true), Turned::Out(Duration::ZERO));
        assert_eq!([standings.state(0), standings.state(1)], [State::In, State::Down]);
        assert_eq!(fail(&mut standings, 0, now), Turned::Kept);
        assert_eq!(standings.checked(1, false), Turned::In);
        assert_eq!(standings.failed(0, now), Turned::Out(OUT));
    }

    #[test]
    fn checks_take_one_out_and_bring_it_back() {
        let (mut standings, now) = (standings(2, Balance::Least), Instant::now());
        assert_eq!(standings.checked(0, true), Turned::Out(Duration::ZERO));
        assert_eq!(standings.checked(0, true), Turned::Nothing);
        assert_eq!(taken(&mut standings, 2), [1, 1]);
        assert_eq!(standings.checked(0, false), Turned::In);
        assert_eq!(standings.take(None, &[], now), Some(0));
    }

    #[test]
    fn an_upstream_gets_no_more_than_it_may() {
        let (mut standings, now) = (Standings::new(&[1, 1], Balance::Least, 1), Instant::now());
        assert_eq!(taken(&mut standings, 2), [0, 1]);
        assert_eq!((standings.take(None, &[], now), standings.is_full(&[])), (None, true));
        standings.give_back(0);
        assert_eq!(standings.take(None, &[], now), Some(0));
        assert!(!standings.is_full(&[0, 1]), "those that were tried do not count");
    }

    #[test]
    fn an_attempt_that_was_given_up_says_nothing() {
        let (mut standings, now) = (standings(2, Balance::Least), Instant::now());
        fail(&mut standings, 0, now);
        let later = now + OUT;
        assert_eq!(standings.take(None, &[], later), Some(0));
        standings.untried(0);
        standings.give_back(0);
        assert_eq!(standings.take(None, &[], later), Some(0), "so another one tries");
    }
}
