//! An answer: whole, streamed by a handler, or the start of a WebSocket.

use super::exchange::{Answering, Next};
use super::{Begin, begin};
use crate::BoxError;
use crate::connection::Connection;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use hyper::body::{Frame, SizeHint};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use switchboard_proto::Codec;

/// The answer to a [`Request`](super::Request).
///
/// Made from an [`http::Response`] whose body is bytes or text, or from a status alone.
#[must_use]
pub struct Response(pub(super) Answer);

pub(super) enum Answer {
    Whole(http::Response<Bytes>),
    Stream(http::Response<()>, Begin),
    Upgrade(http::Response<()>, Begin),
}

impl Response {
    /// An answer whose body is the frames that `handler` sends, for as long as it runs.
    ///
    /// The client's connection becomes the handler's, which may join rooms with it, and is closed after it.
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
            Answer::Stream(head, _) | Answer::Upgrade(head, _) => head.headers_mut(),
        }
    }

    /// What it says.
    pub fn status(&self) -> StatusCode {
        match &self.0 {
            Answer::Whole(response) => response.status(),
            Answer::Stream(head, _) | Answer::Upgrade(head, _) => head.status(),
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
    answering: Answering,
}

enum Content {
    Whole(Bytes),
    /// Until hyper asks for it.
    Stream(Option<Next>),
}

impl Body {
    pub(super) fn whole(bytes: Bytes, answering: Answering) -> Self {
        Self { content: Content::Whole(bytes), answering }
    }

    /// A body that `next` will send in place of hyper.
    pub(super) fn stream(next: Next, answering: Answering) -> Self {
        Self { content: Content::Stream(Some(next)), answering }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        match &mut this.content {
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Stream(next) => {
                if let Some(next) = next.take() {
                    this.answering.hand_over(next);
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}
