//! An answer: whole, streamed by a handler, or the start of a WebSocket.

use super::exchange::Answering;
use super::{Begin, begin};
use crate::BoxError;
use crate::connection::Connection;
use crate::hub::Source as _;
use crate::transport::memory::End;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use hyper::body::{Frame, SizeHint};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use switchboard_proto::Codec;
use tokio::io::ReadBuf;

/// Bytes of a streamed answer that become one chunk.
const CHUNK_BYTES: usize = 8 << 10;

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
    /// It is a connection of its own: numbered, listed, limited, drained, and a member of rooms if it joins. It receives
    /// nothing; [`recv`](Connection::recv) gives `None` once the client is gone. A client that must know where the answer
    /// ends speaks HTTP/1.1.
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

/// A body as hyper sends it. The request counts as answered when it is dropped.
pub(super) struct Body {
    content: Content,
    _answering: Answering,
}

enum Content {
    Whole(Bytes),
    Stream(End),
}

impl Body {
    pub(super) fn whole(bytes: Bytes, answering: Answering) -> Self {
        Self { content: Content::Whole(bytes), _answering: answering }
    }

    pub(super) fn stream(end: End, answering: Answering) -> Self {
        Self { content: Content::Stream(end), _answering: answering }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let bytes = match &mut self.content {
            Content::Whole(bytes) => std::mem::take(bytes),
            Content::Stream(end) => {
                let mut chunk = [0; CHUNK_BYTES];
                let mut buffer = ReadBuf::new(&mut chunk);
                ready!(end.reader.poll_read(cx, &mut buffer))?;
                Bytes::copy_from_slice(buffer.filled())
            }
        };
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
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
