//! The end of a conversation: what is said before it, and what still comes.

use super::{Over, Talk};
use crate::connect::farewell::Meaning;
use crate::connect::plain::PlainCodec;
use anyhow::bail;
use bytes::Bytes;
use switchboard::{Connection, ConnectionError, Escaped, FrameError, RecvHalf};
use tokio::time::timeout;

impl Talk<'_> {
    /// Gives up our seat: over UDP nobody sees that we are gone, and others would take us for a member for minutes.
    pub(super) async fn leave<C: PlainCodec>(&mut self, conn: &mut Connection<C>) {
        if C::TAKES_COOKIES && self.standing.has_seat() {
            // Of a server that is gone there is nothing to leave, and all that was said has arrived.
            let _ = self.send(conn, C::command(Bytes::from_static(b"/quit"))).await;
        }
    }

    /// Shows what comes after the end of input.
    pub(super) async fn finish<C: PlainCodec>(&mut self, mut conn: RecvHalf<C>) -> anyhow::Result<Over> {
        loop {
            let received = match self.plan.wait {
                Some(wait) => timeout(wait, conn.recv()).await,
                None => Ok(conn.recv().await),
            };
            let Ok(received) = received else { return Ok(Over::Finished) };
            let Some(frame) = received.or_else(unannounced)? else {
                return match self.farewell.meaning() {
                    Meaning::Closed(reason) => bail!("the server closed the connection: {reason}"),
                    Meaning::Finished | Meaning::Cut => match conn.codec_mut().fault() {
                        Some(fault) => bail!(fault),
                        None => Ok(Over::Finished),
                    },
                };
            };
            self.show::<C>(frame)?;
        }
    }

    /// Nothing more has come. Whether what was typed was taken at all is known only of a server that has refused it.
    pub(super) fn quiet(&self) -> anyhow::Result<Over> {
        match &self.refusal {
            Some(refusal) if !self.standing.has_seat() => bail!(
                "{}: over UDP the server hears only members: join with --room ROOM; `/pub ROOM TEXT` works for anyone",
                Escaped(refusal)
            ),
            _ => Ok(Over::Finished),
        }
    }
}

/// Once we have said that we finish, it is no loss.
fn unannounced<F>(error: ConnectionError) -> Result<Option<F>, ConnectionError> {
    match error {
        ConnectionError::Frame(FrameError::Unannounced) => Ok(None),
        error => Err(error),
    }
}
