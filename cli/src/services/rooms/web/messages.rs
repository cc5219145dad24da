//! What a room still has, as an answer: a page at a time, each read from the room when it is wanted.
//!
//! So a reader holds none of the room's history, however slow it is. What goes meanwhile is told as a gap.

use crate::services::rooms::commands::refused;
use crate::web::work::Account;
use bytes::Bytes;
use switchboard::grammar::{ErrorCode, Failure, MessageId, Notice};
use switchboard::log::PageLimit;
use switchboard::{Format, Page, Room, Session};

/// Bytes after which a page ends, with the message that it has come to.
const PAGE_BYTES: usize = 16 << 10;

/// Bytes of a message beside its payload, about.
const ENVELOPE_BYTES: usize = 160;

/// The pages of one answer.
pub(super) struct Pages {
    session: Session,
    room: Room,
    /// The next page begins behind this one; none at the end.
    behind: Option<MessageId>,
    /// The number of the last message that is read: the last there was when the reader came.
    last: u64,
    account: Account,
    /// Bytes that were counted before they were made.
    counted: usize,
    /// Where to go on behind it all.
    next_path: String,
}

impl Pages {
    /// All that `room` has, or the last `limit` messages, or the first so many behind one.
    pub(super) fn new(
        session: Session,
        room: Room,
        since: Option<MessageId>,
        limit: Option<usize>,
        account: Account,
    ) -> Result<Self, Failure> {
        // Before the rest is looked at: what is published meanwhile comes twice rather than never.
        let end = room.last_id();
        let most = limit.unwrap_or(usize::MAX);
        let behind = |since| session.page(&room, since, most).map(|page| page.messages);
        let mut messages = since.map_or_else(|| session.history(&room, most), behind).map_err(refused)?;
        messages.truncate(most);
        let next = match (messages.last(), since) {
            (Some(message), _) => message.id,
            // None was wanted.
            (None, Some(since)) if limit == Some(0) => since,
            _ => end,
        };
        let limit = limit.filter(|limit| *limit > 0).map(|limit| format!("&limit={limit}")).unwrap_or_default();
        let next_path = format!("/rooms/{}/messages?since={next}{limit}", room.name());
        let behind = since.or_else(|| messages.first().map(|first| before(first.id)));
        let last = messages.last().map_or(0, |last| last.id.seq);
        // All of it, so that nobody has more begun than it may have.
        let counted = messages.iter().map(|message| message.payload.len() + ENVELOPE_BYTES).sum();
        account.owe(counted);
        Ok(Self { session, room, behind, last, account, counted, next_path })
    }

    /// What to ask for next.
    pub(super) fn next_path(&self) -> String {
        self.next_path.clone()
    }
}

/// The same of what a room's log has, where memory does not have all of it.
pub(super) struct Deep {
    session: Session,
    room: Room,
    /// The next page, if it is there already; else it begins behind this message.
    page: Option<Page>,
    behind: MessageId,
    /// The number of the last message that is read.
    last: u64,
    account: Account,
}

/// What is read of a log at once.
const DEEP_PAGE: PageLimit = PageLimit { messages: 256, bytes: PAGE_BYTES };

impl Deep {
    /// All of it up to `end`, or the first `limit` messages. `is_newest`: nobody has asked for what was before.
    pub(super) async fn new(
        session: Session,
        room: Room,
        (behind, end): (MessageId, MessageId),
        (limit, is_newest): (Option<usize>, bool),
        account: Account,
    ) -> Result<Self, Failure> {
        let mut page = read(&session, &room, behind).await?;
        page.notice.take_if(|_| is_newest);
        let first = page.messages.first().map_or(end.seq + 1, |first| first.id.seq);
        let last = limit.map_or(end.seq, |limit| end.seq.min((first - 1).saturating_add(limit as u64)));
        Ok(Self { session, room, page: Some(page), behind: end, last, account })
    }

    /// What to ask for next.
    pub(super) fn next_path(&self, limit: Option<usize>) -> String {
        let limit = limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
        let next = MessageId { seq: self.last, ..self.behind };
        format!("/rooms/{}/messages?since={next}{limit}", self.room.name())
    }

    /// The next page, and what is left.
    pub(super) async fn next(mut self) -> Option<(Bytes, Self)> {
        let page = match self.page.take() {
            Some(page) => page,
            None if self.behind.seq >= self.last => return None,
            None => match read(&self.session, &self.room, self.behind).await {
                Ok(page) => page,
                Err(_) => self.unread()?,
            },
        };
        let mut bytes = Vec::new();
        if let Some(notice) = page.notice.and_then(|notice| Format::Json.notice(&notice)) {
            bytes.extend_from_slice(&notice);
            bytes.push(b'\n');
        }
        self.behind.seq = self.last;
        for message in page.messages.iter().take_while(|message| message.id.seq <= self.last) {
            Format::Json.message(message, &mut bytes);
            bytes.push(b'\n');
            self.behind = message.id;
        }
        self.account.owe(bytes.len());
        (!bytes.is_empty()).then(|| (bytes.into(), self))
    }

