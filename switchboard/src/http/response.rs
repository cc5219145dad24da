//! An answer: whole, produced page by page, streamed by a handler, or the start of a WebSocket.

use super::{Begin, begin};
use crate::connection::{Connection, HandlerOutput};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use hyper::upgrade::OnUpgrade;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use switchboard_proto::Codec;

/// The answer to a [`Request`](super::Request).
///
/// Made from an [`http::Response`] whose body is bytes or text, or from a status alone.
#[must_use]
pub struct Response(pub(super) ResponseKind);

pub(super) enum ResponseKind {
    Whole(http::Response<Bytes>),
    Pages(http::Response<()>, Pages),
    Stream(http::Response<()>, Begin),
    /// The stream is one of HTTP/2, or the connection itself.
    Upgrade(http::Response<()>, Begin, Option<OnUpgrade>),
}

/// What the pages of an answer come from.
pub(super) type Pages = Box<dyn Paged>;

/// Pages, each made once the one before it was read.
pub(super) trait Paged: Send {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>>;
}

/// Those that are made at once.
struct AtOnce<I>(I);

impl<I: Iterator<Item = Bytes> + Send> Paged for AtOnce<I> {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Option<Bytes>> {
        Poll::Ready(self.0.next())
    }
}

/// Those that are waited for.
struct Unfolding<F, R> {
    next: F,
    /// None at the end.
    page: Option<Pin<Box<R>>>,
}

impl<S, F, R> Paged for Unfolding<F, R>
where
    F: FnMut(S) -> R + Send,
    R: Future<Output = Option<(Bytes, S)>> + Send,
{
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(page) = &mut self.page else { return Poll::Ready(None) };
        let made = ready!(page.as_mut().poll(cx));
        self.page = None;
        Poll::Ready(made.map(|(bytes, rest)| {
            self.page = Some(Box::pin((self.next)(rest)));
            bytes
        }))
    }
}

impl Response {
    /// An answer whose body is what `pages` yields. It is asked for a page only once the client has read the ones
    /// before.
    ///
    /// So pages that nobody reads are not made, and an answer holds one page at a time, which counts towards
    /// [`Limits::memory_bytes`](crate::Limits::memory_bytes). Other connections run between two pages, so a page should
    /// be quick to make, with 16 to 64 KiB. `pages` is dropped with the answer, whether or not it reached its end; for
    /// HEAD it is not asked at all.
    pub fn pages(head: http::Response<()>, pages: impl Iterator<Item = Bytes> + Send + 'static) -> Self {
        Self(ResponseKind::Pages(head, Box::new(AtOnce(pages))))
    }

    /// As [`pages`](Self::pages), where a page may have to be waited for: `next` makes one of `state`, and what the following one is made of.
    ///
    /// ```
    /// # use switchboard::http::{Response, types};
    /// # use switchboard::bytes::Bytes;
    /// # async fn read(page: u32) -> Option<Bytes> { (page < 3).then(|| format!("{page}").into()) }
    /// let head = types::Response::new(());
    /// let answer = Response::pages_from(head, 0, |page| async move { Some((read(page).await?, page + 1)) });
    /// # drop(answer);
    /// ```
    pub fn pages_from<S, F, R>(head: http::Response<()>, state: S, mut next: F) -> Self
    where
        S: Send + 'static,
        F: FnMut(S) -> R + Send + 'static,
        R: Future<Output = Option<(Bytes, S)>> + Send + 'static,
    {
        let page = Some(Box::pin(next(state)));
        Self(ResponseKind::Pages(head, Box::new(Unfolding { next, page })))
    }

    /// An answer whose body is the frames that `handler` sends, for as long as it runs.
    ///
    /// The client's connection becomes the handler's, which may join rooms with it, and is closed afterwards; over
    /// HTTP/2 the handler gets a separate connection beside the client's, which counts as one.
    /// [`recv`](Connection::recv) gives only `None`, once the client is gone. An HTTP/1.1 client can tell the end of
    /// the answer from a failure. For HEAD there is no body, and `handler` is dropped.
    ///
    /// # Examples
    /// What is published to a room, for `new EventSource("/live")` in a browser:
    /// ```
    /// use switchboard::http::{Request, Response, types};
    /// use switchboard::prelude::*;
    /// use switchboard::{EventStream, PlainEvents};
    ///
    /// async fn live(_: Request, prices: Room) -> Response {
    ///     // The codec says that it is `text/event-stream`, and is kept alive.
    ///     Response::stream(types::Response::new(()), |conn| watch(conn, prices))
    /// }
    ///
    /// async fn watch(mut conn: Connection<EventStream>, prices: Room) -> Result {
    ///     conn.send(EventStream::data("hello")).await?;
    ///     let _seat = conn.join_as(&prices, PlainEvents, Join::default())?;
    ///     while conn.recv().await?.is_some() {}
    ///     Ok(())
    /// }
    /// ```
    pub fn stream<C, F>(mut head: http::Response<()>, handler: impl FnOnce(Connection<C>) -> F + Send + 'static) -> Self
    where
        C: Codec,
        F: Future<Output: HandlerOutput> + Send + 'static,
    {
        if let Some(media_type) = C::MEDIA_TYPE {
            head.headers_mut().entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(media_type));
        }
        Self(ResponseKind::Stream(head, begin(handler)))
    }

    /// An answer with a line of text.
    pub(super) fn plain(status: StatusCode, text: &str) -> Self {
        let mut response = http::Response::new(Bytes::from(format!("{text}\n")));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response.into()
    }

    /// The head, to add headers that every answer has.
    pub fn headers_mut(&mut self) -> &mut http::HeaderMap {
        match &mut self.0 {
            ResponseKind::Whole(response) => response.headers_mut(),
            ResponseKind::Pages(head, _) | ResponseKind::Stream(head, _) | ResponseKind::Upgrade(head, ..) => {
                head.headers_mut()
            }
        }
    }

    /// What it says.
    pub fn status(&self) -> StatusCode {
        match &self.0 {
            ResponseKind::Whole(response) => response.status(),
            ResponseKind::Pages(head, _) | ResponseKind::Stream(head, _) | ResponseKind::Upgrade(head, ..) => {
                head.status()
            }
        }
    }
}

impl<B: Into<Bytes>> From<http::Response<B>> for Response {
    fn from(response: http::Response<B>) -> Self {
        Self(ResponseKind::Whole(response.map(Into::into)))
    }
}

impl From<StatusCode> for Response {
    fn from(status: StatusCode) -> Self {
        let mut response = http::Response::new(Bytes::new());
        *response.status_mut() = status;
        response.into()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status()).finish_non_exhaustive()
    }
}
