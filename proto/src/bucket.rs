//! Token buckets: how many events a second, and how many at once.
//!
//! One bucket is one number, the generic cell rate algorithm's theoretical arrival time (ITU-T I.371): a table of them
//! for hashed sources is fixed in size, however many sources there are.

use std::time::Duration;

/// How often something may happen: `per_second` in the long run, and `burst` at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    interval_nanos: u64,
    tolerance_nanos: u64,
}

impl Rate {
    /// At most `burst` events at once and `per_second` in the long run; zero counts as one. Events are a whole number
    /// of nanoseconds apart, so no rate exceeds one per nanosecond.
    pub fn new(per_second: u32, burst: u32) -> Self {
        // Rounded up: rounded down, the rate would be above what was asked for, and from 10^9 a second on unlimited.
        let interval_nanos = 1_000_000_000_u64.div_ceil(u64::from(per_second.max(1)));
        Self { interval_nanos, tolerance_nanos: interval_nanos * u64::from(burst.max(1) - 1) }
    }

    /// At most `burst` events at once, and one each `interval` in the long run, of which an hour is the longest; zero counts
    /// as one, and as a nanosecond.
    pub fn every(interval: Duration, burst: u32) -> Self {
        // So the product below fits.
        let interval_nanos = interval.min(Duration::from_hours(1)).as_nanos().max(1) as u64;
        Self { interval_nanos, tolerance_nanos: interval_nanos.saturating_mul(u64::from(burst.max(1) - 1)) }
    }
}

/// One source's bucket, full at first.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    /// When the next event would be due if events came evenly, in nanoseconds.
    due_nanos: u64,
}

impl Bucket {
    /// Takes one token at time `now` (since any fixed moment), or returns how long until there is one.
    ///
    /// # Errors
    /// The wait until the next token; nothing was taken.
    pub fn take(&mut self, now: Duration, rate: Rate) -> Result<(), Duration> {
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let early = self.due_nanos.max(nanos).saturating_sub(nanos).saturating_sub(rate.tolerance_nanos);
        if early > 0 {
            return Err(Duration::from_nanos(early));
        }
        self.owe(now, rate, 1);
        Ok(())
    }

    /// Takes `tokens` whether or not there are so many: those to come make up for it first.
    pub fn owe(&mut self, now: Duration, rate: Rate, tokens: u64) {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        self.due_nanos = self.due_nanos.max(now).saturating_add(rate.interval_nanos.saturating_mul(tokens));
    }

    /// Puts back `tokens` that were taken but not used.
    pub fn give_back(&mut self, rate: Rate, tokens: u64) {
        self.due_nanos = self.due_nanos.saturating_sub(rate.interval_nanos.saturating_mul(tokens));
    }
}

/// A fixed table of buckets. Sources with the same hash share one, which errs on the side of silence.
#[derive(Debug)]
pub struct Buckets {
    table: Box<[Bucket]>,
    rate: Rate,
}

impl Buckets {
    /// A table of `buckets` (8 bytes each), each limited to `rate`.
    ///
    /// # Panics
    /// If `buckets` is zero.
    pub fn new(buckets: usize, rate: Rate) -> Self {
        assert!(buckets > 0, "a table has at least one bucket");
        Self { table: vec![Bucket::default(); buckets].into(), rate }
    }

    /// What each is limited to.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes a token for the source that hashes to `hash`, and returns whether there was one. Hash with a secret key,
    /// so that nobody can choose whose bucket to empty.
    pub fn take(&mut self, hash: u64, now: Duration) -> bool {
        let rate = self.rate;
        self.bucket(hash).take(now, rate).is_ok()
    }

    /// Whether there is a token for that source, without taking it.
    pub fn has(&self, hash: u64, now: Duration) -> bool {
        let mut bucket = self.table[(hash % self.table.len() as u64) as usize];
        bucket.take(now, self.rate).is_ok()
    }

    /// Takes `tokens` for that source whether or not there are so many: those to come make up for it first.
    pub fn owe(&mut self, hash: u64, now: Duration, tokens: u64) {
        let rate = self.rate;
        self.bucket(hash).owe(now, rate, tokens);
    }

    fn bucket(&mut self, hash: u64) -> &mut Bucket {
        let index = (hash % self.table.len() as u64) as usize;
        &mut self.table[index]
    }
}
