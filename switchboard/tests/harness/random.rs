//! Chance that can be repeated: everything that a test draws follows from its seed, which is printed.

use std::ops::Range;
use std::str::FromStr;

#[path = "../../../load/src/random.rs"]
mod generator;

pub(crate) use generator::Random;

impl Random {
    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// True once in so many.
    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.next().is_multiple_of(many)
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.within(0..from.len() as u64) as usize]
    }

    /// Another source that follows from this one.
    pub(crate) fn fork(&mut self) -> Self {
        Self::new(self.next())
    }
}

/// A number from the environment, if it is set there.
pub(crate) fn from_environment<T: FromStr<Err: std::fmt::Debug>>(name: &str) -> Option<T> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// A seed from the environment variable, or a new one; printed, so that a failure can be repeated.
pub(crate) fn seed(name: &str) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    let seed = from_environment(name).unwrap_or_else(|| RandomState::new().hash_one(name));
    println!("{name}={seed}");
    seed
}
