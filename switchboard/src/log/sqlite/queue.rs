//! What a thread of the log is asked for, in order. Whoever asks never waits; how much may wait is for the hub to bound.

use parking_lot::{Condvar, Mutex};
use std::time::Duration;

pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

struct State<T> {
    orders: Vec<T>,
    is_closed: bool,
}

/// What a wait has ended with.
pub(super) enum Arrived<T> {
    /// All that was there.
    Some(Vec<T>),
    /// Nothing came for so long.
    Nothing,
    /// Nothing is there, and nothing more will come.
    Closed,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { orders: Vec::new(), is_closed: false }), arrived: Condvar::new() }
    }
}

impl<T> Queue<T> {
    pub(super) fn push(&self, order: T) {
        let mut state = self.state.lock();
        state.orders.push(order);
        // Whoever has found more than one is awake.
        if state.orders.len() == 1 {
            self.arrived.notify_one();
        }
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.arrived.notify_one();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().orders.is_empty()
    }

    /// Takes all that is there now.
    pub(super) fn take_now(&self) -> Vec<T> {
        std::mem::take(&mut self.state.lock().orders)
    }

    /// Takes all that is there; waits for at most `patience` if that is nothing.
    pub(super) fn take(&self, patience: Duration) -> Arrived<T> {
        let mut state = self.state.lock();
        if state.orders.is_empty() && !state.is_closed {
            self.arrived.wait_for(&mut state, patience);
        }
        match (state.orders.is_empty(), state.is_closed) {
            (true, true) => Arrived::Closed,
            (true, false) => Arrived::Nothing,
            (false, _) => Arrived::Some(std::mem::take(&mut state.orders)),
        }
    }
}
