//! What can be set of a room, and how what it keeps and takes follows.

use super::{RoomInner, RoomState};
use crate::hub::HubLimits;
use crate::hub::listing::RoomInfo;
use crate::hub::log::{Retention, RoomLog};
use crate::hub::membership::JoinError;
use crate::hub::shown::Kept;
use crate::hub::standing::Objection;
use std::time::{Duration, SystemTime};
use switchboard_proto::{Bucket, Rate, RoomName};
use tokio::time::Instant;

/// What happens to messages for a member whose socket takes no more, once its outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The member is disconnected ([`SlowConsumer`](crate::CloseReason)); it can come back with `since`.
    #[default]
    Disconnect,
    /// The oldest queued messages of this room are dropped; the member is told of the gap.
    DropOldest,
    /// New messages are dropped; the member is told of the gap.
    DropNewest,
    /// The newest message replaces those that wait; the member is told of the gap. For states, where an old value is worth nothing.
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

/// What a room's members are told about who joins and leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PresenceNotices {
    /// Their names, in a room of up to 50 members; in a larger one only how many.
    #[default]
    Names,
    /// How many, at most once a second.
    Counts,
    /// Nothing.
    Off,
}

/// A class of rooms that are counted together: a number below [`MOST`](Self::MOST), which the program may give a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomClass(u8);

impl RoomClass {
    /// How many classes there can be.
    pub const MOST: usize = 32;

    /// The class with this number, if it is below [`MOST`](Self::MOST).
    pub fn new(number: usize) -> Option<Self> {
        u8::try_from(number).ok().filter(|_| number < Self::MOST).map(Self)
    }

    /// Its number.
    pub fn number(self) -> usize {
        self.0.into()
    }
}

/// Options of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomOptions {
    /// For members that do not choose. Members whose encoding cannot tell of gaps, as that of raw payloads, are disconnected, unless
    /// it is [`Conflate`](Overflow::Conflate).
    pub overflow: Overflow,
    /// What members are told of those who come and go.
    pub presence: PresenceNotices,
    /// Messages that it keeps, in place of [`HubLimits::history_messages`].
    pub history_messages: Option<usize>,
    /// Bytes that it keeps, in place of [`HubLimits::history_bytes`].
    pub history_bytes: Option<usize>,
    /// How long it keeps a message; `None` for as long as the other limits allow. Older messages are shown to nobody.
    pub history_age: Option<Duration>,
    /// Members that it may have. At the limit nobody else can join ([`JoinError::RoomFull`]); if it is lowered, members stay.
    pub members: Option<usize>,
    /// How often sessions and members may publish to it, all together. Above that they are refused
    /// ([`PublishError::TooOften`](crate::PublishError)); what the program itself publishes does not count.
    pub rate: Option<Rate>,
    /// Bytes of the longest payload that sessions and members may publish to it; longer ones are refused
    /// ([`PublishError::TooLong`](crate::PublishError)).
    pub payload_bytes: Option<usize>,
    /// The class that it is counted in.
    pub class: Option<RoomClass>,
    /// Whether the hub's [log](crate::log) keeps it, if the hub has one. Then it comes back with its messages after a restart, what is
    /// published is shown only once the log has it, and `history_messages`, `history_bytes` and `history_age` bound what the log keeps; the
    /// newest of that are in memory, within [`HubLimits`]. Fixed when the room is created. Default: true.
    pub durable: bool,
}

impl Default for RoomOptions {
    fn default() -> Self {
        let (overflow, presence) = (Overflow::default(), PresenceNotices::default());
        let (history_messages, history_bytes, history_age, members) = (None, None, None, None);
        let (rate, payload_bytes, class) = (None, None, None);
        Self {
            overflow,
            presence,
            history_messages,
            history_bytes,
            history_age,
            members,
            rate,
            payload_bytes,
            class,
            durable: true,
        }
    }
}

impl RoomOptions {
    /// Whether some of what is published could be refused for what it is.
    #[inline]
    fn is_bounded(&self) -> bool {
        self.rate.is_some() || self.payload_bytes.is_some()
    }

