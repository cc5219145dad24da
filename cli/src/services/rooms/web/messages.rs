//! What a room still has, as an answer: a page at a time, each read from the room when it is wanted.
//!
//! So a reader holds none of the room's history, however slow it is. What goes meanwhile is told as a gap.

use super::route::Span;
use crate::services::rooms::commands::{before_newest, is_logged, refused};
use crate::web::answer::{self, OBJECTS};
use crate::web::work::Account;
use bytes::Bytes;
use switchboard::grammar::{ErrorCode, Failure, MessageId, Notice};
use switchboard::http::Response;
use switchboard::log::PageLimit;
use switchboard::{Format, Page, Room, Session};

/// Bytes after which a page ends, with the message that it has come to.
const PAGE_BYTES: usize = 16 << 10;

/// Bytes of a message beside its payload, about.
const ENVELOPE_BYTES: usize = 160;

/// What is read of a log at once.
const DEEP_PAGE: PageLimit = PageLimit { messages: 256, bytes: PAGE_BYTES };

/// Answers with what `span` says of a room, for `session`.
pub(super) async fn answer(
    (session, room): (Session, Room),
    span: Span,
    account: Account,
    is_head: bool,
) -> Result<Response, Failure> {
    let mut head = answer::stream(OBJECTS);
    let extent = match Extent::new(&room, span) {
        Ok(extent) => extent,
        Err(other) => {
            let page = session.page(&room, other, 0).map_err(refused)?;
            let told = page.notice.and_then(|notice| Format::Json.notice(&notice));
            let told: Vec<_> = told.into_iter().collect();
            return Ok(if is_head { answer::bodiless(head) } else { answer::lines(OBJECTS, &told).into() });
        }
    };
    if is_logged(&session, &room, extent.behind, span.limit)? {
        let deep = Deep::new(session, room, extent, account).await?;
        let (rel, path) = deep.extent.link(&deep.room, deep.first, deep.extent.last);
        answer::link(head.headers_mut(), rel, path);
        return Ok(if is_head { answer::bodiless(head) } else { Response::pages_from(head, deep, Deep::next) });
    }
    let pages = Pages::new(session, room, extent, account)?;
    let (rel, path) = pages.extent.link(&pages.room, pages.first, pages.next);
    answer::link(head.headers_mut(), rel, path);
    Ok(if is_head { answer::bodiless(head) } else { Response::pages(head, pages) })
}

/// Where an answer begins and ends.
#[derive(Debug, Clone, Copy)]
struct Extent {
    /// What was asked for.
    span: Span,
    /// The first message is behind this one.
    behind: MessageId,
    /// The last: the room's last when it was asked for, at most.
    last: MessageId,
}

impl Extent {
    /// # Errors
    /// It ends with what the room knows nothing of: a message of another incarnation, this one.
    fn new(room: &Room, span: Span) -> Result<Self, MessageId> {
        // Before anything is read: what is published meanwhile is behind it.
        let mut last = room.last_id();
        if let Some(before) = span.before {
            if before.epoch != last.epoch {
                return Err(before);
            }
            last.seq = last.seq.min(before.seq.saturating_sub(1));
        }
        let behind = span.since.unwrap_or_else(|| before_newest(room, last, span.limit));
        Ok(Self { span, behind, last })
    }

    /// Nobody has asked for what is gone.
    fn is_newest(&self) -> bool {
        self.span.since.is_none()
    }

    /// What is told of what is gone, as far as it was asked for.
    fn notice(&self, notice: Option<Notice>) -> Option<Bytes> {
        let mut notice = notice?;
        if let Notice::Gap { lost, from_seq, .. } = &mut notice {
            *lost = (*lost).min((self.last.seq + 1).saturating_sub(*from_seq));
            if *lost == 0 {
                return None;
            }
        }
        Format::Json.notice(&notice)
    }

    /// How to go on: behind `next`, or before `first`, which are what was read.
    fn link(&self, room: &Room, first: Option<MessageId>, next: MessageId) -> (&'static str, Option<String>) {
        let Span { since, before, limit } = self.span;
        let limit = limit.filter(|limit| *limit > 0).map(|limit| format!("&limit={limit}")).unwrap_or_default();
        let path = |from: String| Some(format!("/rooms/{}/messages?{from}{limit}", room.name()));
        match (since, before) {
            (None, Some(_)) => {
                ("prev", first.filter(|first| first.seq > 1).and_then(|first| path(format!("before={first}"))))
            }
            // Whoever is behind `before` already has nothing left to come.
            (Some(since), Some(before)) if next.seq.max(since.seq).saturating_add(1) < before.seq => {
                ("next", path(format!("since={next}&before={before}")))
            }
            (Some(_), Some(_)) => ("next", None),
            (_, None) => ("next", path(format!("since={next}"))),
        }
    }
}

