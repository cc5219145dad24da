//! A history that a member has asked for: read a page at a time, in memory or in the room's log, and written as its socket takes it.

use super::commands::Past;
use super::member::Member;
use bytes::Bytes;
use std::sync::Arc;
use switchboard::grammar::{Message, Notice, Reply};
use switchboard::log::PageLimit;
use switchboard::{Codec, ConnectionError, Format, MessageId, Room, Turn};

/// Messages of a past that are held at a time, by a reader that may be slow.
const PAGE: usize = 4;

/// The same of what a log has: each page of it is read from there.
const DEEP_PAGE: PageLimit = PageLimit { messages: 64, bytes: 16 << 10 };

impl<C> Member<C>
where
    C: Codec,
    C::Frame: From<Bytes> + Into<Bytes>,
{
    /// Tells messages again, to this member alone; each is written only when there is room for it, and what the room has
    /// turned over by then is a gap.
    pub(super) async fn repeat(&mut self, past: Past) -> Result<(), ConnectionError> {
        let Past { room, mut count, mut after, until, is_deep } = past;
        let most = if is_deep { DEEP_PAGE } else { PageLimit { messages: PAGE, bytes: usize::MAX } };
        if is_deep && let Some(first) = self.past(&room, after, most).await.first().map(|first| first.id.seq) {
            after.seq = first - 1;
            count = usize::try_from(until.saturating_sub(after.seq)).unwrap_or(usize::MAX);
        }
        let format = self.session.format();
        self.reply(&Reply::History { room: room.name().clone(), count }).await?;
        let (mut turn, account) = (Turn::default(), self.account());
        while after.seq < until {
            // What it may not have any more is gone.
            let page = self.past(&room, after, most).await;
            let next = page.first().map_or(u64::MAX, |message| message.id.seq).min(until + 1);
            let lost = next - after.seq - 1;
            if lost > 0 {
                let gap = Notice::Gap { room: room.name().clone(), lost, from_seq: after.seq + 1 };
                self.send(format.notice(&gap)).await?;
            }
            after.seq = next - 1;
            for message in page.into_iter().filter(|message| message.id.seq <= until) {
                after = message.id;
                if format == Format::Raw && !C::carries(&message.payload) {
                    continue;
                }
                let mut frame = Vec::new();
                format.message(&message, &mut frame);
                account.owe(frame.len());
                turn.spend(frame.len()).await;
                self.send([Bytes::from(frame)]).await?;
            }
        }
        Ok(())
    }

    /// What it may have of a room behind `after`; nothing if that cannot be read.
    async fn past(&self, room: &Room, after: MessageId, most: PageLimit) -> Vec<Arc<Message>> {
        let Ok(reading) = self.session.past(room, after, most) else { return Vec::new() };
        reading.await.map(|page| page.messages).unwrap_or_default()
    }
}
