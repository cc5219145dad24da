//! What a connection of HTTP is charged with: requests and answers, and what was read of those behind them.

use super::{Exchange, State};

impl Exchange {
    /// What requests and answers hold has changed from `before` to `now` bytes.
    pub(super) fn held(&self, before: usize, now: usize) {
        let mut state = self.state.lock();
        state.held = (state.held + now).saturating_sub(before);
        self.count(&state);
    }

    /// So many bytes were read that hyper has not taken yet: requests behind the one that it answers.
    pub(in crate::http) fn keeps(&self, surplus: usize) {
        let mut state = self.state.lock();
        if state.surplus != surplus {
            state.surplus = surplus;
            self.count(&state);
        }
    }

    /// What the connection is charged with. A head that is not whole may lie in what hyper has not taken.
    pub(super) fn count(&self, state: &State) {
        self.peer.holding(state.held + state.partial.max(state.surplus));
    }
}
