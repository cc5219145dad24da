//! What publishing gives: the message's place in the order, at once or once a log has it.

use super::door::Published;
use super::membership::PublishError;
use crate::error::contained;
use crate::sync::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A publication that was taken. It gives the message's id and time as soon as the message is shown: at once, unless the room is kept
/// in a [log](crate::log); then once the log has it.
///
/// Dropping it changes nothing: the message is on its way.
///
/// ```
/// # use switchboard::Hub;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let lobby = Hub::new().room("lobby")?;
/// let published = lobby.publish("hi").await?;
/// assert_eq!(published.id.seq, 1);
/// # Ok::<(), switchboard::BoxError>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// [`PublishError::Unavailable`] if the log could not keep it: then nobody was shown it, and nobody will be, unless other processes append
/// to that log too: there it may be shown after all.
///
/// # Cancel safety
/// Safe. It can be awaited again after it has given its result, and gives the same.
#[derive(Debug)]
pub struct Publication(State);

#[derive(Debug)]
enum State {
    Known(Result<Published, PublishError>),
    Waiting(Arc<Confirmation>),
}

impl Publication {
    #[inline]
    pub(super) fn shown(published: Published) -> Self {
        Self(State::Known(Ok(published)))
    }

    pub(super) fn failed(error: PublishError) -> Self {
        Self(State::Known(Err(error)))
    }

    pub(super) fn waiting(confirmation: Arc<Confirmation>) -> Self {
        Self(State::Waiting(confirmation))
    }

    /// The result, if it is known; without a log it always is.
    pub fn known(&self) -> Option<Result<Published, PublishError>> {
        match &self.0 {
            State::Known(result) => Some(*result),
            State::Waiting(confirmation) => confirmation.state.lock().result,
        }
    }

    /// What was published, if it has been shown.
    pub fn published(&self) -> Option<Published> {
        self.known()?.ok()
    }
}

impl Future for Publication {
    type Output = Result<Published, PublishError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &self.0 {
            State::Known(result) => Poll::Ready(*result),
            State::Waiting(confirmation) => {
                let mut answer = confirmation.state.lock();
                if answer.result.is_none() {
                    answer.waits = Some(cx.waker().clone());
                }
                answer.result.map_or(Poll::Pending, Poll::Ready)
            }
        }
    }
}

/// Where the log's answer for one message is left.
#[derive(Debug, Default)]
pub(super) struct Confirmation {
    state: Mutex<Answer>,
}

#[derive(Debug, Default)]
struct Answer {
    result: Option<Result<Published, PublishError>>,
    waits: Option<Waker>,
}

impl Confirmation {
    pub(super) fn settle(&self, result: Result<Published, PublishError>) {
        let waker = {
            let mut answer = self.state.lock();
            answer.result = Some(result);
            answer.waits.take()
        };
        if let Some(waker) = waker {
            // A task of the user's, perhaps on another runtime.
            let _ = contained(|| waker.wake());
        }
    }
}
