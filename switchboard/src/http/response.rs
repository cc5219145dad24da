//! An answer: whole, streamed by a handler, or the start of a WebSocket.

use super::exchange::{Answering, Next};
use super::{Begin, begin};
use crate::BoxError;
use crate::connection::Connection;
use crate::hub::Source as _;
use crate::transport::memory::End;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use hyper::body::{Frame, SizeHint};
use hyper::upgrade::OnUpgrade;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use switchboard_proto::{CloseReason, Codec};
use tokio::io::ReadBuf;

/// Bytes of an answer over HTTP/2 that hyper takes at a time: it goes on when the client has made room for one more, and
/// the client has as long for each as for any other progress.
const PIECE_BYTES: usize = 4 << 10;

/// The answer to a [`Request`](super::Request).
///
/// Made from an [`http::Response`] whose body is bytes or text, or from a status alone.
#[must_use]
pub struct Response(pub(super) Answer);

pub(super) enum Answer {
    Whole(http::Response<Bytes>),
    Stream(http::Response<()>, Begin),
    /// The stream is HTTP/2's, or the connection itself.
    Upgrade(http::Response<()>, Begin, Option<OnUpgrade>),
}

impl Response {
    /// An answer whose body is the frames that `handler` sends, for as long as it runs.
    ///
    /// The client's connection becomes the handler's, which may join rooms with it, and is closed after it; over HTTP/2 the
    /// handler's is a connection beside it, and counts as one.
    /// [`recv`](Connection::recv) gives nothing but `None`, once the client is gone. A client of HTTP/1.1 can tell the end
    /// of the answer from a failure; of an answer to HEAD there is no body, and `handler` is dropped.
    pub fn stream<C, F, E>(head: http::Response<()>, handler: impl FnOnce(Connection<C>) -> F + Send + 'static) -> Self
    where
        C: Codec,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        Self(Answer::Stream(head, begin(handler)))
    }

    /// A line of text for whoever reads it.
    pub(super) fn plain(status: StatusCode, text: &str) -> Self {
        let mut response = http::Response::new(Bytes::from(format!("{text}\n")));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response.into()
    }

    /// The head, to add headers that every answer has.
    pub fn headers_mut(&mut self) -> &mut http::HeaderMap {
        match &mut self.0 {
            Answer::Whole(response) => response.headers_mut(),
            Answer::Stream(head, _) | Answer::Upgrade(head, ..) => head.headers_mut(),
        }
    }

    /// What it says.
    pub fn status(&self) -> StatusCode {
        match &self.0 {
            Answer::Whole(response) => response.status(),
            Answer::Stream(head, _) | Answer::Upgrade(head, ..) => head.status(),
        }
    }
}

impl<B: Into<Bytes>> From<http::Response<B>> for Response {
    fn from(response: http::Response<B>) -> Self {
        Self(Answer::Whole(response.map(Into::into)))
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

/// A body as hyper takes it. When it is dropped, all of the answer is hyper's.
pub(super) struct Body {
    content: Content,
    answering: Option<Answering>,
}

enum Content {
    Whole(Bytes),
    /// Until hyper asks for it.
    Stream(Option<Next>),
    /// What the connection at the other end writes.
    Pipe(End),
}

impl Body {
    pub(super) fn empty() -> Self {
        Self { content: Content::Whole(Bytes::new()), answering: None }
    }

    pub(super) fn whole(bytes: Bytes, answering: Answering) -> Self {
        Self { content: Content::Whole(bytes), answering: Some(answering) }
    }

    /// A body that `next` will send in place of hyper.
    pub(super) fn stream(next: Next, answering: Answering) -> Self {
        Self { content: Content::Stream(Some(next)), answering: Some(answering) }
    }

    pub(super) fn piped(end: End, answering: Answering) -> Self {
        Self { content: Content::Pipe(end), answering: Some(answering) }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let answering = self.answering.as_ref();
        match &mut self.content {
            Content::Whole(bytes) if answering.is_some_and(|answering| answering.exchange.is_multiplexed()) => {
                if let (true, Some(answering)) = (bytes.is_empty(), answering) {
                    ready!(answering.poll_unread(cx));
                }
                Poll::Ready(Ok(bytes.split_to(bytes.len().min(PIECE_BYTES))))
            }
            Content::Whole(bytes) => Poll::Ready(Ok(std::mem::take(bytes))),
            Content::Stream(next) => {
                if let (Some(next), Some(answering)) = (next.take(), answering) {
                    answering.hand_over(next);
                }
                Poll::Pending
            }
            Content::Pipe(end) => {
                let mut piece = [0; PIECE_BYTES];
                let mut buffer = ReadBuf::new(&mut piece);
                ready!(end.reader.poll_read(cx, &mut buffer))?;
                if buffer.filled().is_empty() && !end.reader.reason().is_some_and(CloseReason::is_ordinary) {
                    // A client must not take half an answer for a whole one.
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
            }
        }
    }
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