/// The pages of one answer.
struct Pages {
    session: Session,
    room: Room,
    extent: Extent,
    /// The next page begins behind this one; none at the end.
    behind: Option<MessageId>,
    /// The number of the last message that is read.
    last: u64,
    first: Option<MessageId>,
    /// What follows it all is behind this one.
    next: MessageId,
    account: Account,
    /// Bytes that were counted before they were made.
    counted: usize,
}

impl Pages {
    fn new(session: Session, room: Room, extent: Extent, account: Account) -> Result<Self, Failure> {
        let most = extent.span.limit.unwrap_or(usize::MAX);
        let mut messages = session.page(&room, extent.behind, most).map_err(refused)?.messages;
        messages.retain(|message| message.id.seq <= extent.last.seq);
        let first = messages.first().map(|first| first.id);
        let next = match messages.last() {
            Some(message) => message.id,
            // None was wanted.
            None if !extent.is_newest() && most == 0 => extent.behind,
            None => extent.last,
        };
        let behind = if extent.is_newest() { first.map(before) } else { Some(extent.behind) };
        let last = messages.last().map_or(0, |last| last.id.seq);
        // All of it, so that nobody has more begun than it may have.
        let counted = messages.iter().map(|message| message.payload.len() + ENVELOPE_BYTES).sum();
        account.owe(counted);
        Ok(Self { session, room, extent, behind, last, first, next, account, counted })
    }
}

impl Iterator for Pages {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let Page { notice, messages, .. } = self.session.page(&self.room, self.behind.take()?, usize::MAX).ok()?;
        let mut page = Vec::new();
        if let Some(notice) = self.extent.notice(notice) {
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

/// The same of what a room's log has, where memory does not have all of it.
struct Deep {
    session: Session,
    room: Room,
    extent: Extent,
    /// The next page, if it is there already; else it begins behind `behind`.
    page: Option<Page>,
    behind: MessageId,
    first: Option<MessageId>,
    account: Account,
}

impl Deep {
    async fn new(session: Session, room: Room, mut extent: Extent, account: Account) -> Result<Self, Failure> {
        let mut page = read(&session, &room, extent.behind).await?;
        page.notice.take_if(|_| extent.is_newest());
        let first = page.messages.first().map(|first| first.id).filter(|first| first.seq <= extent.last.seq);
        let before_first = first.map_or(extent.last.seq, |first| first.seq - 1);
        if let Some(limit) = extent.span.limit {
            extent.last.seq = extent.last.seq.min(before_first.saturating_add(limit as u64));
        }
        Ok(Self { session, room, extent, page: Some(page), behind: extent.last, first, account })
    }

    /// The next page, and what is left.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let last = self.extent.last.seq;
        let page = match self.page.take() {
            Some(page) => page,
            None if self.behind.seq >= last => return None,
            None => match read(&self.session, &self.room, self.behind).await {
                Ok(page) => page,
                Err(_) => self.unread()?,
            },
        };
        let mut bytes = Vec::new();
        if let Some(notice) = self.extent.notice(page.notice) {
            bytes.extend_from_slice(&notice);
            bytes.push(b'\n');
        }
        self.behind.seq = last;
        for message in page.messages.iter().take_while(|message| message.id.seq <= last) {
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
        let (lost, from_seq) = (self.extent.last.seq - self.behind.seq, self.behind.seq + 1);
        page.notice = Some(Notice::Gap { room: self.room.name().clone(), lost, from_seq });
        Some(page)
    }
}

async fn read(session: &Session, room: &Room, behind: MessageId) -> Result<Page, Failure> {
    let reading = session.past(room, behind, DEEP_PAGE).map_err(refused)?;
    reading.await.map_err(|error| Failure::new(ErrorCode::Unavailable, error.to_string()))
}

/// The point before the last `count` messages that a room has; or before as many as memory may keep.
pub(super) async fn before_last(session: &Session, room: &Room, count: Option<usize>) -> MessageId {
    // Before the history is looked at: what is published meanwhile comes as well, and what is lost is told.
    let end = room.last_id();
    let behind = before_newest(room, end, count);
    let one = PageLimit { messages: 1, bytes: 1 };
    let Ok(reading) = session.past(room, behind, one) else { return end };
    // What cannot be read now is told to be lost once it is not there.
    let Ok(Page { messages, .. }) = reading.await else { return behind };
    messages.first().map_or(end, |first| before(first.id))
}

/// The point in front of a message.
fn before(id: MessageId) -> MessageId {
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
        let extent = Extent::new(room, Span { since, before: None, limit }).expect("it is of this incarnation");
        Pages::new(session(), room.clone(), extent, account).expect("there is no policy")
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
        let extent = Extent::new(&room, Span::default()).expect("it is of this incarnation");
        let pages = Pages::new(session(), room, extent, account).expect("there is no policy");
        let counted = pages.counted;
        assert!(counted > 4 * 64_000, "{counted}");
        assert!(pages.map(|page| page.len()).sum::<usize>() > 5 * counted);
    }
}
