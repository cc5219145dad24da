//! Who is woken by what happens to a connection: its own task, the task it was given to, and those that wait for space
//! or for its end.

use super::{Link, State, staging};
use crate::error::contained;
use std::sync::Arc;
use std::task::{Context, Waker};
use tokio::sync::Notify;

/// Who waits for a connection, beside its own task. Few have anybody.
#[derive(Default)]
pub(super) struct Waiters {
    /// In `recv` or `send`, in a task that is not the connection's own.
    pub(super) handler: Option<Waker>,
    /// For its end.
    pub(super) ended: Option<Arc<Notify>>,
    /// For space, beside the handler.
    pub(super) space: Option<Arc<Notify>>,
}

impl Link {
    /// Has whoever waits woken by [`State::wake`]. The connection's own task is in any case.
    pub(super) fn register(self: &Arc<Self>, state: &mut State, cx: &Context<'_>) {
        let handler = state.waiting.as_ref().and_then(|waiting| waiting.handler.as_ref());
        let known = handler.is_some_and(|waker| waker.will_wake(cx.waker()));
        if !known && !staging::is_polling(self) {
            state.waiting.get_or_insert_default().handler = Some(cx.waker().clone());
        }
    }
}

impl State {
    /// Wakes everybody who may be waiting: the connection's own task, and the one it was given to.
    pub(super) fn wake(&self) {
        wake(self.driver.as_ref());
        wake(self.waiting.as_ref().and_then(|waiting| waiting.handler.as_ref()));
        self.tell_of_space();
    }

    /// Wakes everybody who waits for space, or to hear that there is none any more.
    pub(super) fn tell_of_space(&self) {
        if let Some(space) = self.waiting.as_ref().and_then(|waiting| waiting.space.as_ref()) {
            let _ = contained(|| space.notify_waiters());
        }
    }

    /// Wakes everybody who waits for the end.
    pub(super) fn tell_of_end(&self) {
        if let Some(ended) = self.waiting.as_ref().and_then(|waiting| waiting.ended.as_ref()) {
            let _ = contained(|| ended.notify_waiters());
        }
    }
}

/// Wakes a task, which may be the user's and on another runtime; a panic of the waker is contained.
pub(super) fn wake(waker: Option<&Waker>) {
    if let Some(waker) = waker {
        let _ = contained(|| waker.wake_by_ref());
    }
}
