//! Bytes whose owner counts them itself, as histories do. The count is reported in steps to every budget, which then
//! knows the sum of all such figures without a lock or a list.

use crate::sync::Mutex;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// Each figure's reported count may be less than the real one by this much.
const STEP_BYTES: usize = 64 << 10;

/// What all figures together have told to one who bounds them.
#[derive(Debug, Default)]
pub(super) struct Sum(AtomicIsize);

/// Bytes that one keeps.
#[derive(Debug, Default)]
pub(crate) struct Figure {
    bytes: AtomicUsize,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    steps: isize,
    sums: Vec<Weak<Sum>>,
}

impl Sum {
    pub(super) fn bytes(&self) -> usize {
        // Relaxed: as in `Figure::bytes`. What shrinks may be told before what grew.
        usize::try_from(self.0.load(Ordering::Relaxed)).unwrap_or_default() * STEP_BYTES
    }

    fn change(&self, steps: isize) {
        self.0.fetch_add(steps, Ordering::Relaxed);
    }
}

impl Figure {
    pub(crate) fn bytes(&self) -> usize {
        // Relaxed: to compare with a limit; it guards no other memory.
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn grow(&self, by: isize) {
        if by == 0 {
            return;
        }
        let before = self.bytes.fetch_add(by.cast_unsigned(), Ordering::Relaxed);
        let after = before.wrapping_add_signed(by);
        let steps = (after / STEP_BYTES).cast_signed() - (before / STEP_BYTES).cast_signed();
        if steps != 0 {
            self.tell(steps);
        }
    }

    #[cold]
    fn tell(&self, steps: isize) {
        let mut told = self.told.lock();
        told.steps += steps;
        told.sums.iter().filter_map(Weak::upgrade).for_each(|sum| sum.change(steps));
    }

    /// Is told to `sum` from now on, which may know it already.
    pub(super) fn count_in(&self, sum: &Arc<Sum>) {
        let mut told = self.told.lock();
        told.sums.retain(|known| known.strong_count() > 0);
        if !told.sums.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(sum))) {
            // Under the lock: what comes next is told to it too, and what was told before is in this.
            sum.change(told.steps);
            told.sums.push(Arc::downgrade(sum));
        }
    }
}

impl Drop for Figure {
    fn drop(&mut self) {
        let told = self.told.get_mut();
        told.sums.iter().filter_map(Weak::upgrade).for_each(|sum| sum.change(-told.steps));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: isize = STEP_BYTES.cast_signed();

    #[test]
    fn a_sum_has_the_whole_steps_of_all_figures_that_are_there() {
        let scene = || {
            let (one, other) = (Arc::new(Sum::default()), Arc::new(Sum::default()));
            let (first, second) = (Figure::default(), Figure::default());
            first.count_in(&one);
            first.grow(STEP + 100);
            second.grow(3 * STEP - 1);
            for figure in [&first, &second, &first] {
                figure.count_in(&one);
            }
            second.count_in(&other);
            assert_eq!((one.bytes(), other.bytes()), (3 * STEP_BYTES, 2 * STEP_BYTES));
            second.grow(1);
            first.grow(-101);
            assert_eq!((one.bytes(), other.bytes()), (3 * STEP_BYTES, 3 * STEP_BYTES));
            assert_eq!((first.bytes(), second.bytes()), (STEP_BYTES - 1, 3 * STEP_BYTES));
            drop(second);
            assert_eq!((one.bytes(), other.bytes()), (0, 0));
        };
        shuttle::check_random(scene, 1);
    }

    #[test]
    fn a_sum_that_comes_while_a_figure_grows_misses_nothing_and_has_nothing_twice() {
        let scene = || {
            let (figure, sum) = (Arc::new(Figure::default()), Arc::new(Sum::default()));
            let growing = shuttle::thread::spawn({
                let figure = Arc::clone(&figure);
                move || (0..4).for_each(|_| figure.grow(STEP))
            });
            figure.count_in(&sum);
            figure.grow(-STEP);
            growing.join().unwrap();
            assert_eq!(sum.bytes(), 3 * STEP_BYTES);
        };
        shuttle::check_random(scene, 100);
    }
}
