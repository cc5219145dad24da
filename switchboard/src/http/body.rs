//! The body of an answer, as hyper takes it: no more of it than the client has made room for.

use super::exchange::{Next, Underway, Unfinished};
use super::response::Pages;
use crate::link::Source as _;
use crate::transport::memory::End;
use bytes::{Buf as _, Bytes};
use hyper::body::{Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use switchboard_proto::CloseReason;
use tokio::io::ReadBuf;

/// Bytes of an answer over HTTP/2 that hyper takes at a time: it goes on when the client has made room for one more, and
/// the client has as long for each as for any other progress.
const PIECE_BYTES: usize = 4 << 10;

/// A body. Once it is dropped, hyper has all of the answer.
pub(super) struct Body {
    content: Content,
    answering: Option<Unfinished>,
}

enum Content {
    Whole(Bytes),
    Pages(Paging),
    /// Until hyper asks for it.
    Stream(Option<Next>),
    /// What the connection at the other end writes.
    Pipe(End),
}

/// A body that is made as it is taken.
struct Paging {
    /// The rest of the current page.
    page: Bytes,
    /// `None` once there are no more.
    behind: Option<Pages>,
    /// Other tasks have had their turn since the last page was made.
    is_rested: bool,
    /// What the connection is charged for it.
    counted: usize,
    underway: Arc<Underway>,
}

impl Body {
    pub(super) fn empty() -> Self {
        Self { content: Content::Whole(Bytes::new()), answering: None }
    }

    pub(super) fn whole(bytes: Bytes, answering: Unfinished) -> Self {
        Self { content: Content::Whole(bytes), answering: Some(answering) }
    }

    pub(super) fn paged(pages: Pages, answering: Unfinished) -> Self {
        let underway = Arc::clone(&answering);
        let paging = Paging { page: Bytes::new(), behind: Some(pages), is_rested: true, counted: 0, underway };
        Self { content: Content::Pages(paging), answering: Some(answering) }
    }

    /// A body that `next` sends instead of hyper.
    pub(super) fn stream(next: Next, answering: Unfinished) -> Self {
        Self { content: Content::Stream(Some(next)), answering: Some(answering) }
    }

    pub(super) fn piped(end: End, answering: Unfinished) -> Self {
        Self { content: Content::Pipe(end), answering: Some(answering) }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let answering = self.answering.as_ref();
        let is_multiplexed = answering.is_some_and(|answering| answering.exchange.is_multiplexed());
        let left = match &mut self.content {
            Content::Whole(bytes) => bytes.len(),
            Content::Pages(paging) => {
                ready!(paging.poll_page(cx, usize::from(is_multiplexed)));
                paging.page.len()
            }
            Content::Stream(next) => {
                if let (Some(next), Some(answering)) = (next.take(), answering) {
                    answering.hand_over(next);
                }
                return Poll::Pending;
            }
            Content::Pipe(end) => return poll_pipe(end, cx),
        };
        if let (0, true, Some(answering)) = (left, is_multiplexed, answering) {
            ready!(answering.poll_unread(cx));
        }
        Poll::Ready(Ok(match &mut self.content {
            Content::Pages(paging) if is_multiplexed => paging.take(piece(left)),
            Content::Pages(Paging { page: bytes, .. }) => std::mem::take(bytes),
            Content::Whole(bytes) => bytes.split_to(if is_multiplexed { piece(left) } else { left }),
            Content::Stream(_) | Content::Pipe(_) => unreachable!("returned above"),
        }))
    }
}

/// How many of the last `length` bytes go next. hyper hands a piece on as soon as there is room for one byte of it, and
/// no longer watches it once it has the last piece. So the last byte goes alone: there is room for it only after the
/// client has made room for everything before it, and until then the answer is under way, is counted, and has its deadline.
fn piece(length: usize) -> usize {
    if length > 1 { (length - 1).min(PIECE_BYTES) } else { length }
}

impl Paging {
    /// Waits until there are more than `kept` bytes of a page, or all that there will be. What was kept comes first.
    fn poll_page(&mut self, cx: &mut Context<'_>, kept: usize) -> Poll<()> {
        while self.page.len() <= kept && self.behind.is_some() {
            if self.underway.exchange.link.is_unheard() {
                // The client is gone: what it asked for after this is what counts.
                (self.page, self.behind) = (Bytes::new(), None);
                break;
            }
            if !self.is_rested {
                self.is_rested = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.count(self.page.len());
            ready!(self.underway.exchange.poll_paging(cx));
            let next = match &mut self.behind {
                Some(pages) => ready!(pages.poll_next(cx)),
                None => None,
            };
            self.is_rested = false;
            match next {
                Some(page) if self.page.is_empty() => self.page = page,
                Some(page) => self.page = [&self.page[..], &page].concat().into(),
                None => self.behind = None,
            }
            self.count(self.page.len());
        }
        Poll::Ready(())
    }

    /// Takes this many bytes of the page. The page is dropped with all but its last byte, which may be kept for long.
    fn take(&mut self, count: usize) -> Bytes {
        let taken = Bytes::copy_from_slice(&self.page[..count]);
        self.page.advance(count);
        if self.page.len() <= 1 {
            self.page = Bytes::copy_from_slice(&self.page);
            self.count(self.page.len());
        }
        taken
    }

    fn count(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.counted, bytes);
        self.underway.exchange.paged(before, bytes);
        self.underway.holding(bytes);
    }
}

impl Drop for Paging {
    fn drop(&mut self) {
        self.count(0);
    }
}

fn poll_pipe(end: &mut End, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
    let mut piece = [0; PIECE_BYTES];
    let mut buffer = ReadBuf::new(&mut piece);
    ready!(end.reader.poll_read(cx, &mut buffer))?;
    if buffer.filled().is_empty() && !end.reader.reason().is_some_and(CloseReason::is_ordinary) {
        // A client must not take half an answer for a whole one.
        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
    }
    Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = self.poll_piece(cx);
        if let Some(answering) = &self.answering {
            answering.gave(polled.is_ready());
        }
        let piece = ready!(polled)?;
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        let has_unread = self.answering.as_ref().is_some_and(|answering| answering.has_unread());
        matches!(&self.content, Content::Whole(bytes) if bytes.is_empty()) && !has_unread
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::default(),
        }
    }
}
