//! What of a room waits for its log: publications that nobody is shown yet.
//!
//! One batch is under way at a time. What is published until the log is free is the next one, so the log's own time is the window in which
//! batches grow. Knows no members; whoever calls holds the room's lock, and hands over what comes out of it without.

use super::elsewhere::Abroad;
use super::membership::PublishError;
use super::posting::Except;
use super::publication::Confirmation;
use super::shown::following;
use crate::link::Link;
use crate::link::delivery::Reclaim;
use crate::link::figure::Figure;
use std::pin::pin;
use std::sync::Arc;
use switchboard_proto::{Message, MessageId};
use tokio::sync::Notify;

/// What may wait for the log: messages of one room and their bytes, and bytes of all rooms. Over it, publishing fails.
const ROOM_MESSAGES: usize = 4096;
const ROOM_BYTES: usize = 1 << 20;
const ALL_BYTES: usize = 64 << 20;

/// What a message takes beside its payload while it waits.
const BESIDE: usize = size_of::<Message>() + size_of::<Unconfirmed>() + size_of::<Confirmation>() + 64;

/// A publication that waits.
pub(super) struct Unconfirmed {
    /// It has its number once it is handed over.
    pub(super) message: Arc<Message>,
    /// The membership that does not get it.
    pub(super) except: Except,
    /// Whose it is: it is not read from while it has many of them.
    pub(super) link: Option<Arc<Link>>,
    pub(super) confirmation: Arc<Confirmation>,
}

impl Unconfirmed {
    fn bytes(&self) -> usize {
        self.message.payload.len() + BESIDE
    }
}

/// One room's.
#[derive(Default)]
pub(super) struct Durable {
    /// Handed over, and not answered yet.
    underway: Vec<Unconfirmed>,
    waiting: Vec<Unconfirmed>,
    bytes: usize,
    /// The log calls for what waits.
    is_called_for: bool,
    /// Where others append to the log too.
    pub(super) sharing: Option<Box<Sharing>>,
}

/// How far a room is whose log others append to.
#[derive(Default)]
pub(super) struct Sharing {
    /// Its history is there.
    pub(super) is_open: bool,
    /// Of those under way, how many are shown: the log takes them in their order.
    shown: Vec<bool>,
    /// Somebody waits until it is open.
    pub(super) opened: Arc<Notify>,
    /// Its members on other nodes.
    pub(super) abroad: Abroad,
}

/// What is to be handed to the log.
pub(super) struct Handover {
    pub(super) after: MessageId,
    pub(super) messages: Vec<Arc<Message>>,
    /// Where others append too: the membership that does not get each.
    pub(super) memberships: Vec<u64>,
}

impl Durable {
    /// Has `one` wait, unless too much does.
    pub(super) fn wait(&mut self, one: Unconfirmed, all: &Unsettled) -> Result<(), PublishError> {
        let bytes = one.bytes();
        let messages = self.underway.len() + self.waiting.len();
        if messages >= ROOM_MESSAGES || self.bytes + bytes > ROOM_BYTES.max(bytes) || all.bytes() + bytes > ALL_BYTES {
            return Err(PublishError::Unavailable);
        }
        self.bytes += bytes;
        all.figure.grow(bytes.cast_signed());
        self.waiting.push(one);
        Ok(())
    }

    /// Whether the log is to call for what waits, when it is free: it does so by itself for what comes until then.
    pub(super) fn calls(&mut self) -> bool {
        let has_next = self.underway.is_empty() && !self.waiting.is_empty();
        has_next && !std::mem::replace(&mut self.is_called_for, true)
    }

    /// All that waits, to be handed over behind `last`; unless something is under way.
    pub(super) fn next(&mut self, last: MessageId) -> Option<Handover> {
        self.is_called_for = false;
        if !self.underway.is_empty() || self.waiting.is_empty() {
            return None;
        }
        self.underway = std::mem::take(&mut self.waiting);
        let mut newest = last;
        let numbered = |one: &mut Unconfirmed| {
            let Some(message) = Arc::get_mut(&mut one.message) else { unreachable!("nobody has seen it yet") };
            newest = following(newest);
            message.id = newest;
            Arc::clone(&one.message)
        };
        let messages = self.underway.iter_mut().map(numbered).collect();
        let mut memberships = Vec::new();
        if let Some(sharing) = &mut self.sharing {
            sharing.shown = vec![false; self.underway.len()];
            memberships.extend(self.underway.iter().map(|one| one.except.own().map_or(0, |member| member.0)));
        }
        Some(Handover { after: last, messages, memberships })
    }

    /// Whether its history is there, if others append to its log too.
    pub(super) fn is_open(&self) -> bool {
        self.sharing.as_ref().is_none_or(|sharing| sharing.is_open)
    }

    /// The log has given this number to the one at `place` of those under way. Says who does not get it.
    pub(super) fn numbered(&mut self, place: usize, message: &Arc<Message>) -> Option<Except> {
        let sharing = self.sharing.as_mut()?;
        *sharing.shown.get_mut(place)? = true;
        let one = self.underway.get_mut(place)?;
        one.message = Arc::clone(message);
        Some(one.except)
    }

    /// Which of those under way are shown by now, where others append too.
    pub(super) fn shown(&mut self) -> Option<Vec<bool>> {
        self.sharing.as_mut().map(|sharing| std::mem::take(&mut sharing.shown))
    }

    /// The log has answered: what was under way is not any more.
    pub(super) fn answered(&mut self, all: &Unsettled) -> Vec<Unconfirmed> {
        let answered = std::mem::take(&mut self.underway);
        let bytes: usize = answered.iter().map(Unconfirmed::bytes).sum();
        self.bytes -= bytes;
        all.settle(bytes);
        answered
    }
}

/// What waits of all rooms of a hub, for the budgets of its servers.
#[derive(Default)]
pub(super) struct Unsettled {
    figure: Figure,
    /// Nothing waits.
    over: Notify,
}

impl Unsettled {
    pub(super) fn bytes(&self) -> usize {
        self.figure.bytes()
    }

    fn settle(&self, bytes: usize) {
        self.figure.grow(-bytes.cast_signed());
        if self.bytes() == 0 {
            self.over.notify_waiters();
        }
    }

    /// Waits until nothing waits for the log any more.
    pub(super) async fn settled(&self) {
        loop {
            let mut over = pin!(self.over.notified());
            // Before the look: it may be over right behind that.
            over.as_mut().enable();
            if self.bytes() == 0 {
                return;
            }
            over.await;
        }
    }
}

impl Reclaim for Unsettled {
    fn figure(&self) -> &Figure {
        &self.figure
    }

    fn pieces(&self) -> usize {
        0
    }

    /// None of it can be given up: somebody waits for each.
    fn one_gives_way(&self) -> bool {
        false
    }
}
