//! Outputs: whatever is done to them, they hold what a plain `Vec<u8>` would.
//!
//! There are two, a connection's and one that is staged: a step is done to one of them, and moves the other to its end
//! or changes sides.

use bytes::Bytes;
use std::io::IoSlice;
use switchboard_proto::Output;

/// One thing that an encoder, an outbox or a sink does. Fractions are out of 255.
#[derive(Debug, Clone, Copy)]
enum Step {
    Put { bytes: usize },
    Share { bytes: usize },
    Extend { bytes: usize },
    Advance { fraction: usize },
    Truncate { fraction: usize },
    Slices { slots: usize },
    Clear,
    Append,
    ChangeSides,
}

impl Step {
    /// Two bytes each: which, as a digit from `0` to `9`, and how much.
    fn parse([which, amount]: [u8; 2]) -> Self {
        let amount = usize::from(amount);
        match which.wrapping_sub(b'0') % 10 {
            0 => Self::Put { bytes: amount },
            1 => Self::Share { bytes: amount },
            // Pieces of 1,024 bytes and more are kept by reference: 0x40 makes the first of them.
            2 => Self::Share { bytes: amount * 16 },
            3 => Self::Extend { bytes: amount },
            4 => Self::Advance { fraction: amount },
            5 => Self::Truncate { fraction: amount },
            6 => Self::Slices { slots: amount },
            7 => Self::Clear,
            8 => Self::Append,
            _ => Self::ChangeSides,
        }
    }
}

/// An output, and what it should hold.
#[derive(Default)]
struct Queue {
    output: Output,
    model: Vec<u8>,
}

/// Panics if an `Output` and its model part on the steps in `data`.
pub(crate) fn run(data: &[u8]) {
    let (mut one, mut other) = (Queue::default(), Queue::default());
    let mut written = 0;
    for pair in data.chunks_exact(2) {
        let step = Step::parse([pair[0], pair[1]]);
        match step {
            Step::Append => one.append(&mut other),
            Step::ChangeSides => std::mem::swap(&mut one, &mut other),
            _ => one.apply(step, &mut written),
        }
        one.check(step);
        other.check(step);
    }
    one.drain();
    other.drain();
}

impl Queue {
    fn apply(&mut self, step: Step, written: &mut usize) {
        match step {
            Step::Put { bytes } => {
                let bytes = fresh(bytes, written);
                self.model.extend_from_slice(&bytes);
                self.output.put(&bytes);
            }
            Step::Share { bytes } => {
                let bytes = fresh(bytes, written);
                self.model.extend_from_slice(&bytes);
                self.output.share(Bytes::from(bytes));
            }
            Step::Extend { bytes } => {
                let bytes = fresh(bytes, written);
                self.model.extend_from_slice(&bytes);
                self.output.extend(bytes);
            }
            Step::Advance { fraction } => {
                let count = self.model.len() * fraction / 255;
                self.model.drain(..count);
                self.output.advance(count);
            }
            Step::Truncate { fraction } => {
                let len = self.model.len() * fraction / 255;
                self.model.truncate(len);
                self.output.truncate(len);
            }
            Step::Slices { slots } => {
                let (filled, bytes) = self.gather(slots);
                assert!(filled == slots || bytes.len() == self.model.len(), "a slot was left empty");
                assert!(self.model.starts_with(&bytes), "in {step:?}");
            }
            Step::Clear => {
                self.model.clear();
                self.output.clear();
            }
            Step::Append | Step::ChangeSides => unreachable!("these take both queues"),
        }
    }

    fn append(&mut self, other: &mut Self) {
        self.model.append(&mut other.model);
        self.output.append(&mut other.output);
    }

    fn check(&self, step: Step) {
        assert_eq!(self.output.len(), self.model.len(), "after {step:?}");
        assert_eq!(self.output.is_empty(), self.model.is_empty(), "after {step:?}");
        assert_eq!(self.output.front().is_empty(), self.model.is_empty(), "after {step:?}");
        assert!(self.model.starts_with(self.output.front()), "after {step:?}");
    }

    /// What one vectored write of up to `slots` slices would take.
    fn gather(&self, slots: usize) -> (usize, Vec<u8>) {
        let mut slices = vec![IoSlice::new(&[]); slots];
        let filled = self.output.slices(&mut slices);
        assert!(slices[..filled].iter().all(|slice| !slice.is_empty()), "an empty slice makes no progress");
        (filled, slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect())
    }

    /// Writes everything, three slices at a time and never all of them.
    fn drain(mut self) {
        let mut all = Vec::new();
        while !self.output.is_empty() {
            let (_, bytes) = self.gather(3);
            let count = bytes.len().div_ceil(2);
            assert!(count > 0, "bytes are queued and none can be written");
            all.extend_from_slice(&bytes[..count]);
            self.output.advance(count);
        }
        assert_eq!(all, self.model);
    }
}

/// Bytes that were not used lately, so that a piece out of place shows: 251 is prime, and no piece's size hides it.
fn fresh(bytes: usize, written: &mut usize) -> Vec<u8> {
    let first = *written;
    *written += bytes;
    (first..*written).map(|index| (index % 251) as u8).collect()
}
