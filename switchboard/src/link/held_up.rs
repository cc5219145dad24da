//! Connections and tasks that wait before more is read from them or published for them, and go on together.

use super::Link;
use crate::error::contained;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

#[derive(Default)]
pub(super) struct HeldUp {
    waiting: Vec<Waiter>,
    /// Where the next round begins, so that nobody is always the last.
    round: usize,
    /// How often all have gone on.
    times: usize,
}

pub(super) enum Waiter {
    /// Weak, since the link itself refers to what it waits for.
    Connection(Weak<Link>),
    Task(Waker),
}

impl HeldUp {
    pub(super) fn add(&mut self, waiter: Waiter) {
        self.waiting.push(waiter);
    }

    /// Waits in a task, if it `is_held` up, until all go on. `place` is kept from one poll to the next: the task may be polled for
    /// something else.
    pub(super) fn poll_in_task(&mut self, place: &mut Option<usize>, is_held: bool, cx: &Context<'_>) -> Poll<()> {
        match *place {
            None if is_held => self.add(Waiter::Task(cx.waker().clone())),
            Some(times) if times == self.times => {}
            _ => return Poll::Ready(()),
        }
        *place = Some(self.times);
        Poll::Pending
    }

    /// All of them, in the order in which they go on: what the first do may hold up the others again.
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
