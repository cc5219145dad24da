//! A room whose log others append to as well: the log says what is shown, and in which order.

use super::{Room, RoomInner, RoomState};
use crate::hub::durable::Sharing;
use crate::hub::elsewhere::Abroad;
use crate::hub::fanout::Operation;
use crate::hub::log::{LogError, SharedLog, SharedMessage, SharedRoom, answered};
use crate::hub::membership::JoinError;
use crate::hub::posting::{Except, MembershipId};
use crate::hub::shown::Timeline;
use std::sync::{Arc, Weak};
use std::time::Duration;
use switchboard_proto::MessageId;
use tokio::sync::futures::OwnedNotified;
use tokio::time::timeout;

/// How long whoever joins waits for the log.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who reads the log keeps no room.
struct Sink(Weak<RoomInner>);

impl SharedRoom for Sink {
    fn begins(&self, at: MessageId) {
        if let Some(room) = self.0.upgrade() {
            room.goes_to(&mut room.state.lock(), at);
        }
    }

    fn shows(&self, messages: Vec<SharedMessage>) {
        if let Some(room) = self.0.upgrade() {
            room.appended(messages);
        }
    }

    fn purged(&self, upto: MessageId) {
        let Some(room) = self.0.upgrade() else { return };
        let mut state = room.state.lock();
        let last = state.shown.last();
        if upto.epoch == last.epoch && upto.seq > last.seq {
            room.goes_to(&mut state, upto);
        } else {
            drop(state);
            room.forget_to(upto);
        }
    }

    fn opened(&self) {
        if let Some(room) = self.0.upgrade()
            && let Some(sharing) = room.state.lock().sharing()
        {
            sharing.is_open = true;
            sharing.opened.notify_waiters();
        }
    }
}

impl RoomInner {
    /// Opens it, if it is kept by a log that others append to.
    pub(super) fn share(self: &Arc<Self>) {
        let Some(shared) = self.shared() else { return };
        let mut state = self.state.lock();
        let Some(durable) = &mut state.durable else { return };
        durable.sharing = Some(Box::<Sharing>::default());
        drop(state);
        shared.open(&self.name, self.id.0, Arc::new(Sink(Arc::downgrade(self))));
        self.begin_abroad();
    }

    /// Nobody has it any more.
    pub(super) fn unshare(&mut self) {
        if self.state.get_mut().sharing().is_some()
            && let Some(shared) = self.shared()
        {
            shared.close(&self.name, self.id.0);
            if let Some(elsewhere) = self.holding.elsewhere.get() {
                elsewhere.changed(&self.name);
            }
        }
    }

    /// Whether other nodes may have members of it.
    pub(in crate::hub) fn is_abroad(&self) -> bool {
        self.state.lock().abroad().is_some()
    }

    /// What tells that it is open, until it is.
    fn opening(&self) -> Option<OwnedNotified> {
        let mut state = self.state.lock();
        let sharing = state.sharing().filter(|sharing| !sharing.is_open)?;
        // Made under the lock: it hears of what comes from now on.
        Some(Arc::clone(&sharing.opened).notified_owned())
    }

    pub(super) fn shared(&self) -> Option<&dyn SharedLog> {
        self.holding.log.as_ref().and_then(|log| log.shared())
    }

    /// What it shows next is behind `at`. Members who knew what was before are told what became of it.
    fn goes_to(&self, state: &mut RoomState, at: MessageId) {
        let before = state.shown.last();
        self.shrink(state, |shown| std::mem::replace(shown, Timeline::behind(at, Vec::new())).bytes());
        let is_same = before.epoch == at.epoch;
        for worker in &state.workers {
            worker.post(if is_same {
                let lost = at.seq.saturating_sub(before.seq);
                Operation::Lost { room: self.id, from_seq: before.seq + 1, lost }
            } else {
                Operation::Reset { room: self.id, epoch: at.epoch }
            });
        }
    }

    fn appended(self: &Arc<Self>, messages: Vec<SharedMessage>) {
        let mut state = self.state.lock();
        for SharedMessage { message, membership, place } in messages {
            let last = state.shown.last();
            if message.id.epoch != last.epoch || message.id.seq <= last.seq {
                debug_assert!(false, "a log shows {} behind {last}", message.id);
                continue;
            }
            if message.id.seq > last.seq + 1 {
                self.goes_to(&mut state, MessageId { seq: message.id.seq - 1, ..last });
            }
            let own = place.and_then(|place| state.durable.as_mut()?.numbered(place, &message));
            let member = (membership != 0).then_some(Except::Member(MembershipId(membership)));
            self.show(&mut state, message, own.or(member).unwrap_or_default());
        }
    }
}

impl RoomState {
    fn sharing(&mut self) -> Option<&mut Sharing> {
        self.durable.as_mut()?.sharing.as_deref_mut()
    }

    /// Its members on other nodes, if it is shared.
    pub(in crate::hub) fn abroad(&mut self) -> Option<&mut Abroad> {
        Some(&mut self.sharing()?.abroad)
    }

    /// Whether its history is there, up to what somebody knows.
    pub(super) fn is_ready_for(&self, since: Option<MessageId>) -> Result<(), JoinError> {
        let Some(durable) = &self.durable else { return Ok(()) };
        let last = self.shown.last();
        let is_ahead = since.is_some_and(|since| since.epoch == last.epoch && since.seq > last.seq);
        if !durable.is_open() || durable.sharing.is_some() && is_ahead { Err(JoinError::Unavailable) } else { Ok(()) }
    }

    /// Whether somebody who knows `since` may know of more than is here.
    fn is_behind(&self, since: Option<MessageId>) -> bool {
        let last = self.shown.last();
        since.is_some_and(|since| since.seq > 0 && (since.epoch != last.epoch || since.seq > last.seq))
    }
}

impl Room {
    /// Waits until it can be joined by somebody who knows the messages up to `since`: where other processes publish to it too, its
    /// [log](crate::log) is asked first for what this one has not heard of yet. Everywhere else it can be joined at once.
    ///
    /// # Errors
    /// The log has not told within 2 s.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn opened(&self, since: Option<MessageId>) -> Result<(), LogError> {
        let Some(shared) = self.0.shared().filter(|_| self.0.state.lock().sharing().is_some()) else { return Ok(()) };
        let waits = async {
            while let Some(opened) = self.0.opening() {
                opened.await;
            }
            if !self.0.state.lock().is_behind(since) {
                return Ok(());
            }
            let (done, told) = answered();
            shared.catch_up(&self.0.name, self.0.id.0, done);
            told.await.unwrap_or_else(|_| Err(LogError::unavailable("it has ended")))
        };
        timeout(PATIENCE, waits).await.unwrap_or_else(|_| Err(LogError::unavailable("it has not told of the room")))
    }
}
