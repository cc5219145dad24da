//! What can be set of a room, and how what it keeps follows.

use super::{RoomInner, RoomState};
#[cfg(doc)]
use crate::hub::HubLimits;
use crate::hub::log::Kept;

/// What happens to publications for a member whose socket takes no more, once its outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The member is disconnected ([`SlowConsumer`](crate::CloseReason)); it can come back with `since`.
    #[default]
    Disconnect,
    /// The oldest of this room that are queued go; the member is told of the gap.
    DropOldest,
    /// The new ones go; the member is told of the gap.
    DropNewest,
    /// The newest takes the place of those that wait; the member is told of the gap. For states, where an old value is worth nothing.
    Latest,
    /// As `Latest`, and the member is told of no gap: for states that are whole in themselves and come often, such as positions
    /// 20 times a second. Members whose encoding has no words for a gap can have it too, as those that get raw payloads.
    Conflate,
}

impl Overflow {
    /// Whether the newest takes the place of those that wait.
    pub(in crate::hub) fn is_latest(self) -> bool {
        matches!(self, Self::Latest | Self::Conflate)
    }
}

/// What is set when a room is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoomOptions {
    /// For members that do not choose. Members whose encoding cannot tell of gaps, as that of raw payloads, are disconnected, unless
    /// it is [`Conflate`](Overflow::Conflate).
    pub overflow: Overflow,
    /// Whether nobody is told who comes and goes.
    pub quiet: bool,
    /// Messages that it keeps, in place of [`HubLimits::history_messages`].
    pub history_messages: Option<usize>,
    /// Bytes that it keeps, in place of [`HubLimits::history_bytes`].
    pub history_bytes: Option<usize>,
}

impl RoomInner {
    /// What it may keep.
    pub(super) fn keep(&self, state: &RoomState) -> Kept {
        let (options, limits) = (&state.options, &self.holding.limits);
        let bytes = options.history_bytes.unwrap_or(limits.history_bytes);
        Kept {
            messages: options.history_messages.unwrap_or(limits.history_messages),
            bytes: self.holding.room_for(state.log.bytes(), bytes),
        }
    }

    /// Has it other options from now on: for those who join from then on, and for what it keeps at once.
    pub(in crate::hub) fn set_options(&self, options: RoomOptions) {
        let mut state = self.state.lock();
        if state.options != options {
            state.options = options;
            let (keep, before) = (self.keep(&state), state.log.len());
            self.holding.grow(-state.log.trim(keep).cast_signed());
            self.holding.counts.kept(before, state.log.len());
        }
    }
}