    /// What stands for what cannot be read now.
    fn unread(&self) -> Option<Page> {
        let mut page = self.session.page(&self.room, self.behind, 0).ok()?;
        let (lost, from_seq) = (self.last - self.behind.seq, self.behind.seq + 1);
        page.notice = Some(Notice::Gap { room: self.room.name().clone(), lost, from_seq });
        Some(page)
    }
}

async fn read(session: &Session, room: &Room, behind: MessageId) -> Result<Page, Failure> {
    let reading = session.past(room, behind, DEEP_PAGE).map_err(refused)?;
    reading.await.map_err(|error| Failure::new(ErrorCode::Unavailable, error.to_string()))
}

impl Iterator for Pages {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let Page { notice, messages, .. } = self.session.page(&self.room, self.behind.take()?, usize::MAX).ok()?;
        let mut page = Vec::new();
        if let Some(notice) = notice.and_then(|notice| Format::Json.notice(&notice)) {
            page.extend_from_slice(&notice);
            page.push(b'\n');
        }
        for message in messages.iter().take_while(|message| message.id.seq <= self.last) {
            Format::Json.message(message, &mut page);
            page.push(b'\n');
            if page.len() >= PAGE_BYTES {
                self.behind = Some(message.id).filter(|id| id.seq < self.last);
                break;
            }
        }
        // What is escaped is longer than was counted.
        self.account.owe(page.len().saturating_sub(self.counted));
        self.counted = self.counted.saturating_sub(page.len());
        (!page.is_empty()).then(|| page.into())
    }
}

/// The point in front of a message.
pub(super) fn before(id: MessageId) -> MessageId {
    MessageId { seq: id.seq.saturating_sub(1), ..id }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test is the program itself, and sees all of a room")]

    use super::*;
    use crate::web::work::Work;
    use switchboard::{Hub, PeerAddr, RoomName, RoomOptions, UserName};

    fn room() -> Room {
        let name = RoomName::parse("ops").expect("a name");
        Hub::new().room_with(&name, RoomOptions::default()).expect("there is room for one")
    }

    fn session() -> Session {
        Hub::new().session(UserName::http(), Format::Json).expect("nobody has that name")
    }

    fn read(room: &Room, since: Option<MessageId>, limit: Option<usize>) -> Pages {
        let account = Work::unbounded().account(&PeerAddr::Memory);
        Pages::new(session(), room.clone(), since, limit, account).expect("there is no policy")
    }

    fn text(page: &Bytes) -> &str {
        std::str::from_utf8(page).expect("it is UTF-8")
    }

    #[test]
    fn a_page_is_made_when_it_is_wanted_and_no_longer_than_it_has_to_be() {
        let room = room();
        for _ in 0..10 {
            room.publish([b'x'; 5_000]);
        }
        let pages: Vec<_> = read(&room, None, None).collect();
        assert_eq!(pages.iter().map(|page| text(page).lines().count()).collect::<Vec<_>>(), [4, 4, 2]);
        assert!(pages.iter().all(|page| page.len() < PAGE_BYTES + 6_000));
        assert_eq!(text(&pages.concat().into()).lines().count(), 10);
    }

    #[test]
    fn a_reader_gets_what_there_was_when_it_came() {
        let room = room();
        let published = |text: &str| room.publish(text).published().expect("there is no log").id;
        let first = published("first");
        room.publish("second");
        let mut all = read(&room, None, None);
        let mut none = read(&room, Some(published("third")), None);
        let mut one = read(&room, Some(first), Some(1));
        room.publish("fourth");
        assert_eq!(text(&all.next().expect("a page")).lines().count(), 2);
        assert_eq!(all.next(), None);
        assert_eq!(none.next(), None);
        assert!(text(&one.next().expect("a page")).contains("second"));
        assert_eq!(one.next(), None);
    }

    #[test]
    fn what_goes_while_it_is_read_is_a_gap() {
        let room = room();
        for _ in 0..8 {
            room.publish([b'x'; 5_000]);
        }
        let mut pages = read(&room, None, None);
        assert_eq!(text(&pages.next().expect("a page")).lines().count(), 4);
        for _ in 0..254 {
            room.publish("later");
        }
        let page = pages.next().expect("a page");
        let lines: Vec<_> = text(&page).lines().collect();
        assert!(
            lines.len() == 3 && lines[0].contains("\"gap\",\"room\":\"ops\",\"lost\":2,\"from_seq\":5"),
            "{lines:.99?}"
        );
        assert_eq!(pages.next(), None);
    }

    #[test]
    fn all_of_an_answer_counts_when_it_is_begun_and_what_is_escaped_when_it_is_made() {
        let room = room();
        for _ in 0..4 {
            room.publish(vec![1; 64_000]);
        }
        let work = Work::bounded();
        let account = work.account(&PeerAddr::Ip("192.0.2.1:1".parse().expect("an address")));
        let pages = Pages::new(session(), room, None, None, account).expect("there is no policy");
        let counted = pages.counted;
        assert!(counted > 4 * 64_000, "{counted}");
        assert!(pages.map(|page| page.len()).sum::<usize>() > 5 * counted);
    }
}
