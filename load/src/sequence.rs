//! Whether each message came once and in order.
//!
//! A stream is what one sender sends to one receiver, numbered 1, 2, 3 …. What was skipped is remembered, to tell a late message
//! from a duplicate.

use std::collections::HashMap;
use std::ops::Range;

/// Skipped ranges that are remembered, over all streams: 24 bytes each. Beyond it, late messages count as duplicates.
const REMEMBERED: usize = 1 << 16;

/// What a message's number says about its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    Expected,
    /// This many before it are missing, and may still come.
    Ahead(u32),
    /// It was missing.
    Late,
    Duplicate,
}

/// The streams of one thread.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    /// For each stream the number that comes next; 0 if any may.
    next: Vec<u32>,
    skipped: HashMap<usize, Vec<Range<u32>>>,
    remembered: usize,
}

impl Sequences {
    /// Adds streams that begin at 1, and returns the first one's index.
    pub(crate) fn add(&mut self, streams: usize) -> usize {
        let first = self.next.len();
        self.next.resize(first + streams, 1);
        first
    }

    /// Takes whatever comes next as the first: a receiver that joins later knows nothing of what came before.
    pub(crate) fn begin_anew(&mut self, streams: Range<usize>) {
        for stream in streams {
            self.next[stream] = 0;
            self.forget(stream);
        }
    }

    /// Whether nothing has arrived on any of these.
    pub(crate) fn are_new(&self, streams: Range<usize>) -> bool {
        self.next[streams].iter().all(|next| *next == 1)
    }

    /// The number that is expected next; 0 if any may come.
    pub(crate) fn next(&self, stream: usize) -> u32 {
        self.next[stream]
    }

    pub(crate) fn arrive(&mut self, stream: usize, number: u32) -> Arrival {
        let next = &mut self.next[stream];
        if number == *next {
            *next = number.wrapping_add(1);
            return Arrival::Expected;
        }
        if *next == 0 {
            *next = number.wrapping_add(1);
            return Arrival::Expected;
        }
        if number > *next {
            let missing = *next..number;
            *next = number.wrapping_add(1);
            let count = missing.end - missing.start;
            self.remember(stream, missing);
            return Arrival::Ahead(count);
        }
        if self.recall(stream, number) { Arrival::Late } else { Arrival::Duplicate }
    }

    /// This many arrive as expected.
    pub(crate) fn arrive_in_order(&mut self, stream: usize, count: u32) {
        self.next[stream] += count;
    }

    /// How many of the `sent` messages of a stream have not come although none after them did either.
    pub(crate) fn outstanding(&self, stream: usize, sent: u32) -> u32 {
        let next = self.next[stream];
        if next == 0 { 0 } else { (sent + 1).saturating_sub(next) }
    }

    fn remember(&mut self, stream: usize, missing: Range<u32>) {
        if self.remembered < REMEMBERED {
            self.remembered += 1;
            self.skipped.entry(stream).or_default().push(missing);
        }
    }

    /// Removes a number from what was skipped, if it is there.
    fn recall(&mut self, stream: usize, number: u32) -> bool {
        let Some(ranges) = self.skipped.get_mut(&stream) else { return false };
        let Some(index) = ranges.iter().position(|range| range.contains(&number)) else { return false };
        let range = ranges.swap_remove(index);
        let left = [range.start..number, number + 1..range.end];
        let left = left.into_iter().filter(|range| !range.is_empty());
        let before = ranges.len() + 1;
        ranges.extend(left);
        self.remembered = self.remembered + ranges.len() - before;
        if ranges.is_empty() {
            self.skipped.remove(&stream);
        }
        true
    }

    fn forget(&mut self, stream: usize) {
        if let Some(ranges) = self.skipped.remove(&stream) {
            self.remembered -= ranges.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(numbers: &[u32]) -> Vec<Arrival> {
        let mut sequences = Sequences::default();
        let stream = sequences.add(1);
        numbers.iter().map(|number| sequences.arrive(stream, *number)).collect()
    }

    #[test]
    fn loss_is_told_from_lateness_and_repetition() {
        use Arrival::{Ahead, Duplicate, Expected, Late};
        assert_eq!(arrivals(&[1, 2, 3]), [Expected; 3]);
        assert_eq!(arrivals(&[1, 3, 4]), [Expected, Ahead(1), Expected]);
        assert_eq!(arrivals(&[1, 1]), [Expected, Duplicate]);
        assert_eq!(arrivals(&[2, 1, 1]), [Ahead(1), Late, Duplicate]);
        assert_eq!(arrivals(&[5, 2, 4, 1, 3, 3, 6]), [Ahead(4), Late, Late, Late, Late, Duplicate, Expected]);
        assert_eq!(arrivals(&[2, 5, 1, 4, 3]), [Ahead(1), Ahead(2), Late, Late, Late]);
    }

    #[test]
    fn what_never_came_is_known_at_the_end() {
        let mut sequences = Sequences::default();
        let stream = sequences.add(2);
        sequences.arrive(stream, 1);
        sequences.arrive(stream, 3);
        assert_eq!((sequences.outstanding(stream, 5), sequences.outstanding(stream + 1, 5)), (2, 5));
    }

    #[test]
    fn who_joins_later_begins_with_what_comes_first() {
        let mut sequences = Sequences::default();
        let stream = sequences.add(1);
        sequences.arrive(stream, 3);
        sequences.begin_anew(stream..stream + 1);
        assert_eq!(sequences.outstanding(stream, 9), 0);
        assert_eq!(
            [7, 8, 6].map(|number| sequences.arrive(stream, number)),
            [Arrival::Expected, Arrival::Expected, Arrival::Duplicate]
        );
    }

    #[test]
    fn what_is_remembered_is_bounded_and_given_back() {
        let mut sequences = Sequences::default();
        let stream = sequences.add(1);
        for number in 1..=REMEMBERED as u32 + 10 {
            assert_eq!(sequences.arrive(stream, number * 2), Arrival::Ahead(1));
        }
        assert_eq!(sequences.remembered, REMEMBERED);
        assert_eq!(sequences.arrive(stream, 1), Arrival::Late);
        assert_eq!(sequences.remembered, REMEMBERED - 1);
        sequences.begin_anew(stream..stream + 1);
        assert_eq!(sequences.remembered, 0);
    }
}
