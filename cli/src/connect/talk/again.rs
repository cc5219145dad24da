//! Between two connections: waiting, connecting, and keeping what is typed meanwhile.

use super::{Ending, Over, Talk};
use crate::connect::input::Typed;
use crate::connect::plain::PlainCodec;
use anyhow::bail;
use bytes::Bytes;
use std::io;
use switchboard::grammar::MessageId;
use switchboard::{ConnectError, Connection};
use tokio::time::sleep;

/// Lines that wait while there is no connection.
const MOST_WAITING: usize = 1000;

impl Talk<'_> {
    /// Connects until it succeeds, or whoever is at the terminal has enough of it.
    pub(super) async fn again<C: PlainCodec>(
        &mut self,
        mut why: String,
        connect: &impl AsyncFn(Option<MessageId>) -> Result<Connection<C>, ConnectError>,
    ) -> anyhow::Result<Result<Connection<C>, Over>> {
        loop {
            let wait = self.waits.next();
            self.say(&format!("{why}; reconnecting in {:.1} s", wait.as_secs_f32()))?;
            let since = self.standing.followed();
            let attempt = async {
                sleep(wait).await;
                connect(since).await
            };
            match self.keep_typed(attempt).await? {
                Ok(Ok(conn)) => return Ok(Ok(conn)),
                Ok(Err(error)) => why = format!("{:#}", anyhow::Error::from(error)),
                Err(over) => return Ok(Err(over)),
            }
        }
    }

    /// Keeps what is typed at a terminal meanwhile. What is in a pipe can wait there.
    async fn keep_typed<T>(&mut self, work: impl Future<Output = T>) -> anyhow::Result<Result<T, Over>> {
        let mut work = std::pin::pin!(work);
        loop {
            let typed = tokio::select! {
                done = &mut work => return Ok(Ok(done)),
                typed = self.input.recv(), if self.is_interactive && self.ending == Ending::No => typed,
            };
            match typed {
                Some(Typed::Frame(line)) => self.keep_lines(vec![line])?,
                Some(Typed::Lines(lines)) => self.keep_lines(lines)?,
                Some(Typed::Interrupted) => return Ok(Err(Over::Interrupted)),
                Some(Typed::Broken(error)) => bail!("cannot read: {error}"),
                None if self.waiting.is_empty() => return Ok(Err(Over::Finished)),
                None => {
                    self.ending = Ending::Ended;
                    let count = self.waiting.len();
                    self.say(&format!("lines waiting for a connection: {count}; Ctrl-C drops them"))?;
                }
            }
        }
    }

    fn keep_lines(&mut self, lines: Vec<Bytes>) -> io::Result<()> {
        let (count, room) = (lines.len(), MOST_WAITING.saturating_sub(self.waiting.len()));
        self.waiting.extend(lines.into_iter().take(room));
        if count > room {
            self.say(&format!("not kept: {MOST_WAITING} lines are already waiting for a connection"))?;
        }
        Ok(())
    }
}
