//! A room's past as far as its log goes. What is in memory is there at once; what is older is asked of the log, a page at a time.

use super::{Room, RoomInner, RoomState};
use crate::hub::door::{self, Page, Pass, Past};
use crate::hub::log::{BESIDE, Cursor, LogError, PageLimit, answered};
use std::pin::Pin;
use std::sync::Arc;
use switchboard_proto::{Message, MessageId, Notice};

/// A page of a room's past that may have to be read first.
pub(in crate::hub) type PastRead = Pin<Box<dyn Future<Output = Result<Page, LogError>> + Send>>;

impl RoomInner {
    /// The last `count` messages that it keeps.
    pub(in crate::hub) fn newest(&self, _: Pass, count: usize) -> Vec<Arc<Message>> {
        let mut state = self.state.lock();
        self.forget_old(&mut state);
        state.shown.newest(count).cloned().collect()
    }

    /// What it keeps behind `since`, at most `limit` messages, and what is told of those that are gone.
    pub(in crate::hub) fn since(&self, _: Pass, since: MessageId, limit: usize) -> Page {
        let mut state = self.state.lock();
        self.forget_old(&mut state);
        let (after, notice) = state.shown.missed(since, &self.name);
        Page { notice, messages: state.shown.after(after).take(limit).cloned().collect() }
    }

    /// Where whoever knows the messages up to `since` goes on, and what it is told before; what is gone of those behind it shows when they are
    /// read. Whoever knows another incarnation gets the newest, as many as memory may keep.
    pub(super) fn missed_in_log(&self, state: &RoomState, since: MessageId) -> (u64, Option<Notice>) {
        let last = state.shown.last();
        if since.epoch == last.epoch {
            return (since.seq.min(last.seq), None);
        }
        let reset = Notice::Reset { room: self.name.clone(), epoch: last.epoch };
        (self.before_recent(state).seq, Some(reset))
    }

    /// The point before the newest messages, as many as memory may keep.
    pub(super) fn before_recent(&self, state: &RoomState) -> MessageId {
        let last = state.shown.last();
        let kept = u64::try_from(self.keep(state).messages).unwrap_or(u64::MAX);
        MessageId { seq: last.seq.saturating_sub(kept), ..last }
    }

    /// Has the log read what is behind `after`, no more than `limit`.
    pub(in crate::hub) fn read_from_log(
        &self,
        after: MessageId,
        limit: PageLimit,
        done: impl FnOnce(Result<Vec<Arc<Message>>, LogError>) + Send + 'static,
    ) {
        self.log().read(&self.name, Cursor::After(after), limit, Box::new(done));
    }

    /// What there is behind `since`, in memory or in the log, no more than `limit`.
    pub(in crate::hub) fn past(self: &Arc<Self>, pass: Pass, since: MessageId, limit: PageLimit) -> PastRead {
        let mut state = self.state.lock();
        self.forget_old(&mut state);
        let (after, notice) = self.missed_in_log(&state, since);
        let last = state.shown.last();
        let is_kept = !state.is_deep() || state.shown.reaches(after);
        drop(state);
        if is_kept {
            let page = self.since_within(pass, since, limit);
            return Box::pin(async move { Ok(page) });
        }
        let (done, told) = answered();
        self.read_from_log(MessageId { seq: after, ..last }, limit, done);
        let room = Arc::clone(self);
        Box::pin(async move {
            let mut messages = told.await.unwrap_or_else(|_| Err(LogError::unavailable("it has ended")))?;
            // What it has beyond this nobody was shown yet.
            messages.retain(|message| message.id.seq <= last.seq);
            let Some(first) = messages.first() else { return Ok(room.since_within(pass, since, limit)) };
            let lost = first.id.seq - after - 1;
            let gap = Notice::Gap { room: room.name.clone(), lost, from_seq: after + 1 };
            Ok(Page { notice: notice.or((lost > 0).then_some(gap)), messages })
        })
    }

    fn since_within(&self, pass: Pass, since: MessageId, limit: PageLimit) -> Page {
        let mut page = self.since(pass, since, limit.messages);
        let mut bytes = 0;
        let mut fits = |message: &Arc<Message>| {
            let fits = bytes < limit.bytes as u64;
            bytes += message.payload.len() as u64 + BESIDE;
            fits
        };
        let count = page.messages.iter().take_while(|message| fits(message)).count();
        page.messages.truncate(count);
        page
    }
}

impl RoomState {
    /// Whether a log has more of it than memory.
    pub(super) fn is_deep(&self) -> bool {
        self.durable.is_some()
    }
}

impl Room {
    /// Forgets all messages that it has shown so far, in its [log](crate::log) too, for good: it begins at once. What is published meanwhile stays, numbers go
    /// on, and whoever resumes from before is told of a gap. Members that are being told the past may still get some of it. Gives the last message that is gone, or the point
    /// before the first.
    ///
    /// # Errors
    /// The log cannot forget them now. Then nothing is forgotten; but where other processes publish to it too, it may be.
    ///
    /// # Cancel safety
    /// Safe: what was begun goes on.
    pub fn purge(&self) -> impl Future<Output = Result<MessageId, LogError>> + Send + use<> {
        self.0.purge()
    }

    /// As [`page`](Self::page), as far back as the room's [log](crate::log) goes: what is not in memory is read from it. Without a log it is
    /// ready at once. Whoever knows another incarnation gets the newest, as many as memory may keep.
    ///
    /// # Errors
    /// The log cannot be read now.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost by a page that nobody waits for.
    pub fn past(
        &self,
        since: MessageId,
        limit: PageLimit,
    ) -> impl Future<Output = Result<Page, LogError>> + Send + use<> {
        door::list(Past { room: &self.0, since, limit })
    }

    /// The point before its newest messages, as many as it may keep in memory; [`past`](Self::past) gets them from there, from the log too.
    pub fn before_recent(&self) -> MessageId {
        self.0.before_recent(&self.0.state.lock())
    }

    /// Whether a [log](crate::log) keeps it, from which more is read than memory has.
    pub fn is_durable(&self) -> bool {
        self.0.state.lock().is_deep()
    }

    /// Whether the [log](crate::log) that keeps it, if one does, takes what is published now, as far as is known: for who cannot wait to be
    /// told by a [`Publication`](crate::Publication).
    pub fn is_available(&self) -> bool {
        self.0.state.lock().durable.is_none() || self.0.log().health().is_ok()
    }
}
