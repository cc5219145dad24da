//! The answer to an HTTP request, as a test reads it.

use super::{first_line, text};
use crate::client::Halves;
use crate::transport::memory::End;
use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::response::Parts;
use http::{Request, StatusCode};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, Connection};
use std::convert::Infallible;
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

/// What a server answered: the head has arrived, and the body is read as it comes. Dropping it closes its connection.
pub struct HttpAnswer {
    head: Parts,
    body: Incoming,
    connection: Connection<Halves, Whole>,
    has_ended: bool,
    received: Vec<u8>,
}

impl fmt::Debug for HttpAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAnswer")
            .field("status", &self.head.status)
            .field("headers", &self.head.headers)
            .finish_non_exhaustive()
    }
}

impl HttpAnswer {
    pub(super) async fn to(request: Request<Bytes>, end: End, host: &str, path: &str) -> Self {
        let Ok((mut sender, mut connection)) = http1::handshake(Halves::of(end)).await else {
            unreachable!("nothing is said before a request")
        };
        let (mut head, body) = request.into_parts();
        let (Ok(path), Ok(host)) = (path.parse(), HeaderValue::from_str(host)) else {
            panic!("{host}{path} is no URL")
        };
        head.uri = path;
        head.headers.entry(HOST).or_insert(host);
        let mut answered = Box::pin(sender.send_request(Request::from_parts(head, Whole(body))));
        let answered = poll_fn(|cx| {
            // What ends it the answer says as well.
            let _ = Pin::new(&mut connection).poll(cx);
            answered.as_mut().poll(cx)
        });
        let (head, body) = answered.await.unwrap_or_else(|error| panic!("no answer: {error}")).into_parts();
        Self { head, body, connection, has_ended: false, received: Vec::new() }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Receives the rest of the body, as text.
    pub async fn text(&mut self) -> String {
        while self.receive().await {}
        text(&std::mem::take(&mut self.received))
    }

    /// Receives one line of the body, including its terminator; at the end of the body, what is left.
    pub async fn line(&mut self) -> String {
        loop {
            if let Some(line) = first_line(&mut self.received) {
                return line;
            }
            if !self.receive().await {
                return text(&std::mem::take(&mut self.received));
            }
        }
    }

    /// Receives the next piece of the body, of any size; empty at the end.
    ///
    /// # Cancel safety
    /// Safe, as are the other methods here.
    pub async fn chunk(&mut self) -> Vec<u8> {
        if self.received.is_empty() {
            self.receive().await;
        }
        std::mem::take(&mut self.received)
    }

    /// Says whether there was more.
    async fn receive(&mut self) -> bool {
        let frame = poll_fn(|cx| {
            if !self.has_ended {
                self.has_ended = Pin::new(&mut self.connection).poll(cx).is_ready();
            }
            Pin::new(&mut self.body).poll_frame(cx)
        });
        let Some(Ok(frame)) = frame.await else { return false };
        if let Ok(data) = frame.into_data() {
            self.received.extend_from_slice(&data);
        }
        true
    }
}

/// The body of a request.
struct Whole(Bytes);

impl hyper::body::Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.0);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}
