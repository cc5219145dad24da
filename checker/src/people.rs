//! Who has which name, and who is in lists: C9 and C11.

use crate::judge::{Judge, Rule};
use std::collections::HashMap;

/// Whoever has gone may be in lists for so many milliseconds.
const GHOST_TIME: u64 = 30_000;

#[derive(Default)]
pub(crate) struct People<'a> {
    /// By name, without case.
    holders: HashMap<String, &'a str>,
    gone: HashMap<&'a str, u64>,
}

impl<'a> People<'a> {
    pub(crate) fn hold(&mut self, at: usize, name: &str, holder: &'a str, judge: &mut Judge<'_>) {
        let before = self.holders.insert(name.to_ascii_lowercase(), holder);
        if let Some(before) = before.filter(|before| *before != holder) {
            judge.fault(Rule::Names, at, format!("{holder} is {name}, and {before} is too"));
        }
    }

    /// Whoever has it no more releases nothing.
    pub(crate) fn release(&mut self, name: &str, holder: &str) {
        let name = name.to_ascii_lowercase();
        if self.holders.get(&name).is_some_and(|held| *held == holder) {
            self.holders.remove(&name);
        }
    }

    pub(crate) fn gone(&mut self, name: &'a str, time: u64) {
        self.gone.insert(name, time);
    }

    pub(crate) fn listed(
        &self,
        at: usize,
        (by, room): (&str, &str),
        names: &[String],
        time: u64,
        judge: &mut Judge<'_>,
    ) {
        for name in names {
            let since = self.gone.get(&**name).map(|gone| time.saturating_sub(*gone));
            if let Some(since) = since.filter(|since| *since >= GHOST_TIME) {
                judge.fault(Rule::Ghosts, at, format!("{by} has {name} in {room}, {since} ms after the end"));
            }
        }
    }
}
