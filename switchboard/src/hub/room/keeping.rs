//! Publishing to a room that a log keeps: what is published waits, is handed to the log, and is shown once the log has it.

use super::{RoomInner, RoomState};
use crate::hub::door::Published;
use crate::hub::durable::{Handover, Unconfirmed};
use crate::hub::log::{LogError, RoomLog, Submission, answered};
use crate::hub::membership::PublishError;
use crate::hub::posting::Except;
use crate::hub::publication::{Confirmation, Publication};
use crate::hub::shown::Byline;
use crate::hub::standing::Objection;
use crate::link::Link;
use crate::link::tick::Tick;
use crate::sync::MutexGuard;
use bytes::Bytes;
use std::sync::Arc;
use std::time::SystemTime;
use switchboard_proto::MessageId;

impl RoomInner {
    /// Has a publication wait for the log, which calls for it unless it is busy with this room.
    #[cold]
    pub(super) fn publish_durably(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, RoomState>,
        by: Option<Byline>,
        payload: Bytes,
        except: Except,
        link: Option<&Arc<Link>>,
    ) -> Result<Publication, Objection> {
        let message = state.shown.next(&self.name, by, payload, SystemTime::now());
        let confirmation = Arc::new(Confirmation::default());
        let one = Unconfirmed { message, except, link: link.cloned(), confirmation: Arc::clone(&confirmation) };
        let Some(durable) = &mut state.durable else { unreachable!("it is kept by a log") };
        durable.wait(one, &self.holding.unsettled).map_err(|_| Objection::Unavailable)?;
        let calls = durable.calls();
        drop(state);
        if let Some(link) = link {
            link.awaits_confirmation();
        }
        if calls {
            self.call();
        }
        Ok(Publication::waiting(confirmation))
    }

    /// What keeps it, of one that is kept.
    pub(super) fn log(&self) -> &dyn RoomLog {
        let Some(log) = &self.holding.log else { unreachable!("it is kept by a log") };
        &**log
    }

    /// Forgets all that was shown so far, in the log first: what it fails to forget is not forgotten here either.
    pub(in crate::hub) fn purge(self: &Arc<Self>) -> impl Future<Output = Result<MessageId, LogError>> + Send + use<> {
        let (done, told) = answered();
        let (room, upto, is_durable) = {
            let state = self.state.lock();
            (Arc::clone(self), state.shown.last(), state.durable.is_some())
        };
        let waits = async move { told.await.unwrap_or_else(|_| Err(LogError::unavailable("it has ended"))) };
        if is_durable && let Some(shared) = self.shared() {
            // It tells this node as all others.
            shared.purge(&self.name, self.id.0, done);
            return waits;
        }
        // No lock is held: it may be told at once.
        let forget = move |purged: Result<(), LogError>| {
            if purged.is_ok() {
                room.forget_to(upto);
            }
            done(purged.map(|()| upto));
        };
        if is_durable {
            self.log().purge(&self.name, upto, Box::new(forget));
        } else {
            forget(Ok(()));
        }
        waits
    }

    /// Drops from memory what was shown up to `upto`.
    pub(super) fn forget_to(&self, upto: MessageId) {
        let mut state = self.state.lock();
        if state.shown.last().epoch == upto.epoch {
            self.shrink(&mut state, |shown| shown.purge(upto.seq));
        }
    }

    /// The last message of one that is asleep from now on, if the log has any of it.
    pub(in crate::hub) fn sleeps(&self) -> Option<MessageId> {
        let state = self.state.lock();
        let last = state.shown.last();
        // One that others append to as well is opened again from the log.
        let is_own = state.durable.as_ref().is_some_and(|durable| durable.sharing.is_none());
        (is_own && last.seq > 0).then_some(last)
    }

    /// Has the log call for what waits. No lock is held: it may do so at once.
    fn call(self: &Arc<Self>) {
        let mut called = Called(Some(Arc::clone(self)));
        self.log().when_free(Box::new(move || called.hand_over()));
    }

    /// Asks the log to keep what waits, if anything does. No lock is held: it may be told of others meanwhile.
    fn hand_over(self: &Arc<Self>) {
        let next = {
            let mut state = self.state.lock();
            let last = state.shown.last();
            state.durable.as_mut().and_then(|durable| durable.next(last))
        };
        let Some(Handover { after, messages, memberships }) = next else { return };
        let mut handed = Handed(Some(Arc::clone(self)));
        if let Some(shared) = self.log().shared() {
            let submission = |(message, membership)| Submission { message, membership };
            let batch = messages.into_iter().zip(memberships).map(submission).collect();
            return shared.publish(&self.name, self.id.0, batch, Box::new(move |kept| handed.answer(kept)));
        }
        self.log().append(&self.name, after, messages, Box::new(move |kept| handed.answer(kept.map(drop))));
    }

    /// The log has answered for what was under way: what it has is shown, and it calls for what waited meanwhile.
    fn settled(self: &Arc<Self>, kept: Result<(), LogError>) {
        let mut state = self.state.lock();
        let Some(durable) = &mut state.durable else { unreachable!("it is kept by a log") };
        let answered = durable.answered(&self.holding.unsettled);
        let shown = durable.shown();
        let mut behind = None;
        if kept.is_ok() && shown.is_none() {
            for one in &answered {
                behind = self.show(&mut state, Arc::clone(&one.message), one.except).cloned().or(behind);
            }
        }
        let class = state.options.class;
        let calls = state.durable.as_mut().is_some_and(|durable| durable.calls());
        drop(state);
        if calls {
            self.call();
        }
        for (place, one) in answered.into_iter().enumerate() {
            let is_kept = shown.as_ref().map_or(kept.is_ok(), |shown| shown.get(place) == Some(&true));
            self.confirm(one, is_kept, class, behind.as_ref());
        }
    }

    fn confirm(&self, one: Unconfirmed, is_kept: bool, class: Option<super::RoomClass>, behind: Option<&Arc<Tick>>) {
        let Unconfirmed { message, link, confirmation, .. } = one;
        let result = if is_kept {
            self.holding.counts.published(class);
            self.holding.trim(message.payload.len());
            Ok(Published { id: message.id, time: message.time })
        } else {
            self.holding.counts.refused(&PublishError::Unavailable);
            Err(PublishError::Unavailable)
        };
        if let Some(link) = link {
            // Its own worker it looks at anyway.
            if let Some(tick) = behind.filter(|tick| !Arc::ptr_eq(tick, &link.tick)) {
                link.fall_behind(Arc::clone(tick));
            }
            link.is_confirmed();
        }
        confirmation.settle(result);
    }
}

/// A room that a log calls for what waits in it. It is called for once, also by a log that drops that.
struct Called(Option<Arc<RoomInner>>);

impl Called {
    fn hand_over(&mut self) {
        if let Some(room) = self.0.take() {
            room.hand_over();
        }
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// A batch that a log was asked to keep. It is answered for once, also by a log that drops it.
struct Handed(Option<Arc<RoomInner>>);

impl Handed {
    fn answer(&mut self, kept: Result<(), LogError>) {
        if let Some(room) = self.0.take() {
            room.settled(kept);
        }
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        self.answer(Err(LogError::unavailable("it has ended")));
    }
}
