//! What the writer is asked for, and what it answers.

use super::SWEEP;
use crate::log::sqlite::queue::Arrived;
use crate::log::sqlite::{Shared, Standing};
use crate::log::{Done, LogError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use switchboard_proto::{Message, MessageId, RoomName};
use tracing::error;

/// What the writer is asked for.
pub(in crate::log::sqlite) enum Errand {
    /// To be called right before the next transaction, which gets what that appends.
    Call(Box<dyn FnOnce() + Send>),
    Append(Append),
    /// The retention of this room has changed.
    Keep(RoomName),
    Forget(RoomName, Done<()>),
    Purge(RoomName, MessageId, Done<()>),
}

/// Messages of one room.
pub(in crate::log::sqlite) struct Append {
    pub(in crate::log::sqlite) room: RoomName,
    pub(in crate::log::sqlite) after: MessageId,
    pub(in crate::log::sqlite) batch: Vec<Arc<Message>>,
    pub(in crate::log::sqlite) done: Done<MessageId>,
}

/// What is told once the transaction is over, if it is a success.
pub(super) enum Answer {
    Appended(Done<MessageId>, Result<MessageId, LogError>),
    Forgotten(Done<()>),
}

impl Answer {
    pub(super) fn tell(self, failure: Option<&LogError>) {
        match (self, failure) {
            (Self::Appended(done, result), None) => done(result),
            (Self::Appended(done, _), Some(error)) => done(Err(error.clone())),
            (Self::Forgotten(done), None) => done(Ok(())),
            (Self::Forgotten(done), Some(error)) => done(Err(error.clone())),
        }
    }
}

/// There is no writer: nothing that is asked for is done.
pub(super) fn refuse_all(shared: &Shared, reason: &str) {
    error!(error = reason, "the log is broken");
    let reason: Arc<str> = reason.into();
    shared.standing.send_replace(Standing::Broken(Arc::clone(&reason)));
    loop {
        match shared.appends.take(SWEEP) {
            Arrived::Some(orders) => orders.into_iter().for_each(|order| refuse(shared, order, &reason)),
            Arrived::Nothing => {}
            Arrived::Closed => return,
        }
    }
}

pub(super) fn refuse(shared: &Shared, order: Errand, reason: &Arc<str>) {
    let error = LogError::Unavailable(Arc::clone(reason));
    match order {
        Errand::Append(append) => {
            shared.counts.waiting.fetch_sub(append.batch.len() as u64, Ordering::Relaxed);
            (append.done)(Err(error));
        }
        Errand::Forget(_, done) | Errand::Purge(_, _, done) => done(Err(error)),
        // What it appends is refused when it comes.
        Errand::Call(ready) => ready(),
        Errand::Keep(_) => {}
    }
}
