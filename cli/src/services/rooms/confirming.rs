//! What a connection has published to rooms that a log keeps, until the log has it: what it does not get is told as an error.

use super::commands::unpublished;
use super::member::Member;
use bytes::Bytes;
use std::collections::VecDeque;
use switchboard::{Codec, ConnectionError, Publication};

/// In the order in which they were published. The library reads no more from whoever has 64 of them. Boxed, since where there is no log
/// nobody has any.
#[derive(Default)]
pub(super) struct Unconfirmed(pub(super) Option<Box<Queue>>);

/// The oldest comes first.
#[derive(Default)]
pub(super) struct Queue(VecDeque<Publication>);

impl Unconfirmed {
    /// Awaits one that is not shown yet. A log that knows that it cannot keep anything may have said so by now: that is told as well.
    #[inline]
    pub(super) fn await_one(&mut self, publication: Publication) {
        if publication.published().is_none() {
            self.0.get_or_insert_default().0.push_back(publication);
        }
    }
}

impl<C> Member<C>
where
    C: Codec,
    C::Frame: From<Bytes> + Into<Bytes>,
{
    /// Receives, and tells meanwhile what of that which it has published could not be kept. The outer error is that it could not be told.
    pub(super) async fn recv_beside(&mut self) -> Result<Result<Option<C::Frame>, ConnectionError>, ConnectionError> {
        while let Some(Queue(queue)) = self.unconfirmed.0.as_deref_mut()
            && let Some(first) = queue.front_mut()
        {
            let confirmed = tokio::select! {
                biased;
                confirmed = first => confirmed,
                received = self.conn.recv() => return Ok(received),
            };
            queue.pop_front();
            if let Err(error) = confirmed {
                self.refuse(&unpublished(error)).await?;
            }
        }
        self.unconfirmed.0 = None;
        Ok(self.conn.recv().await)
    }

    /// Waits until all that it has published is kept, or cannot be, which it is told.
    pub(super) async fn confirm_all(&mut self) -> Result<(), ConnectionError> {
        let queue = self.unconfirmed.0.take().map(|queue| queue.0).unwrap_or_default();
        for publication in queue {
            if let Err(error) = publication.await {
                self.refuse(&unpublished(error)).await?;
            }
        }
        Ok(())
    }
}