    /// What is kept of it in memory. Where a log `has` it, the limits bound that, and what is set bounds the log.
    #[inline]
    pub(in crate::hub) fn kept(&self, limits: &HubLimits, has: bool) -> Kept {
        let kept = Kept {
            messages: self.history_messages.unwrap_or(limits.history_messages),
            bytes: self.history_bytes.unwrap_or(limits.history_bytes),
        };
        if has {
            Kept { messages: kept.messages.min(limits.history_messages), bytes: kept.bytes.min(limits.history_bytes) }
        } else {
            kept
        }
    }

    fn retention(&self) -> Retention {
        Retention { messages: self.history_messages, bytes: self.history_bytes, age: self.history_age }
    }

    /// Tells the log how much of a room's past is to be kept, if there is a bound.
    pub(in crate::hub) fn tell(&self, log: &dyn RoomLog, room: &RoomName) {
        let retention = self.retention();
        if retention != Retention::default() {
            log.keep(room, retention);
        }
    }
}

/// How much has been published lately, where that is limited.
pub(super) struct Allowance {
    since: Instant,
    bucket: Bucket,
}

impl RoomInner {
    /// What it may keep.
    pub(super) fn keep(&self, state: &RoomState) -> Kept {
        let Kept { messages, bytes } = state.options.kept(&self.holding.limits, state.durable.is_some());
        Kept { messages, bytes: self.holding.room_for(state.shown.bytes(), bytes) }
    }

    /// Drops what is older than it may keep: whoever is told of the past after this is told of none of that.
    #[inline]
    pub(super) fn forget_old(&self, state: &mut RoomState) {
        if let Some(age) = state.options.history_age {
            self.forget_before(state, SystemTime::now().checked_sub(age));
        }
    }

    #[cold]
    fn forget_before(&self, state: &mut RoomState, oldest: Option<SystemTime>) {
        if let Some(oldest) = oldest {
            self.shrink(state, |shown| shown.forget_before(oldest));
        }
    }

    /// As [`forget_old`](Self::forget_old), of a room that nobody asks for its past.
    pub(in crate::hub) fn grow_older(&self) {
        self.forget_old(&mut self.state.lock());
    }

    /// Has it other options from now on: for those who join from then on, and for what it keeps at once.
    pub(in crate::hub) fn set_options(&self, options: RoomOptions) {
        let mut state = self.state.lock();
        if state.options != options {
            if state.durable.is_some() {
                self.log().keep(&self.name, options.retention());
            }
            if state.options.class != options.class {
                self.holding.counts.reclassed(state.options.class, options.class, state.members_here());
            }
            state.options = options;
            let keep = self.keep(&state);
            self.shrink(&mut state, |shown| shown.trim(keep));
            self.forget_old(&mut state);
        }
    }

    /// How it is now.
    pub(in crate::hub) fn info(&self) -> RoomInfo {
        let state = self.state.lock();
        RoomInfo {
            name: self.name.clone(),
            members: state.members_here(),
            last: state.shown.last(),
            history_messages: state.shown.len(),
            history_bytes: state.shown.bytes(),
            is_durable: state.durable.is_some(),
            class: state.options.class,
        }
    }
}

impl RoomState {
    /// Whether a payload of so many bytes may be published now.
    #[inline]
    pub(super) fn takes(&mut self, bytes: usize) -> Result<(), Objection> {
        if self.options.is_bounded() { self.takes_one_of(bytes) } else { Ok(()) }
    }

    #[cold]
    fn takes_one_of(&mut self, bytes: usize) -> Result<(), Objection> {
        if let Some(limit) = self.options.payload_bytes.filter(|limit| bytes > *limit) {
            return Err(Objection::TooLong { limit });
        }
        let Some(rate) = self.options.rate else { return Ok(()) };
        let now = Instant::now();
        let allowance =
            self.allowance.get_or_insert_with(|| Box::new(Allowance { since: now, bucket: Bucket::default() }));
        allowance
            .bucket
            .take(now.saturating_duration_since(allowance.since), rate)
            .map_err(|wait| Objection::TooOften { wait })
    }

    /// Whether there is a place for one more member.
    pub(super) fn has_place(&self) -> Result<(), JoinError> {
        match self.options.members {
            Some(limit) if self.member_count() >= limit => Err(JoinError::RoomFull { limit }),
            _ => Ok(()),
        }
    }
}
