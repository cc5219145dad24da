//! Those who wait for a while before more is read from them, or published for them, and go on together.

use super::Link;
use crate::error::contained;
use std::sync::{Arc, Weak};
use std::task::Waker;

#[derive(Default)]
pub(super) struct HeldUp {
    waiting: Vec<Waiter>,
    /// Where the next round begins, so that nobody is always the last.
    round: usize,
    /// How often all have gone on.
    times: usize,
}

pub(super) enum Waiter {
    /// Weak, since it has what it waits for itself.
    Connection(Weak<Link>),
    Task(Waker),
}

impl HeldUp {
    pub(super) fn add(&mut self, waiter: Waiter) {
        self.waiting.push(waiter);
    }

    pub(super) fn times(&self) -> usize {
        self.times
    }

    /// All of them, in the order in which they go on: what the first ones do may hold the others up once more.
    pub(super) fn take(&mut self) -> Vec<Waiter> {
        self.times += 1;
        let mut waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            self.round = (self.round + 1) % waiting.len();
            waiting.rotate_left(self.round);
        }
        waiting
    }
}

impl Waiter {
    pub(super) fn connection(link: &Arc<Link>) -> Self {
        Self::Connection(Arc::downgrade(link))
    }

    pub(super) fn go_on(self) {
        match self {
            Self::Connection(link) => drop(link.upgrade().inspect(|link| link.go_on())),
            Self::Task(waker) => _ = contained(|| waker.wake()),
        }
    }
}
